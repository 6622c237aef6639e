"""Look at a node's rows wherever they are, beside the node or where it does not run. Nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from intelshare.errors import StoreError
from intelshare.ports import Table, View
from intelshare.store import beside, measure, scrub
from intelshare.store.damage import Damage
from intelshare.store.engines import Location, need_postgres
from intelshare.store.measure import Measured


@contextmanager
def look_at(
    where: Location, tables: Sequence[Table[Any]], key: bytes | None, damage: Damage | None = None
) -> Iterator[View | None]:
    """Yield a view of what is committed, or None if only the missing storage key opens it. ``damage``: takes
    what the view meets damaged.
    """
    if where.server is not None:
        need_postgres()
        from intelshare.store.postgres.beside import look

        with look(where.server, where.database.parent, where.name, tables, key, damage) as view:
            yield view
        return
    with beside.snapshot(where.database) as connection:
        yield beside.looking(connection, tables, key, damage=damage)


def scrub_at(where: Location, tables: Sequence[Table[Any]], key: bytes | None) -> Iterator[StoreError]:
    """A RECORD_CORRUPT for each row that is not as it was written. Raises Store- and ConfigError."""
    if where.server is None:
        return scrub.scrub(where.database, tables, key)
    need_postgres()
    from intelshare.store.postgres.beside import scrub as scrub_server

    return scrub_server(where.server, where.database.parent, where.name, tables, key)


def measure_at(where: Location, *, kinds: bool) -> Measured:
    """Measure the room that the rows take. Raises Store- and ConfigError."""
    if where.server is None:
        return measure.measure(where.database, kinds=kinds)
    need_postgres()
    from intelshare.store.postgres.beside import measure as measure_server

    return measure_server(where.server, where.database.parent, where.name, kinds=kinds)
