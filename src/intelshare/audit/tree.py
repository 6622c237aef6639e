"""A log's tree over entries that stay on disk: a proof costs about a page, whatever the size of the log.

Only the roots of full pages of 256 entries are kept in memory (32 bytes each: 4,000 of them for a million
entries). Those of the growing log are noted as it grows. A log that was closed before this start is read
once, in full, when somebody first asks for a proof of it: edits made on disk in the meantime then show.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from intelshare.audit.log import PAGE_LEVEL, node_hash
from intelshare.audit.proofs import inclusion_ranges, inconsistent, prefix_ranges, root_over
from intelshare.audit.work import Work

PAGE: Final = 1 << PAGE_LEVEL

Fetch = Callable[[int, int], Work[Sequence[bytes]]]
"""A function that returns the entry hashes from one index up to another, in order; fewer if some are missing.
"""


class Tree:
    """The memory of one log's pages. It changes no outcome, even if two queries read it at once or one ends
    early.

    A page noted by a step that was not committed is noted again, with its new contents, before the log
    reaches that length.
    """

    def __init__(self) -> None:
        self._pages: dict[int, bytes] = {}
        self._whole = 0

    def note(self, page: int, root: bytes) -> None:
        """Note the root of a page that is complete."""
        self._pages[page] = root

    def grow(self, fetch: Fetch, size: int) -> Work[None]:
        """Compute the roots of all full pages below ``size``. Raises TrustError LOG_INCONSISTENT for missing
        entries.
        """
        # Counted locally, stored at the end: while a page is fetched, another query may grow the same tree.
        page = self._whole
        while (page + 1) * PAGE <= size:
            if page not in self._pages:
                low = page * PAGE
                self._pages[page] = root_over((yield from _whole(fetch, low, low + PAGE)))
            page += 1
        self._whole = max(self._whole, page)

    def inclusion(self, fetch: Fetch, index: int, size: int) -> Work[list[bytes]]:
        """Return the inclusion proof of an entry in the log of ``size``. Raises IndexError,
        LOG_INCONSISTENT.
        """
        yield from self.grow(fetch, size)
        return (yield from self._roots(fetch, inclusion_ranges(index, size)))

    def prefix(self, fetch: Fetch, earlier: int, size: int) -> Work[list[bytes]]:
        """Return the proof for ``fold`` from one size to another. Raises IndexError, LOG_INCONSISTENT."""
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
"""By incarnation, the trees of this node's logs that grew or were asked about since the start."""


def _whole(fetch: Fetch, low: int, high: int) -> Work[Sequence[bytes]]:
    found = yield from fetch(low, high)
    if len(found) != high - low:
        raise inconsistent(f"entries are missing between {low} and {high}")
    return found
