"""``verify``: shows what a file proves to somebody who has only this program and some member files."""

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
from intelshare.cli.shared.codes import Exit
from intelshare.cli.shared.help import examples
from intelshare.cli.shared.options import printing
from intelshare.cli.shared.output import Out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from intelshare.verifier import Noted, Released, ShownPortion

RELEASE = "intelshare/release-proof/1"

_BINARY = frozenset(("FILE", "ATTACHMENT"))


@click.command(
    epilog=examples(
        "intelshare verify release.json --member fra.member --member usa.member",
        "intelshare verify release.json --file annex.pdf --member fra.member --member usa.member",
        "intelshare verify fra-log/checkpoint --member fra.member --member usa.member",
    )
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--file",
    "compared",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="Check that this file is a portion or attachment which FILE proves to have been released; "
    "repeatable.",
)
@member_option
@fingerprint_option
@printing
def verify(
    file: Path, compared: tuple[Path, ...], members: tuple[Path, ...], fingerprints: tuple[str, ...], out: Out
) -> int:
    """Check FILE of `export`, `audit prove` or `audit export` without a node: step by step, then a verdict.

    FILE may also be the `checkpoint` of `audit export --tlog`, or a tlog-proof. For a file of `export
    --content`, --file also tells which portion a file on your disk is.

    Exits with 7 if it does not hold or a --file is not one of its portions, with 5 if it holds but nothing
    that you gave confirms a signer's keys.
    """
    from intelshare.verifier import check_evidence, check_note, check_proof, check_release, is_note, schema_of

    text, given = file.read_bytes(), given_members(members)
    if compared and (is_note(text) or schema_of(text) != RELEASE):
        raise click.UsageError(
            "--file can only be compared with a release written by `intelshare export --content`"
        )
    if is_note(text):
        return _show_note(out, check_note(text, str(file), given))
    match schema_of(text):
        case "intelshare/log-proof/1":
            return show_proof(out, check_proof(text, str(file), given, fingerprints))
        case "intelshare/evidence/1":
            return show_evidence(out, check_evidence(text, str(file), given, fingerprints))
        case _:
            return _show_release(out, check_release(text, str(file), given, fingerprints), compared)


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
            "size": str(found.size),
            "witnesses": seen,
            "unknown": found.unknown,
            "entry": entry and {"index": str(entry.index), "type": entry.type, "says": entry.says},
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
        out.line(f"{found.unknown} signatures of others were not checked: their member files were not given")
    return conclude(out, found.members)


def _show_release(out: Out, found: Released, compared: Sequence[Path]) -> int:
    from intelshare.labels import when

    files = [(path, _slots(path, found)) for path in compared]
    out.document("release-checked", _document(found, files))
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
        if portion.kind.name in _BINARY:
            out.line(f"  | {portion.media}, {_size(portion)} bytes")
        else:
            # Marked line by line, so that no text from the file can pass for words of the judge.
            for line in portion.content.decode("utf-8", "replace").splitlines():
                out.line(f"  | {line}")
    for path, slots in files:
        what = f"{path} is what was released"
        if slots:
            out.line(f"established      {what}: it is slot {', '.join(map(str, slots))}")
        else:
            out.line(f"not established  {what}: {_why_not(found)}")
    decided = "" if found.outcome == "released" else f" at {when(found.decided_at)}"
    out.line(
        f"{found.sender} released number {found.number} to {found.recipient} "
        f"at {when(found.signed_at)}; the last word of {found.recipient}: {found.outcome}{decided}"
    )
    code = conclude(out, found.members)
    return code if all(slots for _, slots in files) else Exit.NOT_VERIFIED


def _slots(path: Path, found: Released) -> tuple[int, ...]:
    """Return the slots of the portions that the file equals. Raises ConfigError NOT_FOUND, INPUT_INVALID (not
    a regular file).
    """
    from intelshare.cli.shared.files import opened_regular
    from intelshare.verifier import matching_slots

    with opened_regular(path) as (file, size):
        return matching_slots(found.portions, file.read, size)


def _why_not(found: Released) -> str:
    if not found.portions:
        return "the proof shows no content: ask for one made with `intelshare export --content`"
    return "it is not byte for byte a portion that the proof shows"


def _size(portion: ShownPortion) -> int:
    """Return the size in bytes of the file that a portion contains or stands for."""
    from intelshare.crypto.pieces import read_attachment

    is_beside = portion.kind.name == "ATTACHMENT"
    return read_attachment(portion.content).size if is_beside else len(portion.content)


def _document(found: Released, files: Sequence[tuple[Path, tuple[int, ...]]]) -> dict[str, Any]:
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
                "media": portion.media,
                "size": str(_size(portion)),
                "content": None
                if portion.kind.name in _BINARY
                else portion.content.decode("utf-8", "replace"),
            }
            for portion in found.portions
        ],
        "files": [{"file": str(path), "slots": list(slots)} for path, slots in files],
        "members": named_members(found.members),
        "confirmed": found.confirmed,
    }
