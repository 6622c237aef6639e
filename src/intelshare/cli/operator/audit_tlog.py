"""``audit export --tlog``, ``prove --tlog`` and ``cosign``: the log in the formats of c2sp.org, for other
tools.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from intelshare.cli.shared.codes import Exit
from intelshare.cli.shared.help import examples
from intelshare.cli.shared.options import on_folder, printing
from intelshare.cli.shared.output import Out
from intelshare.errors import Place, TrustError

if TYPE_CHECKING:
    from intelshare.audit.notes import Head
    from intelshare.cli.shared.node_folder import NodeFolder

CHECKPOINT = "checkpoint"


@click.command(
    epilog=examples("intelshare audit cosign fra-log/checkpoint --folder usa --out fra-log/checkpoint")
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", "target", type=click.Path(dir_okay=False, path_type=Path), help="File; else stdout.")
@printing
@on_folder
def cosign(node: NodeFolder, out: Out, file: Path, target: Path | None) -> int:
    """Sign another member's checkpoint as its witness, if its log has proved that state to your node.

    FILE is the `checkpoint` written by the other member's `audit export --tlog`. The result is the same file
    with one more line, which states when your node had seen the log up to that point.
    """
    from intelshare.wire.v1 import user_pb2 as pb

    answer = node.operate("Cosign", pb.CosignRequest(note=_note_in(file)))
    if target is None:
        sys.stdout.write(answer.text)
        return Exit.DONE
    _write(target, answer.text.encode())
    out.document("files", {"files": [str(target)]})
    out.note(f"written to {target}")
    return Exit.DONE


def export_tiles(node: NodeFolder, out: Out, log: int, target: Path) -> int:
    """Write a log into a folder that any web server can serve; files that are already there are kept if they
    match.
    """
    from intelshare.audit.notes import read_head, read_note
    from intelshare.audit.tiles import files_of
    from intelshare.wire.v1 import user_pb2 as pb

    first = node.operate("ShowLog", pb.ShowLogRequest(incarnation=log))
    head = read_head(read_note(first.note).text)
    hashes = first.entries
    while len(hashes) < 32 * head.size:
        request = pb.ShowLogRequest(incarnation=head.incarnation, low=len(hashes) // 32)
        hashes += node.operate("ShowLog", request).entries
    entries = [hashes[at : at + 32] for at in range(0, 32 * head.size, 32)]
    note = _following(target / CHECKPOINT, head, first.note, entries)
    for name, content in files_of(entries):
        path = target / name
        if not path.exists():
            _write(path, content)
        elif path.read_bytes() != content:
            raise _another("a tile with different content already exists", path)
    # Written last, so that a follower never sees a checkpoint whose tiles are missing.
    _write(target / CHECKPOINT, note.encode())
    found = {"origin": head.origin, "size": str(head.size), "root": head.root.hex(), "vkey": first.vkey}
    out.document("tlog", found)
    out.line(f"{head.origin}  {head.size} entries")
    out.line(f"key {first.vkey}")
    out.note(f"written to {target}")
    return Exit.DONE


def prove_entry(node: NodeFolder, log: int, index: int, checkpoint: Path | None) -> str:
    """Return a tlog-proof of one entry, opened, under the newest checkpoint or the cosigned one in a file.

    Raises TrustError INPUT_INVALID, NOT_FOUND, LOG_INCONSISTENT.
    """
    from intelshare.audit import check_inclusion, entry_hash
    from intelshare.audit.notes import read_head, read_note, write_proof
    from intelshare.instant import Instant
    from intelshare.wire.v1 import user_pb2 as pb

    note = _note_in(checkpoint) if checkpoint is not None else ""
    head = read_head(read_note(note).text) if note else None
    request = pb.ProveNoteRequest(incarnation=log, index=index)
    if head is not None:
        request = pb.ProveNoteRequest(incarnation=head.incarnation, index=index, size=head.size)
    found = node.operate("ProveNote", request)
    note = note or found.note
    head = read_head(read_note(note).text)
    told = found.preimage
    entry = entry_hash(told[0], Instant(int.from_bytes(told[1:9])), told[9:41], told[41:])
    check_inclusion(entry, index, head.size, found.proof, head.root)
    return write_proof(index, found.proof, note, told)


def _following(path: Path, head: Head, note: str, entries: Sequence[bytes]) -> str:
    """Return the note to write, which keeps the existing cosignatures if the log has not grown.

    Raises TrustError LOG_INCONSISTENT if the existing note is not of a prefix of this log, INPUT_INVALID,
    TOO_LARGE.
    """
    from intelshare.audit.notes import read_head, read_note
    from intelshare.audit.proofs import root_over

    if root_over(entries) != head.root:
        raise _another("the node's entries do not match its checkpoint", path)
    if not path.exists():
        return note
    before = _note_in(path)
    held = read_head(read_note(before).text)
    same = (held.origin, root_over(entries[: held.size])) == (head.origin, held.root)
    if not same or held.size > head.size:
        raise _another("a checkpoint of another log, or of a longer one, already exists", path)
    # If the node's line was changed, nothing is left that others could check.
    signed = set(read_note(note).lines) <= set(read_note(before).lines)
    return before if held.size == head.size and signed else note


def _note_in(path: Path) -> str:
    """Return a stored note, byte for byte. Raises TrustError TOO_LARGE, INPUT_INVALID."""
    from intelshare.audit.notes import MAX_NOTE

    with path.open("rb") as file:
        raw = file.read(MAX_NOTE + 1)
    if len(raw) > MAX_NOTE:
        raise TrustError("TOO_LARGE", f"a note may have at most {MAX_NOTE} bytes", place=Place(str(path)))
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise TrustError(
            "INPUT_INVALID",
            "this is not a signed checkpoint: it is not UTF-8",
            place=Place(str(path)),
            hint="`intelshare audit export --tlog DIR` writes one to DIR/checkpoint",
        ) from None


def _another(why: str, path: Path) -> TrustError:
    return TrustError(
        "LOG_INCONSISTENT",
        why,
        place=Place(str(path)),
        hint="find out which node and log the folder was written from, and export into a new folder",
    )


def _write(path: Path, content: bytes) -> None:
    """Write the whole file or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as beside:
        beside.write(content)
    Path(beside.name).chmod(0o644)
    Path(beside.name).replace(path)
