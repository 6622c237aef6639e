"""A client that sends a bulletin, and asks again with the same key until it has an answer (promise P2)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from intelshare.broker.line.alike import SubmitResult
from intelshare.broker.line.submit import SubmitCommand
from intelshare.bulletin import Draft
from intelshare.crypto.records import PortionKind, Precedence
from intelshare.errors import IntelshareError
from intelshare.instant import SECOND
from intelshare.sim.heap import Heap, Violation
from intelshare.sim.machine import Machine
from intelshare.sim.oracle import Oracle
from intelshare.sim.world import actor

PATIENCE: Final = 2 * SECOND
"""The time without an answer after which the client asks again."""


class SimulatedClient:
    """One ``intelshare send``: one draft, one key."""

    def __init__(
        self,
        machine: Machine,
        heap: Heap,
        oracle: Oracle,
        draft: Draft,
        key: bytes,
        again: int,
        author: str = "a",
    ) -> None:
        """``again``: how often it asks again after the OK; of two times, the second with other content."""
        self._machine = machine
        self._heap = heap
        self._oracle = oracle
        self._draft = draft
        self._again = again
        self._mixes_up = again > 1
        self._author = author
        self._asked = 0
        self._key = key

    def ask(self) -> None:
        """Send the draft; ask again unless an answer comes in time."""
        self._asked += 1
        asked, process = self._asked, self._machine.asked("submit")
        self._heap.after(PATIENCE, lambda: self.ask() if self._asked == asked else None)
        if process is None:
            return
        command = SubmitCommand(actor(self._machine.name, self._author), self._key, self._draft)

        def ok(answer: SubmitResult) -> None:
            self._oracle.answered(self._machine, self._key, answer)
            process.wake(*[pair.recipient for pair in answer.pairs])
            self._asked += 1
            if self._again:
                self._again -= 1
                last = not self._again and self._mixes_up
                self._heap.after(SECOND // 10, self._mix_up if last else self.ask)

        process.perform("submit", command, then=ok, refused=self._refused)

    def _mix_up(self) -> None:
        """I1: submit other content under the same key, which must be refused."""
        process = self._machine.asked("submit")
        if process is None:
            return
        other = replace(self._draft, precedence=Precedence(self._draft.precedence % 4 + 1))
        command = SubmitCommand(actor(self._machine.name, self._author), self._key, other)
        oracle, name = self._oracle, self._machine.name

        def ok(_: SubmitResult) -> None:
            if self._key in oracle.known:
                raise Violation("I1", f"{name} said OK to other content under a known key")

        def refused(error: IntelshareError) -> None:
            oracle.counts[f"refused {error.code}"] += 1

        process.perform("submit", command, then=ok, refused=refused)

    def _refused(self, error: IntelshareError) -> None:
        """Accept only the expected refusals: of a draft that names another bulletin or an upload, which the
        disk may have forgotten; of a label of another member with no bulletin here; and of a recipient that
        was removed. A draft that finds no room is sent again after the time that the node states, and one
        that found no database as if there had been no answer.
        """
        if error.code == "STORE_UNAVAILABLE":
            self._oracle.counts[f"refused {error.code}"] += 1
            return
        named = self._draft.supersedes or self._draft.in_reply_to or self._draft.from_bulletin
        attached = any(one.kind is PortionKind.ATTACHMENT for one in self._draft.portions)
        removed = error.code == "UNKNOWN_MEMBER" and self._machine.removes
        if not (named or attached or removed or error.code in ("FOREIGN_LABEL", "QUEUE_FULL", "DISK_FULL")):
            raise error
        self._oracle.counts[f"refused {error.code}"] += 1
        self._asked += 1
        if error.code == "DISK_FULL":
            self._heap.after(PATIENCE, self.ask)
        elif error.retry_after is not None and self._heap.now < self._machine.lasts:
            self._heap.after(error.retry_after * SECOND, self.ask)
