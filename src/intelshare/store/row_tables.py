"""The tables of one kind of row in SQLite, and their SQL: written once per shape of question.

A row stands as one record behind its digest, beside the fields by which it is found. What is small and comes
in bulk from memory has the record in the same table. What is erasable or bulk stands in a table of its own
under a number that only grows, so that it is written once and in sequence and its neighbours never move; a
second table leads from the key to that number.

    NAME     id, the fields of key and indexes, record     or, of a direct table: id, record
    NAME_at  the fields of the key, id                     of a direct table alone
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from intelshare.ports import Table
from intelshare.store.layout import Key, Layout, picker

_TYPES: Final = {int: "INTEGER", str: "TEXT", bytes: "BLOB"}


class RowTable:
    """What a table is asked; names come from the program, values are always bound."""

    def __init__(self, table: Table[Any]) -> None:
        self.layout = Layout(table)
        self.direct = table.erasable or table.bulk
        """Rows go into their place with the commit, and not through the journal."""
        name = f"{table.name}_at" if self.direct else table.name
        what = "id" if self.direct else "record"
        indexed = [field for fields in table.indexes.values() for field in fields]
        self.columns = table.key if self.direct else tuple(dict.fromkeys((*table.key, *indexed)))
        """The fields of a row that have columns."""
        self.values = self.layout.stored_fields(self.columns)
        self._from = f'FROM "{name}"'
        self._what = what
        where = _where(table.key, (), "")
        self.get = f"SELECT {what} {self._from}{where}"
        # A replaced row keeps its place.
        fresh = [what, *(column for column in self.columns if column not in table.key)]
        self.put = (
            f'INSERT INTO "{name}" ({_listed((*self.columns, what))}) '  # noqa: S608
            f"VALUES ({_marks(len(self.columns) + 1)}) ON CONFLICT ({_listed(table.key)}) "
            f"DO UPDATE SET {_renewed(fresh)}"
        )
        self.delete = f"DELETE {self._from}{where}"
        self.read_at = f'SELECT record FROM "{table.name}" WHERE id = ?'  # noqa: S608
        self.insert_at = f'INSERT INTO "{table.name}" (id, record) VALUES (?, ?)'  # noqa: S608
        self.replace_at = f'UPDATE "{table.name}" SET record = ? WHERE id = ?'  # noqa: S608
        self.delete_at = f'DELETE FROM "{table.name}" WHERE id = ?'  # noqa: S608
        self.last_at = f'SELECT ifnull(max(id), 0) FROM "{table.name}"'  # noqa: S608
        self.any = f"SELECT EXISTS (SELECT 1 {self._from})"
        orders = {index: self.layout.order(index) for index in ("key", *table.indexes)}
        self._key_in = {
            index: picker([order.index(name) for name in table.key]) for index, order in orders.items()
        }
        self._entry = {index: self.layout.stored_fields(order) for index, order in orders.items()}
        self._finds: dict[tuple[str, int, int], str] = {}
        self._counts: dict[tuple[str, int], str] = {}

    def key_in(self, index: str) -> Callable[[Sequence[Any]], Key]:
        """A function that gives the key of an entry of this index."""
        return self._key_in[index]

    def entry_in(self, index: str) -> Callable[[Any], Key]:
        """A function that gives the entry of a row in this index."""
        return self._entry[index]

    def find(self, index: str, prefix: int, after: int) -> str:
        """Entries (fields of the index, then key) and record or id; then a limit.

        By ``prefix`` equal fields of an index, after ``after`` values of the next.
        """
        sql = self._finds.get((index, prefix, after))
        if sql is None:
            order = self.layout.order(index)
            equal, beyond, rest = order[:prefix], order[prefix : prefix + after], order[prefix:]
            sql = f"SELECT {_listed((*order, self._what))} {self._from}{self._where(index, equal, beyond)}"
            sql += f" ORDER BY {_listed(rest)} LIMIT ?" if rest else " LIMIT ?"
            self._finds[index, prefix, after] = sql
        return sql

    def count(self, index: str, prefix: int) -> str:
        """How many rows have these first fields of an index."""
        sql = self._counts.get((index, prefix))
        if sql is None:
            where = self._where(index, self.layout.order(index)[:prefix], ())
            sql = self._counts[index, prefix] = f"SELECT count(*) {self._from}{where}"
        return sql

    def scrub(self, after: int) -> str:
        """All columns and the record of rows, in the order of their keys, after a whole key; then a limit."""
        name, key = self.layout.table.name, self.layout.table.key
        source = self._from
        if self.direct:
            source = f'FROM "{name}_at" LEFT JOIN "{name}" USING (id)'
        where = _where((), key[:after], "")
        return f"SELECT {_listed((*self.columns, 'record'))} {source}{where} ORDER BY {_listed(key)} LIMIT ?"

    def check(self, found: Sequence[Any]) -> None:
        """Raises StoreError RECORD_CORRUPT for a row of ``scrub`` that is not as it was written."""
        *columns, record = found
        key = columns[: len(self.layout.table.key)]
        if self.values(self.layout.checked(record, key)) != tuple(columns):
            raise self.layout.corrupt(key)

    def _where(self, index: str, equal: tuple[str, ...], beyond: tuple[str, ...]) -> str:
        return _where(equal, beyond, self.layout.table.only.get(index, ""))

    def schema(self) -> list[str]:
        """The statements that make its tables and indexes."""
        table = self.layout.table
        typed = [f'"{name}" {_TYPES[self.layout.kinds[name]]} NOT NULL' for name in self.columns]
        if self.direct:
            columns = ("id INTEGER PRIMARY KEY", "record BLOB NOT NULL")
            leads = (*typed, "id INTEGER NOT NULL", f"PRIMARY KEY ({_listed(table.key)})")
            return [
                _created(table.name, columns, "STRICT"),
                _created(f"{table.name}_at", leads, "STRICT, WITHOUT ROWID"),
            ]
        unique = f"UNIQUE ({_listed(table.key)})"
        made = [
            _created(table.name, ("id INTEGER PRIMARY KEY", *typed, "record BLOB NOT NULL", unique), "STRICT")
        ]
        for name in table.indexes:
            flag = table.only.get(name)
            where = f' WHERE "{flag}" = 1' if flag else ""
            order = _listed(self.layout.order(name))
            made.append(f'CREATE INDEX "{table.name}_{name}" ON "{table.name}" ({order}){where}')
        return made


def schema(tables: Sequence[Table[Any]]) -> str:
    """The SQL of all tables, as a migration."""
    return "".join(f"{one};\n" for table in tables for one in RowTable(table).schema())


def _created(name: str, columns: Sequence[str], options: str) -> str:
    listed = ",\n    ".join(columns)
    return f'CREATE TABLE "{name}" (\n    {listed}\n) {options}'


def _renewed(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}" = excluded."{name}"' for name in names)


def _where(equal: tuple[str, ...], beyond: tuple[str, ...], flag: str) -> str:
    terms = [f'"{name}" = ?' for name in equal]
    if beyond:
        terms.append(f"({_listed(beyond)}) > ({_marks(len(beyond))})")
    if flag:
        terms.append(f'"{flag}" = 1')
    return f" WHERE {' AND '.join(terms)}" if terms else ""


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _marks(count: int) -> str:
    return ", ".join("?" * count)
