"""Small tables for tests of the stores, and the schema of the same."""

from __future__ import annotations

from dataclasses import dataclass

from intelshare.ids import Incarnation
from intelshare.instant import Instant
from intelshare.ports import Table


@dataclass(frozen=True, slots=True)
class Thing:
    """A row with every kind of column."""

    name: str
    part: int
    owner: Incarnation
    due: Instant
    rank: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Tally:
    """A row that every step replaces."""

    name: str
    value: int


THING = Table("thing", Thing, ("name", "part"), {"due": ("rank", "due"), "owner": ("owner",)})
TALLY = Table("tally", Tally, ("name",))
TABLES = (THING, TALLY)

SCHEMA = """
CREATE TABLE thing (
    name TEXT NOT NULL, part INTEGER NOT NULL, owner INTEGER NOT NULL, due INTEGER NOT NULL,
    rank INTEGER NOT NULL, body BLOB NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (name, part)
) STRICT;
CREATE INDEX thing_due ON thing (rank, due, name, part);
CREATE INDEX thing_owner ON thing (owner, name, part);
CREATE TABLE tally (
    name TEXT NOT NULL, value INTEGER NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (name)
) STRICT, WITHOUT ROWID;
"""


def thing(
    name: str, part: int = 0, *, owner: int = 1, due: int = 0, rank: int = 0, body: bytes = b""
) -> Thing:
    """A row with defaults."""
    return Thing(name, part, Incarnation(owner), Instant(due), rank, body)
