"""``audit check-proof`` and ``check-evidence``: show offline what a file proves, and whose keys that rests
on.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from intelshare.cli.shared.codes import Exit
from intelshare.cli.shared.help import examples
from intelshare.cli.shared.options import printing
from intelshare.cli.shared.output import Out

if TYPE_CHECKING:
    from intelshare.verifier import GivenMember, Named, Proven, Provenance

member_option = click.option(
    "--member",
    "members",
    multiple=True,
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Your copy of a signer's member file, the only trusted source of its keys. Give one for each "
    "signer.",
)

fingerprint_option = click.option(
    "--fingerprint",
    "fingerprints",
    multiple=True,
    metavar="TEXT",
    help="A signer's fingerprint that you got from elsewhere; its keys are taken from FILE.",
)


@click.command(
    name="check-proof",
    epilog=examples("intelshare audit check-proof entry.json --member fra.member --member usa.member"),
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@member_option
@fingerprint_option
@click.option("--root", metavar="HEX", help="The root that you hold; the checkpoint must have the same.")
@printing
def check_proof_(
    file: Path, members: tuple[Path, ...], fingerprints: tuple[str, ...], root: str | None, out: Out
) -> int:
    """Check FILE of `audit prove` offline: entry, log, checkpoint, signature, witnesses.

    Exits with 7 if it fails, with 5 if it holds but nothing that you gave confirms the keys of a signer.
    """
    from intelshare.errors import TrustError
    from intelshare.verifier import check_proof

    found = check_proof(file.read_bytes(), str(file), given_members(members), fingerprints)
    if root is not None and root.lower() != found.checkpoint.root.hex():
        raise TrustError("LOG_INCONSISTENT", "the file's checkpoint has another root than the one given")
    return show_proof(out, found)


def show_proof(out: Out, found: Provenance) -> int:
    """Show the results of a proof of log entries, and return the exit code."""
    from intelshare.cli.operator.proved import lines_of
    from intelshare.labels import when

    out.document("proof-checked", _proof_document(found))
    for one in found.entries:
        out.line(f"entry {one.index} of log {one.incarnation:016x}  {one.type}  {when(one.at)}")
        for line in lines_of(one.says):
            out.line(f"  {line}")
    out.line(f"in the log of {found.node}, {found.checkpoint.size} entries, signed {when(found.signed_at)}")
    if found.revoked:
        out.line("its key was revoked later: the entries still count, because they were witnessed before")
    for witness in found.witnesses:
        seen = f"{witness.member} signed at {when(witness.signed_at)} that it saw the first {witness.entries}"
        out.line(f"{seen} of them{'' if witness.confirmed else '  (not confirmed)'}")
    return conclude(out, found.members)


@click.command(
    name="check-evidence",
    epilog=examples("intelshare audit check-evidence evidence.json --member usa.member"),
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@member_option
@fingerprint_option
@printing
def check_evidence_(file: Path, members: tuple[Path, ...], fingerprints: tuple[str, ...], out: Out) -> int:
    """Check offline that FILE of `audit export` proves that a node contradicted itself.

    Exits with 7 if it does not, with 5 if it does but nothing that you gave confirms the keys of a signer.
    """
    from intelshare.verifier import check_evidence

    return show_evidence(
        out, check_evidence(file.read_bytes(), str(file), given_members(members), fingerprints)
    )


def show_evidence(out: Out, found: Proven) -> int:
    """Show what the evidence proves, and return the exit code."""
    from intelshare.labels import when

    out.document("evidence-checked", _evidence_document(found))
    out.line(f"proved: {found.member} ({found.node}): {found.what}  [{found.code}]")
    for one in found.convicting:
        revoked = ", by a key that was revoked later" if one.revoked else ""
        out.line(f"  {one.kind} signed {when(one.signed_at)}{revoked}")
        for seen in one.seen:
            out.line(f"    {seen.member} saw it at {when(seen.at)}: {seen.how}")
    return conclude(out, found.members)


def _proof_document(found: Provenance) -> dict[str, Any]:
    from intelshare.labels import when

    return {
        "node": found.node,
        "member": found.member,
        "fingerprint": found.fingerprint,
        "size": str(found.checkpoint.size),
        "root": found.checkpoint.root.hex(),
        "signed_at": when(found.signed_at),
        "revoked": found.revoked,
        "witnesses": [
            {
                "member": one.member,
                "node": one.node,
                "entries": str(one.entries),
                "signed_at": when(one.signed_at),
                "confirmed": one.confirmed,
            }
            for one in found.witnesses
        ],
        "entries": [
            {
                "log": f"{one.incarnation:016x}",
                "index": str(one.index),
                "type": one.type,
                "time": when(one.at),
                "says": one.says,
            }
            for one in found.entries
        ],
        "members": named_members(found.members),
        "confirmed": found.confirmed,
    }


def _evidence_document(found: Proven) -> dict[str, Any]:
    from intelshare.labels import when

    return {
        "member": found.member,
        "node": found.node,
        "fingerprint": found.fingerprint,
        "code": found.code,
        "what": found.what,
        "statements": [
            {
                "kind": one.kind,
                "signed_at": when(one.signed_at),
                "revoked": one.revoked,
                "seen": [{"member": by.member, "at": when(by.at), "how": by.how} for by in one.seen],
            }
            for one in found.convicting
        ],
        "members": named_members(found.members),
        "confirmed": found.confirmed,
    }


def named_members(members: Sequence[Named]) -> list[dict[str, Any]]:
    """Return every member on whose signature the result rests, for ``--json``."""
    from intelshare.labels import when

    return [
        {
            "member": one.member,
            "fingerprint": one.fingerprint,
            "confirmed": one.confirmed,
            "directory": str(one.directory) if one.directory else None,
            "issued": when(one.issued) if one.directory else None,
        }
        for one in members
    ]


def conclude(out: Out, members: Sequence[Named]) -> int:
    """Show whose keys the result rests on, and return the exit code: whether the reader's files confirmed
    them all.
    """
    from intelshare.labels import when

    for one in members:
        source = (
            "confirmed by what you gave"
            if one.confirmed
            else "NOT CONFIRMED: these keys come from the file itself"
        )
        dated = f"directory {one.directory} of {when(one.issued)}" if one.directory else "no directory"
        out.line(f"{one.member}  {one.fingerprint}  {dated}  {source}")
    missing = [one.member for one in members if not one.confirmed]
    if not missing:
        return Exit.DONE
    names = ", ".join(missing)
    way = "compare it by voice, or give --member or --fingerprint"
    out.note(f"this holds only if the fingerprint of {names} is right: {way}")
    return Exit.PARTLY


def given_members(paths: Sequence[Path]) -> list[GivenMember]:
    """Read the member files that the reader gave."""
    from intelshare.verifier import read_given

    return [read_given(path.read_bytes(), str(path)) for path in paths]
