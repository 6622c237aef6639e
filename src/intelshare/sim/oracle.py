"""The oracle outside all nodes: what was promised and what was said, against what is on the disks.

    I1   what was OK'd is on the sender's disk, with all its recipients          after every commit and crash
    I2   inbox = accepted statements, each once, one log entry, one receipt      wire, end
    I3   the sender's word and the recipient's inbox say the same                end
    I4   no frame to X holds a statement for Y                                   wire
    I5   one content per number; numbers without a gap; no honest stream frozen  wire, end
    I6   one root per size of a log; what is held of it is how it began; nobody is accused wire, end
    I7   each log is whole, and its root is that of its entries                  end
    I9   when faults are over, everything settles                                end

A disk that went back to an earlier state (restore) is excused for what it forgot, never for what it says.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from intelshare.audit import LogHead, append
from intelshare.audit.proofs import root_over
from intelshare.audit.records import EntryType, Received
from intelshare.broker.evidence import CONTRADICTIONS
from intelshare.broker.frame import Outbound
from intelshare.broker.stored import facts_of
from intelshare.broker.streams import missing
from intelshare.broker.submit import Submitted
from intelshare.broker.tables import (
    BULLETIN,
    CHECKPOINT,
    EVIDENCE,
    INBOX,
    INCOMING,
    LOG,
    LOG_HEAD,
    OUTGOING,
    PAIR,
    PENDING,
    RECEIVED,
    STATEMENT,
    SUBMISSION,
    PairRow,
    ReceivedRow,
)
from intelshare.broker.transaction import open_entry
from intelshare.broker.witness import Held
from intelshare.crypto.codec import decode
from intelshare.crypto.records import Checkpoint, Kind, Receipt, ReceiptStatus, Release
from intelshare.delivery import BestReceipt, Cause, Ranges, word
from intelshare.ids import LeafId, ManifestDigest, MemberCode
from intelshare.ports import Table, View
from intelshare.sim.heap import Heap, Violation
from intelshare.sim.process import Process
from intelshare.statement import leaf_id

if TYPE_CHECKING:
    from intelshare.sim.machine import Machine

Row = TypeVar("Row")

_ALL = 1 << 30
_SETTLED = frozenset(
    ("withheld", "expired", "recalled", "undeliverable", "refused", "accepted", "read", "destroyed", "held")
)


@dataclass(frozen=True, slots=True)
class _Promise:
    md: ManifestDigest
    key: bytes
    recipients: tuple[str, ...]
    at: int


class Oracle:
    """Sees everything; nodes never ask it."""

    def __init__(self, heap: Heap) -> None:
        self.words: Counter[str] = Counter()
        """How pairs ended."""
        self.counts: Counter[str] = Counter()
        self._heap = heap
        self._promises: dict[str, list[_Promise]] = defaultdict(list)
        self._answers: dict[bytes, Submitted] = {}
        self._numbers: dict[tuple[str, int, str, int], LeafId] = {}
        self._roots: dict[tuple[str, int, int], bytes] = {}
        self._receipts: dict[tuple[str, int, LeafId, int], bytes] = {}

    def answered(self, machine: Machine, key: bytes, answer: Submitted) -> None:
        """A user was told OK."""
        before = self._answers.get(key)
        if before is not None:
            if before != answer:
                raise Violation("I1", f"{machine.name} gave another answer for one key")
            return
        self.counts["ok"] += 1
        self._answers[key] = answer
        recipients = tuple([pair.recipient for pair in answer.pairs])
        self._promises[machine.name].append(_Promise(answer.md, key, recipients, self._heap.now))

    def rejected(self, code: str) -> None:
        """A node was told that a peer rejected a statement."""
        self.counts[f"rejected {code}"] += 1

    def crashed(self, machine: Machine) -> None:
        """After loss of power: is everything there that was promised?"""
        self.counts["crash"] += 1
        self._check_promises(machine)

    def restored(self, machine: Machine, taken: int) -> None:
        """The disk is as it was at ``taken``: what was promised after that is excused."""
        self.counts["restore"] += 1
        for promise in self._promises[machine.name]:
            if promise.at > taken:
                self._answers.pop(promise.key, None)
        self._promises[machine.name] = [p for p in self._promises[machine.name] if p.at <= taken]
        self._check_promises(machine)

    def _check_promises(self, machine: Machine) -> None:
        view = machine.disk.view
        for promise in self._promises[machine.name]:
            whole = (
                view.get(BULLETIN, promise.md) is not None
                and view.get(SUBMISSION, promise.key) is not None
                and all(view.get(PAIR, promise.md, to) is not None for to in promise.recipients)
            )
            if not whole:
                raise Violation(
                    "I1", f"{machine.name} said OK to {promise.md.hex()[:8]} and no longer has all of it"
                )

    def sent(self, process: Process, outbound: Outbound) -> None:
        """Look at a frame as it leaves."""
        self.counts["frame"] += 1
        for leaf, carried in zip(outbound.leaves, outbound.frame.statements, strict=True):
            if leaf_id(Kind(carried.kind), carried.nonce, carried.data) != leaf:
                raise Violation("I5", f"{process.name} sends other bytes than it stored")
            if carried.kind == Kind.RELEASE:
                self._release(process, outbound.peer, leaf, decode(Release, carried.data))
            elif carried.kind == Kind.RECEIPT:
                self._receipt(process, outbound.peer, leaf, decode(Receipt, carried.data))
            elif carried.kind == Kind.CHECKPOINT:
                self._checkpoint(process, decode(Checkpoint, carried.data))

    def _release(self, process: Process, peer: MemberCode, leaf: LeafId, release: Release) -> None:
        if release.recipient != peer:
            raise Violation("I4", f"{process.name} sends {peer} a release for {release.recipient}")
        number = (release.origin, release.incarnation, release.recipient, release.sequence)
        if self._numbers.setdefault(number, leaf) != leaf:
            raise Violation("I5", f"{process.name} gave number {release.sequence} to {peer} two contents")

    def _receipt(self, process: Process, peer: MemberCode, leaf: LeafId, receipt: Receipt) -> None:
        if receipt.to != peer:
            raise Violation("I4", f"{process.name} sends {peer} a receipt for {receipt.to}")
        # ACCEPTED and REFUSED are one answer; READ is another act.
        act = 1 if receipt.status in {ReceiptStatus.ACCEPTED, ReceiptStatus.REFUSED} else int(receipt.status)
        key = (process.name, process.forgets, receipt.leaf, act)
        if self._receipts.setdefault(key, leaf) != leaf:
            raise Violation("I2", f"{process.name} signed two receipts for {receipt.leaf.hex()[:8]}")

    def _checkpoint(self, process: Process, said: Checkpoint) -> None:
        self.counts["checkpoint"] += 1
        log = (said.origin, said.incarnation, said.size)
        if self._roots.setdefault(log, said.root) != said.root:
            raise Violation("I6", f"{process.name} signed two roots for {said.size} entries of one log")

    def quiet(self, machines: Mapping[str, Machine]) -> bool:
        """Whether nothing is left to do anywhere."""
        return not any(
            machine.disk.unsynced
            or any(machine.disk.view.count(PAIR, "ready", peer, 1) for peer in machines)
            or _unproved(machine, machines)
            or any(_lacks(machine, other) for other in machines.values())
            or self._pending(machine, machines)
            for machine in machines.values()
        )

    def _pending(self, machine: Machine, machines: Mapping[str, Machine]) -> int:
        """Unacknowledged statements, but receipts that an amnesiac sender can no longer place."""
        view = machine.disk.view
        if not any(other.forgets for other in machines.values()):
            return view.count(PENDING, "key")
        left = 0
        for row in view.find(PENDING, "key", limit=_ALL):
            statement = view.get(STATEMENT, row.leaf)
            assert statement is not None  # noqa: S101 - stored together
            peer = machines[row.peer]
            if statement.kind == Kind.RECEIPT and peer.forgets:
                answered = decode(Receipt, statement.data).leaf
                left += peer.disk.view.get(STATEMENT, answered) is not None
            else:
                left += 1
        return left

    def finish(self, machines: Mapping[str, Machine]) -> None:
        """All checks of the end, and whether everything has settled. Raises Violation."""
        for machine in machines.values():
            self._check_promises(machine)
            self._check_log(machine)
            self._check_witnesses(machine, machines)
            self._check_inbox(machine)
            self._check_streams(machine)
        for machine in machines.values():
            for row in _rows(machine.disk.view, PAIR):
                self._check_pair(machine, machines[row.recipient], row)
        if not self.quiet(machines):
            raise Violation(
                "I9", "faults are over, and not everything has been delivered: " + _left(machines)
            )

    def _check_log(self, machine: Machine) -> None:
        view = machine.disk.view
        for head in _rows(view, LOG_HEAD):
            rows = view.find(LOG, "key", head.incarnation, limit=_ALL)
            if [row.place for row in rows] != list(range(head.size)):
                raise Violation("I7", f"a log of {machine.name} has lost an entry")
            grown = append(LogHead(head.incarnation, 0, b""), [row.leaf for row in rows])
            if grown.frontier != head.frontier:
                raise Violation("I7", f"a log of {machine.name} does not match its root")

    def _check_witnesses(self, machine: Machine, machines: Mapping[str, Machine]) -> None:
        """I6 on the disks: what is held of a log is how it began, and nobody honest is accused."""
        view = machine.disk.view
        for row in _rows(view, EVIDENCE):
            known = row.member in machines and machines[row.member].forgets
            if row.shelf == CONTRADICTIONS and not (known and row.code == "LOG_FORGOT"):
                raise Violation("I6", f"{machine.name} holds against {row.member}: {row.code}")
        for held in _rows(view, CHECKPOINT):
            if held.state != Held.HEARD and not machines[held.member].forgets:
                log = machines[held.member].disk.view.find(LOG, "key", held.incarnation, limit=held.size)
                if len(log) != held.size or root_over([row.leaf for row in log]) != held.root:
                    raise Violation("I6", f"{machine.name} holds a log of {held.member} that never was")
            if held.state == Held.BROKEN:
                raise Violation(
                    "I6", f"{machine.name} believes that the log of {held.member} contradicts itself"
                )

    def _check_inbox(self, machine: Machine) -> None:
        """I2 on the disk."""
        view, process = machine.disk.view, machine.process
        assert process is not None  # noqa: S101 - all are up at the end
        accepted = [row for row in _rows(view, RECEIVED) if row.kind == Kind.RELEASE and not row.code]
        known = {row.leaf for row in accepted}
        logged: Counter[LeafId] = Counter()
        manifests: dict[LeafId, bytes] = {}
        for entry in _rows(view, LOG):
            if entry.type == EntryType.RECEIVED:
                received = decode(Received, open_entry(process.node, entry).record)
                if not received.codes:
                    logged[received.leaf] += 1
                    manifests[received.leaf] = received.subject
        for shown in _rows(view, INBOX):
            if shown.leaf not in known:
                raise Violation("I2", f"{machine.name} shows what it never accepted")
        for row in accepted:
            if logged[row.leaf] != 1:
                raise Violation("I2", f"{machine.name} logged {logged[row.leaf]} acceptances of one release")
            if view.get(INBOX, ManifestDigest(manifests[row.leaf])) is None:
                raise Violation("I2", f"{machine.name} accepted what is not in its inbox")
            if not row.receipt or view.get(STATEMENT, row.receipt) is None:
                raise Violation("I2", f"{machine.name} accepted without a receipt")

    def _check_streams(self, machine: Machine) -> None:
        """I5 on the disk."""
        view = machine.disk.view
        for stream in _rows(view, OUTGOING):
            rows = view.find(
                STATEMENT, "number", stream.recipient, Kind.RELEASE, stream.incarnation, limit=_ALL
            )
            if [row.sequence for row in rows] != list(range(1, stream.last + 1)):
                raise Violation("I5", f"the stream of {machine.name} to {stream.recipient} skips a number")
        for incoming in _rows(view, INCOMING):
            if incoming.frozen:
                raise Violation("I5", f"{machine.name} froze the honest stream of {incoming.member}")
            held = {
                row.sequence
                for row in view.find(RECEIVED, "number", incoming.origin, incoming.incarnation, limit=_ALL)
                if row.kind == Kind.RELEASE
            }
            cancelled, holes = Ranges.unpack(incoming.cancelled), missing(incoming)
            for number in range(1, incoming.last + 1):
                known = (number in held) + (number in holes)
                if known != 1 and not (known == 0 and number in cancelled):
                    raise Violation("I5", f"{machine.name}: number {number} of {incoming.member} is nowhere")

    def _check_pair(self, sender: Machine, recipient: Machine, row: PairRow) -> None:
        """I3 and I9 of one pair."""
        shown = word(facts_of(row))
        self.words[shown] += 1
        view, me = recipient.disk.view, MemberCode(sender.name)
        answer: ReceivedRow | None = view.get(RECEIVED, me, row.leaf) if row.leaf else None
        has = view.get(INBOX, row.md) is not None
        told = row.receipt >= BestReceipt.ACCEPTED
        # What it forgot is refused anew, or was recalled and is not sent again.
        anew = recipient.forgets and (row.cause == Cause.RECALLED or (answer is not None and answer.code))
        if (told and not has and not anew) or (has and not told and not sender.forgets):
            raise Violation(
                "I3", f"{sender.name} shows {shown}, {recipient.name} has {'it' if has else 'nothing'}"
            )
        if (
            row.receipt == BestReceipt.REFUSED
            and not recipient.forgets
            and (answer is None or not answer.code)
        ):
            raise Violation("I3", f"{sender.name} shows refused, {recipient.name} never refused it")
        if shown not in _SETTLED:
            raise Violation("I9", f"{sender.name} to {recipient.name}: {row.md.hex()[:8]} is still {shown}")


def _rows(view: View, table: Table[Row]) -> Iterable[Row]:
    return view.find(table, "key", limit=_ALL)


def _lacks(machine: Machine, other: Machine) -> bool:
    """Whether numbers of a peer are missing that it can still send: an amnesiac one may have lost them."""
    for row in machine.disk.view.find(INCOMING, "member", other.name):
        for first, last in missing(row).spans:
            stream = (machine.name, Kind.RELEASE, row.incarnation)
            found = other.disk.view.find(STATEMENT, "number", *stream, after=(first - 1,), limit=1)
            if not other.forgets or (found and found[0].sequence <= last):
                return True
    return False


def _unproved(machine: Machine, machines: Mapping[str, Machine]) -> bool:
    """Whether checkpoints wait for a path that their node can still show."""
    return any(
        row.state == Held.CLAIMED and not machines[row.member].forgets
        for row in _rows(machine.disk.view, CHECKPOINT)
    )


def _holes(view: View, peer: str) -> bool:
    return any(missing(row).spans for row in view.find(INCOMING, "member", peer))


def _left(machines: Mapping[str, Machine]) -> str:
    left = []
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
