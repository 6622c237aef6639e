"""The things left to do anywhere once faults are over: the end of a run waits until there are none, and
``ending`` checks what came of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeVar

from intelshare.broker.kernel.tables import (
    ACT,
    BULLETIN,
    CHECKPOINT,
    EVIDENCE,
    FILE,
    INBOX,
    INCOMING,
    PAIR,
    PENDING,
    PORTION,
    STATEMENT,
    UNHEARD,
    EvidenceRow,
    FileRow,
    PairRow,
)
from intelshare.broker.kernel.transaction import Transaction
from intelshare.broker.lifecycle.attachments import FileState
from intelshare.broker.lifecycle.destroy import Gone
from intelshare.broker.lifecycle.review import denial
from intelshare.broker.lifecycle.streams import missing
from intelshare.broker.transparency.evidence import CONTRADICTIONS
from intelshare.broker.transparency.known_checkpoints import UNPROVED
from intelshare.broker.treaty.act import ActState
from intelshare.crypto.codec import decode
from intelshare.crypto.records import Kind, Receipt
from intelshare.delivery import Stage
from intelshare.ids import ManifestDigest, MemberCode
from intelshare.instant import SECOND
from intelshare.ports import EVERY_ROW, Row, Table, View
from intelshare.sim.oracle import Oracle

if TYPE_CHECKING:
    from intelshare.sim.machine import Machine

R = TypeVar("R", bound=Row)
Machines = Mapping[str, "Machine"]

FRESH = 10 * SECOND
"""The age below which a checkpoint may still be on its way: nodes sign one after another, for ever."""


def quiet(oracle: Oracle, machines: Machines) -> bool:
    """Return True if nothing is left to do anywhere, every lost log entry has been reported, and every
    witness has shown what it was shown.
    """
    return not any(
        machine.disk.unsynced
        or any(machine.disk.view.count(PAIR, "ready", peer, 1) for peer in partners(machine, machines))
        or any(_unanswered(machine, machines))
        or machine.disk.view.count(INBOX, "due", Gone.MARKED)
        or _files_move(oracle, machine, machines)
        or any(machine.disk.view.get(UNHEARD, peer) for peer in partners(machine, machines))
        or _unproved(machine, machines)
        or any(_lacks(machine, other) for other in partners(machine, machines).values())
        or _pending(machine, machines)
        or without_acts(machine, machines)
        or unshown(oracle, machine, machines)
        or any(accusations(machine, machines))
        for machine in honest(machines).values()
    )


def honest(machines: Machines) -> Machines:
    """Return the machines about which anything is promised."""
    return {name: machine for name, machine in machines.items() if machine.hostile is None}


def partners(machine: Machine, machines: Machines) -> Machines:
    """Return the machines to which this one has promised something, itself included."""
    return {name: other for name, other in machines.items() if machine.deals(other)}


def _unanswered(machine: Machine, machines: Machines) -> Iterator[PairRow]:
    """Yield the pairs that are still sent: a receipt ends them, or the next look at what may no longer go."""
    for row in machine.disk.view.find(PAIR, "due", 1, limit=EVERY_ROW):
        if row.stage == Stage.HANDED_OVER and machine.deals(machines[row.recipient]):
            yield row


def _files_move(oracle: Oracle, machine: Machine, machines: Machines) -> bool:
    """Return True if pieces are to be removed, or are to come from a sender that may and can still send
    them.
    """
    view = machine.disk.view
    return any(
        row.state == FileState.GONE
        or (
            row.state == FileState.WANTED
            and machine.deals(machines[row.member])
            and not _purged_since(machines[row.member], row)
            and _gives(oracle, machines[row.member], row, machine.name)
        )
        for row in all_rows(view, FILE)
    )


def _purged_since(sender: Machine, row: FileRow) -> bool:
    """Return True if a file had arrived whole, its disk lost a piece, and its sender has purged it meanwhile:
    delivered content goes after its grace (P16). A file that never was whole is not to be purged.
    """
    portion = sender.disk.view.get(PORTION, row.md, row.slot)
    return bool(row.again and portion is not None and portion.purged)


def _gives(oracle: Oracle, sender: Machine, row: FileRow, recipient: str) -> bool:
    view = sender.disk.view
    pair, written = view.get(PAIR, row.md, MemberCode(recipient)), view.get(BULLETIN, row.md)
    if sender.forgets or pair is None or written is None or written.recalled or pair.cause:
        return False
    said = view.get(STATEMENT, pair.leaf)
    return said is not None and not oracle.rulings.refusals(
        sender.name, view, view, row.md, said.slots, sender.name, recipient, sender.now(),
        approvals=frozenset(pair.approved.split()), holds=False,
    )  # fmt: skip


def accusations(machine: Machine, machines: Machines) -> Iterator[EvidenceRow]:
    """Yield what a node holds against honest ones, besides what their disks forgot. That somebody was shown
    another log is a witness's claim until it has shown the checkpoint.
    """
    for row in all_rows(machine.disk.view, EVIDENCE):
        if row.member in machines and machines[row.member].hostile is not None:
            continue
        known = row.member in machines and machines[row.member].forgets
        if row.shelf == CONTRADICTIONS and not (known and row.code in ("LOG_FORGOT", "SEQUENCE_FORK")):
            yield row


def unshown(oracle: Oracle, machine: Machine, machines: Machines) -> list[str]:
    """Return the members whose lost log entries this node had acknowledged without raising an alarm."""
    if machine.forgets:
        return []
    shown = {row.member for row in all_rows(machine.disk.view, EVIDENCE) if row.code == "LOG_FORGOT"}
    return [
        member
        for witness, member in oracle.forgotten
        if witness == machine.name and member not in shown and machine.deals(machines[member])
    ]


def _pending(machine: Machine, machines: Machines) -> int:
    """Count unacknowledged statements, except checkpoints that were signed just now, and receipts that a
    sender with a restored disk can no longer place.
    """
    view, left = machine.disk.view, 0
    for row in all_rows(view, PENDING):
        statement = view.get(STATEMENT, row.leaf)
        assert statement is not None  # noqa: S101 - stored together
        peer = machines[row.peer]
        if not machine.deals(peer):
            continue
        if statement.kind == Kind.CHECKPOINT and row.place > machine.now() - FRESH:
            continue
        if statement.kind == Kind.RECEIPT and peer.forgets:
            answered = decode(Receipt, statement.data).leaf
            left += peer.disk.view.get(STATEMENT, answered) is not None
        else:
            left += 1
    return left


def _lacks(machine: Machine, other: Machine) -> bool:
    """Return True if numbers of a peer are missing that it can still send: a peer with a restored disk may
    have lost them; and to a node that lost what it had, a pair that may no longer go is not handed over
    again.
    """
    for row in machine.disk.view.find(INCOMING, "member", other.name):
        for first, last in missing(row).spans:
            stream = (machine.name, Kind.RELEASE, row.incarnation)
            found = other.disk.view.find(STATEMENT, "number", *stream, after=(first - 1,), limit=EVERY_ROW)
            numbers = [said for said in found if said.sequence <= last]
            if not (machine.forgets or machine.mended or other.forgets or other.disk.rotten):
                return True
            if any(_goes(other, said.md, machine.name) for said in numbers):
                return True
    return False


def _goes(machine: Machine, md: ManifestDigest, recipient: str) -> bool:
    row, process = machine.disk.view.get(PAIR, md, recipient), machine.process
    if row is None or process is None or machine.disk.is_rotten(md):
        return False
    tx = Transaction(process.node, machine.disk.view, machine.now(), process.random)
    return not row.cause and not denial(tx, row)


def _unproved(machine: Machine, machines: Machines) -> bool:
    """Return True if checkpoints wait for a path that their node can still show."""
    return any(
        row.state in UNPROVED
        and row.at < machine.now() - FRESH
        and not machines[row.member].forgets
        and machine.deals(machines[row.member])
        for row in all_rows(machine.disk.view, CHECKPOINT)
    )


def without_acts(machine: Machine, machines: Machines) -> list[str]:
    """Return the members at which the acts of a member do not count, with the same bytes."""
    if machine.forgets:
        return []
    own = machine.disk.view.find(ACT, "key", machine.name, limit=EVERY_ROW)
    made = [(row.n, row.leaf, ActState.COUNTS) for row in own]
    return [
        name
        for name, other in partners(machine, machines).items()
        if other is not machine
        and [
            (row.n, row.leaf, row.state)
            for row in other.disk.view.find(ACT, "key", machine.name, limit=EVERY_ROW)
        ]
        != made
    ]


def unsettled(machines: Machines) -> str:
    """Return what is left between whom, in words."""
    left = []
    for name, machine in honest(machines).items():
        left += [f"{other} without acts of {name}" for other in without_acts(machine, machines)]
    for name, machine in machines.items():
        view = machine.disk.view
        for peer in machines:
            counts = (
                view.count(PAIR, "ready", peer, 1),
                view.count(PENDING, "peer", peer),
                _holes(view, peer),
            )
            if any(counts):
                left.append(
                    f"{name} to {peer}: {counts[0]} ready, {counts[1]} unacknowledged, holes {counts[2]}"
                )
    return "; ".join(left) or "commits without end"


def _holes(view: View, peer: str) -> bool:
    return any(missing(row).spans for row in view.find(INCOMING, "member", peer))


def all_rows(view: View, table: Table[R]) -> Iterable[R]:
    """Return all rows of a table."""
    return view.find(table, "key", limit=EVERY_ROW)
