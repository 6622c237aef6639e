"""All links of a node: one per peer node, dialled by either side, given up never.

Of two links dialled at once the one dialled by the member whose code sorts first stays; otherwise a new link
ends the old one before its hello is answered: whoever dials anew knows that the old one is dead, even if this
side cannot know it yet (half-open). Every peer has its own loop and its own backoff.
"""

from __future__ import annotations

import asyncio
import contextlib
import random as _jitter
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import grpc

from intelshare.audit.path import LogAsk, LogPath
from intelshare.broker.kernel.effects import Effects, HasEffects
from intelshare.broker.kernel.frame import Outbound
from intelshare.broker.lifecycle.review import review
from intelshare.broker.line.hello import HelloResult
from intelshare.broker.transparency.checkpoint import answer, checkpoint
from intelshare.delivery import Backoff
from intelshare.errors import DeliveryError, IntelshareError, TrustError
from intelshare.ids import MemberCode, NodeUri
from intelshare.instant import SECOND
from intelshare.node.authn import Context, PeerCaller
from intelshare.node.dial import dial
from intelshare.node.events import Event
from intelshare.node.greeting import DEADLINE, greet_as_acceptor, greet_as_dialler
from intelshare.node.link import Link, Stream
from intelshare.node.runtime import Runtime, effects_of
from intelshare.node.sender import Sender
from intelshare.node.shredding import Shredder
from intelshare.node.wait import pause
from intelshare.policy import Snapshot
from intelshare.ports import Durable, Plan, Scalar, View
from intelshare.trust import Channel, PeerHello
from intelshare.trust.documents import DirectoryNode

L = TypeVar("L", bound=HasEffects)
T = TypeVar("T")

MAX_STREAMS: Final = 4
"""Streams of one peer node at once, those in their hello included."""


class Links:
    """Open links, by peer node; and the loops that dial."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._open: dict[NodeUri, Link] = {}
        self._dialling: dict[NodeUri, asyncio.Task[None]] = {}
        self._dials: set[asyncio.Task[None]] = set()
        self._keepers: dict[NodeUri, asyncio.Task[None]] = {}
        self._errors: dict[NodeUri, str] = {}
        self._streams: Counter[NodeUri] = Counter()
        self._changed: dict[NodeUri, asyncio.Event] = {}
        self._reviewed: Snapshot | None = None
        self._log_reader = ThreadPoolExecutor(1, "log-reader")
        self.pump = Sender(runtime, self.by_member)
        self.shredder = Shredder(runtime, self.act)
        self.say_log: Callable[[], Awaitable[object]] = lambda: self.act(checkpoint)
        """Sign where the log stands; the house's own, once there is one, sends it after the sidecar (c19)."""
        runtime.on_trust.append(self.trust_changed)

    def by_member(self) -> Mapping[MemberCode, Link]:
        """The link over which each member is served now: the newest."""
        return {link.member: link for link in self._open.values()}

    def state(self, node: NodeUri) -> tuple[str, str]:
        """(linked, dialling or waiting; the last error's code) of a peer node."""
        link = self._open.get(node)
        if link is not None:
            return "linked", link.last_error
        return ("dialling" if node in self._dialling else "waiting"), self._errors.get(node, "")

    def link(self, node: NodeUri) -> Link | None:
        """The open link to a peer node."""
        return self._open.get(node)

    def trust_changed(self) -> None:
        """Dial new nodes, end what must not go on, and try again what had waited for a document."""
        for link in list(self._open.values()):
            link.check()
        self.dial_all()
        for changed in self._changed.values():
            changed.set()
        for member in self.by_member():
            self.pump.wake(member)

    def dial_all(self) -> None:
        """Keep a loop for every peer node that this node dials."""
        trust, settings = self._runtime.node.trust, self._runtime.settings
        for member, held in trust.members.items():
            if member == settings.member or held.directory is None or not settings.dials(member):
                continue
            for node in held.directory.nodes:
                if node.uri not in self._keepers:
                    self._keepers[node.uri] = asyncio.create_task(self._keep(member, node.uri))

    def tick(self) -> None:
        """Once a second: ask for holes again, end links whose certificate has expired."""
        self.pump.clock_is_right()
        for link in list(self._open.values()):
            link.check()
            link.ask_again()

    async def review(self) -> None:
        """If the world has changed, by an act, a document or the clock: stop what may not go any more."""
        runtime = self._runtime
        present = runtime.node.world.at(runtime.now())
        if present is self._reviewed or runtime.clock.wrong():
            return
        after: tuple[Scalar, ...] = ()
        while True:
            after = (await self.act(review, after)).value.after
            if not after:
                break
        self._reviewed = present

    async def act(self, step: Callable[..., Plan[L]], *event: object) -> Durable[L]:
        """Carry out a step and what it leads to. Raises what it raises, and StoreError."""
        done = await self._runtime.step(step, *event)
        self.carry_out(done.part(effects_of))
        return done

    def carry_out(self, led: Durable[Effects]) -> None:
        """What durable writes lead to: statements go out, and what has ended is not sent again."""
        effects, now, links = led.value, self._runtime.now(), self.by_member()
        for member, leaf in effects.ended:
            if member in links:
                links[member].queue.acknowledged(leaf, now)
        for link in links.values():
            link.hand(led.part(_outbound))
        for member, ask in effects.asks:
            if member in links:
                links[member].ask_about(ask)
        for member in effects.ready:
            self.pump.wake(member)
        if effects.marked:
            self.shredder.wake()

    async def settled(self, seconds: float) -> None:
        """Wait until linked peers have acknowledged all that is on the way, and were answered what they ask
        about the last checkpoint, or so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not all(link.settled for link in self._open.values()):
                    await asyncio.sleep(0.01)

    async def close(self) -> None:
        """End all links and loops."""
        tasks = [*self._keepers.values(), *self._dials]
        for link in list(self._open.values()):
            link.end()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def serve(self, caller: PeerCaller, context: Context) -> None:
        """The peer port's Link call. Raises the error that ends it."""
        self._streams[caller.node] += 1
        try:
            if self._streams[caller.node] > MAX_STREAMS:
                raise DeliveryError("RATE", f"more than {MAX_STREAMS} links at once")
            self._make_way(caller)
            channel = Channel(caller.node, self._runtime.node.uri, caller.leaf)
            peer, met = await greet_as_acceptor(self._runtime, context, channel, caller.member)
            self._make_way(caller)

            def check() -> None:
                self._runtime.node.trust.identify(caller.certificate, self._runtime.now())

            link = self._link(peer, context, check, dialled=False)
            self._meet(link, met)
            await self._run(link)
        except TimeoutError:
            raise DeliveryError("RATE", f"no hello within {DEADLINE:.0f} s") from None
        finally:
            self._streams[caller.node] -= 1

    def _make_way(self, caller: PeerCaller) -> None:
        """Decide between this call and what there is; raises if what there is stays."""
        ours_first = self._runtime.node.member < caller.member
        dialling, link = self._dialling.get(caller.node), self._open.get(caller.node)
        at_once = dialling is not None or (
            link is not None and link.dialled and self._runtime.now() - link.since < DEADLINE * SECOND
        )
        if at_once and ours_first:
            raise DeliveryError("RATE", "both dialled at once, and ours stays")
        if dialling is not None:
            dialling.cancel()
        if link is not None:
            link.end()

    async def _keep(self, member: MemberCode, node: NodeUri) -> None:
        """Dial one peer node for ever: whenever there is no link, with backoff."""
        backoff = Backoff(contact=self._runtime.now())
        changed = self._changed.setdefault(node, asyncio.Event())
        # Not all at once after a start.
        await asyncio.sleep(_jitter.random() * 0.05)  # noqa: S311 - no secret
        while True:
            changed.clear()
            listed = self._runtime.node.trust.node(node)
            if node in self._open or listed is None or not listed[1].endpoints:
                backoff = backoff.heard(self._runtime.now())
                await changed.wait()
                continue
            began = self._runtime.now()
            task = asyncio.create_task(self._dial(member, listed[1]))
            self._dialling[node] = task
            self._dials.add(task)
            task.add_done_callback(self._dials.discard)
            await asyncio.wait([task])
            self._dialling.pop(node, None)
            failed = None if task.cancelled() else task.exception()
            if failed is not None:
                self._note(node, failed)
            # A link that ends as soon as it is open is a failure too: never a loop without a pause.
            if self._runtime.now() - began > DEADLINE * SECOND and failed is None:
                backoff = backoff.heard(self._runtime.now())
            backoff = backoff.failed()
            delay = backoff.delay(self._runtime.now(), self._runtime.random) / SECOND
            await pause(changed, delay)

    def _note(self, node: NodeUri, error: BaseException | None) -> None:
        code = error.code if isinstance(error, IntelshareError) else type(error).__name__
        if isinstance(error, grpc.aio.AioRpcError):
            said = dict(error.trailing_metadata() or ())
            code = str(said.get("intelshare-code", error.code().name))
        self._errors[node] = code
        self._runtime.log.info(Event.DIAL_FAILED, peer=node, code=code)

    async def _dial(self, member: MemberCode, node: DirectoryNode) -> None:
        """One attempt, and the link while it lasts. Raises what made it fail before the link was open."""
        opened = False
        self._runtime.node.trust.need_node(node.uri, self._runtime.now())
        try:
            async with dial(self._runtime, member, node) as (stream, channel):
                peer, met = await greet_as_dialler(self._runtime, stream, channel)

                def check() -> None:
                    self._check_listed(peer)

                link = self._link(peer, stream, check, dialled=True)
                opened = True
                self._dialling.pop(node.uri, None)
                self._meet(link, met)
                await self._run(link)
        except (IntelshareError, grpc.aio.AioRpcError, OSError) as error:
            if not opened:
                raise
            self._note(node.uri, error)

    def _check_listed(self, peer: PeerHello) -> None:
        trust, now = self._runtime.node.trust, self._runtime.now()
        member, _ = trust.need_node(peer.node, now)
        revoked = trust.revocation(peer.key)
        if member != peer.member or (revoked is not None and revoked.holds(now)):
            raise TrustError("PEER_REVOKED", f"the key that signed the hello of {peer.node} was revoked")

    def _link(self, peer: PeerHello, stream: Stream, check: object, *, dialled: bool) -> Link:
        link = Link(
            self._runtime,
            peer,
            stream,
            check=check,  # type: ignore[arg-type]
            wake=self.pump.wake,
            carry_out=self.carry_out,
            about_logs=self._about_logs,
            dialled=dialled,
        )
        old = self._open.pop(peer.node, None)
        if old is not None:
            old.end()
        self._open[peer.node] = link
        self._errors.pop(peer.node, None)
        self._tell(peer.node)
        return link

    async def _run(self, link: Link) -> None:
        log = self._runtime.log.bind(peer=link.node)
        log.info(
            Event.LINK_OPENED, role="dialler" if link.dialled else "acceptor", clock_offset_us=link.offset
        )
        self.pump.wake(link.member)
        try:
            await link.run()
        except IntelshareError as error:
            log.warning(Event.LINK_CLOSED, code=error.code)
            self._runtime.noticed(error)
            raise
        else:
            log.info(Event.LINK_CLOSED)
        finally:
            if self._open.get(link.node) is link:
                del self._open[link.node]
            self._tell(link.node)

    async def _about_logs(self, ask: LogAsk) -> LogPath | None:
        """How the own log follows from what a peer holds of it."""
        return await self.over_logs(lambda view: answer(self._runtime.node, view, ask))

    async def over_logs(self, question: Callable[[View], T]) -> T:
        """Ask something of the own logs. Beside the loop: it may read a whole log.

        One thread answers all: the question of a caller that is cancelled goes on, and the next one waits.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._log_reader, self._runtime.store.ask_now, question)

    async def stop_reading(self) -> None:
        """Take no more questions about logs, and wait for the one that is being answered."""
        await asyncio.to_thread(self._log_reader.shutdown, cancel_futures=True)

    def _meet(self, link: Link, met: Durable[HelloResult]) -> None:
        """Carry out what the hello led to."""
        self.carry_out(met.part(effects_of))
        link.ask(met.value.gaps)
        if met.value.forgot:
            self._runtime.log.warning(Event.PEER_FORGOT, peer=link.node, count=met.value.forgot)
        if met.value.lost:
            self._runtime.log.warning(Event.FORGOT, peer=link.node, count=met.value.lost)

    def _tell(self, node: NodeUri) -> None:
        changed = self._changed.get(node)
        if changed is not None:
            changed.set()


def _outbound(effects: Effects) -> tuple[Outbound, ...]:
    return effects.outbound
