"""Adds a recipient to a bulletin. The pair is stored with the decision on it."""

from __future__ import annotations

from typing import NamedTuple

from intelshare.audit.records import EntryType, Stop
from intelshare.broker.kernel.decide_pair import Loggable, PairDecision, loggable
from intelshare.broker.kernel.frame import rank
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.pair_rows import count_pair, is_open, is_ready, log_decision
from intelshare.broker.kernel.tables import PAIR, PairRow
from intelshare.broker.kernel.transaction import Transaction
from intelshare.broker.lifecycle.redecide import ONLY_OWN
from intelshare.delivery import Cause, Facts, Stage
from intelshare.ids import Digest, Incarnation, LeafId, ManifestDigest, UserUri
from intelshare.instant import Instant
from intelshare.ports import changed


def facts_of_new(one: PairDecision) -> Facts:
    """Return a new pair's facts: withheld if every portion is denied, held under a hold, otherwise queued."""
    if not one.granted:
        return Facts(Stage.QUEUED, Cause.WITHHELD)
    return Facts(Stage.HELD if one.holds else Stage.QUEUED)


def addressed_by(user: str) -> str:
    """Return the mark, among the ids of approved rows, of the user who addressed a pair: another user must
    close its hold. No row's id starts this way.
    """
    return f"@{user}"


def addresser_of(mark: str) -> UserUri | None:
    """Whom such a mark names; None for every other mark and id."""
    return UserUri(mark[1:]) if mark.startswith("@") and mark != ONLY_OWN else None


class NewPair(NamedTuple):
    """A pair to be stored, for any bulletin with this decision. Made by ``new_pair``."""

    decision: PairDecision
    logged: Loggable
    row: PairRow
    """The row without bulletin, urgency, times, and position of the decision in the log."""


def new_pair(node: Node, one: PairDecision) -> NewPair:
    """Derive from a decision everything that depends on it alone: done once for drafts that are alike."""
    facts, logged = facts_of_new(one), loggable(node.storage_key, one, node.member)
    row = PairRow(
        md=ManifestDigest(b""),
        recipient=one.recipient,
        ready=is_ready(facts),
        rank=0,
        open=is_open(facts),
        due=Instant(0),
        created=Instant(0),
        stage=facts.stage,
        cause=facts.cause,
        receipt=facts.receipt,
        conflict=0,
        codes=" ".join(one.codes if facts.cause is not Cause.NONE else one.holds),
        changed=Instant(0),
        granted=len(one.granted),
        portions=len(one.portions),
        basis=one.basis,
        decided_in=node.incarnation,
        decided_at=0,
        decision=Digest(b""),
        gist=logged.fingerprint,
        approved="",
        incarnation=Incarnation(0),
        sequence=0,
        leaf=LeafId(b""),
        size=0,
    )
    return NewPair(one, logged, row)


def add_recipient(
    tx: Transaction,
    new: NewPair,
    md: ManifestDigest,
    precedence: int,
    *,
    due: Instant,
    size: int,
    marks: str = "",
) -> PairRow:
    """Store the pair, and log its decision.

    ``due`` is the earlier of valid-until and deliver-by; ``size`` is the number of bytes of its bodies.
    ``marks`` are those of a pair that the author did not ask for at submission (``addressed_by``,
    ``ONLY_OWN``).
    """
    one, logged, row = new
    entry, place = log_decision(tx, one, md, logged)
    if row.cause != Cause.NONE:
        tx.log(EntryType.STOP, Stop(md, one.recipient, Cause(row.cause), one.codes))
    row = changed(
        row, md=md, rank=rank(precedence), due=due, created=tx.now, changed=tx.now,
        decided_in=tx.node.incarnation, decided_at=place, decision=entry, approved=marks, size=size,
    )  # fmt: skip
    count_pair(tx, row, row.open)
    tx.put(PAIR, row)
    return row
