"""Attacks on a release on its way and on its keys (attacks.md rows 1-9, 17, 33, 79, 89-93): exact codes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from attacker import (
    Inside,
    code_of,
    flip,
    signed_again,
    with_batch,
    with_payload,
    with_statement,
)
from envelope_world import (
    DEU,
    FRA,
    ITA,
    LATER,
    NOW,
    USA,
    Delivery,
    Revoked,
    World,
    make_key,
    make_signer,
    make_world,
    stream_of,
    text_portion,
)
from intelshare.crypto.aead import seal_once
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.records import (
    Batch,
    Claims,
    KeyUse,
    Kind,
    Portion,
    Receipt,
    ReceiptStatus,
)
from intelshare.crypto.suites import SUITE_1, Context
from intelshare.envelope import Payload
from intelshare.envelope.construct import (
    body_bound,
    body_key,
)
from intelshare.envelope.open import VerifiedPortion
from intelshare.envelope.padding import pad
from intelshare.ids import Digest, Incarnation, ReleaseNumber
from intelshare.instant import Instant
from intelshare.sim.fake_suite import FAKE_SUITE
from intelshare.statement import Leaf, sign_batch
from intelshare.statement.verify import Verified

ED = 64
"""Length of the Ed25519 half of a signature."""


@pytest.fixture(scope="module")
def real() -> World:
    return make_world(SUITE_1)


@pytest.fixture
def world() -> World:
    """Cheap: the stand-in suite, for attacks that are not on the suite's own primitives."""
    return make_world(FAKE_SUITE)


# --- honest ---


def test_honest_release_opens_whole_and_in_reading_order(real: World) -> None:
    opened = real.receive(real.send("one", "two", "three"))
    assert [p.portion.content for p in opened.portions] == [b"one", b"two", b"three"]


def test_several_releases_of_one_recipient_chain_within_one_batch(world: World) -> None:
    bulletins = [world.encrypt(text_portion(text), seed=text) for text in ("one", "two")]
    batch = world.seal(*(world.clear(bulletin) for bulletin in bulletins))
    assert [item.release.sequence for item in batch.releases] == [1, 2]
    assert batch.releases[1].release.prev == batch.releases[0].leaf
    assert batch.tips[USA].head == batch.releases[1].leaf
    for number, bulletin in enumerate(bulletins):
        world.receive(world.deliver(batch, number, bulletin))


# --- 1-9: batch, proof, keys, suites ---


@pytest.mark.parametrize("cached", [False, True], ids=["root not cached", "genuine root cached"])
@pytest.mark.parametrize("part", ["root", "signed_at", "ed25519", "ml-dsa", "key"])
def test_row_1_bit_flipped_in_the_batch(real: World, part: str, cached: bool) -> None:
    delivery = real.send()
    if cached:
        real.receive(delivery)
    batch = decode(Batch, delivery.batch)
    changed = {
        "root": {"root": flip(batch.root, 0)},
        "signed_at": {"signed_at": batch.signed_at ^ 1},
        "ed25519": {"signature": flip(batch.signature, 5)},
        "ml-dsa": {"signature": flip(batch.signature, ED + 5)},
        "key": {"key": flip(batch.key, 31)},
    }[part]
    expected = "SIGNER_UNKNOWN" if part == "key" else "SIGNATURE_INVALID"
    assert code_of(lambda: real.receive(with_batch(delivery, **changed))) == expected


@pytest.mark.parametrize("part", ["data", "nonce", "position", "siblings"])
def test_row_2_bit_flipped_in_the_statement(world: World, part: str) -> None:
    delivery = world.send()
    told = delivery.statement
    changed = {
        "data": {"data": flip(told.data, len(told.data) - 1)},
        "nonce": {"nonce": flip(told.nonce, 0)},
        "position": {"proof": flip(told.proof, 0, 3)},
        "siblings": {"proof": flip(told.proof, 256)},
    }[part]
    assert code_of(lambda: world.receive(with_statement(delivery, **changed))) == "BATCH_PROOF_INVALID"


PARTS = {
    "enc": lambda p: {"batch_key": flip(p.batch_key, 3)},
    "ct": lambda p: {"batch_key": flip(p.batch_key, len(p.batch_key) - 1)},
    "grant": lambda p: {"grant": flip(p.grant, 100)},
    "body": lambda p: {"bodies": (flip(p.bodies[0], 100), *p.bodies[1:])},
}


@pytest.mark.parametrize("part", PARTS)
def test_row_3_bit_flipped_beside_the_release_then_the_honest_copy(real: World, part: str) -> None:
    delivery = real.send()
    spoilt = with_payload(delivery, **PARTS[part](delivery.payload))
    assert code_of(lambda: real.receive(spoilt)) == "SEALED_HASH_MISMATCH"
    assert real.receive(delivery).portions[0].portion.content == b"hello"


@pytest.mark.parametrize("part", PARTS)
def test_row_4_the_same_flips_signed(real: World, part: str) -> None:
    delivery = real.send()
    payload = replace(delivery.payload, **PARTS[part](delivery.payload))
    assert code_of(lambda: real.receive(signed_again(real, delivery, payload))) == "OPEN_FAILED"


def test_row_5_a_half_of_the_signature_missing_or_of_another_kind(real: World) -> None:
    delivery = real.send()
    signature = decode(Batch, delivery.batch).signature
    other = decode(Batch, real.seal(real.clear(real.encrypt(text_portion("x"))), seed="b").batch).signature
    ed, ml = signature[:ED], signature[ED:]
    for forged in (
        ml,
        ed,
        b"",
        bytes(ED) + ml,
        ed + bytes(len(ml)),
        other[:ED] + ml,
        ed + other[ED:],
        ed + (ed * 52)[: len(ml)],
        ml[:ED] + ml,
        signature + b"\x00",
    ):
        assert code_of(lambda forged=forged: real.receive(with_batch(delivery, signature=forged))) == (  # type: ignore[misc]
            "SIGNATURE_INVALID"
        )


def test_row_6_proof_of_something_else(world: World) -> None:
    bulletins = [world.encrypt(text_portion(text), seed=text) for text in ("one", "two")]
    batch = world.seal(*(world.clear(bulletin) for bulletin in bulletins))
    first = world.deliver(batch, 0, bulletins[0])
    proof = first.statement.proof
    swapped = proof[:1] + proof[33:65] + proof[1:33] + proof[65:]
    elsewhere = world.send().statement.proof
    for forged in (batch.releases[1].statement.proof, elsewhere, swapped):
        spoilt = with_statement(first, proof=forged)
        assert code_of(lambda spoilt=spoilt: world.receive(spoilt)) == "BATCH_PROOF_INVALID"  # type: ignore[misc]


def test_row_7_signing_key_unknown_not_valid_or_revoked(world: World) -> None:
    delivery, key = world.send(), world.signer.key_id

    def with_key(**validity: Instant) -> str:
        world.trust.records = {key: replace(world.signer.record, **validity)}
        return code_of(lambda: world.receive(delivery))

    assert with_key(not_after=NOW) == "SIGNER_NOT_VALID"
    assert with_key(not_before=Instant(NOW + 1)) == "SIGNER_NOT_VALID"
    world.trust.records = {}
    assert code_of(lambda: world.receive(delivery)) == "SIGNER_UNKNOWN"
    world.trust.records = {key: world.signer.record}
    world.trust.revoked = {key: Revoked(compromised=False, effective=NOW)}
    assert code_of(lambda: world.receive(delivery)) == "SIGNER_REVOKED"
    world.trust.revoked = {key: Revoked(compromised=True, effective=LATER)}
    assert code_of(lambda: world.receive(delivery)) == "SIGNER_REVOKED"
    world.trust.revoked = {key: Revoked(compromised=False, effective=Instant(NOW + 1))}
    world.receive(delivery)


def test_rows_8_and_9_suite_unknown_below_the_floor_or_changed(world: World) -> None:
    delivery = world.send()
    assert code_of(lambda: world.receive(with_batch(delivery, suite=999))) == "SUITE_UNKNOWN"
    world.suites = {1: FAKE_SUITE, 2: replace(FAKE_SUITE, number=2)}
    assert code_of(lambda: world.receive(with_batch(delivery, suite=2))) == "SIGNATURE_INVALID"
    world.trust.floor = 2
    assert code_of(lambda: world.receive(delivery)) == "SUITE_BELOW_FLOOR"


def test_batch_of_an_expired_directory_or_another_member_is_rejected(world: World) -> None:
    delivery = world.send()
    assert code_of(lambda: world.receive(delivery, peer=DEU)) == "NOT_AUTHORISED"
    world.trust.expired = {FRA}
    assert code_of(lambda: world.receive(delivery)) == "TRUST_EXPIRED"


# --- 79, 89-94 ---


def test_row_79_ten_thousand_commitments_or_grants_are_malformed_before_any_body_opens(world: World) -> None:
    inside = Inside(world)
    claims = encode(Claims, inside.claims)
    count_at = len(inside.bulletin.manifest) + 2 + 5
    assert claims[count_at : count_at + 2] == b"\x00\x02"
    many = claims[:count_at] + (10_000).to_bytes(2, "big") + claims[count_at + 2 :]
    manifest = inside.bulletin.manifest
    commitments_at = len(manifest) - 16 * 32 - 2
    full = manifest[:commitments_at] + (2000).to_bytes(2, "big") + bytes(32 * 2000)
    nothing = [b"", b""]
    for delivery in (
        inside.deliver(many, bodies=nothing),
        inside.deliver(encode(Claims, replace(inside.claims, manifest=full)), bodies=nothing),
    ):
        assert code_of(lambda delivery=delivery: world.receive(delivery)) == "ENVELOPE_MALFORMED"  # type: ignore[misc]


def test_row_79_too_many_portions_or_too_much_content_at_submit(world: World) -> None:
    assert code_of(lambda: world.encrypt(*[text_portion("x")] * 65)) == "TOO_LARGE"
    assert code_of(world.encrypt) == "TOO_LARGE"
    assert code_of(lambda: world.encrypt(text_portion("x" * (512 * 1024 + 1)))) == "TOO_LARGE"


def test_row_89_grant_under_another_number_or_incarnation(world: World) -> None:
    delivery = world.send()
    for changes in ({"sequence": ReleaseNumber(2)}, {"incarnation": Incarnation(8)}):
        moved = signed_again(world, delivery, **changes)
        assert code_of(lambda moved=moved: world.receive(moved)) == "OPEN_FAILED"  # type: ignore[misc]


def test_row_90_batch_key_of_another_batch(world: World) -> None:
    delivery = world.send()
    bulletin = world.encrypt(text_portion("x"))
    other = world.seal(world.clear(bulletin), seed="other").batch_keys[world.kem_id]
    assert other != delivery.payload.batch_key
    moved = with_payload(delivery, batch_key=other)
    assert code_of(lambda: world.receive(moved)) == "SEALED_HASH_MISMATCH"
    assert code_of(lambda: world.receive(signed_again(world, delivery, moved.payload))) == "OPEN_FAILED"


@pytest.mark.parametrize("use", [KeyUse.DIRECTORY, KeyUse.ROOT])
def test_row_91_key_of_another_use(world: World, use: KeyUse) -> None:
    world.signer = make_signer("another use", FRA, use, FAKE_SUITE)
    world.trust.records[world.signer.key_id] = world.signer.record
    assert code_of(lambda: world.receive(world.send())) == "SIGNER_NOT_AUTHORISED"


def test_row_92_statement_presented_as_another_kind(world: World) -> None:
    receipt = Receipt(
        USA,
        world.seal(world.clear(world.encrypt(text_portion("x")))).releases[0].leaf,
        ReceiptStatus.ACCEPTED,
        (),
        NOW,
    )
    signed = sign_batch(
        [Leaf(Kind.RECEIPT, bytes(16), encode(Receipt, receipt))], world.signer, NOW, stream_of("receipt")
    )
    genuine = Delivery(signed.batch, signed.statements[0], Payload(b"", b"", ()))
    assert world.verify(genuine).read(Receipt) == receipt
    for kind in Kind:
        if kind in (Kind.RECEIPT, Kind.TRUST):
            continue
        disguised = with_statement(genuine, kind=kind)
        assert code_of(lambda disguised=disguised: world.verify(disguised)) == "BATCH_PROOF_INVALID"  # type: ignore[misc]


@pytest.mark.parametrize("siblings", [0, 7, 9, 64])
def test_row_93_proof_of_another_depth(world: World, siblings: int) -> None:
    spoilt = with_statement(world.send(), proof=bytes(1 + 32 * siblings))
    assert code_of(lambda: world.receive(spoilt)) == "ENVELOPE_MALFORMED"


def test_unknown_kind_or_short_nonce_is_malformed(world: World) -> None:
    for changes in ({"kind": 0}, {"kind": 9}, {"nonce": bytes(15)}):
        spoilt = with_statement(world.send(), **changes)
        assert code_of(lambda spoilt=spoilt: world.receive(spoilt)) == "ENVELOPE_MALFORMED"  # type: ignore[misc]


def test_row_94_slots_twice_out_of_range_unused_or_without_their_body(world: World) -> None:
    inside = Inside(world)
    first, second = inside.claims.granted
    used = {first.slot, second.slot}
    unused = next(slot for slot in range(16) if slot not in used)
    assert code_of(lambda: world.receive(inside.claimed(granted=(first, first)))) == "ENVELOPE_MALFORMED"
    out_of_range = replace(second, slot=16)
    assert code_of(lambda: world.receive(inside.claimed(granted=(first, out_of_range)))) == (
        "ENVELOPE_MALFORMED"
    )
    moved = replace(second, slot=unused)
    secret = inside.bulletin.portions[1].secret
    md = inside.bulletin.md
    body = seal_once(
        body_key(secret, md, unused), pad(encode(Portion, text_portion("x")), 256), body_bound(md, unused)
    )
    granted_unused = inside.deliver(
        encode(Claims, replace(inside.claims, granted=(first, moved))),
        bodies=[inside.honest.payload.bodies[0], body],
    )
    assert code_of(lambda: world.receive(granted_unused)) == "COMMITMENT_MISMATCH"
    bodies = inside.honest.payload.bodies
    for wrong in ((*bodies, bodies[0]), bodies[:1]):
        delivery = inside.deliver(encode(Claims, inside.claims), bodies=wrong)
        assert code_of(lambda delivery=delivery: world.receive(delivery)) == "ENVELOPE_MALFORMED"  # type: ignore[misc]


# --- codes without a row ---


def test_sealing_key_that_is_not_ours_or_is_destroyed(world: World) -> None:
    delivery = world.send()
    world.opener_keys = {}
    assert code_of(lambda: world.receive(delivery)) == "KEM_KEY_UNKNOWN"
    assert code_of(lambda: world.receive(delivery, retired=[world.kem_id])) == "KEM_KEY_RETIRED"


def test_sealing_for_a_key_of_another_member_or_an_unknown_suite_is_refused_at_hand_over(
    world: World,
) -> None:
    cleared = world.clear(world.encrypt(text_portion("x")))
    others, known, _ = make_key("DEU", DEU, KeyUse.SEALING, FAKE_SUITE)
    assert code_of(lambda: world.seal(replace(cleared, kem=others, kem_id=known))) == "KEM_KEY_UNKNOWN"
    assert code_of(lambda: world.seal(replace(cleared, kem=replace(world.kem, suite=2)))) == "KEM_KEY_UNKNOWN"


def test_grant_that_opens_to_other_content_than_was_signed(world: World) -> None:
    delivery = signed_again(world, world.send(), grant_digest=Digest(bytes(32)))
    assert code_of(lambda: world.receive(delivery)) == "COMMITMENT_MISMATCH"


def test_recipient_or_precedence_that_differ_from_the_release(world: World) -> None:
    assert code_of(lambda: world.receive(Inside(world).claimed(recipient=ITA))) == "MANIFEST_MISMATCH"
    inside = Inside(world)
    claims = encode(Claims, inside.claims)
    assert code_of(
        lambda: world.receive(inside.deliver(claims, precedence=inside.release.precedence - 1))
    ) == ("MANIFEST_MISMATCH")


def test_only_verification_makes_verified_values(world: World) -> None:
    verified = world.verify(world.send())
    with pytest.raises(TypeError):
        Verified(verified.statement, verified.leaf, verified.batch, verified.signer, object())
    with pytest.raises(TypeError):
        replace(world.receive(world.send()).portions[0], made=None)
    with pytest.raises(TypeError):
        VerifiedPortion(0, text_portion("x"), None)


def test_a_context_cannot_be_taken_for_another() -> None:
    signer = make_signer("context", FRA)
    signature = signer.sign(b"message", Context.BATCH)
    SUITE_1.verify(signer.record.public, Context.BATCH, b"message", signature)
    assert code_of(lambda: SUITE_1.verify(signer.record.public, Context.HELLO, b"message", signature)) == (
        "SIGNATURE_INVALID"
    )
