"""The small memory outside the database that notices when the database forgot (docs/promises.md, "Memories").

It contains the node's last checkpoint, which vault it had, and whether it stopped cleanly. It may lag behind
database and vault, never lead them; after a clean stop they are equal.

It also contains when it was written. Whoever copies a folder can give its files any content and most
timestamps, but not the time of their last change (``st_ctime``). So a whole folder that was put back or
copied is noticed even if both memories are equally old (fault F30, decision 48).

A node under load writes the sidecar each second: a copy made while it runs has it within a second of that.
So the file ``started`` says the same of the node's last start, and nothing writes it in between.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from intelshare.errors import StoreError
from intelshare.private_files import disk_errors, write_private

SLACK: Final = 1_000_000_000
"""The most nanoseconds between the time in the file and that of its last change."""

_TRIES: Final = 3

_MOST: Final = 1024
"""The bytes of a longer file are not tried one by one: the sidecar has two hundred."""

STARTED: Final = "started"
"""The file in the data folder that says when its node was last started."""


@dataclass(frozen=True, slots=True)
class Sidecar:
    """The node's last checkpoint and vault, and the mark of a clean stop."""

    incarnation: int
    size: int
    root: str
    """The root in hexadecimal."""
    clean: bool
    vault: int = 0
    """The state of the newest vault that the node has had (``FileVault.state``); 0: not known."""


def read_sidecar(path: Path) -> Sidecar | None:
    """Return the file's content, or None if there is no file. Raises StoreError STORE_FORGOT if it cannot be
    read.
    """
    if not path.exists():
        return None
    found = _read(path)
    del found["written"]
    return Sidecar(**found)


def _read(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    found = _checked(data)
    if found is None and len(data) <= _MOST:
        # What a flipped bit costs must not be a loss of memory: its checksum tells which byte it was.
        found = next((right for one in _with_another_byte(data) if (right := _checked(one))), None)
    if found is None:
        raise StoreError(
            "STORE_FORGOT",
            f"{path.name} cannot be read: it is not as it was written",
            hint="start once with --accept-loss: a new incarnation begins, and peers send again what is "
            "missing",
        )
    return found


def _checked(data: bytes) -> dict[str, Any] | None:
    """Return the content without its checksum, or None if it is not as it was written."""
    try:
        found: dict[str, Any] = json.loads(data)
        if found.pop("sum", None) not in (None, _sum(found)):  # None: an older version has written it
            return None
        Sidecar(**{name: value for name, value in found.items() if name != "written"})
        return {"written": int(found["written"]), **found}
    except (ValueError, TypeError, AttributeError, KeyError):
        return None


def _with_another_byte(data: bytes) -> Iterator[bytes]:
    for place, byte in enumerate(data):
        for other in range(256):
            if other != byte:
                yield data[:place] + bytes((other,)) + data[place + 1 :]


def _sum(content: Mapping[str, Any]) -> str:
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def write_sidecar(path: Path, sidecar: Sidecar) -> None:
    """Replace the file durably: after a crash it is the old one or the new one, never half.

    The time in it is that of the file system. The clock of this machine may be another, and of replicas that
    share a folder each may have its own.
    """
    _write_dated(path, asdict(sidecar))


def mark_start(folder: Path) -> None:
    """Say in the folder when its node was started: a copy that is made while it runs says it too late."""
    _write_dated(folder / STARTED, {})


def _write_dated(path: Path, content: Mapping[str, Any]) -> None:
    for _ in range(_TRIES):
        written = time_at(path.parent)
        write_private(path, _dated(content, written))
        if abs(path.stat().st_ctime_ns - written) <= SLACK:
            return
    # On a slow disk the times prove nothing.
    write_private(path, _dated(content, 0))


def _dated(content: Mapping[str, Any], written: int) -> bytes:
    dated = {**content, "written": written}
    return json.dumps({**dated, "sum": _sum(dated)}).encode()


def time_at(folder: Path) -> int:
    """Nanoseconds since 1970 by the clock of a folder's file system."""
    with disk_errors(folder), tempfile.TemporaryFile(dir=folder) as fresh:
        return os.fstat(fresh.fileno()).st_ctime_ns


FORGOT: Final = "forgot"
"""In the data folder: the database was seen to have lost something, and no start has completed since."""


def remember_loss(folder: Path) -> None:
    """The next start is refused until an operator accepts the loss: the sidecar may lag behind it."""
    write_private(folder / FORGOT, b"the database lost what it had confirmed\n")


def accept_loss(folder: Path) -> None:
    """A start that an operator wanted has completed."""
    (folder / FORGOT).unlink(missing_ok=True)


def check_loss(folder: Path) -> None:
    """Raises StoreError STORE_FORGOT if a loss was seen that no start has dealt with."""
    if (folder / FORGOT).exists():
        raise StoreError(
            "STORE_FORGOT",
            "the database lost what it had confirmed: a standby that lagged was promoted while the node ran, "
            "or a start after a loss did not complete",
            hint="start once with --accept-loss: a new incarnation begins and peers hand over again",
        )


def check_place(path: Path) -> None:
    """Check that the sidecar and the file beside it were last changed when they were written.

    Raises StoreError STORE_FORGOT if somebody has put them here since: the folder is a copy, or was put back,
    and may contain what has been destroyed in the meantime.
    """
    if not path.exists():
        return
    since = _put_here(path, _read(path)["written"])
    if since:
        raise _copied(f"{since / 1e9:.0f} s after its node last wrote to it")
    since = _put_here_since_start(path.parent)
    if since:
        raise _copied(f"{since / 1e9:.0f} s after its node was started, while it ran")


def check_shared(folder: Path) -> None:
    """Check, for a replica that joins others, that the first of them was started in this very folder.

    Raises StoreError STORE_FORGOT if it is a copy: it would lack keys and law that the others have from now
    on.
    """
    since = _put_here_since_start(folder)
    if since:
        raise StoreError(
            "STORE_FORGOT",
            f"this folder is a copy, made {since / 1e9:.0f} s after its node was started: the replicas that "
            "run have another one",
            hint="let all replicas have one folder, on a file system that all their machines reach",
        )


def _put_here_since_start(folder: Path) -> int:
    started = folder / STARTED
    with suppress(FileNotFoundError, ValueError, TypeError, KeyError):  # damaged, it proves nothing
        return _put_here(started, int(json.loads(started.read_bytes())["written"]))
    return 0


def _put_here(path: Path, written: int) -> int:
    """Return how long after a file was written it was put where it is, in nanoseconds; 0: it always was."""
    later = path.stat().st_ctime_ns - written
    return later if written and later > SLACK else 0


def _copied(when: str) -> StoreError:
    return StoreError(
        "STORE_FORGOT",
        f"the folder was copied or put back {when}; content destroyed since then could be read again",
        hint="if it is meant to run, and its original never again: start once with --accept-loss. "
        "A folder made by `intelshare node restore` does not need this",
    )


def compare(sidecar: Sidecar | None, incarnation: int, size: int, root: bytes) -> None:
    """Check that the database contains all of the log that the sidecar remembers: one that is ahead has lost
    nothing.

    Raises StoreError STORE_FORGOT with what is missing; the node then starts only if an operator accepts the
    loss.
    """
    if sidecar is None:
        return
    if sidecar.incarnation != incarnation:
        wrong = "has lost a whole incarnation"
    elif size < sidecar.size:
        wrong = f"has lost {sidecar.size - size} log entries"
    elif size == sidecar.size and root.hex() != sidecar.root:
        wrong = "contains entries other than those that were logged"
    else:
        return
    raise StoreError(
        "STORE_FORGOT",
        f"the database {wrong}: restored from a backup, or damaged",
        hint="start once with --accept-loss: a new incarnation begins, and peers send again what is missing",
    )
