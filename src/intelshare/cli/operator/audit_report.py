"""``audit report`` and ``audit reconcile``: who shared what with whom, and do two members agree?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from intelshare.cli.shared.codes import Exit
from intelshare.cli.shared.help import examples
from intelshare.cli.shared.markdown import markdown_table
from intelshare.cli.shared.options import on_folder, printing
from intelshare.cli.shared.output import Out, Table, note_damaged
from intelshare.cli.shared.times import moment
from intelshare.errors import ConfigError, Place

if TYPE_CHECKING:
    from intelshare.audit.report import Report
    from intelshare.cli.shared.node_folder import NodeFolder

FORMATS = ("text", "json", "markdown", "csv")


@click.command(
    epilog=examples(
        "intelshare audit report --folder fra --since 2026-01-01",
        "intelshare audit report --folder fra --treaty gsa-fra-usa --format json > fra.json",
    )
)
@click.option("--treaty", metavar="ID", default="", help="Report only what this treaty allowed or stopped.")
@click.option("--since", metavar="TIME", help="Start at this date or time. Default: the beginning.")
@click.option("--until", metavar="TIME", help="End before this date or time. Default: now.")
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="text",
    show_default=True,
    help="Output format; json is for `audit reconcile`.",
)
@printing
@on_folder
def report(node: NodeFolder, out: Out, treaty: str, since: str | None, until: str | None, form: str) -> int:
    """Report who shared which kind of information with whom under which article; what was stopped, and why;
    what is overdue.

    It contains no titles and no texts. `audit reconcile` compares reports in JSON.
    """
    from intelshare.wire.v1 import user_pb2 as pb

    request = pb.ReportRequest(
        treaty=treaty,
        since=moment(since, "--since") if since else 0,
        until=moment(until, "--until") if until else 0,
    )
    text = node.operate("Report", request).text
    if form == "json" or out.json:
        sys.stdout.write(text)
        return Exit.DONE
    found = _read(text.encode(), "the node's answer")
    if form == "csv":
        write_csv(found, sys.stdout)
        return Exit.DONE
    _write_tables(found, out, markdown=form == "markdown")
    return Exit.DONE


@click.command(epilog=examples("intelshare audit reconcile fra.json usa.json"))
@click.argument("ours", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("theirs", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@printing
def reconcile(ours: Path, theirs: Path, out: Out) -> int:
    """Compare two members' reports over one period, release by release. Exit with 1 if they differ."""
    from intelshare.audit.report import counts, differences

    one, other = (_read(path.read_bytes(), str(path)) for path in (ours, theirs))
    if one.member == other.member:
        raise ConfigError(
            "INPUT_INVALID",
            f"both reports are from {one.member}",
            place=Place(str(theirs)),
            hint="give your member's report and the one that the other member sent you",
        )
    found = list(differences(one, other))
    directions = []
    for sender, recipient in ((one.member, other.member), (other.member, one.member)):
        sent = counts(one if sender == one.member else other, sender, recipient)
        got = counts(one if recipient == one.member else other, sender, recipient)
        directions.append({"sender": sender, "recipient": recipient, "sent": sent[0], "taken": got[1]})
    out.document(
        "reconciliation",
        {
            "directions": directions,
            "differences": [
                {"statement": d.statement, "sender": d.sender, "recipient": d.recipient, "what": d.what}
                for d in found
            ],
        },
    )
    for row in directions:
        out.line(
            f"{row['sender']} says it sent {row['sent']} to {row['recipient']}, "
            f"{row['recipient']} says it accepted {row['taken']}"
        )
    rows = [(d.statement[:8], d.sender, d.recipient, d.what) for d in found]
    if rows:
        out.table(Table(("release", "from", "to", "difference"), rows))
    if (one.since, one.until, one.treaty) != (other.since, other.until, other.treaty):
        out.note("the reports do not cover the same period and treaty")
    for made in (one, other):
        if made.damaged:
            out.note(f"the report of {made.member} leaves out what {len(made.damaged)} damaged records said")
    out.line(f"{len(found)} differences" if found else "both reports agree")
    return Exit.FAILED if found else Exit.DONE


def _read(text: bytes, source: str) -> Report:
    from intelshare.audit.portable import read
    from intelshare.audit.report import REPORT_SCHEMA, Report

    return read(Report, REPORT_SCHEMA, text, source)


def _tables(found: Report) -> list[tuple[str, Table]]:
    from intelshare.cli.shared.tables import short_time
    from intelshare.instant import Instant

    def time(at: int) -> str:
        return short_time(Instant(at)) if at else ""

    return [
        (
            "shared",
            Table(
                ("from", "to", "treaty", "article", "category", "level", "bulletins", "portions"),
                [
                    (
                        s.sender,
                        s.recipient,
                        s.treaty,
                        s.article,
                        s.category,
                        s.level,
                        str(s.bulletins),
                        str(s.portions),
                    )
                    for s in found.shared
                ],
            ),
        ),
        (
            "stopped",
            Table(
                ("from", "to", "outcome", "reason", "bulletins"),
                [(s.sender, s.recipient, s.word, s.code, str(s.bulletins)) for s in found.stopped],
            ),
        ),
        (
            "receipts missing",
            Table(
                ("from", "to", "number", "release", "sent"),
                [(r.sender, r.recipient, str(r.number), r.statement[:8], time(r.at)) for r in found.missing],
            ),
        ),
        (
            "obligations overdue",
            Table(
                ("originator", "release", "obligation", "due", "done"),
                [
                    (d.originator, d.statement[:8], d.obligation, time(d.due), time(d.done))
                    for d in found.overdue
                ],
            ),
        ),
    ]


def _write_tables(found: Report, out: Out, *, markdown: bool) -> None:
    from intelshare.instant import Instant
    from intelshare.labels import when

    since = when(Instant(found.since)) if found.since else "the beginning"
    about = found.treaty or "all treaties"
    out.line(
        f"{'# ' if markdown else ''}{found.member}: {about}, from {since} to {when(Instant(found.until))}"
    )
    for name, table in _tables(found):
        out.line()
        out.line(f"{'## ' if markdown else ''}{name}{'' if table.rows else ': none'}")
        if table.rows and markdown:
            out.line()
            out.block(markdown_table(table.columns, table.rows))
        elif table.rows:
            out.table(table, indent=2)
    if found.truncated:
        out.note("more than 10,000 releases: choose a shorter period")
    note_damaged(out, found.damaged)


def write_csv(found: Report, stream: TextIO) -> None:
    """Write all tables into one file, with the table's name in the first column of each line."""
    import csv

    writer = csv.writer(stream, lineterminator="\n")
    for name, table in _tables(found):
        writer.writerow([name, *table.columns])
        for row in table.rows:
            # A spreadsheet must not interpret a cell as a formula.
            writer.writerow(
                [name, *("'" + cell if cell.startswith(("=", "+", "-", "@")) else cell for cell in row)]
            )
