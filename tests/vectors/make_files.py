"""Make tests/vectors/files: what a member hands to others, and a vault.

Made once by nodes of version 1, with signatures and nonces that never come again: a later version must read
these bytes. ``test_file_vectors.py`` says what they prove.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from make_envelope import key_vectors

from builders import draft, text
from envelope_world import stream_of
from intelshare.audit.portable import write
from intelshare.broker.transparency.checkpoint import own
from intelshare.broker.transparency.proving import ProofQuery, prove_entries
from intelshare.crypto.stretch import DEVELOPMENT
from intelshare.trust import documents_of, write_member_file
from intelshare.vault.format import Entry, EntryKind, new_vault
from line_world import TO_USA, met, send
from log_world import Logs, rewrite

FOLDER = Path(__file__).with_name("files")
PASSPHRASE = "vectors"


def proof_and_member() -> tuple[str, str]:
    """A decision of FRA's earlier log, proved under a checkpoint of its present one that USA has seen."""
    members = met(("FRA", "USA"))
    logs = Logs(members)
    fra = members["FRA"]
    sent = send(fra, draft(text(TO_USA), to=["USA"]))
    logs.restart("FRA")
    logs.show("FRA", "USA")
    logs.show("USA", "FRA")
    logs.say("FRA")
    held = fra.node.trust.members
    wanted = ProofQuery(fra.node.incarnation, 0, bulletin=sent.bulletin.hex()[:8])
    documents = {code: documents_of(trust) for code, trust in held.items()}
    return write(prove_entries(fra.node, fra.store, wanted, documents)), write_member_file(held["FRA"])


def evidence() -> str:
    """FRA has edited its log between two checkpoints that USA holds."""
    logs = Logs(met(("FRA", "USA")))
    fra = logs.members["FRA"]
    logs.act("FRA", 3)
    logs.show("FRA", "USA")
    size = own(fra.node, fra.store).size
    rewrite(fra, size - 1)
    logs.act("FRA")
    logs.show("FRA", "USA")
    (row,) = logs.alarms("USA")
    return logs.export("USA", row, ["FRA"]).decode()


def vault() -> bytes:
    """All kinds of entries, under the passphrase ``vectors``, stretched as for development."""
    key = key_vectors()[0]
    known, record, secret = (bytes.fromhex(key[name]) for name in ("key_id", "bytes", "secret"))
    entries = [
        Entry(EntryKind.KEY, known, record, secret),
        Entry(EntryKind.CERTIFIED, b"node-leaf", b"DER", b"PEM"),
        Entry(EntryKind.STORAGE, b"", b"", bytes(range(32))),
        Entry(EntryKind.RETIRED, known, record, b""),
    ]
    return new_vault(PASSPHRASE.encode(), entries, DEVELOPMENT, stream_of("vault"))[0]


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    proof, member = proof_and_member()
    (FOLDER / "fra.member.json").write_text(member, "utf-8")
    (FOLDER / "proof.json").write_text(proof, "utf-8")
    (FOLDER / "evidence.json").write_text(evidence(), "utf-8")
    (FOLDER / "vault.bin").write_bytes(vault())


if __name__ == "__main__":
    main()
