"""A view of a store of which some rows are damaged."""

from __future__ import annotations

from typing import Any

from intelshare.errors import RecordError
from intelshare.ports import Table


class Rotten:
    """A view in which some rows are not as they were written, as the embedded store gives it."""

    unbound = None

    def __init__(self, view: Any, *places: tuple[Table[Any], tuple[Any, ...]]) -> None:
        self._view = view
        self._places = {(table.name, key) for table, key in places}
        self.count = view.count

    def get(self, table: Any, *key: Any) -> Any:
        if (table.name, key) in self._places:
            raise _error(table, key)
        return self._view.get(table, *key)

    def get_many(self, table: Any, keys: Any) -> Any:
        return [self.get(table, *key) for key in keys]

    def find(self, table: Any, *args: Any, damaged: Any = None, **given: Any) -> Any:
        found = self._view.find(table, *args, **given)
        whole = [row for row in found if (table.name, table.key_of(row)) not in self._places]
        if damaged is not None:
            bad = [row for row in found if row not in whole]
            damaged += [_error(table, table.key_of(row)) for row in bad]
        return whole


def _error(table: Any, key: tuple[Any, ...]) -> RecordError:
    return RecordError(table.name, key, f"{table.name} {key} does not match its digest")
