"""A watcher: a client of one node that is told what happens, with a cursor that it keeps itself (c13).

A watcher is told what is durable, and each thing once: what it was told is in the log at any later instant,
unless the plan put that disk back to an earlier state (I2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from intelshare.broker.kernel.tables import LOG_HEAD
from intelshare.broker.queries.watch import Cursor, watch
from intelshare.errors import DeliveryError
from intelshare.ports import Plan, View
from intelshare.sim.heap import Violation
from intelshare.sim.world import actor

if TYPE_CHECKING:
    from intelshare.sim.machine import Machine


class Watcher:
    """The watcher of one machine; it survives the machine's processes."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._cursor: Cursor | None = None
        self._received: set[tuple[bytes, str]] = set()
        self.told = 0

    def durable(self, machine: Machine, plan: Plan[Any]) -> None:
        """Note that a plan is durable, and look at what it has logged."""
        if any(write.table is LOG_HEAD for write in plan.writes):
            self._look(machine, machine.disk.durable)

    def early(self, machine: Machine) -> None:
        """Carry out a planted bug: look at what is written and not durable yet."""
        self._look(machine, machine.disk.view)

    def crashed(self, view: View) -> None:
        """I2: check that everything told is still there."""
        if self._cursor is not None:
            head = view.get(LOG_HEAD, self._cursor.incarnation)
            if head is None or head.size < self._cursor.place:
                raise Violation("I2", f"a watcher at {self._name} was told what its node no longer knows")

    def restored(self) -> None:
        """Begin again: the disk is in an earlier state, and an operator has been told."""
        self._cursor = None
        self._received.clear()

    def _look(self, machine: Machine, view: View) -> None:
        process = machine.process
        if process is None or not process.serving:
            return
        node = process.node
        if self._cursor is None:
            head = view.get(LOG_HEAD, node.incarnation)
            self._cursor = Cursor(node.incarnation, 0) if head is not None else None
        more = self._cursor is not None
        while more and self._cursor is not None:
            try:
                page = watch(node, view, actor(machine.name, "b"), self._cursor, process.now())
            except DeliveryError as error:
                raise Violation("I2", f"a watcher at {self._name} was told what is gone: {error}") from error
            self._cursor, more = page.after, page.more
            self.told += len(page.happened)
            # What was damaged here comes anew.
            for one in page.happened if not machine.mended else ():
                about = (one.bulletin, one.member)
                if one.what == "received" and about in self._received:
                    raise Violation("I2", f"a watcher at {self._name} was told twice of one bulletin")
                if one.what == "received":
                    self._received.add(about)
