"""I11: the two tables of docs/promises.md, written down a second time and checked against every commit.

``EVENTS`` and ``WORDS`` are about pairs at the sender; the rules for a recipient's statements are below them.
Each row that is taken is counted, so that a run of seeds can say which were not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from intelshare.broker.kernel.pair_rows import facts_of
from intelshare.broker.kernel.tables import (
    INBOX,
    PAIR,
    RECALLED,
    RECEIPT,
    RECEIVED,
    RELATED,
    InboxRow,
    PairRow,
)
from intelshare.broker.lifecycle.destroy import Gone
from intelshare.broker.line.receive import ReceiveResult
from intelshare.crypto.codec import decode
from intelshare.crypto.records import Receipt
from intelshare.delivery import BestReceipt, Cause, Stage, status_of
from intelshare.ids import MemberCode
from intelshare.ports import Delete, Plan, Put, View
from intelshare.sim.heap import Violation

QUEUED, HELD, HANDED_OVER, CANCELLED = Stage


class Facts(NamedTuple):
    """The stored facts of a pair's state."""

    stage: Stage
    cause: Cause
    receipt: BestReceipt
    conflict: bool


def _facts(row: PairRow) -> Facts:
    return Facts(Stage(row.stage), Cause(row.cause), BestReceipt(row.receipt), bool(row.conflict))


def _fresh(stage: Stage, cause: Cause = Cause.NONE) -> Facts:
    return Facts(stage, cause, BestReceipt.NONE, False)


def _stopped(cause: Cause) -> Callable[[Facts, Facts], bool]:
    return lambda old, new: (
        old.receipt is BestReceipt.NONE and old.cause is Cause.NONE and new == old._replace(cause=cause)
    )


LATE_RECEIPT = "receipt of a number before"
"""An answer about the number under which a pair had gone before it was queued again: it waits no more."""

RETURNED = "returned"
"""A release came back from its recipient: the disk was put back to where the pair waited."""

_RARE = frozenset((LATE_RECEIPT, RETURNED))
"""The events that not every thousand seeds take."""

_MAY_GO = frozenset((BestReceipt.NONE, BestReceipt.ACCEPTED, BestReceipt.READ))
"""The receipts after which a pair may be handed over: those of another number, if there are any."""

EVENTS: tuple[tuple[str, frozenset[str], Callable[[Facts, Facts], bool]], ...] = (
    ("approved", frozenset(("approve",)), lambda old, new: (old, new) == (_fresh(HELD), _fresh(QUEUED))),
    ("held", frozenset(("handover",)), lambda old, new: (old, new) == (_fresh(QUEUED), _fresh(HELD))),
    (
        "handed over",
        frozenset(("handover",)),
        lambda old, new: (
            (old.stage, old.cause) == (QUEUED, Cause.NONE)
            and old.receipt in _MAY_GO
            and new == old._replace(stage=HANDED_OVER)
        ),
    ),
    ("withheld", frozenset(("handover", "review", "receive")), _stopped(Cause.WITHHELD)),
    ("expired", frozenset(("handover", "expire")), _stopped(Cause.EXPIRED)),
    (
        "undeliverable",
        frozenset(("review", "give_up", "drop", "answer_gap", "answer_gap_late")),
        _stopped(Cause.UNDELIVERABLE),
    ),
    (
        "hold refused",
        frozenset(("refuse",)),
        lambda old, new: (old, new) == (_fresh(HELD), _fresh(HELD, Cause.HOLD_REFUSED)),
    ),
    (
        "recalled",
        frozenset(("recall", "receive")),
        lambda old, new: (
            (old.cause is Cause.NONE or (old.stage >= HANDED_OVER and old.cause is not Cause.RECALLED))
            and new == old._replace(cause=Cause.RECALLED)
        ),
    ),
    (
        "number cancelled",
        frozenset(("acknowledge", "receive")),
        lambda old, new: (
            old.stage is HANDED_OVER and old.cause is not Cause.NONE and new == old._replace(stage=CANCELLED)
        ),
    ),
    (
        "receipt",
        frozenset(("receive",)),
        lambda old, new: (
            (old.stage, old.cause) == (new.stage, new.cause)
            and old.stage >= HANDED_OVER
            and (new.receipt > old.receipt or (new.receipt is old.receipt and new.conflict > old.conflict))
        ),
    ),
    (
        LATE_RECEIPT,
        frozenset(("receive",)),
        lambda old, new: (
            old.stage in (QUEUED, HELD)
            and new == old._replace(stage=HANDED_OVER, receipt=new.receipt, conflict=new.conflict)
            and new.receipt >= old.receipt
            and new.receipt is not BestReceipt.NONE
            and new.conflict >= old.conflict
        ),
    ),
    (
        RETURNED,
        frozenset(("receive",)),
        lambda old, new: (
            old.stage in (QUEUED, HELD)
            and new in (handed := old._replace(stage=HANDED_OVER), handed._replace(cause=Cause.RECALLED))
        ),
    ),
    (
        "queued again",
        frozenset(("receive", "answer_gap", "answer_gap_late")),
        lambda old, new: (
            old.stage >= HANDED_OVER
            and old.receipt in _MAY_GO
            and new
            in (
                (again := old._replace(stage=QUEUED)),
                again._replace(receipt=BestReceipt.NONE, conflict=False),
            )
        ),
    ),
    (
        "signed anew",
        frozenset(("sign_anew",)),
        lambda old, new: (old, new) == (_fresh(HANDED_OVER), _fresh(QUEUED)),
    ),
    (
        "consented",
        frozenset(("receive",)),
        lambda old, new: (
            old.stage in (QUEUED, HELD) and old.cause is Cause.WITHHELD and new == _fresh(QUEUED)
        ),
    ),
)
"""The events: name, the steps that may cause it, and a test of the facts before and after."""

_NEW = (_fresh(QUEUED), _fresh(HELD), _fresh(QUEUED, Cause.WITHHELD))
_KNOWN_AGAIN = (_fresh(HANDED_OVER), _fresh(HANDED_OVER, Cause.RECALLED))
"""The states of a pair that comes back from its recipient: a recall may not have known of it."""
_NEW_BY = frozenset(("submit", "ask", "backfill"))

WORDS: tuple[tuple[str, Callable[[Facts], bool]], ...] = (
    ("destroyed", lambda f: f.receipt is BestReceipt.DESTROYED),
    ("read", lambda f: f.receipt is BestReceipt.READ),
    ("accepted", lambda f: f.receipt is BestReceipt.ACCEPTED),
    ("refused", lambda f: f.receipt is BestReceipt.REFUSED),
    *(
        (
            "withheld" if cause is Cause.HOLD_REFUSED else cause.name.lower(),
            lambda f, c=cause: f.stage in (QUEUED, HELD) and f.cause is c,
        )
        for cause in Cause
        if cause is not Cause.NONE
    ),
    ("held", lambda f: f.stage is HELD and f.cause is Cause.NONE),
    ("queued", lambda f: f.stage is QUEUED and f.cause is Cause.NONE),
    ("sent", lambda f: f.stage is HANDED_OVER and f.cause is Cause.NONE),
    ("in doubt", lambda f: f.stage is HANDED_OVER and f.cause is not Cause.NONE),
    *(
        (cause.name.lower(), lambda f, c=cause: f.stage is CANCELLED and f.cause is c)
        for cause in Cause
        if cause not in (Cause.NONE, Cause.HOLD_REFUSED)
    ),
)
"""The status words with their conditions; the first that fits counts."""


def rows() -> list[str]:
    """Return the names of all rows that a run of seeds must take."""
    words = [f"word {place}: {name}" for place, (name, _) in enumerate(WORDS)]
    states = ("rejected", "known", "refused", "accepted", "read", "superseded")
    destroyed = [f"destroyed {cause}" for cause in ("RECALLED", "EXPIRED", "RETENTION")]
    return [
        "event submitted",
        *(f"event {name}" for name, _, _ in EVENTS if name not in _RARE),
        *words,
        *(f"receiver {name}" for name in (*states, *destroyed)),
    ]


def check(name: str, view: View, plan: Plan[Any], me: str, taken: Counter[str]) -> None:
    """Check a step's plan against the tables. Raises Violation I11, I8."""
    for write in plan.writes:
        if write.table is PAIR:
            if isinstance(write, Delete):
                raise Violation("I11", f"{me} deletes a pair")
            before = view.get(PAIR, write.row.md, write.row.recipient)
            _check_pair(name, before, write.row, me, taken)
            if before is not None and write.row.receipt < before.receipt and not _answers(view, before):
                raise Violation("I11", f"{me}: {name} loses what was accepted under another number")
        elif write.table is INBOX:
            if isinstance(write, Delete):
                if name not in ("forget_received", "mend"):
                    raise Violation("I11", f"{me} deletes a received bulletin")
                continue
            _check_inbox(view, plan, write.row, me, taken)
        elif write.table is RECEIVED and isinstance(write, Put) and write.row.code:
            if view.get(RECEIVED, write.row.member, write.row.leaf) is None:
                taken["receiver refused"] += 1
        elif write.table is RELATED and isinstance(write, Put) and view.get(INBOX, write.row.of) is not None:
            taken["receiver superseded"] += write.row.relation == 1
    if isinstance(plan.answer, ReceiveResult):
        for ack in plan.answer.acks:
            taken["receiver rejected"] += bool(ack.code)
    if name == "read":
        taken["receiver read"] += 1


def known(view: View, member: MemberCode, answer: ReceiveResult, taken: Counter[str]) -> None:
    """Count the statements of a frame that were already known."""
    for ack in answer.acks:
        if not ack.code and view.get(RECEIVED, member, ack.digest) is not None:
            taken["receiver known"] += 1


def _check_pair(name: str, before: PairRow | None, row: PairRow, me: str, taken: Counter[str]) -> None:
    new = _facts(row)
    if before is None:
        known_again = name == "receive" and new in _KNOWN_AGAIN
        if not known_again and (name not in _NEW_BY or new not in _NEW):
            raise Violation("I11", f"{me}: {name} makes a pair that is {new}")
        taken["event submitted"] += 1
    elif (old := _facts(before)) != new:
        event = next((e for e, steps, fits in EVENTS if name in steps and fits(old, new)), None)
        # An answer needs a number that it is about; and what has one does not come back under another.
        # Whoever had it is told of a recall that nobody could read, once the bulletin has come back.
        # What goes again although it was accepted may go no more instead.
        amiss = (
            (event == LATE_RECEIPT and not before.leaf)
            or (event == RETURNED and before.leaf)
            or (event == "recalled" and name == "receive" and not before.leaf)
            or (event == "handed over" and before.leaf == row.leaf and old.receipt is BestReceipt.NONE)
        )
        if event is None or amiss:
            raise Violation("I11", f"{me}: {name} makes {new} of {old}")
        taken[f"event {event}"] += 1
    place = next((place for place, (_, fits) in enumerate(WORDS) if fits(new)), None)
    if place is None or WORDS[place][0] != status_of(facts_of(row)):
        raise Violation("I11", f"{me} shows {status_of(facts_of(row))} for {new}")
    taken[f"word {place}: {WORDS[place][0]}"] += 1


def _answers(view: View, row: PairRow) -> bool:
    """Return True if a receipt answers the number under which a pair was handed over last."""
    kept = [
        view.get(RECEIVED, one.member, one.leaf) for one in view.find(RECEIPT, "key", row.md, row.recipient)
    ]
    return any(one is not None and decode(Receipt, one.data).leaf == row.leaf for one in kept)


def _check_inbox(view: View, plan: Plan[Any], row: InboxRow, me: str, taken: Counter[str]) -> None:
    old = view.get(INBOX, row.md)
    if old is None:
        recall = view.get(RECALLED, row.originator, row.md)
        if recall is not None:
            raise Violation("I11", f"{me} accepts a bulletin that was recalled before it came")
        taken["receiver accepted"] += 1
        # A recall in the same frame may already mark it.
        return
    if (old.gone, row.gone) not in (
        (Gone.NO, Gone.NO),
        (Gone.NO, Gone.MARKED),
        (Gone.MARKED, Gone.MARKED),
        (Gone.MARKED, Gone.DESTROYED),
        (Gone.DESTROYED, Gone.DESTROYED),
    ):
        raise Violation("I8", f"{me}: a destroyed bulletin comes back")
    if old.gone is not row.gone and row.gone == Gone.DESTROYED:
        taken[f"receiver destroyed {row.cause}"] += 1
    del plan
