"""The dates under which bulletins were given out: strictly increasing, and the same after a restart.

A consumer asks for what was added after the last date that it saw. If a date were used again, or something
new got an earlier one, the consumer would lose objects. The file holds originators, ids, dates and counts.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

from intelshare.instant import Instant
from intelshare.private_files import make_private_folder

FILE: Final = "dates"


@dataclass(frozen=True, slots=True)
class Given:
    """The first date of a bulletin, or of the note that it has been destroyed, and how many dates it has."""

    first: Instant
    count: int


class Dates:
    """The dates by name. Only one process may open it."""

    def __init__(self, folder: Path) -> None:
        """Load the dates. Raises OSError, or ValueError if the file is not one of dates."""
        make_private_folder(folder)
        self._path = folder / FILE
        self._given: dict[str, Given] = {}
        self._last = 0
        if self._path.exists():
            self._load()
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._file: TextIO = os.fdopen(descriptor, "a", encoding="ascii")

    def _load(self) -> None:
        whole = self._path.read_text("ascii")
        kept, _, torn = whole.rpartition("\n")
        if torn:
            # The last line was cut when a process ended; nobody has been given what it recorded.
            os.truncate(self._path, len(kept) + 1 if kept else 0)
        for line in kept.splitlines():
            name, first, count = line.split(" ")
            self._note(name, Given(Instant(int(first)), int(count)))

    def _note(self, name: str, given: Given) -> None:
        self._given[name] = given
        self._last = max(self._last, given.first + given.count - 1)

    def give(self, name: str, at: Instant, count: int) -> Given:
        """Return the dates of this name: the earlier ones if they are enough, otherwise new ones after all
        others.
        """
        known = self._given.get(name)
        if known is not None and count <= known.count:
            return known
        given = Given(Instant(max(self._last + 1, at)), count)
        self._note(name, given)
        self._file.write(f"{name} {given.first} {given.count}\n")
        return given

    def known(self, name: str) -> bool:
        """Return true if the name has dates."""
        return name in self._given

    def settle(self) -> None:
        """Make everything that was given durable: only then may anybody see it. Raises OSError."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()
