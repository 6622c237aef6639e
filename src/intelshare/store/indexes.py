"""Makes indexes of SQLite again that do not lead to each row of their table (decision 92).

The pages can be read: a byte has changed in what an entry says. Which byte that was need not be found, as the
rows are whole and say what their entries are.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import apsw

from intelshare.store.connection import connect

_MISSING: Final = re.compile(r"row \d+ missing from index (\S+)")
_COUNT: Final = re.compile(r"wrong # of entries in index (\S+)")

_SECONDS: Final = 60.0
"""The seconds that this takes at most: a start waits for it."""

_STEPS: Final = 10_000
"""Instructions of SQLite after which it asks whether there is time left."""


def astray(found: Iterable[str]) -> set[str]:
    """Return the indexes that ``integrity_check`` finds without the entry of a row; none if it finds anything
    else too.

    A wrong number alone may be that of the table, which has lost rows.
    """
    names, counted = set[str](), set[str]()
    for said in found:
        if missing := _MISSING.fullmatch(said):
            names.add(missing[1])
        elif count := _COUNT.fullmatch(said):
            counted.add(count[1])
        else:
            return set()
    return names if counted <= names else set()


def make_again(path: Path, seconds: float = _SECONDS) -> dict[str, int]:
    """Make such indexes of a file again that no process has open; return their first pages by name.

    Nothing is changed if SQLite does not find the whole file sound with them, or not in time. Raises
    StoreError; apsw.Error for other faults than damage.
    """
    if not path.exists() or not path.stat().st_size:
        return {}
    end = time.monotonic() + seconds
    try:
        connection = connect(path, writes=True)
        try:
            connection.pragma("temp_store", 2)  # in memory: no entry is in a file of its own
            connection.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
            connection.execute("BEGIN IMMEDIATE")
            done = _made_again(connection)
            whole = bool(done) and time.monotonic() <= end
            connection.execute("COMMIT" if whole else "ROLLBACK")
            return done if whole else {}
        finally:
            connection.close()
    except (apsw.CorruptError, apsw.NotADBError, apsw.InterruptError):
        return {}


def _made_again(connection: apsw.Connection) -> dict[str, int]:
    done: dict[str, int] = {}
    while (found := [str(said) for (said,) in connection.execute("PRAGMA integrity_check")]) != ["ok"]:
        names = astray(found) - done.keys()
        if not names:
            return {}
        for name in names:
            connection.execute(f'REINDEX "{name}"')
            where = "SELECT rootpage FROM sqlite_schema WHERE name = ?"
            done[name] = int(str(connection.execute(where, (name,)).fetchall()[0][0]))
    return done
