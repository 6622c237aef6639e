"""When a destination is looked at again for which something waits that may not go."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from intelshare.engine.sender import Sender
from intelshare.engine.steps import Query, Step
from intelshare.engine.values import LinkId, Now
from intelshare.ids import MemberCode
from intelshare.instant import MINUTE, Instant
from intelshare.ports import durable_after_commit

USA = MemberCode("USA")
NOTHING = durable_after_commit(())


def turn_of(done: list[Any]) -> Any:
    """A turn of a node with one link, over which there is room."""
    queue = SimpleNamespace(more=False, room=lambda: 1, due=lambda _: None)
    link = SimpleNamespace(
        member=USA,
        number=LinkId(1),
        queue=queue,
        clock=SimpleNamespace(agrees=lambda _: True),
        waits_until=lambda _: None,
    )
    links = SimpleNamespace(of_member=lambda _: link, newest=lambda: [link])
    parts = SimpleNamespace(links=links, limits=SimpleNamespace(releases=128))
    now = Now(Instant(1), Instant(0), believed=True, confirmed=True)
    return SimpleNamespace(parts=parts, now=now, do=done.append)


def in_vain(sender: Sender, turn: Any, done: list[Any], left: int) -> None:
    """The hand-over takes nothing, and so much is left."""
    run = done.pop()
    assert run.step is Step.HANDOVER
    sender.handed(turn, run, NOTHING)
    assert done.pop().query is Query.QUEUED
    sender.counted(turn, USA, left)


def test_what_may_not_go_is_looked_at_again_after_a_minute_though_nothing_has_changed() -> None:
    """The key to which it is sealed may begin to count by then."""
    done: list[Any] = []
    sender, turn = Sender(), turn_of(done)
    sender.wake(turn, [USA])
    in_vain(sender, turn, done, 3)
    in_vain(sender, turn, done, 3)  # at once: it may have become ready meanwhile
    for number in range(1, 4):
        assert done == []
        assert sender.next_at() == number * MINUTE
        turn.now = Now(Instant(1), Instant(number * MINUTE), believed=True, confirmed=True)
        sender.tick(turn)
        in_vain(sender, turn, done, 3)
        in_vain(sender, turn, done, 3)


def test_nothing_is_looked_at_again_where_nothing_is_left() -> None:
    done: list[Any] = []
    sender, turn = Sender(), turn_of(done)
    sender.wake(turn, [USA])
    in_vain(sender, turn, done, 0)
    assert (done, sender.next_at()) == ([], None)
