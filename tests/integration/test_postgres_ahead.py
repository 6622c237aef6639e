"""Steps of replicas run ahead of the turn to write: in effect they are as serial as with one process."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from builders import NOW, actor, draft, seeded, text
from intelshare.audit import LogHead, append
from intelshare.audit.records import EntryType
from intelshare.broker.exchange.recall import RecallCommand, recall
from intelshare.broker.kernel.counters import LOG_BYTES, QUEUE, count_of
from intelshare.broker.kernel.log import opened
from intelshare.broker.kernel.node import Node, Recent
from intelshare.broker.kernel.queue_bounds import QueueBounds
from intelshare.broker.kernel.tables import ACT, BULLETIN, LOG_HEAD, NODE, PAIR, TABLES, USER, ActRow
from intelshare.broker.line.handover import handover
from intelshare.broker.line.submit import SubmitCommand, submit, submit_many
from intelshare.errors import IntelshareError
from intelshare.ids import LeafId, MemberCode, UserUri
from intelshare.instant import Instant
from intelshare.ports import Delete, Plan, Put, View, changed
from intelshare.statement import MAX_LEAVES
from intelshare.store.postgres import ahead
from intelshare.store.postgres.schema import first_schema
from intelshare.store.postgres.store import PostgresStore
from intelshare.store.server import Server
from line_world import ROOM, TO_USA, met, world_with
from postgres_server import new_schema, server_url
from store_tables import TALLY, THING, Tally, put, thing
from together_stores import together, turn_held, until
from waits import LIMIT

USA = MemberCode("USA")


@pytest.fixture
def server() -> Server:
    return Server(server_url(), new_schema())


@pytest.fixture(autouse=True)
def _slow_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "STALE", LIMIT)


def writes(*made: Any) -> Callable[[View], Plan[None]]:
    return lambda _: Plan(made, None)


@dataclass(frozen=True)
class Case:
    """What a step reads, what another replica commits before its turn, and how often the step runs."""

    reads: Callable[[View], Any]
    others: tuple[Any, ...]
    runs: int


CASES = {
    "a row": Case(lambda view: view.get(TALLY, "n"), (Put(TALLY, Tally("n", 7)),), 2),
    "a row that was not there": Case(lambda view: view.get(TALLY, "x"), (Put(TALLY, Tally("x", 7)),), 2),
    "a row that goes": Case(lambda view: view.get(TALLY, "gone"), (Delete(TALLY, ("gone",)),), 2),
    "one of many rows": Case(
        lambda view: view.get_many(TALLY, [("m",), ("n",)]), (Put(TALLY, Tally("n", 8)),), 2
    ),
    "another row": Case(lambda view: view.get(TALLY, "m"), (Put(TALLY, Tally("n", 9)),), 1),
    "a list that grows": Case(lambda view: view.find(THING, "due", 1), (Put(THING, thing("b", rank=1)),), 2),
    "a list that one leaves": Case(
        lambda view: view.find(THING, "due", 1), (Put(THING, thing("a", rank=2)),), 2
    ),
    "another list": Case(lambda view: view.find(THING, "due", 5), (Put(THING, thing("c", rank=3)),), 1),
    "a list with a flag": Case(lambda view: view.find(THING, "first"), (Put(THING, thing("d", rank=1)),), 2),
    "how many there are": Case(lambda view: view.count(THING, "due", 3), (Delete(THING, ("c", 0)),), 2),
    "how many of a key": Case(lambda view: view.count(THING, "key", "a"), (Put(THING, thing("a", 1)),), 2),
}


async def test_a_step_sees_what_was_committed_before_it_and_runs_again_only_for_what_it_has_read(
    server: Server, tmp_path: Path
) -> None:
    with together(server, tmp_path, 2) as (one, other):
        await one.perform(writes(*[Put(TALLY, Tally(name, 1)) for name in ("n", "m", "gone")]))
        await one.perform(put(thing("a", rank=1)))
        for name, case in CASES.items():
            seen: list[Any] = []

            def step(view: View, case: Case = case, seen: list[Any] = seen) -> Plan[Any]:
                seen.append(case.reads(view))
                return Plan((Put(TALLY, Tally("mine", len(seen))),), seen[-1])

            async with turn_held(server, tmp_path) as waits:
                theirs = asyncio.ensure_future(other.perform(writes(*case.others)))
                await waits(other)
                mine = asyncio.ensure_future(one.perform(step))
                await waits(one)
                assert len(seen) == 1, name
            await theirs
            assert (await mine).value == one.ask_now(case.reads), name
            assert len(seen) == case.runs, name


async def test_what_steps_go_by_besides_rows_and_the_time_of_day_must_still_hold_in_the_turn(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with together(server, tmp_path, 2) as (one, other):
        assert one.together is not None
        one.together.followed = lambda groups: groups.touch(THING)
        runs: list[int] = []

        def step(_: View) -> Plan[None]:
            runs.append(1)
            return Plan((Put(TALLY, Tally("mine", len(runs))),), None)

        for theirs, stale, expected in (
            (thing("a"), LIMIT, 2),
            (Tally("n", 1), LIMIT, 1),
            (Tally("n", 1), 0.0, 2),
        ):
            monkeypatch.setattr(ahead, "STALE", stale)
            runs.clear()
            async with turn_held(server, tmp_path) as waits:
                before = asyncio.ensure_future(other.perform(put(theirs)))
                await waits(other)
                mine = asyncio.ensure_future(one.perform(step))
                await waits(one)
            await asyncio.gather(before, mine)
            assert len(runs) == expected


async def test_who_has_read_what_a_step_wrote_that_ran_again_runs_again_too(
    server: Server, tmp_path: Path
) -> None:
    """In one group: b has read what a wrote before it ran again, c what a wrote only the first time; e has
    read what d says late.
    """
    with together(server, tmp_path, 2) as (one, other):
        begun, go_on, first = threading.Event(), threading.Event(), []

        def holds(_: View) -> Plan[None]:
            begun.set()
            assert go_on.wait(30)
            return Plan((), None)

        def value(view: View, name: str) -> int:
            row = view.get(TALLY, name)
            return row.value if row is not None else 0

        def a(view: View) -> Plan[int]:
            once = () if first else (Put(TALLY, Tally("once", 1)),)
            first.append(1)
            count = value(view, "n") + 1
            return Plan((Put(TALLY, Tally("a", count)), *once), count)

        def b(view: View) -> Plan[int]:
            return Plan((Put(TALLY, Tally("b", value(view, "a") + 1)),), value(view, "a"))

        def c(view: View) -> Plan[int]:
            return Plan((Put(TALLY, Tally("c", value(view, "once") + 1)),), value(view, "once"))

        def d(view: View) -> Plan[None]:
            if view.unbound is None:
                return Plan((Put(TALLY, Tally("d", 99)),), None)
            return Plan((), None, late=lambda now: (Put(TALLY, Tally("d", value(now, "n") + 10)),))

        def e(view: View) -> Plan[int]:
            return Plan((Put(TALLY, Tally("e", value(view, "d") + 1)),), value(view, "d"))

        held = asyncio.ensure_future(one.perform(holds))
        await asyncio.to_thread(begun.wait)
        mine = [asyncio.ensure_future(one.perform(step)) for step in (a, b, c, d, e)]
        async with turn_held(server, tmp_path) as waits:
            theirs = asyncio.ensure_future(other.perform(put(Tally("n", 5))))
            await waits(other)
            await asyncio.sleep(0)
            go_on.set()
            await waits(one)
        await asyncio.gather(held, theirs)
        commits = one.commits
        assert [(await step).value for step in mine] == [6, 6, 0, None, 15]
        assert one.commits == commits
        assert [one.ask_now(lambda view, name=name: value(view, name)) for name in "abcde"] == [
            6,
            7,
            1,
            15,
            16,
        ]


# --- the broker's own steps ---------------------------------------------------------------------------------


class Replica:
    """A store, and the node's value as this process has it."""

    def __init__(self, store: PostgresStore, node: Node) -> None:
        self.store = store
        self.node = replace(node, recent=Recent(), trees={})
        self.runs: Counter[str] = Counter()

    async def do(self, step: Callable[..., Plan[Any]], *event: Any, at: Instant = NOW) -> Any:
        def run(view: View) -> Plan[Any]:
            self.runs[step.__name__] += 1
            return step(self.node, view, *event, at, seeded(f"{id(self)} {self.runs}"))

        return (await self.store.perform(run)).value


async def both(server: Server, folder: Path, first: Any, second: Any, of: tuple[Replica, Replica]) -> Any:
    """What both answer if the second has run ahead before the first was committed."""
    async with turn_held(server, folder) as waits:
        one = asyncio.ensure_future(first())
        await waits(of[0].store)
        two = asyncio.ensure_future(second())
        await waits(of[1].store)
    return await asyncio.gather(one, two, return_exceptions=True)


def given(number: int, key: str = "") -> SubmitCommand:
    return SubmitCommand(
        actor("FRA", "a"),
        (key or str(number)).encode().ljust(16, b"."),
        draft(text(TO_USA, f"number {number}"), to=["USA"]),
    )


def check_log(view: View, node: Node) -> list[int]:
    """Its entries follow each other, under the root that its head says; their types."""
    head = view.get(LOG_HEAD, node.incarnation)
    assert head is not None
    entries = list(opened(node, view, node.incarnation))
    assert [entry.place for entry in entries] == list(range(head.size))
    made = append(LogHead(node.incarnation, 0, b""), [entry.leaf for entry in entries], lambda *_: None)
    assert made.frontier == head.frontier
    assert count_of(view, LOG_BYTES).rows == head.size
    for row in view.find(PAIR, "key"):
        entry = entries[row.decided_at]
        assert (entry.type, entry.leaf) == (EntryType.DECISION, row.decision)
    return [entry.type for entry in entries]


async def test_what_replicas_do_at_once_is_one_log_and_one_state(server: Server, tmp_path: Path) -> None:
    """Submits, hand-over, recall, a changed treaty: what must be decided again is decided in the turn."""
    fra = met()["FRA"]
    rows = [
        Put(table, row)
        for table in TABLES
        for row in fra.store.ask_now(lambda view, table=table: view.find(table, "key", limit=10_000))
    ]
    with together(server, tmp_path, 2, tables=TABLES, steps=[first_schema(TABLES)]) as stores:
        await stores[0].perform(lambda _: Plan(tuple(rows), None))
        await until(lambda: stores[1].ask_now(lambda view: view.get(NODE, "self")) is not None)
        one, other = (Replica(store, fra.node) for store in stores)

        def all_of(view: View) -> tuple[int, int]:
            return count_of(view, QUEUE).rows, sum(row.open for row in view.find(PAIR, "key"))

        # Different drafts at once: neither runs again, and places, counters and times are those of the turn.
        later = Instant(NOW + 5)
        await both(
            server, tmp_path,
            lambda: other.do(submit_many, [given(1), given(2)], at=later),
            lambda: one.do(submit_many, [given(3), given(4)]),
            (other, one),
        )  # fmt: skip
        assert one.runs == other.runs == Counter(submit_many=1)
        assert one.store.ask_now(all_of) == (4, 4)
        me = one.store.ask_now(lambda view: view.get(NODE, "self"))
        assert me is not None
        assert me.latest == later + 1  # that of the second draft
        one.store.ask_now(lambda view: check_log(view, one.node))

        # One key at once: stored once, and both get the same answer (P2).
        first, second = await both(
            server, tmp_path,
            lambda: other.do(submit, given(5, "same")),
            lambda: one.do(submit, given(5, "same")),
            (other, one),
        )  # fmt: skip
        assert first == second
        assert one.runs["submit"] == 2
        assert one.store.ask_now(all_of) == (5, 5)

        # A recall at one, a hand-over at the other: what was recalled does not leave (P9).
        recalled = RecallCommand(actor("FRA", "a"), first.bulletin.hex(), "wrong")
        _, frames = await both(
            server, tmp_path,
            lambda: other.do(recall, recalled),
            lambda: one.do(handover, {USA: ROOM}, MAX_LEAVES),
            (other, one),
        )  # fmt: skip
        assert one.runs["handover"] == 2
        assert sum(len(frame.leaves) for frame in frames) == 4
        assert one.store.ask_now(all_of) == (4, 4)

        # An act ends a treaty while a hand-over waits for its turn: nothing leaves on it.
        await other.do(submit, given(6))
        assert one.store.together is not None

        def followed(groups: Any) -> bool:
            if not groups.touch(ACT):
                return False
            one.node = replace(one.node, world=world_with(one.node, without=["gsa-fra-usa"]))
            return True

        one.store.together.followed = followed
        act = ActRow(MemberCode("FRA"), 1, LeafId(bytes(32)), 0, NOW, NOW, UserUri(""), b"")
        _, frames = await both(
            server, tmp_path,
            lambda: other.store.perform(writes(Put(ACT, act))),
            lambda: one.do(handover, {USA: ROOM}, MAX_LEAVES),
            (other, one),
        )  # fmt: skip
        assert frames == ()
        assert one.runs["handover"] == 4

        # A user is revoked at one while a draft of that user waits at the other.
        row = one.store.ask_now(lambda view: view.get(USER, given(7).actor.user))
        assert row is not None
        _, refused = await both(
            server, tmp_path,
            lambda: other.store.perform(writes(Put(USER, changed(row, revoked=NOW)))),
            lambda: one.do(submit, given(7)),
            (other, one),
        )  # fmt: skip
        assert isinstance(refused, IntelshareError)
        await other.store.perform(writes(Put(USER, row)))

        # The last place in a queue goes to one of two (P14).
        one.node, other.node = (
            replace(each.node, world=fra.node.world, queues=QueueBounds(rows=10)) for each in (one, other)
        )
        room = 7 - one.store.ask_now(all_of)[0]
        assert room > 0
        await other.do(submit_many, [given(20 + number) for number in range(room - 1)])
        _, full = await both(
            server, tmp_path,
            lambda: other.do(submit, given(40)), lambda: one.do(submit, given(41)), (other, one),
        )  # fmt: skip
        assert isinstance(full, IntelshareError)
        assert full.code == "QUEUE_FULL"
        assert one.store.ask_now(all_of) == (7, 7)

        kinds = one.store.ask_now(lambda view: check_log(view, one.node))
        assert kinds.count(EntryType.SUBMIT) == len(
            one.store.ask_now(lambda view: view.find(BULLETIN, "key"))
        )
