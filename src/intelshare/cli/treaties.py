"""``intelshare treaty``: treaty files read, compared and drawn in time. Needs no node."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from intelshare.cli.labelling import moment
from intelshare.cli.options import printing
from intelshare.cli.output import Out, Table
from intelshare.cli.policy_effects import paths_argument, world_of

if TYPE_CHECKING:
    from intelshare.policy import Treaty


@click.group()
def treaty() -> None:
    """List, show, compare and draw treaties: files, folders, or ids of those that ship. Needs no node."""


@treaty.command(name="list", epilog="Examples:  intelshare treaty list    intelshare treaty list treaties/")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@printing
def list_(paths: tuple[Path, ...], out: Out) -> None:
    """List the treaties of PATHS, or those that ship."""
    from intelshare.labels import when
    from intelshare.packs import treaty_packs

    found = world_of(paths or tuple(treaty_packs().values())).treaties
    rows = [
        {
            "id": each.id,
            "kind": each.kind.value,
            "in_force": when(each.in_force),
            "terminated": when(each.terminated),
            "parties": len(each.parties),
            "title": each.title,
        }
        for each in found
    ]
    out.document("treaties", {"treaties": rows})
    columns = ("id", "kind", "in force", "until", "parties", "title")
    out.table(Table(columns, [[_day(str(value)) for value in row.values()] for row in rows]))


@treaty.command(
    epilog="Examples:  intelshare treaty show nato    intelshare treaty show treaties/nordic.toml"
)
@paths_argument
@printing
def show(paths: tuple[Path, ...], out: Out) -> None:
    """Show the terms of each treaty of PATHS: parties, scope, ceilings, obligations, exits, text hash."""
    _terms(world_of(paths).treaties, out)


@treaty.command(epilog="Example:  intelshare treaty compare gsa-fra-usa.toml demo-climate.toml")
@paths_argument
@printing
def compare(paths: tuple[Path, ...], out: Out) -> None:
    """Put the terms of the treaties of PATHS side by side."""
    from intelshare.policy_tools import terms

    found = world_of(paths).treaties
    columns = {each.id: terms(each) for each in found}
    out.document("treaty-terms", {"treaties": columns})
    names = list(next(iter(columns.values()), {}))
    rows = [[name, *(_day(column[name]) for column in columns.values())] for name in names if name != "text"]
    out.table(Table(("", *columns), rows))


@treaty.command(epilog="Examples:  intelshare treaty timeline paris    intelshare treaty timeline treaties/")
@paths_argument
@click.option("--as-of", metavar="TIME", help="Draw at least up to this date or time; else now.")
@printing
def timeline(paths: tuple[Path, ...], as_of: str | None, out: Out) -> None:
    """Draw the life of each treaty of PATHS: a lane for each party, then every event."""
    from intelshare.labels import when
    from intelshare.policy_tools import LEGEND, events, lanes

    found = world_of(paths).treaties
    out.document(
        "treaty-timeline",
        {
            "treaties": {
                each.id: [
                    {"at": when(event.at), "who": event.who, "what": event.what} for event in events(each)
                ]
                for each in found
            }
        },
    )
    for each in found:
        first, last, strips = lanes(each, moment(as_of))
        out.line(f"{each.id}: {each.title}")
        until = _day(when(last))[:10]
        out.table(
            Table(("", f"{_day(when(first)):<{60 - len(until)}}{until}"), list(strips.items())), indent=2
        )
        out.line(f"  {LEGEND}")
        rows = [(_day(when(event.at)), event.who, event.what) for event in events(each)]
        out.table(Table(("when", "who", "what"), rows), indent=2)


def _terms(found: tuple[Treaty, ...], out: Out) -> None:
    from intelshare.policy_tools import terms

    out.document("treaty-terms", {"treaties": {each.id: terms(each) for each in found}})
    for each in found:
        out.line(f"{each.id}: {each.title}")
        for name, value in terms(each).items():
            out.line(f"  {name:<17} {_day(value)}")


def _day(text: str) -> str:
    """A time without its midnight."""
    return text.replace("T00:00:00Z", "")
