"""``verify``: what a file proves to somebody who has only this program and some member files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from intelshare.cli.operator.audit_check import (
    conclude,
    fingerprint_option,
    given_members,
    member_option,
    named_members,
    show_evidence,
    show_proof,
)
from intelshare.cli.shared.help import examples
from intelshare.cli.shared.options import printing
from intelshare.cli.shared.output import Out

if TYPE_CHECKING:
    from intelshare.verifier import Noted, Released


@click.command(
    epilog=examples(
        "intelshare verify release.json --member fra.member --member usa.member",
        "intelshare verify entry.json",
        "intelshare verify fra-log/checkpoint --member fra.member --member usa.member",
    )
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@member_option
@fingerprint_option
@printing
def verify(file: Path, members: tuple[Path, ...], fingerprints: tuple[str, ...], out: Out) -> int:
    """Check FILE of `export`, `audit prove` or `audit export`, without a node: step by step, then a verdict.

    FILE may also be the `checkpoint` of `audit export --tlog`, or a tlog-proof.

    Ends with 7 if it does not hold, with 5 if it holds but nothing that you gave confirms a signer's keys.
    """
    from intelshare.verifier import check_evidence, check_note, check_proof, check_release, is_note, schema_of

    text, given = file.read_bytes(), given_members(members)
    if is_note(text):
        return _show_note(out, check_note(text, str(file), given))
    match schema_of(text):
        case "intelshare/log-proof/1":
            return show_proof(out, check_proof(text, str(file), given, fingerprints))
        case "intelshare/evidence/1":
            return show_evidence(out, check_evidence(text, str(file), given, fingerprints))
        case _:
            return _show_release(out, check_release(text, str(file), given, fingerprints))


def _show_note(out: Out, found: Noted) -> int:
    from intelshare.cli.operator.proved import lines_of
    from intelshare.labels import when

    entry, document = found.entry, {"incarnation": f"{found.incarnation:016x}", "root": found.root.hex()}
    seen = [{"member": one.member, "node": one.node, "at": when(one.signed_at)} for one in found.witnesses]
    out.document(
        "note-checked",
        {
            "node": found.node,
            **document,
            "size": found.size,
            "witnesses": seen,
            "unknown": found.unknown,
            "entry": entry and {"index": entry.index, "type": entry.type, "says": entry.says},
            "members": named_members(found.members),
        },
    )
    if entry is not None:
        out.line(f"entry {entry.index}  {when(entry.at)}  {entry.type}")
        for line in lines_of(entry.says):
            out.line(f"  {line}")
    out.line(f"log {found.incarnation:016x} of {found.node}, {found.size} entries, root {found.root.hex()}")
    for one in found.witnesses:
        out.line(f"{one.member} signed that it saw this state at {when(one.signed_at)}")
    if found.unknown:
        out.line(f"{found.unknown} signatures of others were not checked: no member file of them was given")
    return conclude(out, found.members)


def _show_release(out: Out, found: Released) -> int:
    from intelshare.labels import when

    out.document("release-checked", _document(found))
    for step in found.steps:
        if not step.established:
            out.line(f"not established  {step.what}: {step.why}")
            continue
        dated = f" at {when(step.at)}" if step.at is not None else ""
        out.line(f"established      {step.what}: {step.why}{dated}")
        for seen in step.seen:
            out.line(f"                 {seen.member} saw it at {when(seen.at)}: {seen.how}")
    for portion in found.portions:
        out.line(f"slot {portion.slot}  {portion.label}  {portion.category}")
        if portion.kind.name in ("FILE", "ATTACHMENT"):
            out.line(f"{len(portion.content)} bytes")
        else:
            # Marked line by line, so that no text of the file passes for a word of the judge.
            for line in portion.content.decode("utf-8", "replace").splitlines():
                out.line(f"  | {line}")
    decided = "" if found.outcome == "released" else f" at {when(found.decided_at)}"
    out.line(
        f"{found.sender} released number {found.number} to {found.recipient} "
        f"at {when(found.signed_at)}; the last word of {found.recipient}: {found.outcome}{decided}"
    )
    return conclude(out, found.members)


def _document(found: Released) -> dict[str, Any]:
    from intelshare.labels import when

    return {
        "sender": found.sender,
        "node": found.node,
        "recipient": found.recipient,
        "number": str(found.number),
        "signed_at": when(found.signed_at),
        "originator": found.originator,
        "md": found.md,
        "outcome": found.outcome,
        "decided_at": when(found.decided_at),
        "steps": [
            {
                "established": step.established,
                "what": step.what,
                "why": step.why,
                "at": None if step.at is None else when(step.at),
                "seen": [{"member": by.member, "at": when(by.at), "how": by.how} for by in step.seen],
            }
            for step in found.steps
        ],
        "portions": [
            {
                "slot": portion.slot,
                "kind": portion.kind.name.lower(),
                "label": portion.label,
                "category": portion.category,
                "content": portion.content.decode("utf-8", "replace"),
            }
            for portion in found.portions
        ],
        "members": named_members(found.members),
        "confirmed": found.confirmed,
    }
