"""The loops over batches say what the readable code says: the same bytes, and a yes only where it says yes.

Both draw from one tape. The fake suite repeats its signatures and seals: all bytes can be compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attacker import spoil
from envelope_world import (
    DEU,
    FRA,
    INCARNATION,
    ITA,
    NOW,
    USA,
    make_key,
    make_world,
    stream_of,
    text_portion,
)
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.records import (
    Citation,
    Evidence,
    Granted,
    KeyUse,
    Kind,
    Portion,
    PortionKind,
    Precedence,
    Receipt,
    ReceiptStatus,
    Release,
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
from intelshare.envelope.batch_open import open_many
from intelshare.envelope.batch_seal import SealedMany, seal_many
from intelshare.envelope.construct import sealed_digest
from intelshare.errors import EnvelopeError, IntelshareError
from intelshare.ids import Digest, LeafId, ManifestDigest, ReleaseNumber
from intelshare.instant import NEVER, Instant
from intelshare.sim.fake_suite import FAKE_SUITE
from intelshare.statement import Leaf, read_batch, sign_batch, verify
from intelshare.statement.batch import leaf_ids, sign_many, verify_many
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
        st.tuples(st.lists(PORTIONS, max_size=20), INSTANTS, st.sampled_from([*Precedence, 0, 5]), INSTANTS),
        max_size=6,
    )
)
def test_bulletins_are_encrypted_to_the_same_bytes(asked: list[Any]) -> None:
    made = encrypt_many([ToEncrypt(*one) for one in asked], FRA, tape("encrypt"))
    random = tape("encrypt")
    for one, fast in zip(asked, made, strict=True):

        def encrypt(draw: Random, one: Any = one) -> Any:
            portions, created, precedence, expires = one
            return encrypt_bulletin(
                portions, FRA, draw, created=created, precedence=precedence, expires=expires
            )

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
    (fast,) = encrypt_many([ToEncrypt(portions, NOW, Precedence.FLASH, NEVER)], FRA, tape("many"))
    slow = encrypt_bulletin(
        portions, FRA, tape("many"), created=NOW, precedence=Precedence.FLASH, expires=NEVER
    )
    assert fast is not None
    assert (fast.manifest, fast.bodies) == (slow.manifest, [one.body for one in slow.portions])


def test_no_portion_and_too_many_are_left_to_the_readable_code() -> None:
    asked = [ToEncrypt([text_portion("x")] * count, NOW, Precedence.FLASH, NEVER) for count in (0, 65, 1)]
    none, many, one = encrypt_many(asked, FRA, tape("bounds"))
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
KEYS = {member: make_key(f"seal/{member}", member, KeyUse.SEALING, FAKE_SUITE) for member in (USA, DEU, ITA)}
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
@given(
    clearances(),
    st.sampled_from([0, 5, 2**63 - 3, 2**64 - 3]),
    st.sampled_from([32, 32, 32, 31]),
    st.booleans(),
)
def test_releases_are_sealed_to_the_same_bytes(
    cleared: list[Cleared], last: int, head: int, without_tip: bool
) -> None:
    world = make_world(FAKE_SUITE)
    tips = {
        member: Tip(INCARNATION, ReleaseNumber(last), LeafId(bytes(head)))
        for member in (USA, DEU, *(() if without_tip else (ITA,)))
    }
    slow = outcome(lambda: seal(cleared, world.signer, NOW, tape("seal"), tips=tips, suites=world.suites))
    fast = outcome(
        lambda: seal_many(cleared, world.signer, NOW, tape("seal"), tips=tips, suites=world.suites)
    )
    if not isinstance(fast, SealedMany):
        assert fast == slow
        return
    if any(len(portion.digest) != 32 for item in cleared for portion in item.portions):
        # All that the readable code takes and the loop does not: sealed, but from further down the tape.
        for row, item in zip(fast.rows, cleared, strict=True):
            digests = [portion.digest for portion in item.portions]
            key = fast.batch_keys[item.kem_id]
            assert decode(Release, row.data).sealed == sealed_digest(key, row.grant, digests)
        return
    assert fast == (
        slow.batch,
        [
            (one.leaf, one.release.sequence, said.nonce, said.data, said.proof, one.grant)
            for one in slow.releases
            for said in (one.statement,)
        ],
        slow.batch_keys,
        slow.tips,
    )


def test_a_batch_that_the_loop_can_seal_is_not_sealed_by_the_readable_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr("intelshare.envelope.batch_seal.seal")
    world = make_world(FAKE_SUITE)
    bulletin = world.encrypt(text_portion("one"), text_portion("two"))
    tips = {USA: first_tip(world.signer.record.node, INCARNATION, USA)}
    sealed = seal_many(
        [world.clear(bulletin)] * 3, world.signer, NOW, stream_of("seal"), tips=tips, suites=world.suites
    )
    assert [row.number for row in sealed.rows] == [1, 2, 3]
    assert sealed.tips[USA] == Tip(INCARNATION, ReleaseNumber(3), sealed.rows[2].leaf)


@pytest.mark.parametrize("count", [0, 257])
def test_no_release_and_too_many_are_refused_alike(count: int) -> None:
    world = make_world(FAKE_SUITE)
    cleared = [world.clear(world.encrypt(text_portion("one")))] * count
    tips = {USA: first_tip(world.signer.record.node, INCARNATION, USA)}
    with pytest.raises(EnvelopeError) as refused:
        seal_many(cleared, world.signer, NOW, stream_of("seal"), tips=tips, suites=world.suites)
    assert refused.value.code == "TOO_LARGE"


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
    world = make_world(FAKE_SUITE)
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


def test_receipts_for_others_and_with_codes_that_are_not_there_are_not_read() -> None:
    world = make_world(FAKE_SUITE)
    answers = [Answer(LeafId(bytes(32)), ReceiptStatus.READ, codes) for codes in ((), ("X",))]
    honest, others = (encode_receipts(member, answers, NOW) for member in (USA, DEU))
    told = [*honest, *others, honest[0][:-9] + b"\1" + honest[0][-8:]]
    leaves = [Leaf(Kind.RECEIPT, bytes(16), data) for data in told]
    signed = sign_batch(leaves, world.signer, NOW, tape("sign"))
    lookups: Any = {"trust": world.trust, "suites": world.suites, "roots": world.roots}
    verified = verify_many(signed.batch, Kind.RECEIPT, signed.statements, FRA, NOW, **lookups)
    assert verified is not None
    read = [row is not None for row in read_receipts(verified, USA)]
    assert read == [True, True, False, False, False]


def test_a_receipt_for_no_digest_is_not_written() -> None:
    with pytest.raises(EnvelopeError):
        encode_receipts(USA, [Answer(LeafId(bytes(31)), ReceiptStatus.READ)], NOW)


def test_statements_of_another_kind_are_not_read_as_receipts() -> None:
    world = make_world(FAKE_SUITE)
    (data,) = encode_receipts(USA, [Answer(LeafId(bytes(32)), ReceiptStatus.READ)], NOW)
    signed = sign_batch([Leaf(Kind.RECALL, bytes(16), data)], world.signer, NOW, tape("sign"))
    lookups: Any = {"trust": world.trust, "suites": world.suites, "roots": world.roots}
    for kind, rows in ((Kind.RECALL, [None]), (Kind.RECEIPT, [None])):
        verified = verify_many(signed.batch, kind, signed.statements, FRA, NOW, **lookups)
        assert verified is not None
        assert read_receipts(verified, USA) == rows
        assert open_many(verified, [Payload(b"", b"", ())], b"", USA, NOW, Opener({})).rows == (None,)
    assert verify_many(signed.batch, Kind.TRUST, signed.statements, FRA, NOW, **lookups) is None
