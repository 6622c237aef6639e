"""Suites: which KEM and which signatures. A new suite is one row of ``SUITES``.

A suite is a value, so that the simulator can pass a table of its own; nothing registers globally. The
content of a bulletin does not depend on it (docs/format.md, "Suites").

Randomness: all key generation takes its bytes as an argument. Two operations draw their own inside the
library and cannot be made to repeat: the ML-DSA signature (hedged, FIPS 204) and HPKE's encapsulation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import Final, Protocol

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric import mldsa, mlkem, x25519
from nacl import bindings as sodium
from nacl.exceptions import CryptoError as SodiumError

from intelshare.crypto.records import KeyRecord, KeyUse
from intelshare.errors import CryptoError
from intelshare.ids import KeyId

Random = Callable[[int], bytes]
"""n -> n random bytes."""


class Context(Enum):
    """What a signature is for: the context string of ML-DSA."""

    BATCH = b"intelshare/v1/batch"
    HELLO = b"intelshare/v1/hello"
    ROOT = b"intelshare/v1/root"
    DIRECTORY = b"intelshare/v1/directory"


class SigningKey(Protocol):
    """A private key that signs, wherever it lives."""

    def sign(self, message: bytes, context: Context) -> bytes:
        """A signature of exactly the suite's length."""


class SealingKey(Protocol):
    """A private KEM key, wherever it lives."""

    def open(self, info: bytes, sealed: bytes) -> bytes:
        """What was sealed to it under this ``info``. Raises CryptoError OPEN_FAILED."""


@dataclass(frozen=True, slots=True)
class Suite:
    """One choice of KEM and signatures, with its lengths in bytes.

    Secrets are seeds: what the vault keeps, and all that it keeps. ``verify`` raises CryptoError
    SIGNATURE_INVALID unless every half of the signature holds; ``seal`` raises
    KEM_KEY_UNKNOWN for a public key that is none of this suite, the loaders KEYSTORE_CORRUPT for a secret
    of a wrong length.
    """

    number: int
    name: str
    signing_public: int
    signing_secret: int
    signature: int
    sealing_public: int
    sealing_secret: int
    encapsulation: int
    """What sealing adds: the encapsulated key and the tag."""
    signing_split: int
    """Where the second component key starts in a signing public key."""
    sealing_split: int
    """The same in a sealing public key."""
    public_of: Callable[[KeyUse, bytes], bytes]
    """(use, secret) -> public key string."""
    load_signing: Callable[[bytes], SigningKey]
    load_sealing: Callable[[bytes], SealingKey]
    verify: Callable[[bytes, Context, bytes, bytes], None]
    """(public, context, message, signature)."""
    seal: Callable[[bytes, bytes, bytes], bytes]
    """(public, info, plaintext) -> enc ‖ ct: HPKE base mode, single shot, empty AAD."""

    def public_length(self, use: KeyUse) -> int:
        """How long the public key string of this use is."""
        return self.sealing_public if use is KeyUse.SEALING else self.signing_public

    def secret_length(self, use: KeyUse) -> int:
        """How many secret bytes a key of this use is made from."""
        return self.sealing_secret if use is KeyUse.SEALING else self.signing_secret

    def components(self, use: KeyUse, public: bytes) -> tuple[bytes, bytes]:
        """The two component keys of a public key string: thresholds count these, not records."""
        cut = self.sealing_split if use is KeyUse.SEALING else self.signing_split
        return public[:cut], public[cut:]

    def generate(self, use: KeyUse, random: Random) -> bytes:
        """A new secret of this use: seeds only, all of them from ``random``."""
        return random(self.secret_length(use))


Suites = Mapping[int, Suite]
"""Number -> suite: the table that verification is given."""


@dataclass(frozen=True, slots=True)
class Signer:
    """A signing key together with what its signatures will be looked up by."""

    suite: Suite
    record: KeyRecord
    key_id: KeyId
    key: SigningKey = field(repr=False)

    def sign(self, message: bytes, context: Context) -> bytes:
        """A signature over ``message``."""
        return self.key.sign(message, context)


def load_signer(suite: Suite, record: KeyRecord, key_id: KeyId, secret: bytes) -> Signer:
    """The signer of a secret that the vault holds. Raises CryptoError KEYSTORE_CORRUPT."""
    return Signer(suite, record, key_id, suite.load_signing(secret))


def verify_signature(suite: Suite, public: bytes, context: Context, message: bytes, signature: bytes) -> None:
    """Return if every half of the signature holds. Raises CryptoError SIGNATURE_INVALID."""
    if len(signature) != suite.signature:
        raise _invalid(f"it has {len(signature)} bytes instead of {suite.signature}")
    suite.verify(public, context, message, signature)


def _invalid(why: str) -> CryptoError:
    return CryptoError(
        "SIGNATURE_INVALID",
        f"the signature does not hold: {why}",
        hint="what was signed was changed on the way, or was never signed by this key",
    )


def open_failed(what: str) -> CryptoError:
    """OPEN_FAILED with one wording for all: nothing tells which byte was wrong."""
    return CryptoError("OPEN_FAILED", f"{what} does not open under its key")


def _need(secret: bytes, length: int) -> None:
    if len(secret) != length:
        raise CryptoError(
            "KEYSTORE_CORRUPT",
            f"a secret of this use has {length} bytes, not {len(secret)}",
            hint="restore the vault from its backup",
        )


# --- Suite 1: HPKE MLKEM768-X25519 / HKDF-SHA-256 / AES-256-GCM; Ed25519 and ML-DSA-65 ---------------

_ED_PUBLIC: Final = 32
_ED_SIGNATURE: Final = 64
_SEED: Final = 32
_MLKEM_PUBLIC: Final = 1184
_MLKEM_SEED: Final = 64
_HPKE_1: Final = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


@dataclass(frozen=True, slots=True)
class _Signing1:
    ed_secret: bytes = field(repr=False)
    ml_secret: mldsa.MLDSA65PrivateKey = field(repr=False)

    def sign(self, message: bytes, context: Context) -> bytes:
        ed = sodium.crypto_sign(message, self.ed_secret)[:_ED_SIGNATURE]
        return ed + self.ml_secret.sign(message, context.value)


@dataclass(frozen=True, slots=True)
class _Sealing1:
    secret: hpke.MLKEM768X25519PrivateKey = field(repr=False)

    def open(self, info: bytes, sealed: bytes) -> bytes:
        try:
            return _HPKE_1.decrypt(sealed, self.secret, info)
        except (InvalidTag, ValueError):
            raise open_failed("the sealed key") from None


def _load_signing_1(secret: bytes) -> SigningKey:
    _need(secret, 2 * _SEED)
    _, ed_secret = sodium.crypto_sign_seed_keypair(secret[:_SEED])
    return _Signing1(ed_secret, mldsa.MLDSA65PrivateKey.from_seed_bytes(secret[_SEED:]))


def _sealing_private_1(secret: bytes) -> tuple[mlkem.MLKEM768PrivateKey, x25519.X25519PrivateKey]:
    _need(secret, _MLKEM_SEED + 32)
    return (
        mlkem.MLKEM768PrivateKey.from_seed_bytes(secret[:_MLKEM_SEED]),
        x25519.X25519PrivateKey.from_private_bytes(secret[_MLKEM_SEED:]),
    )


def _load_sealing_1(secret: bytes) -> SealingKey:
    return _Sealing1(hpke.MLKEM768X25519PrivateKey(*_sealing_private_1(secret)))


def _public_of_1(use: KeyUse, secret: bytes) -> bytes:
    if use is KeyUse.SEALING:
        kem, curve = _sealing_private_1(secret)
        return kem.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()
    _need(secret, 2 * _SEED)
    ed_public, _ = sodium.crypto_sign_seed_keypair(secret[:_SEED])
    return ed_public + mldsa.MLDSA65PrivateKey.from_seed_bytes(secret[_SEED:]).public_key().public_bytes_raw()


@lru_cache(maxsize=1024)
def _mldsa65_public(raw: bytes) -> mldsa.MLDSA65PublicKey:
    """Loading costs up to 0.45 ms, three times a verification: once per key."""
    return mldsa.MLDSA65PublicKey.from_public_bytes(raw)


@lru_cache(maxsize=1024)
def _sealing_public_1(raw: bytes) -> hpke.MLKEM768X25519PublicKey:
    return hpke.MLKEM768X25519PublicKey(
        mlkem.MLKEM768PublicKey.from_public_bytes(raw[:_MLKEM_PUBLIC]),
        x25519.X25519PublicKey.from_public_bytes(raw[_MLKEM_PUBLIC:]),
    )


def _verify_1(public: bytes, context: Context, message: bytes, signature: bytes) -> None:
    # libsodium, because OpenSSL's Ed25519 accepts forgeries under small-order keys.
    try:
        sodium.crypto_sign_open(signature[:_ED_SIGNATURE] + message, public[:_ED_PUBLIC])
    except (SodiumError, ValueError):
        raise _invalid("its Ed25519 half is wrong") from None
    try:
        _mldsa65_public(public[_ED_PUBLIC:]).verify(signature[_ED_SIGNATURE:], message, context.value)
    except (InvalidSignature, ValueError):
        raise _invalid("its ML-DSA-65 half is wrong") from None


def _seal_1(public: bytes, info: bytes, plaintext: bytes) -> bytes:
    try:
        return _HPKE_1.encrypt(plaintext, _sealing_public_1(public), info)
    except ValueError:
        raise CryptoError(
            "KEM_KEY_UNKNOWN",
            "the recipient's sealing key is not a key of suite 1",
            hint="its directory names a damaged key: ask the member for a new one",
        ) from None


SUITE_1: Final = Suite(
    number=1,
    name="MLKEM768-X25519, Ed25519 + ML-DSA-65",
    signing_public=_ED_PUBLIC + 1952,
    signing_secret=2 * _SEED,
    signature=_ED_SIGNATURE + 3309,
    sealing_public=_MLKEM_PUBLIC + 32,
    sealing_secret=_MLKEM_SEED + 32,
    encapsulation=1088 + 32 + 16,
    signing_split=_ED_PUBLIC,
    sealing_split=_MLKEM_PUBLIC,
    public_of=_public_of_1,
    load_signing=_load_signing_1,
    load_sealing=_load_sealing_1,
    verify=_verify_1,
    seal=_seal_1,
)

SUITES: Final[Suites] = {1: SUITE_1}
"""The suites of this version. Verification is always *given* a table; this is the real one."""
