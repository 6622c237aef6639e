"""The check of one statement: checks 4 and 5 of docs/format.md, as far as "Judging a file" keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from intelshare.crypto.codec import decode, malformed
from intelshare.crypto.pae import Domain, pae, u16, u64
from intelshare.crypto.records import Batch, Checkpoint, Cosigned, Evidence, KeyRecord, KeyUse, Kind
from intelshare.crypto.suites import SUITES, Context, verify_signature
from intelshare.errors import CryptoError, EnvelopeError
from intelshare.ids import Digest
from intelshare.instant import Instant
from intelshare.verifier.documents import RevokedWhy
from intelshare.verifier.members import Member, Members

_MAX_COSIGNED: Final = 1024


@dataclass(frozen=True, slots=True)
class Said:
    """A statement that its signer really made, and the time that it states."""

    evidence: Evidence
    leaf: bytes
    member: Member
    key: KeyRecord
    signed_at: Instant
    revoked_from: Instant | None
    """If its key was revoked: the time before which the statement must have been witnessed in order to
    count.
    """

    @property
    def node(self) -> str:
        """The node whose key signed."""
        return self.key.node

    @property
    def kind(self) -> Kind:
        """The kind of statement."""
        return self.evidence.kind


def verify(evidence: Evidence, members: Members) -> Said:
    """Check that one of these members signed the statement. The first check that fails gives the code.

    Raises CryptoError SUITE_UNKNOWN, SIGNER_UNKNOWN, SIGNATURE_INVALID, SIGNER_NOT_AUTHORISED,
    SIGNER_NOT_VALID; EnvelopeError BATCH_PROOF_INVALID, ENVELOPE_MALFORMED.
    """
    batch = decode(Batch, evidence.batch)
    suite = SUITES.get(batch.suite)
    if suite is None:
        raise CryptoError("SUITE_UNKNOWN", f"a statement is signed with suite {batch.suite}, unknown here")
    member = members.owner(batch.key)
    key = member.keys[batch.key]
    if key.suite != batch.suite:
        raise CryptoError("SIGNATURE_INVALID", "the key is of a different suite from the signature")
    if key.use is not KeyUse.SIGNING or evidence.kind is Kind.TRUST:
        raise CryptoError("SIGNER_NOT_AUTHORISED", f"a {key.use.name} key may not sign this statement")
    if not key.not_before <= batch.signed_at < key.not_after:
        raise CryptoError("SIGNER_NOT_VALID", f"the key of {member.code} was not valid when this was signed")
    message = pae(Domain.BATCH, u16(batch.suite), batch.key, batch.root, u64(batch.signed_at))
    verify_signature(suite, key.public, Context.BATCH, message, batch.signature)
    leaf = leaf_of(evidence)
    if _root(leaf, evidence.proof) != batch.root:
        raise EnvelopeError("BATCH_PROOF_INVALID", "a statement is not part of the batch it came with")
    revocation = member.revocation(batch.key)
    voided = revocation is not None and (
        revocation.why is RevokedWhy.COMPROMISED or batch.signed_at >= revocation.effective
    )
    since = member.revoked_from(batch.key, revocation) if voided and revocation is not None else None
    return Said(evidence, leaf, member, key, batch.signed_at, since)


def leaf_of(evidence: Evidence) -> bytes:
    """Return the statement's digest."""
    return sha256(b"\x00" + pae(Domain.LEAF, bytes([evidence.kind]), evidence.nonce, evidence.data)).digest()


def checkpoint_of(said: Said) -> Checkpoint:
    """Return the checkpoint of the node that signed it.

    Raises EnvelopeError ENVELOPE_MALFORMED, CryptoError SIGNER_NOT_AUTHORISED for another node's.
    """
    if said.kind is not Kind.CHECKPOINT:
        raise malformed("Checkpoint", f"the statement is a {said.kind.name}")
    found = read_checkpoint(said.evidence.data)
    if found.origin != said.node:
        raise CryptoError(
            "SIGNER_NOT_AUTHORISED", "a checkpoint names a different node from that of its signing key"
        )
    return found


def read_checkpoint(data: bytes) -> Checkpoint:
    """Decode a checkpoint of a size that a log can have. Raises EnvelopeError ENVELOPE_MALFORMED."""
    found = decode(Checkpoint, data)
    if not 0 < found.size < 1 << 63 or len(found.cosigned) > _MAX_COSIGNED:
        raise malformed("Checkpoint", "no log can have this size, or too many others are named")
    return found


def position(of: Checkpoint | Cosigned) -> Cosigned:
    """Return the log, size and root of a checkpoint."""
    return Cosigned(of.origin, of.incarnation, of.size, Digest(of.root))


def revoked(said: Said, why: str) -> CryptoError:
    """Return SIGNER_REVOKED for a statement that nobody witnessed in time."""
    return CryptoError(
        "SIGNER_REVOKED",
        f"the key of {said.member.code} was revoked, and {why}",
        hint="another member's checkpoint, signed before the revocation, would show that it counts",
    )


def _root(leaf: bytes, proof: bytes) -> bytes:
    place, running = proof[0], leaf
    for level in range(8):
        sibling = proof[1 + 32 * level : 33 + 32 * level]
        pair = (sibling, running) if place >> level & 1 else (running, sibling)
        running = sha256(b"\x01" + b"".join(pair)).digest()
    return running
