"""However a peer's acts arrive, and whatever it signs: what counts is one chain, the same for everybody."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import NOW
from intelshare.broker.kernel.frame import Frame
from intelshare.broker.kernel.tables import ACT, ActRow
from intelshare.broker.treaty.act import MAX_CONTRADICTING, ActState, counting, missing_acts
from intelshare.crypto.codec import decode
from intelshare.crypto.records import Act, Kind, Reservation, TreatyAct
from intelshare.ids import Digest, LeafId, MemberCode
from intelshare.instant import NEVER, Instant
from intelshare.policy import with_acts
from intelshare.statement import leaf_id
from line_world import arrive, codes, met, rows, signed

KEN = MemberCode("KEN")
NONE = LeafId(bytes(32))
TERMS = Reservation(("cyber",), "R1", (MemberCode("FRA"),), Instant(0), NEVER)

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def text() -> Digest:
    (treaty,) = [one for one in met(["FRA", "KEN"])["FRA"].node.world.files if one.id == "demo-climate"]
    return Digest(bytes.fromhex(treaty.text.removeprefix("sha256:")))


def made(ken: Any, n: int, previous: LeafId, kind: Act, text: Digest, salt: int = 0) -> tuple[Frame, LeafId]:
    terms = (TERMS,) if kind is Act.RESERVE else ()
    record = TreatyAct(KEN, n, previous, "demo-climate", text, kind, NOW, terms)
    frame = signed(ken, Kind.TREATY_ACT, record, seed=f"{n} {previous.hex()} {kind} {salt}")
    (carried,) = frame.statements
    return frame, leaf_id(Kind.TREATY_ACT, carried.nonce, carried.data)


def chain(ken: Any, kinds: list[Act], text: Digest) -> list[Frame]:
    frames, previous = [], NONE
    for n, kind in enumerate(kinds, 1):
        frame, previous = made(ken, n, previous, kind, text)
        frames.append(frame)
    return frames


KINDS = st.lists(st.sampled_from(list(Act)), min_size=1, max_size=6)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(kinds=KINDS, dice=st.randoms(use_true_random=False))
def test_the_order_of_arrival_changes_nothing_in_the_end(text: Digest, kinds: list[Act], dice: Any) -> None:
    orderly, mixed = met(["FRA", "KEN"]), met(["FRA", "KEN"])
    frames = chain(orderly["KEN"], kinds, text)
    for frame in frames:
        arrive(orderly["FRA"], orderly["KEN"], frame)
    shuffled = [*frames, *frames[:2]]
    dice.shuffle(shuffled)
    seen: set[int] = set()
    for frame in shuffled:
        taken = arrive(mixed["FRA"], mixed["KEN"], frame)
        assert codes(taken) == [""]
        seen.add(decode(TreatyAct, frame.statements[0].data).n)
        first = next(n for n in range(1, len(kinds) + 2) if n not in seen)
        hole = first if max(seen) > first else None
        assert missing_acts(rows(mixed["FRA"], ACT)) == hole
        assert len(mixed["FRA"].node.world.acts) == first - 1
    assert mixed["FRA"].node.world.treaties == orderly["FRA"].node.world.treaties
    stored = mixed["FRA"].store.ask_now(counting)
    files = mixed["FRA"].node.world.files
    assert with_acts(files, stored) == mixed["FRA"].node.world.treaties


ODD = st.lists(
    st.tuples(st.integers(1, 6), st.integers(-1, 6), st.sampled_from(list(Act)), st.integers(0, 1)),
    min_size=1,
    max_size=14,
)
"""Number, which earlier one it names (-1: none), kind, salt."""


@settings(max_examples=60, deadline=None, derandomize=True)
@given(odd=ODD)
def test_whatever_a_peer_signs_what_counts_is_one_chain(text: Digest, odd: Any) -> None:
    members = met(["FRA", "KEN"])
    fra, ken = members["FRA"], members["KEN"]
    leaves: list[LeafId] = []
    for n, named, kind, salt in odd:
        previous = leaves[named % len(leaves)] if named >= 0 and leaves else NONE
        before = fra.node.world
        frame, leaf = made(ken, n, previous, kind, text, salt)
        leaves.append(leaf)
        (code,) = codes(arrive(fra, ken, frame))
        assert code in ("", "SEQUENCE_FORK", "ENVELOPE_MALFORMED")
        held: list[ActRow] = rows(fra, ACT)
        counts = sorted((row for row in held if row.state == ActState.COUNTS), key=lambda row: row.n)
        assert [row.n for row in counts] == list(range(1, len(counts) + 1))
        named_by = [decode(TreatyAct, row.data).previous for row in counts]
        assert named_by == [NONE, *(row.leaf for row in counts)][: len(counts)]
        assert len(fra.node.world.acts) == len(counts)
        if len(before.acts) == len(counts):
            assert fra.node.world.treaties == before.treaties
        contradicting = [row for row in held if row.state == ActState.CONTRADICTS]
        assert len(contradicting) <= MAX_CONTRADICTING
        if contradicting:
            assert missing_acts(held) is None
