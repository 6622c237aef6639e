"""Keeps the links full, as ``node.sender`` does: what is ready while one commit runs shares the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from intelshare.broker.kernel.frame import Outbound
from intelshare.broker.line.handover import first_ready
from intelshare.broker.line.resend import first_pending
from intelshare.broker.queries.lists import queued
from intelshare.ids import MemberCode
from intelshare.sim.link import Link

if TYPE_CHECKING:
    from intelshare.sim.process import Process

_SMALLEST = 1536
"""As hand-over counts: so much room is one release."""


class Sender:
    """Of one process."""

    def __init__(self, process: Process, batch: int) -> None:
        """``batch``: releases that hand-over takes at once per peer, at most."""
        self._process = process
        self._most = batch * _SMALLEST - 1
        self._ready: dict[MemberCode, int] = {}
        self._running = 0
        self._due = False
        self._stopped = False
        self._timer = 0

    def clock_is_right(self) -> None:
        """Releases that waited for the clock go on (promise P10)."""
        if self._stopped:
            self.wake()

    def wake(self, member: MemberCode | None = None) -> None:
        """Something changed: a window, or (``member``) a pair of this peer became ready."""
        if member is not None:
            self._ready[member] = -1
        if not self._due:
            self._due = True
            self._process.heap.after(0, self._once)

    def _once(self) -> None:
        process = self._process
        self._due = False
        if not process.alive or self._running:
            return
        self._stopped = process.clock.wrong()
        if self._stopped:
            return
        now = process.now()
        rooms: dict[MemberCode, int] = {}
        again: list[tuple[Link, int]] = []
        for member in sorted(self._process.links):
            link = self._process.links[member]
            if not link.open:
                continue
            link.queue.due(now)
            room = link.queue.room()
            if room <= 0:
                continue
            if link.queue.more and not (member in self._ready and self._fresh_first(member)):
                again.append((link, room))
            elif member in self._ready:
                rooms[member] = min(room, self._most)
        self._running = len(again) + bool(rooms)
        for link, room in again:
            self._send_again(link, room)
        if rooms:
            self._process.perform("handover", rooms, then=lambda said: self._handed(rooms, said))
        if not self._running:
            self._wait()

    def _send_again(self, link: Link, room: int) -> None:
        def loaded(found: tuple[tuple[Outbound, ...], bool]) -> None:
            link.queue.more = found[1]
            link.hand(found[0])
            self._done()

        self._process.perform("resend", link.peer, link.queue.busy(self._process.now()), room, then=loaded)

    def _handed(self, rooms: dict[MemberCode, int], said: tuple[Outbound, ...]) -> None:
        self._process.say(said)
        served = [outbound.peer for outbound in said]
        for member in rooms:
            if member in served:
                continue
            left = queued(self._process.view, member)[0]
            if not left or left == self._ready.get(member):
                self._ready.pop(member, None)
            else:
                self._ready[member] = left
        self._done()

    def _done(self) -> None:
        self._running -= 1
        if not self._running:
            self.wake()

    def _fresh_first(self, member: MemberCode) -> bool:
        ready, pending = first_ready(self._process.view, member), first_pending(self._process.view, member)
        return ready is not None and (pending is None or ready < pending.rank)

    def _wait(self) -> None:
        now = self._process.now()
        due = [at for link in self._process.links.values() if (at := link.queue.due(now)) is not None]
        if due:
            self._timer += 1
            timer = self._timer
            self._process.heap.after(min(due) - now, lambda: self.wake() if timer == self._timer else None)
