"""``node repair``, ``release-stream`` and ``allow-reading``: what an operator settles when a record is
damaged, a peer has contradicted itself, or this node lost memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from intelshare.cli.shared.codes import Exit
from intelshare.cli.shared.help import examples
from intelshare.cli.shared.options import on_folder, printing
from intelshare.cli.shared.output import Out, Table

if TYPE_CHECKING:
    from intelshare.cli.shared.node_folder import NodeFolder


@click.command(
    epilog=examples(
        "intelshare node repair --folder fra --scrub",
        "intelshare node repair --folder fra --fetch",
        'intelshare node repair --folder fra --drop 91d0a7c2b7d0 --reason "nobody has it"',
    )
)
@click.option(
    "--scrub", is_flag=True, help="Read every record first. Without it: those that the running node has met."
)
@click.option("--fetch", is_flag=True, help="Make again, or ask peers for, what can be, now.")
@click.option("--drop", multiple=True, metavar="ID", help="Give up the record with this id. Repeatable.")
@click.option("--reason", default="", help="Why you give it up. It is logged.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@printing
@on_folder
def repair(
    node: NodeFolder, out: Out, scrub: bool, fetch: bool, drop: tuple[str, ...], reason: str, yes: bool
) -> int:
    """List records that are not as they were written, and what settles each.

    A running node mends by itself what it meets: from the digest or parity beside it, from other records, or
    from the member that has it. Where none runs, every record is read. Exits with 7 if a damaged record is
    left.
    """
    from intelshare.cli.shared.confirm import confirm
    from intelshare.cli.shared.plain import plain
    from intelshare.wire.v1 import user_pb2 as pb

    if bool(drop) != bool(reason):
        raise click.UsageError("--drop and --reason belong together")
    if drop:
        confirm(f"Give up {len(drop)} record(s)? What depends on them ends.", yes=yes)
    found = node.operate("Repair", pb.RepairRequest(scrub=scrub, fetch=fetch, drop=drop, reason=reason))
    out.document("repair", plain(found))
    if not found.records and found.read_all:
        out.line("every record is as it was written")
        return Exit.DONE
    if not found.records:
        out.line("the node has met no record that is damaged")
        out.note("`intelshare node repair --scrub` reads all")
        return Exit.DONE
    rows = [
        (one.id, one.table, one.key, f"{one.state} {one.member}".strip(), one.remedy) for one in found.records
    ]
    out.table(Table(("id", "table", "key", "state", "what settles it"), rows))
    return Exit.DONE if all(not one.remedy for one in found.records) else Exit.NOT_VERIFIED


@click.command(
    "release-stream",
    epilog=examples('intelshare node release-stream USA --folder fra --reason "cleared by phone" --yes'),
)
@click.argument("member")
@click.option("--reason", required=True, help="Why it may go on. It is logged.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@printing
@on_folder
def release_stream(node: NodeFolder, out: Out, member: str, reason: str, yes: bool) -> None:
    """Let the frozen streams of MEMBER go on, as its node numbers them now.

    A stream freezes when its node gives one number to two contents (SEQUENCE_FORK). The evidence stays; a
    new contradiction freezes the stream again.
    """
    from intelshare.cli.shared.confirm import confirm
    from intelshare.cli.shared.plain import plain
    from intelshare.wire.v1 import user_pb2 as pb

    code = member.upper()
    confirm(f"Let the streams of {code} go on, although they contradict themselves?", yes=yes)
    found = node.operate("ReleaseStream", pb.ReleaseStreamRequest(member=code, reason=reason))
    out.document("released", plain(found))
    out.line(f"{code}: {found.streams} stream(s) go on")


@click.command(
    "allow-reading",
    epilog=examples('intelshare node allow-reading USA --folder fra --reason "no recall, by phone" --yes'),
)
@click.argument("member")
@click.option("--reason", required=True, help="Why it may be read. It is logged.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@printing
@on_folder
def allow_reading(node: NodeFolder, out: Out, member: str, reason: str, yes: bool) -> None:
    """Let users read what MEMBER sent before this node lost memory, although MEMBER was not heard since.

    MEMBER may have recalled some of it in the meantime. Once it was linked for a minute, this is not needed.
    """
    from intelshare.cli.shared.confirm import confirm
    from intelshare.cli.shared.plain import plain
    from intelshare.wire.v1 import user_pb2 as pb

    code = member.upper()
    confirm(f"Let users read what {code} sent, although it may have recalled some of it?", yes=yes)
    found = node.operate("AllowReading", pb.AllowReadingRequest(member=code, reason=reason))
    out.document("reading-allowed", plain(found))
    out.line(f"what {code} sent can be read; recalls of it count as soon as they come")
