"""``node drain`` waits for what users have said, and not for the states that each later one replaces."""

from __future__ import annotations

from typing import Any

import pytest

from builders import NOW, actor, draft, federation, text
from courier_world import carry
from intelshare.broker.exchange.recall import RecallCommand, recall
from intelshare.broker.line.hello import announce
from intelshare.broker.queries.lists import queued
from intelshare.broker.queries.queues import drains
from intelshare.broker.transparency.checkpoint import checkpoint
from intelshare.ids import MemberCode
from intelshare.instant import MINUTE, Instant
from intelshare.store.memory import MemoryStore
from line_world import TO_USA, send

USA = MemberCode("USA")


@pytest.fixture(name="members")
def _members() -> Any:
    """They know each other's documents, and never have a link."""
    return federation(("FRA", "USA"), MemoryStore)


def waits(member: Any, other: str) -> tuple[int, int]:
    node, store = member.node, member.store
    return tuple(store.ask_now(lambda view: drains(node, view, MemberCode(other))))


def owed(member: Any, other: str) -> int:
    return int(member.store.ask_now(lambda view: queued(view, MemberCode(other)))[1])


def test_a_drain_ends_beside_a_member_that_gets_bundles_alone(members: Any) -> None:
    """Every bundle makes the log grow, so that a checkpoint is owed to it always."""
    fra, usa = members["FRA"], members["USA"]
    send(fra, draft(text(TO_USA), to=["USA"]))
    assert waits(fra, "USA") == (1, 0)
    for turn in range(3):
        at = Instant(NOW + (turn + 1) * MINUTE)
        for one in (fra, usa):
            one.do(checkpoint, at=at)
        carry(fra, usa, at)
        carry(usa, fra, at)
        for one in (fra, usa):
            one.do(checkpoint, at=Instant(at + MINUTE // 2))
    assert owed(fra, "USA") == owed(usa, "FRA") == 1
    assert waits(fra, "USA") == waits(usa, "FRA") == (0, 0)


def test_a_drain_waits_for_a_receipt_and_a_recall(members: Any) -> None:
    fra, usa = members["FRA"], members["USA"]
    md = send(fra, draft(text(TO_USA), to=["USA"])).bulletin
    carry(fra, usa)
    assert waits(fra, "USA") == waits(usa, "FRA") == (0, 1), "the release, and the receipt"
    carry(usa, fra)
    assert waits(fra, "USA") == (0, 0)
    fra.do(recall, RecallCommand(actor("FRA", "a"), md.hex(), "wrong"))
    assert waits(fra, "USA") == (0, 1)


def test_a_drain_does_not_wait_for_a_directory_which_the_next_hello_brings(members: Any) -> None:
    fra = members["FRA"]
    fra.do(announce, [USA])
    assert owed(fra, "USA") == 1
    assert waits(fra, "USA") == (0, 0)
