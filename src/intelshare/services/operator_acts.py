"""Operations that an operator decides: the clock."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Final

from intelshare.audit.node_records import BackupMade
from intelshare.audit.work import finish
from intelshare.broker.kernel.actor import Actor
from intelshare.broker.lifecycle.drop import DropCommand, drop, pairs_of
from intelshare.broker.lifecycle.mend import (
    MAX_MENDED,
    WAITING,
    MendCommand,
    Mended,
    Record,
    RecordOutcome,
    brought_by,
    mend,
)
from intelshare.broker.lifecycle.operator_acts import (
    AllowReadingCommand,
    BelieveCommand,
    NoteBackupCommand,
    ReleaseStreamCommand,
    ReleaseStreamResult,
    allow_reading,
    believe_clock,
    note_backup,
    release_stream,
)
from intelshare.broker.lifecycle.pair_again import handed_over
from intelshare.crypto.pae import sha256
from intelshare.delivery import LinkWord
from intelshare.errors import DeliveryError, RecordError
from intelshare.ids import Digest, Incarnation, MemberCode
from intelshare.ports import View
from intelshare.services.backend import Backend
from intelshare.services.rpc import OPERATORS, AsyncCall, Rpc, StepCall
from intelshare.wire.v1 import user_pb2 as pb


def clock_state(backend: Backend) -> pb.ClockState:
    """Return the reading of the clock, and whether it is believed."""
    read = backend.read_clock()
    return pb.ClockState(
        now=read.now,
        believed=read.believed,
        expected=read.expected,
        until=read.until,
        confirmed=read.confirmed,
    )


async def clock(backend: Backend, actor: Actor, request: pb.ClockRequest) -> pb.ClockResponse:
    """Show the clock; or believe it, if linked peers agree or a reason is given."""
    before, reason = clock_state(backend), request.reason
    if not request.believe or before.confirmed:
        return pb.ClockResponse(clock=before)
    links = [
        (member, backend.link(listed.uri))
        for member, held in sorted(backend.node.trust.members.items())
        if member != backend.node.member and held.directory is not None
        for listed in held.directory.nodes
    ]
    offsets = tuple((member, link.offset) for member, link in links if link.state is LinkWord.LINKED)
    command = BelieveCommand(actor.user, backend.read_clock().expected, offsets, reason)
    agreed = await backend.perform(believe_clock, command, then=lambda _: backend.believe_clock())
    return pb.ClockResponse(clock=clock_state(backend), agreed=agreed)


_RESTORE: Final = "restore the folder from a backup: intelshare node restore BACKUP FOLDER --replace"
_DROP: Final = 'give it up: intelshare node repair --drop ID --reason "..."'
_REMEDIES: Final[Mapping[str, str]] = {
    "log": f"{_RESTORE}; until then this node cannot prove what the row held",
    "act": _RESTORE,
    "trust": "intelshare member import FILE, with a file that the member exports now",
    "exclusion": "the member counts as suspended: intelshare member resume, or remove, says what is meant",
    "user": f"{_DROP}; then intelshare user add",
    "node": _RESTORE,
    "log_head": _RESTORE,
    "counter": _RESTORE,
}
"""The remedy for a record of this table, if nobody else has it and it follows from no other record."""


async def repair(backend: Backend, actor: Actor, request: pb.RepairRequest) -> pb.RepairResponse:
    """Name damaged records; mend what can be; give up what the operator names."""
    read_all = request.scrub or not backend.serves
    if read_all:
        await backend.scrub()
    known = backend.damaged()
    foreseen = await _foreseen(backend, known)
    states: dict[Record, Mended] = {}
    # What the store has brought back only has to be written again: nobody has to ask for that.
    wanted = [
        one for one in known if one.repaired or (request.fetch and _can_mend(backend, foreseen.get(one)))
    ]
    if wanted:
        states.update({one.record: one for one in await backend.mend(wanted)})
    if request.drop:
        if not request.reason.strip():
            raise DeliveryError("INPUT_INVALID", "a reason is needed: the log keeps it", hint="--reason TEXT")
        chosen = _chosen(known, request.drop)
        node, pairs = backend.node, pairs_of(chosen)
        # Not in the step: it reads all logs, and everything else that is written waits for a step.
        went = await backend.query(lambda view: finish(handed_over(node, view, pairs)), slow=True)
        for start in range(0, len(chosen), MAX_MENDED):
            command = DropCommand(chosen[start : start + MAX_MENDED], actor.user, request.reason, went)
            dropped = await backend.perform(drop, command, then=backend.mended)
            states.update({one.record: one for one in dropped.mended})
    records = [_damaged(one, states.get(one), foreseen.get(one), serves=backend.serves) for one in known]
    return pb.RepairResponse(records=records, read_all=read_all)


async def _foreseen(backend: Backend, records: Sequence[Record]) -> dict[Record, Mended]:
    """Return what would become of each record if it was mended now; nothing of those for which the log cannot
    be read.
    """
    node, now = backend.node, backend.now()

    def foreseen(view: View, some: tuple[Record, ...]) -> tuple[Mended, ...]:
        command = MendCommand(some, finish(brought_by(node, view, some)))
        return mend(node, view, command, now, backend.random).answer.mended

    found: dict[Record, Mended] = {}
    for start in range(0, len(records), MAX_MENDED):
        some = tuple(records[start : start + MAX_MENDED])
        with contextlib.suppress(RecordError):
            mended = await backend.query(partial(foreseen, some=some), slow=True)
            found.update({one.record: one for one in mended})
    return found


def _can_mend(backend: Backend, foreseen: Mended | None) -> bool:
    """Return whether to mend a record. Where no node runs nobody is asked, and the start would not know that
    somebody has to be.
    """
    return backend.serves or foreseen is None or foreseen.outcome is not RecordOutcome.ASKED


def _chosen(known: Sequence[Record], ids: Iterable[str]) -> tuple[Record, ...]:
    """The records with these ids. Raises DeliveryError NOT_FOUND."""
    by_id = {_id_of(record): record for record in known}
    for one in ids:
        if one not in by_id:
            raise DeliveryError(
                "NOT_FOUND",
                f"no damaged record has the id {one[:80]!r}",
                hint="intelshare node repair lists them",
            )
    return tuple([by_id[one] for one in dict.fromkeys(ids)])


def _id_of(record: Record) -> str:
    return sha256(str(record).encode()).hex()[:12]


def _damaged(
    record: Record, mended: Mended | None, foreseen: Mended | None, *, serves: bool
) -> pb.DamagedRecord:
    settled = mended is not None and mended.outcome not in WAITING
    shown = mended or foreseen
    return pb.DamagedRecord(
        id=_id_of(record),
        table=record.table,
        key=str(record).partition(" ")[2],
        state=mended.outcome.value if mended is not None else "damaged",
        member=mended.member if mended is not None else "",
        remedy="" if settled else _remedy(record, shown, asked=mended is not None, serves=serves),
    )


def _remedy(record: Record, shown: Mended | None = None, *, asked: bool = False, serves: bool = True) -> str:
    """Return what settles a record: ``shown`` is what became of it, if that was ``asked``, or would."""
    if record.page:
        return record.page
    if shown is None or shown.outcome is RecordOutcome.STAYS:
        return _REMEDIES.get(record.table, _DROP)
    if not shown.member:
        return "the node makes it again, at once with --fetch" if serves else "--fetch makes it again"
    if asked:
        return f"it comes with the next link to {shown.member}"
    if serves:
        return f"the node asks {shown.member}, at once with --fetch"
    if shown.outcome is RecordOutcome.ASKED:
        return f"start the node, then --scrub: it asks {shown.member}"
    return f"--fetch, then start the node: it asks {shown.member}"


def release_command(actor: Actor, request: pb.ReleaseStreamRequest) -> ReleaseStreamCommand:
    """Which member's streams."""
    return ReleaseStreamCommand(actor.user, MemberCode(request.member), request.reason)


def release_response(result: ReleaseStreamResult, *_: object) -> pb.ReleaseStreamResponse:
    """Return the number of released streams."""
    return pb.ReleaseStreamResponse(streams=result.streams)


def allow_command(actor: Actor, request: pb.AllowReadingRequest) -> AllowReadingCommand:
    """Whose bulletins may be read."""
    return AllowReadingCommand(actor.user, MemberCode(request.member), request.reason)


def allow_response(member: MemberCode, *_: object) -> pb.AllowReadingResponse:
    """Return the member."""
    return pb.AllowReadingResponse(member=member)


def backup_command(actor: Actor, request: pb.NoteBackupRequest) -> NoteBackupCommand:
    """Which backup."""
    made = BackupMade(
        Digest(request.manifest), Incarnation(request.incarnation), request.log_size, actor.user
    )
    return NoteBackupCommand(made)


def backup_response(*_: object) -> pb.NoteBackupResponse:
    """Return nothing besides the fact."""
    return pb.NoteBackupResponse()


OPERATOR_ACTS: Final = (
    Rpc("Clock", OPERATORS, AsyncCall(clock)),
    Rpc("Repair", OPERATORS, AsyncCall(repair)),
    Rpc("ReleaseStream", OPERATORS, StepCall(release_command, release_stream, release_response)),
    Rpc("NoteBackup", OPERATORS, StepCall(backup_command, note_backup, backup_response)),
    Rpc("AllowReading", OPERATORS, StepCall(allow_command, allow_reading, allow_response)),
)
