"""A view in which the rows of one table look different."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from intelshare.ports import Table, View


class Seen:
    """A view over another; a row that ``look`` maps to None seems to be missing."""

    unbound: View | None = None
    """See ports.View."""

    def __init__(self, view: View, table: Table[Any], look: Callable[[Any], Any]) -> None:
        self._view = view
        self._table = table
        self._look = look

    def get(self, table: Any, *key: Any) -> Any:
        """See ports.View."""
        row = self._view.get(table, *key)
        return row if row is None or table is not self._table else self._look(row)

    def get_many(self, table: Any, keys: Any) -> Any:
        """See ports.View."""
        return [self.get(table, *key) for key in keys]

    def find(self, table: Any, *args: Any, **kwargs: Any) -> Any:
        """See ports.View."""
        rows = self._view.find(table, *args, **kwargs)
        if table is not self._table:
            return rows
        return [seen for row in rows if (seen := self._look(row)) is not None]

    def count(self, table: Any, *args: Any) -> int:
        """Return the real count."""
        return self._view.count(table, *args)
