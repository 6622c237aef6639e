"""Holds: what waits for a releasing officer is released to one recipient by a second person, or ended by one.

The person, not the name, is what counts: the register says which users are one (docs/decisions/0060).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

from intelshare.audit.records import Approve, EntryType, Refuse
from intelshare.broker.kernel.actor import NO_DIGEST, Actor, is_same_person, user_row_of
from intelshare.broker.kernel.damage import unless_damaged
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.pair_rows import facts_of, logged_decision, put_pair
from intelshare.broker.kernel.stored_bulletins import find_bulletin, read_written
from intelshare.broker.kernel.tables import BULLETIN, PAIR, REFUSAL, USER, PairRow, RefusalRow
from intelshare.broker.kernel.transaction import Transaction, open_secret
from intelshare.broker.lifecycle.add_recipient import addresser_of
from intelshare.broker.lifecycle.destroy import MAX_REASON
from intelshare.broker.lifecycle.redecide import redecide
from intelshare.broker.lifecycle.stop import stop_pair
from intelshare.delivery import Cause, PairStatus, Stage, pair, status_of
from intelshare.errors import DeliveryError
from intelshare.ids import Digest, MemberCode, UserUri
from intelshare.instant import Instant
from intelshare.ports import Plan, Random, View, changed

HOLD_REFUSED: Final = "HOLD_REFUSED"


@dataclass(frozen=True, slots=True)
class ApproveCommand:
    """A releasing officer releases one held pair."""

    actor: Actor
    bulletin: str
    recipient: MemberCode
    shown: Digest = NO_DIGEST
    """The log entry of the decision that the officer has seen; empty: whichever is in force."""


@dataclass(frozen=True, slots=True)
class RefuseCommand:
    """A releasing officer ends one held pair."""

    actor: Actor
    bulletin: str
    recipient: MemberCode
    reason: str


@dataclass(frozen=True, slots=True)
class HoldRefusal:
    """The officer who refused, and the reason."""

    user: UserUri
    reason: str


def approve(
    node: Node, view: View, command: ApproveCommand, now: Instant, random: Random
) -> Plan[PairStatus]:
    """Close the holds of a pair, by a second person; hand-over decides again. The status after it.

    Raises DeliveryError NOT_FOUND, NOT_AUTHORISED (own bulletin, or no releasing officer), INPUT_INVALID (not
    held), ID_CONFLICT (another decision is in force than the one that was shown), POLICY_DENIED (the law has
    changed since it was held: it stays held).
    """
    row = _held(node, view, command.actor, command.bulletin, command.recipient, now)
    if command.shown not in (b"", row.decision):
        raise DeliveryError(
            "ID_CONFLICT",
            "it was decided again since it was shown to you; nothing was released",
            hint="look at it again: `intelshare outbox approve` shows it",
        )
    holds = _holds(node, view, row)
    tx = Transaction(node, view, now, random)
    approved = " ".join(sorted({*row.approved.split(), *holds}))
    unless_damaged(tx, partial(_check_law, tx, changed(row, approved=approved)))
    tx.log(EntryType.APPROVE, Approve(row.md, row.recipient, command.actor.user, holds))
    after = put_pair(tx, row, pair.approve(facts_of(row)), approved=approved)
    return tx.plan(status_of(facts_of(after)))


def _check_law(tx: Transaction, row: PairRow) -> None:
    """Raise DeliveryError POLICY_DENIED if nothing of a pair may go by the law of now: its officer would be
    told that it goes, and hand-over would withhold it for good.
    """
    bulletin = tx.get(BULLETIN, row.md)
    if bulletin is None:
        return
    decided, _ = redecide(tx, row, read_written(tx.node, tx.view, bulletin))
    if not decided.granted:
        raise DeliveryError(
            "POLICY_DENIED",
            f"nothing of it may go now: {', '.join(decided.codes)}; it stays held",
            hint="release it once the law allows it again, or end it with `intelshare outbox refuse`",
        )


def refuse(node: Node, view: View, command: RefuseCommand, now: Instant, random: Random) -> Plan[PairStatus]:
    """End a held pair for good, with a reason that its author reads. The status after it.

    Raises what ``approve`` raises, and TOO_LARGE or INPUT_INVALID for the reason.
    """
    if not command.reason.strip():
        raise DeliveryError("INPUT_INVALID", "a refusal needs a reason", hint="the author reads it")
    if len(command.reason) > MAX_REASON:
        raise DeliveryError("TOO_LARGE", f"a reason has at most {MAX_REASON} characters")
    row = _held(node, view, command.actor, command.bulletin, command.recipient, now)
    user, holds = command.actor.user, _holds(node, view, row)
    tx = Transaction(node, view, now, random)
    tx.log(EntryType.REFUSE, Refuse(row.md, row.recipient, user, holds, command.reason))
    sealed = tx.seal(REFUSAL.name, _key(row), 0, command.reason.encode())
    tx.put(REFUSAL, RefusalRow(row.md, row.recipient, user, now, sealed))
    stop_pair(tx, row, Cause.HOLD_REFUSED, (HOLD_REFUSED,))
    after = tx.get(PAIR, row.md, row.recipient) or row
    return tx.plan(status_of(facts_of(after)))


def refusal_of(node: Node, view: View, row: PairRow) -> HoldRefusal | None:
    """Why a pair was refused; None: it was not."""
    if row.cause != Cause.HOLD_REFUSED:
        return None
    kept = view.get(REFUSAL, row.md, row.recipient)
    if kept is None:
        return None
    reason = open_secret(node, REFUSAL.name, _key(row), 0, kept.sealed_reason).decode("utf-8", "replace")
    return HoldRefusal(kept.user, reason)


def _held(
    node: Node, view: View, actor: Actor, bulletin: str, recipient: MemberCode, now: Instant
) -> PairRow:
    """The held pair that this officer may decide about. Raises as ``approve``."""
    officer = user_row_of(view, actor)
    written = find_bulletin(node, view, bulletin, officer, now).row
    row = view.get(PAIR, written.md, recipient)
    if row is None:
        raise DeliveryError("NOT_FOUND", f"the bulletin was not sent to {recipient}")
    behind = [written.author, *(user for mark in row.approved.split() if (user := addresser_of(mark)))]
    if any(is_same_person(officer, view.get(USER, user)) for user in behind):
        raise DeliveryError(
            "NOT_AUTHORISED",
            "a held bulletin is for somebody else than its author, or who has addressed it, also under "
            "another name",
            hint="ask another releasing officer",
        )
    facts = facts_of(row)
    if facts.stage is not Stage.HELD or facts.cause is not Cause.NONE:
        raise DeliveryError("INPUT_INVALID", f"the pair is {status_of(facts)}, not held")
    return row


def _holds(node: Node, view: View, row: PairRow) -> tuple[str, ...]:
    logged = logged_decision(node, view, row)
    return tuple(sorted({hold for portion in logged.portions for hold in portion.decision.value.holds}))


def _key(row: PairRow) -> bytes:
    return row.md + row.recipient.encode()
