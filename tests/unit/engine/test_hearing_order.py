"""After the disk forgot: each member is asked once a link, and heard once a link was open long enough."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders import NOW
from engine_world import Rig
from intelshare.broker.kernel.frame import Gap
from intelshare.broker.kernel.node import with_trust
from intelshare.broker.lifecycle.hearing import begin_hearing, unheard
from intelshare.crypto.records import Kind, Receipt, ReceiptStatus
from intelshare.engine import Limits, Query, Step
from intelshare.engine.actions import RunQuery, Tell
from intelshare.engine.events import QueryDone, Started, Stop
from intelshare.engine.hearing import AGAIN
from intelshare.engine.values import Notice
from intelshare.errors import StoreError
from intelshare.ids import LeafId, MemberCode
from intelshare.instant import SECOND, Instant
from line_world import signed

USA, KEN = MemberCode("USA"), MemberCode("KEN")


@pytest.fixture(name="rig")
def _rig() -> Rig:
    rig = Rig(Limits(hearing=10 * SECOND))
    rig.fra.do(begin_hearing, NOW, at=NOW)
    return rig


def waited(rig: Rig) -> list[MemberCode]:
    return [row.member for row in unheard(rig.fra.store)]


def asked(rig: Rig) -> int:
    return len(rig.steps(Step.BACK_SINCE))


def test_a_member_is_asked_once_over_each_link_and_heard_after_its_time(rig: Rig) -> None:
    rig.feed(Started())
    link = rig.link()
    rig.wait(9 * SECOND)
    assert asked(rig) == 1
    assert any(gap.origin == rig.fra.node.uri and not gap.incarnation for gap in rig.sent(link, Gap))
    assert waited(rig) == [KEN, USA]
    rig.wait(3 * SECOND)
    assert waited(rig) == [KEN]
    assert Tell(Notice.HEARD, rig.members["USA"].node.uri) in rig.seen


def test_a_link_that_ends_too_early_hears_nobody_and_the_next_one_asks_again(rig: Rig) -> None:
    rig.feed(Started())
    rig.drop(_open_for(rig, 9 * SECOND))
    _open_for(rig, 9 * SECOND)
    assert (asked(rig), waited(rig)) == (2, [KEN, USA])


def test_a_wall_clock_that_jumps_hears_nobody(rig: Rig) -> None:
    rig.feed(Started())
    _open_for(rig, 2 * SECOND)
    rig.ahead = 3600 * SECOND
    rig.wait(5 * SECOND)
    assert waited(rig) == [KEN, USA]


def test_a_request_that_fails_is_made_again(rig: Rig) -> None:
    rig.fails[Step.BACK_SINCE] = StoreError("DISK_FULL", "no room")
    rig.feed(Started())
    _open_for(rig, 3 * SECOND)
    assert asked(rig) > 1
    rig.fails.clear()
    rig.wait(12 * SECOND)
    assert waited(rig) == [KEN]


def test_a_node_that_waits_for_nobody_looks_once() -> None:
    rig = Rig()
    rig.feed(Started())
    rig.link()
    rig.wait(5 * SECOND)
    assert len([run for run in rig.actions(RunQuery) if run.query is Query.UNHEARD]) == 1
    assert not asked(rig)


@pytest.mark.parametrize("late", [False, True])
def test_a_node_that_waited_for_nobody_looks_again_once_somebody_was_imported(late: bool) -> None:
    """``late``: it is told that nobody is waited for when that is so no longer."""
    rig = Rig()
    if late:
        rig.hold.add(Query.UNHEARD)
    rig.feed(Started())
    rig.link()
    rig.wait(3 * SECOND)
    rig.fra.do(begin_hearing, NOW)
    rig.fra.node = with_trust(rig.fra.node, replace(rig.fra.node.trust))
    if late:
        (query,) = rig.held
        rig.hold.clear()
        rig.feed(QueryDone(query, []))
    rig.wait(3 * SECOND)
    assert asked(rig) == 1


def test_a_node_that_stops_asks_nobody(rig: Rig) -> None:
    rig.feed(Started())
    rig.feed(Stop())
    rig.wait(3 * SECOND)
    assert not asked(rig)


@pytest.fixture(name="unaware")
def _unaware() -> Rig:
    """A node that waits for nobody."""
    rig = Rig()
    rig.feed(Started())
    rig.wait(2 * SECOND)
    return rig


def test_a_member_that_answers_what_is_not_known_here_is_asked_once_over_each_link(unaware: Rig) -> None:
    for _ in range(2):
        link = unaware.link()
        _answers(unaware, link, b"1", signed_at=NOW)
        _answers(unaware, link, b"2", signed_at=NOW)
        (gap,) = [gap for gap in unaware.sent(link, Gap) if gap.origin]
        assert (gap.origin, gap.incarnation, gap.missing[0][0]) == (unaware.fra.node.uri, 0, NOW)
        unaware.drop(link)


def test_a_member_that_answers_what_came_after_it_was_asked_is_asked_again(unaware: Rig) -> None:
    """A release that was on a courier's stick when the disk was put back."""
    link = unaware.link()
    _answers(unaware, link, b"1", signed_at=NOW)
    unaware.wait(AGAIN + SECOND)
    for text in (b"2", b"3"):
        _answers(unaware, link, text, signed_at=Instant(NOW + AGAIN))
    assert [gap.missing[0][0] for gap in unaware.sent(link, Gap) if gap.origin] == [NOW, NOW + AGAIN]


def test_a_member_that_answers_what_is_older_is_asked_again(unaware: Rig) -> None:
    link = unaware.link()
    _answers(unaware, link, b"1", signed_at=NOW)
    unaware.wait(2 * SECOND)
    _answers(unaware, link, b"2", signed_at=Instant(NOW - SECOND))
    assert [gap.missing[0][0] for gap in unaware.sent(link, Gap) if gap.origin] == [NOW, NOW - SECOND]


def _answers(rig: Rig, link: int, of: bytes, *, signed_at: Instant) -> None:
    """USA sends a receipt for a release that FRA does not know."""
    receipt = Receipt(rig.fra.node.member, LeafId(of * 32), ReceiptStatus.ACCEPTED, (), signed_at)
    rig.say(link, signed(rig.members["USA"], Kind.RECEIPT, receipt))


def _open_for(rig: Rig, time: int) -> int:
    link = rig.link()
    rig.wait(time)
    return link
