"""How a row becomes columns and back, the same for every store: order, 64-bit integers, digest."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, get_type_hints

from intelshare.errors import StoreError
from intelshare.ids import Incarnation
from intelshare.ids import Sequence as Number
from intelshare.instant import Instant
from intelshare.ports import Scalar, Table

DIGEST_LENGTH = 16

_U64 = (Incarnation, Instant, Number)
"""Types whose values reach 2^64 - 1 and are kept in two's complement."""

_signed = struct.Struct(">q").pack


@dataclass(frozen=True, slots=True)
class Layout:
    """One table, compiled."""

    table: Table[Any]
    columns: tuple[str, ...]
    values: Callable[[Any], tuple[Scalar, ...]]
    """All fields of a row, as stored."""
    key: Callable[[Any], tuple[Scalar, ...]]
    make: Callable[[Sequence[Any]], Any]
    """The row of stored values."""
    digest: Callable[[Sequence[Scalar]], bytes]

    def order(self, index: str) -> tuple[str, ...]:
        """The fields by which an index sorts: its own, then the key's."""
        own = self.table.key if index == "key" else self.table.indexes[index]
        return (*own, *(name for name in self.table.key if name not in own))

    def corrupt(self, key: Sequence[Scalar]) -> StoreError:
        """RECORD_CORRUPT, naming table and key."""
        shown = ", ".join(part.hex() if isinstance(part, bytes) else str(part) for part in key)
        return StoreError(
            "RECORD_CORRUPT",
            f"a record of {self.table.name} does not match its digest: {shown}",
            hint="it is not served; `intelshare doctor` tells how it is fetched again",
        )


def stored(value: Scalar) -> Scalar:
    """A value as a store keeps it: integers of 2^63 and more in two's complement."""
    return value - (1 << 64) if isinstance(value, int) and value >= 1 << 63 else value


def layout(table: Table[Any]) -> Layout:
    """Compile a table. Each store does it once per table."""
    row, key = table.row, table.key
    columns = table.columns()
    hints = get_type_hints(row)
    wide = [place for place, column in enumerate(columns) if hints[column] in _U64]
    fields = attrgetter(*columns)
    prefix = table.name.encode() + b"\x00"
    lengths = struct.Struct(f">{len(columns)}I").pack

    def values(value: Any) -> tuple[Scalar, ...]:
        found = fields(value)
        if any(found[place] >= 1 << 63 for place in wide):
            return tuple([stored(field) for field in found])
        return found

    def make(found: Sequence[Any]) -> Any:
        if any(found[place] < 0 for place in wide):
            widened = list(found)
            for place in wide:
                widened[place] &= (1 << 64) - 1
            found = widened
        return row(*found)

    def digest(found: Sequence[Scalar]) -> bytes:
        parts = [
            part if isinstance(part, bytes) else part.encode() if isinstance(part, str) else _signed(part)
            for part in found
        ]
        whole = b"".join((prefix, lengths(*map(len, parts)), *parts))
        return hashlib.sha256(whole).digest()[:DIGEST_LENGTH]

    return Layout(
        table,
        columns,
        values,
        lambda value: tuple([stored(getattr(value, name)) for name in key]),
        make,
        digest,
    )
