"""The interface of an SQL engine, small enough that a connection of apsw is one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Protocol

import apsw


class Damaged(Exception):
    """PostgreSQL could not read what it has written."""


UNREADABLE: Final = (apsw.CorruptError, apsw.NotADBError, Damaged)
"""The exceptions that reading a damaged page raises."""


class Answer(Protocol):
    """The rows that a statement gives."""

    def fetchall(self) -> list[Any]:
        """All of them."""

    def __iter__(self) -> Iterator[Any]:
        """One after the other, for a few or for very many."""


class Connection(Protocol):
    """One connection. Values are bound to the marks ``?`` of a statement."""

    @property
    def in_transaction(self) -> bool:
        """True if a transaction was begun and has not ended."""

    def execute(self, sql: str, values: Any = (), /) -> Answer:
        """Carry out one statement."""

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]], /) -> object:
        """Carry out one statement for each row of values."""

    def close(self) -> None:
        """Let it go. Idempotent."""
