"""Hearing: after the disk forgot, each member is waited for by itself until it was heard (promises P12, P16).

    begin_hearing   the start of a node that forgot: nobody was heard
    wait_as_well    a bundle has brought something of a member that is waited for
    heard           members over whose link everything has come: what they sent can be read again

What was destroyed since the disk remembers may be readable on it: only its originator knows. So what a member
sent before waits until a link to it was open long enough for its recalls to come; what others sent can be
read. What a bundle brings meanwhile waits too: it may be older than its recall. As long as a member was not
heard it is also asked for what it received (``line.hand_back``), once for each link and after each restart.
An operator may let users read earlier (``operator_acts.allow_reading``).

The disk may have forgotten a member too, or all of them (a member that is founded again). So who is admitted
after a loss, however late, is waited for and asked like the others (``kernel.documents.admit``).
"""

from __future__ import annotations

from collections.abc import Sequence

from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.tables import INBOX, UNHEARD, UNKNOWN, InboxRow, UnheardRow
from intelshare.broker.kernel.transaction import Transaction
from intelshare.ids import MemberCode
from intelshare.instant import Instant
from intelshare.ports import EVERY_ROW, Plan, Random, View, changed


def begin_hearing(node: Node, view: View, since: Instant, now: Instant, random: Random) -> Plan[Instant]:
    """Wait for every other member, and for those that are admitted later. ``since``: up to when the disk
    remembers.

    Return that instant, or an earlier one that the disk still waits for: a start that ended before it had
    signed its directory has moved what the disk remembers, and the next one must be above the same versions.
    What came while the clock was ahead waits too, although the present time has not reached it yet.
    """
    tx = Transaction(node, view, now, random)
    newest = view.find(INBOX, "newest", limit=1)
    until = max([now, *(row.received for row in newest)])
    earliest = since
    unknown = view.get(UNHEARD, UNKNOWN)
    first = min(since, unknown.since) if unknown is not None else since
    tx.put(UNHEARD, UnheardRow(UNKNOWN, first, until, 1))
    for member in sorted(set(node.trust.members) - {node.member}):
        before = view.get(UNHEARD, member)
        first = min(since, before.since) if before is not None else since
        earliest = min(earliest, first)
        tx.put(UNHEARD, UnheardRow(member, first, until, 0))
    return tx.plan(earliest)


def unheard(view: View) -> list[UnheardRow]:
    """Return the members that are waited for, of those that are known."""
    return [row for row in view.find(UNHEARD, "key", limit=EVERY_ROW) if row.member != UNKNOWN]


def wait_as_well(tx: Transaction, member: MemberCode) -> None:
    """Let what has come until now wait too, if the member is waited for."""
    row = tx.get(UNHEARD, member)
    if row is not None:
        tx.put(UNHEARD, changed(row, until=max(row.until, tx.now)))


def heard(node: Node, view: View, members: Sequence[MemberCode], now: Instant, random: Random) -> Plan[int]:
    """Wait for these members no longer; return for how many it did."""
    tx = Transaction(node, view, now, random)
    waited = [member for member in members if view.get(UNHEARD, member) is not None]
    for member in waited:
        tx.delete(UNHEARD, member)
    return tx.plan(len(waited))


def reading_waits(view: View, row: InboxRow) -> bool:
    """Return true if a received bulletin waits until its sender was heard."""
    waits = view.get(UNHEARD, row.sender)
    return waits is not None and not waits.allowed and row.received <= waits.until
