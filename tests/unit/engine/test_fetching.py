"""Which parts of files the engine asks for and when, and which it gives (engine/attachments.py)."""

from __future__ import annotations

from typing import Any

import pytest

from builders import actor, draft, text
from engine_world import Rig
from intelshare.broker.exchange.recall import RecallCommand, recall
from intelshare.broker.kernel.frame import SLICE, Outbound, Slice, SliceAsk
from intelshare.broker.kernel.tables import BULLETIN, FILE
from intelshare.broker.lifecycle.attachments import FileState
from intelshare.crypto.codec import decode
from intelshare.crypto.pieces import PIECE, pieces_id
from intelshare.crypto.records import Kind, Precedence, Receipt
from intelshare.engine import Limits
from intelshare.engine.actions import ReadSlice, Send, Shred, Tell, WritePiece
from intelshare.engine.events import QueryDone, Ready
from intelshare.engine.steps import Query
from intelshare.engine.values import Notice
from intelshare.errors import StoreError
from intelshare.ids import Digest, MemberCode
from intelshare.instant import SECOND
from line_world import TO_BOTH, hand_over, rows, send
from piece_files import place, portion, uploaded

USA = MemberCode("USA")
LABEL = "//USA SECRET//REL TO USA, FRA"
CONTENT = bytes(range(256)) * (PIECE // 256) + b"and a second piece"
PER_PIECE = PIECE // SLICE


class Peer:
    """USA, which has a file for FRA, and answers what it is asked."""

    def __init__(self, rig: Rig, content: bytes = CONTENT, number: int = 1, **changes: Any) -> None:
        self.rig = rig
        self.record, self.pieces = uploaded(rig.members["USA"], content, number)
        self.id = pieces_id(self.record.pieces)
        given = draft(portion(self.record, LABEL), to=["FRA"], **changes)
        send(rig.members["USA"], given, key=f"file {number}")
        (outbound,) = hand_over(rig.members["USA"], "FRA")
        self.frame = outbound.frame
        self.answered = 0
        self.link = rig.link("USA")

    def asked(self) -> list[int]:
        """Numbers of slices that were asked for over this link and not answered."""
        asks = [ask.number for ask in self.rig.sent(self.link, SliceAsk) if ask.pieces == self.id]
        return asks[self.answered :]

    def answer(self, count: int = 1 << 30, wrong: int = -1, empty: bool = False) -> None:
        """Answer so many."""
        while count and (asked := self.asked()):
            number, count = asked[0], count - 1
            self.answered += 1
            data = b"" if empty else self.pieces[number * SLICE : (number + 1) * SLICE]
            if number == wrong:
                data = bytes([data[0] ^ 1]) + data[1:]
            self.rig.say(self.link, Slice(self.id, number, data))

    def relink(self) -> None:
        """The link breaks, and there is another."""
        self.rig.drop(self.link)
        self.answered = 0
        self.link = self.rig.link("USA")


@pytest.fixture
def rig() -> Rig:
    return Rig()


def states(rig: Rig) -> list[FileState]:
    return [FileState(row.state) for row in rows(rig.fra, FILE)]


def receipts(rig: Rig, link: Any) -> list[tuple[str, ...]]:
    return [
        decode(Receipt, carried.data).codes
        for out in rig.sent(link, Outbound)
        for carried in out.frame.statements
        if carried.kind == Kind.RECEIPT
    ]


def test_a_file_is_fetched_and_the_sender_is_told(rig: Rig) -> None:
    peer = Peer(rig)
    rig.say(peer.link, peer.frame)
    assert peer.asked() == list(range(8))
    peer.answer()
    (row,) = rows(rig.fra, FILE)
    assert row.state == FileState.WHOLE
    held = rig.pieces.files[row.place]
    assert b"".join(held[n] for n in sorted(held)) == peer.pieces
    assert receipts(rig, peer.link) == [(), ("WHOLE",)]
    assert len(rig.sent(peer.link, SliceAsk)) == PER_PIECE + 1, "each part once"


def test_a_file_that_comes_to_be_wanted_while_it_is_asked_which_one_is_does_not_wait(rig: Rig) -> None:
    rig.hold = {Query.FIRST_WANTED}
    peer = Peer(rig)
    rig.say(peer.link, peer.frame)
    (run,), rig.held, rig.hold = rig.held, [], set()
    rig.feed(QueryDone(run, None))  # as it was before the release came
    assert peer.asked() == list(range(8))


def test_what_is_asked_for_at_once_is_bounded(rig: Rig) -> None:
    peer = Peer(rig)
    rig.say(peer.link, peer.frame)
    while peer.asked():
        assert len(peer.asked()) <= Limits().slices
        peer.answer(1)


def test_pieces_in_memory_are_bounded_while_the_disk_is_slow(rig: Rig) -> None:
    peer = Peer(rig, content=bytes(5 * PIECE))
    rig.hold = {WritePiece}
    rig.say(peer.link, peer.frame)
    peer.answer()
    assert len(rig.held) == 2
    assert peer.asked() == []
    rig.release()
    peer.answer()
    assert states(rig) == [FileState.WHOLE]


@pytest.mark.parametrize("after", [1, 8, PER_PIECE - 1, PER_PIECE])
def test_a_link_that_breaks_goes_on_with_the_missing_pieces(rig: Rig, after: int) -> None:
    peer = Peer(rig)
    rig.say(peer.link, peer.frame)
    peer.answer(after)
    peer.relink()
    peer.answer()
    assert states(rig) == [FileState.WHOLE]
    assert sorted(rig.pieces.written) == [0, 1], "no piece twice"
    if after == PER_PIECE:
        assert [ask.number for ask in rig.sent(peer.link, SliceAsk)] == [PER_PIECE]


def test_a_wrong_piece_is_not_kept_and_is_asked_for_again_later(rig: Rig) -> None:
    peer = Peer(rig)
    rig.say(peer.link, peer.frame)
    peer.answer(PER_PIECE + 1, wrong=3)
    assert [tell.code for tell in rig.actions(Tell) if tell.notice is Notice.FILE_WAITS] == [
        "COMMITMENT_MISMATCH"
    ]
    assert states(rig) == [FileState.WANTED]
    assert 0 not in rig.pieces.files[rows(rig.fra, FILE)[0].place]
    peer.answer()
    rig.wait(5 * SECOND)
    peer.answer()
    assert states(rig) == [FileState.WHOLE]


def test_a_peer_that_does_not_have_it_is_asked_again_each_time_later(rig: Rig) -> None:
    peer = Peer(rig)
    rig.say(peer.link, peer.frame)
    asked = len(rig.sent(peer.link, SliceAsk))
    peer.answer(empty=True)
    assert len(rig.sent(peer.link, SliceAsk)) == asked, "it waits"
    for _ in range(20):
        rig.wait(SECOND)
        peer.answer(empty=True)
    assert asked < len(rig.sent(peer.link, SliceAsk)) < 15 * asked
    for _ in range(60):
        peer.answer()
        rig.wait(SECOND)
    assert states(rig) == [FileState.WHOLE]


def test_a_peer_that_falls_silent_is_asked_again(rig: Rig) -> None:
    peer = Peer(rig)
    rig.say(peer.link, peer.frame)
    peer.answered += len(peer.asked())
    rig.wait(35 * SECOND)
    peer.answer()
    assert states(rig) == [FileState.WHOLE]


def test_a_full_disk_holds_the_file_up_and_nothing_else(rig: Rig) -> None:
    peer = Peer(rig)
    rig.pieces.fails = [StoreError("DISK_FULL", "no room")] * 3
    rig.say(peer.link, peer.frame)
    assert receipts(rig, peer.link) == [()], "the text is accepted"
    rig.wait(10 * SECOND)
    peer.answer()
    assert states(rig) == [FileState.WHOLE]


def test_the_most_urgent_file_goes_first_and_one_that_waits_holds_up_no_other(rig: Rig) -> None:
    first = Peer(rig, number=1)
    second = Peer(rig, content=b"short", number=2, precedence=Precedence.FLASH)
    first.link = second.link
    rig.pieces.fails = [StoreError("DISK_ERROR", "one bad file")]
    rig.say(second.link, first.frame)
    rig.say(second.link, second.frame)
    second.answer()
    assert sorted(states(rig)) == [FileState.WANTED, FileState.WHOLE]
    rig.wait(5 * SECOND)
    first.answer()
    assert states(rig) == [FileState.WHOLE] * 2


def test_a_recall_ends_the_fetching_and_removes_what_has_come(rig: Rig) -> None:
    peer = Peer(rig)
    rig.say(peer.link, peer.frame)
    peer.answer(PER_PIECE + 1)
    usa = rig.members["USA"]
    (row,) = rows(usa, BULLETIN)
    taken = usa.do(recall, RecallCommand(actor("USA", "a"), row.bulletin.hex(), "wrong"))
    rig.hold = {Shred}
    for outbound in taken.effects.outbound:
        rig.say(peer.link, outbound.frame)
    (shred,) = rig.held
    assert len(shred.files) == 1
    peer.answer()
    rig.release()
    assert rig.pieces.files == {}
    assert rows(rig.fra, FILE) == []


# The other side


@pytest.fixture
def served(rig: Rig) -> Any:
    """FRA has handed a file over to USA."""
    link = rig.link("USA")
    record, pieces = uploaded(rig.fra, CONTENT)
    rig.pieces.keep(place(), pieces)
    send(rig.fra, draft(portion(record), to=["USA"]))
    rig.feed(Ready((USA,)))
    return rig, link, pieces_id(record.pieces), pieces


def test_a_slice_is_given_to_who_may_have_it(served: Any) -> None:
    rig, link, known, pieces = served
    for number in (0, PER_PIECE, 3):
        rig.say(link, SliceAsk(known, number))
    assert rig.sent(link, Slice) == [
        Slice(known, n, pieces[n * SLICE : (n + 1) * SLICE]) for n in (0, PER_PIECE, 3)
    ]
    assert len(rig.sent(link, Slice)[1].data) == len(pieces) - PIECE


def test_nothing_is_given_to_others_or_beyond_the_end(served: Any) -> None:
    rig, link, known, _ = served
    other = rig.link("KEN")
    rig.say(other, SliceAsk(known, 0))
    rig.say(link, SliceAsk(Digest(bytes(32)), 0))
    rig.say(link, SliceAsk(known, PER_PIECE + 1))
    assert [part.data for part in rig.sent(other, Slice) + rig.sent(link, Slice)] == [b"", b"", b""]
    assert rig.actions(ReadSlice) == []


def test_after_a_recall_nothing_is_given_any_more(served: Any) -> None:
    rig, link, known, _ = served
    rig.say(link, SliceAsk(known, 0))
    (row,) = rows(rig.fra, BULLETIN)
    rig.fra.do(recall, RecallCommand(actor("FRA", "a"), row.bulletin.hex(), "wrong"))
    rig.wait(SECOND)
    rig.say(link, SliceAsk(known, 1))
    assert rig.sent(link, Slice)[-1] == Slice(known, 1, b"")


def test_one_slice_is_read_at_a_time_and_two_wait_to_be_written(served: Any) -> None:
    rig, link, known, _ = served
    rig.hold = {Send}
    for number in range(10):
        rig.say(link, SliceAsk(known, number))
    assert len(rig.actions(ReadSlice)) <= 4
    rig.release()
    assert [part.number for part in rig.sent(link, Slice)] == list(range(10))


def test_an_urgent_bulletin_goes_before_slices_that_wait(served: Any) -> None:
    rig, link, known, _ = served
    rig.hold = {Send}
    for number in range(10):
        rig.say(link, SliceAsk(known, number))
    send(rig.fra, draft(text(TO_BOTH), to=["USA"], precedence=Precedence.FLASH), key="flash")
    rig.feed(Ready((USA,)))
    rig.release()
    sent = [type(send.message) for send in rig.actions(Send) if send.link == link]
    flash = max(n for n, kind in enumerate(sent) if kind is Outbound)
    assert sent[:flash].count(Slice) <= 1, "only what the driver had been given"


def test_a_peer_that_asks_for_too_much_at_once_is_cut_off(served: Any) -> None:
    rig, link, known, _ = served
    rig.hold = {ReadSlice}
    for number in range(40):
        rig.say(link, SliceAsk(known, number))
    assert rig.closed(link) == "RATE"
