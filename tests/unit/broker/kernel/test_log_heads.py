"""The heads of all logs: each start of the node begins one, and each is verified."""

from __future__ import annotations

from typing import Any

from intelshare.broker.kernel.log import logs
from intelshare.broker.kernel.tables import LogHeadRow
from intelshare.ids import Incarnation
from intelshare.instant import Instant

STARTS = 100_001
"""In a week, of a node that ends every six seconds."""


class _Started:
    """A view of the heads of a node that has started this often."""

    def find(self, *_: Any, limit: int = 1000) -> list[LogHeadRow]:
        return [LogHeadRow(Incarnation(one), Instant(one), 0, b"") for one in range(STARTS)[:limit]]


def test_the_last_log_of_a_node_is_there_however_often_it_has_started() -> None:
    view: Any = _Started()
    assert logs(view)[-1].incarnation == Incarnation(STARTS - 1)
