"""The SQL of one table, written once per shape of question so that SQLite prepares it once."""

from __future__ import annotations

from typing import Any

from intelshare.ports import Table
from intelshare.store.layout import Layout


class Statements:
    """What a table is asked; names come from the program, values are always bound."""

    def __init__(self, table: Table[Any]) -> None:
        self.layout = Layout(table)
        names = (*self.layout.columns, "digest")
        self._select = f'SELECT {_listed(names)} FROM "{table.name}"'  # noqa: S608
        self._count = f'SELECT count(*) FROM "{table.name}"'  # noqa: S608
        where = _where(table.key, ())
        self.get = self._select + where
        # A replaced row keeps its place: one that moves can leave a copy behind (ports.Store.shred).
        fresh = ", ".join(f'"{name}" = excluded."{name}"' for name in names if name not in table.key)
        self.put = (
            f'INSERT INTO "{table.name}" ({_listed(names)}) VALUES ({_marks(len(names))}) '  # noqa: S608
            f"ON CONFLICT ({_listed(table.key)}) DO UPDATE SET {fresh}"
        )
        self.delete = f'DELETE FROM "{table.name}"{where}'  # noqa: S608
        self._finds: dict[tuple[str, int, int], str] = {}
        self._counts: dict[tuple[str, int], str] = {}

    def find(self, index: str, prefix: int, after: int) -> str:
        """Rows by ``prefix`` equal fields of an index, after ``after`` values of the next, then a limit."""
        sql = self._finds.get((index, prefix, after))
        if sql is None:
            order = self.layout.order(index)
            equal, beyond, rest = order[:prefix], order[prefix : prefix + after], order[prefix:]
            sql = self._select + _where(equal, beyond)
            sql += f" ORDER BY {_listed(rest)} LIMIT ?" if rest else " LIMIT ?"
            self._finds[index, prefix, after] = sql
        return sql

    def count(self, index: str, prefix: int) -> str:
        """How many rows have these first fields of an index."""
        sql = self._counts.get((index, prefix))
        if sql is None:
            sql = self._counts[index, prefix] = self._count + _where(self.layout.order(index)[:prefix], ())
        return sql


def _where(equal: tuple[str, ...], beyond: tuple[str, ...]) -> str:
    terms = [f'"{name}" = ?' for name in equal]
    if beyond:
        terms.append(f"({_listed(beyond)}) > ({_marks(len(beyond))})")
    return f" WHERE {' AND '.join(terms)}" if terms else ""


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _marks(count: int) -> str:
    return ", ".join("?" * count)
