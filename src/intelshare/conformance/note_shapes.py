"""Vectors of notes: checkpoints in the formats of c2sp.org (docs/format.md, "Notes for other tools")."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from intelshare.audit.notes import cosigned_message, log_key, read_head, read_note, witness_key
from intelshare.conformance.shapes import Answer, Case, Setting, Shape, answer
from intelshare.crypto.codec import decode
from intelshare.crypto.records import KeyRecord
from intelshare.crypto.suites import verify_note
from intelshare.errors import CryptoError


def _note(case: Case, _: Setting) -> Iterator[Answer]:
    owner, witness = (decode(KeyRecord, bytes.fromhex(case[name])) for name in ("log_key", "witness_key"))

    def compute() -> dict[str, Any]:
        note = read_note(case["signed_note"])
        head = read_head(note.text)
        ours, theirs = log_key(head, owner.public), witness_key(witness.node, witness.public)
        signed, cosigned = note.signature_of(ours), note.signature_of(theirs)
        if signed is None or head.node != owner.node:
            raise CryptoError("SIGNER_UNKNOWN", "the log's key has not signed the note")
        verify_note(ours.public, note.text.encode(), signed)
        seconds = 0
        if cosigned is not None:
            seconds = int.from_bytes(cosigned[:8])
            verify_note(theirs.public, cosigned_message(note.text, seconds), cosigned[8:])
        return {
            "node": head.node,
            "incarnation": f"{head.incarnation:016x}",
            "size": head.size,
            "root": head.root.hex(),
            "vkeys": [ours.vkey, theirs.vkey],
            "seen": seconds,
        }

    yield answer("", case, compute)


NOTE_SHAPES = (
    Shape(
        "note",
        frozenset(("log_key", "witness_key", "signed_note")),
        _note,
        frozenset(("node", "incarnation", "size", "root", "vkeys", "seen")),
        answered=False,
    ),
)
