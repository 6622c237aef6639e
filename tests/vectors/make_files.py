"""Make tests/vectors/files: what a member hands to others, and a vault.

Made once by nodes of version 1, with signatures and nonces that never come again: a later version must read
these bytes. ``test_file_vectors.py`` says what they prove.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from make_envelope import key_vectors

from builders import draft, text
from envelope_world import stream_of
from export_world import deliver, exported, sent
from forgeries import forgeries
from intelshare.audit.portable import write
from intelshare.broker.transparency.checkpoint import own
from intelshare.broker.transparency.proving import ProofQuery, prove_entries
from intelshare.crypto.stretch import DEVELOPMENT
from intelshare.trust import MemberFile, documents_of, write_member_file
from intelshare.vault.format import Entry, EntryKind, new_vault
from judge_world import Forgery, Party, base64_of
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


def release() -> tuple[str, list[str]]:
    """A release of FRA to USA with its one granted portion, accepted; and the member files of both."""
    members = met(("FRA", "USA"))
    bulletin = sent(members)
    deliver(members)
    held = members["FRA"].node.trust.members
    text = exported(members, "FRA", bulletin, content=True).decode()
    return text, [write_member_file(held[code]) for code in ("FRA", "USA")]


def refused() -> str:
    """One forged file for each code, the smallest; and the member files that its reader has."""
    smallest: dict[str, Forgery] = {}
    for one in sorted(forgeries(), key=lambda forgery: len(forgery.text)):
        # A file of 16 MiB stands in no vector.
        if one.text.startswith(b'{"schema": "intelshare/') and one.code != "TOO_LARGE":
            smallest.setdefault(one.code, one)
    members: dict[str, Any] = {}
    cases = []
    for code, one in sorted(smallest.items()):
        names = []
        for given in one.given:
            file = member_file(given.given() if isinstance(given, Party) else given)
            name = next((known for known, text in members.items() if text == file), f"member {len(members)}")
            members[name] = file
            names.append(name)
        cases.append(
            {
                "name": one.name,
                "given": names,
                "fingerprints": one.fingerprints,
                "error": code,
                "file": json.loads(one.text),
            }
        )
    return json.dumps({"members": members, "cases": cases}, indent=1) + "\n"


def member_file(given: MemberFile) -> Any:
    """A member file that was read, as JSON."""
    trusts = [base64_of(one) for one in (*given.roots, *filter(None, [given.directory]))]
    *roots, directory = trusts
    return {
        "schema": "intelshare/member/1", "member": given.member, "name": given.member, "fingerprint": "",
        "roots": roots, "directory": directory,
    }  # fmt: skip


def vault() -> bytes:
    """All kinds of entries, under the passphrase ``vectors``, stretched as for development."""
    key = key_vectors()[0]
    known, record, secret = (bytes.fromhex(key[name]) for name in ("key_id", "bytes", "secret"))
    entries = [
        Entry(EntryKind.KEY, known, record, secret),
        Entry(EntryKind.CERTIFIED, b"node-leaf", b"DER", b"PEM"),
        Entry(EntryKind.STORAGE, b"", b"", bytes(range(32))),
        Entry(EntryKind.RETIRED, known, record, b""),
        Entry(EntryKind.TOKEN, known, record, secret),
    ]
    return new_vault(PASSPHRASE.encode(), entries, DEVELOPMENT, stream_of("vault"))[0]


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    proof, member = proof_and_member()
    (FOLDER / "fra.member.json").write_text(member, "utf-8")
    (FOLDER / "proof.json").write_text(proof, "utf-8")
    (FOLDER / "evidence.json").write_text(evidence(), "utf-8")
    released, (fra, usa) = release()
    (FOLDER / "release.json").write_text(released, "utf-8")
    (FOLDER / "release.fra.member.json").write_text(fra, "utf-8")
    (FOLDER / "release.usa.member.json").write_text(usa, "utf-8")
    (FOLDER / "refused.json").write_text(refused(), "utf-8")
    (FOLDER / "vault.bin").write_bytes(vault())


if __name__ == "__main__":
    main()
