"""Reduce a failing plan to a small one that fails in the same way."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from intelshare.sim.bugs import Bug
from intelshare.sim.heap import Violation
from intelshare.sim.isolation import run_twice
from intelshare.sim.plan import FaultPlan

MAX_RUNS = 200
"""The most runs of one shrinking."""

MAX_SECONDS = 50
"""The most seconds of one shrinking. It then returns the smallest plan so far."""

_PARTS: tuple[tuple[Callable[[FaultPlan], Any], Callable[[FaultPlan, Any], FaultPlan]], ...] = (
    (lambda plan: plan.faults, lambda plan, faults: replace(plan, faults=faults)),
    (lambda plan: plan.acts, lambda plan, acts: replace(plan, acts=acts)),
)


def shrink(plan: FaultPlan, bug: Bug, violation: Violation) -> FaultPlan:
    """Delete entries as long as the same invariant fails, big pieces first, in at most ``MAX_RUNS`` runs and
    ``MAX_SECONDS``.

    It alternates between faults and acts: without the acts that were deleted, more faults may go.
    """
    runs, before, end = 0, None, time.monotonic() + MAX_SECONDS
    while plan != before:
        before = plan
        for entries_of, make in _PARTS:
            entries = list(entries_of(plan))
            size = max(1, len(entries) // 2)
            while size:
                start = 0
                while start < len(entries) and runs < MAX_RUNS and time.monotonic() < end:
                    fewer = entries[:start] + entries[start + size :]
                    runs += 1
                    tried = make(plan, tuple(fewer))
                    found = run_twice(tried, bug).violation
                    if found is not None and found.invariant == violation.invariant:
                        entries, plan = fewer, tried
                    else:
                        start += size
                size //= 2
    return plan
