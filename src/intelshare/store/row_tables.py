"""The tables of one kind of row, and their SQL: written once per shape of question.

Each kind has one table led by the key, with the fields by which rows are found and either the record itself
or its place. A place is a number that only grows, so that records are written once and in sequence, and their
neighbours never move. No field may be called ``_record`` or ``_place``.

    kept      tables
    IN_TABLE  NAME     key and index fields, record behind its digest    rows that change
    CHUNK     NAME     key and index fields, place in a chunk            rows written once, bulk (``chunks``)
    APART     NAME_at  key, place                                        erasable rows
              NAME     place, record behind its digest
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from importlib.resources import files
from typing import Any, Final

from intelshare.ports import Table
from intelshare.store.layout import Key, Layout, picker


@dataclass(frozen=True, slots=True)
class Dialect:
    """The words and options of an engine in the SQL that makes tables."""

    types: Mapping[type, str]
    keyed: str = ""
    """The options of a table that has its key in order."""
    placed: str = ""
    """The options of a table of records by place."""
    groups: bool = False
    """An erasable record has a group, whose key is elsewhere."""


SQLITE: Final = Dialect({int: "INTEGER", str: "TEXT", bytes: "BLOB"}, " STRICT, WITHOUT ROWID", " STRICT")


class Kept(Enum):
    """Where a table's records are stored."""

    IN_TABLE = 0
    CHUNK = 1
    APART = 2


class RowTable:
    """The questions to a table, as SQL; names come from the program, values are always bound."""

    def __init__(self, table: Table[Any]) -> None:
        self.layout = Layout(table)
        apart, chunked = table.erasable, table.lasting or table.bulk
        self.kept = Kept.APART if apart else Kept.CHUNK if chunked else Kept.IN_TABLE
        indexed = [field for fields in table.indexes.values() for field in fields]
        self.columns = tuple(dict.fromkeys((*table.key, *indexed)))
        """The fields of a row that have columns."""
        self.values = self.layout.stored_fields(self.columns)
        self.key_alone = self.columns == table.key
        """True if the columns are exactly the key."""
        self.flags = {index: self.columns.index(flag) for index, flag in table.only.items()}
        """By index, the position among the columns of the flag that its rows have at 1."""
        self._name = f"{table.name}_at" if apart else table.name
        self._what = "_record" if self.kept is Kept.IN_TABLE else "_place"
        self._from = f'FROM "{self._name}"'
        where = _where(table.key, (), "")
        self.get = f"SELECT {self._what} {self._from}{where}"
        fresh = [self._what, *(column for column in self.columns if column not in table.key)]
        self.put = (
            f'INSERT INTO "{self._name}" ({_listed((*self.columns, self._what))}) '  # noqa: S608
            f"VALUES ({_marks(len(self.columns) + 1)}) ON CONFLICT ({_listed(table.key)}) "
            f"DO UPDATE SET {_renewed(fresh)}"
        )
        self.delete = f"DELETE {self._from}{where}"
        self.any = f"SELECT count(*) FROM (SELECT 1 {self._from} LIMIT 1) AS one"  # noqa: S608
        self.last_place = f'SELECT coalesce(max(_place), 0) FROM "{table.name}"'  # noqa: S608
        self.read_at = f'SELECT _record FROM "{table.name}" WHERE _place = ?'  # noqa: S608
        self.insert_at = f'INSERT INTO "{table.name}" (_place, _record) VALUES (?, ?)'  # noqa: S608
        self.replace_at = f'UPDATE "{table.name}" SET _record = ? WHERE _place = ?'  # noqa: S608
        self.unled = (
            f'SELECT _place, length(_record) FROM "{table.name}" '  # noqa: S608
            f'WHERE _place NOT IN (SELECT _place FROM "{table.name}_at")'
        )
        """The places of erasable rows to which no key in the tables leads, with the bytes of each."""
        self.led = f"SELECT {_listed(table.key)} {self._from} WHERE _place = ?"
        """The key that leads to a place; no index helps."""
        self.delete_at = f'DELETE FROM "{table.name}" WHERE _place = ?'  # noqa: S608
        orders = {index: self.layout.order(index) for index in ("key", *table.indexes)}
        self._key_in = {
            index: picker([order.index(name) for name in table.key]) for index, order in orders.items()
        }
        self._entry = {index: self.layout.stored_fields(order) for index, order in orders.items()}
        self._entry_of = {
            index: picker([self.columns.index(name) for name in order]) for index, order in orders.items()
        }
        found = {index: self._first_bytes(order) for index, order in orders.items()}
        self.traces = {index: trace for index, trace in found.items() if trace is not None}
        """The first field of each index that is bytes, by position and name: ``traces`` are kept of these."""
        self.traced = {name: self.columns.index(name) for _, name in self.traces.values()}
        """These fields, with their positions among the columns."""
        self.all_columns = f"SELECT {_listed(self.columns)} {self._from}"
        self._finds: dict[tuple[str, int, int], str] = {}
        self._counts: dict[tuple[str, int], str] = {}

    def _first_bytes(self, order: Sequence[str]) -> tuple[int, str] | None:
        for place, name in enumerate(order):
            if self.layout.kinds[name] is bytes:
                return place, name
        return None

    def key_in(self, index: str) -> Callable[[Sequence[Any]], Key]:
        """Return a function that returns the key of an entry of this index."""
        return self._key_in[index]

    def entry_in(self, index: str) -> Callable[[Any], Key]:
        """Return a function that returns a row's entry in this index."""
        return self._entry[index]

    def entry_of_columns(self, index: str) -> Callable[[Sequence[Any]], Key]:
        """Return a function that returns the entry in this index of a row's columns."""
        return self._entry_of[index]

    def find(self, index: str, prefix: int, after: int) -> str:
        """Return the SQL for entries (fields of the index, then key) and their record or id, with a limit.

        It selects by ``prefix`` equal fields of an index, after ``after`` values of the next fields.
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
        """Return the SQL for how many rows have these first fields of an index."""
        sql = self._counts.get((index, prefix))
        if sql is None:
            where = self._where(index, self.layout.order(index)[:prefix], ())
            sql = self._counts[index, prefix] = f"SELECT count(*) {self._from}{where}"
        return sql

    def count_among(self, index: str, prefix: int, keys: int) -> str:
        """Return the SQL for how many of so many keys have rows with these first fields of an index. The keys
        are bound first.
        """
        names = self.layout.table.key
        row = f"({_marks(len(names))})"
        # A CROSS JOIN looks each key up in the table; an IN may read the whole index instead.
        same = " AND ".join(f'"{name}" = column{place}' for place, name in enumerate(names, 1))
        listed = ", ".join([row] * keys)
        where = self._where(index, self.layout.order(index)[:prefix], ())
        return f'SELECT count(*) FROM (VALUES {listed}) CROSS JOIN "{self._name}" ON {same}{where}'  # noqa: S608

    def scrub(self, after: int) -> str:
        """Return the SQL for all columns of rows and their record or place, in key order, after a
        whole key.
        """
        key = self.layout.table.key
        where = _where((), key[:after], "")
        columns = _listed((*self.columns, self._what))
        return f"SELECT {columns} {self._from}{where} ORDER BY {_listed(key)} LIMIT ?"

    def scrub_bytes(self, after: int) -> str:
        """Return the same for SQLite with texts as bytes: also one that cannot be decoded."""
        kinds, key = self.layout.kinds, self.layout.table.key
        columns = [f'CAST("{name}" AS BLOB)' if kinds[name] is str else f'"{name}"' for name in self.columns]
        marks = ["CAST(? AS TEXT)" if kinds[name] is str else "?" for name in key[:after]]
        where = f" WHERE ({_listed(key[:after])}) > ({', '.join(marks)})" if after else ""
        return (
            f'SELECT {", ".join(columns)}, "{self._what}" {self._from}{where} ORDER BY {_listed(key)} LIMIT ?'
        )

    def _where(self, index: str, equal: tuple[str, ...], beyond: tuple[str, ...]) -> str:
        return _where(equal, beyond, self.layout.table.only.get(index, ""))

    def schema(self, dialect: Dialect) -> list[str]:
        """Return the statements that create its tables and indexes."""
        table, types = self.layout.table, dialect.types
        number, record = types[int], f"_record {types[bytes]} NOT NULL"
        typed = [f'"{name}" {types[self.layout.kinds[name]]} NOT NULL' for name in self.columns]
        what = record if self.kept is Kept.IN_TABLE else f"_place {number} NOT NULL"
        columns = (*typed, what, f"PRIMARY KEY ({_listed(table.key)})")
        made = [_created(self._name, columns, dialect.keyed)]
        if self.kept is Kept.APART:
            group = [f"_group {number} NOT NULL"] if dialect.groups else []
            columns = (f"_place {number} PRIMARY KEY", *group, record)
            made.append(_created(table.name, columns, dialect.placed))
            if group:
                made.append(f'CREATE INDEX "{table.name}__group" ON "{table.name}" ("_group", "_place")')
        for name in table.indexes:
            flag = table.only.get(name)
            where = f' WHERE "{flag}" = 1' if flag else ""
            order = _listed(self.layout.order(name))
            made.append(f'CREATE INDEX "{table.name}_{name}" ON "{table.name}" ({order}){where}')
        return made


def schema(tables: Sequence[Table[Any]], dialect: Dialect) -> str:
    """Return the SQL of all tables, as a migration."""
    return "".join(f"{one};\n" for table in tables for one in RowTable(table).schema(dialect))


def migrations_of(package: str) -> list[str]:
    """Return the SQL of every version of an engine's schema, in order: ``migrations/0001.sql`` makes
    version 1.
    """
    folder = files(package).joinpath("migrations")
    return [
        entry.read_text("utf-8")
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name)
        if entry.name.endswith(".sql")
    ]


def _created(name: str, columns: Sequence[str], options: str) -> str:
    listed = ",\n    ".join(columns)
    return f'CREATE TABLE "{name}" (\n    {listed}\n){options}'


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
