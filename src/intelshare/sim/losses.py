"""Losses: a start notices what its disk has lost, and nobody reads then what was destroyed (P12)."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from intelshare.broker.kernel.tables import BULLETIN, INBOX, LOG_HEAD, InboxRow
from intelshare.broker.lifecycle.destroy import Gone
from intelshare.ids import ManifestDigest, MemberCode
from intelshare.instant import Instant
from intelshare.sim.heap import Violation

if TYPE_CHECKING:
    from intelshare.sim.machine import Machine
    from intelshare.sim.oracle import Oracle
    from intelshare.sim.process import Process


def check_noticed(machine: Machine) -> None:
    """I6: check that a start which notices no loss has all of the log that the sidecar remembers."""
    if _remembers_more(machine):
        raise Violation("I6", f"{machine.name} starts as if its disk had forgotten nothing")


def excuse_unnoticed(oracle: Oracle, machine: Machine) -> None:
    """Excuse what nobody but the peers can notice: a destruction so late that the sidecar did not remember
    it yet. The peer recalls again once there is a link.
    """
    if not _remembers_more(machine):
        view = machine.disk.view

        def is_gone(md: ManifestDigest) -> bool:
            row = view.get(INBOX, md)
            return row is None or row.gone != Gone.NO

        oracle.gone[machine.name] = {md for md in oracle.gone[machine.name] if is_gone(md)}


def is_shown(row: InboxRow, now: Instant) -> bool:
    """Return True if a received bulletin can be read, unless its sender must be heard first."""
    return row.gone == Gone.NO and now < row.due


def nobody_knows(machine: Machine, row: InboxRow) -> bool:
    """Return True if the sender of a received bulletin has forgotten its recall as well."""
    sender = machine.others[row.sender]
    written = sender.disk.view.get(BULLETIN, row.md)
    return bool(sender.forgets) and (written is None or not written.recalled)


def check_heard(oracle: Oracle, process: Process, members: Collection[MemberCode], now: Instant) -> None:
    """I8: check that a member is heard only when nothing of it is readable that had been destroyed, unless it
    has forgotten its recalls, or is hostile and may keep them back.
    """
    for md in oracle.gone[process.name]:
        row = process.view.get(INBOX, md)
        if row is None or row.sender not in members:
            continue
        sender = process.machine.others[row.sender]
        if sender.forgets or sender.hostile is not None:
            continue
        if is_shown(row, now):
            raise Violation("I8", f"{process.name} has heard {row.sender}, and shows what it had recalled")


def _remembers_more(machine: Machine) -> bool:
    remembered = machine.sidecar
    if remembered is None or not remembered.incarnation:
        return False
    head = machine.disk.view.get(LOG_HEAD, remembered.incarnation)
    return (head.size if head is not None else 0) < remembered.size
