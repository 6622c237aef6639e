"""Issues authorities, and leaves for nodes and users under them, for keys made here or elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from intelshare.crypto.x509.values import (
    AUTHORITY_LIFETIME,
    BACKDATE,
    CURVES,
    MAX_CERTIFICATE,
    NODE_LIFETIME,
    USER_LIFETIME,
    CertifiedKey,
    RequestedKey,
)
from intelshare.errors import TrustError
from intelshare.instant import EPOCH, SECOND, Instant, of, to_datetime


class Purpose(Enum):
    """The use of a leaf in TLS: nodes call and are called, users only call."""

    NODE = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
    USER = (ExtendedKeyUsageOID.CLIENT_AUTH,)


def make_authority(name: str, at: Instant, random: Callable[[int], bytes]) -> CertifiedKey:
    """Make a self-signed authority, valid for five years; ``name`` ("FRA nodes") is for people only.

    One other authority may stand under it: its successor (``issue_bridge``).
    """
    key = _new_key(ec.SECP384R1(), random)
    public = key.public_key()
    identifier = x509.SubjectKeyIdentifier.from_public_key(public)
    # The name contains part of the key: after a rotation two authorities must not share a name.
    subject = x509.Name(
        [x509.NameAttribute(x509.NameOID.COMMON_NAME, f"{name} {identifier.digest[:4].hex()}")]
    )
    builder = (
        _builder(subject, subject, public, at=at, lifetime=AUTHORITY_LIFETIME, random=random)
        .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
        .add_extension(_key_usage(sign_certificates=True), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier(identifier.digest, None, None), critical=False)
    )
    return CertifiedKey(_signed(builder, key), _private_pem(key))


def issue_bridge(
    former: CertifiedKey, successor: bytes, at: Instant, random: Callable[[int], bytes]
) -> bytes:
    """Issue the certificate (DER) in which the former authority vouches for its successor, until it ends.

    A peer that knows only the former one accepts a leaf of the successor that comes with it (RFC 4210, 4.4,
    "new with old").
    """
    after = x509.load_der_x509_certificate(successor)
    issuer, issuer_key, issuer_id, lifetime = _issuer(former, at, AUTHORITY_LIFETIME)
    public = after.public_key()
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise TypeError("an authority's key is an elliptic curve key")
    builder = (
        _builder(after.subject, issuer.subject, public, at=at, lifetime=lifetime, random=random)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(sign_certificates=True), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier(issuer_id.digest, None, None), critical=False)
    )
    return _signed(builder, issuer_key)


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
    made = request_key(random)
    certificate = sign_node(authority, uri, dns, made.request, at, random, lifetime=lifetime)
    return CertifiedKey(certificate, made.key)


def sign_node(
    authority: CertifiedKey,
    uri: str,
    dns: str,
    request: bytes,
    at: Instant,
    random: Callable[[int], bytes],
    *,
    lifetime: int = NODE_LIFETIME,
) -> bytes:
    """Issue a leaf for a node whose key is held elsewhere (DER); only the key is taken from the request.

    Raises TrustError INPUT_INVALID as ``sign_user``.
    """
    names = (x509.UniformResourceIdentifier(uri), x509.DNSName(dns))
    public = _requested(request)
    return _issue(authority, names, public, Purpose.NODE, at=at, lifetime=lifetime, random=random)


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
    except (ValueError, x509.InvalidVersion):
        raise _no_request("cannot be read") from None


def _requested(request: bytes) -> ec.EllipticCurvePublicKey:
    if len(request) > MAX_CERTIFICATE:
        raise _no_request("is larger than any that intelshare makes")
    try:
        parsed = x509.load_der_x509_csr(request)
        key, signed = parsed.public_key(), parsed.is_signature_valid
    except (ValueError, x509.InvalidVersion, UnsupportedAlgorithm):
        raise _no_request("cannot be read") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in CURVES:
        raise _no_request("is for a key of a kind that is not supported: use P-256 or P-384")
    if not signed:
        raise _no_request("is not signed by the key that it names")
    return key


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
    issuer, issuer_key, issuer_id, lifetime = _issuer(authority, at, lifetime)
    builder = (
        _builder(
            x509.Name([]),
            issuer.subject,
            public,
            at=at,
            lifetime=lifetime,
            random=random,
            since=of(issuer.not_valid_before_utc),
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purpose.value), critical=False)
        # Critical because the subject is empty (RFC 5280, 4.2.1.6).
        .add_extension(x509.SubjectAlternativeName(names), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier(issuer_id.digest, None, None), critical=False)
    )
    return _signed(builder, issuer_key)


def _issuer(
    authority: CertifiedKey, at: Instant, lifetime: int
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey, x509.SubjectKeyIdentifier, int]:
    """Return an authority's certificate, key and identifier, and the longest life of a leaf from ``at``."""
    issuer = x509.load_der_x509_certificate(authority.certificate)
    key = serialization.load_pem_private_key(authority.key, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("an authority's key is an elliptic curve key")
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return issuer, key, identifier, min(lifetime, of(issuer.not_valid_after_utc) - at)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    *,
    at: Instant,
    lifetime: int,
    random: Callable[[int], bytes],
    since: Instant = EPOCH,
) -> x509.CertificateBuilder:
    """``since``: the beginning of the issuer, before which nothing that it issues is valid."""
    whole = at - at % SECOND
    start = max(whole - BACKDATE, since) if since <= whole else whole - BACKDATE
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(_serial(random))
        .not_valid_before(to_datetime(Instant(start)))
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


def _new_key(curve: ec.EllipticCurve, random: Callable[[int], bytes]) -> ec.EllipticCurvePrivateKey:
    # 16 bytes more than the order: the bias of the reduction is below 2^-128 (FIPS 186-5, A.2.1).
    wide = int.from_bytes(random(curve.key_size // 8 + 16))
    return ec.derive_private_key(wide % (CURVES[curve.name] - 1) + 1, curve)


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
