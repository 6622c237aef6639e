"""Statements over libpq, many in one message: each prepared once, values and rows in binary.

psycopg's own cursors send each statement of a pipeline by itself. Here all go in one write: that costs less,
and leaves a process hardly a moment to freeze in the middle.
"""

from __future__ import annotations

import select
import struct
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, repeat
from typing import Any, Final

import psycopg
from psycopg import errors
from psycopg.adapt import Transformer
from psycopg.pq import ConnStatus, ExecStatus
from psycopg.pq.abc import PGresult

Statement = tuple[str, Sequence[Any]]
"""A statement with marks $1 ..., and their values: integers, texts, bytes, or ``Array``."""

NAMES: Final = {int: "int8", str: "text", bytes: "bytea"}
"""The type of a value."""

_INT8, _TEXT, _BYTEA = 20, 25, 17
_OF_ONE: Final = {int: _INT8, str: _TEXT, bytes: _BYTEA}
_OF_MANY: Final = {int: 1016, str: 1009, bytes: 1001}
"""OIDs, fixed in every PostgreSQL (pg_type.dat)."""

_HEAD: Final = struct.Struct(">iiIii")
_LENGTH: Final = struct.Struct(">i")
_LARGE: Final = struct.Struct(">q")

_BAD: Final = (ExecStatus.FATAL_ERROR, ExecStatus.BAD_RESPONSE)


class Array:
    """A column of many rows: all of one type, at least one."""

    __slots__ = ("element", "values")

    def __init__(self, values: Sequence[Any]) -> None:
        self.values = values
        self.element = kind_of(values[0])


def columns(rows: Iterable[Sequence[Any]]) -> list[Array]:
    """The columns of these rows, each as an array."""
    return [Array(column) for column in zip(*rows, strict=True)]


def kind_of(value: Any) -> type:
    """int, str or bytes. Raises TypeError."""
    for kind in (int, str, bytes):
        if isinstance(value, kind):
            return kind
    raise TypeError(f"a value is an integer, a text or bytes, not {type(value).__name__}")


class Pipeline:
    """The statements of one connection."""

    def __init__(self, raw: psycopg.Connection[Any], patience: float) -> None:
        self._raw = raw
        self.patience = patience
        """Seconds without a byte after which the server is taken for lost."""
        self._pg = raw.pgconn
        self._prepared: dict[str, bytes] = {}
        self._waits = select.poll()
        self._waits.register(self._pg.socket, select.POLLIN)

    def run(self, statements: Sequence[Statement]) -> tuple[list[Any], str]:
        """Send all in one message; rows and command tag of the last. After one that fails none is done.

        Raises psycopg.Error.
        """
        pg = self._pg
        pg.enter_pipeline_mode()
        try:
            fresh = [self._queue(text, values) for text, values in statements]
            pg.pipeline_sync()
            results = self._results(sum(fresh) + len(statements))
        except BaseException:
            self._raw.close()  # what of it the server has read is not known
            raise
        if pg.status == ConnStatus.OK:
            pg.exit_pipeline_mode()
        for result in results:
            if result.status in _BAD:
                self._prepared.clear()  # which of them are there is not known any more
                raise errors.error_from_result(result, "utf-8")
        last = results[-1]
        loading = Transformer(self._raw)
        loading.set_pgresult(last)
        rows = loading.load_rows(0, last.ntuples, tuple) if last.nfields else []
        return rows, (last.command_status or b"").decode()

    def _queue(self, text: str, values: Sequence[Any]) -> bool:
        """Put one into the message; whether it had to be prepared first."""
        name = self._prepared.get(text)
        fresh = name is None
        if name is None:
            name = f"s{id(self)}_{len(self._prepared)}_{_count()}".encode()
            self._pg.send_prepare(name, text.encode(), [_type(value) for value in values])
            self._prepared[text] = name
        self._pg.send_query_prepared(name, [_bytes(value) for value in values], [1] * len(values), 1)
        return fresh

    def _results(self, count: int) -> list[PGresult]:
        pg, results = self._pg, []
        synced = False
        while pg.flush():
            self._wait(select.POLLIN | select.POLLOUT)
            pg.consume_input()
        while not synced:
            while pg.is_busy():
                self._wait(select.POLLIN)
                pg.consume_input()
            result = pg.get_result()
            if result is None:
                if pg.status == ConnStatus.BAD:
                    raise psycopg.OperationalError("the server closed the connection")
                continue
            synced = result.status == ExecStatus.PIPELINE_SYNC
            if not synced:
                results.append(result)
                if result.status in _BAD and pg.status == ConnStatus.BAD:
                    break
        if len(results) < count and not any(result.status in _BAD for result in results):
            raise psycopg.OperationalError("the server closed the connection")
        return results

    def _wait(self, events: int) -> None:
        self._waits.modify(self._pg.socket, events)
        if not self._waits.poll(self.patience * 1000):
            raise psycopg.OperationalError("the server does not answer")


def _counter() -> Callable[[], int]:
    numbers = iter(range(1 << 62))
    return lambda: next(numbers)


_count: Final = _counter()


def _type(value: Any) -> int:
    return _OF_MANY[value.element] if isinstance(value, Array) else _OF_ONE[kind_of(value)]


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, int):
        return _LARGE.pack(value)
    if isinstance(value, str):
        return value.encode()
    values = value.values
    head = _HEAD.pack(1, 0, _OF_ONE[value.element], len(values), 1)
    if value.element is int:
        pairs = chain.from_iterable(zip(repeat(_LARGE.size), values, strict=False))
        return head + struct.pack(">" + "iq" * len(values), *pairs)
    parts = [one.encode() for one in values] if value.element is str else values
    lengths = map(_LENGTH.pack, map(len, parts))
    return head + b"".join(chain.from_iterable(zip(lengths, parts, strict=True)))
