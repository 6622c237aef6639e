"""Destruction: a received bulletin's keys are destroyed, and only then signed for (crash point c16).

    mark      secrets are overwritten and the row says so, in one commit  never readable again
    (runtime) ``Store.shred``: the overwritten bytes are in no file any more; pieces of files are removed
    finish    receipt DESTROYED with its cause, log entry                 once

It is the same for a recall, for valid-until and for the end of a retention obligation. A crash between the
two steps loses nothing: ``marked`` names what is left, and the runtime shreds again before ``finish``. The
row stays for ever, so that the bulletin cannot come back (promises P4, P10). Of the content only the claims
stay (ids, citations, banner), which together with H(secrets) still prove what was granted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import Final

from intelshare.audit.records import Destroyed, EntryType
from intelshare.broker.kernel.counters import INBOX_COUNTER
from intelshare.broker.kernel.damage import is_there, unless_damaged
from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.frame import rank
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.portion_secrets import destroy_secret
from intelshare.broker.kernel.tables import BULLETIN, INBOX, PORTION, RECALLED, RECEIVED, SECRET, InboxRow
from intelshare.broker.kernel.transaction import ToSay, Transaction, open_secret
from intelshare.broker.lifecycle.attachments import any_due, end_due, end_received, ended, forget
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.records import Claims, Kind, Recall, Receipt, ReceiptStatus
from intelshare.errors import RecordError, StoreError
from intelshare.ids import FilePlace, ManifestDigest
from intelshare.instant import DAY, Instant, after
from intelshare.ports import Plan, Random, View, changed
from intelshare.statement import MAX_LEAVES

CAUSE_RECALLED: Final = "RECALLED"
EXPIRED: Final = "EXPIRED"
RETENTION: Final = "RETENTION"
"""The causes that a DESTROYED receipt carries."""

_RETENTION_WORD: Final = "retention-"

MAX_DUE: Final = 256
"""The most bulletins that one step marks."""

MAX_REASON: Final = 500
"""The most characters of a reason that a person gives, and of a peer's that are shown."""


class Gone(IntEnum):
    """The state of an accepted bulletin's content."""

    NO = 0
    MARKED = 1
    """The keys are overwritten; the receipt is not signed yet."""
    DESTROYED = 2


def due_of(expires: Instant, received: Instant, obligations: Iterable[str]) -> Instant:
    """Return when a bulletin must be destroyed: at valid-until or when the first retention ends.

    An obligation ``retention-30d`` allows the whole bulletin to be kept for 30 days from its acceptance; any
    other word says nothing about time.
    """
    days = [days for word in obligations if (days := _days(word)) is not None]
    return min([expires, *[after(received, n * DAY) for n in days]])


def mark(tx: Transaction, row: InboxRow, cause: str) -> None:
    """Destroy the keys of an accepted bulletin; do nothing if that was done before."""
    if row.gone != Gone.NO:
        return
    tx.count(INBOX_COUNTER, -1, -row.size)
    # A bulletin that this member wrote and got back from somebody is still this member's.
    if not is_there(tx, BULLETIN, row.md):
        for slot in _slots(tx, row):
            destroy_secret(tx, row.md, slot)
            tx.delete(PORTION, row.md, slot)
        end_received(tx, row.md)
    tx.put(INBOX, changed(row, gone=Gone.MARKED, cause=cause, due=tx.now))
    tx.marked = True


def mark_due(tx: Transaction) -> None:
    """Mark the bulletins that are past their valid-until or their retention."""
    for row in tx.view.find(INBOX, "due", Gone.NO, after=(0,), limit=MAX_DUE):
        if row.due <= tx.now:
            mark(tx, row, EXPIRED if row.expires <= tx.now else RETENTION)
    end_due(tx)


def anything_due(view: View, now: Instant) -> bool:
    """Return True if ``mark_due`` has something to do."""
    # Start after 0: NEVER sorts first.
    found = view.find(INBOX, "due", Gone.NO, after=(0,), limit=1)
    return (bool(found) and found[0].due <= now) or any_due(view, now)


@dataclass(frozen=True, slots=True)
class Marked:
    """The bulletins and files to erase: received bulletins not signed for yet, and files that have ended."""

    bulletins: tuple[ManifestDigest, ...] = ()
    files: tuple[FilePlace, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.bulletins or self.files)


def marked(view: View) -> Marked:
    """Return what is marked, at most one batch. Call it before the store is shredded."""
    bulletins = view.find(INBOX, "due", Gone.MARKED, limit=MAX_LEAVES)
    return Marked(tuple([row.md for row in bulletins]), ended(view))


def reason_of(view: View, row: InboxRow) -> str:
    """Return the reason that the originator gave for a recall; empty if it was not recalled."""
    recalled = view.get(RECALLED, row.originator, row.md) if row.cause == CAUSE_RECALLED else None
    statement = view.get(RECEIVED, row.originator, recalled.leaf) if recalled is not None else None
    return decode(Recall, statement.data).reason[:MAX_REASON] if statement is not None else ""


def finish(node: Node, view: View, marked: Marked, now: Instant, random: Random) -> Plan[Effects]:
    """Sign that these are destroyed. Pass only what was marked before the store was shredded."""
    tx = Transaction(node, view, now, random)
    forget(tx, marked.files)
    said = []
    for md in marked.bulletins:
        row = unless_damaged(tx, partial(view.get, INBOX, md))
        if row is None or row.gone != Gone.MARKED:
            continue
        tx.put(INBOX, changed(row, gone=Gone.DESTROYED))
        tx.log(EntryType.DESTROYED, Destroyed(row.sender, md, row.leaf, row.cause))
        receipt = Receipt(row.sender, row.leaf, ReceiptStatus.DESTROYED, (row.cause,), now)
        said.append(ToSay(row.sender, Kind.RECEIPT, encode(Receipt, receipt), rank(row.precedence)))
    tx.say(said)
    return tx.plan(tx.effects())


def _slots(tx: Transaction, row: InboxRow) -> list[int]:
    """Return the slots whose secrets are held."""
    damaged: list[StoreError] = []
    stored = [secret.slot for secret in tx.view.find(SECRET, "key", row.md, damaged=damaged)]
    stored += [int(one.key[1]) for one in damaged if isinstance(one, RecordError) and len(one.key) == 2]
    if stored:
        return stored
    # It came in this same frame: its rows are not in the view yet.
    claims = decode(Claims, open_secret(tx.node, INBOX.name, row.md, 0, row.sealed_claims))
    return [granted.slot for granted in claims.granted]


def _days(word: str) -> int | None:
    if not word.startswith(_RETENTION_WORD):
        return None
    number, unit = word[len(_RETENTION_WORD) : -1], word[-1:]
    known = unit == "d" and number.isascii() and number.isdigit() and len(number) < 7
    return int(number) if known else None
