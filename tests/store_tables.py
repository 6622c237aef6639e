"""Small tables of every kind for tests of the stores, and the schema of the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from intelshare.ids import Incarnation
from intelshare.instant import Instant
from intelshare.ports import Plan, Put, Table, View
from intelshare.store.migrate import first_schema
from intelshare.store.sqlite import SqliteStore


class Thing(NamedTuple):
    """A row with every kind of column."""

    name: str
    part: int
    owner: Incarnation
    due: Instant
    rank: int
    body: bytes


class Tally(NamedTuple):
    """A row that every step replaces."""

    name: str
    value: int


class Secret(NamedTuple):
    """What must be erasable by itself."""

    name: str
    part: int
    sealed: bytes


class Body(NamedTuple):
    """What is large."""

    name: str
    part: int
    due: Instant
    body: bytes


class Note(NamedTuple):
    """What is written once."""

    name: str
    part: int
    due: Instant
    body: bytes


NOTE = Table("note", Note, ("name", "part"), {"due": ("due",)}, lasting=True)
THING = Table(
    "thing",
    Thing,
    ("name", "part"),
    {"due": ("rank", "due"), "owner": ("owner",), "first": ("rank", "due")},
    only={"first": "rank"},
)
TALLY = Table("tally", Tally, ("name",))
SECRET = Table("secret", Secret, ("name", "part"), erasable=True)
BODY = Table("body", Body, ("name", "part"), bulk=True)
TABLES = (THING, TALLY, SECRET, BODY, NOTE)
OF: dict[type, Table[Any]] = {Thing: THING, Tally: TALLY, Secret: SECRET, Body: BODY, Note: NOTE}
"""The table of a row."""

SCHEMA = first_schema(TABLES)
KEY = bytes(range(32))


@contextmanager
def opened(path: Path) -> Iterator[SqliteStore]:
    """A store with these tables, closed at the end."""
    store = SqliteStore(path, TABLES, KEY)
    try:
        yield store
    finally:
        store.close()


def thing(
    name: str, part: int = 0, *, owner: int = 1, due: int = 0, rank: int = 0, body: bytes = b""
) -> Thing:
    """A row with defaults."""
    return Thing(name, part, Incarnation(owner), Instant(due), rank, body)


def put(*rows: Any) -> Callable[[View], Plan[None]]:
    """A step that writes rows."""
    return lambda _: Plan(tuple(Put(OF[type(row)], row) for row in rows), None)
