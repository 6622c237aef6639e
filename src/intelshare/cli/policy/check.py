"""``intelshare policy``: check, test and explain treaties and overlays. Needs no node."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from intelshare.cli.policy.apply import apply, plan
from intelshare.cli.policy.diff import diff
from intelshare.cli.policy.effects import explain
from intelshare.cli.policy.groups import groups
from intelshare.cli.policy.matrix import matrix
from intelshare.cli.policy.prove import prove
from intelshare.cli.policy.results import format_option, write_results
from intelshare.cli.policy.testing import coverage, test
from intelshare.cli.policy.words import words
from intelshare.cli.shared.beside import own_option, registry_of
from intelshare.cli.shared.codes import Exit
from intelshare.cli.shared.help import CommandGroup, examples
from intelshare.cli.shared.options import printing
from intelshare.cli.shared.output import Out
from intelshare.cli.shared.paths import paths_argument
from intelshare.cli.shared.times import moment
from intelshare.errors import ConfigError, Place, PolicyFileError

if TYPE_CHECKING:
    from intelshare.cli.policy.files import Files, Shelf
    from intelshare.policy_tools import Result


_NAMED: Final = (
    "name a folder with treaties/ or overlays/, or a file: of tests those that are called ..._test.toml"
)


@click.group(cls=CommandGroup)
def policy() -> None:
    """Check, test and explain treaties and overlays; put them into force at a node."""


for _command in (test, diff, plan, apply, explain, matrix, coverage, prove, words, groups):
    policy.add_command(_command)


@policy.command(
    epilog=examples("intelshare policy check treaties/", "intelshare policy check . --format github")
)
@paths_argument
@format_option
@printing
def check(paths: tuple[Path, ...], form: str, out: Out) -> int:
    """Report everything that is wrong in the treaties, overlays and tests of PATHS, all at once.

    Besides the form of the files, it finds dates out of order, articles that can never apply, and treaties
    without a test. Exits with 1 if there is an error; with warnings alone, it exits with 0.
    """
    from intelshare.cli.policy.files import find
    from intelshare.policy_tools import failed

    files = find(paths)
    results = findings(files)
    write_results(results, "json" if out.json else form, "policy check", out)
    errors = sum(failed([result]) for result in results)
    if form == "text":
        count = len(files.treaties) + len(files.overlays) + len(files.tests) + len(files.own)
        out.line(f"{count} files, {errors} errors, {len(results) - errors} warnings")
    return Exit.FAILED if errors else Exit.DONE


def findings(files: Files) -> list[Result]:
    """Return the faults in the treaties, overlays and tests, in each alone and in all together.

    Raises ConfigError NOT_FOUND if there are no files: an empty check proves nothing.
    """
    from intelshare.cli.policy.files import Shelf, stray_results
    from intelshare.policy_tools import check_treaties

    if not (files.treaties or files.overlays or files.tests or files.own or files.strays):
        raise ConfigError("NOT_FOUND", "no policy file was found", place=Place("PATHS"), hint=_NAMED)
    shelf = Shelf(moment(None))
    results = [*stray_results(files), *_own(files, shelf)]
    treaties = []
    for path in files.treaties:
        treaty, found = shelf.treaty(path)
        results += [result for result in found if result not in results]
        treaties += [] if treaty is None else [treaty]
    for path in files.overlays:
        results += [result for result in shelf.overlay(path)[1] if result not in results]
    tested: set[str] = set()
    for path in files.tests:
        bench, found = shelf.bench(path)
        tested |= set() if bench is None else {treaty.id for treaty in bench.treaties}
        results += [result for result in found if result not in results]
    return results + check_treaties(treaties, tested)


def _own(files: Files, shelf: Shelf) -> list[Result]:
    """Return the faults in ladders/, groups/ and words/: the first error of each folder that contains
    them.
    """
    from intelshare.policy_tools import of_error

    results = []
    for root in dict.fromkeys(path.parent.parent for path in files.own):
        try:
            shelf.registry(root / "any.toml")
        except PolicyFileError as error:
            results.append(of_error(error))
    return results


@policy.command(epilog=examples("intelshare policy schema treaty > treaty.schema.json"))
@click.argument("kind", type=click.Choice(("treaty", "overlay", "test")))
@own_option
def schema(kind: str, folder: Path | None) -> None:
    """Print the JSON Schema of one kind of policy file, for editors."""
    import json

    from intelshare.policy_tools import schema_of

    click.echo(json.dumps(schema_of(kind, registry_of(folder)), indent=1))
