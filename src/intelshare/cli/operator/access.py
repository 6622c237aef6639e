"""``node confirm-access``: after a loss of memory, an operator confirms who comes in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

from intelshare.cli.shared.help import examples
from intelshare.cli.shared.options import on_folder, printing
from intelshare.cli.shared.output import Out

if TYPE_CHECKING:
    from intelshare.cli.shared.node_folder import NodeFolder
    from intelshare.wire.v1 import user_pb2 as pb


@click.command(
    "confirm-access",
    epilog=examples(
        "intelshare node confirm-access --dry-run --folder fra",
        'intelshare node confirm-access --folder fra --reason "nobody revoked since Monday"',
        'intelshare node confirm-access m.durand USA --folder fra --reason "asked both" --yes',
    ),
)
@click.argument("who", metavar="[NAME|MEMBER]...", nargs=-1)
@click.option(
    "--reason", default="", help="Your grounds, such as the register that you have compared. It is logged."
)
@click.option("--dry-run", is_flag=True, help="Only show who waits.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@printing
@on_folder
def confirm_access(
    node: NodeFolder, out: Out, who: tuple[str, ...], reason: str, dry_run: bool, yes: bool
) -> None:
    """Let users and members in again who wait since this node lost memory; without names, all of them.

    A restored node does not know who was revoked, suspended or given fewer rights since its backup. Do that
    again first (`user revoke`, `user change`, `user renew`, `member suspend`, `pki revoke`, treaty acts).
    """
    from intelshare.cli.shared.confirm import confirm
    from intelshare.cli.shared.plain import plain
    from intelshare.cli.shared.tables import short_time
    from intelshare.wire.v1 import user_pb2 as pb

    found = node.operate("ConfirmAccess", pb.ConfirmAccessRequest(dry_run=True))
    if not dry_run and (who or found.users or found.members):
        request = _chosen(found, who, reason)
        _show(out, found, request.users)
        until = f"remembers until {short_time(found.since)}" if found.since else "lost memory"
        out.note(f"this node {until}: whatever was withdrawn since is still allowed in this list")
        what = " ".join([*request.users, *request.members]) or "nobody"
        confirm(f"Let in: {what}. Continue?", yes=yes)
        found = node.operate("ConfirmAccess", request)
    else:
        _show(out, found, [user.name for user in found.users])
    out.document("access-waiting" if dry_run else "access-confirmed", plain(found))
    what = "wait" if dry_run else "confirmed"
    members = f": {' '.join(found.members)}" if found.members else ""
    out.line(f"{len(found.users)} users and {len(found.members)} members {what}{members}")


def _chosen(waiting: pb.ConfirmAccessResponse, who: Sequence[str], reason: str) -> pb.ConfirmAccessRequest:
    """Return the request for those who are named, or for all; the node refuses a name that does not wait."""
    from intelshare.wire.v1 import user_pb2 as pb

    users, members = [user.name for user in waiting.users], list(waiting.members)
    if who:
        members = [name.upper() for name in who if name not in users and name.upper() in members]
        users = [name for name in who if name in users or name.upper() not in members]
    return pb.ConfirmAccessRequest(users=users, members=members, reason=reason)


def _show(out: Out, waiting: pb.ConfirmAccessResponse, names: Iterable[str]) -> None:
    from intelshare.cli.shared.operator_tables import user_table

    shown = frozenset(names)
    out.table(user_table([user for user in waiting.users if user.name in shown]))
