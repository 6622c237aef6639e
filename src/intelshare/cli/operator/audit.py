"""``audit``: is the log unchanged, what do other members hold of it, and what can be proved to whom?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from intelshare.cli.operator.audit_check import check_evidence_, check_proof_
from intelshare.cli.operator.audit_report import reconcile, report
from intelshare.cli.operator.audit_tlog import cosign, export_tiles, prove_entry
from intelshare.cli.shared.codes import Exit
from intelshare.cli.shared.files import write_file
from intelshare.cli.shared.help import CommandGroup, examples
from intelshare.cli.shared.options import on_folder, originator, printing
from intelshare.cli.shared.output import Out

if TYPE_CHECKING:
    from intelshare.cli.shared.node_folder import NodeFolder


@click.group(cls=CommandGroup)
def audit() -> None:
    """Verify the log and prove its entries, show and check evidence, and report who shared what."""


audit.add_command(report)
audit.add_command(reconcile)
audit.add_command(check_proof_)
audit.add_command(check_evidence_)
audit.add_command(cosign)


@audit.command(epilog=examples("intelshare audit verify --folder fra"))
@printing
@on_folder
def verify(node: NodeFolder, out: Out) -> int:
    """Read the whole log again and recompute its trees. Exit with 7 if anything differs."""
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
    out.line("every entry matches its tree")
    return Exit.DONE


@audit.command(epilog=examples("intelshare audit head --folder fra"))
@printing
@on_folder
def head(node: NodeFolder, out: Out) -> int:
    """Show the last signed checkpoint, how much of the log others have seen, and what your node holds of
    their logs.
    """
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
        "intelshare audit prove --bulletin 3f9a1c22 --to USA --folder fra --out bulletin.json",
        "intelshare audit prove 7 --tlog --folder fra --out entry.tlog-proof",
    )
)
@click.argument("entry", type=click.IntRange(0, 2**63 - 1), required=False)
@click.option(
    "--log", metavar="HEX", help="The log to use. Default: the current one (`audit verify` lists them)."
)
@click.option("--bulletin", metavar="ID", default="", help="Prove all entries about this bulletin.")
@originator(of="the bulletin of --bulletin")
@click.option(
    "--receipt",
    "--statement",
    "statement",
    metavar="HEX",
    default="",
    help="Prove all entries about this statement, such as a release or its receipt.",
)
@click.option(
    "--to", "recipient", metavar="MEMBER", default="", help="Prove only entries about this recipient."
)
@click.option("--withheld", is_flag=True, help="Also show the decisions about portions that were denied.")
@click.option("--tlog", is_flag=True, help="Write one entry as a tlog-proof (c2sp.org) instead.")
@click.option(
    "--checkpoint",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="With --tlog: prove the entry under this cosigned checkpoint.",
)
@click.option("--out", "target", type=click.Path(dir_okay=False, path_type=Path), help="File; else stdout.")
@printing
@on_folder
def prove(
    node: NodeFolder,
    entry: int | None,
    log: str | None,
    bulletin: str,
    originator: str,
    statement: str,
    recipient: str,
    withheld: bool,
    tlog: bool,
    checkpoint: Path | None,
    target: Path | None,
    out: Out,
) -> int:
    """Write entries of the log, opened, with proofs that the log contains them, as a file that anybody can
    check.

    For a decision it shows the portions that were granted; it shows the others only with --withheld.
    """
    from intelshare.wire.v1 import user_pb2 as pb

    if (entry is None) == (not bulletin and not statement):
        raise click.UsageError("give either the number of an entry, or --bulletin, or --receipt")
    if recipient and not bulletin:
        raise click.UsageError("--to names the recipient of the release of --bulletin: give both")
    if originator and not bulletin:
        raise click.UsageError("--from names the originator of --bulletin: give both")
    if (tlog and entry is None) or (checkpoint and not tlog):
        raise click.UsageError("--tlog needs the number of an entry, and --checkpoint needs --tlog")
    if tlog:
        proof = prove_entry(node, _hexadecimal(log), entry or 0, checkpoint)
        return _give(proof, target, out)
    request = pb.ProveRequest(
        incarnation=_hexadecimal(log),
        index=entry or 0,
        bulletin=bulletin,
        statement=statement.lower(),
        originator=originator,
        recipient=recipient.upper(),
        withheld=withheld,
    )
    return _give(node.operate("Prove", request).text, target, out)


@audit.command(epilog=examples("intelshare audit evidence --folder fra"))
@printing
@on_folder
def evidence(node: NodeFolder, out: Out) -> int:
    """List contradictions found: forked and rewritten logs, two releases under one number, two
    directories of one version, lost data.
    """
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
        out.note("no contradiction was found")
    return Exit.DONE


@audit.command(
    epilog=examples(
        "intelshare audit export 7b04e6d1 --folder fra --out evidence.json",
        "intelshare audit export --tlog fra-log --folder fra",
    )
)
@click.argument("id_", metavar="ID", required=False)
@click.option(
    "--tlog",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write the log to DIR as c2sp.org/tlog-tiles instead: a signed checkpoint, and hashes only.",
)
@click.option("--log", metavar="HEX", help="With --tlog: the log to write. Default: the current one.")
@click.option("--out", "target", type=click.Path(dir_okay=False, path_type=Path), help="File; else stdout.")
@printing
@on_folder
def export(
    node: NodeFolder, out: Out, id_: str | None, tlog: Path | None, log: str | None, target: Path | None
) -> int:
    """Write the evidence ID as a file that third parties can check: signed statements, proofs, keys.

    With --tlog, write the log in a form that other tools can follow. Any web server can serve DIR, and you
    can export into it again. It contains each entry only as a salted hash: the content stays with your node.
    """
    from intelshare.wire.v1 import user_pb2 as pb

    if tlog is not None and id_ is None and target is None:
        return export_tiles(node, out, _hexadecimal(log), tlog)
    if tlog is not None or log or id_ is None:
        raise click.UsageError(
            "give either the ID of evidence, optionally with --out, or --tlog, optionally with --log"
        )
    answer = node.operate("ExportEvidence", pb.ExportEvidenceRequest(id=id_))
    return _give(answer.text, target, out)


@audit.command(epilog=examples("intelshare audit settle 7b04e6d1 --folder fra"))
@click.argument("id_", metavar="ID")
@click.option("--yes", is_flag=True, help="Do not ask.")
@printing
@on_folder
def settle(node: NodeFolder, out: Out, id_: str, yes: bool) -> int:
    """End an alarm after you have investigated it: the evidence stays, and that node's log is accepted as it
    is now.
    """
    from intelshare.cli.shared.confirm import confirm
    from intelshare.cli.shared.plain import plain
    from intelshare.wire.v1 import user_pb2 as pb

    confirm(f"End alarm {id_}? Your node will no longer hold what it saw of that log against it.", yes=yes)
    found = node.operate("SettleEvidence", pb.SettleEvidenceRequest(id=id_)).alarm
    out.document("evidence-settled", plain(found))
    out.line(f"settled {found.evidence.hex()[:8]}  {found.member}: {found.what}  [{found.code}]")
    return Exit.DONE


def _hexadecimal(text: str | None) -> int:
    if text and not (len(text) <= 16 and set(text.lower()) <= set("0123456789abcdef")):
        raise click.BadParameter(
            "give 16 hexadecimal digits, as `audit verify` shows them", param_hint="--log"
        )
    return int(text, 16) if text else 0


def _give(text: str, target: Path | None, out: Out) -> int:
    if target is None:
        sys.stdout.write(text)
        return Exit.DONE
    write_file(target, text)
    out.document("files", {"files": [str(target)]})
    out.note(f"written to {target}")
    return Exit.DONE
