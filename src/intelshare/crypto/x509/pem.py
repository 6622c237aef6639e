"""Converts certificates from and to PEM, the text that TLS libraries and people use."""

from __future__ import annotations

from collections.abc import Iterable

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from intelshare.crypto.x509.values import UNREADABLE, invalid


def to_pem(certificates: Iterable[bytes]) -> bytes:
    """Join DER certificates into one PEM text, as gRPC credentials want them."""
    return b"".join(
        x509.load_der_x509_certificate(der).public_bytes(serialization.Encoding.PEM) for der in certificates
    )


def all_from_pem(text: bytes) -> tuple[bytes, ...]:
    """Return the DER of every certificate of a PEM text. Raises TrustError PEER_IDENTITY_INVALID if there is
    none.
    """
    try:
        found = x509.load_pem_x509_certificates(text)
    except UNREADABLE:
        raise invalid("cannot be read") from None
    return tuple(one.public_bytes(serialization.Encoding.DER) for one in found)


def from_pem(text: bytes) -> bytes:
    """Return the DER of the first certificate of a PEM text.

    gRPC shows a peer's leaf as PEM. Raises TrustError PEER_IDENTITY_INVALID if there is none.
    """
    try:
        return x509.load_pem_x509_certificate(text).public_bytes(serialization.Encoding.DER)
    except UNREADABLE:
        raise invalid("cannot be read") from None
