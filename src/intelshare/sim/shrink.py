"""Reduce a failing plan to a small one that fails in the same way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from intelshare.sim.bugs import Bug
from intelshare.sim.heap import Violation
from intelshare.sim.plan import FaultPlan
from intelshare.sim.run import run

MAX_RUNS = 200
"""The most runs of one shrinking: about a minute."""

_PARTS: tuple[tuple[Callable[[FaultPlan], Any], Callable[[FaultPlan, Any], FaultPlan]], ...] = (
    (lambda plan: plan.faults, lambda plan, faults: replace(plan, faults=faults)),
    (lambda plan: plan.acts, lambda plan, acts: replace(plan, acts=acts)),
)


def shrink(plan: FaultPlan, bug: Bug, violation: Violation) -> FaultPlan:
    """Delete entries as long as the same invariant fails, big pieces first, in at most ``MAX_RUNS`` runs.

    It alternates between faults and acts: without the acts that were deleted, more faults may go.
    """
    runs, before = 0, None
    while plan != before:
        before = plan
        for entries_of, make in _PARTS:
            entries = list(entries_of(plan))
            size = max(1, len(entries) // 2)
            while size:
                start = 0
                while start < len(entries) and runs < MAX_RUNS:
                    fewer = entries[:start] + entries[start + size :]
                    runs += 1
                    tried = make(plan, tuple(fewer))
                    found = run(tried, bug).violation
                    if found is not None and found.invariant == violation.invariant:
                        entries, plan = fewer, tried
                    else:
                        start += size
                size //= 2
    return plan
