"""A full check of the logs: entries against hashes, hashes against the tree, each log against the last."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from intelshare.audit import EntryType, LogHead, append, root
from intelshare.audit.records import Start
from intelshare.broker.kernel.log import hash_of, logs, opened
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.tables import CHECKPOINT, LogHeadRow
from intelshare.broker.transparency.known_checkpoints import CheckpointState
from intelshare.crypto.codec import decode
from intelshare.errors import IntelshareError
from intelshare.ids import Incarnation
from intelshare.ports import View


@dataclass(frozen=True, slots=True)
class Logs:
    """All logs of this node, oldest first, and the faults found in them."""

    logs: tuple[tuple[LogHeadRow, bytes], ...]
    """Each log with its root."""
    findings: tuple[str, ...]


def verify_logs(node: Node, view: View) -> Logs:
    """Read everything, at about 30 µs an entry. Faults are returned, not raised."""
    heads = logs(view)
    roots = {row.incarnation: root(LogHead(row.incarnation, row.size, row.frontier)) for row in heads}
    findings = [text for row in heads for text in _check(node, view, row, roots)]
    return Logs(tuple((row, roots[row.incarnation]) for row in heads), tuple(findings))


def _check(node: Node, view: View, row: LogHeadRow, roots: dict[Incarnation, bytes]) -> Iterator[str]:
    name = f"log {row.incarnation:016x}"
    again = LogHead(row.incarnation, 0, b"")
    expected = 0
    rows = view.find(CHECKPOINT, "key", node.uri, row.incarnation)
    signed = {one.size: one.root for one in rows if one.state == CheckpointState.OWN}
    try:
        for entry in opened(node, view, row.incarnation):
            if entry.place != expected:
                yield f"{name}: entry {expected} is missing"
                return
            if hash_of(entry) != entry.leaf:
                yield f"{name}: entry {entry.place} was changed"
            if entry.place == 0 and entry.type == EntryType.START:
                start = decode(Start, entry.record)
                if start.previous and roots.get(start.previous, start.root) != start.root:
                    yield f"{name}: it continues log {start.previous:016x} from another root"
            again = append(again, [entry.leaf])
            expected += 1
            if expected in signed and signed[expected] != root(again):
                yield f"{name}: its first {expected} entries are not those that were signed as a checkpoint"
    except IntelshareError as error:
        yield f"{name}: entry {expected} cannot be read ({error.code})"
        return
    if again.size != row.size or root(again) != roots[row.incarnation]:
        yield f"{name}: its {again.size} entries do not give the root of size {row.size}"
