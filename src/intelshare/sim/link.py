"""One side of a link in one process: hello, what is on the way, what was asked for. It decides nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from intelshare.audit.path import LogAsk, LogPath
from intelshare.broker.kernel.frame import Ack, Frame, Gap, Outbound
from intelshare.broker.line import hello
from intelshare.broker.line.hello import HelloResult
from intelshare.broker.line.receive import ReceiveResult
from intelshare.broker.transparency.checkpoint import answer
from intelshare.crypto.codec import decode, encode
from intelshare.delivery import Backoff, LinkQueue
from intelshare.errors import IntelshareError
from intelshare.ids import LeafId, MemberCode
from intelshare.instant import SECOND
from intelshare.sim.network import Wire
from intelshare.trust import HelloPayload, PeerHello
from intelshare.wire import (
    Acks,
    Hello,
    acks_message,
    ask_message,
    frame_message,
    gap_message,
    hello_message,
    path_message,
    read_message,
)

if TYPE_CHECKING:
    from intelshare.sim.process import Process

_OPENING = b"opening"


class Link:
    """Opens with three messages: "opening", what the acceptor holds, what the dialler holds."""

    def __init__(self, process: Process, peer: str, *, dialled: bool) -> None:
        self.name = process.name
        self.peer = MemberCode(peer)
        self.open = False
        self.gone = False
        self.queue = LinkQueue()
        self._process = process
        self._dialled = dialled
        self._met = False
        self._early: list[bytes] = []
        self._asked: dict[tuple[str, int], tuple[int, Backoff]] = {}
        self._acknowledged: list[Ack] = []
        self._ticking = False
        self.wire: Wire | None = None

    def dial(self) -> None:
        """The dialler begins."""
        self._send(_OPENING)

    def broken(self) -> None:
        """This side knows that the link is gone."""
        if self.gone:
            return
        self.gone, self.open = True, False
        if self._process.alive:
            self._process.lost(self)

    def _send(self, message: bytes) -> None:
        if not self.gone and self._process.alive and self.wire is not None:
            self.wire.send(self.name, message)

    def arrived(self, message: bytes) -> None:
        """A message of the other side. Nobody reads from a link that is known to be gone."""
        if self.gone or not self._process.alive:
            return
        if message == _OPENING:
            self._send(self._greeting())
        elif not self._met:
            self._meet(message)
        elif not self.open:
            self._early.append(message)
        else:
            self._take(message)

    def _greeting(self) -> bytes:
        process = self._process
        payload = hello.make_hello(process.node, process.view, self.peer, process.now())
        return hello_message(encode(HelloPayload, payload))

    def _meet(self, message: bytes) -> None:
        said = read_message(message)
        if not isinstance(said, Hello):
            raise AssertionError("a link begins with a hello")
        self._met = True
        process, payload = self._process, decode(HelloPayload, said.payload)
        node, key = process.uri_of(self.peer), process.node.signer.key_id
        peer = PeerHello(self.peer, node, key, payload, payload.time - process.now())
        process.perform("meet", peer, then=self._opened, refused=self._refused)

    def _opened(self, met: HelloResult) -> None:
        if self._dialled:
            self._send(self._greeting())
        self.open = not self.gone
        self._process.carry_out(met)
        self.ask(met.gaps)
        early, self._early = self._early, []
        for message in early:
            self._take(message)
        self._process.wake(self.peer)

    def _refused(self, error: IntelshareError) -> None:
        self._process.heap.note("hello refused", self.name, self.peer, error.code)
        self.broken()

    def _take(self, message: bytes) -> None:
        process = self._process
        match read_message(message):
            case Frame() as frame:
                process.receive(self.peer, frame, self._taken)
            case Acks(acks):
                self._hear(acks)
            case LogAsk() as ask:
                answered = answer(process.node, process.view, ask)
                if answered is not None:
                    self._send(path_message(answered))
            case LogPath() as path:
                process.perform("prove", self.peer, process.uri_of(self.peer), path, then=process.carry_out)
            case Gap() as gap:
                process.perform("fill", self.peer, gap, then=self._filled)
            case _:
                raise AssertionError("a second hello")

    def ask_about(self, ask: LogAsk) -> None:
        """Ask how a log follows from what is held of it."""
        if self.open:
            self._send(ask_message(ask))

    def repeated(self, frame: Frame) -> None:
        """A frame comes once more, on a way where nobody waits for its acknowledgement."""
        self._process.receive(self.peer, frame, self._learned)

    def _taken(self, taken: ReceiveResult) -> None:
        self._send(acks_message(taken.acks, self._process.now()))
        self._learned(taken)

    def _learned(self, taken: ReceiveResult) -> None:
        self._process.carry_out(taken)
        self.ask(taken.gaps)
        if taken.again:
            self.queue.more = True
        self._process.wake()

    def hand(self, said: Iterable[Outbound]) -> None:
        """Put what is durable on the link, as far as it is for this peer."""
        if not self.open:
            return
        for outbound in said:
            if outbound.peer == self.peer:
                self.queue.sent(
                    [
                        (leaf, c.size)
                        for leaf, c in zip(outbound.leaves, outbound.frame.statements, strict=True)
                    ]
                )
                self._process.oracle.sent(self._process, outbound)
                self._send(frame_message(outbound.frame))

    def _hear(self, acks: Sequence[Ack]) -> None:
        process, now = self._process, self._process.now()
        for ack in acks:
            if ack.code:
                process.heap.note("rejected", self.peer, self.name, ack.code)
                process.oracle.rejected(ack.code)
                self.queue.rejected(LeafId(ack.digest), now, process.random)
            else:
                self.queue.acknowledged(LeafId(ack.digest), now)
        busy = bool(self._acknowledged)
        self._acknowledged.extend(ack for ack in acks if not ack.code)
        if self._acknowledged and not busy:
            self._acknowledge()
        process.wake()

    def _acknowledge(self) -> None:
        acks = self._acknowledged[:]

        def done(_: object) -> None:
            del self._acknowledged[: len(acks)]
            if self._acknowledged:
                self._acknowledge()

        self._process.perform("acknowledge", self.peer, acks, then=done)

    def _filled(self, found: bool) -> None:
        if found:
            self.queue.more = True
            self._process.wake()

    def ask(self, gaps: Iterable[Gap]) -> None:
        """Ask for what is missing, each stream no more often than its backoff allows."""
        now = self._process.now()
        for gap in gaps:
            due, backoff = self._asked.get((gap.origin, gap.incarnation), (now, Backoff(contact=now)))
            if due <= now:
                self._send(gap_message(gap))
                backoff = backoff.failed()
                due = now + SECOND // 2 + backoff.delay(now, self._process.random)
            self._asked[gap.origin, gap.incarnation] = due, backoff
        if self._asked and not self._ticking and self.open:
            self._ticking = True
            self._process.heap.after(SECOND, self._tick)

    def _tick(self) -> None:
        self._ticking = False
        if not self.open or not self._process.alive:
            return
        again = []
        for origin, incarnation in list(self._asked):
            gap = hello.still_missing(self._process.view, self.peer, origin, incarnation)
            if gap is not None:
                again.append(gap)
            else:
                del self._asked[origin, incarnation]
        self.ask(again)
