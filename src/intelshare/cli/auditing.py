"""``audit``: is the log what it was?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from intelshare.cli.codes import Exit
from intelshare.cli.options import on_folder, printing
from intelshare.cli.output import Out

if TYPE_CHECKING:
    from intelshare.cli.standing import Standing


@click.group()
def audit() -> None:
    """Verify the log."""


@audit.command()
@printing
@on_folder
def verify(node: Standing, out: Out) -> int:
    """Read the whole log again and recompute its trees; ends with 7 if anything differs."""
    from intelshare.cli.output import Table
    from intelshare.cli.plain import plain
    from intelshare.cli.tables import short_time
    from intelshare.wire.v1 import user_pb2 as pb

    found = node.operate("VerifyAudit", pb.VerifyAuditRequest())
    out.document("audit", plain(found))
    rows = [
        (f"{log.incarnation:016x}", short_time(log.started_at), str(log.size), log.root.hex())
        for log in found.logs
    ]
    out.table(Table(("incarnation", "since", "entries", "root"), rows))
    for finding in found.findings:
        out.line(f"finding: {finding}")
    if found.findings:
        return Exit.NOT_VERIFIED
    out.line("every entry is what its tree says")
    return Exit.DONE
