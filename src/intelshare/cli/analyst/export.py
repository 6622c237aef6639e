"""``export``: who released what to whom, under which article, and what became of it, as a file for others."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from intelshare.cli.shared.codes import Exit
from intelshare.cli.shared.completion import bulletins
from intelshare.cli.shared.help import examples
from intelshare.cli.shared.options import talking
from intelshare.cli.shared.output import Out

if TYPE_CHECKING:
    from intelshare.client import Client


@click.command(
    epilog=examples(
        "intelshare export 3f9a1c22 --to USA --out release.json",
        "intelshare export 3f9a1c22 --to USA --content --out release.json",
    )
)
@click.argument("bulletin", metavar="ID", shell_complete=bulletins)
@click.option("--to", "recipient", default="", metavar="MEMBER", help="Whose release, if there are several.")
@click.option(
    "--content",
    is_flag=True,
    help="Show the granted portions: their text is in the file. As recipient you read them by this.",
)
@click.option(
    "--slot", "slots", type=click.IntRange(0, 255), multiple=True, help="Only this portion; repeat."
)
@click.option("--out", "target", type=click.Path(dir_okay=False, path_type=Path), help="File; else stdout.")
@click.option("-q", "--quiet", is_flag=True, help="Print no notes on stderr.")
@talking
def export(
    client: Client,
    bulletin: str,
    recipient: str,
    content: bool,
    slots: tuple[int, ...],
    target: Path | None,
    quiet: bool,
) -> int:
    """Write the release of the bulletin whose id begins with ID, with all that was signed about it.

    For its sender and for its recipient, also after that has destroyed it. Anybody checks the file with
    `intelshare verify`. It names no other recipient and nothing that was withheld; without --content it
    shows no text.
    """
    text = client.export_release(bulletin, recipient.upper(), content=content or bool(slots), slots=slots)
    if target is None:
        sys.stdout.write(text)
        return Exit.DONE
    target.write_text(text, "utf-8")
    Out(quiet=quiet).note(f"written to {target}")
    return Exit.DONE
