"""Finds the one changed byte that keeps SQLite from reading its file, and puts it right (decision 92).

Records have digests of their own; this is for what leads to them: the headers of pages, the places of cells,
the numbers of pages, the text of the schema. Nothing else tells what stood there, but the parts of a file fit
each other in one way: cells and gaps fill a page exactly, and the map of pages, which SQLite keeps so that
the file can shrink, names for each page the one that leads to it. A byte is written only if SQLite finds the
whole file sound with it, each index with its table too; a search that fails writes none.
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

SIZE: Final = 4096
"""The bytes of a page, of which SQLite leaves none aside here (``migrate.PAGE``)."""

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

_MAPPED: Final = SIZE // 5
"""The pages that one page of the map describes: a kind and a number of four bytes for each."""

_LOCKED: Final = 0x40000000 // SIZE + 1
"""The page that SQLite leaves empty, because it locks bytes there."""

_ROOT, _FREE, _FIRST, _NEXT, _CHILD = 1, 2, 3, 4, 5
"""The kinds of pages in the map: a root, free, the first or a later one of a long cell, in a tree."""

_INDEX_INNER, _TABLE_INNER, _INDEX_LEAF, _TABLE_LEAF = 2, 5, 10, 13
_LONGEST: Final = {_TABLE_LEAF: SIZE - 35}
_LONG: Final = (SIZE - 12) * 64 // 255 - 23
_LEAST: Final = (SIZE - 12) * 32 // 255 - 23
"""The bytes of a cell beyond which its end stands in further pages, and those that then stay."""

_SIZES: Final = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0)
"""The bytes of a column by its kind; from 12 on, the kind counts two for each byte of a text or blob."""

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


@dataclass(frozen=True, slots=True)
class _Pointer:
    """A number of a page, where it stands."""

    place: int
    to: int
    kind: int
    of: int
    """The page that the map has to name for ``to``."""


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

        mapped = {one.to: one for one in _map(page, last)}
        leads: list[_Pointer] = []
        broken: list[int] = []
        for number in range(1, last + 1):
            if ended():
                return
            kind = mapped[number].kind if number in mapped else _ROOT if number == 1 else 0
            if kind in (_ROOT, _CHILD):
                found = _pointers(page(number), number)
                if found is None:
                    broken.append(number)
                else:
                    leads += found
            elif kind in (_FIRST, _NEXT) and (to := int.from_bytes(page(number)[:4], "big")):
                leads.append(_Pointer((number - 1) * SIZE, to, _NEXT, number))
        free = list(_free(page, mapped))
        if len(broken) == 1:
            yield from _whole_again(page(broken[0]), broken[0])
        if sorted(one.to for one in free) == [one.to for one in mapped.values() if one.kind == _FREE]:
            leads += free
        else:
            yield from _listed_again(free, mapped, ended)
            yield from _counted_again(page, free)
        yield from _one_byte(36, page(1)[36:40], len(free).to_bytes(4, "big"))
        yield from _led_again(leads, mapped, ended)
        roots = [one.to for one in mapped.values() if one.kind == _ROOT]
        yield from _one_byte(52, page(1)[52:56], max(roots, default=1).to_bytes(4, "big"))
        yield from _text_again({number: page(number) for number in _beneath(1, leads)}, schema)


def _map(page: Callable[[int], bytes], last: int) -> Iterator[_Pointer]:
    """Yield what the map says of each page; the place is that of the entry."""
    for first in range(2, last + 1, _MAPPED + 1):
        where = first + 1 if first == _LOCKED else first
        entries = page(where)
        for to in range(where + 1, min(first + _MAPPED, last) + 1):
            at = 5 * (to - where - 1)
            of = int.from_bytes(entries[at + 1 : at + 5], "big")
            yield _Pointer((where - 1) * SIZE + at, to, entries[at], of)


def _free(page: Callable[[int], bytes], mapped: Mapping[int, _Pointer]) -> Iterator[_Pointer]:
    """Yield what leads to free pages: the header to the first list of them, each list to the next, and to its
    pages; up to where it leads elsewhere.
    """
    place, met = 32, set[int]()
    while True:
        at = (place // SIZE, place % SIZE)
        to = int.from_bytes(page(at[0] + 1)[at[1] : at[1] + 4], "big")
        if not to:
            return
        yield _Pointer(place, to, _FREE, 0)
        if to in met or to not in mapped or mapped[to].kind != _FREE:
            return
        met.add(to)
        data, place = page(to), (to - 1) * SIZE
        for leaf in range(8, 8 + 4 * min(int.from_bytes(data[4:8], "big"), SIZE // 4 - 2), 4):
            yield _Pointer(place + leaf, int.from_bytes(data[leaf : leaf + 4], "big"), _FREE, 0)


def _listed_again(
    free: Sequence[_Pointer], mapped: Mapping[int, _Pointer], ended: Callable[[], bool]
) -> Iterator[Changed]:
    """Yield the bytes with which the map has a listed page as free, or something leads to a free page: to
    which one, none of them tells.
    """
    for one in free:
        entry = mapped.get(one.to)
        if entry is not None and entry.kind != _FREE:
            yield from _one_byte(entry.place, _entry(entry.kind, entry.of), _entry(_FREE, 0))
    known = {one.to for one in free}
    listed = [one.to for one in mapped.values() if one.kind == _FREE]
    unknown = [to for to in listed if to not in known]
    for one in free:
        if ended():
            return
        for to in listed if one.place == 32 or one.place % SIZE == 0 else unknown:
            yield from _one_byte(one.place, one.to.to_bytes(4, "big"), to.to_bytes(4, "big"))


def _counted_again(page: Callable[[int], bytes], free: Sequence[_Pointer]) -> Iterator[Changed]:
    """Yield the bytes with which a list of free pages has another length."""
    for place in [(one.to - 1) * SIZE + 4 for one in free if one.place % SIZE < 8 or one.place == 32]:
        count = page(place // SIZE + 1)[4:8]
        for at, bit in product(range(len(count)), range(8)):
            yield Changed(place + at, count[at] ^ 1 << bit)


def _pointers(data: bytes | bytearray, number: int) -> list[_Pointer] | None:
    """Return the pages to which a page of a tree leads, or None if its cells and gaps do not fill it."""
    start = 100 if number == 1 else 0
    kind = data[start]
    if kind not in (_INDEX_INNER, _TABLE_INNER, _INDEX_LEAF, _TABLE_LEAF):
        return None
    inner = kind in (_INDEX_INNER, _TABLE_INNER)
    free, count, content = (int.from_bytes(data[start + at : start + at + 2], "big") for at in (1, 3, 5))
    begin = start + (12 if inner else 8)
    content = content or 65536
    if not begin + 2 * count <= content <= SIZE:
        return None
    base, found, spans = (number - 1) * SIZE, [], []
    if inner:
        found.append(
            _Pointer(base + start + 8, int.from_bytes(data[start + 8 : start + 12], "big"), _CHILD, number)
        )
    for at in range(begin, begin + 2 * count, 2):
        cell = data[at] << 8 | data[at + 1]
        if not content <= cell <= SIZE - 4:
            return None
        size, long = _cell(data, cell, kind)
        if cell + size > SIZE:
            return None
        spans.append((cell, size))
        if inner:
            found.append(_Pointer(base + cell, int.from_bytes(data[cell : cell + 4], "big"), _CHILD, number))
        if long:
            end = cell + size - 4
            found.append(_Pointer(base + end, int.from_bytes(data[end : end + 4], "big"), _FIRST, number))
    while free:
        if not content <= free <= SIZE - 4 or len(spans) > SIZE:
            return None
        after, size = (int.from_bytes(data[free + at : free + at + 2], "big") for at in (0, 2))
        spans.append((free, size))
        if size < 4 or (after and after < free + size):
            return None
        free = after
    gaps, end = 0, content
    for begins, size in sorted(spans):
        if begins < end:
            return None
        gaps, end = gaps + begins - end, begins + size
    return found if end <= SIZE and gaps + SIZE - end == data[start + 7] else None


def _cell(data: bytes | bytearray, at: int, kind: int) -> tuple[int, bool]:
    """Return the bytes of a cell in its page, and whether it ends in others."""
    begin = at
    if kind in (_INDEX_INNER, _TABLE_INNER):
        at += 4
    payload, at = _number(data, at)
    if kind == _TABLE_INNER:
        return at - begin, False
    if kind == _TABLE_LEAF:
        _, at = _number(data, at)
    most = _LONGEST.get(kind, _LONG)
    if payload <= most:
        return max(4, at - begin + payload), False
    here = _LEAST + (payload - _LEAST) % (SIZE - 4)
    return at - begin + (here if here <= most else _LEAST) + 4, True


def _number(data: bytes | bytearray, at: int) -> tuple[int, int]:
    """Read a number of 1 to 9 bytes; return it, and where it ends."""
    value = 0
    for end in range(at, min(at + 8, SIZE)):
        value = value << 7 | data[end] & 0x7F
        if data[end] < 0x80:
            return value, end + 1
    return (value << 8 | data[at + 8], at + 9) if at + 9 <= SIZE else (SIZE, SIZE)


def _whole_again(data: bytes, number: int) -> Iterator[Changed]:
    """Yield the bytes with which a page is whole: flipped bits anywhere, then any byte of what begins it.

    The number of lone bytes comes last: some number of them fits whatever else has changed.
    """
    tried, base, start = bytearray(data), (number - 1) * SIZE, 100 if number == 1 else 0
    bits = ((at, data[at] ^ 1 << bit) for at in range(start, SIZE) for bit in range(8) if at != start + 7)
    count = int.from_bytes(data[start + 3 : start + 5], "big")
    begin = (at for at in range(start, min(start + 12 + 2 * count, SIZE)) if at != start + 7)
    leading = ((at, value) for at in begin for value in range(256) if (value ^ data[at]).bit_count() > 1)
    for at, value in chain(bits, leading, ((start + 7, value) for value in range(256))):
        tried[at] = value
        if _pointers(tried, number) is not None and _fits(tried, start):
            yield Changed(base + at, value)
        tried[at] = data[at]


def _fits(data: bytes | bytearray, start: int) -> bool:
    """Return true if each cell is as long as the columns that it names, and the first is where they begin:
    SQLite does not compare these.
    """
    kind = data[start]
    free, count, content = (int.from_bytes(data[start + at : start + at + 2], "big") for at in (1, 3, 5))
    begin = start + (12 if kind in (_INDEX_INNER, _TABLE_INNER) else 8)
    cells = [data[at] << 8 | data[at + 1] for at in range(begin, begin + 2 * count, 2)]
    if cells and content != min(cells + [free] * (free > 0)):
        return False
    return kind == _TABLE_INNER or all(_is_full(data, cell, kind) for cell in cells)


def _is_full(data: bytes | bytearray, at: int, kind: int) -> bool:
    """Return true if the columns of a cell are as long together as it says."""
    payload, at = _number(data, at + 4 if kind == _INDEX_INNER else at)
    if kind == _TABLE_LEAF:
        _, at = _number(data, at)
    size, place = _number(data, at)
    end, total = at + size, size
    if end > SIZE:
        return False
    while place < end:
        column, place = _number(data, place)
        total += _SIZES[column] if column < len(_SIZES) else (column - len(_SIZES)) // 2
    return place == end and total == payload


def _led_again(
    leads: Iterable[_Pointer], mapped: Mapping[int, _Pointer], ended: Callable[[], bool]
) -> Iterator[Changed]:
    """Yield the bytes with which a number of a page, or an entry of the map, fits the rest."""
    led: dict[int, list[_Pointer]] = {}
    for one in leads:
        led.setdefault(one.to, []).append(one)
    right = {to for to, found in led.items() if to in mapped and any(_says(mapped[to], one) for one in found)}
    missing = [one for to, one in mapped.items() if one.kind != _ROOT and to not in right]
    for one in (one for found in led.values() for one in found):
        entry = mapped.get(one.to)
        if entry is not None and _says(entry, one):
            continue
        if ended():
            return
        for other in missing:
            if _says(other, one):
                yield from _one_byte(one.place, one.to.to_bytes(4, "big"), other.to.to_bytes(4, "big"))
        if one.kind == _NEXT:
            yield from _one_byte(one.place, one.to.to_bytes(4, "big"), bytes(4))
        if entry is not None:
            yield from _one_byte(entry.place, _entry(entry.kind, entry.of), _entry(one.kind, one.of))
    for to, entry in mapped.items():
        if to not in led:
            yield from _one_byte(entry.place, _entry(entry.kind, entry.of), _entry(_ROOT, 0))


def _says(entry: _Pointer, one: _Pointer) -> bool:
    return (entry.kind, entry.of) == (one.kind, one.of)


def _entry(kind: int, of: int) -> bytes:
    return bytes((kind,)) + of.to_bytes(4, "big")


def _text_again(pages: Mapping[int, bytes], schema: Iterable[str]) -> Iterator[Changed]:
    """Yield the bytes with which the schema has its texts again."""
    for text in (one.encode() for one in schema):
        if any(text in data for data in pages.values()):
            continue
        for number, data in pages.items():
            for at in (data.find(text[:24]), data.find(text[-24:]) + 24 - len(text)):
                if 0 <= at <= SIZE - len(text):
                    yield from _one_byte((number - 1) * SIZE + at, data[at : at + len(text)], text)


def _beneath(root: int, leads: Iterable[_Pointer]) -> Iterator[int]:
    """Yield the pages of a tree, by what leads to them."""
    children: dict[int, list[int]] = {}
    for one in leads:
        if one.kind == _CHILD:
            children.setdefault(one.of, []).append(one.to)
    waiting, met = [root], {root}
    while waiting:
        number = waiting.pop()
        yield number
        fresh = [one for one in children.get(number, ()) if one not in met]
        met.update(fresh)
        waiting += fresh


def _one_byte(place: int, found: bytes, wanted: bytes) -> Iterator[Changed]:
    """Yield the byte in which the two differ, if it is one."""
    differ = [at for at, (one, other) in enumerate(zip(found, wanted, strict=True)) if one != other]
    if len(differ) == 1:
        yield Changed(place + differ[0], wanted[differ[0]])
