"""Attachments under faults: the engine's rules for files, over virtual time, network and disk."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from builders import NOW, draft
from intelshare.broker.kernel.frame import Slice
from intelshare.broker.kernel.queue_bounds import QueueBounds
from intelshare.broker.kernel.tables import BULLETIN, FILE, PAIR
from intelshare.broker.lifecycle import purge as purging_step
from intelshare.crypto.pieces import PLAIN, pieces_id
from intelshare.ids import MemberCode
from intelshare.instant import SECOND
from intelshare.ports import Plan, Put, changed
from intelshare.sim.generate_plan import generate_plan
from intelshare.sim.heap import Heap, Violation
from intelshare.sim.oracle import BELIEVED, Oracle
from intelshare.sim.plan import Act, Fault, FaultPlan, Knobs
from intelshare.sim.run import Result, run
from intelshare.store.memory import MemoryStore
from line_world import hand_over, met, rows, send
from piece_files import portion, uploaded

SIZE = 2 * PLAIN + 70_000
"""Three pieces, 34 slices: with the delays below about a second on its way."""


def plan(seed: int, faults: tuple[Fault, ...], *more: Act) -> FaultPlan:
    """FRA sends USA and DEU a file each, and a text beside it."""
    draws = Random(seed)
    acts = [
        Act("attach", SECOND, "FRA", "USA", what=draws.randrange(1 << 16), size=SIZE),
        Act("attach", 2 * SECOND, "FRA", "DEU USA", what=draws.randrange(1 << 16), size=SIZE, precedence=3),
        Act("submit", 2 * SECOND, "FRA", "USA", what=draws.randrange(1 << 16), precedence=4),
        Act("attach", 3 * SECOND, "USA", "FRA", what=draws.randrange(1 << 16), size=100),
    ]
    return FaultPlan(seed, Knobs(lasts=20 * SECOND, delay=60_000), (*acts, *more), faults)


def faults_of(seed: int) -> tuple[Fault, ...]:
    """Crashes, cuts and resets while files are on their way."""
    draws = Random(seed)
    return tuple(
        Fault(
            draws.choice(["crash", "reset", "cut", "stop"]),
            node := draws.choice(["FRA", "USA", "DEU"]),
            draws.choice([other for other in ("FRA", "USA", "DEU") if other != node]),
            at=SECOND + draws.randrange(8 * SECOND),
            lasts=draws.randrange(2 * SECOND),
            keep=draws.randrange(3),
        )
        for _ in range(draws.randrange(1, 7))
    )


def held(result: Result) -> int:
    assert result.violation is None, result.violation
    return result.counts["file whole"]


def test_without_faults_files_are_whole_where_they_may_be() -> None:
    assert sum(held(run(plan(seed, ()))) for seed in range(1, 7)) >= 6


@pytest.mark.parametrize("seed", range(1, 13))
def test_files_survive_crashes_cuts_and_resets(seed: int) -> None:
    """Whole in the end, and as many as without faults: a fault loses none."""
    assert held(run(plan(seed, faults_of(seed)))) == held(run(plan(seed, ())))


@pytest.mark.parametrize("seed", range(1, 7))
def test_what_is_recalled_on_the_way_is_nowhere_in_the_end(seed: int) -> None:
    recalls = [Act("recall", at, "FRA", what=what) for at, what in ((2_300_000, 0), (2_600_000, 1))]
    result = run(plan(seed, faults_of(seed), *recalls))
    assert result.violation is None, result.violation


def test_what_a_disk_lost_comes_back_when_a_reader_meets_it() -> None:
    """In some seeds the law lets no file go to USA; wherever one is lost it comes back."""
    lost = (Fault("decay", "USA", at=10 * SECOND),)
    reads = [Act("download", at * SECOND, "USA", what=what) for at in (14, 16, 18) for what in range(3)]
    decayed = 0
    for seed in range(1, 7):
        result = run(plan(seed, lost, *reads))
        assert held(result) == held(run(plan(seed, ())))
        assert result.counts["file lost"] == result.counts["decay"]
        decayed += result.counts["decay"]
    assert decayed >= 3


LATE = tuple([Act("download", at * SECOND, "USA", what=what) for at in (17, 18, 19) for what in range(3)])


def purging(seed: int, *faults: Fault) -> FaultPlan:
    """What was delivered is purged after 5 s; later USA reads all that it has."""
    drawn = plan(seed, faults, *LATE)
    return replace(drawn, knobs=replace(drawn.knobs, retention=5 * SECOND))


def test_a_piece_that_is_lost_once_its_sender_has_purged_the_file_is_waited_for_by_nobody() -> None:
    """Delivered content goes after its grace (P16), whatever a disk of its recipient loses later."""
    results = [run(purging(seed, Fault("decay", "USA", at=16 * SECOND))) for seed in range(1, 4)]
    assert [result.violation for result in results] == [None] * 3
    assert sum(result.counts["file lost"] for result in results)


def test_a_file_that_is_purged_before_it_has_arrived_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purging_step, "_has_files", lambda *_: True)
    parted = Fault("cut", "FRA", "USA", at=1_500_000, lasts=15 * SECOND)
    ended = replace(parted, kind="reset", lasts=0)
    found = run(purging(1, ended, parted)).violation
    assert found is not None
    assert found.invariant == "I9"


def test_random_seeds_have_files_and_readers_and_disks_that_lose() -> None:
    plans = [generate_plan(seed) for seed in range(1, 201)]
    acts = Counter(act.kind for one in plans for act in one.acts)
    assert acts["attach"] > 40
    assert acts["download"] > 40
    assert sum(fault.kind == "decay" for one in plans for fault in one.faults) > 40


def test_the_oracle_sees_a_part_that_goes_to_who_was_not_granted_it_or_after_a_recall() -> None:
    """Honest peers ask for nothing else, so it is shown by what leaves alone."""
    heap = Heap()
    oracle, fra = Oracle(heap, ("FRA", "USA", "KEN")), met()["FRA"]
    record, _ = uploaded(fra, b"an annex")
    send(fra, draft(portion(record), to=["USA"]))
    hand_over(fra, "USA")
    (bulletin,), (pair,), (file,) = rows(fra, BULLETIN), rows(fra, PAIR), rows(fra, FILE)
    view = fra.store.ask_now(lambda view: view)
    durable = MemoryStore()
    sender: Any = SimpleNamespace(
        name="FRA",
        node=fra.node,
        view=view,
        disk=SimpleNamespace(view=view, durable=durable),
        machine=SimpleNamespace(queues=QueueBounds()),
        known=None,
        followed_at=0,
        given_up=set(),
    )
    oracle.planned(sender, "submit", (), Plan((Put(FILE, file),), None), NOW)
    part = Slice(pieces_id(record.pieces), 0, b"sealed")
    with pytest.raises(Violation, match="I4"):
        oracle.sliced(sender, MemberCode("USA"), part)
    durable.apply(Plan((Put(PAIR, pair),), None))
    oracle.sliced(sender, MemberCode("USA"), part)
    with pytest.raises(Violation, match="I4"):
        oracle.sliced(sender, MemberCode("KEN"), part)
    oracle.durable(sender, Plan((Put(BULLETIN, changed(bulletin, recalled=NOW)),), None))
    oracle.sliced(sender, MemberCode("USA"), part)
    heap.after(BELIEVED + 1, lambda: None)
    heap.run(BELIEVED + 1)
    sender.followed_at = heap.now
    with pytest.raises(Violation, match="I12"):
        oracle.sliced(sender, MemberCode("USA"), part)


def test_a_run_is_the_same_again() -> None:
    first, second = (run(plan(3, faults_of(3))) for _ in range(2))
    assert first.trace == second.trace
    assert replace(first, lines=()).counts == second.counts
