"""Frames are opened by the loops over batches as by the readable code: a yes only where that says yes.

Honest frames, frames spoilt on the way, and releases that their originator spoilt before it signed them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attacker import Inside, flip, signed_again, spoil
from envelope_world import (
    DEU,
    FRA,
    INCARNATION,
    LATER,
    NOW,
    USA,
    Delivery,
    World,
    make_world,
    stream_of,
    text_portion,
)
from intelshare.broker.kernel.frame import Carried, Frame
from intelshare.crypto.aead import seal_once
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.pae import Domain, digest, sha256, u32, u64
from intelshare.crypto.records import Batch, Claims, Evidence, Kind, Manifest, Portion, Precedence
from intelshare.crypto.suites import Context
from intelshare.envelope import Opener, first_tip, manifest_digest
from intelshare.envelope.batch_open import OpenedMany, open_many
from intelshare.envelope.batch_seal import seal_many
from intelshare.envelope.construct import body_bound, body_key
from intelshare.envelope.heads import BODY_KEY, SALT, SLOTS, pads
from intelshare.envelope.padding import pad
from intelshare.envelope.seal import frame_grant
from intelshare.errors import EnvelopeError, IntelshareError
from intelshare.ids import LeafId
from intelshare.instant import Instant
from intelshare.sim.fake_suite import FAKE_SUITE
from intelshare.statement import Leaf, VerifiedRoots, batch_message, read_batch, sign_batch
from intelshare.statement.batch import LEAF_HEADS, VerifiedMany, verify_many
from intelshare.statement.tree import climb, grow, prove_all


def frame_of(world: World, bulletins: list[list[Portion]]) -> Frame:
    """One release of each bulletin, honestly sealed to USA."""
    encrypted = [world.encrypt(*portions, seed=str(number)) for number, portions in enumerate(bulletins)]
    tips = {USA: first_tip(world.signer.record.node, INCARNATION, USA)}
    sealed = seal_many(
        [world.clear(one) for one in encrypted],
        world.signer,
        NOW,
        stream_of("frame"),
        tips=tips,
        suites=world.suites,
    )
    statements = [
        Carried(
            Kind.RELEASE, row.nonce, row.data, row.proof, row.grant, tuple(body.body for body in one.portions)
        )
        for row, one in zip(sealed.rows, encrypted, strict=True)
    ]
    return Frame(sealed.batch, sealed.batch_keys[world.kem_id], tuple(statements))


HONEST = st.lists(
    st.lists(
        st.builds(
            text_portion,
            st.text(max_size=300),
            st.sampled_from(["(S//REL TO USA)", "(U)", "(S//REL TO USA) "]),
        ),
        min_size=1,
        max_size=20,
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=40, deadline=None)
@given(HONEST)
def test_an_honest_frame_is_opened_whole_by_the_loop(bulletins: list[list[Portion]]) -> None:
    world = make_world(FAKE_SUITE)
    assert world.recipient().check(frame_of(world, bulletins), FRA, NOW) == len(bulletins)


FRAME: Final = [[text_portion("one")], [text_portion("two"), text_portion("three")], [text_portion("four")]]


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 256))
def test_proofs_of_a_batch_hold_together_exactly_where_each_holds_alone(
    data: st.DataObject, count: int
) -> None:
    random = stream_of("proofs")
    leaves = [LeafId(random(32)) for _ in range(count)]
    root, made = grow(leaves, random)
    proofs = list(made)
    for number in data.draw(st.lists(st.integers(0, count - 1), max_size=6)):
        other = data.draw(st.integers(0, count - 1))
        spoilt = data.draw(
            st.sampled_from(
                [
                    flip(proofs[number], data.draw(st.integers(0, 256)), data.draw(st.integers(0, 7))),
                    proofs[other],
                    proofs[number][:1] + proofs[other][1:],
                    proofs[number][:129] + proofs[other][129:],
                ]
            )
        )
        proofs[number] = spoilt
    each = [climb(leaf, proof) == root for leaf, proof in zip(leaves, proofs, strict=True)]
    assert prove_all(leaves, proofs, root) == each


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_frame_that_is_spoilt_on_the_way_is_judged_alike(data: st.DataObject) -> None:
    world = make_world(FAKE_SUITE)
    frame = frame_of(world, FRAME)
    statements = list(frame.statements)
    for _ in range(data.draw(st.integers(1, 2))):
        part = data.draw(
            st.sampled_from(
                ["batch", "batch_key", "kind", "nonce", "data", "proof", "grant", "bodies", "swap"]
            )
        )
        number = data.draw(st.integers(0, 2))
        one = statements[number]
        if part in ("batch", "batch_key"):
            frame = replace(frame, **{part: spoil(data.draw, getattr(frame, part))})
        elif part == "kind":
            statements[number] = replace(one, kind=data.draw(st.integers(-1, 9)))
        elif part == "bodies":
            bodies = data.draw(
                st.sampled_from([(), one.bodies[:1], one.bodies * 2, (spoil(data.draw, b"x" * 300),)])
            )
            statements[number] = replace(one, bodies=bodies)
        elif part == "swap":
            field = data.draw(st.sampled_from(["nonce", "data", "proof", "grant", "bodies"]))
            statements[number] = replace(one, **{field: getattr(statements[number - 1], field)})
        else:
            statements[number] = replace(one, **{part: spoil(data.draw, getattr(one, part))})
    at = data.draw(st.sampled_from([NOW, LATER, Instant(LATER - 1), Instant(0)]))
    member = data.draw(st.sampled_from([USA, USA, USA, DEU]))
    world.recipient(member).check(replace(frame, statements=tuple(statements)), FRA, at)


RELEASES: Final[list[dict[str, Any]]] = [
    {"recipient": DEU},
    {"origin": "other"},
    {"origin": "intelshare://" + "x" * 900},
    {"incarnation": 0},
    {"sequence": 2},
    {"prev": bytes(32)},
    {"precedence": Precedence.FLASH},
    {"deliver_by": NOW},
    {"kem": bytes(32)},
    {"grant_digest": bytes(32)},
    {"sealed": bytes(32)},
]


@pytest.mark.parametrize("changed", RELEASES, ids=lambda changed: next(iter(changed)))
def test_a_release_with_one_field_changed_and_signed_is_judged_alike(changed: dict[str, Any]) -> None:
    world = make_world(FAKE_SUITE)
    inside = Inside(world)
    delivery = signed_again(world, inside.honest, **changed)
    if "prev" in changed:  # the stream's question, not the envelope's
        world.receive(delivery)
    else:
        with pytest.raises(IntelshareError):
            world.receive(delivery)


MANIFESTS: Final[list[tuple[dict[str, Any], str]]] = [
    ({"created": Instant(0)}, ""),
    ({"originator": DEU}, "MANIFEST_MISMATCH"),
    ({"originator": "NATO"}, "MANIFEST_MISMATCH"),
    ({"precedence": Precedence.FLASH}, "MANIFEST_MISMATCH"),
    ({"expires": NOW}, "EXPIRED"),
    ({"bulletin": bytes(16)}, "COMMITMENT_MISMATCH"),
    ({"commitments": (bytes(32),) * 64}, "COMMITMENT_MISMATCH"),
]


@pytest.mark.parametrize(("changed", "code"), MANIFESTS, ids=lambda one: str(one)[:24])
def test_a_manifest_with_one_field_changed_and_signed_is_judged_alike(
    changed: dict[str, Any], code: str
) -> None:
    world = make_world(FAKE_SUITE)
    inside = Inside(world)
    manifest = encode(Manifest, replace(decode(Manifest, inside.bulletin.manifest), **changed))
    padded = [pad(encode(Portion, text_portion(text)), 256) for text in ("first", "second")]
    assert outcome(lambda: world.receive(inside.with_manifest(manifest, padded))) == code


@pytest.mark.parametrize("count", [0, 15, 17, 32, 257])
def test_a_manifest_of_no_allowed_size_is_judged_alike(count: int) -> None:
    world = make_world(FAKE_SUITE)
    inside = Inside(world)
    honest = inside.bulletin.manifest
    start = len(honest) - 16 * 32 - 2
    manifest = honest[:start] + count.to_bytes(2, "big") + (honest[start + 2 :] * 17)[: 32 * count]
    padded = [pad(encode(Portion, text_portion(text)), 256) for text in ("first", "second")]
    assert outcome(lambda: world.receive(inside.with_manifest(manifest, padded))) == "ENVELOPE_MALFORMED"


def outcome(run: Callable[[], object]) -> str:
    """The code of what it raises; empty: nothing."""
    try:
        run()
    except IntelshareError as refused:
        return refused.code
    return ""


def spoilt_inside(data: st.DataObject, inside: Inside) -> Delivery:
    """What a malicious originator signs: one part of its release is not as it should be."""
    claims, secrets = encode(Claims, inside.claims), inside.secrets
    first, second = (pad(encode(Portion, text_portion(text)), 256) for text in ("first", "second"))
    part = data.draw(
        st.sampled_from(
            ["claims", "secrets", "framed", "body", "portion", "manifest", "release", "payload", "honest"]
        )
    )
    match part:
        case "claims":
            return inside.deliver(spoil(data.draw, claims))
        case "secrets":
            return inside.deliver(claims, secrets=spoil(data.draw, secrets))
        case "framed":
            return inside.deliver(claims, framed=spoil(data.draw, frame_grant(claims, secrets)))
        case "body":
            bodies = list(inside.honest.payload.bodies)
            bodies[data.draw(st.integers(0, 1))] = spoil(data.draw, bodies[0])
            return inside.deliver(claims, bodies=bodies)
        case "portion":
            return inside.with_portion(spoil(data.draw, second), committed=data.draw(st.booleans()))
        case "manifest":
            return inside.with_manifest(spoil(data.draw, inside.bulletin.manifest), [first, second])
        case "release":
            return signed_again(inside.world, inside.honest, **data.draw(st.sampled_from(RELEASES)))
        case "payload":
            spoilt = spoil(data.draw, inside.honest.payload.batch_key)
            return signed_again(inside.world, inside.honest, replace(inside.honest.payload, batch_key=spoilt))
    return inside.honest


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_release_that_its_originator_spoilt_is_judged_alike(data: st.DataObject) -> None:
    world = make_world(FAKE_SUITE)
    delivery = spoilt_inside(data, Inside(world))
    with suppress(IntelshareError):
        world.receive(delivery)  # checks that both agree


def test_a_release_that_carries_consents_is_left_to_the_readable_code() -> None:
    world = make_world(FAKE_SUITE)
    inside = Inside(world)
    carried = Evidence(Kind.CONSENT, bytes(16), b"said", bytes(257), b"batch")
    opened = world.receive(inside.claimed(consents=(carried,)))  # which checks that the loop says nothing
    assert opened.claimed.claims.consents == (carried,)


def test_a_secret_that_is_too_short_opens_nothing_though_all_was_made_for_it() -> None:
    world = make_world(FAKE_SUITE)
    inside = Inside(world)
    first, second = inside.bulletin.portions
    slot, padded, short = second.slot, pad(encode(Portion, text_portion("second")), 256), second.secret[:31]
    inner, outer = pads(short)
    bulletin = inside.bulletin.bulletin
    salt = sha256(outer + sha256(inner + SALT + bulletin + SLOTS[slot] + b"\x01"))
    committed = digest(Domain.PORTION, bulletin, u32(slot), salt, padded)
    known = decode(Manifest, inside.bulletin.manifest)
    commitments = tuple(committed if place == slot else one for place, one in enumerate(known.commitments))
    manifest = encode(Manifest, replace(known, commitments=commitments))
    md = manifest_digest(manifest)
    bodies = [
        seal_once(
            body_key(first.secret, md, first.slot),
            pad(encode(Portion, text_portion("first")), 256),
            body_bound(md, first.slot),
        ),
        seal_once(
            sha256(outer + sha256(inner + BODY_KEY + md + SLOTS[slot] + b"\x01")),
            padded,
            body_bound(md, slot),
        ),
    ]
    claims = encode(Claims, replace(inside.claims, manifest=manifest))
    with pytest.raises(EnvelopeError) as refused:
        world.receive(inside.deliver(claims, secrets=first.secret + short, bodies=bodies))
    assert refused.value.code == "ENVELOPE_MALFORMED"


def test_a_slot_that_is_granted_twice_opens_nothing() -> None:
    world = make_world(FAKE_SUITE)
    inside = Inside(world)
    granted, secret, body = inside.claims.granted[0], inside.secrets[:32], inside.honest.payload.bodies[0]
    claims = encode(Claims, replace(inside.claims, granted=(granted, granted)))
    twice = inside.deliver(claims, secrets=secret * 2, bodies=[body, body])
    assert outcome(lambda: world.receive(twice)) == "ENVELOPE_MALFORMED"


def test_a_release_signed_as_another_kind_is_opened_by_nobody() -> None:
    world = make_world(FAKE_SUITE)
    sent = world.send("hello")
    leaf = Leaf(Kind.RECALL, sent.statement.nonce, sent.statement.data)
    signed = sign_batch([leaf], world.signer, NOW, stream_of("recall"))
    lookups: Any = {"trust": world.trust, "suites": world.suites, "roots": VerifiedRoots()}
    verified = verify_many(signed.batch, Kind.RECALL, signed.statements, FRA, NOW, **lookups)
    assert verified is not None
    assert verified.leaves == signed.leaves
    opener = Opener(world.opener_keys)
    opened = open_many(verified, [sent.payload], sent.payload.batch_key, USA, NOW, opener)
    assert opened.rows == (None,)


@pytest.mark.parametrize(("nonce", "siblings"), [(15, 8), (17, 8), (16, 7), (16, 9)])
def test_a_statement_of_another_length_proves_nothing_though_it_was_signed_so(
    nonce: int, siblings: int
) -> None:
    """What only a malicious signer can do: the tree above a leaf of its making, one level more or less."""
    world = make_world(FAKE_SUITE)
    drawn, data = bytes(nonce), world.send("hello").statement.data
    root = sha256(LEAF_HEADS[Kind.RELEASE] + drawn + u64(len(data)) + data)
    for sibling in (*[bytes(32)] * min(siblings, 8), *[b""] * (8 - siblings)):
        root = sha256(b"\x01" + root + sibling)
    signer = world.signer
    signature = signer.sign(batch_message(1, signer.key_id, root, NOW), Context.BATCH)
    batch = encode(Batch, Batch(1, signer.key_id, root, NOW, signature))
    told = Carried(Kind.RELEASE, drawn, data, b"\0" + bytes(32) * siblings)
    lookups: Any = {"trust": world.trust, "suites": world.suites, "roots": VerifiedRoots()}
    verified = verify_many(batch, Kind.RELEASE, [told], FRA, NOW, **lookups)
    assert verified is not None
    assert verified.leaves == (None,)


def test_releases_of_one_bulletin_and_of_other_words_are_told_apart() -> None:
    world = make_world(FAKE_SUITE)
    one = world.encrypt(text_portion("one"), seed="one")
    two = world.encrypt(text_portion("one"), text_portion("two"), seed="two")
    cleared = [world.clear(bulletin) for bulletin in (one, two, one, two)]
    cleared += [replace(cleared[0], banner="UNCLASSIFIED"), replace(cleared[1], banner="UNCLASSIFIED")]
    bodies = [tuple(portion.body for portion in made.portions) for made in (one, two, one, two, one, two)]
    tips = {USA: first_tip(world.signer.record.node, INCARNATION, USA)}
    sealed = seal_many(cleared, world.signer, NOW, stream_of("frame"), tips=tips, suites=world.suites)
    frame = Frame(
        sealed.batch,
        sealed.batch_keys[world.kem_id],
        tuple(
            Carried(Kind.RELEASE, row.nonce, row.data, row.proof, row.grant, beside)
            for row, beside in zip(sealed.rows, bodies, strict=True)
        ),
    )
    assert world.recipient().check(frame, FRA, NOW) == 6


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_words_known_from_an_honest_release_do_not_help_a_spoilt_one(data: st.DataObject) -> None:
    """Both in one frame: the claims of the second are those of the first, but for their end."""
    world = make_world(FAKE_SUITE)
    inside = Inside(world, text_portion("alone"))
    claims = encode(Claims, inside.claims)
    begin = len(claims) - data.draw(st.sampled_from([2, 34, 60, 150]))
    spoilt = claims[:begin] + spoil(data.draw, claims[begin:])
    deliveries = [inside.honest, inside.deliver(spoilt)]
    leaves = [Leaf(Kind.RELEASE, one.statement.nonce, one.statement.data) for one in deliveries]
    signed = sign_batch(leaves, world.signer, NOW, stream_of("both"))
    statements = tuple(
        Carried(said.kind, said.nonce, said.data, said.proof, one.payload.grant, one.payload.bodies)
        for said, one in zip(signed.statements, deliveries, strict=True)
    )
    frame = Frame(signed.batch, inside.honest.payload.batch_key, statements)
    assert world.recipient().check(frame, FRA, NOW) >= 1


def test_heads_and_words_that_repeat_are_told_apart_by_each_of_their_bytes() -> None:
    """A label that begins as another, and portions of every length about the floor of padding."""
    world = make_world(FAKE_SUITE)
    labels = ("(S)", "(S//REL TO USA)", "(S)", "(U)", "(S//REL TO USA, FRA)")
    bulletins = [[text_portion("x" * (180 + 7 * n), label)] for n, label in enumerate(labels * 4)]
    assert world.recipient().check(frame_of(world, bulletins), FRA, NOW) == 20


def test_only_this_code_makes_what_was_verified_or_opened() -> None:
    world = make_world(FAKE_SUITE)
    batch = read_batch(frame_of(world, FRAME).batch)
    with pytest.raises(TypeError):
        VerifiedMany(batch, world.signer.record, Kind.RELEASE, (), (), object())
    with pytest.raises(TypeError):
        OpenedMany((), object())
