"""Courier: in which order a bundle is written, and what happens to each message of a bundle that is taken in.

    written                                                              while
    -------------------------------------------------------------------  -------------------------------
    acknowledgements that are owed
    the more urgent of: a fresh pair, by the step "handover",            there is room
    or a statement that was signed before, by the step "resend_after"
    requests for what is missing, questions about logs, and answers      room or not: they are small
    files of what was handed over, those asked for from where they end   there is room; pieces are whole

    taken in                step
    ---------------------   ----------------------------------------------------------------------------
    the head                "learn" its documents, "accept_hello" what it says as at a link's hello
    a frame                 "receive"; its answers are owed to the next bundle to that member
    acknowledgements        "acknowledge"
    a gap request           "answer_gap_late"
    a question about a log  owed;  its answer: "prove"
    a request for a file    owed
    a slice of a file       none; a whole piece is written, if the file is wanted and it has its hash;
                            after the last one "arrived"

These are the steps of a link, and the engine carries out their effects (``led_by``), so that a link that is
up at the same time goes on with them. A script asks for one thing at a time; its driver does it, and sends
the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from intelshare.audit.path import LogAsk, LogPath
from intelshare.broker.kernel.allowance import Lasting
from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.frame import SLICE, Ack, Acks, Frame, Gap, Message, Outbound, Slice, SliceAsk
from intelshare.broker.kernel.tables import Owed
from intelshare.broker.lifecycle.attachments import Kept, Wanted
from intelshare.broker.line.courier import CourierCommand, Left, OwedNow
from intelshare.broker.line.hello import HelloResult
from intelshare.broker.line.receive import Arrival, ReceiveResult
from intelshare.broker.line.resend import SendPage, SendPlace
from intelshare.crypto.pieces import sealed_size
from intelshare.crypto.records import Kind
from intelshare.engine.actions import OpenPieces, ReadSlice, RunQuery, RunStep, WritePiece
from intelshare.engine.attachments import PER_PIECE, length_of, slices_of
from intelshare.engine.events import Committed, Event, QueuedAgain
from intelshare.engine.steps import Query, Step
from intelshare.engine.values import LinkId
from intelshare.errors import EnvelopeError, IntelshareError
from intelshare.ids import Digest, FilePlace, LeafId, MemberCode, UserUri
from intelshare.ports import Durable
from intelshare.statement import MAX_LEAVES
from intelshare.trust.courier import CourierHello

AT_ONCE: Final = 4 << 20
"""The bytes that one step loads or seals."""

MAX_ACKS: Final = 256
"""The most acknowledgements in one message."""


@dataclass(frozen=True, slots=True)
class WriteMessage:
    """Write this message into the bundle."""

    message: Outbound | Acks | Gap | LogAsk | LogPath | SliceAsk | Slice


@dataclass(frozen=True, slots=True)
class Spend:
    """Charge the member with what it has made this node keep."""

    spent: Mapping[Lasting, int]


Doing = RunStep | RunQuery | WriteMessage | Spend | OpenPieces | WritePiece | ReadSlice
"""A driver answers a step with its durable result, a query with its result, ``OpenPieces`` with the missing
pieces or the error, ``WritePiece`` with the error or None, ``ReadSlice`` with the bytes, and the rest with
None.
"""

MAX_ASKED: Final = 256
"""The most files that a bundle asks for."""

_NO_LINK: Final = LinkId(0)


def led_by(run: RunStep, done: Durable[Any]) -> list[Event]:
    """Return what to hand to the engine after a step, whatever becomes of the script: a link may be up."""
    match run.step:
        case Step.HANDOVER:
            return [Committed(done.part(lambda frames: Effects(outbound=frames)))]
        case Step.LEARN | Step.PROVE | Step.ARRIVED:
            return [Committed(done.part(lambda answer: answer.effects))]
        case Step.ACCEPT_HELLO:
            # What a peer that starts anew may have lost goes to it again.
            return [Committed(done.part(lambda answer: answer.effects)), QueuedAgain(run.member)]
        case Step.RECEIVE:
            again = [QueuedAgain(run.member)] if done.value.again else []
            return [Committed(done.part(lambda answer: answer.effects)), *again]
        case Step.ANSWER_GAP_LATE:
            return [QueuedAgain(run.member)] if done.value else []
        case _:
            return []


@dataclass(frozen=True, slots=True)
class Packed:
    """The content of a bundle."""

    releases: int
    others: int
    """Other statements: receipts, recalls, stream heads, acts, documents, checkpoints."""
    acks: int
    requests: int
    keys: tuple[tuple[Owed, bytes], ...]
    """The keys of what is no longer owed once the bundle is complete."""
    files: int
    """The files that are in it to their end."""
    files_left: int
    """The files that found no room, or not for all their pieces."""
    left: Left
    releases_wait: bool
    """True if nothing was released: the clock is not believed, or there is no policy."""
    more: bool
    """True if the limit was reached: the next bundle has the rest."""

    @property
    def statements(self) -> int:
        """The number of all statements."""
        return self.releases + self.others


def pack(
    member: MemberCode, most: int, may_release: Callable[[], bool], covers: Callable[[Outbound], bool]
) -> Generator[Doing, Any, Packed]:
    """Fill a bundle to a member with about ``most`` bytes at most. Raises what its steps raise.

    ``covers``: False for a frame with a checkpoint that is not in the sidecar yet; a later bundle has it.
    """
    due: OwedNow = yield RunQuery(Query.OWED, (member,))
    for start in range(0, len(due.acks), MAX_ACKS):
        yield WriteMessage(Acks(due.acks[start : start + MAX_ACKS]))
    tally = _Tally(most)
    while tally.room > 0 and (yield from _fill(member, tally, may_release, covers)):
        pass
    gaps: Sequence[Gap] = yield RunQuery(Query.GAPS, (member,))
    requests: tuple[Gap | LogAsk, ...] = (*gaps, *due.asks)
    for request in requests:
        yield WriteMessage(request)
    for ask in due.paths:
        path: LogPath | None = yield RunQuery(Query.ANSWER, (ask,), beside=True)
        if path is not None:
            yield WriteMessage(path)
    asked = yield from _ask_for_files(member)
    files, files_left = yield from _put_files(member, tally, due.files)
    left: Left = yield RunQuery(Query.LEFT, (member,))
    return Packed(
        tally.releases,
        len(tally.leaves) - tally.releases,
        len(due.acks),
        len(gaps) + len(due.asks) + asked,
        due.keys,
        files,
        files_left,
        left,
        tally.releases_wait,
        tally.room <= 0 and (left.queued > 0 or left.pending > len(tally.leaves)),
    )


@dataclass(slots=True)
class _Tally:
    room: int
    leaves: set[LeafId] = field(default_factory=set)
    releases: int = 0
    releases_wait: bool = False
    after: SendPlace = ()
    """The place up to which signed statements are in the bundle, or do not go."""
    spent: bool = False
    """True if a hand-over has found nothing that may go now."""


def _fill(
    member: MemberCode, tally: _Tally, may_release: Callable[[], bool], covers: Callable[[Outbound], bool]
) -> Generator[Doing, Any, bool]:
    """Put in what is most urgent now; return True if there was anything."""
    may = may_release()
    tally.releases_wait |= not may
    taken, room = tally.leaves, min(tally.room, AT_ONCE)
    ready: int | None = None
    if may and not tally.spent:
        fresh: bool
        fresh, tally.after, ready = yield RunQuery(Query.FRESH_BEFORE, (member, taken, tally.after))
        if fresh:
            handed: Durable[tuple[Outbound, ...]] = yield RunStep(Step.HANDOVER, ({member: room}, MAX_LEAVES))
            if handed.value:
                yield from _put(tally, handed.value)
                return True
            tally.spent, ready = True, None
    loaded: Durable[SendPage] = yield RunStep(
        Step.RESEND_AFTER, (member, taken, room, may, tally.after, ready)
    )
    tally.after = loaded.value.after
    yield from _put(tally, [frame for frame in loaded.value.frames if covers(frame)])
    return loaded.value.more or bool(loaded.value.frames)


def _put(tally: _Tally, frames: Sequence[Outbound]) -> Generator[Doing, Any, None]:
    for outbound in frames:
        tally.leaves.update(outbound.leaves)
        tally.releases += sum([one.kind == Kind.RELEASE for one in outbound.frame.statements])
        tally.room -= sum([one.size for one in outbound.frame.statements])
        yield WriteMessage(outbound)


def _ask_for_files(member: MemberCode) -> Generator[Doing, Any, int]:
    """Ask for the files of a member that are not whole here, each from its first missing piece on."""
    asked: list[FilePlace] = []
    while len(asked) < MAX_ASKED:
        wanted: Wanted | None = yield RunQuery(Query.FIRST_WANTED, (member, tuple(asked)))
        if wanted is None:
            break
        asked.append(wanted.place)
        missing = yield OpenPieces(wanted.place, member, wanted.size, wanted.pieces)
        if not isinstance(missing, IntelshareError) and missing:
            yield WriteMessage(SliceAsk(wanted.pieces_id, missing[0] * PER_PIECE))
    return len(asked)


def _put_files(
    member: MemberCode, tally: _Tally, asked: Mapping[Digest, int]
) -> Generator[Doing, Any, tuple[int, int]]:
    """Put in the files of what was handed over; return how many are whole in it, and how many are not."""
    whole = left = 0
    files: Sequence[Digest] = yield RunQuery(Query.FILES_FOR, (member, tuple(asked)))
    for pieces in files:
        kept: Kept | None = yield RunQuery(Query.SERVES, (member, pieces))
        if kept is None:
            continue
        end = yield from _put_file(tally, kept, pieces, asked.get(pieces, 0))
        whole += end
        left += not end
    return whole, left


def _put_file(tally: _Tally, kept: Kept, pieces: Digest, first: int) -> Generator[Doing, Any, bool]:
    """Put in a file from a slice on, up to a whole piece; return True if that was its end."""
    size = sealed_size(kept.size)
    number = first - first % PER_PIECE
    while (start := number * SLICE) < size:
        if number % PER_PIECE == 0 and tally.room <= 0:
            return False
        length = min(SLICE, size - start)
        data: bytes = yield ReadSlice(_NO_LINK, SliceAsk(pieces, number), kept.place, start, length)
        if len(data) != length:
            return False  # a damaged piece, or the file has ended
        tally.room -= length
        yield WriteMessage(Slice(pieces, number, data))
        number += 1
    return True


def log_written(by: UserUri, member: MemberCode, packed: Packed, digest: Digest, size: int) -> RunStep:
    """Return the step after which the last bytes of a bundle may leave."""
    return RunStep(Step.WRITTEN, (CourierCommand(by, member, digest, size, packed.statements), packed.keys))


@dataclass(slots=True)
class _File:
    """The file whose slices are coming: at most one piece of it is in memory.

    Nothing was requested, unlike in ``attachments.Fetching``: slices may begin anywhere and some may be
    missing, so that the order is checked here, and there the answer to each request.
    """

    pieces: Digest
    wanted: Wanted | None = None
    """None: it is not wanted, or it is over."""
    missing: set[int] = field(default_factory=set)
    parts: list[bytes] = field(default_factory=list)
    """The slices of a piece from its first one on."""
    next: int = 0
    """The slice that continues ``parts``."""

    def add(self, message: Slice) -> bool:
        """Add a slice; return True if it completes a piece. One that does not continue the piece ends it."""
        wanted, number = self.wanted, message.number
        if wanted is None or not 0 <= number * SLICE < sealed_size(wanted.size):
            return False
        if number % PER_PIECE and number != self.next:
            self.parts.clear()
            self.next = -1
            return False
        if number % PER_PIECE == 0:
            self.parts.clear()
        if len(message.data) != length_of(wanted, number):
            self.next = -1
            return False
        self.parts.append(message.data)
        self.next = number + 1
        return len(self.parts) == slices_of(wanted, number // PER_PIECE)


@dataclass(slots=True)
class TakenIn:
    """One bundle that is being taken in: its head, and its results so far."""

    said: CourierHello
    accepted: int = 0
    """The number of bulletins that are new here."""
    statements: int = 0
    acks: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    """Statements that this node rejected, counted by code."""
    rejected_there: dict[str, int] = field(default_factory=dict)
    """This node's statements that the member rejected, counted by code."""
    files: int = 0
    """The files that are whole here since."""
    _file: _File | None = None

    @property
    def member(self) -> MemberCode:
        """The member whose bundle it is."""
        return self.said.peer.member

    def begin(self, allowed: Mapping[Lasting, int] | None) -> Generator[Doing, Any, None]:
        """Take in the head. ``allowed`` bounds what the member may make this node keep."""
        peer = self.said.peer
        if self.said.documents:
            yield RunStep(Step.LEARN, (self.said.documents,))
        met: Durable[HelloResult] = yield RunStep(Step.ACCEPT_HELLO, (peer, (), allowed), member=peer.member)
        yield Spend(met.value.spent)
        yield from self._ask(met.value.effects)

    def take(
        self, message: Message, allowed: Mapping[Lasting, int] | None, *, believed: bool
    ) -> Generator[Doing, Any, None]:
        """Take in one message.

        Raises EnvelopeError ENVELOPE_MALFORMED for one that does not belong in a bundle.
        """
        member, peer = self.member, self.said.peer
        match message:
            case Frame():
                arrival = Arrival(member, peer.node, message, believed, allowed, bundle=True)
                done: Durable[ReceiveResult] = yield RunStep(Step.RECEIVE, (arrival,), member=member)
                yield Spend(done.value.spent)
                self._count(done.value)
                yield RunStep(Step.OWE, (member, done.value.acks, (), (), ()))
                yield from self._ask(done.value.effects)
            case Acks():
                self._hear(message.acks)
                yield RunStep(Step.ACKNOWLEDGE, (member, message.acks))
            case Gap():
                yield RunStep(Step.ANSWER_GAP_LATE, (member, message, self.said.signed_at), member=member)
            case LogAsk():
                yield RunStep(Step.OWE, (member, (), (message,), (), ()))
            case LogPath():
                proved: Durable[Effects] = yield RunStep(Step.PROVE, (member, peer.node, message))
                yield from self._ask(proved.value)
            case SliceAsk():
                yield RunStep(Step.OWE, (member, (), (), (), (message,)))
            case Slice():
                yield from self._take_slice(message)
            case _:
                raise EnvelopeError(
                    "ENVELOPE_MALFORMED", "the bundle contains a message that belongs only on a link"
                )

    def log(self, by: UserUri, digest: Digest, size: int, code: str) -> RunStep:
        """Return the last step, which logs the bundle."""
        return RunStep(Step.TAKEN_IN, (CourierCommand(by, self.member, digest, size, self.statements, code),))

    def _take_slice(self, message: Slice) -> Generator[Doing, Any, None]:
        """Take a slice of a file that is wanted; whatever does not fit is not written."""
        if self._file is None or self._file.pieces != message.pieces:
            self._file = _File(message.pieces)
            yield from self._open(self._file)
        file = self._file
        if file.wanted is None or not file.add(message):
            return
        number, parts = message.number // PER_PIECE, tuple(file.parts)
        file.parts.clear()
        if number not in file.missing:
            return
        error: IntelshareError | None = yield WritePiece(
            file.wanted.place, number, parts, file.wanted.pieces[number]
        )
        if error is not None:
            self._refuse(file, error)
            return
        file.missing.discard(number)
        yield from self._end(file)

    def _open(self, file: _File) -> Generator[Doing, Any, None]:
        wanted: Wanted | None = yield RunQuery(Query.WANTED_BY_ID, (self.member, file.pieces))
        if wanted is None:
            return
        missing = yield OpenPieces(wanted.place, self.member, wanted.size, wanted.pieces)
        if isinstance(missing, IntelshareError):
            self._refuse(file, missing)
            return
        file.wanted = wanted
        file.missing.update(missing)
        yield from self._end(file)

    def _end(self, file: _File) -> Generator[Doing, Any, None]:
        if file.wanted is not None and not file.missing:
            yield RunStep(Step.ARRIVED, (file.wanted.place,))
            self.files += 1
            file.wanted = None

    def _refuse(self, file: _File, error: IntelshareError) -> None:
        """Skip the rest of a file. It stays wanted, so it is asked for again."""
        self.rejected[error.code] = self.rejected.get(error.code, 0) + 1
        file.wanted = None

    def _ask(self, effects: Effects) -> Generator[Doing, Any, None]:
        """Keep questions for this member for the next bundle."""
        asks = tuple([ask for member, ask in effects.asks if member == self.member])
        if asks:
            yield RunStep(Step.OWE, (self.member, (), (), asks, ()))

    def _count(self, done: ReceiveResult) -> None:
        self.accepted += done.accepted
        self.statements += len(done.acks)
        for ack in done.acks:
            if ack.code:
                self.rejected[ack.code] = self.rejected.get(ack.code, 0) + 1

    def _hear(self, acks: Sequence[Ack]) -> None:
        for ack in acks:
            self.acks += not ack.code
            if ack.code:
                self.rejected_there[ack.code] = self.rejected_there.get(ack.code, 0) + 1
