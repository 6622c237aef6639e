"""Address: a bulletin is for one more recipient. The pair is stored with the decision that was made of it."""

from __future__ import annotations

from intelshare.audit.records import EntryType, Stop
from intelshare.broker.kernel.decide_pair import Loggable, PairDecision, loggable
from intelshare.broker.kernel.frame import rank
from intelshare.broker.kernel.pair_rows import is_open, is_ready, log_decision
from intelshare.broker.kernel.tables import PAIR, PairRow
from intelshare.broker.kernel.transaction import Transaction
from intelshare.delivery import Cause, Facts, Stage
from intelshare.ids import Incarnation, LeafId, ManifestDigest
from intelshare.instant import Instant


def facts_of_new(one: PairDecision) -> Facts:
    """What a pair begins as: withheld if every portion is denied, held under a hold, else queued."""
    if not one.granted:
        return Facts(Stage.QUEUED, Cause.WITHHELD)
    return Facts(Stage.HELD if one.holds else Stage.QUEUED)


def addressed_by(user: str) -> str:
    """The mark of whoever has addressed a pair, among the ids of approved rows: its hold is for somebody else
    to close. No row's id begins so."""
    return f"@{user}"


def add_recipient(
    tx: Transaction,
    one: PairDecision,
    md: ManifestDigest,
    precedence: int,
    *,
    due: Instant,
    marks: str = "",
    logged: Loggable | None = None,
) -> PairRow:
    """Store the pair, and log its decision. ``due``: the sooner of valid-until and deliver-by.

    ``marks``: of a pair that was not its author's wish at submission (``addressed_by``, ``ONLY_OWN``).
    ``logged``: of this decision, where it is made already.
    """
    node, now = tx.node, tx.now
    logged = logged or loggable(node.storage_key, one, node.member)
    entry, place = log_decision(tx, one, md, logged)
    facts = facts_of_new(one)
    if facts.cause is not Cause.NONE:
        tx.log(EntryType.STOP, Stop(md, one.recipient, facts.cause, one.codes))
    row = PairRow(
        md=md,
        recipient=one.recipient,
        ready=is_ready(facts),
        rank=rank(precedence),
        open=is_open(facts),
        due=due,
        created=now,
        stage=facts.stage,
        cause=facts.cause,
        receipt=facts.receipt,
        conflict=0,
        codes=" ".join(one.codes if facts.cause is not Cause.NONE else one.holds),
        changed=now,
        granted=len(one.granted),
        portions=len(one.portions),
        basis=one.basis,
        decided_in=node.incarnation,
        decided_at=place,
        decision=entry,
        gist=logged.fingerprint,
        approved=marks,
        incarnation=Incarnation(0),
        sequence=0,
        leaf=LeafId(b""),
    )
    tx.put(PAIR, row)
    return row
