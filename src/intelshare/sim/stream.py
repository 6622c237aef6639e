"""One side of a connection in one process, with the messages that have arrived and are not yet read."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from intelshare.engine import LinkId
from intelshare.engine.events import Closed, Received
from intelshare.ids import MemberCode
from intelshare.sim.network import Wire
from intelshare.wire import read_message

if TYPE_CHECKING:
    from intelshare.sim.process import Process


class Stream:
    """A stream, made when a dialled peer has answered; gone once this side knows that the connection is."""

    def __init__(self, process: Process, peer: str, link: LinkId) -> None:
        self.name = process.name
        self.peer = MemberCode(peer)
        self.link = link
        self.wire: Wire | None = None
        self.reading = True
        self.gone = False
        self.opened = 0
        """The time at which the hello was over."""
        self._process = process
        self._waiting: deque[bytes] = deque()

    def send(self, message: bytes) -> None:
        """Send one message; nobody knows whether it arrives."""
        if self._process.machine.hostile is None:
            self._process.oracle.carried(self.name, message)
        if self.wire is not None and not self.gone:
            self.wire.send(self.name, message)

    def arrived(self, message: bytes) -> None:
        """Take a message from the other side. Nobody reads from a connection that is known to be gone."""
        self._waiting.append(message)
        self.read()

    def read(self) -> None:
        """Hand over the messages that have arrived, as long as the engine wants to read."""
        while self._waiting and self.reading and not self.gone and self._process.alive:
            raw = self._waiting.popleft()
            message = read_message(raw)
            if self._process.machine.hostile is not None:
                self._process.machine.hostile.heard(message)
            self._process.feed(Received(self.link, message, len(raw)))

    def broken(self) -> None:
        """Handle that this side has noticed that the connection is gone."""
        if not self.gone and self._process.alive:
            self.gone = True
            self._process.driver.lost(self)
            self._process.feed(Closed(self.link))

    def close(self) -> None:
        """End the connection from this side; the other side notices."""
        self.gone = True
        if self.wire is not None:
            self.wire.close(self.name)
