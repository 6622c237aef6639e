"""Keeps the links full: whenever something became ready or a window opened, hands over what fits.

Driven by events, not by polling. What is ready while one commit runs shares the next: that is the batching,
there is no other. A fresh statement that is more urgent goes before what is sent again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from intelshare.broker.line.handover import first_ready, handover
from intelshare.broker.line.resend import first_pending, resend, resend_but_releases
from intelshare.broker.queries.lists import queued
from intelshare.errors import StoreError
from intelshare.ids import MemberCode
from intelshare.instant import SECOND, Instant
from intelshare.node.link import Link
from intelshare.node.runtime import Runtime
from intelshare.node.wait import pause
from intelshare.ports import View


class Sender:
    """The one loop that hands over, for all links together."""

    def __init__(self, runtime: Runtime, links: Callable[[], Mapping[MemberCode, Link]]) -> None:
        self._runtime = runtime
        self._links = links
        self._wake = asyncio.Event()
        self._ready: dict[MemberCode, int] = {}
        """Peers for which pairs may be ready; with how many there were when nothing went."""

    def wake(self, member: MemberCode | None = None) -> None:
        """Something changed: a window, or (``member``) a pair of this peer became ready."""
        if member is not None:
            self._ready[member] = -1
        self._wake.set()

    def may_release(self) -> bool:
        """Whether anything may leave: the clock is right, and there is a policy to decide by (P10, P17)."""
        return self.clock_is_right() and "POLICY_UNAVAILABLE" not in self._runtime.health.codes

    def clock_is_right(self) -> bool:
        """Whether anything may be released (promise P10); health shows it."""
        if self._runtime.clock.wrong():
            self._runtime.health.set("CLOCK")
            return False
        self._runtime.health.clear("CLOCK")
        return True

    async def run(self) -> None:
        """Until cancelled. Errors of the store are the runtime's business; the pump goes on when woken."""
        while True:
            await pause(self._wake, self._until_due())
            self._wake.clear()
            try:
                while await self._once():
                    pass
            except StoreError as error:
                if error.code != "DISK_FULL":
                    raise
                await asyncio.sleep(1)
                self._wake.set()

    async def _once(self) -> bool:
        """One round; whether another may bring more."""
        links, now = self._links(), self._runtime.now()
        if not self.may_release():
            await self._send_but_releases(links, now)
            return False
        rooms, again = {}, []
        for member, link in links.items():
            link.queue.due(now)
            room = link.queue.room()
            if room <= 0:
                continue
            ready = member in self._ready
            if link.queue.more:
                if ready and self._fresh_first(member):
                    rooms[member] = room
                else:
                    again.append((member, link, room))
            elif ready:
                rooms[member] = room
        for member, link, room in again:
            await self._send_again(member, link, room)
        if rooms:
            await self._hand_over(rooms)
        return bool(rooms or again)

    async def _send_again(self, member: MemberCode, link: Link, room: int) -> None:
        busy = link.queue.busy(self._runtime.now())
        durable = await self._runtime.step(resend, member, busy, room)
        link.queue.more = durable.value[1]
        link.hand(durable.part(lambda found: found[0]))

    async def _send_but_releases(self, links: Mapping[MemberCode, Link], now: Instant) -> None:
        """What is queued and is no release. ``more`` stays: the releases are left."""
        for member, link in links.items():
            link.queue.due(now)
            if link.queue.more and (room := link.queue.room()) > 0:
                durable = await self._runtime.step(resend_but_releases, member, link.queue.busy(now), room)
                link.hand(durable.part(lambda found: found[0]))

    async def _hand_over(self, rooms: Mapping[MemberCode, int]) -> None:
        durable = await self._runtime.step(handover, rooms)
        links = self._links()
        served = {outbound.peer for outbound in durable.value}
        for member in served:
            # A link that ended meanwhile loses nothing: the next one loads it from the store.
            if member in links:
                links[member].hand(durable)
        for member in rooms.keys() - served:
            left = self._runtime.store.ask_now(lambda view, of=member: queued(view, of)[0])  # type: ignore[misc]
            if not left or left == self._ready.get(member):
                self._ready.pop(member, None)
            else:
                self._ready[member] = left

    def _fresh_first(self, member: MemberCode) -> bool:
        def ask(view: View) -> bool:
            ready, pending = first_ready(view, member), first_pending(view, member)
            return ready is not None and (pending is None or ready < pending.rank)

        return self._runtime.store.ask_now(ask)

    def _until_due(self) -> float | None:
        now = self._runtime.now()
        due = [at for link in self._links().values() if (at := link.queue.due(now)) is not None]
        if self._runtime.health.codes:
            # Releases wait for the clock or the disk: look again, nothing will wake us.
            due.append(Instant(now + SECOND))
        elif any(link.queue.more and link.queue.room() > 0 for link in self._links().values()):
            return 0
        return max(0.0, (min(due) - now) / SECOND) if due else None
