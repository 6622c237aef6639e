"""``policy test`` and ``policy coverage``: run the tests beside the treaties, and show what they cover."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from intelshare.cli.policy.results import format_option, write_results
from intelshare.cli.policy.watching import watched
from intelshare.cli.shared.codes import Exit
from intelshare.cli.shared.files import write_file
from intelshare.cli.shared.help import examples
from intelshare.cli.shared.options import printing
from intelshare.cli.shared.output import Out, Table, waiting
from intelshare.cli.shared.paths import paths_argument
from intelshare.cli.shared.times import moment
from intelshare.errors import ConfigError, Place

if TYPE_CHECKING:
    from intelshare.cli.policy.files import Files, Shelf
    from intelshare.policy import World
    from intelshare.policy_tools import Bench, Coverage, Result, Trial

_as_of = click.option("--as-of", metavar="TIME", help="The time for cases that state none. Default: now.")
_threshold = click.option(
    "--threshold", type=click.IntRange(0, 100), metavar="N", help="Fail if the coverage is below N percent."
)


@click.command(
    epilog=examples(
        "intelshare policy test treaties/ --coverage --threshold 90",
        'intelshare policy test . -k "in force" --junit report.xml',
    )
)
@paths_argument
@click.option("-k", "words", metavar="TEXT", help="Run only cases whose name contains TEXT.")
@_as_of
@click.option("--fail-fast", is_flag=True, help="Stop at the first failing case.")
@click.option("--junit", "junit_file", type=click.Path(path_type=Path), help="Write a JUnit report.")
@format_option
@click.option("--coverage", "with_coverage", is_flag=True, help="Show what the tests cover.")
@_threshold
@click.option(
    "--mutate", is_flag=True, help="Change one rule at a time, and check that some case then fails."
)
@click.option("--watch", is_flag=True, help="Run again whenever a file changes, until Ctrl-C.")
@printing
def test(
    paths: tuple[Path, ...],
    words: str | None,
    as_of: str | None,
    fail_fast: bool,
    junit_file: Path | None,
    form: str,
    with_coverage: bool,
    threshold: int | None,
    mutate: bool,
    watch: bool,
    out: Out,
) -> int:
    """Run the policy tests (*_test.toml) of PATHS.

    A denial for a reason other than the stated one fails; a case that states no reason gives a warning. Exits
    with 1 if a case fails, a mutant survives or the coverage is below the threshold.
    """
    asked = _Asked(words, as_of, fail_fast, junit_file, form, with_coverage, threshold, mutate)
    return watched(paths, lambda: _once(paths, asked, out), out) if watch else _once(paths, asked, out)


@dataclass(frozen=True, slots=True)
class _Asked:
    """The options of ``policy test``."""

    words: str | None
    as_of: str | None
    fail_fast: bool
    junit_file: Path | None
    form: str
    with_coverage: bool
    threshold: int | None
    mutate: bool


def _once(paths: tuple[Path, ...], asked: _Asked, out: Out) -> int:
    from intelshare.policy_tools import Severity, failed, junit

    with waiting("testing"):
        run = run_tests(paths, asked.as_of, asked.words, asked.fail_fast)
        results = run.results
        coverage = _covered(run) if asked.with_coverage or asked.threshold is not None else None
        if coverage is not None:
            results += _below(coverage, asked.threshold)
        mutants = 0
        if asked.mutate and not failed(results):
            mutants, lived = _mutants(run.benches)
            results += lived
    if asked.junit_file is not None:
        _write_report(asked.junit_file, junit(results, "policy test"))
    figures = {
        "cases": len(run.tried),
        "mutants": mutants,
        "coverage": None if coverage is None else _figures(coverage),
    }
    write_results(results, "json" if out.json else asked.form, "policy test", out, figures)
    if asked.form == "text":
        if coverage is not None:
            _show(coverage, out)
        if mutants:
            lived_count = sum(result.code == "MUTANT_LIVES" for result in results)
            out.line(f"mutants: {mutants - lived_count} of {mutants} caught")
        errors = sum(failed([result]) for result in results)
        warnings = sum(result.severity is Severity.WARNING for result in results)
        out.line(f"{len(run.tried)} cases, {errors} failures, {warnings} warnings")
    return Exit.FAILED if failed(results) else Exit.DONE


@click.command(epilog=examples("intelshare policy coverage treaties/ --threshold 90"))
@paths_argument
@_as_of
@_threshold
@printing
def coverage(paths: tuple[Path, ...], as_of: str | None, threshold: int | None, out: Out) -> int:
    """Show which parts of their treaties and overlays the policy tests of PATHS cover.

    Counted are articles that permitted something, parties that were involved, states of the treaty's life,
    and both outcomes of each article and overlay rule. Exits with 1 if a case fails or the coverage is below
    the threshold.
    """
    from intelshare.policy_tools import KINDS, as_json, failed

    run = run_tests(paths, as_of)
    reached = _covered(run)
    results = [*run.results, *_below(reached, threshold)]
    errors = [result for result in results if failed([result])]
    document = {"results": as_json(errors), "cases": len(run.tried), **_figures(reached)}
    out.document("policy-coverage", document)
    write_results(errors, "text", "policy coverage", out)
    rows = [
        (owner, *(f"{hit}/{total}" for kind in KINDS for hit, total in [reached.of(kind, owner)]))
        for owner in reached.owners
    ]
    out.table(Table(("", "articles", "parties", "states", "rules"), rows))
    _show(reached, out)
    return Exit.FAILED if errors else Exit.DONE


@dataclass(frozen=True, slots=True)
class TestRun:
    """The cases below some paths after a run: their outcomes, and the worlds in which they ran."""

    files: Files
    shelf: Shelf
    benches: list[Bench]
    results: list[Result]
    tried: list[tuple[World, Trial]]


def run_tests(
    paths: tuple[Path, ...], as_of: str | None, words: str | None = None, fail_fast: bool = False
) -> TestRun:
    """Run the cases below the paths."""
    from intelshare.cli.policy.files import Shelf, find, stray_results
    from intelshare.policy_tools import Result, Severity, failed, result_of

    files, shelf = find(paths), Shelf(moment(as_of, "--as-of"))
    benches, results = _benches(files, shelf)
    results += stray_results(files)
    tried: list[tuple[World, Trial]] = []
    for world, trial in _trials(benches, words):
        result = result_of(trial)
        tried.append((world, trial))
        results.append(result)
        if fail_fast and failed([result]):
            break
    if not tried and not failed(results):
        message, hint = (
            "no case was run: that proves nothing",
            "test cases belong in files named *_test.toml beside the treaty",
        )
        results.append(Result(Severity.ERROR, "tests", "NO_CASES", message, hint=hint))
    return TestRun(files, shelf, benches, results, tried)


def _covered(run: TestRun) -> Coverage:
    """Return the coverage of the treaties and overlays in the paths and of those that the tests name."""
    from intelshare.policy_tools import cover

    treaties = [treaty for path in run.files.treaties if (treaty := run.shelf.treaty(path)[0]) is not None]
    overlays = [overlay for path in run.files.overlays if (overlay := run.shelf.overlay(path)[0]) is not None]
    treaties += [treaty for bench in run.benches for treaty in bench.treaties]
    overlays += [overlay for bench in run.benches for overlay in bench.overlays]
    return cover(treaties, overlays, run.tried)


def _benches(files: Files, shelf: Shelf) -> tuple[list[Bench], list[Result]]:
    benches: list[Bench] = []
    results: list[Result] = []
    for path in files.tests:
        bench, found = shelf.bench(path)
        benches += [] if bench is None else [bench]
        results += [result for result in found if result not in results]
    return benches, results


def _trials(benches: list[Bench], words: str | None) -> Iterator[tuple[World, Trial]]:
    from intelshare.policy_tools import try_case

    for bench in benches:
        world = bench.world()
        for case in bench.suite.cases:
            if words is None or words.lower() in case.name.lower():
                yield world, try_case(world, case)


def _below(coverage: Coverage, threshold: int | None) -> list[Result]:
    from intelshare.policy_tools import Result, Severity

    if threshold is None or coverage.percent >= threshold:
        return []
    message = f"{coverage.percent} % is below the threshold of {threshold} %"
    return [Result(Severity.ERROR, "coverage", "COVERAGE_BELOW", message)]


def _mutants(benches: list[Bench]) -> tuple[int, list[Result]]:
    from intelshare.policy_tools import Result, Severity, survivors

    count, living = survivors(benches)
    hint = "add a case whose result this changes"
    return count, [
        Result(Severity.ERROR, mutant.what, "MUTANT_LIVES", "no case notices this change", mutant.place, hint)
        for mutant in living
    ]


def _write_report(path: Path, text: str) -> None:
    try:
        write_file(path, text)
    except OSError as error:
        message = f"the report cannot be written: {error.strerror}"
        raise ConfigError("INPUT_INVALID", message, place=Place(str(path))) from None


def _figures(coverage: Coverage) -> dict[str, object]:
    from intelshare.policy_tools import KINDS

    return {
        "percent": coverage.percent,
        "reached": {kind: list(coverage.of(kind)) for kind in KINDS},
        "missing": [f"{point.kind} {point.owner} {point.name}" for point in coverage.missing],
    }


def _show(coverage: Coverage, out: Out) -> None:
    from intelshare.policy_tools import KINDS

    parts = [f"{kind}s {hit}/{total}" for kind in KINDS for hit, total in [coverage.of(kind)]]
    out.line(f"coverage: {coverage.percent} %  ({', '.join(parts).replace('partys', 'parties')})")
    for point in coverage.missing:
        place = coverage.places.get(point)
        where = "" if place is None else f"   ({place.source}:{place.line})"
        out.line(f"  not covered: {point.kind} {point.owner} {point.name}{where}")
