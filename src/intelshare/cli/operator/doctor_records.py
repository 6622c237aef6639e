"""``doctor --deep``: reads every record again, and names those that have changed since they were written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from intelshare.cli.operator.doctor_memory import storage_key
from intelshare.cli.shared.findings import OK, WARNING, WRONG, Finding
from intelshare.errors import RecordError, StoreError

if TYPE_CHECKING:
    from intelshare.cli.shared.node_folder import Passphrase
    from intelshare.store.engines import Location

_MAX: Final = 20
"""The most damaged records to name; the rest are counted."""

_SEALED: Final = (
    "the last commits are sealed under the vault and may hold a newer one: name the passphrase with "
    "--passphrase-file FILE, or ask the node that runs: `intelshare node repair --scrub`"
)


def records(folder: Path, passphrase: Passphrase) -> Iterator[Finding]:
    """Name the damaged records, but for those of which the journal holds a newer one that is whole."""
    from intelshare.broker.kernel.tables import TABLES
    from intelshare.node.folder import Folder
    from intelshare.node.replicas import location
    from intelshare.node.settings_file import read_settings
    from intelshare.store.examine import scrub_at

    where = Folder(folder)
    at = location(where, read_settings(where.settings), None)
    key = storage_key(folder, passphrase)
    bad = list(scrub_at(at, TABLES, key))
    remedy = ""
    if any(isinstance(error, RecordError) for error in bad):
        bad, remedy = _still_damaged(bad, at, key)
    for error in bad[:_MAX]:
        is_row = isinstance(error, RecordError)
        yield Finding(
            WRONG, "records", error.message, (remedy if is_row else "") or error.hint or "", error.code
        )
    if bad:
        yield Finding(WRONG, "records", f"{len(bad)} records have changed since they were written")
    elif key is not None:
        yield Finding(OK, "records", "no record has changed since it was written")
    if key is None:
        what = "what leads to the records that are sealed under the vault was not compared with them"
        yield Finding(WARNING, "records", what, "name the passphrase with --passphrase-file FILE")


def _still_damaged(bad: list[StoreError], at: Location, key: bytes | None) -> tuple[list[StoreError], str]:
    """Return those that a node would meet, and what to do if that cannot be told."""
    from intelshare.broker.kernel.tables import TABLES
    from intelshare.broker.lifecycle.rebuild import still_damaged
    from intelshare.store.damage import Damage
    from intelshare.store.examine import look_at

    met = Damage()
    try:
        with look_at(at, TABLES, key, met) as view:
            if view is None:
                return bad, _SEALED
            lost = [one for one in bad if not isinstance(one, RecordError) or still_damaged(view, one)]
            # One that was brought back is read like any other, unless a newer one stands before it.
            there = {(one.table, one.key) for one in met.known()}
            return [
                one
                for one in bad
                if one in lost or (isinstance(one, RecordError) and (one.table, one.key) in there)
            ], ""
    except StoreError:
        return bad, ""  # the journal cannot be read, which is named already
