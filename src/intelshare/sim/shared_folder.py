"""A replica beside the rows: the folder that it shares with others of its node, and the erasing of keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from intelshare.engine.events import Shredded
from intelshare.errors import IntelshareError
from intelshare.node.sidecar import log_position
from intelshare.sim.process import Process
from intelshare.sim.turns import Job
from intelshare.store.memory import MemoryStore

if TYPE_CHECKING:
    from intelshare.sim.replicated import ReplicatedMachine


class InSharedFolder(Process):
    """The part of a replica that is not about rows."""

    machine: ReplicatedMachine
    followed_rows: MemoryStore
    """The rows as it has followed them."""
    at_wake: list[Callable[[], None]]
    """Done once it is frozen no longer: its threads were in the middle of it."""

    def put(self, job: Job) -> None:
        """Let a step wait for the turn."""
        raise NotImplementedError

    def remember(self, then: Callable[[], None], *, clean: bool) -> None:
        """See ``Process``: what it has followed. No mark of a clean stop is written."""
        now = log_position(self.followed_rows, self.node.incarnation)
        if clean or now == self.machine.sidecar:
            self.machine.covers(now)
            then()
            return

        def written() -> None:
            if self.frozen:
                self.at_wake.append(written)
            elif self.alive:
                self.machine.sidecar = now
                self.machine.covers(now)
                then()

        self.heap.after(self.machine.sync, written)

    def shred(self, then: Callable[[], None]) -> None:
        """See ``Process``."""

        def shredded() -> None:
            if self.alive:
                self.disk.shred()
                then()

        def refused(error: IntelshareError) -> None:
            self.feed(Shredded(error))

        if self.machine.bug.shreds:
            self.put(Job("", (), lambda _: self.heap.after(self.machine.sync, shredded), refused))
        else:
            then()

    def drain(self, then: Callable[[], None]) -> None:
        """See ``Process``. A database that is away is not waited for."""
        self.serving, self.drained = False, True
        self.put(Job("", (), lambda _: then(), lambda _: then()))
