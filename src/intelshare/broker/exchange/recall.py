"""Recall: the originator takes a bulletin back.

Waiting pairs stop; recipients that were handed it are asked to destroy it, even if they have. A recall goes
only to those to whom the bulletin was handed over (promise P19). A pair that was handed over and has no
receipt is in doubt until the cancellation of its number is acknowledged or the recipient's receipt comes.
This member's copy stays: it is the member's record of what it said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from intelshare.audit.records import EntryType, Recalled, Received
from intelshare.broker.kernel.actor import Actor, user_row_of
from intelshare.broker.kernel.allowance import Lasting
from intelshare.broker.kernel.damage import damaged_records
from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.frame import Carried
from intelshare.broker.kernel.inbound import Inbound, known_row
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.pair_rows import facts_of
from intelshare.broker.kernel.tables import (
    BULLETIN,
    INBOX,
    PAIR,
    RECALLED,
    RECEIVED,
    BulletinRow,
    PairRow,
    RecalledRow,
)
from intelshare.broker.kernel.transaction import Transaction
from intelshare.broker.lifecycle.attachments import end_own
from intelshare.broker.lifecycle.destroy import CAUSE_RECALLED, MAX_REASON, mark
from intelshare.broker.lifecycle.recalled import tell_recalled, was_recalled
from intelshare.broker.lifecycle.relations import own_bulletin
from intelshare.broker.lifecycle.stop import stop
from intelshare.crypto.records import Kind, Recall
from intelshare.delivery import BestReceipt, Cause, pair
from intelshare.errors import DeliveryError, EnvelopeError, StoreError
from intelshare.ids import Digest
from intelshare.instant import Instant
from intelshare.ports import Plan, Random, View, changed
from intelshare.statement import Verified


class Effect(StrEnum):
    """The effect of a recall on one pair."""

    STOPPED = "stopped"
    """It was not handed over, and will not be."""
    ASKED = "asked"
    """It was handed over: the recipient is asked to destroy it."""
    NONE = "none"
    """It had ended before it left, or is destroyed: its recipient is told, and has nothing to do."""


@dataclass(frozen=True, slots=True)
class RecallCommand:
    """A user's command to take back a bulletin; every recipient that was handed it reads the reason."""

    actor: Actor
    bulletin: str
    reason: str


@dataclass(frozen=True, slots=True)
class RecallResult:
    """The effect of a recall on each pair. ``before``: it was recalled earlier; only those are told now who
    were not told then.
    """

    row: BulletinRow
    pairs: tuple[tuple[PairRow, Effect], ...]
    before: bool
    effects: Effects
    damaged: tuple[str, ...] = ()
    """The damaged records because of which a recipient is not told (promise P13): a recall after their repair
    tells it.
    """


def effect_of_recall(node: Node, view: View, command: RecallCommand, now: Instant) -> RecallResult:
    """Return what ``recall`` would do, and store nothing.

    Raises DeliveryError NOT_FOUND, RECALL_NOT_ORIGINATOR, NOT_AUTHORISED, TOO_LARGE.
    """
    user = user_row_of(view, command.actor)
    if len(command.reason) > MAX_REASON:
        raise DeliveryError("TOO_LARGE", f"a reason has at most {MAX_REASON} characters")
    row = view.get(BULLETIN, own_bulletin(node, view, command.bulletin, user, now))
    assert row is not None  # noqa: S101 - found just now
    damaged: list[StoreError] = []
    found = view.find(PAIR, "key", row.md, damaged=damaged)
    pairs = tuple([(one, _effect(one)) for one in found])
    return RecallResult(row, pairs, bool(row.recalled), Effects(), damaged_records(damaged))


def recall(
    node: Node, view: View, command: RecallCommand, now: Instant, random: Random
) -> Plan[RecallResult]:
    """Recall a bulletin of this member. Raises what ``effect_of_recall`` raises."""
    planned = effect_of_recall(node, view, command, now)
    row = planned.row
    tx = Transaction(node, view, now, random)
    # Who says that it is destroyed is told too: a disk that is put back must not make it readable again, and
    # only a recall that was said is repeated to a node that starts anew.
    handed = [one.recipient for one, _ in planned.pairs if one.leaf]
    told = [one for one in handed if not (planned.before and was_recalled(tx, row.md, one))]
    if planned.before and not told:
        return Plan((), planned)
    if not planned.before:
        tx.log(EntryType.RECALL, Recalled(row.md, command.actor.user, command.reason))
        tx.put(BULLETIN, changed(row, recalled=now))
        end_own(tx, row.md)
    tell_recalled(tx, row.md, told, command.reason)
    stop(tx, _to_stop([one for one, _ in planned.pairs]), Cause.RECALLED, (CAUSE_RECALLED,))
    after = tuple([(tx.get(PAIR, one.md, one.recipient) or one, effect) for one, effect in planned.pairs])
    return tx.plan(replace(planned, pairs=after, effects=tx.effects()))


def on_recall(inbound: Inbound, verified: Verified, carried: Carried) -> None:
    """Process a peer's recall of its bulletin: destroy what is held, and remember it for copies to come.

    The answer does not depend on whether it is held, as long as the peer keeps to its budget. Raises
    EnvelopeError WRONG_RECIPIENT, DeliveryError RATE (rejected).
    """
    del carried
    tx = inbound.tx
    said = verified.read(Recall)
    if said.to != tx.node.member:
        raise EnvelopeError("WRONG_RECIPIENT", "the recall is for another member")
    # Only a bulletin of the signer's member counts as held (docs/format.md: look-ups never cross members).
    row = tx.get(INBOX, said.md)
    held = row is not None and row.originator == inbound.member
    recalled = tx.get(RECALLED, inbound.member, said.md) is not None
    if recalled or not held:
        # Nothing else bounds how many digests a peer can recall, or how often it recalls one.
        inbound.allowance.need(Lasting.RECALLS)
        inbound.allowance.keep(Lasting.RECALLS)
    if not recalled:
        tx.put(RECALLED, RecalledRow(inbound.member, said.md, tx.now, verified.leaf))
    if row is not None and held:
        mark(tx, row, CAUSE_RECALLED)
    tx.put(RECEIVED, known_row(inbound, verified, None))
    tx.log(
        EntryType.RECEIVED,
        Received(inbound.member, Kind.RECALL, verified.leaf, Digest(said.md), ()),
    )


def _effect(row: PairRow) -> Effect:
    if row.leaf:
        return Effect.NONE if row.receipt == BestReceipt.DESTROYED else Effect.ASKED
    return Effect.STOPPED if row.cause == Cause.NONE else Effect.NONE


def _to_stop(rows: Sequence[PairRow]) -> list[PairRow]:
    return [row for row in rows if pair.stop(facts_of(row), Cause.RECALLED) != facts_of(row)]
