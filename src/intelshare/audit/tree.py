"""A log's tree over entries that stay on disk: a proof costs about a page, whatever the size of the log.

Only the roots of whole subtrees of 256 entries (pages) and more are kept in memory (8,000 of them for
a million entries). Those of the growing log are noted as it grows, here or by another replica. One
that was closed before this start is read once, in full, when somebody first asks for a proof of it: edits
made on disk in the meantime then show.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from intelshare.audit.log import PAGE_LEVEL, node_hash
from intelshare.audit.proofs import inclusion_ranges, inconsistent, prefix_ranges, root_over
from intelshare.audit.work import Work

PAGE: Final = 1 << PAGE_LEVEL

_HASH: Final = 32

Fetch = Callable[[int, int], Work[Sequence[bytes]]]
"""A function that returns the entry hashes from one index up to another, in order; fewer if some are missing.
"""


class Tree:
    """The memory of one log's subtrees. It changes no outcome, even if two queries read it at once, or one
    ends early.

    A page noted by a step that was not committed is noted again, with its new contents, before the log
    reaches that length.
    """

    def __init__(self) -> None:
        self._whole: dict[tuple[int, int], bytes] = {}
        """Roots by the first index and the one after the last."""

    def note(self, page: int, root: bytes) -> None:
        """Note the root of a page that is complete."""
        self._whole[page * PAGE, (page + 1) * PAGE] = root

    def learn(self, size: int, frontier: bytes) -> None:
        """Note the subtrees that make up the log of this size (``LogHead.frontier``), which was committed."""
        low = 0
        for place in range(0, len(frontier), _HASH):
            count = 1 << ((size - low).bit_length() - 1)
            if count < PAGE:
                return
            self._whole[low, low + count] = frontier[place : place + _HASH]
            low += count

    def inclusion(self, fetch: Fetch, index: int, size: int) -> Work[list[bytes]]:
        """Return the inclusion proof of an entry in the log of ``size``. Raises IndexError,
        LOG_INCONSISTENT.
        """
        return (yield from self._roots(fetch, inclusion_ranges(index, size)))

    def prefix(self, fetch: Fetch, earlier: int, size: int) -> Work[list[bytes]]:
        """Return the proof for ``fold`` from one size to another. Raises IndexError, LOG_INCONSISTENT."""
        return (yield from self._roots(fetch, prefix_ranges(earlier, size)))

    def _roots(self, fetch: Fetch, ranges: Sequence[tuple[int, int]]) -> Work[list[bytes]]:
        found = []
        for low, high in ranges:
            found.append((yield from self._root(fetch, low, high)))
        return found

    def _root(self, fetch: Fetch, low: int, high: int) -> Work[bytes]:
        known = self._whole.get((low, high))
        if known is not None:
            return known
        count = high - low
        if count <= PAGE:
            root = root_over((yield from _whole(fetch, low, high)))
        else:
            split = low + (1 << ((count - 1).bit_length() - 1))
            left = yield from self._root(fetch, low, split)
            root = node_hash(left, (yield from self._root(fetch, split, high)))
        if count >= PAGE and not count & (count - 1):
            self._whole[low, high] = root
        return root


Trees = dict[int, Tree]
"""By incarnation, the trees of this node's logs that grew or were asked about since the start."""


def _whole(fetch: Fetch, low: int, high: int) -> Work[Sequence[bytes]]:
    found = yield from fetch(low, high)
    if len(found) != high - low:
        raise inconsistent(f"entries are missing between {low} and {high}")
    return found
