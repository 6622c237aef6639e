"""Files that lie in pieces beside the store: sent by this member, or received."""

from __future__ import annotations

from typing import NamedTuple

from intelshare.ids import Digest, FilePlace, ManifestDigest, MemberCode, UserUri
from intelshare.instant import Instant
from intelshare.ports import Table


class FileRow(NamedTuple):
    """One file. Its key is the portion's affair; of an upload a copy lies in SECRET until it ends."""

    place: FilePlace
    md: ManifestDigest
    """Of the bulletin; empty while it belongs to none."""
    slot: int
    pieces: Digest
    """By what its pieces are asked for (``crypto.pieces.pieces_id``); empty while it is uploaded."""
    size: int
    """Bytes of the file."""
    state: int
    """broker.lifecycle.attachments.FileState."""
    user: UserUri
    """Who has uploaded it; empty: it was received."""
    member: MemberCode
    """Whom to ask for it; empty: it is the own member's."""
    rank: int
    since: Instant
    due: Instant
    """When it ends by itself; NEVER: with its bulletin."""
    header: bytes
    """Of its secretstream, for an upload that goes on."""
    again: int
    """How often it was asked for again, because the disk had lost a piece of it."""


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
