"""Groups that replicas have committed, as others follow them, and the checks of what each then knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.tables import PAIR
from intelshare.delivery import Stage
from intelshare.engine.events import Committed, QueuedAgain, Ready
from intelshare.engine.following import learn_groups
from intelshare.ids import ManifestDigest
from intelshare.ports import Durable, Put, Scalar, Table, View, durable_after_commit
from intelshare.sim.heap import Violation
from intelshare.sim.turns import TurnGroup

A = TypeVar("A")


class Written:
    """See ``engine.following.Groups``."""

    def __init__(self, groups: Sequence[TurnGroup]) -> None:
        self._rows: dict[str, dict[tuple[Scalar, ...], Any]] = {}
        for group in groups:
            for plan in group.plans:
                for write in plan.writes:
                    row = write.row if isinstance(write, Put) else None
                    key = write.table.key_of(write.row) if isinstance(write, Put) else write.key
                    self._rows.setdefault(write.table.name, {})[key] = row

    @staticmethod
    def durable(value: A) -> Durable[A]:
        """See ``engine.following.Groups``."""
        return durable_after_commit(value)

    def touch(self, *tables: Table[Any]) -> bool:
        """See ``engine.following.Groups``."""
        return any(table.name in self._rows for table in tables)

    def keys(self, table: Table[Any]) -> list[tuple[Scalar, ...]]:
        """See ``engine.following.Groups``."""
        return list(self._rows.get(table.name, {}))

    def gone(self, table: Table[Any]) -> list[tuple[Scalar, ...]]:
        """See ``engine.following.Groups``."""
        return [key for key, row in self._rows.get(table.name, {}).items() if row is None]

    def fields(self, table: Table[Any], *names: str) -> list[tuple[Scalar, ...]]:
        """See ``engine.following.Groups``."""
        return [tuple([getattr(row, name) for name in names]) for row in self.rows(table)]

    def rows(self, table: Table[Any]) -> list[Any]:
        """See ``engine.following.Groups``."""
        return [row for row in self._rows.get(table.name, {}).values() if row is not None]


def check_told(node: Node, name: str, effects: Effects, written: Written, *, leads: bool) -> None:
    """I9: check that others learn from the rows what a step leads to: those that have the links, and the one
    that leads.
    """
    learnt = learn_groups(node, written)
    told = next((event.effects.value for event in learnt.events if isinstance(event, Committed)), Effects())
    again = {event.member for event in learnt.events if isinstance(event, QueuedAgain)}
    ready = {member for event in learnt.events if isinstance(event, Ready) for member in event.members}
    partners = node.trust.partners  # there is no link with others, who were left out
    sent = {one.peer for one in effects.outbound if one.peer in partners}
    ended = {one for one in effects.ended if one[0] in partners}
    missing = [
        what
        for what, lacks in (
            ("statements", sent - again),
            ("ends", ended - set(told.ended)),
            # With trust each looks at all that may be ready.
            ("pairs", effects.ready - ready if not learnt.outdated else ()),
            ("marks", effects.marked and not (told.marked or leads)),
            ("files", effects.wanted - told.wanted if not leads else ()),
        )
        if lacks
    ]
    if missing:
        what = ", ".join(missing)
        raise Violation("I9", f"{node.member}: after {name} at one replica the others are not told of {what}")


def check_memory(node: Node, view: View) -> None:
    """I8: check that nobody remembers the keys of what is handed over to everybody."""
    for md in node.recent.remembered():
        pairs = view.find(PAIR, "key", ManifestDigest(md))
        if pairs and all(pair.stage >= Stage.HANDED_OVER for pair in pairs):
            raise Violation("I8", f"a replica of {node.member} remembers the keys of what has gone")
