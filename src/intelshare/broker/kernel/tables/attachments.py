"""Files that are stored in pieces beside the store: sent by this member, or received."""

from __future__ import annotations

from typing import NamedTuple

from intelshare.ids import Digest, FilePlace, ManifestDigest, MemberCode, UserUri
from intelshare.instant import Instant
from intelshare.ports import Table


class FileRow(NamedTuple):
    """One file. Its key is in its portion's secret; while it is uploaded, a copy is in SECRET."""

    place: FilePlace
    md: ManifestDigest
    """The digest of the file's bulletin; empty while it belongs to none."""
    slot: int
    pieces: Digest
    """The id by which its pieces are requested (``crypto.pieces.pieces_id``); empty while it is uploaded."""
    size: int
    """The bytes of the file."""
    state: int
    """broker.lifecycle.attachments.FileState."""
    user: UserUri
    """The user who uploaded it; empty: it was received."""
    member: MemberCode
    """The member to ask for it; empty: it is this member's file."""
    rank: int
    since: Instant
    due: Instant
    """When it is removed; NEVER: together with its bulletin."""
    header: bytes
    """The secretstream header of an unfinished upload."""
    again: int
    """The number of times it was requested again because the disk had lost a piece."""


FILE = Table(
    "file",
    FileRow,
    ("place",),
    {
        "portion": ("md", "slot"),
        "pieces": ("pieces",),
        "wanted": ("state", "member", "rank", "since"),
        "user": ("user", "state"),
        "due": ("due",),
    },
)
