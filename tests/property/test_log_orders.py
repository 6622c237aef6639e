"""Hellos, checkpoints and paths in any order, some answers empty or never given: the verdict is the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intelshare.audit.exhibit import Exhibit, describe
from intelshare.audit.path import LogAsk, LogPath
from intelshare.audit.work import finish
from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.tables import TABLES
from intelshare.broker.transparency.checkpoint import answer
from intelshare.broker.transparency.known_checkpoints import CheckpointState
from intelshare.broker.transparency.witness import prove
from intelshare.crypto.codec import decode
from intelshare.ids import MemberCode
from intelshare.ports import Plan, Put
from intelshare.store.memory import MemoryStore
from intelshare.verifier import check_evidence
from line_world import everything, met, say_hello
from log_world import Logs, rewrite

pytestmark = pytest.mark.timeout(300)

TABLE = {table.name: table for table in TABLES}


class Mixed(Logs):
    """What is on the way arrives in any order; asks are lost while the link is down."""

    def __init__(self) -> None:
        super().__init__(met())
        self.waiting: list[Callable[[], object]] = []
        self.up = True
        self.empty = 0

    def follow(self, code: str, effects: Effects) -> None:
        if self.up:
            self.waiting += [partial(self.reply, code, member, ask) for member, ask in effects.asks]

    def reply(self, code: str, member: MemberCode, ask: LogAsk) -> None:
        """The node answers as its disk is now; of the first answers so many are empty."""
        other = self.members[member]
        path = finish(answer(other.node, other.store, ask))
        if self.empty:
            self.empty -= 1
            path = LogPath(ask, (), (), ())
        if path is not None:
            proved = self.members[code].do(prove, member, other.node.uri, path, at=self.tick())
            self.follow(code, proved)

    def run(self, dice: Random) -> None:
        while self.waiting:
            self.waiting.pop(dice.randrange(len(self.waiting)))()


@dataclass(frozen=True)
class Story:
    """What USA does before it starts anew, and how it comes back."""

    how: str
    answered: tuple[tuple[bool, ...], ...]
    """For each earlier log, its checkpoints: whether the path was shown."""
    empty: int


def told(story: Story, dice: Random) -> Mixed:
    """The story as FRA hears it."""
    logs = Mixed()
    usa = logs.members["USA"]
    logs.act("USA", 2)
    logs.show("USA", "FRA")
    backup = everything(usa)
    for number, checkpoints in enumerate(story.answered):
        if number:
            logs.restart("USA")
        backup = everything(usa)
        for up in checkpoints:
            logs.act("USA", 2)
            logs.up = up
            logs.show("USA", "FRA")
            logs.run(Random(1))
    logs.up = True
    if story.how == "restored":
        rows = [Put(TABLE[name], row) for name in backup for row in backup[name]]
        usa.store = MemoryStore([Plan(tuple(rows), None)])
    if story.how == "rewritten":
        rewrite(usa, 2)
    logs.restart("USA")
    logs.empty = story.empty
    logs.waiting.append(lambda: hello(logs))
    for _ in range(2):
        said = logs.say("USA")
        logs.waiting.append(partial(logs.deliver, "USA", said, "FRA"))
        logs.act("USA")
    logs.run(dice)
    # Whatever was lost: the next hello and the next checkpoint are answered.
    hello(logs)
    logs.run(dice)
    logs.show("USA", "FRA")
    logs.run(dice)
    return logs


def hello(logs: Mixed) -> None:
    logs.follow("FRA", say_hello(logs.members["USA"], logs.members["FRA"], at=logs.now).effects)


def verdict(logs: Mixed) -> list[tuple[str, str]]:
    return [(row.code, describe(row.code, decode(Exhibit, row.exhibit))) for row in logs.alarms("FRA")]


LOGS = st.lists(st.lists(st.booleans(), min_size=1, max_size=3).map(tuple), min_size=1, max_size=2)
HOW = st.sampled_from(["honest", "rewritten", "restored"])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(how=HOW, answered=LOGS, empty=st.integers(0, 4), dice=st.integers(0, 1 << 32))
def test_every_order_ends_in_the_same_verdict(how: str, answered: Any, empty: int, dice: int) -> None:
    story = Story(how, tuple(answered), empty)
    logs = told(story, Random(dice))
    found = verdict(logs)
    assert found == verdict(told(Story(how, story.answered, 0), Random(0)))
    if how == "honest":
        assert not found
    else:
        ((code, what),) = found
        assert (code, what.split(",")[0].split(" at ")[0]) == {
            "rewritten": ("LOG_INCONSISTENT", "history rewritten"),
            "restored": ("LOG_FORGOT", "new incarnation"),
        }[how]
    if how == "rewritten":
        (row,) = logs.alarms("FRA")
        assert check_evidence(logs.export("FRA", row), "file").member == "USA"
    else:
        assert not logs.held("FRA", "USA", CheckpointState.CLAIMED) + logs.held(
            "FRA", "USA", CheckpointState.DOUBTED
        )
        assert not logs.held("FRA", "USA", CheckpointState.BROKEN)
