"""``misp`` and ``cap``: write a bulletin as an event or an alert, and make a draft for ``send --batch`` of an
event.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from intelshare.cli.analyst.stix import draft_options, in_form, marking_table, put_out, text_of, write_draft
from intelshare.cli.shared.beside import NodeRegistry, registry_of
from intelshare.cli.shared.completion import bulletins
from intelshare.cli.shared.help import CommandGroup, examples
from intelshare.cli.shared.options import originator, printing, talking
from intelshare.cli.shared.output import Out
from intelshare.cli.shared.times import moment
from intelshare.instant import NEVER, Instant

if TYPE_CHECKING:
    from intelshare.client import Client


@click.group(cls=CommandGroup)
def misp() -> None:
    """Write bulletins as MISP events, and make drafts from MISP events."""


@click.group(cls=CommandGroup)
def cap() -> None:
    """Write bulletins about disasters and health as CAP 1.2 alerts."""


def _out_option(function: Any) -> Any:
    return click.option(
        "--out",
        "target",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Write to this file, which must not exist yet. Default: standard output.",
    )(function)


@misp.command(name="export", epilog=examples("intelshare misp export 3f9a1c22 --out event.json"))
@click.argument("bulletin", metavar="ID", shell_complete=bulletins)
@originator()
@_out_option
@printing
@talking
def export_event(client: Client, out: Out, bulletin: str, originator: str, target: Path | None) -> None:
    """Write the bulletin whose id begins with ID as a MISP event, with its label and TLP as tags.

    Your node logs that you read it. Portions that may only be shown to you (DISPLAY ONLY) are left out.
    """
    from intelshare.interop import write_event

    opened = client.read(bulletin, originator=originator)
    text = in_form(
        opened,
        opened.portions,
        NodeRegistry(client),
        out,
        lambda shared, registry: json.dumps(write_event(shared, registry), indent=2) + "\n",
    )
    put_out(text, target, out)


@misp.command(
    name="import",
    epilog=examples("intelshare misp import event.json --category cyber --to USA --out event-draft"),
)
@draft_options
@printing
def import_event(
    file: Path,
    category: str,
    to: tuple[str, ...],
    table: Path | None,
    folder: Path | None,
    target: Path,
    out: Out,
) -> None:
    """Make a draft from the MISP event in FILE, for you to check and to send with `send --batch`.

    Tags and distribution become labels: labels and TLP are taken as they are, other markings by the table.
    Nothing is lowered, sent or fetched; a marking that is not understood is refused by name.
    """
    from intelshare.interop import read_misp

    registry = registry_of(folder)
    known = marking_table(table, folder, registry)
    imported = read_misp(text_of(file), known, registry, moment(None), source=str(file))
    write_draft(imported, file, category, to, target, registry, out)


@cap.command(name="export", epilog=examples("intelshare cap export 3f9a1c22 --out alert.xml"))
@click.argument("bulletin", metavar="ID", shell_complete=bulletins)
@originator()
@_out_option
@printing
@talking
def export_alert(client: Client, out: Out, bulletin: str, originator: str, target: Path | None) -> None:
    """Write the bulletin whose id begins with ID as a CAP 1.2 alert: Restricted, unless everybody may have
    it.

    Your node logs that you read it. Portions that may only be shown to you (DISPLAY ONLY) are left out.
    """
    from intelshare.interop import write_cap

    opened = client.read(bulletin, originator=originator)
    until = Instant(opened.valid_until) if opened.valid_until else NEVER
    text = in_form(
        opened,
        opened.portions,
        NodeRegistry(client),
        out,
        lambda shared, registry: write_cap(shared, registry, until).decode("utf-8"),
    )
    put_out(text, target, out)
