"""Does this evidence prove that a node contradicted itself?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from intelshare.audit.exhibit import Exhibit, contradiction
from intelshare.audit.portable import EVIDENCE_SCHEMA, EvidenceFile, read, unwrap
from intelshare.crypto.records import Kind
from intelshare.errors import TrustError
from intelshare.ids import MemberCode
from intelshare.instant import Instant
from intelshare.trust import MemberFile
from intelshare.verifier.trusting import believe


@dataclass(frozen=True, slots=True)
class Proven:
    """What was proved, against whom."""

    member: MemberCode
    node: str
    fingerprint: str
    code: str
    what: str
    statements: tuple[tuple[str, Instant], ...]
    """Kind of each, and when it was signed."""


def check_evidence(text: bytes, source: str, given: Sequence[MemberFile] = ()) -> Proven:
    """Check an evidence file.

    Raises TrustError EVIDENCE_INCONCLUSIVE if all is genuine and proves nothing, INPUT_INVALID; CryptoError,
    EnvelopeError for a statement that nobody known signed.
    """
    file = read(EvidenceFile, EVIDENCE_SCHEMA, text, source)
    believed = believe(file.documents, given, source)
    exhibit = unwrap(Exhibit, file.exhibit, source)
    verified = [believed.verify(signed) for signed in exhibit.statements]
    found = contradiction(exhibit)
    signers = {(one.signer.member, one.signer.node) for one in verified}
    if found is None or len(signers) != 1:
        raise _inconclusive("the statements do not contradict each other, or are of several signers")
    ((member, node),) = signers
    if found.node not in (node, member):
        raise _inconclusive("the statements speak of another node than the one that signed them")
    return Proven(
        member,
        node,
        believed.fingerprint(member),
        found.code,
        found.what,
        tuple((Kind(one.statement.kind).name, one.batch.record.signed_at) for one in verified),
    )


def _inconclusive(why: str) -> TrustError:
    return TrustError(
        "EVIDENCE_INCONCLUSIVE",
        f"this proves nothing to others: {why}",
        hint="whoever kept it may know more; the statements themselves are genuine",
    )
