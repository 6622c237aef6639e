"""Make tests/vectors/notes.json anew: ``python tests/vectors/make_notes.py``. The same bytes every time."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from envelope_world import FRA, NOW, USA, make_key
from intelshare.audit.notes import Head, cosigned_message, log_key, timestamped, witness_key
from intelshare.crypto.codec import encode
from intelshare.crypto.pae import sha256
from intelshare.crypto.records import KeyRecord, KeyUse
from intelshare.crypto.suites import load_note_key
from intelshare.ids import Digest, Incarnation
from intelshare.instant import SECOND

PATH = Path(__file__).with_name("notes.json")
SEED = "notes"


def make() -> list[dict[str, Any]]:
    (fra, _, fra_secret), (usa, _, usa_secret) = (make_key(SEED, who, KeyUse.NOTE) for who in (FRA, USA))
    owner, witness = load_note_key(fra, fra_secret), load_note_key(usa, usa_secret)
    head = Head(fra.node, Incarnation(0x1122334455667788), 70_000, Digest(sha256(b"a root")))
    log, other = log_key(head, fra.public), witness_key(usa.node, usa.public)
    seconds = NOW // SECOND
    signed = log.line(owner.sign(head.text.encode()))
    seen = other.line(timestamped(seconds, witness.cosign(cosigned_message(head.text, seconds))))
    late = other.line(timestamped(seconds + 1, witness.cosign(cosigned_message(head.text, seconds))))
    as_log = log.line(owner.cosign(head.text.encode()))
    note = f"{head.text}\n{signed}"
    told = {
        "node": head.node,
        "incarnation": f"{head.incarnation:016x}",
        "size": head.size,
        "root": head.root.hex(),
        "vkeys": [log.vkey, other.vkey],
    }
    cases: list[tuple[str, str, dict[str, Any]]] = [
        ("by its log alone", note, {**told, "seen": 0}),
        ("cosigned", note + seen, {**told, "seen": seconds}),
        ("the order of lines says nothing", f"{head.text}\n{seen}{signed}", {**told, "seen": seconds}),
        ("cosigned twice", note + seen + late, {"error": "INPUT_INVALID"}),
        ("another time", note + late, {"error": "SIGNATURE_INVALID"}),
        ("another size", note.replace("70000", "70001", 1), {"error": "SIGNATURE_INVALID"}),
        ("another origin", note.replace("fra.", "deu.", 1), {"error": "SIGNER_UNKNOWN"}),
        ("by the witness only", f"{head.text}\n{seen}", {"error": "SIGNER_UNKNOWN"}),
        ("signed by the other half of the key", f"{head.text}\n{as_log}", {"error": "SIGNATURE_INVALID"}),
        ("a leading zero", note.replace("70000", "070000", 1), {"error": "INPUT_INVALID"}),
        ("an extension line", note.replace("\n\n", "\nmore\n\n", 1), {"error": "INPUT_INVALID"}),
        ("no empty line", note.replace("\n\n", "\n", 1), {"error": "INPUT_INVALID"}),
        ("no end of the last line", note[:-1], {"error": "INPUT_INVALID"}),
        ("a key id and no signature", f"{note}\u2014 x AAAAAA==\n", {"error": "INPUT_INVALID"}),
        ("a control character in a name", f"{note}\u2014 x\x1b AAAAAAA=\n", {"error": "INPUT_INVALID"}),
        ("a carriage return", note.replace("\n", "\r\n", 1), {"error": "INPUT_INVALID"}),
    ]
    keys = {"log_key": encode(KeyRecord, fra).hex(), "witness_key": encode(KeyRecord, usa).hex()}
    return [{"id": name, **keys, "signed_note": text, **stated} for name, text, stated in cases]


def main() -> None:
    PATH.write_text(json.dumps(make(), indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
