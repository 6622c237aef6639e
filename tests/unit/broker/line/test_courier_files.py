"""Courier: attachments go with the bundle of their bulletin, and come whole or are asked for again."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from builders import actor, draft, federation
from courier_world import drive, export, take_in
from intelshare.broker.exchange.recall import RecallCommand, recall
from intelshare.broker.kernel.frame import SLICE, Slice, SliceAsk
from intelshare.broker.kernel.tables import BULLETIN, FILE, OWED, Owed
from intelshare.broker.lifecycle.attachments import FileState
from intelshare.broker.line.courier import MOST
from intelshare.crypto.pieces import PIECE, pieces_id
from intelshare.engine.courier import Packed, TakenIn
from intelshare.errors import IntelshareError, StoreError
from intelshare.ids import Digest, MemberCode
from intelshare.store.memory import MemoryStore
from line_world import LATER, rows, send
from piece_files import PieceFiles, place, portion, uploaded

CONTENT = bytes(range(251)) * (2 * PIECE // 251) + b"and some of a third piece"
OVERHEAD = 64 << 10
"""More than the statements of a bundle need here."""


class Two:
    """FRA has a file for USA; they have no link."""

    def __init__(self) -> None:
        members = federation(("FRA", "USA", "KEN"), MemoryStore)
        self.fra, self.usa, self.ken = (members[code] for code in ("FRA", "USA", "KEN"))
        self.at_fra, self.at_usa = PieceFiles(), PieceFiles()
        record, self.pieces = uploaded(self.fra, CONTENT)
        self.at_fra.keep(place(), self.pieces)
        self.id = pieces_id(record.pieces)
        send(self.fra, draft(portion(record), to=["USA"]))

    def bundle(self, **changes: Any) -> tuple[bytes, Packed]:
        """From FRA."""
        return export(self.fra, "USA", files=self.at_fra, **changes)

    def take(self, data: bytes) -> TakenIn:
        """At USA."""
        return take_in(self.usa, data, files=self.at_usa)

    def answer(self) -> Packed:
        """USA's bundle, taken in by FRA."""
        data, packed = export(self.usa, "FRA", files=self.at_usa)
        take_in(self.fra, data, files=self.at_fra)
        return packed

    @property
    def state(self) -> FileState:
        """At USA."""
        (row,) = rows(self.usa, FILE)
        return FileState(row.state)

    def is_whole(self) -> bool:
        """Whether USA has every byte."""
        (held,) = self.at_usa.files.values()
        return self.state is FileState.WHOLE and b"".join(held[n] for n in sorted(held)) == self.pieces

    def slices(self) -> list[Slice]:
        """All of the file's, as a bundle has them."""
        parts = range(0, len(self.pieces), SLICE)
        return [Slice(self.id, start // SLICE, self.pieces[start : start + SLICE]) for start in parts]

    def hand(self, taken: TakenIn, slices: list[Slice]) -> None:
        """Take in these after the rest of a bundle."""
        for one in slices:
            drive(self.usa, taken.take(one, None, believed=True), LATER, files=self.at_usa)


@pytest.fixture(name="two")
def _two() -> Two:
    return Two()


def test_a_file_goes_with_its_bulletin_and_its_receipt_ends_that(two: Two) -> None:
    data, packed = two.bundle()
    assert (packed.releases, packed.files, packed.files_left) == (1, 1, 0)
    taken = two.take(data)
    assert (taken.accepted, taken.files, taken.rejected) == (1, 1, {})
    assert two.is_whole()
    assert two.bundle(seed="again")[1].files == 1, "nobody has said that it came"
    two.answer()
    assert two.bundle(seed="after")[1].files == 0


def test_a_request_for_a_file_that_is_whole_by_now_is_answered_no_more(two: Two) -> None:
    two.take(two.bundle(most=OVERHEAD)[0])
    asking, _ = export(two.usa, "FRA", files=two.at_usa, seed="asks")
    two.take(two.bundle(seed="whole")[0])
    told, _ = export(two.usa, "FRA", files=two.at_usa, seed="whole")
    for data in (asking, told):
        take_in(two.fra, data, files=two.at_fra)
    assert two.is_whole()
    assert two.bundle(seed="after")[1].files == 0


def test_a_bundle_that_comes_twice_writes_nothing_twice(two: Two) -> None:
    data, _ = two.bundle()
    two.take(data)
    written = list(two.at_usa.written)
    assert two.take(data).files == 0
    assert two.at_usa.written == written
    assert two.is_whole()


def test_a_file_that_is_larger_than_a_bundle_comes_in_several_each_asked_for(two: Two) -> None:
    data, packed = two.bundle(most=OVERHEAD)
    assert (packed.releases, packed.files, packed.files_left) == (1, 0, 1)
    assert len(data) < PIECE + 2 * OVERHEAD, "a bundle is over its limit by a piece at most"
    two.take(data)
    for count in (1, 2):
        assert len(two.at_usa.written) == count
        assert two.answer().requests >= 1
        data, packed = two.bundle(most=OVERHEAD, seed=f"part {count}")
        assert two.take(data).files == packed.files
    assert two.at_usa.written == [0, 1, 2]
    assert two.is_whole()


def test_a_torn_bundle_leaves_whole_pieces_and_the_next_one_the_rest(two: Two) -> None:
    data, _ = two.bundle()
    with pytest.raises(IntelshareError, match="BUNDLE_INCOMPLETE"):
        two.take(data[: -len(data) // 3])
    assert two.state is FileState.WANTED
    assert len(two.at_usa.written) < 3
    two.take(two.bundle(seed="again")[0])
    assert two.is_whole()


@pytest.mark.parametrize("seed", range(5))
def test_slices_in_any_order_twice_or_missing_break_nothing(two: Two, seed: int) -> None:
    draw = random.Random(seed)
    taken = two.take(two.bundle(most=1)[0])
    count = len(two.at_usa.written)
    mixed = [one for one in two.slices() for _ in range(draw.randint(0, 2))]
    draw.shuffle(mixed)
    two.hand(taken, mixed)
    assert taken.rejected == {}
    assert len(two.at_usa.written) >= count
    two.hand(taken, two.slices())
    assert two.is_whole()


def test_what_is_not_the_file_is_not_written(two: Two) -> None:
    taken = two.take(two.bundle(most=1)[0])
    wrong = two.slices()
    wrong[PIECE // SLICE] = replace(wrong[PIECE // SLICE], data=bytes(SLICE))
    short = [replace(one, data=one.data[:-1]) for one in two.slices()]
    beyond = [replace(one, number=one.number + (1 << 40)) for one in two.slices()]
    other = [replace(one, pieces=Digest(bytes(32))) for one in two.slices()]
    two.at_usa.written.clear()
    two.at_usa.files.clear()
    for slices in (short, beyond, other):
        two.hand(taken, slices)
    assert two.at_usa.written == []
    two.hand(TakenIn(taken.said), wrong)
    assert two.at_usa.written == [0]
    again = TakenIn(taken.said)
    two.hand(again, wrong)
    assert again.rejected == {"COMMITMENT_MISMATCH": 1}
    two.hand(TakenIn(taken.said), two.slices())
    assert two.is_whole()


def test_a_full_disk_skips_the_file_and_it_is_asked_for_again(two: Two) -> None:
    two.at_usa.fails = [StoreError("DISK_FULL", "no room")]
    taken = two.take(two.bundle()[0])
    assert (taken.accepted, taken.rejected) == (1, {"DISK_FULL": 1})
    assert two.answer().requests >= 1
    two.take(two.bundle(seed="again")[0])
    assert two.is_whole()


def test_nobody_gets_the_file_who_may_not_have_it(two: Two) -> None:
    assert export(two.fra, "KEN", files=two.at_fra)[1].files == 0
    two.take(two.bundle(most=1)[0])
    two.answer()
    (row,) = rows(two.fra, BULLETIN)
    two.fra.do(recall, RecallCommand(actor("FRA", "a"), row.bulletin.hex(), "wrong"), at=LATER)
    data, packed = two.bundle(at=LATER, seed="recalled")
    assert (packed.files, packed.files_left) == (0, 0)
    assert len(data) < OVERHEAD


def test_what_a_member_may_ask_for_has_a_bound(two: Two) -> None:
    taken = two.take(two.bundle()[0])
    for number in range(MOST[Owed.FILE] + 5):
        ask = SliceAsk(Digest(number.to_bytes(32)), 1 << 60)
        drive(two.usa, taken.take(ask, None, believed=True), LATER)
    assert two.usa.store.ask_now(lambda view: view.count(OWED, "key", MemberCode("FRA"), Owed.FILE)) == 256
    assert export(two.usa, "FRA", files=two.at_usa)[1].files == 0
