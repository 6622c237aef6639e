"""The small memory outside the database that notices when the database forgot (promises.md 1.1).

It holds the last own checkpoint and whether the node stopped cleanly. It may lag behind the database,
never lead it; after a clean stop the two are equal.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from intelshare.errors import StoreError
from intelshare.private_files import write_private


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
    try:
        return Sidecar(**json.loads(path.read_text("utf-8")))
    except (ValueError, TypeError) as error:
        raise StoreError(
            "STORE_FORGOT",
            f"{path.name} cannot be read: {error}",
            hint="start once with --accept-loss: a new incarnation begins and peers hand over again",
        ) from None


def write_sidecar(path: Path, sidecar: Sidecar) -> None:
    """Replace the file, durably: old or new after a crash, never half."""
    write_private(path, json.dumps(asdict(sidecar)).encode())


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
