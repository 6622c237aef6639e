"""A suite for the simulator: real lengths, no security, and the same bytes for the same seed.

Real suites draw randomness inside the library, so that a seed would not repeat, and they cost a millisecond
per batch. Here a signature is a digest of public key, context and message in both halves, and sealing is a
mask derived from the public key: anybody could forge both. The suite is in no global table:
``sim.world`` hands it to the nodes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from hmac import compare_digest
from typing import Final

from intelshare.crypto.records import KeyUse
from intelshare.crypto.suites import SUITE_1, Context, SealingKey, SigningKey, Suite, open_failed
from intelshare.errors import CryptoError


def _digest(*parts: bytes) -> bytes:
    hashed = hashlib.sha256()
    for part in parts:
        hashed.update(len(part).to_bytes(8, "big"))
        hashed.update(part)
    return hashed.digest()


def _stretch(seed: bytes, length: int) -> bytes:
    return (seed * (length // len(seed) + 1))[:length]


def _public_of(use: KeyUse, secret: bytes) -> bytes:
    return hashlib.shake_256(_digest(b"public", secret)).digest(SUITE_1.public_length(use))


def _signature(public: bytes, context: Context, message: bytes) -> bytes:
    return _stretch(_digest(b"sign", public, context.value, message), SUITE_1.signature)


@dataclass(frozen=True, slots=True)
class _Signing:
    public: bytes

    def sign(self, message: bytes, context: Context) -> bytes:
        return _signature(self.public, context, message)


@dataclass(frozen=True, slots=True)
class _Sealing:
    public: bytes

    def open(self, info: bytes, sealed: bytes) -> bytes:
        split = SUITE_1.encapsulation
        plaintext = _mask(self.public, info, sealed[split:])
        if not compare_digest(_tag(self.public, info, plaintext), sealed[:split]):
            raise open_failed("the sealed key")
        return plaintext


def _mask(public: bytes, info: bytes, data: bytes) -> bytes:
    stream = hashlib.shake_256(_digest(b"mask", public, info)).digest(len(data))
    return (int.from_bytes(data, "big") ^ int.from_bytes(stream, "big")).to_bytes(len(data), "big")


def _tag(public: bytes, info: bytes, plaintext: bytes) -> bytes:
    return _stretch(_digest(b"tag", public, info, plaintext), SUITE_1.encapsulation)


def _seal(public: bytes, info: bytes, plaintext: bytes) -> bytes:
    return _tag(public, info, plaintext) + _mask(public, info, plaintext)


def _load_signing(secret: bytes) -> SigningKey:
    return _Signing(_public_of(KeyUse.SIGNING, secret))


def _load_sealing(secret: bytes) -> SealingKey:
    return _Sealing(_public_of(KeyUse.SEALING, secret))


def _verify(public: bytes, context: Context, message: bytes, signature: bytes) -> None:
    if not compare_digest(signature, _signature(public, context, message)):
        raise CryptoError("SIGNATURE_INVALID", "the stand-in signature is not valid")


FAKE_SUITE: Final = Suite(
    number=SUITE_1.number,
    name="stand-in for simulation",
    signing_public=SUITE_1.signing_public,
    signing_secret=SUITE_1.signing_secret,
    signature=SUITE_1.signature,
    sealing_public=SUITE_1.sealing_public,
    sealing_secret=SUITE_1.sealing_secret,
    encapsulation=SUITE_1.encapsulation,
    signing_split=SUITE_1.signing_split,
    sealing_split=SUITE_1.sealing_split,
    public_of=_public_of,
    load_signing=_load_signing,
    load_sealing=_load_sealing,
    verify=_verify,
    seal=_seal,
)
