"""``intelshare treaty``: reads, compares and draws treaty files. Needs no node."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING

import click

from intelshare.cli.shared.help import CommandGroup, examples
from intelshare.cli.shared.markdown import markdown_table
from intelshare.cli.shared.options import printing
from intelshare.cli.shared.output import Out, Table, align
from intelshare.cli.shared.paths import treaty_paths_argument
from intelshare.cli.shared.times import moment
from intelshare.cli.treaty.acts import COMMANDS
from intelshare.cli.treaty.backfill import backfill
from intelshare.cli.treaty.files import fmt, lint, new, read_treaties
from intelshare.cli.treaty.life import timeline
from intelshare.cli.treaty.live import live_option, treaties_of

if TYPE_CHECKING:
    from intelshare.instant import Instant
    from intelshare.labels import Registry
    from intelshare.policy import Treaty

MIN_COLUMN = 20
"""The characters that a treaty needs beside others; with less room, treaties are printed one below
the other.
"""

as_of_option = click.option(
    "--as-of", metavar="TIME", help="Show the state as of this date or time. Default: now."
)


@click.group(cls=CommandGroup)
def treaty() -> None:
    """List, show, compare and draw treaties; write and check their files; act as a party.

    PATHS are files, folders, or ids of treaties that ship, and need no node; list, show and timeline ask a
    node with --as. Acts, their list, the state of parties and backfill always use your node.
    """


treaty.add_command(lint)
treaty.add_command(fmt)
treaty.add_command(new)
treaty.add_command(timeline)
for command in (*COMMANDS, backfill):
    treaty.add_command(command)


@treaty.command(name="list", epilog=examples("intelshare treaty list", "intelshare treaty list treaties/"))
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@live_option
@printing
def list_(paths: tuple[Path, ...], profile: str | None, out: Out) -> None:
    """List the treaties of PATHS, or those that ship; with --as, those of your node."""
    from intelshare.builtin import treaty_packs
    from intelshare.cli.shared.plain import time_text

    rows = [
        {
            "id": each.id,
            "kind": each.kind.value,
            "in_force": time_text(each.in_force),
            "terminated": time_text(each.terminated),
            "parties": len(each.parties),
            "title": each.title,
        }
        for each in treaties_of(paths if paths or profile else tuple(treaty_packs().values()), profile)[0]
    ]
    out.document("treaties", {"treaties": rows})
    columns = ("id", "kind", "in force", "until", "parties", "title")
    shown = [[str(value or "").removesuffix("T00:00:00Z") for value in row.values()] for row in rows]
    out.table(Table(columns, shown))


@treaty.command(epilog=examples("intelshare treaty show nato", "intelshare treaty show treaties/nordic.toml"))
@treaty_paths_argument
@as_of_option
@live_option
@printing
def show(paths: tuple[Path, ...], as_of: str | None, profile: str | None, out: Out) -> None:
    """Show each treaty of PATHS: terms, articles, parties by state, rows, text hash, source."""
    (found, registry), now = treaties_of(paths, profile), moment(as_of, "--as-of")
    out.document("treaty-terms", _terms(found, now))
    for each in found:
        _show(each, now, registry, out)


def _show(each: Treaty, now: Instant, registry: Registry, out: Out) -> None:
    from intelshare.labels import when
    from intelshare.policy import ladder_rows
    from intelshare.policy_tools import state_at, summary

    width = get_terminal_size().columns - 4
    facts = {**summary(each, now, registry), "text": each.text, "source": each.source}
    out.line(f"{each.id}: {each.title}")
    longest = max(map(len, facts))
    cells = [row for name, value in facts.items() for row in _beside((name, value), width - longest)]
    for line in align(cells):
        out.line(f"  {line}")
    articles = [
        (
            one.article,
            ", ".join(sorted(one.categories)),
            one.ceiling,
            ", ".join(one.obligations),
            "yes" if one.in_effect(now) else "no",
        )
        for one in each.provisions
    ]
    out.table(Table(("article", "categories", "ceiling", "obligations", "in effect"), articles), indent=2)
    states: dict[str, list[str]] = {}
    for party in each.parties:
        states.setdefault(state_at(each, party, now), []).append(party.member)
    for state, members in sorted(states.items()):
        for line in textwrap.wrap(f"{state.lower().replace('_', ' ')}: {' '.join(sorted(members))}", width):
            out.line(f"  {line}")
    rows = [(row.origin, row.level, row.to, row.name) for row in each.equivalence]
    if rows:
        out.table(Table(("from", "level", "to", "uses"), rows), indent=2)
    levels = [
        (
            authority,
            "" if start is None else when(start),
            "" if until is None else when(until),
            ", ".join(f"{name} ({reference})" for reference, name in named),
        )
        for authority, start, until, named in ladder_rows(each.ladders)
    ]
    if levels:
        out.table(Table(("levels of", "from", "until", "under this treaty"), levels), indent=2)


@treaty.command(
    epilog=examples(
        "intelshare treaty compare nato eu-csdp gsa-fin-usa",
        "intelshare treaty compare paris jcpoa --format markdown",
    )
)
@treaty_paths_argument
@as_of_option
@click.option(
    "--format",
    "form",
    type=click.Choice(("text", "json", "markdown")),
    default="text",
    show_default=True,
    help="Output format.",
)
@printing
def compare(paths: tuple[Path, ...], as_of: str | None, form: str, out: Out) -> None:
    """Show the terms of the treaties of PATHS side by side: parties, scope, ceilings, obligations, exits."""
    from intelshare.policy_tools import TERMS, summary

    (found, registry), now = read_treaties(paths), moment(as_of, "--as-of")
    columns = {each.id: summary(each, now, registry) for each in found}
    if out.json or form == "json":
        Out(json=True).document("treaty-terms", _terms(found, now))
    elif form == "markdown":
        rows = [(name, *terms.values()) for name, terms in columns.items()]
        out.block(markdown_table(("treaty", *TERMS), rows))
    else:
        for line in _side_by_side(columns, TERMS):
            out.line(line)


def _side_by_side(columns: dict[str, dict[str, str]], names: Sequence[str]) -> list[str]:
    """Return lines with a column for each treaty if there is room, or else each term with the treaties one
    below the other.
    """
    width, head = get_terminal_size().columns, max(map(len, names))
    room = (width - head) // len(columns) - 2
    if room >= MIN_COLUMN:
        rows: list[Sequence[str]] = _beside(("", *columns), room)
        for name in names:
            rows += _beside((name, *(terms[name] for terms in columns.values())), room)
        return align(rows)
    longest = max(map(len, columns))
    lines = []
    for name in names:
        cells = [
            row
            for treaty_id, terms in columns.items()
            for row in _beside((treaty_id, terms[name]), width - longest - 4)
        ]
        lines += [name, *(f"  {line}" for line in align(cells))]
    return lines


def _beside(cells: Sequence[str], width: int) -> list[Sequence[str]]:
    """Return one row as several, with its cells wrapped to ``width``."""
    wrapped = [_wrapped(cell, width) for cell in cells]
    height = max(map(len, wrapped))
    return [[lines[at] if at < len(lines) else "" for lines in wrapped] for at in range(height)]


def _wrapped(cell: str, width: int) -> list[str]:
    # A date, a code and a hash stay whole, even if that is wider.
    return textwrap.wrap(cell, max(width, 1), break_on_hyphens=False, break_long_words=False) or [""]


def _terms(found: list[Treaty], now: Instant) -> dict[str, object]:
    from intelshare.labels import when
    from intelshare.policy_tools import terms

    return {"as_of": when(now), "treaties": {each.id: terms(each, now) for each in found}}
