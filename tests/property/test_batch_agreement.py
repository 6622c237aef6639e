"""The loops over batches say what the readable code says: the same bytes, and a yes only where it says yes.

Both draw from one tape. The stand-in suite repeats its signatures and seals: all bytes can be compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attacker import Inside, flip, signed_again
from envelope_world import (
    DEU,
    FRA,
    INCARNATION,
    ITA,
    LATER,
    NOW,
    USA,
    Delivery,
    World,
    check_agreement,
    make_key,
    make_world,
    stream_of,
    text_portion,
)
from intelshare.crypto.codec import encode
from intelshare.crypto.records import (
    Citation,
    Claims,
    Evidence,
    Granted,
    KeyUse,
    Kind,
    Portion,
    PortionKind,
    Precedence,
    Receipt,
    ReceiptStatus,
    Reply,
)
from intelshare.crypto.suites import Random
from intelshare.envelope import (
    Cleared,
    ClearedPortion,
    Opener,
    Payload,
    Tip,
    encrypt_bulletin,
    first_tip,
    seal,
)
from intelshare.envelope.batch_encrypt import ToEncrypt, encrypt_many
from intelshare.envelope.batch_open import OpenedMany, open_many
from intelshare.envelope.batch_seal import SealedMany, seal_many
from intelshare.envelope.padding import pad
from intelshare.envelope.seal import frame_grant
from intelshare.errors import EnvelopeError, IntelshareError
from intelshare.ids import Digest, LeafId, ManifestDigest, MemberCode
from intelshare.ids import Sequence as Number
from intelshare.instant import NEVER, Instant
from intelshare.sim.standin import STANDIN_SUITE
from intelshare.statement import Leaf, Statement, VerifiedRoots, read_batch, sign_batch, verify
from intelshare.statement.batch import VerifiedMany, leaf_ids, sign_many, verify_many
from intelshare.statement.batch_receipts import Answer, encode_receipts, read_receipts

WORDS = st.text(max_size=12)
INSTANTS = st.one_of(st.integers(0, 2**64 - 1), st.sampled_from([NEVER, 0, 2**64, -1])).map(Instant)
PORTIONS = st.builds(
    Portion,
    kind=st.sampled_from(PortionKind),
    label=st.one_of(WORDS, st.sampled_from(["(S//REL TO USA)", "é" * 40_000])),
    category=WORDS,
    flags=st.lists(WORDS, max_size=34).map(tuple),
    grade=WORDS,
    media=WORDS,
    content=st.one_of(st.binary(max_size=600), st.integers(0, 300_000).map(bytes)),
)


def tape(seed: str) -> Random:
    """Endless bytes, the same however they are cut."""
    at, known = 0, b""

    def random(length: int) -> bytes:
        nonlocal at, known
        at += length
        if at > len(known):
            known = hashlib.shake_256(seed.encode()).digest(2 * at + 4096)
        return known[at - length : at]

    return random


def outcome(run: Callable[[], Any]) -> Any:
    """What it returns, or the type and code of what it raises."""
    try:
        return run()
    except IntelshareError as refused:
        return type(refused), refused.code
    except Exception as error:
        return type(error), ""


# --- encrypt ---


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(PORTIONS, max_size=20), st.sampled_from([*Precedence, 0, 5]), INSTANTS), max_size=6
    )
)
def test_bulletins_are_encrypted_to_the_same_bytes(asked: list[Any]) -> None:
    made = encrypt_many([ToEncrypt(*one) for one in asked], FRA, NOW, tape("encrypt"))
    random = tape("encrypt")
    for (portions, precedence, expires), fast in zip(asked, made, strict=True):

        def encrypt(
            draw: Random, portions: Any = portions, precedence: Any = precedence, expires: Any = expires
        ) -> Any:
            return encrypt_bulletin(portions, FRA, draw, created=NOW, precedence=precedence, expires=expires)

        if fast is None:
            with pytest.raises(EnvelopeError):
                encrypt(tape("another"))
            continue
        slow = encrypt(random)
        assert fast[:3] == (slow.bulletin, slow.manifest, slow.md)
        assert list(zip(*fast[3:], strict=True)) == [
            (one.slot, one.secret, one.body, one.digest) for one in slow.portions
        ]


@pytest.mark.parametrize("count", [16, 17, 64])
def test_many_portions_are_encrypted_to_the_same_bytes(count: int) -> None:
    portions = [text_portion(str(number)) for number in range(count)]
    (fast,) = encrypt_many([ToEncrypt(portions, Precedence.FLASH, NEVER)], FRA, NOW, tape("many"))
    slow = encrypt_bulletin(
        portions, FRA, tape("many"), created=NOW, precedence=Precedence.FLASH, expires=NEVER
    )
    assert fast is not None
    assert (fast.manifest, fast.bodies) == (slow.manifest, [one.body for one in slow.portions])


def test_no_portion_and_too_many_are_left_to_the_readable_code() -> None:
    asked = [ToEncrypt([text_portion("x")] * count, Precedence.FLASH, NEVER) for count in (0, 65, 1)]
    none, many, one = encrypt_many(asked, FRA, NOW, tape("bounds"))
    assert none is None
    assert many is None
    assert one is not None


# --- seal ---

RULINGS = st.tuples(
    st.lists(
        st.builds(Citation, treaty=WORDS, text=st.binary(min_size=32, max_size=32), article=WORDS), max_size=2
    ).map(tuple),
    st.lists(WORDS, max_size=2).map(tuple),
)
EVIDENCE = st.builds(
    Evidence,
    kind=st.just(Kind.CONSENT),
    nonce=st.just(bytes(16)),
    data=st.binary(max_size=9),
    proof=st.just(bytes(257)),
    batch=st.binary(max_size=9),
)
KEYS = {
    member: make_key(f"seal/{member}", member, KeyUse.SEALING, STANDIN_SUITE) for member in (USA, DEU, ITA)
}
SOUND = st.binary(min_size=32, max_size=32).map(Digest)
ABSURD = st.one_of(SOUND, st.sampled_from([b"", bytes(31)]).map(Digest))


@st.composite
def clearances(draw: st.DrawFn) -> list[Cleared]:
    """Bulletins for recipients who share their portions; now and then a field that no release can carry."""
    absurd = draw(st.integers(0, 3)) == 0
    digests, rulings = ABSURD if absurd else SOUND, draw(st.lists(RULINGS, min_size=1, max_size=3))
    found = []
    for _ in range(draw(st.integers(0, 4))):
        portions = tuple(
            ClearedPortion(
                Granted(draw(st.integers(0, 255)), *draw(st.sampled_from(rulings))),
                draw(st.binary(min_size=32, max_size=32)),
                draw(digests),
            )
            for _ in range(draw(st.integers(0 if absurd else 1, 20)))
        )
        manifest = draw(st.binary(max_size=700))
        for member in draw(st.lists(st.sampled_from([USA, DEU, ITA]), min_size=1, max_size=4)):
            kem, kem_id, _ = KEYS[draw(st.sampled_from([USA, DEU, ITA])) if absurd else member]
            found.append(
                Cleared(
                    member,
                    kem_id,
                    kem,
                    manifest,
                    draw(st.sampled_from(Precedence)),
                    draw(INSTANTS) if absurd else NEVER,
                    portions,
                    draw(WORDS),
                    draw(digests),
                    draw(st.sampled_from([(), (ManifestDigest(bytes(32)),)])),
                    draw(st.sampled_from([(), (Reply(DEU, ManifestDigest(bytes(32))),)])),
                    tuple(draw(st.lists(EVIDENCE, max_size=1))),
                )
            )
    return found


@settings(max_examples=150, deadline=None)
@given(clearances(), st.integers(0, 2), st.sampled_from([0, 5, 2**64 - 3]), st.booleans())
def test_releases_are_sealed_to_the_same_bytes(
    cleared: list[Cleared], receipts: int, last: int, without_tip: bool
) -> None:
    world = make_world(STANDIN_SUITE)
    tips = {
        member: replace(first_tip(world.signer.record.node, INCARNATION, member), last=Number(last))
        for member in (USA, DEU, *(() if without_tip else (ITA,)))
    }
    others = [Leaf(Kind.RECEIPT, bytes([number]) * 16, b"said") for number in range(receipts)]
    slow = outcome(lambda: seal(cleared, world.signer, NOW, tape("seal"), tips=tips, others=others))
    fast = outcome(lambda: seal_many(cleared, world.signer, NOW, tape("seal"), tips=tips, others=others))
    if not isinstance(fast, SealedMany):
        assert fast == slow
        return
    assert fast == (
        slow.batch,
        [
            (one.leaf, one.release.sequence, said.nonce, said.data, said.proof, one.grant)
            for one in slow.releases
            for said in (one.statement,)
        ],
        list(slow.others),
        slow.batch_keys,
        slow.tips,
    )


def test_a_batch_that_the_loop_can_seal_is_not_sealed_by_the_readable_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr("intelshare.envelope.batch_seal.seal")
    world = make_world(STANDIN_SUITE)
    bulletin = world.encrypt(text_portion("one"), text_portion("two"))
    tips = {USA: first_tip(world.signer.record.node, INCARNATION, USA)}
    sealed = seal_many([world.clear(bulletin)] * 3, world.signer, NOW, stream_of("seal"), tips=tips)
    assert [row.number for row in sealed.rows] == [1, 2, 3]
    assert sealed.tips[USA] == Tip(INCARNATION, Number(3), sealed.rows[2].leaf)


@pytest.mark.parametrize("count", [0, 257])
def test_no_release_and_too_many_are_refused_alike(count: int) -> None:
    world = make_world(STANDIN_SUITE)
    cleared = [world.clear(world.encrypt(text_portion("one")))] * count
    tips = {USA: first_tip(world.signer.record.node, INCARNATION, USA)}
    with pytest.raises(EnvelopeError) as refused:
        seal_many(cleared, world.signer, NOW, stream_of("seal"), tips=tips)
    assert refused.value.code == "TOO_LARGE"


# --- open ---


@dataclass(frozen=True)
class Came:
    """A statement as a frame carries it."""

    kind: int
    nonce: bytes
    data: bytes
    proof: bytes
    grant: bytes = b""
    bodies: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Frame:
    batch: bytes
    batch_key: bytes
    statements: tuple[Came, ...]


def frame_of(world: World, bulletins: list[list[Portion]]) -> Frame:
    """One release of each bulletin, honestly sealed to USA."""
    encrypted = [world.encrypt(*portions, seed=str(number)) for number, portions in enumerate(bulletins)]
    tips = {USA: first_tip(world.signer.record.node, INCARNATION, USA)}
    sealed = seal_many(
        [world.clear(one) for one in encrypted], world.signer, NOW, stream_of("frame"), tips=tips
    )
    statements = [
        Came(
            Kind.RELEASE, row.nonce, row.data, row.proof, row.grant, tuple(body.body for body in one.portions)
        )
        for row, one in zip(sealed.rows, encrypted, strict=True)
    ]
    return Frame(sealed.batch, sealed.batch_keys[world.kem_id], tuple(statements))


def check_frame(world: World, frame: Frame, at: Instant = NOW, member: MemberCode = USA) -> int:
    """Every statement is judged alike by both; how many of them passed."""
    verified = verify_many(
        frame.batch,
        Kind.RELEASE,
        frame.statements,
        FRA,
        at,
        trust=world.trust,
        suites=world.suites,
        roots=VerifiedRoots(),
    )
    rows: Any = [None] * len(frame.statements)
    if verified is not None:
        opener = Opener(world.opener_keys)
        rows = open_many(verified, frame.statements, frame.batch_key, member, at, opener).rows
    passed = 0
    for row, one in zip(rows, frame.statements, strict=True):
        statement = Statement(one.kind, one.nonce, one.data, one.proof)  # type: ignore[arg-type]
        delivery = Delivery(frame.batch, statement, Payload(frame.batch_key, one.grant, one.bodies))
        try:
            opened = world.read(delivery, at, peer=FRA, member=member)
        except IntelshareError:
            assert row is None
        else:
            check_agreement(row, opened, delivery)
            passed += 1
    return passed


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
    world = make_world(STANDIN_SUITE)
    assert check_frame(world, frame_of(world, bulletins)) == len(bulletins)


def spoil(draw: Callable[[Any], Any], data: bytes) -> bytes:
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


FRAME: Final = [[text_portion("one")], [text_portion("two"), text_portion("three")], [text_portion("four")]]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_frame_that_is_spoilt_on_the_way_is_judged_alike(data: st.DataObject) -> None:
    world = make_world(STANDIN_SUITE)
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
    check_frame(world, replace(frame, statements=tuple(statements)), at, member)


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
            changed = data.draw(
                st.sampled_from(
                    [
                        {"recipient": DEU}, {"origin": "other"}, {"sequence": 2}, {"prev": bytes(32)},
                        {"precedence": Precedence.FLASH}, {"deliver_by": NOW}, {"kem": bytes(32)},
                        {"grant_digest": bytes(32)}, {"incarnation": 0},
                    ]
                )
            )  # fmt: skip
            return signed_again(inside.world, inside.honest, **changed)
        case "payload":
            spoilt = spoil(data.draw, inside.honest.payload.batch_key)
            return signed_again(inside.world, inside.honest, replace(inside.honest.payload, batch_key=spoilt))
    return inside.honest


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_release_that_its_originator_spoilt_is_judged_alike(data: st.DataObject) -> None:
    world = make_world(STANDIN_SUITE)
    delivery = spoilt_inside(data, Inside(world))
    with suppress(IntelshareError):
        world.receive(delivery)  # checks that both agree


def test_heads_and_words_that_repeat_are_told_apart_by_each_of_their_bytes() -> None:
    """A label that begins as another, and portions of every length about the floor of padding."""
    world = make_world(STANDIN_SUITE)
    labels = ("(S)", "(S//REL TO USA)", "(S)", "(U)", "(S//REL TO USA, FRA)")
    bulletins = [[text_portion("x" * (180 + 7 * n), label)] for n, label in enumerate(labels * 4)]
    assert check_frame(world, frame_of(world, bulletins)) == 20


def test_only_this_code_makes_what_was_verified_or_opened() -> None:
    world = make_world(STANDIN_SUITE)
    batch = read_batch(frame_of(world, FRAME).batch)
    with pytest.raises(TypeError):
        VerifiedMany(batch, world.signer.record, Kind.RELEASE, (), (), object())
    with pytest.raises(TypeError):
        OpenedMany((), object())


# --- receipts ---

ANSWERS = st.lists(
    st.builds(
        Answer,
        leaf=SOUND.map(LeafId),
        status=st.sampled_from(ReceiptStatus),
        codes=st.lists(WORDS, max_size=33).map(tuple),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=80, deadline=None)
@given(st.data(), ANSWERS, INSTANTS)
def test_receipts_are_written_signed_and_read_alike(
    data: st.DataObject, answers: list[Answer], at: Instant
) -> None:
    world = make_world(STANDIN_SUITE)
    records = [Receipt(USA, one.leaf, one.status, one.codes, at) for one in answers]
    slow = outcome(lambda: [encode(Receipt, one) for one in records])
    written = outcome(lambda: encode_receipts(USA, answers, at))
    assert written == slow
    if not isinstance(written, list):
        return
    for number in data.draw(st.lists(st.integers(0, len(written) - 1), max_size=2)):
        written[number] = spoil(data.draw, written[number])
    nonces = [bytes([number]) * 16 for number in range(len(written))]
    leaves = [Leaf(Kind.RECEIPT, *parts) for parts in zip(nonces, written, strict=True)]
    signed = sign_batch(leaves, world.signer, NOW, tape("sign"))
    ids = leaf_ids(Kind.RECEIPT, nonces, written)
    assert sign_many(ids, world.signer, NOW, tape("sign")) == (
        signed.batch, list(signed.leaves), tuple(one.proof for one in signed.statements),
    )  # fmt: skip
    lookups: Any = {"trust": world.trust, "suites": world.suites, "roots": world.roots}
    verified = verify_many(signed.batch, Kind.RECEIPT, signed.statements, FRA, NOW, **lookups)
    assert verified is not None
    batch = read_batch(signed.batch)
    for row, said in zip(read_receipts(verified, USA), signed.statements, strict=True):
        proved = verify(said, batch, FRA, NOW, **lookups)
        read = outcome(lambda proved=proved: proved.read(Receipt))  # type: ignore[misc]
        if not isinstance(read, Receipt) or read.to != USA:
            assert row is None
        else:
            assert row == (proved.leaf, read.leaf, read.status, read.codes, read.decided_at)


def test_statements_of_another_kind_are_not_read_as_receipts() -> None:
    world = make_world(STANDIN_SUITE)
    (data,) = encode_receipts(USA, [Answer(LeafId(bytes(32)), ReceiptStatus.READ)], NOW)
    signed = sign_batch([Leaf(Kind.RECALL, bytes(16), data)], world.signer, NOW, tape("sign"))
    lookups: Any = {"trust": world.trust, "suites": world.suites, "roots": world.roots}
    for kind, rows in ((Kind.RECALL, [None]), (Kind.RECEIPT, [None])):
        verified = verify_many(signed.batch, kind, signed.statements, FRA, NOW, **lookups)
        assert verified is not None
        assert read_receipts(verified, USA) == rows
        assert open_many(verified, [Came(1, b"", b"", b"")], b"", USA, NOW, Opener({})).rows == (None,)
    assert verify_many(signed.batch, Kind.TRUST, signed.statements, FRA, NOW, **lookups) is None
