"""Reduce a failing plan to a small one by which the same invariant fails with the same words."""

from __future__ import annotations

import re
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
    """Delete entries, big pieces first, as long as the same invariant fails with a message of the same
    shape, in at most ``MAX_RUNS`` runs and ``MAX_SECONDS``.

    It alternates between faults and acts: without the acts that were deleted, more faults may go.
    """
    alike = violation.invariant, shape(violation.what)
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
                    if found is not None and (found.invariant, shape(found.what)) == alike:
                        entries, plan = fewer, tried
                    else:
                        start += size
                size //= 2
    return plan


def shape(what: str) -> str:
    """Return the words of a violation's first clause without members, numbers and digests: two faults of one
    invariant differ in it, one fault in two plans does not.
    """
    words = re.findall(r"\w+", what.partition("; ")[0])
    return " ".join(word for word in words if not (len(word) == 3 and word.isupper()) and word.isalpha())
