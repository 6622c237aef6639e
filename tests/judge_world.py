"""Files for others, made by hand of founded members: genuine ones, and what a forger would make of them."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from envelope_world import stream_of
from intelshare.audit.exhibit import Exhibit, exhibit_of
from intelshare.audit.log import entry_hash
from intelshare.audit.path import LogPath
from intelshare.audit.proofs import inclusion_path, prefix_path, root_over
from intelshare.audit.records import RECORDS, EntryType
from intelshare.crypto.codec import encode
from intelshare.crypto.records import Checkpoint, Cosigned, Evidence, KeyUse, Kind, Trust
from intelshare.crypto.suites import SUITES, Signer
from intelshare.ids import Digest, Incarnation
from intelshare.instant import SECOND, Instant
from intelshare.statement import Leaf, sign_batch
from intelshare.trust import TrustView, read_member_file, write_member_file
from intelshare.trust.documents import Revocation, Revoked, Why
from intelshare.verifier import check_evidence, check_proof
from trust_world import NOW, TestMember, member

LOG = Incarnation(7)
CHECKS = {"evidence": check_evidence, "proof": check_proof}


def base64_of(record: Any) -> str:
    return b64encode(encode(type(record), record)).decode()


def at(seconds: float) -> Instant:
    """So long after the members were founded."""
    return Instant(NOW + int(seconds * SECOND))


@dataclass(frozen=True)
class Party:
    """A member that signs statements and logs, honest or not."""

    of: TestMember
    directories: tuple[Trust, ...] = ()

    @property
    def code(self) -> str:
        return str(self.of.code)

    @property
    def node(self) -> Any:
        return self.of.founded.node.uri

    @property
    def documents(self) -> list[Trust]:
        return [self.of.founded.root, *(self.directories or (self.of.founded.directory,))]

    def signed(self, kind: Kind, record: Any, when: Instant, *, signer: Signer | None = None) -> Evidence:
        """One statement in a batch of its own."""
        data = record if isinstance(record, bytes) else encode(type(record), record)
        signer = signer or self.of.signer(KeyUse.SIGNING)
        seed = stream_of(f"{self.code}/{kind}/{data.hex()}/{when}")
        batch = sign_batch([Leaf(kind, seed(16), data)], signer, when, seed)
        (told,) = batch.statements
        return Evidence(told.kind, told.nonce, told.data, told.proof, batch.batch)

    def checkpoint(
        self, size: int, root: bytes, when: Instant, cosigned: Sequence[Cosigned] = (), log: int = LOG
    ) -> Evidence:
        said = Checkpoint(self.node, Incarnation(log), size, Digest(root), tuple(cosigned))
        return self.signed(Kind.CHECKPOINT, said, when)

    def given(self) -> Any:
        """Its member file, as a reader has it."""
        view = TrustView.load(self.of.code, [encode(Trust, one) for one in self.documents], SUITES)
        return read_member_file(write_member_file(view.members[self.of.code]).encode(), f"{self.code}.member")

    def revoked(self, why: Why, effective: Instant, issued: Instant) -> Trust:
        """Its next directory, in which its signing key is revoked."""
        row = Revocation(Revoked.KEY, self.of.key(KeyUse.SIGNING).key_id, why, effective)
        return self.of.renewed(issued, revoke=[row])


@dataclass(frozen=True)
class Forgery:
    """A file, the member files that its reader has, and the code that must refuse it."""

    name: str
    text: bytes
    given: tuple[Any, ...]
    """Parties, or member files."""
    code: str
    fingerprints: tuple[str, ...] = ()
    """That the reader has of members."""


def party(code: str, seed: str = "") -> Party:
    return Party(member(code, seed=seed))


@dataclass(frozen=True)
class Log:
    """A log of entries that are all known, with its proofs."""

    entries: tuple[tuple[EntryType, Instant, bytes, bytes], ...]

    @classmethod
    def of(cls, records: Sequence[tuple[EntryType, Any, Instant]], seed: str = "log") -> Log:
        salts = stream_of(seed)
        return cls(tuple((kind, when, salts(32), encode(RECORDS[kind], one)) for kind, one, when in records))

    @property
    def hashes(self) -> list[bytes]:
        return [entry_hash(*entry) for entry in self.entries]

    def root(self, size: int | None = None) -> bytes:
        return root_over(self.hashes[:size])

    def position(self, node: Any, size: int | None = None) -> Cosigned:
        count = len(self.entries) if size is None else size
        return Cosigned(node, LOG, count, Digest(self.root(count)))

    def shown(self, owner: Party, when: Instant, places: Sequence[int], cosigned: Sequence[Any] = ()) -> Any:
        """What a proof shows of it, as JSON."""
        size = len(self.entries)
        over = lambda low, high: root_over(self.hashes[low:high])  # noqa: E731
        return {
            "node": owner.node,
            "checkpoint": base64_of(owner.checkpoint(size, self.root(), when)),
            "cosigned": [
                {
                    "signed": base64_of(signed),
                    "proof": [part.hex() for part in prefix_path(over, seen, size)],
                }
                for signed, seen in cosigned
            ],
            "entries": [
                {
                    "incarnation": f"{LOG:016x}", "index": place, "type": int(kind), "time": when,
                    "salt": salt.hex(), "record": data.hex(),
                    "proof": [part.hex() for part in inclusion_path(over, place, size)], "hops": [],
                    "opened": [],
                    "says": {},
                }
                for place in places
                for kind, when, salt, data in (self.entries[place],)
            ],
        }  # fmt: skip


def filed(*parties: Party, **under: Sequence[Trust]) -> dict[str, list[str]]:
    """``documents`` of a file: each party's under its own name, others as given."""
    rows = {one.code: [base64_of(trust) for trust in one.documents] for one in parties}
    return {**rows, **{code: [base64_of(trust) for trust in trusts] for code, trusts in under.items()}}


def proof_file(shown: Any, documents: dict[str, list[str]]) -> bytes:
    return json.dumps({"schema": "intelshare/log-proof/1", **shown, "documents": documents}).encode()


def evidence_file(
    statements: Sequence[Evidence],
    documents: dict[str, list[str]],
    *,
    paths: Sequence[LogPath] = (),
    seen: Sequence[Any] = (),
    code: str = "LOG_FORK",
    raw: bytes = b"",
) -> bytes:
    exhibit: Exhibit = exhibit_of(statements, paths, raw)
    return json.dumps({
        "schema": "intelshare/evidence/1", "code": code, "accused": "FRA", "holder": "USA",
        "first_seen": int(NOW), "what": "", "exhibit": base64_of(exhibit), "seen": list(seen),
        "documents": documents,
    }).encode()  # fmt: skip


def fork(by: Party, when: Instant, log: int = LOG) -> list[Evidence]:
    """Two logs under one name."""
    return [by.checkpoint(9, bytes([n]) * 32, when, log=log) for n in (1, 2)]
