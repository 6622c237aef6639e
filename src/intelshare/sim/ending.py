"""The checks of all disks once faults are over and everything has settled (``oracle`` lists them)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from intelshare.audit import LogHead, append, root
from intelshare.audit.records import EntryType, Received, Start
from intelshare.broker.kernel.log import entries, opened
from intelshare.broker.kernel.pair_rows import facts_of
from intelshare.broker.kernel.tables import (
    BULLETIN,
    CHECKPOINT,
    CONSENT,
    FILE,
    INBOX,
    INCOMING,
    LOG_HEAD,
    OUTGOING,
    PAIR,
    RECEIVED,
    STATEMENT,
    PairRow,
    ReceivedRow,
)
from intelshare.broker.lifecycle.attachments import FileState
from intelshare.broker.lifecycle.destroy import Gone
from intelshare.broker.lifecycle.redecide import ConsentState
from intelshare.broker.lifecycle.streams import missing
from intelshare.broker.transparency.checkpoint import root_of
from intelshare.broker.transparency.known_checkpoints import CheckpointState
from intelshare.crypto.codec import decode
from intelshare.crypto.pae import sha256
from intelshare.crypto.pieces import read_attachment
from intelshare.crypto.records import Kind
from intelshare.delivery import BestReceipt, Ranges, status_of
from intelshare.ids import LeafId, ManifestDigest, MemberCode
from intelshare.ports import EVERY_ROW, View
from intelshare.sim import losses, remains
from intelshare.sim.counting import check_counters, check_kept
from intelshare.sim.heap import Violation
from intelshare.sim.law import CANARY
from intelshare.sim.oracle import Oracle
from intelshare.sim.quiet import Machines, accusations, all_rows, honest, quiet, unsettled, unshown

if TYPE_CHECKING:
    from intelshare.sim.machine import Machine

_SETTLED = frozenset(
    ("withheld", "expired", "recalled", "undeliverable", "refused", "accepted", "read", "destroyed", "held")
)


def check_safety(oracle: Oracle, machines: Machines) -> None:
    """Run the checks that hold at any instant, whatever is still to come. Raises Violation."""
    oracle.check_promises(machines)
    for machine in honest(machines).values():
        _check_streams(machine, machines)
        check_counters(machine)
        check_kept(machine)
        if machine.process is not None:
            _check_log(machine)
            _check_inbox(machine)


def finish(oracle: Oracle, machines: Machines) -> None:
    """Run all checks of the end, and check that everything has settled. Raises Violation."""
    oracle.check_promises(machines)
    for machine in honest(machines).values():
        _check_log(machine)
        _check_witnesses(machine, machines)
        _check_forgotten(oracle, machine, machines)
        _check_inbox(machine)
        _check_streams(machine, machines)
        _check_destroyed(oracle, machine)
        _check_gone(oracle, machine, machines)
        _check_files(oracle, machine)
        check_counters(machine)
        check_kept(machine)
    for machine in honest(machines).values():
        for row in all_rows(machine.disk.view, PAIR):
            if machine.deals(machines[row.recipient]):
                _check_pair(oracle, machine, machines[row.recipient], row)
    if not quiet(oracle, machines):
        left = unsettled(machines)
        raise Violation("I9", f"faults are over, but not everything has been delivered: {left}")
    for machine in honest(machines).values():
        _check_consents(machine, machines)


def _check_files(oracle: Oracle, machine: Machine) -> None:
    """Check that files are as complete as they were sent, or absent; and that nothing is left of a recalled
    or destroyed bulletin, or of no bulletin at all.
    """
    view, pieces = machine.disk.view, machine.pieces
    rows = all_rows(view, FILE)
    if pieces.files.keys() - {row.place for row in rows}:
        raise Violation("I8", f"{machine.name} holds pieces of a file that should be gone")
    for row in rows:
        written, held = view.get(BULLETIN, row.md), view.get(INBOX, row.md)
        if (written is not None and written.recalled) or (held is not None and held.gone):
            raise Violation("I8", f"{machine.name} keeps a file of a bulletin that should be gone")
        if row.state != FileState.WHOLE:
            continue
        oracle.counts["file whole"] += 1
        portion, _ = oracle.rulings.contents[row.md].portions[row.slot]
        for number, digest in enumerate(read_attachment(portion.content).pieces):
            piece = pieces.files.get(row.place, {}).get(number)
            # A piece that was removed, although the disk forgot it, comes back when somebody reads the file.
            excused = (row.place, number) in pieces.decayed or machine.forgets
            if (piece is None and not excused) or (piece is not None and sha256(piece) != digest):
                raise Violation("I4", f"{machine.name} holds a different file from the one sent")


def _check_log(machine: Machine) -> None:
    view, process = machine.disk.view, machine.process
    assert process is not None  # noqa: S101 - all are up at the end
    for head in all_rows(view, LOG_HEAD):
        rows = list(opened(process.node, view, head.incarnation))
        if [row.place for row in rows] != list(range(head.size)):
            raise Violation("I7", f"a log of {machine.name} has lost an entry")
        grown = append(LogHead(head.incarnation, 0, b""), [row.leaf for row in rows])
        if grown.frontier != head.frontier:
            raise Violation("I7", f"a log of {machine.name} does not match its root")
        start = decode(Start, rows[0].record)
        before = view.get(LOG_HEAD, start.previous)
        if rows[0].type != EntryType.START or (
            before is not None and (start.size, start.root) != (before.size, root_of(before))
        ):
            raise Violation("I6", f"entry 0 of a log of {machine.name} does not name the log before")


def _check_witnesses(machine: Machine, machines: Machines) -> None:
    """I6 on the disks: a held checkpoint matches how the log began, and no honest node is accused."""
    view = machine.disk.view
    accusation = next(accusations(machine, machines), None)
    if accusation is not None:
        raise Violation("I6", f"{machine.name} holds against {accusation.member}: {accusation.code}")
    grown: dict[tuple[str, int], LogHead] = {}
    """Each log, up to the checkpoint before: they are sorted by their size."""
    for held in all_rows(view, CHECKPOINT):
        if machines[held.member].hostile is not None:
            continue
        if held.state != CheckpointState.HEARD and not machines[held.member].forgets:
            view_of, log = machines[held.member].disk.view, (held.origin, held.incarnation)
            head = grown.get(log, LogHead(held.incarnation, 0, b""))
            since = entries(view_of, held.incarnation, head.size, held.size)
            head = grown[log] = append(head, [row.leaf for row in since])
            if head.size != held.size or root(head) != held.root:
                raise Violation("I6", f"{machine.name} holds a log of {held.member} that never was")
        if held.state == CheckpointState.BROKEN:
            raise Violation("I6", f"{machine.name} believes that the log of {held.member} contradicts itself")


def _check_forgotten(oracle: Oracle, machine: Machine, machines: Machines) -> None:
    """I6: lost log entries that were acknowledged are reported by every node that acknowledged them, proved
    or not.
    """
    for member in unshown(oracle, machine, machines):
        raise Violation("I6", f"{machine.name} does not report what {member} forgot of its log")


def _check_inbox(machine: Machine) -> None:
    """I2 on the disk."""
    view, process = machine.disk.view, machine.process
    assert process is not None  # noqa: S101 - all are up at the end
    accepted = [row for row in all_rows(view, RECEIVED) if row.kind == Kind.RELEASE and not row.code]
    known = {row.leaf for row in accepted}
    logged: Counter[LeafId] = Counter()
    manifests: dict[LeafId, bytes] = {}
    for head in all_rows(view, LOG_HEAD):
        for entry in opened(process.node, view, head.incarnation, types={EntryType.RECEIVED}):
            received = decode(Received, entry.record)
            if not received.codes and received.kind == Kind.RELEASE:
                logged[received.leaf] += 1
                manifests[received.leaf] = received.subject
    for shown in all_rows(view, INBOX):
        if shown.leaf not in known:
            raise Violation("I2", f"{machine.name} shows a bulletin that it never accepted")
    for row in accepted:
        if not 1 <= logged[row.leaf] <= 1 + machine.mended[row.leaf]:
            raise Violation("I2", f"{machine.name} logged {logged[row.leaf]} acceptances of one release")
        if view.get(INBOX, ManifestDigest(manifests[row.leaf])) is None:
            raise Violation("I2", f"{machine.name} accepted a bulletin that is not in its inbox")
        if not row.receipt or view.get(STATEMENT, row.receipt) is None:
            raise Violation("I2", f"{machine.name} accepted without a receipt")


def _check_streams(machine: Machine, machines: Machines) -> None:
    """I5 on the disk."""
    view = machine.disk.view
    for stream in all_rows(view, OUTGOING):
        rows = view.find(
            STATEMENT, "number", stream.recipient, Kind.RELEASE, stream.incarnation, limit=EVERY_ROW
        )
        # Of what a disk forgot only that comes back which somebody had accepted.
        if not machine.forgets and [row.sequence for row in rows] != list(range(1, stream.last + 1)):
            raise Violation("I5", f"the stream of {machine.name} to {stream.recipient} skips a number")
    for incoming in all_rows(view, INCOMING):
        if machines[incoming.member].hostile is not None:
            continue
        if incoming.frozen:
            raise Violation("I5", f"{machine.name} froze the honest stream of {incoming.member}")
        held = {
            row.sequence
            for row in view.find(RECEIVED, "number", incoming.origin, incoming.incarnation, limit=EVERY_ROW)
            if row.kind == Kind.RELEASE
        }
        cancelled, holes = Ranges.unpack(incoming.cancelled), missing(incoming)
        for number in range(1, incoming.last + 1):
            known = (number in held) + (number in holes)
            if known != 1 and not (known == 0 and number in cancelled):
                raise Violation("I5", f"{machine.name}: number {number} of {incoming.member} is nowhere")


def _check_destroyed(oracle: Oracle, machine: Machine) -> None:
    """I8 at the end: all keys are tried, all columns are searched."""
    view, process = machine.disk.view, machine.process
    assert process is not None  # noqa: S101 - all are up at the end
    wanted: set[bytes] = set()
    for one in remains.destroyed(view):
        md = one.md
        if not machine.forgets and oracle.can_open(process, md):
            raise Violation("I8", f"{machine.name} can open a bulletin that it has destroyed")
        wanted.update(oracle.rulings.contents[md].secrets.values())
        wanted |= oracle.grants[machine.name, md]
    clear = remains.in_clear(machine.disk)
    if any(one in clear for one in wanted):
        raise Violation("I8", f"{machine.name} keeps data that opens a destroyed bulletin")
    if CANARY.encode() in clear:
        raise Violation("I15", f"{machine.name} stores what a portion says, in clear")
    for md in oracle.over[machine.name]:
        row = view.get(INBOX, md)
        if row is not None and row.gone == Gone.NO:
            raise Violation(
                "I8", f"{machine.name} shows an expired bulletin again, because its clock went back"
            )


def _check_gone(oracle: Oracle, machine: Machine, machines: Machines) -> None:
    """I8: what was destroyed, or recalled, is not readable, whatever was put back."""
    for md in sorted(oracle.gone[machine.name]):
        row = machine.disk.view.get(INBOX, md)
        if row is None or row.gone != Gone.NO or losses.nobody_knows(machine, row):
            continue
        if machine.deals(machines[row.sender]):
            raise Violation("I8", f"{machine.name} can read again what it had destroyed")
    for row in all_rows(machine.disk.view, INBOX):
        sender = machines[row.sender]
        written = sender.disk.view.get(BULLETIN, row.md)
        if row.gone == Gone.NO and written is not None and written.recalled and machine.deals(sender):
            raise Violation("I8", f"{machine.name} can read what {row.sender} has recalled")


def _check_pair(oracle: Oracle, sender: Machine, recipient: Machine, row: PairRow) -> None:
    """I3 and I9 of one pair."""
    shown = status_of(facts_of(row))
    oracle.words[shown] += 1
    view, me = recipient.disk.view, MemberCode(sender.name)
    answer: ReceivedRow | None = view.get(RECEIVED, me, row.leaf) if row.leaf else None
    held = view.get(INBOX, row.md)
    both = f"{sender.name} shows {shown}, {recipient.name}"
    told = row.receipt >= BestReceipt.ACCEPTED
    if held is None and told and not _goes_anew(sender, recipient, row, answer):
        raise Violation("I3", f"{both} has nothing")
    # A second restore may bring back what others were told is lost by the first.
    if held is not None and not told and not sender.forgets and recipient.forgets < 2:
        raise Violation("I3", f"{both} has it")
    if held is not None and not recipient.forgets and not sender.forgets:
        gone = held.gone == Gone.DESTROYED
        if gone != (row.receipt == BestReceipt.DESTROYED):
            raise Violation("I3", f"{both} {'destroyed' if gone else 'has'} it")
    if row.receipt == BestReceipt.REFUSED and not recipient.forgets and (answer is None or not answer.code):
        raise Violation("I3", f"{sender.name} shows refused, {recipient.name} never refused it")
    if shown not in _SETTLED:
        raise Violation("I9", f"{sender.name} to {recipient.name}: {row.md.hex()[:8]} is still {shown}")


def _check_consents(machine: Machine, machines: Machines) -> None:
    """Check that questions and answers about consent are the same on both sides."""
    for row in all_rows(machine.disk.view, CONSENT):
        other = machines[row.member]
        if row.own and machine.deals(other) and not machine.forgets and not other.forgets:
            me = MemberCode(machine.name)
            if row.state == ConsentState.ASKED and other.disk.view.get(RECEIVED, me, row.leaf) is None:
                continue  # The question was cancelled: it never arrived.
            theirs = other.disk.view.get(CONSENT, row.md, row.recipient, me)
            if theirs is None or theirs.state != row.state:
                raise Violation("I3", f"{machine.name} and {other.name} do not agree on a consent")


def _goes_anew(sender: Machine, recipient: Machine, row: PairRow, answer: ReceivedRow | None) -> bool:
    """Return True if the recipient has forgotten the bulletin, and refused it since, or knows that it lacks
    it.
    """
    if not (recipient.forgets or _asked_again(sender, recipient, row)):
        return False
    return bool(answer.code) if answer is not None else _is_hole(recipient.disk.view, row)


def _is_hole(view: View, row: PairRow) -> bool:
    """Return True if the recipient knows that it lacks the number, or was told that it is void."""
    streams = [one for one in all_rows(view, INCOMING) if one.incarnation == row.incarnation]
    return any(
        row.sequence in missing(one) or row.sequence in Ranges.unpack(one.cancelled) for one in streams
    )


def _asked_again(sender: Machine, recipient: Machine, row: PairRow) -> bool:
    """Return True if the recipient has forgotten the bulletin because it was damaged, under any number by
    which it went: it may have known the first one alone.
    """
    if not recipient.mended:
        return False
    went = sender.disk.view.find(STATEMENT, "number", recipient.name, Kind.RELEASE, limit=EVERY_ROW)
    return any(recipient.mended[said.leaf] for said in went if said.md == row.md)
