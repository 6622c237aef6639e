"""Suites: combinations of a KEM and signatures. A new suite is one row of ``SUITES``.

A suite is a value, so that the simulator can pass its own table; nothing registers globally. The content of a
bulletin does not depend on the suite (docs/format.md, "Suites").

Randomness: all key generation takes its bytes as an argument. Two operations draw their own inside the
library and are not reproducible: the ML-DSA signature (hedged, FIPS 204) and HPKE's encapsulation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Protocol

from cryptography.exceptions import InvalidSignature, InvalidTag

from intelshare.crypto.components import (
    ECDSA_P384,
    ED25519,
    ML_DSA_65,
    ML_DSA_87,
    MLKEM768_X25519,
    MLKEM1024_P384,
    Kem,
    SignatureHalf,
    p384_signature,
)
from intelshare.crypto.records import KeyRecord, KeyUse
from intelshare.errors import CryptoError
from intelshare.ids import KeyId

Random = Callable[[int], bytes]
"""n -> n random bytes."""


class Context(Enum):
    """The purpose of a signature: the context string of ML-DSA."""

    BATCH = b"intelshare/v1/batch"
    HELLO = b"intelshare/v1/hello"
    ROOT = b"intelshare/v1/root"
    DIRECTORY = b"intelshare/v1/directory"
    BUNDLE = b"intelshare/v1/bundle"


class SigningKey(Protocol):
    """A private key that signs, wherever it lives."""

    def sign(self, message: bytes, context: Context) -> bytes:
        """Return a signature of exactly the suite's length."""


class SealingKey(Protocol):
    """A private KEM key, wherever it lives."""

    def open(self, info: bytes, sealed: bytes) -> bytes:
        """Return the plaintext that was sealed to this key under this ``info``. Raises CryptoError
        OPEN_FAILED.
        """


@dataclass(frozen=True, slots=True)
class SecondHalf:
    """The second half of a suite's signatures, for a key of which the first half is held elsewhere."""

    secret: int
    """The bytes of its secret."""
    public_of: Callable[[bytes], bytes]
    load: Callable[[Callable[[bytes], bytes], bytes], SigningKey]
    """(what makes the first half, the second half's secret) -> a key that makes whole signatures."""


@dataclass(frozen=True, slots=True)
class Suite:
    """One choice of KEM and signatures, with its lengths in bytes.

    Secrets are seeds, and the vault keeps nothing else. ``verify`` raises CryptoError SIGNATURE_INVALID
    unless every half of the signature is valid; ``seal`` raises KEM_KEY_UNKNOWN for a public key that is not
    of this suite, and the loaders raise KEYSTORE_CORRUPT for a secret of a wrong length.
    """

    number: int
    name: str
    signing_public: int
    signing_secret: int
    signature: int
    sealing_public: int
    sealing_secret: int
    encapsulation: int
    """The bytes that sealing adds: the encapsulated key and the tag."""
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
    second: SecondHalf | None = None
    """Makes the second half of a signature where the key of the first is elsewhere, in a token."""

    def public_length(self, use: KeyUse) -> int:
        """Return the length of the public key string of this use."""
        lengths = {KeyUse.SEALING: self.sealing_public, KeyUse.NOTE: NOTE_LENGTH}
        return lengths.get(use, self.signing_public)

    def secret_length(self, use: KeyUse) -> int:
        """Return the number of secret bytes from which a key of this use is made."""
        lengths = {KeyUse.SEALING: self.sealing_secret, KeyUse.NOTE: NOTE_LENGTH}
        return lengths.get(use, self.signing_secret)

    def components(self, use: KeyUse, public: bytes) -> tuple[bytes, bytes]:
        """Return the two component keys of a public key string: thresholds count these, not records."""
        splits = {KeyUse.SEALING: self.sealing_split, KeyUse.NOTE: ED25519.public}
        cut = splits.get(use, self.signing_split)
        return public[:cut], public[cut:]

    def generate(self, use: KeyUse, random: Random) -> bytes:
        """Make a new secret of this use: seeds only, all of them from ``random``."""
        return random(self.secret_length(use))


NOTE_LENGTH: Final = 2 * ED25519.public
"""The length of both the public string and the secret of a note key: two Ed25519 keys, in every suite."""

Suites = Mapping[int, Suite]
"""The table of suites, by number, that verification is given."""


@dataclass(frozen=True, slots=True)
class Signer:
    """A signing key, with the record and id by which its signatures will be looked up."""

    suite: Suite
    record: KeyRecord
    key_id: KeyId
    key: SigningKey = field(repr=False)

    def sign(self, message: bytes, context: Context) -> bytes:
        """Sign ``message``."""
        return self.key.sign(message, context)


def load_signer(suite: Suite, record: KeyRecord, key_id: KeyId, secret: bytes) -> Signer:
    """Load the signer of a secret that the vault holds. Raises CryptoError KEYSTORE_CORRUPT."""
    return Signer(suite, record, key_id, suite.load_signing(secret))


def p384_half(made: bytes) -> bytes:
    """Return r ‖ s of P-384, as a token made it, in the one encoding that verifies."""
    return p384_signature(made)


def verify_signature(suite: Suite, public: bytes, context: Context, message: bytes, signature: bytes) -> None:
    """Check that every half of the signature is valid. Raises CryptoError SIGNATURE_INVALID."""
    if len(signature) != suite.signature:
        raise _invalid(f"it has {len(signature)} bytes instead of {suite.signature}")
    suite.verify(public, context, message, signature)


def _invalid(why: str) -> CryptoError:
    return CryptoError(
        "SIGNATURE_INVALID",
        f"the signature is not valid: {why}",
        hint="the signed data was changed on the way, or was never signed by this key",
    )


def open_failed(what: str) -> CryptoError:
    """Return OPEN_FAILED with the one wording used for it, which does not reveal which byte was wrong."""
    return CryptoError("OPEN_FAILED", f"{what} does not open under its key")


def _need(secret: bytes, length: int) -> None:
    if len(secret) != length:
        raise CryptoError(
            "KEYSTORE_CORRUPT",
            f"a secret of this use has {length} bytes, not {len(secret)}",
            hint="restore the vault from its backup",
        )


# --- Note keys: Ed25519 alone, because C2SP says so; they vouch for nothing but notes -----------------


@dataclass(frozen=True, slots=True)
class NoteKey:
    """The two keys with which a node signs notes for the tools of other systems (``audit.notes``)."""

    record: KeyRecord
    sign: Callable[[bytes], bytes] = field(repr=False)
    """Sign as the owner of a log."""
    cosign: Callable[[bytes], bytes] = field(repr=False)
    """Sign as a witness of other nodes' logs."""


def note_public(secret: bytes) -> bytes:
    """Return the public string of a note key: the log's key ‖ the witness's. Raises CryptoError
    KEYSTORE_CORRUPT.
    """
    return b"".join(ED25519.public_of(part) for part in _note_halves(secret))


def load_note_key(record: KeyRecord, secret: bytes) -> NoteKey:
    """Load a note key that the vault holds. Raises CryptoError KEYSTORE_CORRUPT."""
    log, witness = [ED25519.load(part) for part in _note_halves(secret)]
    return NoteKey(record, lambda message: log(message, b""), lambda message: witness(message, b""))


def verify_note(public: bytes, message: bytes, signature: bytes) -> None:
    """Check that this Ed25519 signature is valid. Raises CryptoError SIGNATURE_INVALID."""
    try:
        if len(signature) != ED25519.signature:
            raise ValueError("another length")
        ED25519.verify(public, message, b"", signature)
    except (InvalidSignature, ValueError):
        raise _invalid("the Ed25519 signature of a note is wrong") from None


def _note_halves(secret: bytes) -> tuple[bytes, bytes]:
    _need(secret, NOTE_LENGTH)
    return secret[: ED25519.secret], secret[ED25519.secret :]


# --- The suites: a row each ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Signing:
    halves: tuple[Callable[[bytes, bytes], bytes], ...] = field(repr=False)

    def sign(self, message: bytes, context: Context) -> bytes:
        return b"".join([half(message, context.value) for half in self.halves])


@dataclass(frozen=True, slots=True)
class _Sealing:
    decrypt: Callable[[bytes, bytes], bytes] = field(repr=False)

    def open(self, info: bytes, sealed: bytes) -> bytes:
        try:
            return self.decrypt(info, sealed)
        except (InvalidTag, ValueError):
            raise open_failed("the sealed key") from None


def _suite(number: int, kem: Kem, first: SignatureHalf, second: SignatureHalf) -> Suite:
    """Make a suite. Both halves of a signature cover the same message; the second also binds the context."""

    def seeds(secret: bytes) -> tuple[bytes, bytes]:
        _need(secret, first.secret + second.secret)
        return secret[: first.secret], secret[first.secret :]

    def public_of(use: KeyUse, secret: bytes) -> bytes:
        if use is KeyUse.SEALING:
            _need(secret, kem.secret)
            return kem.public_of(secret)
        if use is KeyUse.NOTE:
            return note_public(secret)
        one, other = seeds(secret)
        return first.public_of(one) + second.public_of(other)

    def load_signing(secret: bytes) -> SigningKey:
        one, other = seeds(secret)
        return _Signing((first.load(one), second.load(other)))

    def load_beside(sign: Callable[[bytes], bytes], secret: bytes) -> SigningKey:
        _need(secret, second.secret)
        return _Signing((lambda message, _: sign(message), second.load(secret)))

    def load_sealing(secret: bytes) -> SealingKey:
        _need(secret, kem.secret)
        return _Sealing(kem.load(secret))

    def verify(public: bytes, context: Context, message: bytes, signature: bytes) -> None:
        for half, key, signed in (
            (first, public[: first.public], signature[: first.signature]),
            (second, public[first.public :], signature[first.signature :]),
        ):
            try:
                half.verify(key, message, context.value, signed)
            except (InvalidSignature, ValueError):
                raise _invalid(f"its {half.name} half is wrong") from None

    def seal(public: bytes, info: bytes, plaintext: bytes) -> bytes:
        try:
            return kem.seal(public, info, plaintext)
        except ValueError:
            raise CryptoError(
                "KEM_KEY_UNKNOWN",
                f"the recipient's sealing key is not a key of suite {number}",
                hint="its directory names a damaged key: ask the member for a new one",
            ) from None

    return Suite(
        number=number,
        name=f"{kem.name}, {first.name} + {second.name}",
        signing_public=first.public + second.public,
        signing_secret=first.secret + second.secret,
        signature=first.signature + second.signature,
        sealing_public=kem.public,
        sealing_secret=kem.secret,
        encapsulation=kem.encapsulation + _TAG,
        signing_split=first.public,
        sealing_split=kem.split,
        public_of=public_of,
        load_signing=load_signing,
        load_sealing=load_sealing,
        verify=verify,
        seal=seal,
        second=SecondHalf(second.secret, second.public_of, load_beside),
    )


_TAG: Final = 16
"""The tag length of HPKE's AES-256-GCM."""

SUITE_1: Final = _suite(1, MLKEM768_X25519, ED25519, ML_DSA_65)
SUITE_2: Final = _suite(2, MLKEM1024_P384, ECDSA_P384, ML_DSA_87)

SUITES: Final[Suites] = {suite.number: suite for suite in (SUITE_1, SUITE_2)}
"""The suites of this version. Verification is always *given* a table; this is the real one."""
