"""The other members that saw a statement: those whose logs contain it, and those that cosigned it."""

from __future__ import annotations

from collections.abc import Iterator

from intelshare.crypto.records import Kind
from intelshare.verifier.entries import ReceiptJoined, Received, Rejected, Witnessed
from intelshare.verifier.logs import ShownLog
from intelshare.verifier.members import Member
from intelshare.verifier.statements import Said, checkpoint_of, position
from intelshare.verifier.verdict import ProvenEntry, SeenBy


def seen_in(one: Said, log: ShownLog) -> Iterator[tuple[Member, SeenBy]]:
    """Yield where other members state that they saw this statement: in their log, or by a cosigned
    checkpoint.
    """
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
    if isinstance(told, Received | ReceiptJoined):
        return bool(told.leaf == one.leaf)
    if isinstance(told, Rejected):
        return bool(told.digest == one.leaf)
    if not isinstance(told, Witnessed) or one.kind is not Kind.CHECKPOINT:
        return False
    mine = checkpoint_of(one)
    return (told.origin, told.incarnation, told.size, told.root) == (
        mine.origin, mine.incarnation, mine.size, mine.root,
    )  # fmt: skip
