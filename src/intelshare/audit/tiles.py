"""The files of a log as in c2sp.org/tlog-tiles: hashes in tiles of 256, entries in bundles of 256.

Each entry is only its salted hash of 32 bytes: its contents stay with the node, and peers do not see them
either.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from intelshare.audit.log import leaf_hash, node_hash

WIDTH: Final = 256
ENTRIES: Final = "entries"


def tile_path(level: int | str, number: int, width: int = WIDTH) -> str:
    """Return the path of a tile: ``tile/0/x001/234`` if it is full, ``tile/0/x001/234.p/17`` if it is
    partial.
    """
    parts = [f"{number % 1000:03d}"]
    while number := number // 1000:
        parts.insert(0, f"x{number % 1000:03d}")
    return "/".join(["tile", str(level), *parts]) + (f".p/{width}" if width < WIDTH else "")


def files_of(entries: Sequence[bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield the path and content of every tile and bundle of the log of these entries."""
    for number, part in _parts(entries):
        bundle = b"".join([len(entry).to_bytes(2) + entry for entry in part])
        yield tile_path(ENTRIES, number, len(part)), bundle
    level, hashes = 0, [leaf_hash(entry) for entry in entries]
    while hashes:
        for number, part in _parts(hashes):
            yield tile_path(level, number, len(part)), b"".join(part)
        whole = len(hashes) // WIDTH * WIDTH
        hashes = [_root(hashes[low : low + WIDTH]) for low in range(0, whole, WIDTH)]
        level += 1


def _parts(of: Sequence[bytes]) -> Iterator[tuple[int, Sequence[bytes]]]:
    for low in range(0, len(of), WIDTH):
        yield low // WIDTH, of[low : low + WIDTH]


def _root(hashes: Sequence[bytes]) -> bytes:
    """Return the root of a full tile: the hash eight levels above its own."""
    while len(hashes) > 1:
        hashes = [node_hash(*hashes[at : at + 2]) for at in range(0, len(hashes), 2)]
    return hashes[0]
