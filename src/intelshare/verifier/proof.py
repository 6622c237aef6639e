"""Is this entry in that node's log? From the entry's own bytes up to the signed checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from intelshare.audit.exhibit import position
from intelshare.audit.log import entry_hash
from intelshare.audit.path import Hop, follow
from intelshare.audit.portable import PROOF_SCHEMA, ProofFile, ProvedEntry, plain, read, unwrap
from intelshare.audit.proofs import check_inclusion, fold, inconsistent
from intelshare.audit.records import RECORDS, EntryType
from intelshare.crypto.codec import decode
from intelshare.crypto.records import Checkpoint, Cosigned, Evidence
from intelshare.errors import CryptoError, IntelshareError, TrustError
from intelshare.ids import MemberCode
from intelshare.instant import Instant
from intelshare.trust import MemberFile
from intelshare.verifier.trusting import Believed, believe


@dataclass(frozen=True, slots=True)
class ProvenEntry:
    """An entry that is in the log."""

    incarnation: int
    index: int
    type: str
    at: Instant
    says: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a file proves."""

    node: str
    member: MemberCode
    fingerprint: str
    checkpoint: Cosigned
    signed_at: Instant
    witnesses: tuple[tuple[MemberCode, int], ...]
    """Members that signed that they saw this log, and how much of it."""
    entries: tuple[ProvenEntry, ...]


def check_proof(text: bytes, source: str, given: Sequence[MemberFile] = ()) -> Provenance:
    """Check a proof file. Raises TrustError LOG_INCONSISTENT, INPUT_INVALID; CryptoError, EnvelopeError."""
    file = read(ProofFile, PROOF_SCHEMA, text, source)
    believed = believe(file.documents, given, source)
    verified = believed.verify(unwrap(Evidence, file.checkpoint, source))
    said = verified.read(Checkpoint)
    if not said.origin == verified.signer.node == file.node:
        raise CryptoError("SIGNER_NOT_AUTHORISED", "the checkpoint is of another node than its signing key")
    at = position(said)
    return Provenance(
        file.node,
        verified.signer.member,
        believed.fingerprint(verified.signer.member),
        at,
        verified.batch.record.signed_at,
        tuple(_witnesses(file, believed, at, source)),
        tuple([_entry(entry, at, source) for entry in file.entries]),
    )


def _entry(given: ProvedEntry, checkpoint: Cosigned, source: str) -> ProvenEntry:
    try:
        incarnation = int(given.incarnation, 16)
        salt, record = bytes.fromhex(given.salt), bytes.fromhex(given.record)
        proof = [bytes.fromhex(part) for part in given.proof]
        kind = EntryType(given.type)
        entry = entry_hash(kind, Instant(given.time), salt, record)
    except (ValueError, OverflowError, IntelshareError) as error:
        raise TrustError("INPUT_INVALID", f"{source}: an entry cannot be read: {error}") from None
    hops = tuple(unwrap(Hop, text, source) for text in given.hops)
    log = follow(checkpoint, hops, incarnation)
    if log.incarnation != incarnation:
        raise inconsistent(f"the checkpoint does not lead to log {incarnation:016x}")
    check_inclusion(entry, given.index, log.size, proof, log.root)
    says = plain(decode(RECORDS[kind], record))
    return ProvenEntry(incarnation, given.index, kind.name, Instant(given.time), says)


def _witnesses(
    file: ProofFile, believed: Believed, checkpoint: Cosigned, source: str
) -> Sequence[tuple[MemberCode, int]]:
    found = []
    for given in file.cosigned:
        verified = believed.verify(unwrap(Evidence, given.signed, source))
        try:
            proof = [bytes.fromhex(part) for part in given.proof]
        except ValueError:
            raise TrustError("INPUT_INVALID", f"{source}: a cosignature cannot be read") from None
        for seen in verified.read(Checkpoint).cosigned:
            if (seen.origin, seen.incarnation) == (checkpoint.origin, checkpoint.incarnation):
                if fold(seen.size, checkpoint.size, proof) != (seen.root, checkpoint.root):
                    raise inconsistent(f"{verified.signer.member} saw another log of {seen.size} entries")
                found.append((verified.signer.member, seen.size))
    return found
