"""A log's tree over entries that stay on the disk: proofs at the cost of a page, whatever the log's size.

Kept in memory are only the roots of whole pages of 256 entries (32 bytes each: 4,000 of them for a million
entries). Of the log that grows they are noted as it grows. A log that was closed before this start is read
whole, once, when somebody first asks for a proof of it: what was edited on the disk meanwhile shows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from intelshare.audit.log import PAGE_LEVEL, node_hash
from intelshare.audit.proofs import inclusion_ranges, inconsistent, prefix_ranges, root_over
from intelshare.audit.work import Work

PAGE: Final = 1 << PAGE_LEVEL

Fetch = Callable[[int, int], Work[Sequence[bytes]]]
"""The entry hashes from one place up to another, in order; fewer if some are missing."""


class Tree:
    """One log. A memory that changes no outcome, also when two questions read it at once or one ends early.

    A page noted by a step that was not committed is noted again, as it then is, before the log is so long.
    """

    def __init__(self) -> None:
        self._pages: dict[int, bytes] = {}
        self._whole = 0

    def note(self, page: int, root: bytes) -> None:
        """A page is complete."""
        self._pages[page] = root

    def grow(self, fetch: Fetch, size: int) -> Work[None]:
        """Know the whole pages below ``size``. Raises TrustError LOG_INCONSISTENT for missing entries."""
        # Counted here and told at the end: while a page is fetched, another question may grow the same tree.
        page = self._whole
        while (page + 1) * PAGE <= size:
            if page not in self._pages:
                low = page * PAGE
                self._pages[page] = root_over((yield from _whole(fetch, low, low + PAGE)))
            page += 1
        self._whole = max(self._whole, page)

    def inclusion(self, fetch: Fetch, index: int, size: int) -> Work[list[bytes]]:
        """The inclusion proof of an entry in the log of ``size``. Raises IndexError, LOG_INCONSISTENT."""
        yield from self.grow(fetch, size)
        return (yield from self._roots(fetch, inclusion_ranges(index, size)))

    def prefix(self, fetch: Fetch, earlier: int, size: int) -> Work[list[bytes]]:
        """The proof for ``fold`` from one size to another. Raises IndexError, LOG_INCONSISTENT."""
        yield from self.grow(fetch, size)
        return (yield from self._roots(fetch, prefix_ranges(earlier, size)))

    def _roots(self, fetch: Fetch, ranges: Sequence[tuple[int, int]]) -> Work[list[bytes]]:
        found = []
        for low, high in ranges:
            found.append((yield from self._root(fetch, low, high)))
        return found

    def _root(self, fetch: Fetch, low: int, high: int) -> Work[bytes]:
        count = high - low
        if count == PAGE and not low % PAGE:
            return self._pages[low // PAGE]
        if count <= PAGE:
            return root_over((yield from _whole(fetch, low, high)))
        split = low + (1 << ((count - 1).bit_length() - 1))
        left = yield from self._root(fetch, low, split)
        return node_hash(left, (yield from self._root(fetch, split, high)))


Trees = dict[int, Tree]
"""By incarnation: of the own logs those that grew or were asked about since the start."""


def _whole(fetch: Fetch, low: int, high: int) -> Work[Sequence[bytes]]:
    found = yield from fetch(low, high)
    if len(found) != high - low:
        raise inconsistent(f"entries are missing between {low} and {high}")
    return found
