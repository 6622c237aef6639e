"""X.509, used for TLS only: issue authorities and leaves, read an identity, check its issuer.

Each member has one authority for nodes and one for users (ECDSA P-384, because both pyca's chain validator
and BoringSSL accept it; Ed25519 and ML-DSA leaves fail in TLS). Leaves are P-256 with an empty subject and
one URI SAN. A node leaf also has exactly one DNS SAN, the only name that a gRPC client compares.

A certificate speaks for the exact text of its one URI SAN, which is looked up and never parsed
(``intelshare.trust``). Reading is strict: a certificate that this module would not have issued is not an
identity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from hashlib import sha256
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, VerificationError
from cryptography.x509.verification import Store as _Anchors

from intelshare.errors import TrustError
from intelshare.ids import Digest
from intelshare.instant import DAY, MINUTE, SECOND, Instant, of, to_datetime

NODE_LIFETIME = 7 * DAY
USER_LIFETIME = 7 * DAY
TICKET_LIFETIME = 3 * DAY
"""The lifetime of a ticket, which lets a new user obtain a first certificate, and nothing else."""
DEVELOPMENT_LIFETIME = 30 * DAY
AUTHORITY_LIFETIME = 5 * 365 * DAY

BACKDATE: Final = 5 * MINUTE
"""The time between not-before and the issue: the same 300 s that bound "ahead" everywhere."""

_KINDS: Final = {
    x509.UniformResourceIdentifier: "uri",
    x509.RFC822Name: "email",
    x509.DNSName: "dns",
}

NAME_KINDS: Final = (*_KINDS.values(), "dn")
"""The kinds of names by which a user of another authority is known."""

MAX_CERTIFICATE = 16_384
"""The bytes of DER that are looked at; a leaf that intelshare issues has about 600."""


class Purpose(Enum):
    """The use of a leaf in TLS: nodes call and are called, users only call."""

    NODE = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
    USER = (ExtendedKeyUsageOID.CLIENT_AUTH,)


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


_UNREADABLE: Final = (
    ValueError,
    x509.InvalidVersion,
    x509.ExtensionNotFound,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""The exceptions that pyca raises on hostile DER."""


def make_authority(name: str, at: Instant, random: Callable[[int], bytes]) -> CertifiedKey:
    """Make a self-signed authority, valid for five years; ``name`` ("FRA nodes") is for people only."""
    key = _new_key(ec.SECP384R1(), random)
    public = key.public_key()
    identifier = x509.SubjectKeyIdentifier.from_public_key(public)
    # The name contains part of the key: after a rotation two authorities must not share a name.
    subject = x509.Name(
        [x509.NameAttribute(x509.NameOID.COMMON_NAME, f"{name} {identifier.digest[:4].hex()}")]
    )
    builder = (
        _builder(subject, subject, public, at=at, lifetime=AUTHORITY_LIFETIME, random=random)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(sign_certificates=True), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier(identifier.digest, None, None), critical=False)
    )
    return CertifiedKey(_signed(builder, key), _private_pem(key))


def issue_node(
    authority: CertifiedKey,
    uri: str,
    dns: str,
    at: Instant,
    random: Callable[[int], bytes],
    *,
    lifetime: int = NODE_LIFETIME,
) -> CertifiedKey:
    """Issue a leaf for a node, as TLS server and client. ``lifetime`` is in microseconds, capped by the
    authority's.
    """
    names = (x509.UniformResourceIdentifier(uri), x509.DNSName(dns))
    key = _new_key(ec.SECP256R1(), random)
    certificate = _issue(
        authority, names, key.public_key(), Purpose.NODE, at=at, lifetime=lifetime, random=random
    )
    return CertifiedKey(certificate, _private_pem(key))


def issue_user(
    authority: CertifiedKey,
    uri: str,
    at: Instant,
    random: Callable[[int], bytes],
    *,
    lifetime: int = USER_LIFETIME,
) -> CertifiedKey:
    """Issue a leaf for a user with a key that is made here: a ticket, or one that the vault's holder needs at
    once.

    It is for TLS clients only. ``lifetime`` is in microseconds, capped by the authority's. For users who have
    a key, use ``sign_user``.
    """
    made = request_key(random)
    certificate = sign_user(authority, uri, made.request, at, random, lifetime=lifetime)
    return CertifiedKey(certificate, made.key)


def request_key(random: Callable[[int], bytes]) -> RequestedKey:
    """Make a P-256 key, and a request for a certificate for it."""
    key = _new_key(ec.SECP256R1(), random)
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .sign(key, hashes.SHA256(), ecdsa_deterministic=True)
    )
    return RequestedKey(request.public_bytes(serialization.Encoding.DER), _private_pem(key))


def sign_user(
    authority: CertifiedKey,
    uri: str,
    request: bytes,
    at: Instant,
    random: Callable[[int], bytes],
    *,
    lifetime: int = USER_LIFETIME,
) -> bytes:
    """Return the certificate (DER) of a user who has made a request; only the key is taken from the request.

    ``lifetime`` is in microseconds, capped by the authority's. Raises TrustError INPUT_INVALID for a request
    that is not signed by the P-256 or P-384 key it contains.
    """
    names = (x509.UniformResourceIdentifier(uri),)
    public = _requested(request)
    return _issue(authority, names, public, Purpose.USER, at=at, lifetime=lifetime, random=random)


def request_from_pem(text: bytes) -> bytes:
    """Return the DER of the request in a PEM text. Raises TrustError INPUT_INVALID if there is none."""
    try:
        return x509.load_pem_x509_csr(text).public_bytes(serialization.Encoding.DER)
    except ValueError:
        raise _no_request("cannot be read") from None


def request_to_pem(request: bytes) -> bytes:
    """Return a request as PEM, which other tools read."""
    return x509.load_der_x509_csr(request).public_bytes(serialization.Encoding.PEM)


def digest_of(certificate: bytes) -> Digest:
    """Return the SHA-256 of a certificate's DER, which identifies it in the register, in revocations and in
    caches.
    """
    return Digest(sha256(certificate).digest())


def _requested(request: bytes) -> ec.EllipticCurvePublicKey:
    if len(request) > MAX_CERTIFICATE:
        raise _no_request("is larger than any that intelshare makes")
    try:
        parsed = x509.load_der_x509_csr(request)
        key, signed = parsed.public_key(), parsed.is_signature_valid
    except (ValueError, x509.InvalidVersion, UnsupportedAlgorithm):
        raise _no_request("cannot be read") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in _ORDERS:
        raise _no_request("is for a key of a kind that is not supported: use P-256 or P-384")
    if not signed:
        raise _no_request("is not signed by the key that it names")
    return key


def inspect(certificate: bytes) -> Leaf:
    """Read the identity that a leaf claims: exactly one URI SAN, at most one DNS SAN, nothing else.

    Raises TrustError PEER_IDENTITY_INVALID for anything unusual: no URI or two, another SAN type, a subject,
    an authority's certificate, a serial number that is not positive, DER that does not parse.
    """
    if len(certificate) > MAX_CERTIFICATE:
        raise _invalid("is larger than any that intelshare issues")
    # Extensions are parsed on first use.
    try:
        parsed = x509.load_der_x509_certificate(certificate)
        subject = list(parsed.subject)
        alternatives = list(parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
        constraints = parsed.extensions.get_extension_for_class(x509.BasicConstraints).value
    except _UNREADABLE:
        raise _invalid("cannot be read") from None
    if parsed.serial_number <= 0:
        raise _invalid("has no positive serial number (RFC 5280)")
    if subject:
        raise _invalid("has a subject; identities are in the URI SAN only")
    if constraints.ca:
        raise _invalid("is an authority's, not a leaf")
    uris = [name.value for name in alternatives if isinstance(name, x509.UniformResourceIdentifier)]
    hosts = [name.value for name in alternatives if isinstance(name, x509.DNSName)]
    if len(uris) != 1 or len(hosts) > 1 or len(uris) + len(hosts) != len(alternatives):
        raise _invalid("needs exactly one URI SAN, at most one DNS SAN and no other")
    return Leaf(uris[0], hosts[0] if hosts else "", digest_of(certificate))


def names_of(certificate: bytes) -> frozenset[str]:
    """Return the names that a certificate issued by another authority gives its user, each with its kind.

    These are ``uri:``, ``email:`` and ``dns:`` of the subject alternative names, and ``dn:`` with the subject
    as RFC 4514 writes it. Raises TrustError PEER_IDENTITY_INVALID for a certificate that cannot be read or is
    an authority's.
    """
    if len(certificate) > MAX_CERTIFICATE:
        raise _invalid("is larger than any that is accepted")
    try:
        parsed = x509.load_der_x509_certificate(certificate)
        extensions = parsed.extensions
        found = {f"dn:{parsed.subject.rfc4514_string()}"} if list(parsed.subject) else set()
        for extension in extensions:
            if isinstance(extension.value, x509.BasicConstraints) and extension.value.ca:
                raise _invalid("is an authority's, not a leaf")
            if isinstance(extension.value, x509.SubjectAlternativeName):
                found |= {
                    f"{_KINDS[type(name)]}:{name.value}" for name in extension.value if type(name) in _KINDS
                }
    except _UNREADABLE:
        raise _invalid("cannot be read") from None
    return frozenset(found)


def check_issued(certificate: bytes, authorities: Iterable[bytes], at: Instant) -> Validity:
    """Check that one of these authorities issued the leaf and that the chain is valid at ``at``.

    It takes about 0.6 ms; callers cache the answer, which is the interval in which it stays true. Raises
    TrustError PEER_IDENTITY_MISMATCH otherwise, also when there is no authority at all.
    """
    anchors = [x509.load_der_x509_certificate(der) for der in authorities]
    if not anchors:
        raise _mismatch()
    verifier = PolicyBuilder().store(_Anchors(anchors)).time(to_datetime(at)).build_client_verifier()
    try:
        chain = verifier.verify(x509.load_der_x509_certificate(certificate), []).chain
    except (VerificationError, *_UNREADABLE):
        raise _mismatch() from None
    valid = Validity(
        max(of(c.not_valid_before_utc) for c in chain), min(of(c.not_valid_after_utc) for c in chain)
    )
    # X.509 includes the last second; every interval here is half open.
    if not valid.holds(at):
        raise _mismatch()
    return valid


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
        if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in _ORDERS:
            return False
        parsed.verify_directly_issued_by(parsed)
        return _encoded_again(parsed, key) == parsed.tbs_certificate_bytes
    except (*_UNREADABLE, InvalidSignature, TypeError, UnsupportedAlgorithm):
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


def fits(certificate: bytes, key: bytes) -> bool:
    """Return True if the private key, as PEM, is the certificate's; also False if it is not a key."""
    try:
        private = serialization.load_pem_private_key(key, None)
    except (ValueError, TypeError):
        return False
    return private.public_key() == x509.load_der_x509_certificate(certificate).public_key()


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
    except ValueError:
        raise _invalid("cannot be read") from None
    return tuple(one.public_bytes(serialization.Encoding.DER) for one in found)


def from_pem(text: bytes) -> bytes:
    """Return the DER of the first certificate of a PEM text.

    gRPC shows a peer's leaf as PEM. Raises TrustError PEER_IDENTITY_INVALID if there is none.
    """
    try:
        return x509.load_pem_x509_certificate(text).public_bytes(serialization.Encoding.DER)
    except ValueError:
        raise _invalid("cannot be read") from None


def _issue(
    authority: CertifiedKey,
    names: Iterable[x509.GeneralName],
    public: ec.EllipticCurvePublicKey,
    purpose: Purpose,
    *,
    at: Instant,
    lifetime: int,
    random: Callable[[int], bytes],
) -> bytes:
    issuer = x509.load_der_x509_certificate(authority.certificate)
    issuer_key = serialization.load_pem_private_key(authority.key, password=None)
    if not isinstance(issuer_key, ec.EllipticCurvePrivateKey):
        raise TypeError("an authority's key is an elliptic curve key")
    issuer_id = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    lifetime = min(lifetime, of(issuer.not_valid_after_utc) - at)
    builder = (
        _builder(x509.Name([]), issuer.subject, public, at=at, lifetime=lifetime, random=random)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purpose.value), critical=False)
        # Critical because the subject is empty (RFC 5280, 4.2.1.6).
        .add_extension(x509.SubjectAlternativeName(names), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier(issuer_id.digest, None, None), critical=False)
    )
    return _signed(builder, issuer_key)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    *,
    at: Instant,
    lifetime: int,
    random: Callable[[int], bytes],
) -> x509.CertificateBuilder:
    whole = at - at % SECOND
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(_serial(random))
        .not_valid_before(to_datetime(Instant(whole - BACKDATE)))
        .not_valid_after(to_datetime(Instant(whole + lifetime - lifetime % SECOND)))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _signed(builder: x509.CertificateBuilder, signer: ec.EllipticCurvePrivateKey) -> bytes:
    certificate = builder.sign(signer, hashes.SHA384(), ecdsa_deterministic=True)
    return certificate.public_bytes(serialization.Encoding.DER)


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


_ORDERS = {
    "secp256r1": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "secp384r1": int(
        "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973", 16
    ),
}


def _new_key(curve: ec.EllipticCurve, random: Callable[[int], bytes]) -> ec.EllipticCurvePrivateKey:
    # 16 bytes more than the order: the bias of the reduction is below 2^-128 (FIPS 186-5, A.2.1).
    wide = int.from_bytes(random(curve.key_size // 8 + 16))
    return ec.derive_private_key(wide % (_ORDERS[curve.name] - 1) + 1, curve)


def _serial(random: Callable[[int], bytes]) -> int:
    # 159 bits: positive and at most 20 bytes of DER (RFC 5280, 4.1.2.2).
    return (int.from_bytes(random(20)) >> 1) | 1


def _key_usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _no_request(why: str) -> TrustError:
    return TrustError(
        "INPUT_INVALID",
        f"the certificate request {why}",
        hint="use PKCS #10 with a P-256 or P-384 key, as `openssl req -new` makes it",
    )


def _invalid(why: str) -> TrustError:
    return TrustError(
        "PEER_IDENTITY_INVALID",
        f"the certificate {why}",
        hint="issue it again with `intelshare pki issue` at the member it belongs to",
    )


def _mismatch() -> TrustError:
    return TrustError(
        "PEER_IDENTITY_MISMATCH",
        "the certificate was not issued by the member whose node it names, or is not valid now",
        hint="renew it there with `intelshare pki renew`; if that was done, exchange directories first",
    )
