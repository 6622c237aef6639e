"""``audit``: is the log what it was, what do others hold of it, and what can be proved to whom?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from intelshare.cli.operator.audit_report import reconcile, report
from intelshare.cli.shared.codes import Exit
from intelshare.cli.shared.help import Group, examples
from intelshare.cli.shared.options import on_folder, originator, printing
from intelshare.cli.shared.output import Out

if TYPE_CHECKING:
    from intelshare.cli.shared.node_folder import NodeFolder
    from intelshare.trust import MemberFile


@click.group(cls=Group)
def audit() -> None:
    """Verify the log; prove entries of it; show and check evidence; report who shared what."""


audit.add_command(report)
audit.add_command(reconcile)

member_option = click.option(
    "--member",
    "members",
    multiple=True,
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Member file of a signer (else the documents in FILE count); compare its fingerprint by voice.",
)


@audit.command(epilog=examples("intelshare audit verify --folder fra"))
@printing
@on_folder
def verify(node: NodeFolder, out: Out) -> int:
    """Read the whole log again and recompute its trees; ends with 7 if anything differs."""
    from intelshare.cli.shared.output import Table
    from intelshare.cli.shared.plain import plain
    from intelshare.cli.shared.tables import short_time
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


@audit.command(epilog=examples("intelshare audit head --folder fra"))
@printing
@on_folder
def head(node: NodeFolder, out: Out) -> int:
    """Show the last signed checkpoint, who has seen the log up to where, and what is held of others' logs."""
    from intelshare.cli.shared.output import Table
    from intelshare.cli.shared.plain import plain
    from intelshare.cli.shared.tables import short_time
    from intelshare.wire.v1 import user_pb2 as pb

    found = node.operate("Head", pb.HeadRequest())
    out.document("audit-head", plain(found))
    out.line(f"{found.node}  log {found.incarnation:016x}  {found.entries} entries")
    if found.size:
        out.line(f"checkpoint of {found.size} entries  {short_time(found.signed_at)}  {found.root.hex()}")
    else:
        out.line("no checkpoint yet")
    seen = [(one.member, one.node, str(one.size), short_time(one.signed_at)) for one in found.witnesses]
    out.table(Table(("seen by", "node", "entries", "signed"), seen))
    held = [
        (
            one.member,
            one.node,
            f"{one.incarnation:016x}",
            str(one.size),
            one.state,
            short_time(one.received_at),
        )
        for one in found.held
    ]
    out.table(Table(("holding of", "node", "log", "entries", "state", "received"), held))
    return Exit.DONE


@audit.command(
    epilog=examples(
        "intelshare audit prove 7 --folder fra --out entry.json",
        "intelshare audit prove --bulletin 3f9a1c22 --folder fra --out bulletin.json",
    )
)
@click.argument("entry", type=click.IntRange(0, 2**63 - 1), required=False)
@click.option("--log", metavar="HEX", help="Which log; else the present one (`audit verify` lists them).")
@click.option("--bulletin", metavar="ID", default="", help="All entries about a bulletin.")
@originator(of="the bulletin of --bulletin")
@click.option(
    "--receipt",
    "--statement",
    "statement",
    metavar="HEX",
    default="",
    help="All entries about a statement, as a release or its receipt.",
)
@click.option("--out", "target", type=click.Path(dir_okay=False, path_type=Path), help="File; else stdout.")
@click.option("-q", "--quiet", is_flag=True, help="Print no notes on stderr.")
@on_folder
def prove(
    node: NodeFolder,
    entry: int | None,
    log: str | None,
    bulletin: str,
    originator: str,
    statement: str,
    target: Path | None,
    quiet: bool,
) -> int:
    """Write entries of the log, opened, with the proof that they are in it: a file that anybody can check."""
    from intelshare.wire.v1 import user_pb2 as pb

    if (entry is None) == (not bulletin and not statement):
        raise click.UsageError("give the number of an entry, or --bulletin, or --receipt")
    if originator and not bulletin:
        raise click.UsageError("--from says whose bulletin --bulletin means: give both")
    request = pb.ProveRequest(
        incarnation=_hexadecimal(log),
        index=entry or 0,
        bulletin=bulletin,
        statement=statement.lower(),
        originator=originator,
    )
    return _give(node.operate("Prove", request).text, target, Out(quiet=quiet))


@audit.command(
    name="check-proof", epilog=examples("intelshare audit check-proof entry.json --member fra.member")
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@member_option
@click.option("--root", metavar="HEX", help="The checkpoint must have this root: one that you hold.")
@printing
def check_proof_(file: Path, members: tuple[Path, ...], root: str | None, out: Out) -> int:
    """Check FILE of `audit prove`, offline: entry, log, checkpoint, signature. Ends with 7 if it fails."""
    from intelshare.cli.operator.proved import lines_of
    from intelshare.errors import TrustError
    from intelshare.labels import when
    from intelshare.verifier import check_proof

    given = _members(members)
    found = check_proof(file.read_bytes(), str(file), given)
    if root is not None and root.lower() != found.checkpoint.root.hex():
        raise TrustError("LOG_INCONSISTENT", "the file's checkpoint has another root than the one given")
    entries = [
        {
            "log": f"{one.incarnation:016x}",
            "index": one.index,
            "type": one.type,
            "time": when(one.at),
            "says": one.says,
        }
        for one in found.entries
    ]
    out.document(
        "proof-checked",
        {
            "node": found.node,
            "member": found.member,
            "fingerprint": found.fingerprint,
            "size": found.checkpoint.size,
            "root": found.checkpoint.root.hex(),
            "signed_at": when(found.signed_at),
            "witnesses": [{"member": member, "entries": size} for member, size in found.witnesses],
            "entries": entries,
        },
    )
    for one in found.entries:
        out.line(f"entry {one.index} of log {one.incarnation:016x}  {one.type}  {when(one.at)}")
        for line in lines_of(one.says):
            out.line(f"  {line}")
    out.line(f"in the log of {found.node}, {found.checkpoint.size} entries, signed {when(found.signed_at)}")
    for member, size in found.witnesses:
        out.line(f"{member} signed that it saw the first {size} of them")
    _show_fingerprint(out, found.member, found.fingerprint, given)
    return Exit.DONE


@audit.command(epilog=examples("intelshare audit evidence --folder fra"))
@printing
@on_folder
def evidence(node: NodeFolder, out: Out) -> int:
    """List what contradicts itself: forked and rewritten logs, two releases under one number, lost memory."""
    from intelshare.cli.shared.output import Table
    from intelshare.cli.shared.plain import plain
    from intelshare.cli.shared.tables import short_time
    from intelshare.wire.v1 import user_pb2 as pb

    found = node.operate("ListEvidence", pb.ListEvidenceRequest())
    out.document("evidence-list", plain(found))
    rows = [
        (one.evidence.hex()[:8], one.member, one.code, short_time(one.first_at), one.what)
        for one in found.alarms
    ]
    if rows:
        out.table(Table(("id", "member", "code", "since", "what"), rows))
    else:
        out.note("nothing has contradicted itself")
    return Exit.DONE


@audit.command(epilog=examples("intelshare audit export 7b04e6d1 --folder fra --out evidence.json"))
@click.argument("id_", metavar="ID")
@click.option("--out", "target", type=click.Path(dir_okay=False, path_type=Path), help="File; else stdout.")
@click.option("-q", "--quiet", is_flag=True, help="Print no notes on stderr.")
@on_folder
def export(node: NodeFolder, id_: str, target: Path | None, quiet: bool) -> int:
    """Write the evidence ID as a file that third parties can check: signed statements, proofs, keys."""
    from intelshare.wire.v1 import user_pb2 as pb

    answer = node.operate("ExportEvidence", pb.ExportEvidenceRequest(id=id_))
    return _give(answer.text, target, Out(quiet=quiet))


@audit.command(epilog=examples("intelshare audit settle 7b04e6d1 --folder fra"))
@click.argument("id_", metavar="ID")
@click.option("--yes", is_flag=True, help="Do not ask.")
@printing
@on_folder
def settle(node: NodeFolder, out: Out, id_: str, yes: bool) -> int:
    """End an alarm after you have looked: the evidence stays, and that node's log is taken as it is now."""
    from intelshare.cli.shared.confirm import confirm
    from intelshare.cli.shared.plain import plain
    from intelshare.wire.v1 import user_pb2 as pb

    confirm(f"End alarm {id_}? What was seen of that log is then not held against it any more.", yes=yes)
    found = node.operate("SettleEvidence", pb.SettleEvidenceRequest(id=id_)).alarm
    out.document("evidence-settled", plain(found))
    out.line(f"settled {found.evidence.hex()[:8]}  {found.member}: {found.what}  [{found.code}]")
    return Exit.DONE


@audit.command(
    name="check-evidence",
    epilog=examples("intelshare audit check-evidence evidence.json --member usa.member"),
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@member_option
@printing
def check_evidence_(file: Path, members: tuple[Path, ...], out: Out) -> int:
    """Check FILE of `audit export`, offline: that it proves a contradiction of a node; else ends with 7."""
    from intelshare.labels import when
    from intelshare.verifier import check_evidence

    given = _members(members)
    found = check_evidence(file.read_bytes(), str(file), given)
    signed = [{"kind": kind, "signed_at": when(at)} for kind, at in found.statements]
    out.document(
        "evidence-checked",
        {
            "member": found.member,
            "node": found.node,
            "fingerprint": found.fingerprint,
            "code": found.code,
            "what": found.what,
            "statements": signed,
        },
    )
    out.line(f"proved: {found.member} ({found.node}): {found.what}  [{found.code}]")
    for row in signed:
        out.line(f"  {row['kind']} signed {row['signed_at']}")
    _show_fingerprint(out, found.member, found.fingerprint, given)
    return Exit.DONE


def _members(paths: tuple[Path, ...]) -> list[MemberFile]:
    from intelshare.trust import read_member_file

    return [read_member_file(path.read_bytes(), str(path)) for path in paths]


def _show_fingerprint(out: Out, member: str, fingerprint: str, given: list[MemberFile]) -> None:
    out.line(f"{member}'s fingerprint  {fingerprint}")
    # The file of another member says nothing of this one.
    if all(one.member != member for one in given):
        out.note(
            f"the documents of {member} came with the file: compare this fingerprint with {member} by voice"
        )


def _hexadecimal(text: str | None) -> int:
    if text and not (len(text) <= 16 and set(text.lower()) <= set("0123456789abcdef")):
        raise click.BadParameter("16 hexadecimal digits, as `audit verify` shows", param_hint="--log")
    return int(text, 16) if text else 0


def _give(text: str, target: Path | None, out: Out) -> int:
    if target is None:
        sys.stdout.write(text)
        return Exit.DONE
    target.write_text(text, "utf-8")
    out.note(f"written to {target}")
    return Exit.DONE
