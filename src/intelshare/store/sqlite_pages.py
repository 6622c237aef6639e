"""The pages of SQLite's file (sqlite.org/fileformat2.html), as far as one leads to another.

The parts of a file fit each other in one way: cells and gaps fill a page of a tree exactly, and the map of
pages, which SQLite keeps so that the file can shrink, names for each page the one that leads to it. Nothing
here writes, and whatever it reads may be wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from struct import Struct
from typing import Final, NamedTuple, TypeAlias

SIZE: Final = 4096
"""The bytes of a page, of which SQLite leaves none aside here (``migrate.PAGE``)."""

ROOT, FREE, FIRST, NEXT, CHILD = 1, 2, 3, 4, 5
"""The kinds of pages in the map: a root, free, the first or a later one of a long cell, in a tree."""

_MAPPED: Final = SIZE // 5
"""The pages that one page of the map describes: a kind and a number of four bytes for each."""

_LOCKED: Final = 0x40000000 // SIZE + 1
"""The page that SQLite leaves empty, because it locks bytes there."""

_INDEX_INNER, _TABLE_INNER, _INDEX_LEAF, _TABLE_LEAF = 2, 5, 10, 13
_LONGEST: Final = {_TABLE_LEAF: SIZE - 35}
_LONG: Final = (SIZE - 12) * 64 // 255 - 23
_LEAST: Final = (SIZE - 12) * 32 // 255 - 23
"""The bytes of a cell beyond which its end stands in further pages, and those that then stay."""

_SIZES: Final = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0)
"""The bytes of a column by its kind; from 12 on, the kind counts two for each byte of a text or blob."""

_HEAD: Final = Struct(">HHHB").unpack_from
_GAP: Final = Struct(">HH").unpack_from

Pages: TypeAlias = Callable[[int], bytes]
"""Returns a page by its number; a number below 1 has no bytes."""

Data: TypeAlias = bytes | bytearray
Span: TypeAlias = tuple[int, int]
"""Where something begins in its page, and how many bytes it has."""


@dataclass(frozen=True, slots=True)
class Pointer:
    """A number of a page, where it stands."""

    place: int
    to: int
    kind: int
    of: int
    """The page that the map has to name for ``to``."""

    def says(self, other: Pointer) -> bool:
        """Return true if the map says the same of both."""
        return (self.kind, self.of) == (other.kind, other.of)


def entry(kind: int, of: int) -> bytes:
    """Return an entry of the map."""
    return bytes((kind,)) + of.to_bytes(4, "big")


def mapped_pages(page: Pages, last: int) -> Iterator[Pointer]:
    """Yield what the map says of each page; the place is that of the entry."""
    for first in range(2, last + 1, _MAPPED + 1):
        where = first + 1 if first == _LOCKED else first
        entries = page(where)
        for to in range(where + 1, min(first + _MAPPED, last) + 1):
            at = 5 * (to - where - 1)
            of = int.from_bytes(entries[at + 1 : at + 5], "big")
            yield Pointer((where - 1) * SIZE + at, to, entries[at], of)


def free_pages(page: Pages, mapped: Mapping[int, Pointer]) -> Iterator[Pointer]:
    """Yield what leads to free pages: the header to the first list of them, each list to the next, and to its
    pages; up to where it leads elsewhere.
    """
    place, met = 32, set[int]()
    while True:
        at = (place // SIZE, place % SIZE)
        to = int.from_bytes(page(at[0] + 1)[at[1] : at[1] + 4], "big")
        if not to:
            return
        yield Pointer(place, to, FREE, 0)
        if to in met or to not in mapped or mapped[to].kind != FREE:
            return
        met.add(to)
        data, place = page(to), (to - 1) * SIZE
        for leaf in range(8, 8 + 4 * min(int.from_bytes(data[4:8], "big"), SIZE // 4 - 2), 4):
            yield Pointer(place + leaf, int.from_bytes(data[leaf : leaf + 4], "big"), FREE, 0)


class _Head(NamedTuple):
    """The beginning of a page of a tree."""

    kind: int
    start: int
    """Where it stands: behind the file's header on the first page."""
    inner: bool
    free: int
    """The first of the gaps that are listed; 0: there is none."""
    cells: range
    """Where the places of the cells stand, two bytes each."""
    content: int
    """Where the first cell or listed gap begins."""
    lone: int
    """The bytes between cells that are in no listed gap."""


def head_of(number: int) -> int:
    """Return where the head of a page stands."""
    return 100 if number == 1 else 0


def _head(data: Data, number: int) -> _Head | None:
    """Return the head of a page of a tree; None if it cannot be one."""
    start = head_of(number)
    kind = data[start]
    if kind not in (_INDEX_INNER, _TABLE_INNER, _INDEX_LEAF, _TABLE_LEAF):
        return None
    inner = kind in (_INDEX_INNER, _TABLE_INNER)
    free, count, content, lone = _HEAD(data, start + 1)
    begin = start + (12 if inner else 8)
    if not begin + 2 * count <= content <= SIZE:
        return None
    return _Head(kind, start, inner, free, range(begin, begin + 2 * count, 2), content, lone)


def pointers(data: Data, number: int) -> list[Pointer] | None:
    """Return the pages to which a page of a tree leads, or None if its cells and gaps do not fill it."""
    head = _head(data, number)
    if head is None:
        return None
    base = (number - 1) * SIZE

    def pointer(at: int, kind: int) -> Pointer:
        return Pointer(base + at, int.from_bytes(data[at : at + 4], "big"), kind, number)

    found = [pointer(head.start + 8, CHILD)] if head.inner else []
    spans: list[Span] = []
    for at in head.cells:
        cell = data[at] << 8 | data[at + 1]
        if not head.content <= cell <= SIZE - 4:
            return None
        size, long = _cell(data, cell, head.kind)
        if cell + size > SIZE:
            return None
        spans.append((cell, size))
        if head.inner:
            found.append(pointer(cell, CHILD))
        if long:
            found.append(pointer(cell + size - 4, FIRST))
    gaps = _gaps(data, head)
    return found if gaps is not None and _fill([*spans, *gaps], head) else None


def _gaps(data: Data, head: _Head) -> list[Span] | None:
    """Return the listed gaps; None if a place or size cannot be one."""
    found: list[Span] = []
    free = head.free
    while free:
        if not head.content <= free <= SIZE - 4:
            return None
        after, size = _GAP(data, free)
        found.append((free, size))
        if size < 4 or (after and after < free + size):
            return None
        free = after
    return found


def _fill(spans: list[Span], head: _Head) -> bool:
    """Return true if these and the lone bytes fill the page from its content on, and none covers another."""
    lone, end = 0, head.content
    for begins, size in sorted(spans):
        if begins < end:
            return False
        lone, end = lone + begins - end, begins + size
    return end <= SIZE and lone + SIZE - end == head.lone


def _cell(data: Data, at: int, kind: int) -> tuple[int, bool]:
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


def _number(data: Data, at: int) -> tuple[int, int]:
    """Read a number of 1 to 9 bytes; return it, and where it ends."""
    value = 0
    for end in range(at, min(at + 8, SIZE)):
        value = value << 7 | data[end] & 0x7F
        if data[end] < 0x80:
            return value, end + 1
    return (value << 8 | data[at + 8], at + 9) if at + 9 <= SIZE else (SIZE, SIZE)


def is_whole(data: Data, number: int) -> bool:
    """Return true if a page of a tree is filled exactly, each cell is as long as the columns that it names,
    and the first is where they begin: SQLite does not compare these.
    """
    if pointers(data, number) is None or (head := _head(data, number)) is None:
        return False
    cells = [data[at] << 8 | data[at + 1] for at in head.cells]
    if cells and head.content != min(cells + [head.free] * (head.free > 0)):
        return False
    return head.kind == _TABLE_INNER or all(_is_full(data, cell, head.kind) for cell in cells)


def _is_full(data: Data, at: int, kind: int) -> bool:
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


def tree_pages(root: int, leads: list[Pointer]) -> Iterator[int]:
    """Yield the pages of a tree, by what leads to them."""
    children: dict[int, list[int]] = {}
    for one in leads:
        if one.kind == CHILD:
            children.setdefault(one.of, []).append(one.to)
    waiting, met = [root], {root}
    while waiting:
        number = waiting.pop()
        yield number
        fresh = [one for one in children.get(number, ()) if one not in met]
        met.update(fresh)
        waiting += fresh
