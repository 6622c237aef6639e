"""``node move`` and ``node replicas``: rows in a PostgreSQL, and the processes that share it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from intelshare.cli.shared.help import examples
from intelshare.cli.shared.options import folder_option, passphrase, printing
from intelshare.cli.shared.output import Out
from intelshare.cli.shared.plain import time_text

if TYPE_CHECKING:
    from intelshare.cli.shared.node_folder import Passphrase

_FILE = "sqlite"


@click.command(
    epilog=examples("intelshare node move --folder fra --to postgresql://fra@db.example/intelshare")
)
@folder_option
@passphrase
@click.option("--to", "target", required=True, help="postgresql://USER@HOST/DATABASE, or sqlite.")
@click.option("--schema", default="intelshare", show_default=True, help="Schema in the database; a new one.")
@click.option(
    "--password-file",
    default="",
    help="File in FOLDER with the database's password, or secrets:NAME. Default: libpq's own (~/.pgpass).",
)
@printing
def move(
    out: Out, folder: Path, passphrase: Passphrase, target: str, schema: str, password_file: str
) -> None:
    """Move the rows of a node that does not run into a PostgreSQL, or back into a file.

    Every row is read back from its new place. Until that is done nothing changes, and a move that was
    interrupted can simply be repeated. Then node.toml names the new place, and the old rows are erased.
    """
    from intelshare.cli.shared.output import waiting
    from intelshare.node.move import move_rows
    from intelshare.store.server import Server, wrong_schema, wrong_url

    server = None
    if target != _FILE:
        wrong = wrong_url(target) or wrong_schema(schema)
        if wrong is not None:
            raise click.UsageError(wrong)
        server = Server(target, schema, password_file)
    with waiting("moving"):
        moved = move_rows(folder, passphrase.of(folder), server)
    out.document(
        "moved",
        {
            "to": target,
            "rows": moved.rows,
            "tables": [{"table": one.table, "rows": one.rows, "sha256": one.digest} for one in moved.tables],
        },
    )
    for one in moved.tables:
        if one.rows:
            out.line(f"{one.table}: {one.rows} rows, sha256 {one.digest[:16]} at both ends")
    out.line(f"{moved.rows} rows moved and read again; start the node as before")


@click.command(epilog=examples("intelshare node replicas --folder fra"))
@folder_option
@printing
def replicas(out: Out, folder: Path) -> None:
    """Show which replica leads, which serve users beside it, and which wait: as the database sees them; and
    with which members each has the links. One that waits to join says in the folder what for.
    """
    from intelshare.cli.shared.tables import short_time
    from intelshare.instant import Instant
    from intelshare.node.folder import Folder
    from intelshare.node.replicas import links_of, listed, waiting
    from intelshare.node.settings_file import read_settings

    found = listed(folder)
    now = Instant(time.time_ns() // 1000)
    known = {one.replica for one in found}
    joining = [one for one in waiting(folder, now) if one.replica not in known]
    links = {one.replica: links_of(folder, one.replica, now) for one in found}
    out.document(
        "replicas",
        {
            "replicas": [
                {
                    "name": one.replica,
                    "version": one.version,
                    "state": "active" if one.active else "standby",
                    "leads": one.leads,
                    "links": list(links[one.replica]),
                    "address": one.address,
                    "since": time_text(Instant(one.since)),
                }
                for one in found
            ]
            + [
                {
                    "name": one.replica,
                    "version": None,
                    "state": "waits",
                    "leads": False,
                    "links": [],
                    "address": one.machine,
                    "since": time_text(one.waits.since if one.waits is not None else one.at),
                }
                for one in joining
            ]
        },
    )
    for one in found:
        state = "leads  " if one.leads else "serves " if one.active else "standby"
        place = one.address or "this machine"
        since = short_time(Instant(one.since))
        with_ = f"  links {', '.join(links[one.replica])}" if links[one.replica] else ""
        out.line(f"{state}  {one.replica}  from {place}  since {since}  version {one.version}{with_}")
    for late in joining:
        why = f"  since {short_time(late.waits.since)}: {late.waits.what}" if late.waits is not None else ""
        out.line(f"waits    {late.replica}  on {late.machine}{why}")
    if any(one.active for one in found) and not any(one.leads for one in found):
        out.note('none of them leads: docs/runbook.md, "Replicas", 1')
    if not found and read_settings(Folder(folder).settings).store is None:
        out.note("the rows of this node are in a file, and it has no replicas: see `intelshare node health`")
    elif not found:
        out.note("no process writes to the database of this folder")
