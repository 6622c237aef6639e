"""Policy files: the files by which a member decides were read; its releases from now on rest on these."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from intelshare.audit.node_records import PolicyRead
from intelshare.audit.records import EntryType
from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.node import Node, with_files
from intelshare.broker.kernel.tables import LAW, LawRow
from intelshare.broker.kernel.transaction import Transaction
from intelshare.crypto.pae import sha256
from intelshare.ids import Digest
from intelshare.instant import Instant
from intelshare.policy import World
from intelshare.ports import EVERY_ROW, Plan, Random, View

ALL = ""
"""The key of the row of LAW for all files together."""


@dataclass(frozen=True, slots=True)
class LawFile:
    """A policy file as it was read."""

    file: str
    """``treaties/paris.toml``."""
    about: str
    """The id of the treaty, or the member whose overlay it is."""
    digest: Digest
    """SHA-256 of the file."""


class Became(StrEnum):
    """The change of a file since the node last read its law."""

    NEW = "new"
    CHANGED = "changed"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class FilesResult:
    """``effects`` are as of any step; ``changes`` lists the files that differ from the last reading."""

    effects: Effects
    changes: tuple[tuple[str, Became], ...]


def take_files(
    node: Node, view: View, files: World, read: tuple[LawFile, ...], now: Instant, random: Random
) -> Plan[FilesResult]:
    """Decide by these files from the next step on. The log says which they were; acts count as before.

    The rows of LAW say since when each file is in force: a file that has not changed keeps its instant.
    """
    tx = Transaction(node, view, now, random)
    digest = digest_of(read)
    tx.log(EntryType.POLICY, PolicyRead(digest, len(read)))
    held = {row.file: row for row in files_in_force(view)}
    known = {one.file for one in read}
    changes = [
        (one.file, Became.CHANGED if one.file in held else Became.NEW)
        for one in read
        if one.file not in held or held[one.file].digest != one.digest
    ]
    changes += [(file, Became.GONE) for file in held if file not in known]
    for one in read:
        if one.file not in held or held[one.file].digest != one.digest:
            tx.put(LAW, LawRow(one.file, one.about, one.digest, now))
    for file, became in changes:
        if became is Became.GONE:
            tx.delete(LAW, file)
    whole = law_in_force(view)
    if whole is None or whole.digest != digest:
        tx.put(LAW, LawRow(ALL, "", digest, now))
    tx.node = with_files(node, files)
    return tx.plan(FilesResult(tx.effects(), tuple(changes)))


def files_in_force(view: View) -> list[LawRow]:
    """Return the files by which the node decides, ordered by name."""
    return [row for row in view.find(LAW, "key", limit=EVERY_ROW) if row.file != ALL]


def law_in_force(view: View) -> LawRow | None:
    """Return the row for all files together, which says since when nothing about them has changed.

    None if there is none, or if it is damaged: the next reading of the files writes it again.
    """
    return next(iter(view.find(LAW, "key", ALL, limit=1)), None)


def digest_of(read: Iterable[LawFile]) -> Digest:
    """Return SHA-256 over names and contents, which the log records."""
    lines = [f"{one.file} {one.digest.hex()}\n" for one in read]
    return Digest(sha256("".join(lines).encode()))
