"""The oracle outside all nodes: it compares what was promised and said with what is on the disks.

    I1   what was OK'd is on the sender's disk, with all its recipients          after every commit and crash
    I2   inbox = accepted statements, each once, one log entry, one receipt      wire, end
    I3   the sender's status and the recipient's inbox agree                     end
    I4   a frame to X holds no statement for Y, no portion that X may not have;
         no inbox what the recipient's law refuses; no part of a file goes
         where its portion was not handed over                                   hand-over, acceptance, wire
    I5   one content per number; numbers without a gap; nothing accepted after its
         cancellation; no honest stream frozen                                   wire, acceptance, end
    I6   one root per size of a log; what is held of it is how it began; nobody is accused wire, end
    I7   every commit has its log entries and no others; each log is whole       every commit, end
    I8   what was destroyed opens with nothing on the disk, and stays so; no file
         of it is kept                                                           DESTROYED, reading, end
    I9   when faults are over, everything settles                                end
    I10  counters say what is there                                              end
    I11  facts follow the tables of promises.md                                  every commit
    I12  nothing leaves after its denial or its stop was durable; of a file
         nothing a moment after its recall                                       wire
    I13  no submission goes over a bound                                         every commit

The checks at the end are in ``ending``. A disk that went back to an earlier state (restore) is excused for
what it forgot, but never for what it says.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from intelshare.broker.kernel.frame import Carried, Outbound, Slice
from intelshare.broker.kernel.stored_bulletins import read_written
from intelshare.broker.kernel.tables import (
    BULLETIN,
    CHECKPOINT,
    EVIDENCE,
    FILE,
    INBOX,
    INCOMING,
    LOG_HEAD,
    PAIR,
    PORTION,
    RECEIVED,
    STATEMENT,
    SUBMISSION,
    BulletinRow,
    InboxRow,
    PairRow,
    ReceivedRow,
)
from intelshare.broker.lifecycle.attachments import WHOLE
from intelshare.broker.lifecycle.destroy import MAX_DUE, Gone
from intelshare.broker.lifecycle.hearing import reading_waits
from intelshare.broker.line.alike import SubmitResult
from intelshare.broker.line.receive import ReceiveResult
from intelshare.broker.transparency.known_checkpoints import SIGNED
from intelshare.crypto.codec import decode
from intelshare.crypto.pae import key_id
from intelshare.crypto.records import Checkpoint, Kind, Receipt, ReceiptStatus, Release
from intelshare.delivery import BestReceipt, Cause, Ranges, Stage
from intelshare.ids import LeafId, ManifestDigest, MemberCode
from intelshare.instant import SECOND, Instant
from intelshare.ports import Plan, Put, View, changed
from intelshare.sim import counting, facts, history, losses, remains
from intelshare.sim.heap import Heap, Violation
from intelshare.sim.law import CANARY, law_file
from intelshare.sim.process import Process
from intelshare.sim.rulings import FACTS, Rulings
from intelshare.statement import leaf_id
from intelshare.store.memory import MemoryStore
from intelshare.wire import MAX_MESSAGE

if TYPE_CHECKING:
    from intelshare.sim.machine import Machine


_CANARY: Final = CANARY.encode()

BELIEVED: Final = 2 * SECOND
"""The time for which a file may still leave: once a second a sender checks whether a peer may have it, and
what it then reads still goes.
"""


@dataclass(frozen=True, slots=True)
class _Promise:
    md: ManifestDigest
    key: bytes
    recipients: tuple[str, ...]
    at: int


def _has_content(view: View, md: ManifestDigest) -> bool:
    rows = view.find(PORTION, "key", md)
    return bool(rows) and all(row.body for row in rows)


def _is_delivered(view: View, promise: _Promise) -> bool:
    """Return True if its content may have been purged: a recipient has accepted it, and none of its pairs is
    open.
    """
    pairs = [view.get(PAIR, promise.md, MemberCode(to)) for to in promise.recipients]
    accepted = (BestReceipt.ACCEPTED, BestReceipt.READ, BestReceipt.DESTROYED)
    return any(row is not None and row.receipt in accepted for row in pairs) and not any(
        row is not None and row.open for row in pairs
    )


class Oracle:
    """The oracle: it sees everything, and nodes never ask it."""

    def __init__(self, heap: Heap, members: tuple[str, ...], hostile: str = "") -> None:
        """``hostile``: the member that is not checked."""
        self.hostile = hostile
        self.words: Counter[str] = Counter()
        """The final statuses of pairs."""
        self.counts: Counter[str] = Counter()
        self.brought: Counter[str] = Counter()
        """By member, the messages of its bundles that were taken in."""
        self.taken: Counter[str] = Counter()
        """The rows taken of both tables (``facts.rows``)."""
        self.rulings = Rulings(members)
        self.grants: dict[tuple[str, ManifestDigest], set[bytes]] = defaultdict(set)
        """The grants that went to each recipient, for each bulletin."""
        self.over: dict[str, set[ManifestDigest]] = defaultdict(set)
        """By member, the received bulletins whose time was over and which it has ended."""
        self.forgotten: set[tuple[str, str]] = set()
        """(witness, member): the witness had accepted a checkpoint of entries that the member's disk has
        lost.
        """
        self.gone: dict[str, set[ManifestDigest]] = defaultdict(set)
        """By member, the received bulletins that it has destroyed, whatever its disk forgot since."""
        self._due: dict[str, set[ManifestDigest]] = defaultdict(set)
        self._durable: dict[str, MemoryStore] = {name: MemoryStore() for name in members}
        self._heap = heap
        self._promises: dict[str, list[_Promise]] = defaultdict(list)
        self._answers: dict[bytes, SubmitResult] = {}
        self._numbers: dict[tuple[str, int, str, int], LeafId] = {}
        self._roots: dict[tuple[str, int, int], bytes] = {}
        self._receipts: dict[tuple[str, int, LeafId, int], set[LeafId]] = defaultdict(set)
        self._files: dict[tuple[str, bytes], tuple[ManifestDigest, int]] = {}
        """The bulletin and slot, by member and name of the pieces."""
        self._recalled: dict[tuple[str, ManifestDigest], int] = {}
        """The time at which the recall was durable."""

    def answered(self, machine: Machine, key: bytes, answer: SubmitResult) -> None:
        """Note that a user was told OK."""
        before = self._answers.get(key)
        if before is not None:
            if before != answer:
                raise Violation("I1", f"{machine.name} gave a different answer for the same key")
            return
        self.counts["ok"] += 1
        self._answers[key] = answer
        recipients = tuple([pair.recipient for pair in answer.pairs])
        self._promises[machine.name].append(_Promise(answer.md, key, recipients, self._heap.now))

    @property
    def known(self) -> Mapping[bytes, SubmitResult]:
        """The answers that users have got, by key, as far as no disk was put back to before them."""
        return self._answers

    @staticmethod
    def printed(name: str, *output: object) -> None:
        """I15: check that what a node logs, or tells a user, contains nothing of a portion."""
        if any(CANARY in str(one) for one in output):
            raise Violation("I15", f"{name} prints what a portion says")

    @staticmethod
    def carried(name: str, message: bytes) -> None:
        """I15, I13: check that a message says nothing in clear, and keeps to its bound."""
        if _CANARY in message:
            raise Violation("I15", f"{name} sends what a portion says, in clear")
        if len(message) > MAX_MESSAGE:
            raise Violation("I13", f"{name} sends a message of {len(message)} bytes")

    def rejected(self, code: str) -> None:
        """Note that a node was told that a peer rejected a statement."""
        self.counts[f"rejected {code}"] += 1

    def planned(
        self, process: Process, name: str, event: tuple[Any, ...], plan: Plan[Any], now: Instant
    ) -> None:
        """Check a step that has run; its plan is not written yet."""
        view = process.view
        self._written(process, name, event, plan)
        if name == "take_files":
            # The file may have changed again since it was read.
            self.rulings.variants[process.name] = int(event[1] == (law_file(process.name, 1),))
        if process.name == self.hostile:
            return
        if isinstance(plan.answer, ReceiveResult):
            facts.known(view, event[0].member, plan.answer, self.taken)
        if plan.writes:
            facts.check(name, view, plan, process.name, self.taken)
            history.check(process.node, name, view, plan)
            counting.check_bounds(name, process.machine.queues, plan, process.name)
        if name == "expire":
            self._due[process.name] = {
                row.md
                for row in view.find(INBOX, "due", Gone.NO, after=(0,), limit=MAX_DUE)
                if row.due <= now
            }
        if name == "heard":
            losses.check_heard(self, process, event[0], now)
        if name == "approve":
            self._check_persons(process, event[0], plan)
        for write in plan.writes:
            if isinstance(write, Put):
                self._put(process, name, write, plan, now)

    def _put(self, process: Process, name: str, write: Put, plan: Plan[Any], now: Instant) -> None:
        """Check a row that a step is about to write, by its table."""
        row = write.row
        if write.table is PAIR:
            # What comes back from its recipient after a loss was handed over before.
            if row.stage == Stage.HANDED_OVER and name != "receive":
                self._handed_over(process, row, plan, now)
        elif write.table is INBOX:
            if process.view.get(INBOX, row.md) is None:
                self._accepted(process, row, plan, now)
        elif write.table is BULLETIN:
            if name == "receive" and (before := process.view.get(BULLETIN, row.md)) is not None:
                self._come_back(process, before, row)
        elif write.table is EVIDENCE:
            self.counts[f"evidence {row.code}"] += 1
        elif write.table is RECEIVED and row.sequence and not row.code:
            self._numbered(process, row)

    def _come_back(self, process: Process, before: BulletinRow, row: BulletinRow) -> None:
        """I1: check that a damaged bulletin is after its return what it was before. Its author may be
        lost with the first portion, and is nobody else then.
        """
        self.counts["bulletin back"] += 1
        first = (PORTION.name, (row.md, row.slots[0]))
        kept = process.view.get(PORTION, *first[1])
        if not row.author and (kept is None or not kept.author or first in process.disk.rotten):
            before = changed(before, author=row.author)
        # When it was recalled its pairs do not say exactly.
        as_it_was = changed(row, sealed_draft=before.sealed_draft, recalled=before.recalled) == before
        as_it_was = as_it_was and bool(row.recalled) == bool(before.recalled)
        if _has_content(process.view, row.md):
            views = [read_written(process.node, process.view, one).heads for one in (before, row)]
            as_it_was = as_it_was and views[0] == views[1]
        if not as_it_was:
            raise Violation("I1", f"{process.name} takes back a bulletin other than the one that it wrote")

    def _written(self, process: Process, name: str, event: tuple[Any, ...], plan: Plan[Any]) -> None:
        """Note what a user has written or agreed to."""
        if name == "submit":
            for write in plan.writes:
                if isinstance(write, Put) and write.table is BULLETIN:
                    self.rulings.written(process, write.row.md, event[0].draft, plan)
                elif isinstance(write, Put) and write.table is FILE:
                    self._files[process.name, write.row.pieces] = write.row.md, write.row.slot
        elif name == "answer" and event[0].grant:
            for line in plan.answer.lines:
                self.rulings.consented(process.name, line.row)

    @staticmethod
    def _check_persons(process: Process, command: Any, plan: Plan[Any]) -> None:
        """I12: check that nobody releases what that same person wrote."""
        for write in plan.writes:
            if not isinstance(write, Put) or write.table is not PAIR:
                continue
            written = process.view.get(BULLETIN, write.row.md)
            if written is not None and written.author == command.actor.user:
                raise Violation("I12", f"{process.name}: the author of a held bulletin has released it")

    def _handed_over(self, process: Process, row: PairRow, plan: Plan[Any], now: Instant) -> None:
        """I4 at hand-over: check what is granted in this commit, in the world of this instant."""
        if (before := process.view.get(PAIR, row.md, row.recipient)) is None or before.leaf == row.leaf:
            return
        (said,) = [
            write.row
            for write in plan.writes
            if isinstance(write, Put) and write.table is STATEMENT and write.row.leaf == row.leaf
        ]
        refused = self.rulings.refusals(
            process.name, process.view, process.view, row.md, said.slots, process.name, row.recipient, now,
            approvals=frozenset(row.approved.split()),
        )  # fmt: skip
        if refused:
            raise Violation("I4", f"{process.name} hands {row.recipient} what is {', '.join(refused)}")

    def _accepted(self, process: Process, row: InboxRow, plan: Plan[Any], now: Instant) -> None:
        """I4 at acceptance: check the recipient's law, in the world of this instant."""
        slots = [
            write.row.slot
            for write in plan.writes
            if isinstance(write, Put) and write.table is PORTION and write.row.md == row.md
        ]
        refused = self.rulings.refusals(
            process.name, process.view, process.view, row.md, slots, row.sender, process.name, now
        )
        if refused:
            raise Violation("I4", f"{process.name} accepts from {row.sender} what is {', '.join(refused)}")

    def _numbered(self, process: Process, row: ReceivedRow) -> None:
        """I5 at acceptance."""
        stream = process.view.get(INCOMING, row.origin, row.incarnation)
        new = process.view.get(RECEIVED, row.member, row.leaf) is None
        if new and stream is not None and row.sequence in Ranges.unpack(stream.cancelled):
            raise Violation("I5", f"{process.name} accepts number {row.sequence}, which was cancelled")

    def durable(self, machine: Machine, plan: Plan[Any]) -> None:
        """Note that a plan is on the disk."""
        for write in plan.writes:
            if isinstance(write, Put) and write.table is INBOX:
                if write.row.gone == Gone.DESTROYED:
                    self.gone[machine.name].add(write.row.md)
                elif losses.nobody_knows(machine, write.row):  # it has come again, and is no longer recalled
                    self.gone[machine.name].discard(write.row.md)
            if isinstance(write, Put) and write.table is BULLETIN and write.row.recalled:
                self._recalled.setdefault((machine.name, write.row.md), self._heap.now)
        writes = [write for write in plan.writes if write.table in FACTS]
        if writes:
            self._durable[machine.name].repeat(writes)
            self._check_kept(machine, writes)

    def _check_kept(self, machine: Machine, writes: Sequence[Any]) -> None:
        """I1: check that the content is there until a recipient answers."""
        view = machine.disk.view
        for write in writes:
            if write.table is not PAIR or not write.row.open or write.row.md in machine.given_up:
                continue
            written = view.get(BULLETIN, write.row.md)
            known_again = written is not None and not written.author
            if not known_again and not _has_content(view, write.row.md):
                raise Violation(
                    "I1", f"{machine.name} has lost content that it has to deliver to {write.row.recipient}"
                )

    def serves(self, process: Process) -> None:
        """I8: check that a start shows nothing destroyed; after a loss that waits for its sender."""
        for md in self.gone[process.name]:
            row = process.view.get(INBOX, md)
            if (
                row is not None
                and losses.is_shown(row, process.now())
                and not reading_waits(process.view, row)
            ):
                raise Violation(
                    "I8", f"{process.name} shows what it had destroyed, as its folder was put back"
                )

    def expired(self, process: Process) -> None:
        """Note that expired bulletins have been ended, durably."""
        self.over[process.name] |= self._due.pop(process.name, set())

    def opened(self, process: Process, row: InboxRow) -> None:
        """Note that a reader was shown a bulletin."""
        if row.md in self.gone[process.name] and not losses.nobody_knows(process.machine, row):
            raise Violation("I8", f"{process.name} opens what it had destroyed")
        if row.md in self.over[process.name]:
            raise Violation("I8", f"{process.name} opens an expired bulletin, because its clock went back")

    def crashed(self, machine: Machine) -> None:
        """Check, after a loss of power, that everything promised is there."""
        self.counts["crash"] += 1
        self._check_promises(machine)
        self._look_at(machine)

    def restored(self, machine: Machine, taken: int) -> None:
        """Check the disk as it was at ``taken``: promises made after that are excused."""
        self.counts["restore"] += 1
        for promise in self._promises[machine.name]:
            if promise.at > taken:
                self._answers.pop(promise.key, None)
        self._promises[machine.name] = [p for p in self._promises[machine.name] if p.at <= taken]
        self._check_promises(machine)
        self._look_at(machine)
        self._recalled = {key: at for key, at in self._recalled.items() if key[0] != machine.name}
        self.over[machine.name].clear()
        # This may repair an older loss, so what is lost now is determined again.
        self.forgotten = {(witness, member) for witness, member in self.forgotten if member != machine.name}
        for witness in machine.others.values():
            for row in witness.disk.copy().find(CHECKPOINT, "key", limit=1 << 30):
                head = machine.disk.view.get(LOG_HEAD, row.incarnation)
                lost = head is None or head.size < row.size
                if row.member == machine.name and row.state in SIGNED and lost:
                    self.forgotten.add((witness.name, machine.name))

    def _look_at(self, machine: Machine) -> None:
        """Treat everything on the disk after a crash as durable."""
        kept = self._durable[machine.name] = MemoryStore()
        for table in FACTS:
            kept.repeat([Put(table, row) for row in machine.disk.view.find(table, "key", limit=1 << 30)])

    def _check_promises(self, machine: Machine) -> None:
        view = machine.disk.view
        for promise in self._promises[machine.name]:
            given_up = promise.md in machine.given_up
            whole = (
                (view.get(BULLETIN, promise.md) is not None or given_up)
                and view.get(SUBMISSION, promise.key) is not None
                and all(view.get(PAIR, promise.md, to) is not None for to in promise.recipients)
                and (_has_content(view, promise.md) or _is_delivered(view, promise) or given_up)
            )
            if not whole:
                raise Violation(
                    "I1", f"{machine.name} said OK to {promise.md.hex()[:8]} but no longer has all of it"
                )

    def check_promises(self, machines: Mapping[str, Machine]) -> None:
        """I1 at the end."""
        for machine in machines.values():
            self._check_promises(machine)

    def sent(self, process: Process, outbound: Outbound) -> None:
        """Check a frame as it leaves; of a hostile node's only the grants count, which others must drop."""
        self.counts["frame"] += 1
        if process.name == self.hostile:
            for leaf, carried in zip(outbound.leaves, outbound.frame.statements, strict=True):
                said = process.view.get(STATEMENT, leaf) if carried.grant else None
                if said is not None:
                    self.grants[outbound.peer, said.md].add(carried.grant)
            return
        for leaf, carried in zip(outbound.leaves, outbound.frame.statements, strict=True):
            if leaf_id(Kind(carried.kind), carried.nonce, carried.data) != leaf:
                raise Violation("I5", f"{process.name} sends different bytes from those it stored")
            if carried.kind == Kind.RELEASE:
                release = decode(Release, carried.data)
                if release.origin != process.node.uri:
                    self._returned(process, outbound.peer, leaf, release)
                else:
                    self._release(process, outbound.peer, leaf, release, carried)
            elif carried.kind == Kind.RECEIPT:
                self._receipt(process, outbound.peer, leaf, decode(Receipt, carried.data))
            elif carried.kind == Kind.CHECKPOINT:
                self._checkpoint(process, decode(Checkpoint, carried.data))

    def sliced(self, process: Process, peer: MemberCode, message: Slice) -> None:
        """Check a part of a file as it leaves."""
        if not message.data or process.name == self.hostile:
            return
        self.counts["slice"] += 1
        md, slot = self._files[process.name, message.pieces]
        # By a question, which sees all of a group at once (I12 asks what a process knows: effect by effect).
        row = (process.known or process.disk.durable).get(PAIR, md, peer)
        said = process.view.get(STATEMENT, row.leaf) if row is not None and row.leaf else None
        if said is None or slot not in said.slots:
            raise Violation("I4", f"{process.name} sends {peer} a part of a file that it was not granted")
        recalled = self._recalled.get((process.name, md))
        if recalled is not None and process.followed_at - recalled > BELIEVED:
            raise Violation("I12", f"{process.name} sends {peer} a part of a file that it has recalled")

    def _release(
        self, process: Process, peer: MemberCode, leaf: LeafId, release: Release, carried: Carried
    ) -> None:
        if release.recipient != peer:
            raise Violation("I4", f"{process.name} sends {peer} a release for {release.recipient}")
        number = (release.origin, release.incarnation, release.recipient, release.sequence)
        if self._numbers.setdefault(number, leaf) != leaf:
            raise Violation("I5", f"{process.name} gave number {release.sequence} to {peer} two contents")
        said = process.view.get(STATEMENT, leaf)
        row = self._known_to(process).get(PAIR, said.md, peer) if said is not None else None
        if said is None or row is None or row.leaf != leaf:
            raise Violation("I5", f"{process.name} sends {peer} a release that is not durable")
        if carried.grant:  # one that came back has none, and goes only to be answered again
            self.grants[peer, said.md].add(carried.grant)
        if row.cause != Cause.NONE and row.receipt == BestReceipt.NONE:
            raise Violation("I12", f"{process.name} sends {peer} what is {Cause(row.cause).name.lower()}")
        slots = self.rulings.slots_of(said.md, carried.bodies)
        if slots is None or sorted(slots) != sorted(said.slots):
            raise Violation("I4", f"{process.name} sends {peer} portions other than those it has granted")
        durable, at = self._known_to(process), process.stepped
        refused = self.rulings.refusals(
            process.name, durable, process.view, said.md, slots, process.name, peer, at,
            approvals=frozenset(row.approved.split()), holds=False,
        )  # fmt: skip
        # Expiry is not a matter of law: a bulletin is ended when the node's housekeeping comes to it.
        if set(refused) - {"BULLETIN_EXPIRED"}:
            raise Violation("I12", f"{process.name} sends {peer} what is {', '.join(refused)}")

    def _known_to(self, process: Process) -> View:
        """Return what a process can know to be durable: each of several replicas what it has followed."""
        known = process.known
        return known if known is not None else self._durable[process.name]

    def _returned(self, process: Process, peer: MemberCode, leaf: LeafId, release: Release) -> None:
        """I4: check that a release which goes back goes to the node that signed it, as it was signed."""
        self.counts["release handed back"] += 1
        back = process.machine.others[peer].process
        number = (release.origin, release.incarnation, release.recipient, release.sequence)
        if release.recipient != process.name or (back is not None and back.node.uri != release.origin):
            raise Violation("I4", f"{process.name} hands {peer} a release of {release.origin}")
        if self._numbers.setdefault(number, leaf) != leaf:
            raise Violation("I5", f"{process.name} hands back another content for a number")

    def _receipt(self, process: Process, peer: MemberCode, leaf: LeafId, receipt: Receipt) -> None:
        if receipt.to != peer:
            raise Violation("I4", f"{process.name} sends {peer} a receipt for {receipt.to}")
        # ACCEPTED and REFUSED are one answer; READ, DESTROYED, and that all files are whole, are other acts.
        act = 1 if receipt.status in {ReceiptStatus.ACCEPTED, ReceiptStatus.REFUSED} else int(receipt.status)
        act = 0 if WHOLE in receipt.codes else act
        # Whoever lost a key says so of what it had signed for (docs/decisions/0047).
        act = -1 if {"KEM_KEY_RETIRED", "KEM_KEY_UNKNOWN"} & set(receipt.codes) else act
        signed = self._receipts[process.name, process.forgets, receipt.leaf, act]
        signed.add(leaf)
        if len(signed) > 1 + process.machine.mended[receipt.leaf]:
            raise Violation("I2", f"{process.name} signed two receipts for {receipt.leaf.hex()[:8]}")
        if "KEM_KEY_RETIRED" in receipt.codes:
            self._check_overlap(process, peer, receipt)
        if receipt.status is ReceiptStatus.DESTROYED and not process.forgets:
            answered = process.view.get(RECEIVED, peer, receipt.leaf)
            for row in remains.destroyed(process.view) if answered is not None else ():
                if row.leaf == receipt.leaf and self.can_open(process, row.md):
                    raise Violation(
                        "I8", f"{process.name} says that it destroyed a bulletin that it can still open"
                    )

    @staticmethod
    def _check_overlap(process: Process, peer: MemberCode, receipt: Receipt) -> None:
        """I9: check that a sealing key opens as long as this member's directory names it."""
        answered = process.view.get(RECEIVED, peer, receipt.leaf)
        directory = process.node.trust.members[process.node.member].directory
        if answered is not None and directory is not None:
            kem = decode(Release, answered.data).kem
            if any(key_id(key) == kem for key in directory.keys):
                raise Violation(
                    "I9", f"{process.name} refuses a release sealed to a key that its directory still names"
                )

    def can_open(self, process: Process, md: ManifestDigest) -> bool:
        """Return True if a destroyed bulletin opens with a key of the machine."""
        content = self.rulings.contents[md]
        return remains.opens(process.node, process.disk, md, content)

    def _checkpoint(self, process: Process, said: Checkpoint) -> None:
        """I6: check that what a checkpoint says is durable (c19), and that one size has one root."""
        self.counts["checkpoint"] += 1
        head = process.disk.durable.get(LOG_HEAD, said.incarnation)
        if head is None or head.size < said.size:
            raise Violation("I6", f"{process.name} says {said.size} entries before they are durable")
        if not process.covers(said):
            raise Violation("I6", f"{process.name} says {said.size} entries before the sidecar covers them")
        log = (said.origin, said.incarnation, said.size)
        if self._roots.setdefault(log, said.root) != said.root:
            raise Violation("I6", f"{process.name} signed two roots for {said.size} entries of one log")
