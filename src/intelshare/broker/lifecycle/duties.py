"""Duties: obligations that require somebody to act, until when, and who reported them as done.

``retention-30d`` needs nobody (``destroy``). ``report-use-30d``, ``report-to-committee`` and every other
obligation to report is up to the reader: it is listed with its date until somebody reports that it is met.
Obligations that only forbid (``no-onward-release``) require nothing to be done.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from intelshare.audit.records import DutyDone, EntryType
from intelshare.broker.kernel.actor import Actor, user_row_of
from intelshare.broker.kernel.damage import damaged_records, noting_damage
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.stored_bulletins import only_one
from intelshare.broker.kernel.tables import DUTY, INBOX, DutyRow, InboxRow, UserRow
from intelshare.broker.kernel.transaction import Transaction
from intelshare.broker.lifecycle.read import Shown, received, show
from intelshare.errors import DeliveryError, StoreError
from intelshare.ids import ManifestDigest, UserUri
from intelshare.instant import DAY, NEVER, Instant, after
from intelshare.ports import Plan, Random, View, changed

REPORTING = "report-"
"""The prefix of obligations to report."""

MAX_DAYS = 36_500

MAX_LISTED = 1000

MAX_DUTIES = 32
"""The most duties of one bulletin."""
MAX_WORD = 128
"""The most characters of a duty: a longer obligation is shown with the bulletin, but is not a duty."""


@dataclass(frozen=True, slots=True)
class MeetDutyCommand:
    """A user reports that an obligation is met."""

    actor: Actor
    bulletin: str
    obligation: str
    originator: str = ""
    """The member that wrote the bulletin; empty: any, if only one has a bulletin with that id."""


@dataclass(frozen=True, slots=True)
class DutyLine:
    """A duty as it is listed."""

    row: DutyRow
    inbox: InboxRow
    title: str


def note_duties(tx: Transaction, md: ManifestDigest, obligations: Collection[str]) -> None:
    """Store the duties that an accepted bulletin brings."""
    words = [word for word in sorted(obligations) if word.startswith(REPORTING) and len(word) <= MAX_WORD]
    for word in words[:MAX_DUTIES]:
        tx.put(DUTY, DutyRow(md, word, due_of_duty(word, tx.now), Instant(0), UserUri("")))


def due_of_duty(word: str, now: Instant) -> Instant:
    """Return when a duty is due. ``report-use-30d``: 30 days from now; without a number of days: NEVER."""
    number = word.rpartition("-")[2]
    days = number.removesuffix("d")
    if number.endswith("d") and days.isascii() and days.isdigit() and int(days[:6]) <= MAX_DAYS:
        return after(now, int(days[:6]) * DAY)
    return NEVER


def duties(
    node: Node, view: View, actor: Actor, done: bool, now: Instant
) -> tuple[list[DutyLine], tuple[str, ...]]:
    """Return duties of bulletins that the user may see, by due date: the open ones or, if ``done``, all.

    Also returns the damaged records that were met: a duty with one is left out (promise P13).
    """
    reader = user_row_of(view, actor)
    damaged: list[StoreError] = []
    rows = view.find(DUTY, "due", *(() if done else (0,)), limit=MAX_LISTED, damaged=damaged)
    lines = _lines(node, view, reader, rows, now, damaged)
    return sorted(lines, key=lambda line: (line.row.done, line.row.due)), damaged_records(damaged)


def _lines(
    node: Node,
    view: View,
    reader: UserRow,
    rows: Iterable[DutyRow],
    now: Instant,
    damaged: list[StoreError],
) -> list[DutyLine]:
    opened: dict[ManifestDigest, Shown | None] = {}
    lines = []
    for row in rows:
        if row.md not in opened:
            opened[row.md] = None
            with noting_damage(damaged):
                inbox = view.get(INBOX, row.md)
                opened[row.md] = show(node, view, inbox, reader, now) if inbox is not None else None
        shown = opened[row.md]
        if shown is not None:
            lines.append(DutyLine(row, shown.row, shown.title))
    return lines


def meet_duty(
    node: Node, view: View, command: MeetDutyCommand, now: Instant, random: Random
) -> Plan[DutyLine]:
    """Record that a duty is met; the log says by whom. Raises DeliveryError NOT_FOUND, INPUT_INVALID."""
    reader = user_row_of(view, command.actor)
    found = [
        (member, DutyLine(row, shown.row, shown.title))
        for member, shown in received(node, view, command.bulletin, reader, now, command.originator)
        if (row := view.get(DUTY, shown.row.md, command.obligation)) is not None
    ]
    if not found:
        raise DeliveryError(
            "NOT_FOUND",
            f"there is no obligation {command.obligation} for a bulletin {command.bulletin}",
            hint="`intelshare obligations list` shows the obligations",
        )
    line = only_one(found, command.bulletin, command.originator)
    row = line.row
    if row.done:
        return Plan((), line)
    tx = Transaction(node, view, now, random)
    after = changed(row, done=now, user=command.actor.user)
    tx.put(DUTY, after)
    tx.log(EntryType.DUTY, DutyDone(row.md, row.obligation, command.actor.user))
    return tx.plan(replace(line, row=after))


def overdue_duties(node: Node, view: View, actor: Actor, now: Instant) -> tuple[int, tuple[str, ...]]:
    """Count the overdue duties among those that the user may see.

    Also returns the damaged records that were met: a duty with one is not counted.
    """
    reader = user_row_of(view, actor)
    damaged: list[StoreError] = []
    # Start after 0: NEVER sorts first.
    rows = view.find(DUTY, "due", 0, after=(0,), limit=MAX_LISTED, damaged=damaged)
    late = [row for row in rows if row.due <= now]
    return len(_lines(node, view, reader, late, now, damaged)), damaged_records(damaged)
