"""Decisions that a node must leave to an operator: each is in the log, with its reason.

believe_clock    the present time counts, whatever was stored or expected (promise P10)
release_stream   a stream that contradicted itself goes on; what contradicts stays as evidence (P11)
allow_reading    users read what a member sent before the disk forgot, although it was not heard (P16)
note_backup      somebody has made a backup, which lives on whatever is destroyed here
give_up          a pair ends, undeliverable (P8): of those who send the bulletin, not of operators
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from intelshare.audit.node_records import BackupMade, Operated, OperatorAct
from intelshare.audit.records import EntryType
from intelshare.broker.kernel.actor import Actor, user_row_of
from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.pair_rows import facts_of
from intelshare.broker.kernel.tables import INCOMING, NODE, PAIR, UNHEARD
from intelshare.broker.kernel.transaction import SELF, Transaction
from intelshare.broker.lifecycle.destroy import MAX_REASON
from intelshare.broker.lifecycle.relations import own_bulletin
from intelshare.broker.lifecycle.stop import stop
from intelshare.broker.lifecycle.streams import FROZEN, gap_of, is_frozen
from intelshare.delivery import Cause, PairStatus, status_of
from intelshare.errors import DeliveryError
from intelshare.ids import MemberCode, UserUri
from intelshare.instant import MAX_AHEAD, SECOND, Instant, show
from intelshare.ports import EVERY_ROW, Plan, Random, View, changed

GIVEN_UP: Final = "GIVEN_UP"
"""Why a pair ended that somebody gave up."""

DIGEST_BYTES: Final = 32
"""The bytes of the digest of a manifest."""

AGREES: Final = MAX_AHEAD
"""The most by which a peer's clock may differ and still agree, in microseconds."""


@dataclass(frozen=True, slots=True)
class BelieveCommand:
    """An operator declares the clock to be right."""

    user: UserUri
    expected: Instant
    """The time that was stored or expected instead."""
    offsets: Sequence[tuple[MemberCode, int]]
    """The clock of each linked member minus this one, in microseconds."""
    reason: str
    """Why the clock is believed although peers disagree; empty: they must agree."""


def believe_clock(
    node: Node, view: View, command: BelieveCommand, now: Instant, random: Random
) -> Plan[tuple[MemberCode, ...]]:
    """Store the present time as the highest believed; return the linked members that agree with it.

    Raises DeliveryError CLOCK if no peer agrees, or one does not, and no reason is given.
    """
    agreed = tuple(sorted({member for member, offset in command.offsets if abs(offset) <= AGREES}))
    if not command.reason:
        _check(command, agreed)
    tx = Transaction(node, view, now, random)
    about = f"expected {_second(command.expected)}; agreed {' '.join(agreed) or 'nobody'}"
    tx.log(EntryType.OPERATED, Operated(OperatorAct.CLOCK_BELIEVED, about, command.reason, command.user))
    me = tx.get(NODE, SELF)
    if me is not None:
        tx.put(NODE, changed(me, latest=now, confirmed=now))
    return tx.plan(agreed)


def _check(command: BelieveCommand, agreed: Sequence[MemberCode]) -> None:
    others = [(member, offset) for member, offset in command.offsets if member not in agreed]
    if others:
        member, offset = max(others, key=lambda one: abs(one[1]))
        side = "ahead of" if offset > 0 else "behind"
        raise DeliveryError(
            "CLOCK",
            f"the clock of {member} is {abs(offset) // SECOND} s {side} this one",
            hint="set this machine's clock; if it is right and theirs is wrong, say so with --reason",
        )
    if not agreed:
        raise DeliveryError(
            "CLOCK",
            "no linked member can confirm the clock",
            hint="compare this machine's clock with another one, then state with --reason how you did",
        )


def _second(at: Instant) -> str:
    return show(Instant(at - at % SECOND))


@dataclass(frozen=True, slots=True)
class ReleaseStreamCommand:
    """An operator lets the streams of a member go on."""

    user: UserUri
    member: MemberCode
    reason: str


@dataclass(frozen=True, slots=True)
class ReleaseStreamResult:
    """The number of released streams, and the requests that follow."""

    streams: int
    effects: Effects


def release_stream(
    node: Node, view: View, command: ReleaseStreamCommand, now: Instant, random: Random
) -> Plan[ReleaseStreamResult]:
    """Take the frozen streams of a member as its node goes on with them now.

    Numbers up to the last that came are compared with nothing any more; from there on a contradiction freezes
    the stream again. Raises DeliveryError NOT_FOUND (none is frozen), INPUT_INVALID (no reason).
    """
    need_reason(command.reason)
    held = view.find(INCOMING, "member", command.member, limit=EVERY_ROW)
    rows = [row for row in held if is_frozen(row)]
    if not rows:
        raise DeliveryError(
            "NOT_FOUND",
            f"no stream of {command.member} is frozen",
            hint="`intelshare node peers` shows frozen streams",
        )
    tx = Transaction(node, view, now, random)
    for row in rows:
        tx.put(INCOMING, changed(row, frozen=FROZEN + 1 + row.last))
        gap = gap_of(tx, row.origin, row.incarnation)
        if gap is not None:
            tx.gaps.append((command.member, gap))
        about = f"{row.origin} {row.incarnation:016x} up to {row.last}"
        tx.log(
            EntryType.OPERATED,
            Operated(OperatorAct.STREAM_RELEASED, about, command.reason, command.user),
        )
    return tx.plan(ReleaseStreamResult(len(rows), tx.effects()))


@dataclass(frozen=True, slots=True)
class AllowReadingCommand:
    """An operator lets users read what a member sent before the disk forgot."""

    user: UserUri
    member: MemberCode
    reason: str


def allow_reading(
    node: Node, view: View, command: AllowReadingCommand, now: Instant, random: Random
) -> Plan[MemberCode]:
    """Let users read what a member sent; the log keeps who decided it, and why.

    Raises DeliveryError NOT_FOUND (it is not waited for), INPUT_INVALID (no reason).
    """
    need_reason(command.reason)
    row = view.get(UNHEARD, command.member)
    if row is None or row.allowed:
        raise DeliveryError(
            "NOT_FOUND",
            f"nothing of {command.member} waits to be read",
            hint="`intelshare node peers` shows which members are waited for",
        )
    tx = Transaction(node, view, now, random)
    tx.put(UNHEARD, changed(row, allowed=1))
    about = str(command.member)
    tx.log(EntryType.OPERATED, Operated(OperatorAct.READING_ALLOWED, about, command.reason, command.user))
    return tx.plan(command.member)


@dataclass(frozen=True, slots=True)
class NoteBackupCommand:
    """A backup was made."""

    backup: BackupMade


def note_backup(
    node: Node, view: View, command: NoteBackupCommand, now: Instant, random: Random
) -> Plan[None]:
    """Write to the log who made a backup of what. Raises DeliveryError INPUT_INVALID (not a digest)."""
    if len(command.backup.manifest) != DIGEST_BYTES:
        raise DeliveryError("INPUT_INVALID", "the digest of a manifest has 32 bytes")
    tx = Transaction(node, view, now, random)
    tx.log(EntryType.BACKUP, command.backup)
    return tx.plan(None)


@dataclass(frozen=True, slots=True)
class GiveUpCommand:
    """A bulletin is not to wait for one recipient any longer."""

    actor: Actor
    bulletin: str
    recipient: MemberCode
    reason: str


@dataclass(frozen=True, slots=True)
class GiveUpResult:
    """The word of the pair now."""

    status: PairStatus
    effects: Effects


def give_up(
    node: Node, view: View, command: GiveUpCommand, now: Instant, random: Random
) -> Plan[GiveUpResult]:
    """End an open pair: undeliverable, or in doubt until its number is cancelled if it was handed over.

    Raises DeliveryError NOT_FOUND, RECALL_NOT_ORIGINATOR, NOT_AUTHORISED (neither author nor officer),
    INPUT_INVALID (no reason, or the pair has ended).
    """
    need_reason(command.reason)
    user = user_row_of(view, command.actor)
    md = own_bulletin(node, view, command.bulletin, user, now)
    row = view.get(PAIR, md, command.recipient)
    if row is None:
        raise DeliveryError(
            "NOT_FOUND",
            f"the bulletin was not sent to {command.recipient}",
            hint="`intelshare outbox ID` lists the recipients",
        )
    if not row.open:
        raise DeliveryError("INPUT_INVALID", f"the pair has ended: it is {status_of(facts_of(row))}")
    tx = Transaction(node, view, now, random)
    about = f"{md.hex()} for {command.recipient}"
    tx.log(EntryType.OPERATED, Operated(OperatorAct.GIVEN_UP, about, command.reason, command.actor.user))
    stop(tx, [row], Cause.UNDELIVERABLE, (GIVEN_UP,))
    after = tx.get(PAIR, md, command.recipient) or row
    return tx.plan(GiveUpResult(status_of(facts_of(after)), tx.effects()))


def need_reason(reason: str) -> None:
    """Raises DeliveryError INPUT_INVALID without a reason that the log can keep."""
    if not reason.strip() or len(reason) > MAX_REASON:
        raise DeliveryError(
            "INPUT_INVALID",
            f"a reason of 1 to {MAX_REASON} characters is needed: the log keeps it",
            hint="--reason TEXT",
        )
