"""One open link to a peer node: what is read from it, what is written to it, and when it must end.

Only durable statements are written (``Durable``): the type says that their commit came before their first
byte. Control messages go before frames, urgent frames before others; what was written is never overtaken,
so the window (delivery.LinkQueue) keeps that little.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, Final, Protocol

import grpc

from intelshare.audit.path import LogAsk, LogPath
from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.frame import Ack, Frame, Gap, Outbound
from intelshare.broker.line import hello
from intelshare.broker.line.receive import Arrival, receive
from intelshare.broker.transparency import witness
from intelshare.broker.treaty.act import forgotten
from intelshare.crypto.codec import decode
from intelshare.crypto.pae import sha256
from intelshare.crypto.records import Checkpoint, Kind
from intelshare.delivery import Backoff, LinkQueue
from intelshare.errors import DeliveryError, EnvelopeError, IntelshareError
from intelshare.ids import LeafId, MemberCode, NodeUri
from intelshare.instant import SECOND, Instant
from intelshare.node.events import Event
from intelshare.node.runtime import Runtime, effects_of
from intelshare.ports import Durable
from intelshare.trust import PeerHello
from intelshare.wire import (
    Acks,
    Hello,
    acks_message,
    ask_message,
    frame_message,
    gap_message,
    path_message,
    read_message,
)

FRAMES_AT_WORK: Final = 4
"""Frames of one peer that may be in the store's queue: while one commits, the next are read."""

MAX_REQUESTS: Final = 64
"""Gap requests of one peer in a minute; more is RATE."""

MAX_ABOUT_LOGS: Final = 600
"""Asks and answers of one peer about logs in a minute; more is RATE."""

MAX_UNREADABLE: Final = 16
"""Unreadable messages of one link; more is RATE."""

_CONTROL: Final = 0
_RANKS: Final = 4


class Stream(Protocol):
    """Either end of a gRPC stream of bytes."""

    async def read(self) -> Any:
        """The next message, or ``grpc.aio.EOF``."""

    async def write(self, message: bytes) -> None:
        """Send one; returns when gRPC has taken it."""


class Link:
    """An open link, after the hello."""

    def __init__(
        self,
        runtime: Runtime,
        peer: PeerHello,
        stream: Stream,
        *,
        check: Callable[[], None],
        wake: Callable[[MemberCode | None], None],
        carry_out: Callable[[Durable[Effects]], None],
        about_logs: Callable[[LogAsk], Awaitable[LogPath | None]],
        dialled: bool,
    ) -> None:
        """``check`` raises when the peer must not be listened to any more; ``wake`` tells the pump."""
        self.member: MemberCode = peer.member
        self.node: NodeUri = peer.node
        self.since: Instant = runtime.now()
        self.offset = peer.offset
        self.dialled = dialled
        self.queue = LinkQueue()
        self.last_error = ""
        self._runtime = runtime
        self._stream = stream
        self._check = check
        self._wake = wake
        self._carry_out = carry_out
        self._about_logs = about_logs
        self._out: tuple[deque[bytes], ...] = tuple(deque() for _ in range(1 + _RANKS))
        self._outgoing = asyncio.Event()
        self._slots = asyncio.Semaphore(FRAMES_AT_WORK)
        self._working: set[asyncio.Task[None]] = set()
        self._acknowledged: list[Ack] = []
        self._asked: dict[tuple[str, int], tuple[Gap, Instant, Backoff]] = {}
        self._requests: deque[Instant] = deque(maxlen=MAX_REQUESTS)
        self._logs: deque[Instant] = deque(maxlen=MAX_ABOUT_LOGS)
        self._said: tuple[LeafId, tuple[int, int]] | None = None
        """The last own checkpoint on this link about whose path the peer has not asked yet."""
        self._unreadable = 0
        self._ended: asyncio.Future[IntelshareError | None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Until the peer ends it or ``end`` is called. Raises the error that ended it."""
        tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._write())]
        try:
            waited: list[asyncio.Future[Any]] = [*tasks, self._ended]
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if self._ended.done() and (error := self._ended.result()) is not None:
                raise error
            for task in tasks:
                if task.done() and (failed := task.exception()) is not None:
                    raise failed
        finally:
            for task in (*tasks, *self._working):
                task.cancel()
            await asyncio.gather(*tasks, *self._working, return_exceptions=True)

    def end(self, error: IntelshareError | None = None) -> None:
        """End the link, with the reason that the peer is told."""
        if not self._ended.done():
            self._ended.set_result(error)

    def check(self) -> None:
        """End the link if the peer must not be listened to any more (revoked, expired, unlisted)."""
        try:
            self._check()
        except IntelshareError as error:
            self.end(error)

    def hand(self, said: Durable[Sequence[Outbound]]) -> None:
        """Put durable statements for this peer on the link."""
        for outbound in said.value:
            if outbound.peer == self.member:
                statements = zip(outbound.leaves, outbound.frame.statements, strict=True)
                self.queue.sent([(leaf, carried.size) for leaf, carried in statements])
                self._post(1 + outbound.rank, frame_message(outbound.frame))
                for leaf, carried in zip(outbound.leaves, outbound.frame.statements, strict=True):
                    if carried.kind is Kind.CHECKPOINT:
                        where = decode(Checkpoint, carried.data)
                        self._said = leaf, (where.incarnation, where.size)

    @property
    def settled(self) -> bool:
        """Whether the peer has acknowledged all, and was answered how the last checkpoint follows."""
        return not (self.queue.unacknowledged or self._said or any(self._out))

    def ask(self, gaps: Iterable[Gap]) -> None:
        """Ask for what is missing, each stream no more often than its backoff allows."""
        now = self._runtime.now()
        for gap in gaps:
            key = gap.origin, gap.incarnation
            _, due, backoff = self._asked.get(key, (gap, now, Backoff(contact=now)))
            if due <= now:
                self._post(_CONTROL, gap_message(gap))
                backoff = backoff.failed()
                due = Instant(now + SECOND // 2 + backoff.delay(now, self._runtime.random))
            self._asked[key] = gap, due, backoff

    def ask_again(self) -> None:
        """Ask again for what is due and still missing."""
        for (origin, incarnation), _ in list(self._asked.items()):
            gap = self._runtime.store.ask_now(
                lambda view, key=(origin, incarnation): hello.still_missing(view, self.member, *key)  # type: ignore[misc]
            )
            if gap is not None:
                self.ask([gap])
            else:
                del self._asked[origin, incarnation]

    def _post(self, place: int, message: bytes) -> None:
        self._out[place].append(message)
        self._outgoing.set()

    async def _write(self) -> None:
        while True:
            waiting = next((line for line in self._out if line), None)
            if waiting is None:
                self._outgoing.clear()
                await self._outgoing.wait()
                continue
            await self._stream.write(waiting[0])
            waiting.popleft()

    async def _read(self) -> None:
        while (raw := await self._stream.read()) is not grpc.aio.EOF:
            self._check()
            try:
                message = read_message(raw)
            except EnvelopeError as error:
                self._reject(raw, error)
                continue
            match message:
                case Frame():
                    await self._slots.acquire()
                    task = asyncio.create_task(self._take(message))
                    self._working.add(task)
                    task.add_done_callback(self._taken)
                case Acks():
                    self._hear(message.acks)
                case Gap():
                    self._limit(self._requests)
                    await self._fill(message)
                case LogAsk():
                    self._limit(self._logs)
                    self._spawn(self._answer(message))
                case LogPath():
                    self._limit(self._logs)
                    await self._prove(message)
                case Hello():
                    raise EnvelopeError("ENVELOPE_MALFORMED", "a second hello on one link")

    def _reject(self, raw: bytes, error: EnvelopeError) -> None:
        self._runtime.log.warning(Event.FRAME_REJECTED, peer=self.node, code=error.code, size=len(raw))
        self._unreadable += 1
        if self._unreadable > MAX_UNREADABLE:
            raise DeliveryError("RATE", "too many messages that cannot be read")
        now = self._runtime.now()
        self._post(_CONTROL, acks_message([Ack(sha256(raw), error.code, now)], now))

    async def _take(self, frame: Frame) -> None:
        arrival = Arrival(self.member, self.node, frame, not self._runtime.clock.wrong())
        durable = await self._runtime.step(receive, arrival)
        taken = durable.value
        self._post(_CONTROL, acks_message(taken.acks, self._runtime.now()))
        self._carry_out(durable.part(effects_of))
        if taken.gaps:
            self.ask(taken.gaps)
        if taken.again:
            self.queue.more = True
            self._wake(None)

    def _taken(self, task: asyncio.Task[None]) -> None:
        self._working.discard(task)
        self._slots.release()
        if not task.cancelled() and (failed := task.exception()) is not None:
            self.end(failed if isinstance(failed, IntelshareError) else _defect())

    def _hear(self, acks: Sequence[Ack]) -> None:
        now = self._runtime.now()
        for ack in acks:
            leaf = LeafId(ack.digest)
            if ack.code:
                self.last_error = ack.code
                self.queue.rejected(leaf, now, self._runtime.random)
                if self._said is not None and self._said[0] == leaf:
                    self._said = None
                self._runtime.log.warning(Event.REJECTED_BY_PEER, peer=self.node, code=ack.code)
            else:
                self.queue.acknowledged(leaf, now)
        if acks:
            self.offset = acks[0].time - now
        busy = bool(self._acknowledged)
        self._acknowledged.extend(ack for ack in acks if not ack.code)
        if self._acknowledged and not busy:
            self._spawn(self._acknowledge())
        self._wake(None)

    async def _acknowledge(self) -> None:
        # What arrives while one commit runs shares the next.
        while acks := self._acknowledged[:]:
            await self._runtime.step(hello.acknowledge, self.member, acks)
            del self._acknowledged[: len(acks)]

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._working.discard(task)
        if not task.cancelled() and (failed := task.exception()) is not None:
            self.end(failed if isinstance(failed, IntelshareError) else _defect())

    async def _fill(self, gap: Gap) -> None:
        runtime = self._runtime
        if gap.acts and (
            count := runtime.store.ask_now(lambda view: forgotten(runtime.node, view, gap.acts))
        ):
            runtime.log.warning(Event.ACTS_FORGOTTEN, peer=self.node, count=count)
        durable = await runtime.step(hello.answer_gap, self.member, gap)
        if durable.value:
            self.queue.more = True
            self._wake(None)

    async def _answer(self, ask: LogAsk) -> None:
        path = await self._about_logs(ask)
        if path is not None:
            self._post(_CONTROL, path_message(path))
        if self._said is not None and self._said[1] == (ask.until, ask.until_size):
            self._said = None

    async def _prove(self, path: LogPath) -> None:
        durable = await self._runtime.step(witness.prove, self.member, self.node, path)
        self._carry_out(durable)

    def ask_about(self, ask: LogAsk) -> None:
        """Ask how a log follows from what is held of it."""
        self._post(_CONTROL, ask_message(ask))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._working.add(task)
        task.add_done_callback(self._finished)

    def _limit(self, lately: deque[Instant]) -> None:
        now = self._runtime.now()
        if len(lately) == lately.maxlen and now - lately[0] < 60 * SECOND:
            raise DeliveryError("RATE", f"more than {lately.maxlen} requests in a minute")
        lately.append(now)


def _defect() -> IntelshareError:
    return DeliveryError("INTERNAL", "a defect ended the link")
