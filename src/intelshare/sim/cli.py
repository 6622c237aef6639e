"""``intelshare sim``: run seeds or one plan from a file, plant bugs, and print the table of what is found."""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from intelshare.cli.shared.help import examples

if TYPE_CHECKING:
    from intelshare.sim.plan import FaultPlan

_MANY = 1000
"""The number of seeds from which every row of both tables of promises.md must be taken; otherwise the run
fails.
"""

_SLOW = 30
"""The number of seeds above which a run without --jobs uses further processes."""


@click.command(
    epilog=examples(
        "intelshare sim --seed 7",
        "intelshare sim --seeds 1..5",
        "intelshare sim --seeds 1..5 --done done.jsonl",
    )
)
@click.option("--seed", type=click.IntRange(0), help="Run one seed, and print its plan and trace hash.")
@click.option("--seeds", metavar="A..B", help="Run all seeds from A to B.")
@click.option(
    "--plan", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Run this plan, as printed."
)
@click.option("--bug", metavar="NAME", help="Plant a bug: the run should fail.")
@click.option("--table", "as_table", is_flag=True, help="Plant every bug in turn; print what is found.")
@click.option("--trace", is_flag=True, help="Print everything that happens.")
@click.option("--jobs", type=click.IntRange(1), help="Number of processes. Default: one per processor.")
@click.option(
    "--done",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file of what is done: a run that is interrupted goes on from there. "
    "With --table, one for each bug.",
)
def sim(
    seed: int | None,
    seeds: str | None,
    plan: Path | None,
    bug: str | None,
    as_table: bool,
    trace: bool,
    jobs: int | None,
    done: Path | None,
) -> None:
    """Run the broker's own steps over virtual time, network and disk, with faults drawn from a seed.

    Exits 1 when an invariant fails. A failing plan is shrunk and written to sim-SEED.json.
    """
    from intelshare.sim.bugs import BUGS

    if bug is not None and bug not in BUGS:
        raise click.UsageError(f"there is no bug {bug!r}; there are {', '.join(BUGS)}")
    if (seed is not None) + (seeds is not None) > 1 or (as_table and (bug or plan)):
        raise click.UsageError("these options cannot be combined")
    if as_table or seeds is not None:
        chosen = _range(seeds or "1..500")
        jobs = jobs or (os.cpu_count() or 1 if len(chosen) > _SLOW else 1)
        if as_table:
            _print_table(chosen, jobs, done)
        else:
            _run_many(chosen, bug or "", jobs, done)
        return
    from intelshare.sim.generate_plan import generate_plan
    from intelshare.sim.plan import from_json

    if plan is not None:
        try:
            drawn = from_json(plan.read_text("utf-8"))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise click.UsageError(f"{plan}: this is not a plan: {error}") from None
    else:
        drawn = generate_plan(1 if seed is None else seed)
    _run_one(drawn, bug or "", trace=trace, shrunk=plan is not None)


def _range(text: str) -> range:
    match = re.fullmatch(r"(\d+)\.\.(\d+)", text)
    if match is None or int(match[2]) < int(match[1]):
        raise click.UsageError(f"{text!r} is not a range of seeds; write it as 1..500")
    return range(int(match[1]), int(match[2]) + 1)


def _run_one(plan: FaultPlan, bug: str, *, trace: bool, shrunk: bool) -> None:
    from intelshare.sim.bugs import BUGS, NONE
    from intelshare.sim.isolation import run_twice
    from intelshare.sim.plan import to_json
    from intelshare.sim.run import run

    click.echo(to_json(plan), nl=False)
    planted = BUGS.get(bug, NONE)
    result = run(plan, planted, keep_trace=True) if trace else run_twice(plan, planted)
    for line in result.lines:
        click.echo(line)
    click.echo(f"trace {result.trace}; {result.events} events; pairs: {_counted(result.words)}")
    if result.violation is None:
        click.echo(f"seed {plan.seed}: everything holds")
        return
    click.echo(f"seed {plan.seed}: {result.violation}")
    if not shrunk:
        _shrink(plan, bug)
    click.get_current_context().exit(1)


def _run_many(seeds: range, bug: str, jobs: int, done: Path | None) -> None:
    from intelshare.sim.facts import rows
    from intelshare.sim.generate_plan import generate_plan
    from intelshare.sim.many import outcomes
    from intelshare.sim.resuming import resumed

    began, virtual, failed = time.monotonic(), 0, []
    words: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    taken: Counter[str] = Counter()
    for out in resumed(done, seeds, bug, jobs) if done is not None else outcomes(seeds, bug, jobs):
        virtual += out.virtual
        words += out.words
        counts += out.counts
        taken += out.taken
        if out.invariant:
            failed.append(out)
            click.echo(f"seed {out.seed}: {out.invariant}: {out.what}")
    took = time.monotonic() - began
    click.echo("pairs: " + _counted(words))
    click.echo("events: " + _counted(counts))
    untaken = [row for row in rows() if not taken[row]]
    click.echo(
        f"rows of promises.md taken: {len(rows()) - len(untaken)} of {len(rows())}; not: "
        + (", ".join(untaken) or "none")
    )
    click.echo(
        f"{len(seeds)} seeds, {len(failed)} failures; {virtual / 3_600_000_000:.1f} h of virtual time "
        f"in {took:.1f} s ({len(seeds) / took:.1f} seeds/s)"
    )
    if failed:
        _shrink(generate_plan(failed[0].seed), bug)
    if failed or (untaken and len(seeds) >= _MANY):
        click.get_current_context().exit(1)


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"


def _shrink(plan: FaultPlan, bug: str) -> None:
    from intelshare.sim.bugs import BUGS, NONE
    from intelshare.sim.isolation import run_twice
    from intelshare.sim.plan import to_json
    from intelshare.sim.shrink import shrink

    planted = BUGS.get(bug, NONE)
    violation = run_twice(plan, planted).violation
    if violation is None:
        return
    small = shrink(plan, planted, violation)
    path = Path(f"sim-{plan.seed}.json")
    path.write_text(to_json(small), "utf-8")
    entries = f"{len(small.acts)} of {len(plan.acts)} acts, {len(small.faults)} of {len(plan.faults)} faults"
    click.echo(f"shrunk to {entries}; again: intelshare sim --seed {plan.seed} --plan {path}" + _planted(bug))


def _planted(bug: str) -> str:
    return f" --bug {bug}" if bug else ""


def _print_table(seeds: range, jobs: int, done: Path | None) -> None:
    from intelshare.sim.many import outcomes, table
    from intelshare.sim.resuming import resumed_with_bugs

    click.echo("| bug | seen by | first seed | seen in, of those that can show it |\n|---|---|---|---|")
    missed = False
    for found in table(seeds, jobs, partial(resumed_with_bugs, done) if done is not None else outcomes):
        missed = missed or found.first is None
        share = f"{found.seen} of {found.able}"
        click.echo(f"| {found.bug} | {found.seen_by} | {found.first or 'none'} | {share} |")
    if missed:
        click.get_current_context().exit(1)
