"""What a malicious originator, or somebody on the way, can do to a release: for tests of attacks.md."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import strategies as st

from envelope_world import (
    USA,
    Delivery,
    World,
    text_portion,
)
from intelshare.crypto.aead import seal_once
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.pae import Domain, pae, sha256
from intelshare.crypto.records import (
    Batch,
    Claims,
    Manifest,
    Portion,
    Release,
)
from intelshare.envelope import EncryptedBulletin, Payload, manifest_digest
from intelshare.envelope.construct import (
    body_bound,
    body_digest,
    body_key,
    commitment,
    grant_digest,
    grant_key,
    sealed_digest,
)
from intelshare.envelope.padding import pad
from intelshare.envelope.seal import frame_grant
from intelshare.errors import IntelshareError


def code_of(run: Callable[[], object]) -> str:
    with pytest.raises(IntelshareError) as caught:
        run()
    return caught.value.code


def flip(data: bytes, byte: int, bit: int = 0) -> bytes:
    changed = bytearray(data)
    changed[byte] ^= 1 << bit
    return bytes(changed)


def spoil(draw: Callable[[st.SearchStrategy[Any]], Any], data: bytes) -> bytes:
    """The bytes changed at one place, cut short, made longer, or others."""
    how = draw(st.sampled_from(["flip", "cut", "add", "set", "other"]))
    place = draw(st.integers(0, max(0, len(data) - 1)))
    if how == "flip" and data:
        return flip(data, place, draw(st.integers(0, 7)))
    if how == "cut":
        return data[:place]
    if how == "add":
        return data + draw(st.binary(min_size=1, max_size=40))
    if how == "set":
        return data[:place] + draw(st.binary(min_size=1, max_size=4)) + data[place + 4 :]
    return bytes(draw(st.binary(max_size=40)))


def with_batch(delivery: Delivery, **changes: Any) -> Delivery:
    return replace(delivery, batch=encode(Batch, replace(decode(Batch, delivery.batch), **changes)))


def with_statement(delivery: Delivery, **changes: Any) -> Delivery:
    return replace(delivery, statement=replace(delivery.statement, **changes))


def with_payload(delivery: Delivery, **changes: Any) -> Delivery:
    return replace(delivery, payload=replace(delivery.payload, **changes))


def signed_again(
    world: World, delivery: Delivery, payload: Payload | None = None, **changes: Any
) -> Delivery:
    """The originator signs this payload and these fields: ``sealed`` agrees, whatever is inside."""
    payload = payload or delivery.payload
    release = decode(Release, delivery.statement.data)
    sealed = sealed_digest(payload.batch_key, payload.grant, [body_digest(body) for body in payload.bodies])
    signed = world.resign(replace(release, **{"sealed": sealed, **changes}), delivery.statement.nonce)
    return Delivery(signed.batch, signed.statements[0], payload)


class Inside:
    """A bulletin (of two portions), its claims and grant, to be spoilt and then signed as if honest."""

    def __init__(self, world: World, *portions: Portion) -> None:
        self.world = world
        self.bulletin: EncryptedBulletin = world.encrypt(
            *(portions or (text_portion("first"), text_portion("second")))
        )
        self.honest = world.deliver(world.seal(world.clear(self.bulletin)), 0, self.bulletin)
        self.release = decode(Release, self.honest.statement.data)
        self.key = world.opener_keys[world.kem_id].key.open(
            pae(
                Domain.BATCH_KEY,
                b"\x00\x01",
                world.signer.key_id,
                world.signer.record.node.encode(),
                b"USA",
                world.kem_id,
            ),
            self.honest.payload.batch_key,
        )
        self.secrets = b"".join(portion.secret for portion in self.bulletin.portions)
        cleared = world.clear(self.bulletin)
        self.claims = Claims(
            self.bulletin.manifest,
            USA,
            tuple(portion.granted for portion in cleared.portions),
            cleared.banner,
            (),
            (),
            cleared.decision,
            (),
        )

    def grant_key(self, release: Release | None = None) -> bytes:
        release = release or self.release
        stream = (release.origin, release.incarnation, release.recipient)
        return grant_key(self.key, 1, stream, release.sequence, self.honest.statement.nonce)

    def deliver(
        self,
        claims: bytes,
        *,
        secrets: bytes | None = None,
        bodies: Sequence[bytes] | None = None,
        framed: bytes | None = None,
        **release: Any,
    ) -> Delivery:
        secrets = self.secrets if secrets is None else secrets
        framed = frame_grant(claims, secrets) if framed is None else framed
        payload = Payload(
            self.honest.payload.batch_key,
            seal_once(self.grant_key(), framed),
            self.honest.payload.bodies if bodies is None else tuple(bodies),
        )
        return signed_again(
            self.world,
            self.honest,
            payload,
            **{"grant_digest": grant_digest(claims, sha256(secrets)), **release},
        )

    def claimed(self, **changes: Any) -> Delivery:
        return self.deliver(encode(Claims, replace(self.claims, **changes)))

    def body(self, number: int, padded: bytes) -> bytes:
        portion = self.bulletin.portions[number]
        md = self.bulletin.md
        return seal_once(body_key(portion.secret, md, portion.slot), padded, body_bound(md, portion.slot))

    def with_portion(self, padded: bytes, *, committed: bool) -> Delivery:
        """The second portion's padded bytes replaced, in the manifest too if ``committed``."""
        second = self.bulletin.portions[1]
        if not committed:
            bodies = [self.honest.payload.bodies[0], self.body(1, padded)]
            return self.deliver(encode(Claims, self.claims), bodies=bodies)
        manifest = decode(Manifest, self.bulletin.manifest)
        commitments = list(manifest.commitments)
        commitments[second.slot] = commitment(second.secret, manifest.bulletin, second.slot, padded)
        raw = encode(Manifest, replace(manifest, commitments=tuple(commitments)))
        return self.with_manifest(raw, [pad(encode(Portion, text_portion("first")), 256), padded])

    def with_manifest(self, raw: bytes, padded: Sequence[bytes]) -> Delivery:
        self.bulletin = replace(self.bulletin, manifest=raw, md=manifest_digest(raw))
        bodies = [self.body(i, data) for i, data in enumerate(padded)]
        return self.deliver(encode(Claims, replace(self.claims, manifest=raw)), bodies=bodies)


def ciphertext_for_two(key_a: bytes, key_b: bytes, bound: bytes) -> bytes:
    """A GCM ciphertext and tag that are valid under both keys (nonce zero): solve for one block."""

    def block(key: bytes, data: bytes) -> int:
        encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305 - the attack itself
        return int.from_bytes(encryptor.update(data), "big")

    def multiply(x: int, y: int) -> int:
        product = 0
        for i in range(127, -1, -1):
            if y >> i & 1:
                product ^= x
            x = (x >> 1) ^ (0xE1 << 120 if x & 1 else 0)
        return product

    def power(x: int, n: int) -> int:
        result = 1 << 127
        while n:
            if n & 1:
                result = multiply(result, x)
            x, n = multiply(x, x), n >> 1
        return result

    padded = bound + bytes(-len(bound) % 16)
    blocks = [int.from_bytes(padded[i : i + 16], "big") for i in range(0, len(padded), 16)]
    blocks += [int.from_bytes(hashlib.sha256(bytes([i])).digest()[:16], "big") for i in range(15)]
    lengths = len(bound) * 8 << 64 | 16 * 16 * 8
    count = len(blocks) + 2
    total = 0
    h = []
    for key in (key_a, key_b):
        h.append(block(key, bytes(16)))
        total ^= block(key, bytes(15) + b"\x01")
        for i, value in enumerate([*blocks, 0, lengths]):
            total ^= multiply(value, power(h[-1], count - i))
    factor = power(h[0], 2) ^ power(h[1], 2)
    last = multiply(total, power(factor, 2**128 - 2))
    blocks.append(last)
    tag = block(key_a, bytes(15) + b"\x01")
    for i, value in enumerate([*blocks, lengths]):
        tag ^= multiply(value, power(h[0], count - i))
    body = b"".join(value.to_bytes(16, "big") for value in blocks[len(padded) // 16 :])
    return body + tag.to_bytes(16, "big")
