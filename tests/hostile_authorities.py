"""Certificates that call themselves an authority's, and that not every library takes for one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from intelshare.crypto.x509 import CertifiedKey
from intelshare.instant import to_datetime
from trust_world import NOW

Part = tuple[int, bytes]


def split(der: bytes) -> list[Part]:
    """The (tag, body) parts of a DER sequence's body."""
    parts, at = [], 0
    while at < len(der):
        tag, length, start = der[at], der[at + 1], at + 2
        if length & 0x80:
            start, length = (
                start + (length & 0x7F),
                int.from_bytes(der[start : start + (length & 0x7F)], "big"),
            )
        parts.append((tag, der[start : start + length]))
        at = start + length
    return parts


def join(tag: int, body: bytes) -> bytes:
    """One DER value."""
    size = len(body)
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag]) + (bytes([size]) if size < 128 else bytes([0x80 | len(octets)]) + octets) + body


def joined(parts: Sequence[Part]) -> bytes:
    """Several of them."""
    return b"".join(join(*part) for part in parts)


def signed_again(authority: CertifiedKey, change: Callable[[list[Part]], None]) -> bytes:
    """The certificate with changed fields, and a signature of its own key that holds."""
    signed, algorithm, _ = split(split(authority.certificate)[0][1])
    fields = split(signed[1])
    change(fields)
    inner = join(0x30, joined(fields))
    key = serialization.load_pem_private_key(authority.key, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    signature = b"\0" + key.sign(inner, ec.ECDSA(hashes.SHA384()))
    return join(0x30, inner + join(*algorithm) + join(0x03, signature))


def _names(body: bytes, tag: int = 0x0C) -> Callable[[list[Part]], None]:
    name = join(0x06, bytes.fromhex("550403")) + join(tag, body)
    whole = (0x30, join(0x31, join(0x30, name)))

    def change(fields: list[Part]) -> None:
        fields[3] = fields[5] = whole

    return change


def _version_1(fields: list[Part]) -> None:
    del fields[0]


def _no_name(fields: list[Part]) -> None:
    fields[3] = fields[5] = (0x30, b"")


def _other_issuer(fields: list[Part]) -> None:
    _names(b"somebody else")(fields)
    fields[5] = (0x30, join(0x31, join(0x30, join(0x06, bytes.fromhex("550403")) + join(0x0C, b"me"))))


def _wrong_algorithm_inside(fields: list[Part]) -> None:
    fields[2] = (0x30, join(0x06, bytes.fromhex("2a8648ce3d040302")))


def _time_with_fractions(fields: list[Part]) -> None:
    start, end = split(fields[4][1])
    fields[4] = (0x30, join(*start) + join(0x18, b"20491231235959.5Z" if end else b""))


def _of_key(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, ca: bool = True) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
    at = to_datetime(NOW)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(at).not_valid_after(at.replace(year=at.year + 1))
    builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    return builder.sign(key, hashes.SHA384()).public_bytes(serialization.Encoding.DER)


def _bad_signature(authority: CertifiedKey) -> bytes:
    return authority.certificate[:-1] + bytes((authority.certificate[-1] ^ 1,))


SPOILT: Final[dict[str, Callable[[CertifiedKey], bytes]]] = {
    "a name that is not UTF-8": lambda good: signed_again(good, _names(b"\xff\xfe")),
    "a name in BMPString of odd length": lambda good: signed_again(good, _names(b"abc", 0x1E)),
    "version 1 with extensions": lambda good: signed_again(good, _version_1),
    "no name": lambda good: signed_again(good, _no_name),
    "another issuer": lambda good: signed_again(good, _other_issuer),
    "two algorithms": lambda good: signed_again(good, _wrong_algorithm_inside),
    "a time with fractions": lambda good: signed_again(good, _time_with_fractions),
    "a signature that does not hold": _bad_signature,
    "bytes after the end": lambda good: good.certificate + b"\0",
    "a curve that nobody uses": lambda _: _of_key(ec.generate_private_key(ec.SECP521R1())),
    "RSA": lambda _: _of_key(rsa.generate_private_key(65537, 2048)),
    "no authority": lambda _: _of_key(ec.generate_private_key(ec.SECP384R1()), ca=False),
}
"""By what is wrong with it: from a good authority, one that must not stand in a directory."""
