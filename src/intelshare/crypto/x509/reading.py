"""Reads certificates: the identity, the issuer, the validity, and whether it is an authority's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.verification import PolicyBuilder, VerificationError
from cryptography.x509.verification import Store as _Anchors

from intelshare.crypto.x509.values import (
    CURVES,
    MAX_BETWEEN,
    MAX_CERTIFICATE,
    UNREADABLE,
    Leaf,
    Validity,
    invalid,
    mismatch,
)
from intelshare.ids import Digest
from intelshare.instant import Instant, of, to_datetime

_KINDS: Final = {
    x509.UniformResourceIdentifier: "uri",
    x509.RFC822Name: "email",
    x509.DNSName: "dns",
}


NAME_KINDS: Final = (*_KINDS.values(), "dn")
"""The kinds of names by which a user of another authority is known."""


def inspect(certificate: bytes) -> Leaf:
    """Read the identity that a leaf claims: exactly one URI SAN, at most one DNS SAN, nothing else.

    Raises TrustError PEER_IDENTITY_INVALID for anything unusual: no URI or two, another SAN type, a subject,
    an authority's certificate, a serial number that is not positive, DER that does not parse.
    """
    if len(certificate) > MAX_CERTIFICATE:
        raise invalid("is larger than any that intelshare issues")
    # Extensions are parsed on first use.
    try:
        parsed = x509.load_der_x509_certificate(certificate)
        subject = list(parsed.subject)
        alternatives = list(parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
        constraints = parsed.extensions.get_extension_for_class(x509.BasicConstraints).value
    except UNREADABLE:
        raise invalid("cannot be read") from None
    if parsed.serial_number <= 0:
        raise invalid("has no positive serial number (RFC 5280)")
    if subject:
        raise invalid("has a subject; identities are in the URI SAN only")
    if constraints.ca:
        raise invalid("is an authority's, not a leaf")
    uris = [name.value for name in alternatives if isinstance(name, x509.UniformResourceIdentifier)]
    hosts = [name.value for name in alternatives if isinstance(name, x509.DNSName)]
    if len(uris) != 1 or len(hosts) > 1 or len(uris) + len(hosts) != len(alternatives):
        raise invalid("needs exactly one URI SAN, at most one DNS SAN and no other")
    return Leaf(uris[0], hosts[0] if hosts else "", digest_of(certificate))


def names_of(certificate: bytes) -> frozenset[str]:
    """Return the names that a certificate issued by another authority gives its user, each with its kind.

    These are ``uri:``, ``email:`` and ``dns:`` of the subject alternative names, and ``dn:`` with the subject
    as RFC 4514 writes it. Raises TrustError PEER_IDENTITY_INVALID for a certificate that cannot be read or is
    an authority's.
    """
    if len(certificate) > MAX_CERTIFICATE:
        raise invalid("is larger than any that is accepted")
    try:
        parsed = x509.load_der_x509_certificate(certificate)
        extensions = parsed.extensions
        found = {f"dn:{parsed.subject.rfc4514_string()}"} if list(parsed.subject) else set()
        for extension in extensions:
            if isinstance(extension.value, x509.BasicConstraints) and extension.value.ca:
                raise invalid("is an authority's, not a leaf")
            if isinstance(extension.value, x509.SubjectAlternativeName):
                found |= {
                    f"{_KINDS[type(name)]}:{name.value}" for name in extension.value if type(name) in _KINDS
                }
    except UNREADABLE:
        raise invalid("cannot be read") from None
    return frozenset(found)


def check_issued(
    certificate: bytes, authorities: Iterable[bytes], at: Instant, between: Sequence[bytes] = ()
) -> Validity:
    """Check that one of these authorities issued the leaf and that the chain is valid at ``at``.

    ``between``: the certificates that the caller showed with it, such as the bridge to a new authority. They
    are not believed unless one of the authorities vouches for them.

    It takes about 0.6 ms; callers cache the answer, which is the interval in which it stays true. Raises
    TrustError PEER_IDENTITY_MISMATCH otherwise, also when there is no authority at all.
    """
    anchors = [x509.load_der_x509_certificate(der) for der in authorities]
    if not anchors:
        raise mismatch()
    verifier = PolicyBuilder().store(_Anchors(anchors)).time(to_datetime(at)).build_client_verifier()
    try:
        chain = verifier.verify(
            x509.load_der_x509_certificate(certificate),
            [x509.load_der_x509_certificate(der) for der in between[:MAX_BETWEEN]],
        ).chain
    except (VerificationError, *UNREADABLE):
        raise mismatch() from None
    valid = Validity(
        max(of(c.not_valid_before_utc) for c in chain), min(of(c.not_valid_after_utc) for c in chain)
    )
    # X.509 includes the last second; every interval here is half open.
    if not valid.holds(at):
        raise mismatch()
    return valid


def is_issued_by(certificate: bytes, authority: bytes) -> bool:
    """Return True if this very authority signed the certificate."""
    try:
        x509.load_der_x509_certificate(certificate).verify_directly_issued_by(
            x509.load_der_x509_certificate(authority)
        )
    except (*UNREADABLE, InvalidSignature, TypeError):
        return False
    return True


@lru_cache(maxsize=256)
def is_authority(certificate: bytes) -> bool:
    """Return True if these bytes are the DER of an authority's certificate that may stand in a directory.

    It must have version 3, a P-256 or P-384 key, a name, BasicConstraints of a CA and a valid signature by
    itself, and must encode again to the same bytes: a certificate that one TLS library reads and another does
    not must never enter a directory.
    """
    try:
        parsed = x509.load_der_x509_certificate(certificate)
        key, constraints = (
            parsed.public_key(),
            parsed.extensions.get_extension_for_class(x509.BasicConstraints),
        )
        if parsed.version is not x509.Version.v3 or not constraints.value.ca or not parsed.subject.rdns:
            return False
        if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in CURVES:
            return False
        parsed.verify_directly_issued_by(parsed)
        return _encoded_again(parsed, key) == parsed.tbs_certificate_bytes
    except (*UNREADABLE, InvalidSignature, TypeError, UnsupportedAlgorithm):
        return False


def _encoded_again(parsed: x509.Certificate, key: ec.EllipticCurvePublicKey) -> bytes:
    """Return the signed part as this library encodes it. It is signed with a key that everybody knows, only
    to obtain the form.
    """
    builder = (
        x509.CertificateBuilder()
        .subject_name(parsed.subject)
        .issuer_name(parsed.issuer)
        .public_key(key)
        .serial_number(parsed.serial_number)
        .not_valid_before(parsed.not_valid_before_utc)
        .not_valid_after(parsed.not_valid_after_utc)
    )
    for extension in parsed.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    algorithm = parsed.signature_hash_algorithm
    if not isinstance(algorithm, hashes.SHA256 | hashes.SHA384 | hashes.SHA512):
        return b""
    return builder.sign(ec.derive_private_key(1, key.curve), algorithm).tbs_certificate_bytes


def validity(certificate: bytes) -> Validity:
    """Return the interval that a certificate of this node states, for renewal. Raises ValueError if it is not
    a certificate.
    """
    parsed = x509.load_der_x509_certificate(certificate)
    return Validity(of(parsed.not_valid_before_utc), of(parsed.not_valid_after_utc))


def serial_of(certificate: bytes) -> str:
    """Return the serial number in hexadecimal, as other tools do. Raises ValueError if it cannot be read."""
    return f"{x509.load_der_x509_certificate(certificate).serial_number:x}"


def subject_of(certificate: bytes) -> str:
    """Return the name in an authority's certificate: the common name, or the whole subject."""
    subject = x509.load_der_x509_certificate(certificate).subject
    names = subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(names[0].value) if names else subject.rfc4514_string()


def digest_of(certificate: bytes) -> Digest:
    """Return the SHA-256 of a certificate's DER, which identifies it in the register, in revocations and in
    caches.
    """
    return Digest(sha256(certificate).digest())


def fits(certificate: bytes, key: bytes) -> bool:
    """Return True if the private key, as PEM, is the certificate's; also False if it is not a key."""
    try:
        private = serialization.load_pem_private_key(key, None)
    except (ValueError, TypeError):
        return False
    return private.public_key() == x509.load_der_x509_certificate(certificate).public_key()
