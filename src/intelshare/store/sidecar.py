"""The small memory outside the database that notices when the database forgot (promises.md 1.1).

It holds the last own checkpoint and whether the node stopped cleanly. It may lag behind the database,
never lead it; after a clean stop the two are equal.

It also says when it was written. Whoever copies a folder can give its files any content and most times, but
not the instant of their last change (``st_ctime``): a whole folder that was put back, or copied, is noticed
by it where both memories are of one age (fault F30, decision 48).
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from intelshare.errors import StoreError
from intelshare.private_files import write_private

SLACK: Final = 1_000_000_000
"""Nanoseconds between the time in the file and that of its last change, at most."""

_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class Sidecar:
    """The last own checkpoint, and the mark of a clean stop."""

    incarnation: int
    size: int
    root: str
    """Hexadecimal."""
    clean: bool


def read_sidecar(path: Path) -> Sidecar | None:
    """What the file says; None if there is none. Raises StoreError STORE_FORGOT if it cannot be read."""
    if not path.exists():
        return None
    found = _read(path)
    del found["written"]
    return Sidecar(**found)


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
        Sidecar(**{name: value for name, value in found.items() if name != "written"})
        return {"written": int(found["written"]), **found}
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise StoreError(
            "STORE_FORGOT",
            f"{path.name} cannot be read: {error}",
            hint="start once with --accept-loss: a new incarnation begins and peers hand over again",
        ) from None


def write_sidecar(path: Path, sidecar: Sidecar) -> None:
    """Replace the file, durably: old or new after a crash, never half."""
    for _ in range(_TRIES):
        written = time.time_ns()
        write_private(path, json.dumps({**asdict(sidecar), "written": written}).encode())
        if abs(path.stat().st_ctime_ns - written) <= SLACK:
            return
    # A slow disk, or one with another clock: nothing can be told from its times.
    write_private(path, json.dumps({**asdict(sidecar), "written": 0}).encode())


def check_place(path: Path) -> None:
    """Return if the file was changed last when it was written. Raises StoreError STORE_FORGOT if somebody has
    put it here since: the folder is a copy, or was put back, and may show what was destroyed meanwhile."""
    if not path.exists():
        return
    written, changed = _read(path)["written"], path.stat().st_ctime_ns
    if not written or changed - written <= SLACK:
        return
    raise StoreError(
        "STORE_FORGOT",
        f"the folder was copied or put back {(changed - written) / 1e9:.0f} s after its node wrote last; "
        "what was destroyed since could be read again",
        hint="if it is meant to run, and its original never again: start once with --accept-loss. "
        "`intelshare node restore` makes a folder that needs no word",
    )


def compare(sidecar: Sidecar | None, incarnation: int, size: int, root: bytes) -> None:
    """Return if the database holds all of the log that the sidecar remembers: one that is ahead lost nothing.

    Raises StoreError STORE_FORGOT with what is missing; the node starts only on the operator's word.
    """
    if sidecar is None:
        return
    if sidecar.incarnation != incarnation:
        wrong = "has lost a whole incarnation"
    elif size < sidecar.size:
        wrong = f"has lost {sidecar.size - size} log entries"
    elif size == sidecar.size and root.hex() != sidecar.root:
        wrong = "holds other entries than were logged"
    else:
        return
    raise StoreError(
        "STORE_FORGOT",
        f"the database {wrong}: restored from a backup, or damaged",
        hint="start once with --accept-loss: a new incarnation begins and peers hand over again",
    )
