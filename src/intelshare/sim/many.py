"""Many seeds: the number that fail and the first that does; and the same for every planted bug."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

from intelshare.sim.bugs import BUGS, NONE, Bug
from intelshare.sim.generate_plan import generate_plan
from intelshare.sim.isolation import run_twice
from intelshare.sim.run import Result

MOST = 2001
"""The seed below which each planted bug must be found."""

_AT_ONCE = 10
"""The number of seeds that a worker takes at a time."""


@dataclass(frozen=True, slots=True)
class SeedOutcome:
    """The summary of one seed."""

    seed: int
    invariant: str
    """The invariant that failed; empty if everything held."""
    what: str
    trace: str
    virtual: int
    """Virtual time in microseconds."""
    words: Counter[str]
    """The final statuses of pairs."""
    counts: Counter[str]
    """The events: OKs, frames, crashes, restores, rejections by code."""
    taken: Counter[str]
    """The rows taken of the tables of promises.md."""


def outcome(seed: int, bug: str = "") -> SeedOutcome:
    """Draw and run one seed."""
    return outcome_of(run_twice(generate_plan(seed), BUGS.get(bug, NONE)))


def outcome_of(result: Result) -> SeedOutcome:
    """Return the summary of a result."""
    found = result.violation
    invariant, what = (found.invariant, found.what) if found is not None else ("", "")
    return SeedOutcome(
        result.plan.seed,
        invariant,
        what,
        result.trace,
        result.virtual,
        result.words,
        result.counts,
        result.taken,
    )


def outcomes(seeds: Sequence[int], bug: str = "", jobs: int = 1) -> Iterator[SeedOutcome]:
    """Yield the outcomes of all these seeds, in their order, using ``jobs`` processes."""
    if jobs == 1:
        yield from map(partial(outcome, bug=bug), seeds)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(partial(outcome, bug=bug), seeds, chunksize=_AT_ONCE)


@dataclass(frozen=True, slots=True)
class Found:
    """The result of one planted bug."""

    bug: str
    seen_by: str
    first: int | None
    seen: int
    """The seeds of the range in which it was seen."""
    able: int
    """The seeds of the range whose plans can show it."""


Runs = Callable[[Sequence[int], str, int], Iterator[SeedOutcome]]
"""Runs seeds with a planted bug on some processes, as ``outcomes`` does."""


def is_seen(bug: Bug, out: SeedOutcome) -> bool:
    """Return True if this is what the bug leads to: an error that ends a run for another reason does not
    count, nor does a seed that fails without the bug.
    """
    return out.invariant in bug.seen_by and bug.says in out.what and not outcome(out.seed).invariant


def table(seeds: Sequence[int], jobs: int = 1, runs: Runs = outcomes) -> Iterator[Found]:
    """Run every planted bug over those of these seeds whose plans can show it."""
    for bug in BUGS.values():
        able = _able(bug, seeds)
        failed = [out for out in runs(able, bug.name, jobs) if is_seen(bug, out)]
        seen = len(failed)
        if not failed:
            failed = _first_after(seeds[-1], bug, jobs, runs)
        yield Found(
            bug.name,
            ", ".join(sorted({out.invariant for out in failed})),
            failed[0].seed if failed else None,
            seen,
            len(able),
        )


def _able(bug: Bug, seeds: Sequence[int]) -> list[int]:
    return [seed for seed in seeds if bug.needs(generate_plan(seed))]


def _first_after(last: int, bug: Bug, jobs: int, runs: Runs) -> list[SeedOutcome]:
    """Return the first of the later seeds that finds a bug which these seeds did not."""
    able = _able(bug, range(last + 1, MOST))
    for start in range(0, len(able), _AT_ONCE * jobs):
        found = [
            out for out in runs(able[start : start + _AT_ONCE * jobs], bug.name, jobs) if is_seen(bug, out)
        ]
        if found:
            return found[:1]
    return []
