"""Finds the one changed byte that keeps SQLite from reading its file, and puts it right (decision 92).

Records have digests of their own; this is for what leads to them: the headers of pages, the places of cells,
the numbers of pages, the text of the schema. Nothing else tells what stood there, but the parts of a file fit
each other in one way (``sqlite_pages``). A byte is written only if SQLite finds the whole file sound with it,
each index with its table too; a search that fails writes none.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice, product
from pathlib import Path
from typing import Final
from urllib.parse import quote

import apsw

from intelshare.store.connection import BUSY
from intelshare.store.sqlite_pages import (
    CHILD,
    FIRST,
    FREE,
    NEXT,
    ROOT,
    SIZE,
    Pages,
    Pointer,
    entry,
    free_pages,
    head_of,
    is_whole,
    mapped_pages,
    pointers,
    tree_pages,
)

_FIXED: Final = {
    **dict(enumerate(b"SQLite format 3\0")),
    **dict(enumerate(SIZE.to_bytes(2, "big"), 16)),
    **dict(enumerate(b"\x02\x02\x00\x40\x20\x20", 18)),
    **dict(enumerate((4).to_bytes(4, "big"), 44)),
    **dict(enumerate((1).to_bytes(4, "big"), 56)),
    **dict(enumerate((1).to_bytes(4, "big"), 64)),
    **dict(enumerate(bytes(24), 68)),
}
"""The bytes of the file's header that are the same in every file of ours, by their places."""

_MOST: Final = 2000
"""The guesses that are checked at most: each reads the whole file."""

_SECONDS: Final = 60.0
"""The seconds that the search takes at most: a start waits for it."""

LARGEST: Final = 512 << 20
"""The bytes of a file beyond which nothing is searched: the time would end after a few guesses."""

_STEPS: Final = 10_000
"""Instructions of SQLite after which a check asks whether there is time left."""


@dataclass(frozen=True, slots=True)
class Changed:
    """A byte of the file, and what has to stand there."""

    place: int
    value: int

    @property
    def page(self) -> int:
        """Return the number of its page."""
        return self.place // SIZE + 1


def doubt(path: Path) -> None:
    """Leave a mark, in any thread: a page of this file cannot be read, and the next start looks for it."""
    with contextlib.suppress(OSError):
        _mark(path).touch(0o600)


def is_doubted(path: Path) -> bool:
    """Return true if a process has met a page that cannot be read, and no start has looked for it since."""
    return _mark(path).exists()


def forget_doubt(path: Path) -> None:
    """Take the mark away: it was looked for. Raises OSError."""
    _mark(path).unlink(missing_ok=True)


def _mark(path: Path) -> Path:
    return path.with_name(f"{path.name}.doubt")


def mend(path: Path, steps: Sequence[str], seconds: float = _SECONDS) -> Changed | None:
    """Put the one changed byte of a file right that no process has open; return it, or None if there is none,
    if it was not found in time, or if the file is larger than ``LARGEST``.

    ``steps``: the SQL of the schema (``migrate.migrations``). ``seconds``: the most that it takes, besides
    copying back what was committed. Raises OSError, apsw.Error for other faults than damage.
    """
    size = path.stat().st_size if path.exists() else 0
    if not size or size % SIZE or size > LARGEST:
        return None
    end = time.monotonic() + seconds

    def ended() -> bool:
        return time.monotonic() > end

    def proven(guess: Changed) -> bool:
        if ended() or not sound(path, guess, ended=ended):
            return False
        return sound(path, guess, "integrity_check", ended)

    _give_back(path)
    if _is_there(path, "-wal"):
        return None
    found = next(filter(proven, _header(path)), None)
    if found is None and not sound(path, ended=ended):
        guesses = islice(_guesses(path, _texts(steps), ended), _MOST)
        found = next(filter(proven, guesses), None)
    if found is not None:
        _write(path, found)
    return found


def _texts(steps: Sequence[str]) -> list[str]:
    """Return the texts of all tables and indexes, as SQLite keeps them."""
    made = apsw.Connection(":memory:")
    made.execute("\n".join(steps)).fetchall()
    return [text for (text,) in made.execute("SELECT sql FROM sqlite_schema WHERE sql NOT NULL")]


def sound(
    path: Path,
    guess: Changed | None = None,
    check: str = "quick_check",
    ended: Callable[[], bool] = lambda: False,
) -> bool:
    """Return true if SQLite finds every page where it belongs, with ``guess`` in place of what is there.

    ``check``: ``integrity_check`` also compares each index with its table, which takes longer. ``ended`` is
    asked now and then: once it is true, the check stops, and nothing counts as sound.
    """
    vfs = _Guessing(guess)
    try:
        connection = apsw.Connection(
            f"file:{quote(os.fsencode(path))}?immutable=1",
            flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI,
            vfs=vfs.name,
        )
        try:
            connection.set_progress_handler(ended, _STEPS)
            return connection.execute(f"PRAGMA {check}(1)").fetchall() == [("ok",)]
        finally:
            connection.close()
    except (apsw.CorruptError, apsw.NotADBError, apsw.SQLError, apsw.InterruptError):
        return False
    finally:
        vfs.unregister()


class _Guessing(apsw.VFS):
    """Reads files as they are but for one byte."""

    def __init__(self, guess: Changed | None) -> None:
        self.name = f"intelshare-guess-{id(self)}"  # SQLite knows it by name, in the whole process
        super().__init__(self.name, "")
        self._guess = guess

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        return _GuessedFile(name, flags, self._guess)


class _GuessedFile(apsw.VFSFile):
    def __init__(self, name: str | apsw.URIFilename | None, flags: list[int], guess: Changed | None) -> None:
        super().__init__("", name, flags)
        self._guess = guess

    def xRead(self, amount: int, offset: int) -> bytes:
        found = super().xRead(amount, offset)
        guess = self._guess
        if guess is None or not offset <= guess.place < offset + len(found):
            return found
        at = guess.place - offset
        return found[:at] + bytes((guess.value,)) + found[at + 1 :]


def _header(path: Path) -> Iterator[Changed]:
    """Yield the byte of the header that is not as in all files, or that of the number of pages."""
    with path.open("rb") as file:
        header = file.read(100)
    wrong = [Changed(place, value) for place, value in _FIXED.items() if header[place] != value]
    if len(wrong) == 1:
        yield wrong[0]
    if not wrong:
        yield from _one_byte(28, header[28:32], (path.stat().st_size // SIZE).to_bytes(4, "big"))


def _is_there(path: Path, suffix: str) -> bool:
    beside = path.with_name(path.name + suffix)
    return beside.exists() and beside.stat().st_size > 0


def _give_back(path: Path) -> None:
    """Copy what was committed and stands beside the file into it: those pages are whole."""
    if not _is_there(path, "-wal"):
        return
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        connection.set_busy_timeout(BUSY)
        with contextlib.suppress(apsw.CorruptError, apsw.NotADBError):
            # Without a read before it a checkpoint does nothing; after one that fails, closing makes it.
            connection.execute("PRAGMA schema_version").fetchall()
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    finally:
        connection.close()


def _write(path: Path, changed: Changed) -> None:
    with path.open("r+b") as file:
        file.seek(changed.place)
        file.write(bytes((changed.value,)))
        file.flush()
        os.fsync(file.fileno())


def _guesses(path: Path, schema: Iterable[str], ended: Callable[[], bool]) -> Iterator[Changed]:
    """Yield what may have stood in place of one byte; nothing more once ``ended`` is true."""
    with path.open("rb") as file:
        last = os.fstat(file.fileno()).st_size // SIZE

        def page(number: int) -> bytes:
            if number < 1:
                return b""
            file.seek((number - 1) * SIZE)
            return file.read(SIZE)

        mapped = {one.to: one for one in mapped_pages(page, last)}
        leads: list[Pointer] = []
        broken: list[int] = []
        for number in range(1, last + 1):
            if ended():
                return
            kind = mapped[number].kind if number in mapped else ROOT if number == 1 else 0
            if kind in (ROOT, CHILD):
                found = pointers(page(number), number)
                if found is None:
                    broken.append(number)
                else:
                    leads += found
            elif kind in (FIRST, NEXT) and (to := int.from_bytes(page(number)[:4], "big")):
                leads.append(Pointer((number - 1) * SIZE, to, NEXT, number))
        free = list(free_pages(page, mapped))
        if len(broken) == 1:
            yield from _whole_again(page(broken[0]), broken[0])
        if sorted(one.to for one in free) == [one.to for one in mapped.values() if one.kind == FREE]:
            leads += free
        else:
            yield from _listed_again(free, mapped, ended)
            yield from _counted_again(page, free)
        yield from _one_byte(36, page(1)[36:40], len(free).to_bytes(4, "big"))
        yield from _led_again(leads, mapped, ended)
        roots = [one.to for one in mapped.values() if one.kind == ROOT]
        yield from _one_byte(52, page(1)[52:56], max(roots, default=1).to_bytes(4, "big"))
        yield from _text_again({number: page(number) for number in tree_pages(1, leads)}, schema)


def _listed_again(
    free: Sequence[Pointer], mapped: Mapping[int, Pointer], ended: Callable[[], bool]
) -> Iterator[Changed]:
    """Yield the bytes with which the map has a listed page as free, or something leads to a free page: to
    which one, none of them tells.
    """
    for one in free:
        noted = mapped.get(one.to)
        if noted is not None and noted.kind != FREE:
            yield from _noted_as(noted, FREE, 0)
    known = {one.to for one in free}
    listed = [one.to for one in mapped.values() if one.kind == FREE]
    unknown = [to for to in listed if to not in known]
    for one in free:
        if ended():
            return
        for to in listed if one.place == 32 or one.place % SIZE == 0 else unknown:
            yield from _leads_to(one, to)


def _counted_again(page: Pages, free: Sequence[Pointer]) -> Iterator[Changed]:
    """Yield the bytes with which a list of free pages has another length."""
    for place in [(one.to - 1) * SIZE + 4 for one in free if one.place % SIZE < 8 or one.place == 32]:
        count = page(place // SIZE + 1)[4:8]
        for at, bit in product(range(len(count)), range(8)):
            yield Changed(place + at, count[at] ^ 1 << bit)


def _whole_again(data: bytes, number: int) -> Iterator[Changed]:
    """Yield the bytes with which a page is whole: flipped bits anywhere, then any byte of what begins it.

    The number of lone bytes comes last: some number of them fits whatever else has changed.
    """
    tried, base, start = bytearray(data), (number - 1) * SIZE, head_of(number)
    bits = ((at, data[at] ^ 1 << bit) for at in range(start, SIZE) for bit in range(8) if at != start + 7)
    count = int.from_bytes(data[start + 3 : start + 5], "big")
    begin = (at for at in range(start, min(start + 12 + 2 * count, SIZE)) if at != start + 7)
    leading = ((at, value) for at in begin for value in range(256) if (value ^ data[at]).bit_count() > 1)
    for at, value in chain(bits, leading, ((start + 7, value) for value in range(256))):
        tried[at] = value
        if is_whole(tried, number):
            yield Changed(base + at, value)
        tried[at] = data[at]


def _led_again(
    leads: Iterable[Pointer], mapped: Mapping[int, Pointer], ended: Callable[[], bool]
) -> Iterator[Changed]:
    """Yield the bytes with which a number of a page, or an entry of the map, fits the rest."""
    led: dict[int, list[Pointer]] = {}
    for one in leads:
        led.setdefault(one.to, []).append(one)
    right = {to for to, found in led.items() if to in mapped and any(map(mapped[to].says, found))}
    missing = [one for to, one in mapped.items() if one.kind != ROOT and to not in right]
    for one in chain.from_iterable(led.values()):
        noted = mapped.get(one.to)
        if noted is not None and noted.says(one):
            continue
        if ended():
            return
        for other in missing:
            if other.says(one):
                yield from _leads_to(one, other.to)
        if one.kind == NEXT:
            yield from _leads_to(one, 0)
        if noted is not None:
            yield from _noted_as(noted, one.kind, one.of)
    for to, noted in mapped.items():
        if to not in led:
            yield from _noted_as(noted, ROOT, 0)


def _leads_to(one: Pointer, to: int) -> Iterator[Changed]:
    """Yield the byte with which this leads to another page, if it is one."""
    return _one_byte(one.place, one.to.to_bytes(4, "big"), to.to_bytes(4, "big"))


def _noted_as(noted: Pointer, kind: int, of: int) -> Iterator[Changed]:
    """Yield the byte with which the map says this of a page, if it is one."""
    return _one_byte(noted.place, entry(noted.kind, noted.of), entry(kind, of))


def _text_again(pages: Mapping[int, bytes], schema: Iterable[str]) -> Iterator[Changed]:
    """Yield the bytes with which the schema has its texts again."""
    for text in (one.encode() for one in schema):
        if any(text in data for data in pages.values()):
            continue
        for number, data in pages.items():
            for at in (data.find(text[:24]), data.find(text[-24:]) + 24 - len(text)):
                if 0 <= at <= SIZE - len(text):
                    yield from _one_byte((number - 1) * SIZE + at, data[at : at + len(text)], text)


def _one_byte(place: int, found: bytes, wanted: bytes) -> Iterator[Changed]:
    """Yield the byte in which the two differ, if it is one."""
    differ = [at for at, (one, other) in enumerate(zip(found, wanted, strict=True)) if one != other]
    if len(differ) == 1:
        yield Changed(place + differ[0], wanted[differ[0]])
