"""The check of log entries: from an entry's bytes to the signed checkpoint, and who else saw that log."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from intelshare.crypto.codec import B32, Bytes32, Count, decode, malformed, record
from intelshare.crypto.pae import Domain, digest, u32, u64
from intelshare.crypto.records import Cosigned, Evidence, Time
from intelshare.errors import CryptoError
from intelshare.ids import Digest, Incarnation
from intelshare.instant import Instant
from intelshare.verifier.entries import ENTRIES, START, Decided, LoggedDecision, Start, read_entry
from intelshare.verifier.files import (
    CosigningText,
    EntryText,
    LogText,
    ProofText,
    from_hex,
    plain,
    read_text,
    unwrap,
)
from intelshare.verifier.members import Given, Member, Members, members_of
from intelshare.verifier.merkle import both_roots, inconsistent, root_with
from intelshare.verifier.statements import Said, checkpoint_of, position, revoked, verify
from intelshare.verifier.verdict import Named, Provenance, ProvenEntry, Witness

ProofHashes = Annotated[tuple[Bytes32, ...], Count(0, 65)]


@record
class Hop:
    """Entry 0 of a log, opened, with its inclusion proof at the size that is known of that log."""

    at: Time
    salt: Bytes32
    record: B32
    proof: ProofHashes


@dataclass(frozen=True, slots=True)
class ShownLog:
    """A log as far as a file shows it: genuine, and witnessed if its key requires it."""

    said: Said
    at: Cosigned
    witnesses: tuple[tuple[Said, int], ...]
    """Each cosigner, and the number of entries it saw."""
    entries: tuple[ProvenEntry, ...]
    until: int
    """The number of entries that count: all, or under a revoked key those that were witnessed in time."""


def check_proof(
    text: bytes, source: str, given: Sequence[Given] = (), fingerprints: Collection[str] = ()
) -> Provenance:
    """Check a proof file. ``given`` and ``fingerprints`` are what the reader has of members.

    Raises TrustError LOG_INCONSISTENT, INPUT_INVALID, TOO_LARGE; CryptoError, EnvelopeError.
    """
    file = read_text(ProofText, "intelshare/log-proof/1", text, source)
    log = show_log(file, members_of(file.documents, given, source, fingerprints), source)
    own = log.said.member
    return Provenance(
        file.node,
        own.code,
        own.fingerprint,
        log.at,
        log.said.signed_at,
        log.said.revoked_from is not None,
        tuple(
            Witness(said.member.code, said.node, size, said.signed_at, said.member.confirmed)
            for said, size in log.witnesses
        ),
        log.entries,
        named(own, [said.member for said, _ in log.witnesses]),
    )


def named(first: Member, others: Iterable[Member]) -> tuple[Named, ...]:
    """Return each of these members once, the first one first."""
    rows = {first.code: first, **{one.code: one for one in sorted(others, key=lambda one: one.code)}}
    rows[first.code] = first
    return tuple(
        Named(
            one.code,
            one.fingerprint,
            one.confirmed,
            0 if one.directory is None else one.directory.version,
            Instant(0 if one.directory is None else one.directory.issued),
        )
        for one in rows.values()
    )


def show_log(file: LogText, members: Members, source: str) -> ShownLog:
    """Check the log of which a file shows entries. Raises what ``check_proof`` raises.

    Under a key that was revoked, only what a witness saw in time counts; otherwise it raises CryptoError
    SIGNER_REVOKED.
    """
    said = verify(unwrap(Evidence, file.checkpoint, source), members)
    checkpoint = checkpoint_of(said)
    if checkpoint.origin != file.node:
        raise CryptoError(
            "SIGNER_NOT_AUTHORISED", "the checkpoint is from a different node from the one the file names"
        )
    at = position(checkpoint)
    witnesses = tuple(row for one in file.cosigned for row in _witnessed(one, said, at, members, source))
    entries = tuple([_entry(entry, at, source) for entry in file.entries])
    until = at.size
    if said.revoked_from is not None:
        until = max((size for one, size in witnesses if in_time_of(one, said)), default=0)
        late = [one.index for one in entries if one.incarnation == at.incarnation and one.index >= until]
        if not until or late:
            raise revoked(said, "no other member had signed by then that it saw these entries")
    return ShownLog(said, at, witnesses, entries, until)


def in_time_of(witness: Said, of: Said) -> bool:
    """Return True if this witness, of another member, signed before the key of the statement was revoked."""
    return (
        of.revoked_from is not None
        and witness.revoked_from is None
        and witness.member.code != of.member.code
        and witness.signed_at < of.revoked_from
    )


def follow(later: Cosigned, hops: Sequence[Hop], wanted: int) -> Cosigned | None:
    """Return the end of the log ``wanted``, as the log of ``later`` commits to it through all these hops.

    Returns None if they do not lead to a log of that name. Raises TrustError LOG_INCONSISTENT.
    """
    at = later
    for hop in hops:
        if at.incarnation in (wanted, 0):
            raise inconsistent("the path continues past its end")
        entry = entry_hash(START, hop.at, hop.salt, hop.record)
        if root_with(entry, 0, at.size, hop.proof) != at.root:
            raise inconsistent("the entry shown as the first of a log is not in it")
        start = decode(Start, hop.record)
        at = Cosigned(later.origin, Incarnation(start.previous), start.size, Digest(start.root))
    return at if at.incarnation == wanted else None


def entry_hash(kind: int, at: int, salt: bytes, data: bytes) -> bytes:
    """Return the hash that identifies an entry."""
    return digest(Domain.LOG_ENTRY, bytes([kind]), u64(at), salt, data)


def _entry(given: EntryText, checkpoint: Cosigned, source: str) -> ProvenEntry:
    incarnation, data = int(given.incarnation, 16), from_hex(given.record, source)
    read = read_entry(given.type, data)
    hops = [unwrap(Hop, text, source) for text in given.hops]
    log = follow(checkpoint, hops, incarnation)
    if log is None:
        raise inconsistent(f"the checkpoint does not lead to log {incarnation:016x}")
    entry = entry_hash(given.type, given.time, from_hex(given.salt, source), data)
    if root_with(entry, given.index, log.size, _hashes(given.proof, source)) != log.root:
        raise inconsistent(f"entry {given.index} is not in the log of size {log.size}")
    opened = _opened(given, read, source)
    says: dict[str, Any] = plain(read)
    if isinstance(read, Decided):
        says["portions"] = [{"slot": slot, "decision": plain(decision)} for slot, decision in opened]
    name, at = ENTRIES[given.type][0], Instant(given.time)
    return ProvenEntry(incarnation, given.index, name, at, says, read, entry, opened)


def _opened(given: EntryText, read: Any, source: str) -> tuple[tuple[int, Any], ...]:
    """Return the portions of a decision that are shown, checked against the entry's commitments."""
    hashes = read.portions if isinstance(read, Decided) else ()
    slots = [one.slot for one in given.opened]
    if len(set(slots)) != len(slots) or max(slots, default=-1) >= len(hashes):
        raise malformed("Log entry", "a portion is shown twice, or the entry has no portion in this slot")
    found = []
    for one in given.opened:
        data = from_hex(one.decision, source)
        salted = digest(Domain.DECIDED_PORTION, from_hex(one.salt, source), u32(one.slot), data)
        if salted != hashes[one.slot]:
            raise inconsistent(f"the entry does not commit to what is shown for slot {one.slot}")
        found.append((one.slot, decode(LoggedDecision, data)))
    return tuple(found)


def _witnessed(
    given: CosigningText, own: Said, checkpoint: Cosigned, members: Members, source: str
) -> list[tuple[Said, int]]:
    said = verify(unwrap(Evidence, given.signed, source), members)
    seen = checkpoint_of(said)
    if said.member.code == own.member.code:
        raise CryptoError("SIGNER_NOT_AUTHORISED", f"{own.member.code} cannot be a witness of its own log")
    proof, found = _hashes(given.proof, source), []
    for row in seen.cosigned:
        if (row.origin, row.incarnation) == (checkpoint.origin, checkpoint.incarnation):
            if both_roots(row.size, checkpoint.size, proof) != (row.root, checkpoint.root):
                raise inconsistent(f"{said.member.code} saw a different log of {row.size} entries")
            found.append((said, row.size))
    return found


def _hashes(texts: Sequence[str], source: str) -> list[bytes]:
    return [from_hex(text, source) for text in texts]
