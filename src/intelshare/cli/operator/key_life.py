"""``vault status``, ``rotate``, ``revoke`` and ``trust impact``: the life of keys, and what depends
on a key.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from intelshare.cli.shared.files import write_file
from intelshare.cli.shared.help import examples
from intelshare.cli.shared.options import on_folder, printing
from intelshare.cli.shared.output import Out, note_damaged

if TYPE_CHECKING:
    from intelshare.cli.shared.node_folder import NodeFolder

USES = ("signing", "sealing", "note")


@click.command(epilog=examples("intelshare vault status --folder fra"))
@printing
@on_folder
def status(node: NodeFolder, out: Out) -> None:
    """List your node's keys: their use, when they are valid, and when each is succeeded.

    "overlaps": others may still use the older key. "opens only": nothing is sealed to the key any more, but
    content already on its way can still be opened; after that, its secret is destroyed.
    """
    from intelshare.cli.shared.operator_tables import key_table
    from intelshare.cli.shared.plain import plain
    from intelshare.wire.v1 import user_pb2 as pb

    found = node.operate("ListKeys", pb.ListKeysRequest())
    out.document("keys", plain(found))
    out.table(key_table(found.keys))


@click.command(
    epilog=examples("intelshare vault rotate --folder fra", "intelshare vault rotate sealing --folder fra")
)
@click.argument("uses", nargs=-1, type=click.Choice(USES))
@printing
@on_folder
def rotate(node: NodeFolder, out: Out, uses: tuple[str, ...]) -> None:
    """Make new keys now and tell every member. Without USES, for signing and sealing.

    Content on its way stays valid: the older keys overlap, and their secrets are destroyed afterwards.
    """
    from intelshare.cli.shared.operator_tables import key_table
    from intelshare.cli.shared.plain import plain
    from intelshare.wire.v1 import user_pb2 as pb

    found = node.operate("RotateKeys", pb.RotateKeysRequest(uses=uses))
    out.document("keys", plain(found))
    out.table(key_table(found.keys))


@click.command(
    epilog=examples(
        "intelshare vault revoke 5a0c77e1 --folder fra",
        "intelshare vault revoke 5a0c77e1 --compromised --out fra.member --folder fra",
    )
)
@click.argument("key")
@click.option(
    "--compromised", is_flag=True, help="Somebody else may have the key: nothing signed with it counts."
)
@click.option("--since", default="", metavar="TIME", help="Time of the revocation. Default: now.")
@click.option(
    "--out",
    "target",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write your new member file to this file, for members that have no link to you now.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@printing
@on_folder
def revoke(
    node: NodeFolder, out: Out, key: str, compromised: bool, since: str, target: Path | None, yes: bool
) -> None:
    """Revoke the key whose id begins with KEY, and make its successor.

    Without --compromised the key is rotated out: what it signed before stays valid. With it, the secret is
    destroyed at once, and releases without an answer are sent again under the new key. A member that has no
    link to you now needs your new member file (--out); there `member import FILE` takes it.
    """
    from intelshare.cli.shared.confirm import confirm
    from intelshare.cli.shared.operator_tables import key_table
    from intelshare.cli.shared.plain import plain
    from intelshare.cli.shared.times import moment
    from intelshare.wire.v1 import user_pb2 as pb

    request = pb.RevokeKeyRequest(
        key=key.lower(), compromised=compromised, since=moment(since, "--since") if since else 0, dry_run=True
    )
    found = node.operate("RevokeKey", request)
    how = "is compromised" if compromised else "is rotated out"
    confirm(f"Declare that the {found.key.use} key {found.key.id.hex()[:16]} {how}?", yes=yes)
    request.dry_run = False
    done = node.operate("RevokeKey", request)
    out.document("key-revoked", plain(done))
    out.table(key_table([done.key]))
    if done.anew:
        out.line(f"{done.anew} releases are sent again under the new key")
    if target is not None:
        write_file(target, node.operate("ExportMember", pb.ExportMemberRequest()).text)
        out.note(f"for every member that has no link to you: intelshare member import {target}")
    elif compromised and found.key.use == "signing":
        out.note("a member that has no link to you now needs your new file: intelshare member export")


@click.command(
    epilog=examples(
        "intelshare trust impact 5a0c77e1 --folder fra",
        "intelshare trust impact 5a0c77e1 --since 2026-11-01 --folder fra",
    )
)
@click.argument("key")
@click.option(
    "--since", default="", metavar="TIME", help="Show only what was signed since then. Default: everything."
)
@printing
@on_folder
def impact(node: NodeFolder, out: Out, key: str, since: str) -> None:
    """Show what a compromise of KEY, which may be any member's, calls into question at your node.

    "alone": nothing from anybody else supports it: no receipt, and no member that has seen your log since.
    """
    from intelshare.cli.shared.operator_tables import impact_table
    from intelshare.cli.shared.plain import plain
    from intelshare.cli.shared.tables import short_time
    from intelshare.cli.shared.times import moment
    from intelshare.wire.v1 import user_pb2 as pb

    request = pb.KeyImpactRequest(key=key.lower(), since=moment(since, "--since") if since else 0)
    found = node.operate("KeyImpact", request)
    out.document("key-impact", plain(found))
    out.line(
        f"{found.use} key {found.key.hex()[:16]} of {found.member}; keys that depend on it: {len(found.keys)}"
    )
    for title, lines in (("signed with it", found.signed), ("a thief of the key can read", found.readable)):
        out.line(f"{title}: {sum(line.count for line in lines)} statements")
        if lines:
            out.table(impact_table(lines))
    seen = short_time(found.witnessed_until) if found.witnessed_until else "never"
    out.note(f"another member has seen your log up to: {seen}")
    note_damaged(out, found.damaged)
