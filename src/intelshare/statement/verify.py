"""Verification of a statement: checks 4 and 5, in this order; the first that fails gives the code.

4.  the batch's suite is known ............................... SUITE_UNKNOWN
    and at or above this node's floor ........................ SUITE_BELOW_FLOOR
    its key is in a directory held ........................... SIGNER_UNKNOWN
    and of the batch's suite ................................. SIGNATURE_INVALID
    of the use that the kind needs ........................... SIGNER_NOT_AUTHORISED
    of the peer's member: no relays .......................... NOT_AUTHORISED
    that member's directory is fresh ......................... TRUST_EXPIRED
    signed at most 300 s ahead of this node's clock .......... CLOCK_SKEW
    within the key's validity (half open) .................... SIGNER_NOT_VALID
    the key is not compromised, nor rotated out before ....... SIGNER_REVOKED
5.  both halves of the signature hold ........................ SIGNATURE_INVALID
    the proof leads from the leaf to the signed root ......... BATCH_PROOF_INVALID

Cheap checks come first, and nothing inside a statement is parsed before it is authentic. A compromise of the
key applies whatever ``signed_at`` says: what was accepted before never comes here (DUPLICATE, check 3), so a
revocation never voids what this node witnessed before it (docs/format.md, "Judging a file").

Trust statements prove themselves: ``prove`` checks only their proof, because otherwise a successor of an
expired directory could never arrive. A consent carried in a grant is judged by ``verify_evidence``: by the
key record at its ``signed_at``, whoever hands it over, and regardless of whether the directory is fresh.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

from intelshare.crypto.codec import decode, malformed
from intelshare.crypto.records import Batch, Evidence, KeyRecord, KeyUse
from intelshare.crypto.suites import Context, Suite, Suites, verify_signature
from intelshare.errors import CryptoError, EnvelopeError, TrustError
from intelshare.ids import KeyId, LeafId, MemberCode
from intelshare.instant import MAX_AHEAD, SECOND, Instant
from intelshare.statement.kinds import KINDS
from intelshare.statement.leaf import Statement, leaf_id
from intelshare.statement.sign import batch_message
from intelshare.statement.tree import climb

T = TypeVar("T")


class Revocation(Protocol):
    """A statement that a key must no longer be believed."""

    @property
    def compromised(self) -> bool:
        """True: nothing signed with it counts; False: rotated out."""

    @property
    def effective(self) -> Instant:
        """If rotated out: what was signed before this instant still counts."""


class TrustLookup(Protocol):
    """The queries of verification to the trust documents held (``trust.TrustView`` answers them)."""

    @property
    def floor(self) -> int:
        """The lowest suite that this member's directory still accepts."""

    def key_record(self, key_id: KeyId) -> KeyRecord | None:
        """Return the record with this id from any member's documents held."""

    def directory_fresh(self, member: MemberCode, at: Instant) -> bool:
        """Return True if that member's directory has not expired."""

    def revocation(self, key_id: KeyId) -> Revocation | None:
        """Return the revocation of this key by its member, if any."""


class VerifiedRoots:
    """Batches whose signatures held, by the whole batch record; the oldest are forgotten first.

    It remembers signatures only: key, time and revocation are judged again for every statement.
    """

    __slots__ = ("_batches", "_capacity", "_forged")

    def __init__(self, capacity: int = 1024) -> None:
        self._capacity = capacity
        self._batches: dict[bytes, None] = {}
        self._forged = b""

    def __contains__(self, batch: bytes) -> bool:
        return batch in self._batches

    def __len__(self) -> int:
        return len(self._batches)

    def add(self, batch: bytes) -> None:
        """Remember a batch whose signatures held."""
        while len(self._batches) >= self._capacity:
            self._batches.pop(next(iter(self._batches)), None)
        self._batches[batch] = None

    def note_forged(self, batch: bytes) -> None:
        """Remember that the signatures of a batch do not hold, until another one's do not.

        All statements of a frame have one batch: one that is forged costs one check, and not one for each.
        """
        self._forged = batch

    def is_forged(self, batch: bytes) -> bool:
        """Return True if this is the last batch whose signatures did not hold."""
        return batch == self._forged


@dataclass(frozen=True, slots=True)
class ReceivedBatch:
    """A batch record and the bytes it was read from."""

    raw: bytes
    record: Batch


_MADE_HERE: Final = object()


@dataclass(frozen=True, slots=True)
class Verified:
    """A statement that its signer really made. Only this module makes one."""

    statement: Statement
    leaf: LeafId
    batch: ReceivedBatch
    signer: KeyRecord
    made: object = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.made is not _MADE_HERE:
            raise TypeError("only statement.verify makes a Verified")

    def read(self, kind: type[T]) -> T:
        """Return the record inside.

        Raises EnvelopeError ENVELOPE_MALFORMED, also for another kind's record.
        """
        if KINDS[self.statement.kind].record is not kind:
            raise malformed(kind.__name__, f"the statement is a {self.statement.kind.name}")
        return decode(kind, self.statement.data)


def read_batch(raw: bytes) -> ReceivedBatch:
    """Decode a batch record. Raises EnvelopeError ENVELOPE_MALFORMED."""
    return ReceivedBatch(raw, decode(Batch, raw))


def verify(
    statement: Statement,
    batch: ReceivedBatch,
    peer: MemberCode,
    at: Instant,
    *,
    trust: TrustLookup,
    suites: Suites,
    roots: VerifiedRoots,
) -> Verified:
    """Return the statement if the peer's member signed it and was allowed to.

    The module lists order and codes. Raises CryptoError, TrustError or EnvelopeError; changes nothing except
    ``roots``.
    """
    use = KINDS[statement.kind].key_use
    signer = check_batch(batch, use, peer, at, trust=trust, suites=suites, roots=roots)
    return Verified(statement, prove(statement, batch), batch, signer, _MADE_HERE)


def check_batch(
    batch: ReceivedBatch,
    use: KeyUse | None,
    peer: MemberCode,
    at: Instant,
    *,
    trust: TrustLookup,
    suites: Suites,
    roots: VerifiedRoots,
) -> KeyRecord:
    """Run check 4 and the signatures of check 5, which are the same for every statement of the batch that
    needs this use of key; return the signer. Raises and changes what ``verify`` does.
    """
    record = batch.record
    suite = suites.get(record.suite)
    if suite is None:
        raise CryptoError(
            "SUITE_UNKNOWN",
            f"the batch is signed with suite {record.suite}, which this version does not know",
            hint="upgrade this node, or ask the peer to use a suite of this member's directory",
        )
    if record.suite < trust.floor:
        raise CryptoError(
            "SUITE_BELOW_FLOOR", f"suite {record.suite} is below the floor here, suite {trust.floor}"
        )
    signer = _signer(record, use, trust)
    if signer.member != peer:
        raise EnvelopeError(
            "NOT_AUTHORISED",
            f"{peer} hands over a statement of {signer.member}",
            hint="a member may hand over only its own statements",
        )
    if not trust.directory_fresh(peer, at):
        raise TrustError(
            "TRUST_EXPIRED",
            f"the directory of {peer} held here has expired",
            hint="the statement is accepted as soon as a fresh directory arrives",
        )
    if record.signed_at > at + MAX_AHEAD:
        raise EnvelopeError(
            "CLOCK_SKEW",
            f"signed {(record.signed_at - at) / SECOND:.0f} s ahead of this node's clock",
            hint="compare both clocks with a time server; the peer tries again",
        )
    _check_signer_at(record, signer, trust)
    _check_signature(batch, suite, signer, roots)
    return signer


def verify_evidence(
    evidence: Evidence,
    *,
    trust: TrustLookup,
    suites: Suites,
    roots: VerifiedRoots,
    revoked: bool = False,
) -> Verified:
    """Return the statement that is carried inside another, if its signer made it.

    ``revoked``: also if the key does not count any more. That shows who was told what, and convicts nobody:
    the caller asks ``is_revoked``. Raises CryptoError or EnvelopeError, with the codes of ``verify``.
    """
    batch = read_batch(evidence.batch)
    statement = Statement(evidence.kind, evidence.nonce, evidence.data, evidence.proof)
    suite = suites.get(batch.record.suite)
    if suite is None:
        raise CryptoError("SUITE_UNKNOWN", f"the evidence is signed with suite {batch.record.suite}")
    signer = _signer(batch.record, KINDS[statement.kind].key_use, trust)
    _check_signer_at(batch.record, signer, trust, revoked=revoked)
    _check_signature(batch, suite, signer, roots)
    return Verified(statement, prove(statement, batch), batch, signer, _MADE_HERE)


def prove(statement: Statement, batch: ReceivedBatch) -> LeafId:
    """Return the statement's digest if it is a leaf of this batch; this says nothing about the signature.

    Raises EnvelopeError BATCH_PROOF_INVALID.
    """
    leaf = leaf_id(statement.kind, statement.nonce, statement.data)
    if climb(leaf, statement.proof) != batch.record.root:
        raise EnvelopeError("BATCH_PROOF_INVALID", "the statement is not part of the batch it came with")
    return leaf


def _signer(record: Batch, use: KeyUse | None, trust: TrustLookup) -> KeyRecord:
    signer = trust.key_record(record.key)
    if signer is None:
        raise CryptoError(
            "SIGNER_UNKNOWN",
            "the batch is signed by a key that is in no directory held here",
            hint="the statement is accepted once a directory that names the key has arrived",
        )
    if signer.suite != record.suite:
        raise CryptoError("SIGNATURE_INVALID", f"the key is of suite {signer.suite}, not {record.suite}")
    if signer.use is not use:
        raise CryptoError("SIGNER_NOT_AUTHORISED", f"a {signer.use.name} key may not sign this statement")
    return signer


def is_revoked(record: Batch, trust: TrustLookup) -> bool:
    """Return True if what this batch's key signed does not count any more."""
    found = trust.revocation(record.key)
    return found is not None and (found.compromised or record.signed_at >= found.effective)


def _check_signer_at(record: Batch, signer: KeyRecord, trust: TrustLookup, *, revoked: bool = False) -> None:
    if not signer.not_before <= record.signed_at < signer.not_after:
        raise CryptoError("SIGNER_NOT_VALID", "the key was not valid when the batch was signed")
    if not revoked and is_revoked(record, trust):
        raise CryptoError(
            "SIGNER_REVOKED",
            f"the signing key was revoked by {signer.member}",
            hint="the originator hands it over again under its new key",
        )


def _check_signature(batch: ReceivedBatch, suite: Suite, signer: KeyRecord, roots: VerifiedRoots) -> None:
    if batch.raw in roots:
        return
    if roots.is_forged(batch.raw):
        raise CryptoError("SIGNATURE_INVALID", "the signature of the batch did not hold")
    record = batch.record
    message = batch_message(record.suite, record.key, record.root, record.signed_at)
    try:
        verify_signature(suite, signer.public, Context.BATCH, message, record.signature)
    except CryptoError:
        roots.note_forged(batch.raw)
        raise
    roots.add(batch.raw)
