"""A pair (bulletin, recipient): its facts, the events that change them, and the one status that is shown.

This is the table of docs/promises.md, "States of a pair", as data. Facts only ever move forward: a stop cause
is set once (a recall replaces it after hand-over), receipts are joined, a number is never given back.

An answered pair is not queued, with one exception: it goes again if its recipient asks for a number that it
has never answered, because nobody can tell whether it still has what it accepted under another. What was
accepted stays accepted meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Stage(IntEnum):
    """The progress of the sender."""

    QUEUED = 0
    HELD = 1
    """Queued, with a ``hold`` that a releasing officer has not closed."""
    HANDED_OVER = 2
    CANCELLED = 3
    """Handed over, and its number cancelled for ever."""


class Cause(IntEnum):
    """The reason why the sender stopped."""

    NONE = 0
    WITHHELD = 1
    EXPIRED = 2
    RECALLED = 3
    UNDELIVERABLE = 4
    HOLD_REFUSED = 5
    """A releasing officer refused what was held: for good, whatever is decided later."""


class BestReceipt(IntEnum):
    """The strongest signed receipt of the recipient, in the order of the join."""

    NONE = 0
    REFUSED = 1
    ACCEPTED = 2
    READ = 3
    DESTROYED = 4


@dataclass(frozen=True, slots=True)
class Facts:
    """The stored state of a pair. ``conflict``: both ACCEPTED and REFUSED were signed."""

    stage: Stage
    cause: Cause = Cause.NONE
    receipt: BestReceipt = BestReceipt.NONE
    conflict: bool = False


REQUEUING = frozenset(("KEM_KEY_RETIRED", "KEM_KEY_UNKNOWN"))
"""The codes of a refusal after which the pair is decided and sealed again: the recipient lost the key."""

CANCELLING = frozenset(("VOIDED",))
"""The codes of a refusal that only confirms a cancellation; one that the disk lost is made again."""


class PairStatus(StrEnum):
    """The one word that people are shown for a pair."""

    QUEUED = "queued"
    HELD = "held"
    SENT = "sent"
    IN_DOUBT = "in doubt"
    WITHHELD = "withheld"
    EXPIRED = "expired"
    RECALLED = "recalled"
    UNDELIVERABLE = "undeliverable"
    REFUSED = "refused"
    ACCEPTED = "accepted"
    READ = "read"
    DESTROYED = "destroyed"


_STOPPED = {
    Cause.WITHHELD: PairStatus.WITHHELD,
    Cause.EXPIRED: PairStatus.EXPIRED,
    Cause.RECALLED: PairStatus.RECALLED,
    Cause.UNDELIVERABLE: PairStatus.UNDELIVERABLE,
    Cause.HOLD_REFUSED: PairStatus.WITHHELD,
}

_ANSWERED = {
    BestReceipt.DESTROYED: PairStatus.DESTROYED,
    BestReceipt.READ: PairStatus.READ,
    BestReceipt.ACCEPTED: PairStatus.ACCEPTED,
    BestReceipt.REFUSED: PairStatus.REFUSED,
}

_ON_THE_WAY = {
    Stage.QUEUED: (PairStatus.QUEUED, None),
    Stage.HELD: (PairStatus.HELD, None),
    Stage.HANDED_OVER: (PairStatus.SENT, PairStatus.IN_DOUBT),
    Stage.CANCELLED: (PairStatus.SENT, None),
}
"""Stage -> (status without a stop cause, status with one; None: the status of the cause itself)."""


def status_of(facts: Facts) -> PairStatus:
    """Return the status in the first fitting row of docs/promises.md, "States of a pair"."""
    if facts.receipt is not BestReceipt.NONE:
        return _ANSWERED[facts.receipt]
    plain, stopped = _ON_THE_WAY[facts.stage]
    if facts.cause is Cause.NONE:
        return plain
    return stopped or _STOPPED[facts.cause]


def recall_requested(facts: Facts) -> bool:
    """Return True if the recipient has it and was asked to destroy it: shown beside the status."""
    return facts.cause is Cause.RECALLED and facts.receipt in (BestReceipt.ACCEPTED, BestReceipt.READ)


def approve(facts: Facts) -> Facts:
    """Note that a releasing officer closed the hold. Changes nothing unless the pair is held."""
    return _at(Stage.QUEUED, facts) if facts.stage is Stage.HELD else facts


def hold(facts: Facts) -> Facts:
    """Let a pair wait for a person: its decision left a hold open, or a record of it is damaged. What was
    accepted goes no more, instead.
    """
    if facts.receipt is not BestReceipt.NONE:
        return _gone(facts)
    return _at(Stage.HELD, facts) if facts.stage is Stage.QUEUED else facts


def consented(facts: Facts) -> Facts:
    """Queue a pair again that was withheld before it left and got a consent: it is decided again."""
    if facts.stage in (Stage.QUEUED, Stage.HELD) and facts.cause is Cause.WITHHELD:
        return Facts(Stage.QUEUED)
    return facts


def hand_over(facts: Facts) -> Facts:
    """Note that the pair was numbered, sealed and recorded."""
    return _at(Stage.HANDED_OVER, facts)


def stop(facts: Facts, cause: Cause) -> Facts:
    """Set the cause of denial, expiry, recall or giving up, once. After hand-over a recall replaces the
    others, and once there is a receipt only a recall is still noted; what waited to go again goes no more.
    """
    if facts.receipt is not BestReceipt.NONE and cause is not Cause.RECALLED:
        return _gone(facts)
    replaces = cause is Cause.RECALLED and facts.stage >= Stage.HANDED_OVER
    if facts.cause is not Cause.NONE and not replaces:
        return facts
    return Facts(facts.stage, cause, facts.receipt, facts.conflict)


def take_back(facts: Facts) -> Facts:
    """Queue an unanswered pair whose signature no longer counts: it is handed over again."""
    open_ = facts.cause is Cause.NONE and facts.receipt is BestReceipt.NONE
    return _at(Stage.QUEUED, facts) if open_ and facts.stage is Stage.HANDED_OVER else facts


def forgotten(facts: Facts, *, elsewhere: bool = False) -> Facts:
    """Queue a pair again whose recipient asks for it, and accepts no more what was signed for it.

    ``elsewhere``: all its receipts answer other numbers than the one that it asks for. Otherwise it has lost
    what it had signed for.
    """
    has = facts.receipt in (BestReceipt.NONE, BestReceipt.ACCEPTED, BestReceipt.READ)
    goes = facts.cause is Cause.NONE and facts.stage is Stage.HANDED_OVER and has
    if not goes:
        return facts
    return _at(Stage.QUEUED, facts) if elsewhere else Facts(Stage.QUEUED)


def cancelled(facts: Facts) -> Facts:
    """Note that the recipient acknowledged that the number is void."""
    return _at(Stage.CANCELLED, facts) if facts.stage is Stage.HANDED_OVER else facts


def receive(facts: Facts, receipt: BestReceipt, codes: tuple[str, ...], *, elsewhere: bool = False) -> Facts:
    """Join a signed receipt: a recipient's statement beats the sender's guess, in whatever order.

    ``elsewhere``: all earlier receipts answer other numbers than this one. A pair that was queued again had
    gone, as any answer says.
    """
    forgotten = facts.cause is Cause.NONE and CANCELLING.intersection(codes)
    if receipt is BestReceipt.REFUSED and CANCELLING.intersection(codes) and not forgotten:
        return cancelled(facts)
    if receipt is BestReceipt.REFUSED and (forgotten or REQUEUING.intersection(codes)):
        # An earlier acceptance of this number was lost with the key: the recipient's disk was restored from
        # a backup.
        lost = facts.receipt in (BestReceipt.ACCEPTED, BestReceipt.READ) and not forgotten
        if lost and facts.stage is Stage.HANDED_OVER:
            return _at(Stage.QUEUED, facts) if elsewhere else Facts(Stage.QUEUED, facts.cause)
        goes = facts.receipt is BestReceipt.NONE and facts.stage >= Stage.HANDED_OVER
        return _at(Stage.QUEUED, facts) if goes else facts
    pair = {facts.receipt, receipt}
    contradicts = BestReceipt.REFUSED in pair and max(pair) >= BestReceipt.ACCEPTED
    if contradicts and elsewhere and not facts.conflict:
        # Whoever has it under an earlier number may refuse the later one: that is no contradiction.
        if receipt is BestReceipt.REFUSED:
            return facts
        contradicts = False
    return _gone(Facts(facts.stage, facts.cause, max(facts.receipt, receipt), facts.conflict or contradicts))


def _gone(facts: Facts) -> Facts:
    """It was handed over before, and waits for that no more."""
    return _at(Stage.HANDED_OVER, facts) if facts.stage in (Stage.QUEUED, Stage.HELD) else facts


def _at(stage: Stage, facts: Facts) -> Facts:
    return Facts(stage, facts.cause, facts.receipt, facts.conflict)
