"""I14: a hostile member changes no honest pair's outcome, and does not cost honest nodes much.

A calm plan has no fault but the tricks of its hostile member, and no act whose outcome depends on time. It is
run twice, the second time without that member: the honest pairs must end alike, and the steps of honest nodes
may at most double, apart from what each message costs that the member did send.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from intelshare.sim.bugs import NONE, Bug
from intelshare.sim.heap import Violation
from intelshare.sim.plan import FaultPlan
from intelshare.sim.run import Result, run

PER_MESSAGE: Final = 2
"""The steps that one message of the hostile member may cost: its own, and one to answer."""


def run_twice(plan: FaultPlan, bug: Bug = NONE) -> Result:
    """Run a calm plan with and without its hostile member. The result is that of the first run."""
    result = run(plan, bug)
    if result.violation is not None or not plan.knobs.calm:
        return result
    alone = run(replace(plan, knobs=replace(plan.knobs, absent=True)), bug)
    if alone.violation is not None:
        return alone
    return replace(result, violation=compare(plan, result, alone))


def compare(plan: FaultPlan, result: Result, alone: Result) -> Violation | None:
    """Compare the two runs; return what the hostile member has changed."""
    for pair, before in alone.ends.items():
        after = result.ends.get(pair)
        if after != before:
            who = f"{pair[1]} to {pair[2]}"
            return Violation("I14", f"because of {plan.knobs.hostile} {who} ends as {after}, not {before}")
    most = 2 * alone.steps + PER_MESSAGE * result.heard
    if result.steps > most:
        return Violation("I14", f"{plan.knobs.hostile} costs {result.steps} steps, not {most}")
    return None
