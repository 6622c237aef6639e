"""Courier: in which order a bundle is written, and what happens to each message of a bundle that is taken in.

    written                                                              while
    -------------------------------------------------------------------  -------------------------------
    acknowledgements that are owed
    the more urgent of: a fresh pair, by the step "handover",            there is room
    or a statement that was signed before, by the step "resend_after"
    requests for what is missing, questions about logs, and answers      room or not: they are small

    taken in                step
    ---------------------   ----------------------------------------------------------------------------
    the head                "learn" its documents, "meet" what it says as at a link's hello
    a frame                 "receive"; its answers are owed to the next bundle to that member
    acknowledgements        "acknowledge"
    a gap request           "fill_late"
    a question about a log  owed;  its answer: "prove"

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
from intelshare.broker.kernel.frame import Ack, Acks, Frame, Gap, Message, Outbound
from intelshare.broker.line.courier import CourierCommand, Left, Owed, OwedNow
from intelshare.broker.line.hello import HelloResult
from intelshare.broker.line.receive import Arrival, ReceiveResult
from intelshare.broker.line.resend import Page, Place
from intelshare.crypto.records import Kind
from intelshare.engine.steps import Query, Step
from intelshare.engine.values import Committed, Event, QueuedAgain, RunQuery, RunStep
from intelshare.errors import EnvelopeError
from intelshare.ids import Digest, LeafId, MemberCode, UserUri
from intelshare.ports import Durable
from intelshare.trust.courier import CourierHello

AT_ONCE: Final = 4 << 20
"""The bytes that one step loads or seals."""

MAX_ACKS: Final = 256
"""The most acknowledgements in one message."""


@dataclass(frozen=True, slots=True)
class Put:
    """Write this message into the bundle."""

    message: Outbound | Acks | Gap | LogAsk | LogPath


@dataclass(frozen=True, slots=True)
class Spend:
    """Charge the member with what it has made this node keep."""

    spent: Mapping[Lasting, int]


Doing = RunStep | RunQuery | Put | Spend
"""A driver answers a step with its durable result, a query with its result, and the rest with None."""


def led_by(run: RunStep, done: Durable[Any]) -> list[Event]:
    """Return what to hand to the engine after a step, whatever becomes of the script: a link may be up."""
    match run.step:
        case Step.HANDOVER:
            return [Committed(done.part(lambda frames: Effects(outbound=frames)))]
        case Step.LEARN | Step.PROVE:
            return [Committed(done.part(lambda answer: answer.effects))]
        case Step.MEET:
            # What a peer that starts anew may have lost goes to it again.
            return [Committed(done.part(lambda answer: answer.effects)), QueuedAgain(run.event[0].member)]
        case Step.RECEIVE:
            arrival: Arrival = run.event[0]
            again = [QueuedAgain(arrival.member)] if done.value.again else []
            return [Committed(done.part(lambda answer: answer.effects)), *again]
        case Step.FILL_LATE:
            return [QueuedAgain(run.event[0])] if done.value else []
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
    left: Left
    releases_wait: bool
    """True if nothing was released: the clock is not believed, or there is no policy."""
    more: bool
    """True if the limit was reached: the next bundle has the rest."""

    @property
    def statements(self) -> int:
        """The number of all statements."""
        return self.releases + self.others


def pack(member: MemberCode, most: int, may_release: Callable[[], bool]) -> Generator[Doing, Any, Packed]:
    """Fill a bundle to a member with about ``most`` bytes at most. Raises what its steps raise."""
    due: OwedNow = yield RunQuery(Query.OWED, (member,))
    for start in range(0, len(due.acks), MAX_ACKS):
        yield Put(Acks(due.acks[start : start + MAX_ACKS]))
    tally = _Tally(most)
    while tally.room > 0 and (yield from _fill(member, tally, may_release)):
        pass
    gaps: Sequence[Gap] = yield RunQuery(Query.GAPS, (member,))
    requests: tuple[Gap | LogAsk, ...] = (*gaps, *due.asks)
    for request in requests:
        yield Put(request)
    for ask in due.paths:
        path: LogPath | None = yield RunQuery(Query.ANSWER, (ask,), beside=True)
        if path is not None:
            yield Put(path)
    left: Left = yield RunQuery(Query.LEFT, (member,))
    return Packed(
        tally.releases,
        len(tally.leaves) - tally.releases,
        len(due.acks),
        len(gaps) + len(due.asks),
        due.keys,
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
    after: Place = ()
    """The place up to which signed statements are in the bundle, or do not go."""
    spent: bool = False
    """True if a hand-over has found nothing that may go now."""


def _fill(member: MemberCode, tally: _Tally, may_release: Callable[[], bool]) -> Generator[Doing, Any, bool]:
    """Put in what is most urgent now; return True if there was anything."""
    may = may_release()
    tally.releases_wait |= not may
    taken, room = tally.leaves, min(tally.room, AT_ONCE)
    if may and not tally.spent:
        fresh: bool
        fresh, tally.after = yield RunQuery(Query.FRESH_BEFORE, (member, taken, tally.after))
        if fresh:
            handed: Durable[tuple[Outbound, ...]] = yield RunStep(Step.HANDOVER, ({member: room},))
            if handed.value:
                yield from _put(tally, handed.value)
                return True
            tally.spent = True
    loaded: Durable[Page] = yield RunStep(Step.RESEND_AFTER, (member, taken, room, may, tally.after))
    tally.after = loaded.value.after
    yield from _put(tally, loaded.value.frames)
    return loaded.value.more or bool(loaded.value.frames)


def _put(tally: _Tally, frames: Sequence[Outbound]) -> Generator[Doing, Any, None]:
    for outbound in frames:
        tally.leaves.update(outbound.leaves)
        tally.releases += sum([one.kind == Kind.RELEASE for one in outbound.frame.statements])
        tally.room -= sum([one.size for one in outbound.frame.statements])
        yield Put(outbound)


def log_written(by: UserUri, member: MemberCode, packed: Packed, digest: Digest, size: int) -> RunStep:
    """Return the step after which the last bytes of a bundle may leave."""
    return RunStep(Step.WRITTEN, (CourierCommand(by, member, digest, size, packed.statements), packed.keys))


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

    @property
    def member(self) -> MemberCode:
        """The member whose bundle it is."""
        return self.said.peer.member

    def begin(self, allowed: Mapping[Lasting, int] | None) -> Generator[Doing, Any, None]:
        """Take in the head. ``allowed`` bounds what the member may make this node keep."""
        peer = self.said.peer
        if self.said.documents:
            yield RunStep(Step.LEARN, (self.said.documents,))
        met: Durable[HelloResult] = yield RunStep(Step.MEET, (peer, allowed))
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
                arrival = Arrival(member, peer.node, message, believed, allowed)
                done: Durable[ReceiveResult] = yield RunStep(Step.RECEIVE, (arrival,))
                yield Spend(done.value.spent)
                self._count(done.value)
                yield RunStep(Step.OWE, (member, done.value.acks, (), ()))
                yield from self._ask(done.value.effects)
            case Acks():
                self._hear(message.acks)
                yield RunStep(Step.ACKNOWLEDGE, (member, message.acks))
            case Gap():
                yield RunStep(Step.FILL_LATE, (member, message, self.said.signed_at))
            case LogAsk():
                yield RunStep(Step.OWE, (member, (), (message,), ()))
            case LogPath():
                proved: Durable[Effects] = yield RunStep(Step.PROVE, (member, peer.node, message))
                yield from self._ask(proved.value)
            case _:
                raise EnvelopeError(
                    "ENVELOPE_MALFORMED", "the bundle contains a message that belongs only on a link"
                )

    def log(self, by: UserUri, digest: Digest, size: int, code: str) -> RunStep:
        """Return the last step, which logs the bundle."""
        return RunStep(Step.TAKEN_IN, (CourierCommand(by, self.member, digest, size, self.statements, code),))

    def _ask(self, effects: Effects) -> Generator[Doing, Any, None]:
        """Keep questions for this member for the next bundle."""
        asks = tuple([ask for member, ask in effects.asks if member == self.member])
        if asks:
            yield RunStep(Step.OWE, (self.member, (), (), asks))

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
