"""``intelshare policy``: treaties and overlays checked, tested and explained. Needs no node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from intelshare.cli.codes import Exit
from intelshare.cli.labelling import moment
from intelshare.cli.options import printing
from intelshare.cli.output import Out, error_lines
from intelshare.cli.policy_diff import diff
from intelshare.cli.policy_effects import explain, matrix, paths_argument

if TYPE_CHECKING:
    from intelshare.cli.policy_files import Files, Shelf
    from intelshare.policy import World
    from intelshare.policy_tools import Bench, Coverage, Result, Trial

FORMATS = ("text", "json", "github", "sarif", "junit")


@click.group()
def policy() -> None:
    """Check, test and explain treaties and overlays. Needs no node."""


policy.add_command(diff)
policy.add_command(explain)
policy.add_command(matrix)


@policy.command(
    epilog="Examples:  intelshare policy check treaties/    intelshare policy check . --format github"
)
@paths_argument
@click.option("--format", "form", type=click.Choice(FORMATS), default="text", show_default=True)
@printing
def check(paths: tuple[Path, ...], form: str, out: Out) -> int:
    """Find everything that is wrong in the treaties, overlays and tests of PATHS, all at once.

    Beside the form of the files: dates out of order, articles that can never apply, treaties without a
    test. Exit 1 if anything is an error; warnings alone are 0.
    """
    from intelshare.cli.policy_files import Shelf, find
    from intelshare.policy_tools import check_treaties, failed

    files = find(paths)
    shelf = Shelf(moment(None))
    results: list[Result] = []
    treaties = []
    for path in files.treaties:
        treaty, found = shelf.treaty(path)
        results += found
        treaties += [] if treaty is None else [treaty]
    for path in files.overlays:
        results += shelf.overlay(path)[1]
    tested: set[str] = set()
    for path in files.tests:
        bench, found = shelf.bench(path)
        tested |= set() if bench is None else {treaty.id for treaty in bench.treaties}
        results += [result for result in found if result not in results]
    results += check_treaties(treaties, tested)
    _write(results, "json" if out.json else form, "policy check", out)
    errors = sum(failed([result]) for result in results)
    if form == "text":
        count = len(files.treaties) + len(files.overlays) + len(files.tests)
        out.line(f"{count} files, {errors} errors, {len(results) - errors} warnings")
    return Exit.FAILED if errors else Exit.DONE


@policy.command(
    epilog="Examples:  intelshare policy test treaties/ --coverage --threshold 90    "
    "intelshare policy test . -k withdrawal --junit report.xml"
)
@paths_argument
@click.option("-k", "words", metavar="TEXT", help="Only cases whose name holds TEXT.")
@click.option("--as-of", metavar="TIME", help="Judge cases that state no time at this one; else now.")
@click.option("--fail-fast", is_flag=True, help="Stop at the first case that fails.")
@click.option("--junit", "junit_file", type=click.Path(path_type=Path), help="Write a JUnit report.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="text", show_default=True)
@click.option("--coverage", "with_coverage", is_flag=True, help="Show what the tests reach.")
@click.option("--threshold", type=click.IntRange(0, 100), help="Fail below this coverage in percent.")
@click.option("--mutate", is_flag=True, help="Change one rule at a time: some case must fail.")
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
    out: Out,
) -> int:
    """Run the policy tests (*_test.toml) of PATHS.

    A denial for another reason than the case states fails; one that states no reason is a warning. Exit 1
    if a case fails, a mutant lives or the coverage is below the threshold.
    """
    from intelshare.cli.policy_files import Shelf, find
    from intelshare.policy_tools import Result, Severity, failed, junit, result_of

    files = find(paths)
    shelf = Shelf(moment(as_of))
    benches, results = _benches(files, shelf)
    tried: list[tuple[World, Trial]] = []
    for world, trial in _trials(benches, words):
        result = result_of(trial)
        tried.append((world, trial))
        results.append(result)
        if fail_fast and failed([result]):
            break
    coverage = _coverage(files, shelf, benches, tried) if with_coverage or threshold is not None else None
    if coverage is not None and threshold is not None and coverage.percent < threshold:
        message = f"{coverage.percent} % is below the threshold of {threshold} %"
        results.append(Result(Severity.ERROR, "coverage", "COVERAGE_BELOW", message))
    mutants = 0
    if mutate and not failed(results):
        mutants, lived = _mutants(benches)
        results += lived
    if not tried and not failed(results):
        results.append(Result(Severity.ERROR, "tests", "NO_CASES", "no case was run: that proves nothing"))
    if junit_file is not None:
        junit_file.write_text(junit(results, "policy test"), "utf-8")
    figures: dict[str, object] = {"cases": len(tried), "mutants": mutants}
    if coverage is not None:
        figures["coverage"] = {
            "percent": coverage.percent,
            "missing": [f"{point.kind} {point.owner} {point.name}" for point in coverage.missing],
        }
    _write(results, "json" if out.json else form, "policy test", out, figures)
    if form == "text":
        if coverage is not None:
            _show_coverage(coverage, out)
        if mutants:
            lived_count = sum(result.code == "MUTANT_LIVES" for result in results)
            out.line(f"mutants: {mutants - lived_count} of {mutants} caught")
        errors = sum(failed([result]) for result in results)
        warnings = sum(result.severity is Severity.WARNING for result in results)
        out.line(f"{len(tried)} cases, {errors} failures, {warnings} warnings")
    return Exit.FAILED if failed(results) else Exit.DONE


@policy.command(epilog="Example:  intelshare policy schema treaty > treaty.schema.json")
@click.argument("kind", type=click.Choice(("treaty", "overlay", "test")))
def schema(kind: str) -> None:
    """Print the JSON Schema of a kind of policy file, for editors."""
    import json

    from intelshare.packs import builtin_registry
    from intelshare.policy_tools import schema_of

    click.echo(json.dumps(schema_of(kind, builtin_registry()), indent=1))


def _benches(files: Files, shelf: Shelf) -> tuple[list[Bench], list[Result]]:
    benches: list[Bench] = []
    results: list[Result] = []
    for path in files.tests:
        bench, found = shelf.bench(path)
        benches += [] if bench is None else [bench]
        results += [result for result in found if result not in results]
    return benches, results


def _trials(benches: list[Bench], words: str | None) -> Iterator[tuple[World, Trial]]:
    from intelshare.packs import builtin_registry
    from intelshare.policy_tools import try_case

    for bench in benches:
        world = bench.world(builtin_registry())
        for case in bench.suite.cases:
            if words is None or words.lower() in case.name.lower():
                yield world, try_case(world, case)


def _coverage(files: Files, shelf: Shelf, benches: list[Bench], tried: list[tuple[World, Trial]]) -> Coverage:
    """Of the treaties and overlays in the paths and of those that the tests name."""
    from intelshare.policy_tools import cover

    treaties = [treaty for path in files.treaties if (treaty := shelf.treaty(path)[0]) is not None]
    overlays = [overlay for path in files.overlays if (overlay := shelf.overlay(path)[0]) is not None]
    treaties += [treaty for bench in benches for treaty in bench.treaties]
    overlays += [overlay for bench in benches for overlay in bench.overlays]
    return cover(treaties, overlays, tried)


def _mutants(benches: list[Bench]) -> tuple[int, list[Result]]:
    from intelshare.packs import builtin_registry
    from intelshare.policy_tools import Result, Severity, survivors

    count, living = survivors(benches, builtin_registry())
    hint = "add a case that this would change"
    return count, [
        Result(Severity.ERROR, mutant.what, "MUTANT_LIVES", "no case notices this change", mutant.place, hint)
        for mutant in living
    ]


def _show_coverage(coverage: Coverage, out: Out) -> None:
    parts = [
        f"{kind}s {reached}/{total}"
        for kind in ("article", "party", "state", "rule")
        for reached, total in [coverage.of(kind)]
    ]
    out.line(f"coverage: {coverage.percent} %  ({', '.join(parts).replace('partys', 'parties')})")
    for point in coverage.missing:
        place = coverage.places.get(point)
        where = "" if place is None else f"   ({place.source}:{place.line})"
        out.line(f"  not reached: {point.kind} {point.owner} {point.name}{where}")


def _write(
    results: list[Result], form: str, title: str, out: Out, figures: Mapping[str, object] | None = None
) -> None:
    """The results in one of the formats, on stdout; ``figures`` only as JSON."""
    from intelshare import __version__
    from intelshare.errors import PolicyFileError
    from intelshare.policy_tools import Severity, as_json, github, junit, sarif

    if form == "json":
        Out(json=True).document(title.replace(" ", "-"), {"results": as_json(results), **(figures or {})})
    elif form == "github":
        out.block(github(results))
    elif form == "sarif":
        click.echo(sarif(results, __version__), nl=False)
    elif form == "junit":
        click.echo(junit(results, title), nl=False)
    else:
        for result in results:
            if result.severity is Severity.PASSED:
                continue
            named = result.place is None or result.name != result.place.source
            message = f"{result.name}: {result.message}" if result.name and named else result.message
            error = PolicyFileError(result.code, message, place=result.place, hint=result.hint)
            lines = error_lines(error)
            if result.severity is Severity.WARNING:
                lines[0] = lines[0].replace("error[", "warning[", 1)
            out.block("\n".join(lines))
            out.line()
