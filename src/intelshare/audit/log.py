"""One RFC 6962 tree per incarnation, kept as the compact range that appending needs.

``frontier`` holds the roots of the maximal complete subtrees, largest first, 32 bytes each: as many as
``size`` has one bits (RFC 9162, 2.1; transparency-dev "compact ranges").
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from intelshare.crypto.pae import Domain, u64
from intelshare.ids import Digest, Incarnation
from intelshare.instant import Instant

_sha256 = hashlib.sha256
_ENTRY: Final = Domain.LOG_ENTRY.heads[4] + u64(1)
"""The PAE prefix up to an entry's type."""
_U64_8: Final = u64(8)

EMPTY_ROOT = hashlib.sha256(b"").digest()
"""The root of a log without entries."""


@dataclass(frozen=True, slots=True)
class LogHead:
    """The state of a log at its present size."""

    incarnation: Incarnation
    size: int
    frontier: bytes


def entry_hash(kind: int, at: Instant, salt: bytes, record: bytes) -> Digest:
    """Return the hash that identifies an entry; the salt (32 random bytes) keeps its content from being
    guessed.
    """
    parts = (
        _ENTRY, bytes([kind]), _U64_8, u64(at), u64(len(salt)), salt, u64(len(record)), record
    )  # fmt: skip
    return Digest(_sha256(b"".join(parts)).digest())


def leaf_hash(entry: bytes) -> bytes:
    """Return the tree's leaf for an entry hash."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the inner node over two subtrees."""
    return hashlib.sha256(b"\x01" + left + right).digest()


PAGE_LEVEL: Final = 8
"""The tree level at which a node is the root of a page of 256 entries."""


def append(
    head: LogHead, entries: Sequence[bytes], note: Callable[[int, bytes], None] | None = None
) -> LogHead:
    """Return the log with these entries appended. ``note`` is called with the number and root of every page
    completed.
    """
    peaks = [head.frontier[i : i + 32] for i in range(0, len(head.frontier), 32)]
    size = head.size
    for entry in entries:
        node = _sha256(b"\x00" + entry).digest()
        carry, level = size, 0
        while carry & 1:
            node = _sha256(b"\x01" + peaks.pop() + node).digest()
            carry, level = carry >> 1, level + 1
            if level == PAGE_LEVEL and note is not None:
                note(size >> PAGE_LEVEL, node)
        peaks.append(node)
        size += 1
    return LogHead(head.incarnation, size, b"".join(peaks))


def root(head: LogHead) -> bytes:
    """Return the Merkle tree hash over all entries: 32 bytes."""
    peaks = [head.frontier[i : i + 32] for i in range(0, len(head.frontier), 32)]
    if not peaks:
        return EMPTY_ROOT
    whole = peaks.pop()
    while peaks:
        whole = node_hash(peaks.pop(), whole)
    return whole
