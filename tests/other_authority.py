"""A certificate authority as others run one: made by ``cryptography``, with an intermediate for users."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from intelshare.instant import DAY, Instant, to_datetime
from node_world import now


@dataclass(frozen=True)
class Authority:
    """Its certificate and key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)


@dataclass(frozen=True)
class Leaf:
    """What it issued: both as PEM."""

    certificate: bytes
    key: bytes


def authority(name: str, parent: Authority | None = None) -> Authority:
    """Self-signed, or signed by another."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer = parent.certificate.subject if parent else subject
    signer = parent.key if parent else key
    builder = (
        _builder(subject, issuer, key.public_key(), 365 * DAY, now())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )
    return Authority(builder.sign(signer, hashes.SHA256()), key)


def issue(
    by: Authority,
    names: Sequence[x509.GeneralName],
    *,
    common_name: str = "",
    server: bool = False,
    at: Instant | None = None,
    life: int = DAY,
) -> Leaf:
    """A leaf, with what other authorities usually put into one."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else [])
    usages = [ExtendedKeyUsageOID.SERVER_AUTH] * server + [ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = (
        _builder(subject, by.certificate.subject, key.public_key(), life, at or now())
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=not common_name)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(by.key.public_key()), critical=False
        )
    )
    if server:
        # Of nodes it is asked for; common templates for users have none.
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    pem = builder.sign(by.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Leaf(pem, private)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, life: int, at: Instant
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(to_datetime(at) - datetime.timedelta(minutes=1))
        .not_valid_after(to_datetime(Instant(at + life)))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
