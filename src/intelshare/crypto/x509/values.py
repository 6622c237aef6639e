"""The values of this room: certified keys, leaves, validity, lifetimes, and the errors of certificates."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from cryptography import x509

from intelshare.errors import TrustError
from intelshare.ids import Digest
from intelshare.instant import DAY, MINUTE, Instant

NODE_LIFETIME = 7 * DAY


USER_LIFETIME = 7 * DAY


TICKET_LIFETIME = 3 * DAY
"""The lifetime of a ticket, which lets a new user obtain a first certificate, and nothing else."""


DEVELOPMENT_LIFETIME = 30 * DAY


AUTHORITY_LIFETIME = 5 * 365 * DAY


BACKDATE: Final = 5 * MINUTE
"""The time between not-before and the issue: the same 300 s that bound "ahead" everywhere."""


MAX_CERTIFICATE = 16_384
"""The bytes of DER that are looked at; a leaf that intelshare issues has about 600."""


MAX_BETWEEN: Final = 1
"""Certificates between a leaf and the authority that is believed: a bridge."""


@dataclass(frozen=True, slots=True)
class CertifiedKey:
    """A certificate and its private key. The key belongs in the vault or a 0600 file, nowhere else."""

    certificate: bytes
    """The certificate, in DER."""
    key: bytes
    """The key, in unencrypted PKCS #8, PEM."""

    def __repr__(self) -> str:
        return f"CertifiedKey({sha256(self.certificate).hexdigest()[:16]}, key=...)"


@dataclass(frozen=True, slots=True)
class RequestedKey:
    """A new private key, and the request with which its owner asks for a certificate for it."""

    request: bytes
    """PKCS #10, in DER: signed by the key and without a name, because the issuer knows whom it is for."""
    key: bytes
    """The key, in unencrypted PKCS #8, PEM."""

    def __repr__(self) -> str:
        return "RequestedKey(request=..., key=...)"


@dataclass(frozen=True, slots=True)
class Leaf:
    """The identity that a leaf claims; nothing of it is believed before ``check_issued``."""

    uri: str
    dns: str
    """The one DNS SAN; empty for users."""
    digest: Digest
    """SHA-256 of the DER: identifies this certificate in Hello, in revocations and in caches."""


@dataclass(frozen=True, slots=True)
class Validity:
    """The half-open interval in which a whole chain is valid."""

    start: Instant
    end: Instant

    def holds(self, at: Instant) -> bool:
        """Return True if ``at`` lies inside."""
        return self.start <= at < self.end


CURVES: Final = {
    "secp256r1": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "secp384r1": int(
        "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973", 16
    ),
}
"""Order of the group of each curve whose keys TLS takes here."""


UNREADABLE: Final = (
    ValueError,
    x509.InvalidVersion,
    x509.ExtensionNotFound,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""The exceptions that pyca raises on hostile DER."""


def invalid(why: str) -> TrustError:
    """PEER_IDENTITY_INVALID, of a certificate that says nothing that could be believed."""
    return TrustError(
        "PEER_IDENTITY_INVALID",
        f"the certificate {why}",
        hint="issue it again with `intelshare pki renew` at the member it belongs to",
    )


def mismatch() -> TrustError:
    """PEER_IDENTITY_MISMATCH, of a certificate that nobody issued who could."""
    return TrustError(
        "PEER_IDENTITY_MISMATCH",
        "the certificate was not issued by the member whose node it names, or is not valid now",
        hint="renew it there with `intelshare pki renew`; if that was done, exchange directories first",
    )
