"""The algorithms that suites are made of: signature algorithms and KEMs. No suite is named here.

Signatures and keys are byte strings of one length and one encoding: ECDSA as ``r ‖ s`` with the smaller of
the two values of ``s`` that would hold, points uncompressed (SEC 1). HPKE draws its own randomness in both
KEMs; among the signatures only ML-DSA does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, hpke
from cryptography.hazmat.primitives.asymmetric import ec, mldsa, mlkem, x25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from nacl import bindings as sodium
from nacl.exceptions import CryptoError as SodiumError

_SEED: Final = 32
_MLKEM_SEED: Final = 64


@dataclass(frozen=True, slots=True)
class SignatureHalf:
    """One signature algorithm, with its lengths in bytes."""

    name: str
    public: int
    secret: int
    signature: int
    public_of: Callable[[bytes], bytes]
    """secret -> public key."""
    load: Callable[[bytes], Callable[[bytes, bytes], bytes]]
    """secret -> ((message, context) -> signature)."""
    verify: Callable[[bytes, bytes, bytes, bytes], None]
    """(public, message, context, signature): raises InvalidSignature or ValueError unless the signature is
    valid.
    """


@dataclass(frozen=True, slots=True)
class Kem:
    """One hybrid KEM in HPKE (base mode, single shot, empty AAD), with its lengths in bytes."""

    name: str
    public: int
    split: int
    """Where the curve's part starts in a public key: ML-KEM public ‖ curve public."""
    secret: int
    encapsulation: int
    """The length of ``enc``, without the tag."""
    public_of: Callable[[bytes], bytes]
    load: Callable[[bytes], Callable[[bytes, bytes], bytes]]
    """secret -> ((info, sealed) -> plaintext), which raises InvalidTag or ValueError."""
    seal: Callable[[bytes, bytes, bytes], bytes]
    """(public, info, plaintext) -> enc ‖ ct. Raises ValueError for bytes that are not a public key."""


# --- Ed25519: libsodium, because OpenSSL's accepts forgeries under small-order keys -------------------


def _ed25519_public(secret: bytes) -> bytes:
    return sodium.crypto_sign_seed_keypair(secret)[0]


def _ed25519_load(secret: bytes) -> Callable[[bytes, bytes], bytes]:
    _, expanded = sodium.crypto_sign_seed_keypair(secret)
    return lambda message, _: sodium.crypto_sign(message, expanded)[:64]


def _ed25519_verify(public: bytes, message: bytes, context: bytes, signature: bytes) -> None:  # noqa: ARG001
    try:
        sodium.crypto_sign_open(signature + message, public)
    except SodiumError:
        raise InvalidSignature from None


ED25519: Final = SignatureHalf("Ed25519", 32, _SEED, 64, _ed25519_public, _ed25519_load, _ed25519_verify)


# --- ECDSA on P-384 with SHA-384, deterministic (RFC 6979) -------------------------------------------

_P384: Final = ec.SECP384R1()
_P384_ORDER: Final = int(
    "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973", 16
)
_P384_SECRET: Final = 48 + 8
"""The bytes from which a scalar is made: 64 bits more than the scalar has (FIPS 186-5, A.2.1)."""
_P384_POINT: Final = 97
_P384_FIELD: Final = 48


def _p384_private(secret: bytes) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(secret) % (_P384_ORDER - 1) + 1, _P384)


def _p384_point(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


@lru_cache(maxsize=1024)
def _p384_public(raw: bytes) -> ec.EllipticCurvePublicKey:
    if len(raw) != _P384_POINT:
        raise ValueError("not an uncompressed point")
    return ec.EllipticCurvePublicKey.from_encoded_point(_P384, raw)


def _ecdsa_load(secret: bytes) -> Callable[[bytes, bytes], bytes]:
    key = _p384_private(secret)
    algorithm = ec.ECDSA(hashes.SHA384(), deterministic_signing=True)

    def sign(message: bytes, context: bytes) -> bytes:  # noqa: ARG001
        r, s = decode_dss_signature(key.sign(message, algorithm))
        return p384_signature(r.to_bytes(_P384_FIELD) + s.to_bytes(_P384_FIELD))

    return sign


def p384_signature(made: bytes) -> bytes:
    """Return r ‖ s with the smaller of the two values that s may have: the one encoding that verifies."""
    s = int.from_bytes(made[_P384_FIELD:])
    return made[:_P384_FIELD] + min(s, _P384_ORDER - s).to_bytes(_P384_FIELD)


def _ecdsa_verify(public: bytes, message: bytes, context: bytes, signature: bytes) -> None:  # noqa: ARG001
    r, s = int.from_bytes(signature[:_P384_FIELD]), int.from_bytes(signature[_P384_FIELD:])
    if s > _P384_ORDER // 2:
        raise InvalidSignature  # the other of two valid values: a signature has one encoding
    _p384_public(public).verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA384()))


ECDSA_P384: Final = SignatureHalf(
    "ECDSA P-384",
    _P384_POINT,
    _P384_SECRET,
    2 * _P384_FIELD,
    lambda secret: _p384_point(_p384_private(secret)),
    _ecdsa_load,
    _ecdsa_verify,
)


# --- ML-DSA ------------------------------------------------------------------------------------------

_MlDsaPrivate = type[mldsa.MLDSA65PrivateKey] | type[mldsa.MLDSA87PrivateKey]
_MlDsaPublic = type[mldsa.MLDSA65PublicKey] | type[mldsa.MLDSA87PublicKey]


def _ml_dsa(
    name: str, private: _MlDsaPrivate, public: _MlDsaPublic, public_length: int, signature: int
) -> SignatureHalf:
    # Loading a public key costs up to 0.45 ms, three times a verification, so it is done once per key.
    @lru_cache(maxsize=1024)
    def load_public(raw: bytes) -> mldsa.MLDSA65PublicKey | mldsa.MLDSA87PublicKey:
        return public.from_public_bytes(raw)

    def load(secret: bytes) -> Callable[[bytes, bytes], bytes]:
        return private.from_seed_bytes(secret).sign

    def verify(public: bytes, message: bytes, context: bytes, signature: bytes) -> None:
        load_public(public).verify(signature, message, context)

    def public_of(secret: bytes) -> bytes:
        return private.from_seed_bytes(secret).public_key().public_bytes_raw()

    return SignatureHalf(name, public_length, _SEED, signature, public_of, load, verify)


ML_DSA_65: Final = _ml_dsa("ML-DSA-65", mldsa.MLDSA65PrivateKey, mldsa.MLDSA65PublicKey, 1952, 3309)
ML_DSA_87: Final = _ml_dsa("ML-DSA-87", mldsa.MLDSA87PrivateKey, mldsa.MLDSA87PublicKey, 2592, 4627)


# --- ML-KEM with a curve, in HPKE --------------------------------------------------------------------


def _kem(
    suite: hpke.Suite,
    name: str,
    lengths: tuple[int, int, int, int],
    private: Callable[[bytes], hpke.MLKEM768X25519PrivateKey | hpke.MLKEM1024P384PrivateKey],
    public_of: Callable[[bytes], bytes],
    read: Callable[[bytes], hpke.MLKEM768X25519PublicKey | hpke.MLKEM1024P384PublicKey],
) -> Kem:
    split, curve, secret_length, encapsulation = lengths
    load_public = lru_cache(maxsize=1024)(read)

    def load(secret: bytes) -> Callable[[bytes, bytes], bytes]:
        key = private(secret)
        return lambda info, sealed: suite.decrypt(sealed, key, info)

    def seal(public: bytes, info: bytes, plaintext: bytes) -> bytes:
        return suite.encrypt(plaintext, load_public(public), info)

    return Kem(name, split + curve, split, secret_length, encapsulation, public_of, load, seal)


_X_PUBLIC: Final = 32
_768_PUBLIC: Final = 1184
_1024_PUBLIC: Final = 1568


def _halves_768(secret: bytes) -> tuple[mlkem.MLKEM768PrivateKey, x25519.X25519PrivateKey]:
    return (
        mlkem.MLKEM768PrivateKey.from_seed_bytes(secret[:_MLKEM_SEED]),
        x25519.X25519PrivateKey.from_private_bytes(secret[_MLKEM_SEED:]),
    )


def _public_768(secret: bytes) -> bytes:
    kem, curve = _halves_768(secret)
    return kem.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()


def _read_768(raw: bytes) -> hpke.MLKEM768X25519PublicKey:
    return hpke.MLKEM768X25519PublicKey(
        mlkem.MLKEM768PublicKey.from_public_bytes(raw[:_768_PUBLIC]),
        x25519.X25519PublicKey.from_public_bytes(raw[_768_PUBLIC:]),
    )


def _halves_1024(secret: bytes) -> tuple[mlkem.MLKEM1024PrivateKey, ec.EllipticCurvePrivateKey]:
    return (
        mlkem.MLKEM1024PrivateKey.from_seed_bytes(secret[:_MLKEM_SEED]),
        _p384_private(secret[_MLKEM_SEED:]),
    )


def _public_1024(secret: bytes) -> bytes:
    kem, curve = _halves_1024(secret)
    return kem.public_key().public_bytes_raw() + _p384_point(curve)


def _read_1024(raw: bytes) -> hpke.MLKEM1024P384PublicKey:
    return hpke.MLKEM1024P384PublicKey(
        mlkem.MLKEM1024PublicKey.from_public_bytes(raw[:_1024_PUBLIC]), _p384_public(raw[_1024_PUBLIC:])
    )


MLKEM768_X25519: Final = _kem(
    hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM),
    "MLKEM768-X25519",
    (_768_PUBLIC, _X_PUBLIC, _MLKEM_SEED + 32, 1088 + _X_PUBLIC),
    lambda secret: hpke.MLKEM768X25519PrivateKey(*_halves_768(secret)),
    _public_768,
    _read_768,
)
MLKEM1024_P384: Final = _kem(
    hpke.Suite(hpke.KEM.MLKEM1024_P384, hpke.KDF.HKDF_SHA384, hpke.AEAD.AES_256_GCM),
    "MLKEM1024-P384",
    (_1024_PUBLIC, _P384_POINT, _MLKEM_SEED + _P384_SECRET, 1568 + _P384_POINT),
    lambda secret: hpke.MLKEM1024P384PrivateKey(*_halves_1024(secret)),
    _public_1024,
    _read_1024,
)
