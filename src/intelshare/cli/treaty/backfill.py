"""``treaty backfill``: shows what an accession allows, and sends it if a releasing officer confirms."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import click

from intelshare.cli.shared.completion import members, treaties
from intelshare.cli.shared.help import examples
from intelshare.cli.shared.options import printing, talking
from intelshare.cli.shared.output import Out, Table

if TYPE_CHECKING:
    from intelshare.client import Client
    from intelshare.wire.v1 import user_pb2 as pb

PART: Final = 64
"""The most bulletins that one call addresses."""


@click.command(
    epilog=examples(
        "intelshare treaty backfill demo-climate --to KEN --dry-run",
        "intelshare treaty backfill demo-climate --to KEN --since 2026-01-01",
    )
)
@click.argument("treaty", shell_complete=treaties)
@click.option(
    "--to",
    "recipient",
    required=True,
    metavar="MEMBER",
    shell_complete=members,
    help="The party that has acceded.",
)
@click.option("--since", metavar="TIME", help="Offer only bulletins written since this date or time.")
@click.option("--dry-run", is_flag=True, help="Show what would be offered; send nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@printing
@talking
def backfill(
    client: Client, out: Out, treaty: str, recipient: str, since: str | None, dry_run: bool, yes: bool
) -> None:
    """Offer MEMBER those of your member's bulletins that TREATY now allows it and that were not addressed to
    it.

    Shows them first, then asks. Each is decided again before it goes. Releasing officers only, and only for
    bulletins that they may see.
    """
    from intelshare.cli.shared.confirm import confirm
    from intelshare.cli.shared.output import draw, note_damaged
    from intelshare.cli.shared.plain import plain
    from intelshare.cli.shared.times import moment
    from intelshare.wire.v1 import user_pb2 as pb

    to, start = recipient.upper(), 0 if since is None else max(moment(since, "--since"), 0)
    damaged: dict[str, None] = {}
    wanted = pb.FindBackfillRequest(treaty=treaty, recipient=to, since=start)
    offers = _offers(client, wanted, damaged)
    entries = offers
    if offers and not dry_run:
        if not yes:
            draw(_offer_table(offers), sys.stderr)
        count = "1 bulletin" if len(offers) == 1 else f"{len(offers)} bulletins"
        confirm(f"Send {count} to {recipient.upper()}?", yes=yes, otherwise="nothing was sent")
        entries = []
        for first in range(0, len(offers), PART):
            chosen = [offer.md for offer in offers[first : first + PART]]
            request = pb.BackfillRequest(treaty=treaty, recipient=to, since=start, bulletins=chosen)
            done = client.treat("Backfill", request)
            entries += done.entries
            damaged.update(dict.fromkeys(done.damaged))
    listed = [plain(entry) for entry in entries]
    out.document("treaty-backfill", {"entries": listed, "damaged": list(damaged), "dry_run": dry_run})
    if entries:
        out.table(_offer_table(entries))
    else:
        out.note("there is nothing to offer")
    if len(entries) < len(offers):
        out.note(f"{len(offers) - len(entries)} could no longer be offered")
    note_damaged(out, damaged)


def _offers(
    client: Client, request: pb.FindBackfillRequest, damaged: dict[str, None]
) -> list[pb.BackfillEntry]:
    """Return all offers. ``damaged`` collects what was left out: two pages may name the same record."""
    found: list[pb.BackfillEntry] = []
    while True:
        page = client.treat("FindBackfill", request)
        found += page.entries
        damaged.update(dict.fromkeys(page.damaged))
        request.after = page.after
        if not page.after:
            return found


def _offer_table(entries: Sequence[pb.BackfillEntry]) -> Table:
    from intelshare.cli.shared.tables import short_id, short_time

    rows = [
        (
            short_id(one.bulletin),
            short_time(one.created_at),
            one.title,
            f"{one.granted} of {one.portions}",
            one.basis,
            one.word,
            one.banner,
        )
        for one in entries
    ]
    return Table(("id", "created", "title", "portions", "basis", "state", "banner"), rows)
