"""``treaty lint``, ``fmt`` and ``new``: check treaty files, format them, and start new ones."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from intelshare.cli.policy.results import format_option, write_results
from intelshare.cli.shared.codes import Exit
from intelshare.cli.shared.help import examples
from intelshare.cli.shared.options import printing
from intelshare.cli.shared.output import Out
from intelshare.cli.shared.paths import paths_argument
from intelshare.cli.shared.times import moment
from intelshare.errors import ConfigError, Place, PolicyFileError

if TYPE_CHECKING:
    from intelshare.cli.policy.files import Files
    from intelshare.labels import Registry
    from intelshare.policy import Treaty

KINDS = ("bilateral", "regional", "multilateral", "political-commitment")


def read_treaties(paths: tuple[Path, ...]) -> tuple[list[Treaty], Registry]:
    """Return the treaties of the paths in order, and the registry with which they were read.

    Raises PolicyFileError at the first error, ConfigError.
    """
    from intelshare.cli.policy.files import find
    from intelshare.cli.shared.beside import read_policy, with_own
    from intelshare.policy import parse_treaty

    files = find(paths)
    registry = with_own(files.own, read_policy)
    found = [parse_treaty(read_policy(path), str(path), registry) for path in files.treaties]
    if not found:
        raise ConfigError("NOT_FOUND", "no treaty was found", place=Place(" ".join(map(str, paths))))
    return found, registry


@click.command(
    epilog=examples("intelshare treaty lint treaties/nordic.toml", "intelshare treaty lint treaties/")
)
@paths_argument
@format_option
@printing
def lint(paths: tuple[Path, ...], form: str, out: Out) -> int:
    """Check treaty files as `policy check` does, and check that they have the form that `treaty fmt` writes.

    Exits with 1 if there is an error; with warnings alone, it exits with 0.
    """
    from intelshare.cli.policy.check import findings
    from intelshare.cli.policy.files import find
    from intelshare.policy_tools import Result, Severity, failed
    from intelshare.toml import Source

    files = find(paths)
    results = findings(files)
    for path, text, canonical in _unformatted(files):
        message = "it is not in the canonical form"
        place = Source(str(path), text).at(_first_difference(text, canonical), 1)
        results.append(
            Result(Severity.WARNING, str(path), "NOT_FORMATTED", message, place, "see: intelshare treaty fmt")
        )
    write_results(results, "json" if out.json else form, "treaty lint", out)
    errors = sum(failed([result]) for result in results)
    if form == "text":
        count = len(files.treaties) + len(files.overlays) + len(files.tests)
        out.line(f"{count} files, {errors} errors, {len(results) - errors} warnings")
    return Exit.FAILED if errors else Exit.DONE


@click.command(epilog=examples("intelshare treaty fmt --check treaties/", "intelshare treaty fmt treaties/"))
@paths_argument
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 if a file would change.")
@printing
def fmt(paths: tuple[Path, ...], check: bool, out: Out) -> int:
    """Write treaties and overlays in their canonical form: spaces, quotes, order of fields. Comments stay.

    The meaning of a file and its text hash do not change. Tests are left as their authors align them.
    """
    from intelshare.cli.policy.files import find
    from intelshare.cli.shared.files import write_file

    files = find(paths)
    shipped = [path for path in paths if not path.exists()]
    if shipped and not check:
        message = "it ships with intelshare and is not rewritten"
        raise ConfigError(
            "INPUT_INVALID", message, place=Place(str(shipped[0])), hint="name a file or folder"
        )
    changed = list(_unformatted(files, strict=True))
    if not check:
        for path, _, text in changed:
            try:
                write_file(path, text)
            except OSError as error:
                message = f"it cannot be written: {error.strerror}"
                raise ConfigError("NOT_FOUND", message, place=Place(str(path))) from None
    out.document("treaty-fmt", {"changed": [str(path) for path, _, _ in changed], "written": not check})
    for path, _, _ in changed:
        out.line(f"{'would change' if check else 'changed'}  {path}")
    out.note(f"{len(files.treaties) + len(files.overlays)} files, {len(changed)} not in the canonical form")
    return Exit.FAILED if check and changed else Exit.DONE


def _first_difference(text: str, canonical: str) -> int:
    """Return the number of the first line, from 1, that is not canonical."""
    pairs = zip(text.split("\n"), canonical.split("\n"), strict=False)
    return next((number for number, (own, other) in enumerate(pairs, 1) if own != other), 1)


def _unformatted(files: Files, *, strict: bool = False) -> list[tuple[Path, str, str]]:
    """Return the files whose text is not canonical, with that text and the canonical one.

    A file that cannot be read is left out; with ``strict`` it raises its PolicyFileError.
    """
    from intelshare.cli.shared.beside import read_policy, registry_for
    from intelshare.policy_tools import formatted

    found = []
    for kind, paths in (("treaty", files.treaties), ("overlay", files.overlays)):
        for path in paths:
            try:
                text = read_policy(path)
                canonical = formatted(text, str(path), kind, registry_for(path))
            except PolicyFileError:
                if strict:
                    raise
                continue
            if canonical != text:
                found.append((path, text, canonical))
    return found


@click.command(
    epilog=examples("intelshare treaty new nordic --party NOR --party SWE --kind regional --folder treaties")
)
@click.argument("treaty_id", metavar="ID")
@click.option("--party", "members", multiple=True, required=True, metavar="MEMBER", help="At least two.")
@click.option(
    "--kind", type=click.Choice(KINDS), default="bilateral", show_default=True, help="Kind of the treaty."
)
@click.option("--in-force", metavar="DATE", help="Date of entry into force. Default: today.")
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), default=Path(), help="Where to.")
@printing
def new(
    treaty_id: str, members: tuple[str, ...], kind: str, in_force: str | None, folder: Path, out: Out
) -> None:
    """Start a treaty: a commented file with a test beside it, both of which pass as they are.

    Members that you have defined are read from groups/ and ladders/ beside it, or beside its folder
    treaties/.
    """
    from intelshare.cli.shared.beside import registry_for
    from intelshare.cli.shared.files import write_new
    from intelshare.instant import to_datetime
    from intelshare.policy import Kind, parse_treaty
    from intelshare.policy_tools import skeleton
    from intelshare.toml import guess

    registry = registry_for(folder.absolute() / f"{treaty_id}.toml")
    for member in members:
        if not registry.is_member(member):
            hint = guess(member, (*registry.states, *registry.groups))
            message = f"{member!r} is not a member code"
            raise ConfigError("UNKNOWN_MEMBER", message, place=Place("--party"), hint=hint)
    if len(set(members)) < max(len(members), 2):
        message = "a treaty has two or more parties, each named once"
        raise ConfigError("INPUT_INVALID", message, place=Place("--party"))
    day: date = to_datetime(moment(in_force, "--in-force")).date()
    files = skeleton(treaty_id, Kind(kind), members, day, registry)
    try:
        # Read back first: an id that a file may not have is refused before anything is written.
        parse_treaty(files[f"{treaty_id}.toml"], "ID", registry)
    except PolicyFileError as error:
        raise ConfigError("INPUT_INVALID", error.message, place=Place("ID")) from None
    written = write_new(folder, {name: text.encode("utf-8") for name, text in files.items()})
    out.document("treaty-new", {"written": [str(path) for path in written]})
    for path in written:
        out.line(f"written  {path}")
    out.note(f"next: edit {written[0]}, then intelshare policy test {written[1]} --coverage --mutate")
