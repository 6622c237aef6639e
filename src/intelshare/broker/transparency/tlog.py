"""This node's log for other tools, and its cosignatures for the logs of peers (C2SP notes).

Nothing here is stored or decided: a note is signed for a checkpoint that was signed and stored before, and a
cosignature is given for one that a path has proved, as of the time when it did. Both have the same bytes
whenever they are requested, so no commit has to come first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from intelshare.audit.decided import committed
from intelshare.audit.notes import (
    Head,
    Note,
    cosigned_message,
    log_key,
    read_head,
    read_note,
    timestamped,
    witness_key,
)
from intelshare.audit.tree import Tree
from intelshare.audit.work import finish
from intelshare.broker.kernel.log import opened_at
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.tables import CHECKPOINT, CheckpointRow
from intelshare.broker.transparency.checkpoint import fetch_of
from intelshare.broker.transparency.known_checkpoints import CheckpointState, is_broken
from intelshare.crypto.suites import NoteKey, verify_note
from intelshare.errors import CryptoError, TrustError
from intelshare.ids import Incarnation
from intelshare.instant import SECOND, Instant
from intelshare.ports import View

PAGE: Final = 32 * 1024
"""The most entries returned at once: a megabyte of hashes."""


@dataclass(frozen=True, slots=True)
class LogNote:
    """The last signed checkpoint of one log of this node, as a note."""

    head: Head
    note: str
    vkey: str


@dataclass(frozen=True, slots=True)
class ProvedNote:
    """An entry, opened, under a checkpoint."""

    log: LogNote
    proof: tuple[bytes, ...]
    preimage: bytes
    """u8 type ‖ u64 time ‖ salt [32] ‖ record: the input of its hash (docs/format.md, "Log")."""


def log_note(node: Node, view: View, incarnation: Incarnation, key: NoteKey) -> LogNote:
    """Return the last signed checkpoint of one log of this node. Raises TrustError NOT_FOUND."""
    rows = view.find(CHECKPOINT, "key", node.uri, incarnation)
    if not rows:
        raise TrustError(
            "NOT_FOUND",
            "no signed checkpoint of that log is kept",
            hint="`intelshare audit verify` lists the logs; if the log is new, wait a few seconds",
        )
    head = _head(max(rows, key=lambda row: row.size))
    name = log_key(head, key.record.public)
    return LogNote(head, f"{head.text}\n{name.line(key.sign(head.text.encode()))}", name.vkey)


def entry_hashes(node: Node, view: View, head: Head, low: int) -> bytes:
    """Return the hashes of at most ``PAGE`` entries of that log from ``low`` on, below its size."""
    high = min(low + PAGE, head.size)
    return b"".join(finish(fetch_of(node, view, head.incarnation)(low, high))) if low < high else b""


def prove_note(
    node: Node, view: View, incarnation: Incarnation, index: int, size: int, key: NoteKey
) -> ProvedNote:
    """Return an entry of a log of this node, and its proof among the first ``size`` (0: all signed ones).

    Raises TrustError NOT_FOUND, LOG_INCONSISTENT.
    """
    log = log_note(node, view, incarnation, key)
    entry = opened_at(node, view, incarnation, index)
    size = size or log.head.size
    if entry is None or not index < size <= log.head.size:
        raise TrustError(
            "NOT_FOUND",
            f"entry {index} is not among the first {size} signed entries of that log",
            hint="`intelshare audit head` shows sizes",
        )
    tree = node.trees.setdefault(incarnation, Tree())
    proof = finish(tree.inclusion(fetch_of(node, view, incarnation), index, size))
    preimage = bytes([entry.type]) + entry.at.to_bytes(8) + entry.salt + committed(entry.type, entry.record)
    return ProvedNote(log, tuple(proof), preimage)


def cosign(node: Node, view: View, raw: str, key: NoteKey, now: Instant) -> str:
    """Return the note of another member's log with this node's cosignature appended.

    Raises TrustError INPUT_INVALID; SIGNER_UNKNOWN, NOT_AUTHORISED if the log is not another member's;
    CryptoError SIGNATURE_INVALID; NOT_FOUND, LOG_INCONSISTENT for what was not proved to this node.
    """
    note = read_note(raw)
    head = read_head(note.text)
    _need_signed(node, note, head, now)
    row = _seen(node, view, head)
    seconds = row.at // SECOND
    name = witness_key(node.uri, key.record.public)
    signature = timestamped(seconds, key.cosign(cosigned_message(note.text, seconds)))
    present = note.signature_of(name)
    if present not in (None, signature):
        raise CryptoError(
            "SIGNATURE_INVALID", f"a signature under the name of {node.uri} is not from this node"
        )
    return raw if present else raw + name.line(signature)


def _need_signed(node: Node, note: Note, head: Head, now: Instant) -> None:
    """Check that the node whose log it is has signed the note. Raises TrustError, CryptoError."""
    listed = node.trust.node(head.node)
    if listed is None:
        raise TrustError("SIGNER_UNKNOWN", f"{head.node} is in no directory held")
    if listed[0] == node.member:
        raise TrustError("NOT_AUTHORISED", "a node cannot witness a log of its own member")
    for _, record in node.trust.note_keys(head.node, now):
        name = log_key(head, record.public)
        signature = note.signature_of(name)
        if signature is not None:
            verify_note(name.public, note.text.encode(), signature)
            return
    raise TrustError(
        "SIGNER_UNKNOWN",
        f"no note key that the directory of {listed[0]} names has signed it",
        hint="it may be signed with an older key: ask for a new export",
    )


def _seen(node: Node, view: View, head: Head) -> CheckpointRow:
    """Return the checkpoint as it was proved to this node, if it was then the largest proved of its log."""
    if is_broken(view, head.node):
        raise TrustError("LOG_INCONSISTENT", f"the log of {head.node} has contradicted itself")
    rows = [
        row
        for row in view.find(CHECKPOINT, "key", head.node, head.incarnation)
        if row.state == CheckpointState.PROVED
    ]
    row = next((row for row in rows if row.size == head.size), None)
    if row is None or any(other.size > row.size and other.at <= row.at for other in rows):
        raise TrustError(
            "NOT_FOUND",
            f"the first {head.size} entries of that log were not proved to {node.uri}, or are not kept",
            hint="export again a few seconds after the log has grown, while both nodes are linked",
        )
    if row.root != head.root:
        raise TrustError(
            "LOG_INCONSISTENT",
            f"{head.node} has proved another root for {head.size} entries to this node",
            hint="keep the note: it contradicts the checkpoint held here",
        )
    return row


def _head(row: CheckpointRow) -> Head:
    return Head(row.origin, row.incarnation, row.size, row.root)
