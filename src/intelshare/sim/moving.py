"""``node move``: an operator stops a member's node, moves its rows to another place, or back, and starts it.

    what happens                                 consequence
    ------------------------------------------   -------------------------------------------------------
    all rows were read again at the new place    that is the node's, and the old one is erased
    the move is killed before                    the old place is the node's; the next move starts empty
    a row cannot be read                         nothing is moved

As ``node.move`` does it, with its copies (``store.copying``); only files and SQL are missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from intelshare.broker.kernel.tables import SECRET, TABLES
from intelshare.errors import StoreError
from intelshare.instant import SECOND
from intelshare.ports import EVERY_ROW, Plan
from intelshare.sim.disk import Disk
from intelshare.sim.heap import Violation
from intelshare.sim.plan import Fault
from intelshare.sim.room import LIMITS
from intelshare.store.copying import copies
from intelshare.store.memory import MemoryStore

if TYPE_CHECKING:
    from intelshare.sim.machine import Machine


_LOOKS: Final = SECOND // 10
"""The time after which an operator looks again whether the node runs, or has ended."""

_PATIENCE: Final = 20 * SECOND
"""The time after which an operator ends what does not stop."""


class Moving:
    """The moves of one machine's rows."""

    def __init__(self, machine: Machine) -> None:
        self.away = False
        """True while the rows are not where they were at the beginning."""
        self.ordered: Fault | None = None
        """The move that begins once nothing runs."""
        self._machine = machine
        self._begun = MemoryStore()
        """The new place, as a move that was killed has left it."""
        self._runs = False

    @property
    def waits(self) -> bool:
        """True while an operator keeps the node from running."""
        return self._runs or self.ordered is not None

    def order(self, fault: Fault) -> None:
        """Stop the node as soon as it serves, and move its rows."""
        machine = self._machine
        if self.waits:
            return
        if machine.process is not None and not machine.process.serving:
            if machine.heap.now < machine.lasts:
                machine.heap.after(_LOOKS, lambda: self.order(fault))
            return
        self.ordered = fault
        machine.end_in_order()
        machine.heap.after(_PATIENCE, lambda: machine.end_hard() if self.ordered is fault else None)
        self._wait(fault)

    def _wait(self, fault: Fault) -> None:
        """Begin once nothing runs."""
        machine = self._machine
        if self.ordered is not fault:
            return
        if machine.serving():
            machine.heap.after(_LOOKS, lambda: self._wait(fault))
            return
        self.ordered, self._runs = None, True
        machine.heap.note("move", machine.name)
        if machine.room.free < LIMITS.low:
            self._over("DISK_FULL")
            return
        if machine.bug.moves_anew:
            self._begun = MemoryStore()
        before = machine.disk.copy()
        self._copy(fault, before, machine.bug.moved(copies(self._read, TABLES)), 1)

    def _read(self, ask: Any) -> Any:
        disk = self._machine.disk
        return ask(disk.check(disk.durable))

    def _copy(self, fault: Fault, before: MemoryStore, pages: Iterator[Plan[None]], number: int) -> None:
        """Put a page at the new place, and go on with the next one."""
        try:
            page = next(pages, None)
        except StoreError as error:
            self._over(error.code)
            return
        if page is None:
            self._check(before)
            return
        if number == fault.number:
            self._over("killed")
            return
        self._begun.apply(page)
        self._machine.heap.after(self._machine.sync, lambda: self._copy(fault, before, pages, number + 1))

    def _check(self, before: MemoryStore) -> None:
        """I1: check that the rows are the same at both places: then the new one is the node's."""
        machine, made = self._machine, self._begun
        for table in TABLES:
            if made.find(table, "key", limit=EVERY_ROW) != before.find(table, "key", limit=EVERY_ROW):
                raise Violation("I1", f"{machine.name} has moved other rows of {table.name} than it had")
        old, machine.disk, self._begun = machine.disk, Disk(made, mended=machine.mended), MemoryStore()
        if not machine.bug.erases_old:
            machine.disk.left = [*old.left, *old.remains, *before.find(SECRET, "key", limit=EVERY_ROW)]
        self.away = not self.away
        self._over("moved")

    def _over(self, how: str) -> None:
        self._machine.heap.note("move is over", self._machine.name, how)
        self._machine.count(f"move {how}")
        self._runs = False
        self._machine.start()
