"""Does this evidence prove that a node contradicted itself?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from intelshare.crypto.records import Kind
from intelshare.errors import TrustError
from intelshare.verifier.entries import Received, Rejected, Witnessed
from intelshare.verifier.exhibits import Exhibit, contradiction
from intelshare.verifier.files import EvidenceText, read_text, unwrap
from intelshare.verifier.logs import ShownLog, named, show_log
from intelshare.verifier.members import Given, Member, members_of
from intelshare.verifier.statements import Said, checkpoint_of, position, revoked, verify
from intelshare.verifier.verdict import Convicting, Proven, ProvenEntry, SeenBy


def check_evidence(text: bytes, source: str, given: Sequence[Given] = ()) -> Proven:
    """Check an evidence file. ``given``: the member files that the reader has from elsewhere.

    Raises TrustError EVIDENCE_INCONCLUSIVE if all is genuine and proves nothing, INPUT_INVALID,
    LOG_INCONSISTENT; CryptoError, EnvelopeError for a statement that nobody known signed; SIGNER_REVOKED
    for one whose key was revoked before anybody else is shown to have seen it.
    """
    file = read_text(EvidenceText, "intelshare/evidence/1", text, source)
    members = members_of(file.documents, given, source)
    exhibit = unwrap(Exhibit, file.exhibit, source)
    said = [verify(signed, members) for signed in exhibit.statements]
    found = contradiction(said, exhibit.paths)
    if found is None:
        raise TrustError(
            "EVIDENCE_INCONCLUSIVE",
            "this proves nothing to others: no node contradicts itself in it",
            hint="whoever kept it may know more; the statements themselves are genuine",
        )
    logs = [show_log(log, members, source) for log in file.seen]
    convicting, vouching = [], list[Member]()
    for one in found.statements:
        seen = [(member, by) for log in logs for member, by in _seen(one, log)]
        in_time = [member for member, by in seen if one.revoked_from is None or by.at < one.revoked_from]
        if one.revoked_from is not None and not in_time:
            raise revoked(one, "nobody else is shown to have seen this statement before that")
        vouching += [member for member, _ in seen]
        rows = tuple(by for _, by in seen)
        convicting.append(Convicting(one.kind.name, one.signed_at, one.revoked_from is not None, rows))
    accused = found.statements[0]
    return Proven(
        accused.member.code,
        accused.node,
        accused.member.fingerprint,
        found.code,
        found.what,
        tuple(convicting),
        named(accused.member, vouching),
    )


def _seen(one: Said, log: ShownLog) -> Iterator[tuple[Member, SeenBy]]:
    """Where other members say that they saw this statement: in their log, or by a cosigned checkpoint."""
    if log.said.member.code != one.member.code:
        for entry in log.entries:
            if _names(entry, one):
                how = f"entry {entry.index} of log {entry.incarnation:016x}, {entry.type}"
                yield log.said.member, SeenBy(log.said.member.code, entry.at, how)
    if one.kind is Kind.CHECKPOINT:
        mine = position(checkpoint_of(one))
        for cosigner in (log.said, *[said for said, _ in log.witnesses]):
            if cosigner.member.code == one.member.code or cosigner.revoked_from is not None:
                continue
            if mine in checkpoint_of(cosigner).cosigned:
                yield cosigner.member, SeenBy(cosigner.member.code, cosigner.signed_at, "cosigned it")


def _names(entry: ProvenEntry, one: Said) -> bool:
    told = entry.record
    if isinstance(told, Received):
        return bool(told.leaf == one.leaf)
    if isinstance(told, Rejected):
        return bool(told.digest == one.leaf)
    if not isinstance(told, Witnessed) or one.kind is not Kind.CHECKPOINT:
        return False
    mine = checkpoint_of(one)
    return (told.origin, told.incarnation, told.size, told.root) == (
        mine.origin, mine.incarnation, mine.size, mine.root,
    )  # fmt: skip
