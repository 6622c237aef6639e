"""Detection of forked directories: peers tell each other which directories they hold.

Digests travel between peers once a link is open, and whenever a directory has changed. A peer that reads a
different digest for the version it holds shows its copy, and so does the other side. Two contents of one
version, both signed by the member's directory key, are a proof by themselves (``contradicts``). This does not
detect a member that shows two peers different *versions*.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Annotated, Final

from intelshare.crypto.codec import U63, Count, record
from intelshare.crypto.records import Digest32, Member, Trust, TrustType
from intelshare.ids import Digest, MemberCode
from intelshare.trust.documents import read_directory
from intelshare.trust.rules import is_signed
from intelshare.trust.view import TrustView

MAX_HELD: Final = 1024


@record
class DirectoryHeld:
    """The version and digest of the directory of a member that the sender holds."""

    member: Member
    version: U63
    digest: Digest32
    """The SHA-256 of the document."""


@record
class DirectoriesHeld:
    """The other members' directories that the sender holds, or those that have changed."""

    directories: Annotated[tuple[DirectoryHeld, ...], Count(1, MAX_HELD)]


@record
class ForkedDirectories:
    """Two directories of one member and version, which prove that it signed both."""

    first: Trust
    """The directory that is held."""
    second: Trust


def held_of(view: TrustView, members: Iterable[MemberCode]) -> tuple[DirectoryHeld, ...]:
    """Return the directories held of these members, in their order; at most ``MAX_HELD``."""
    rows = []
    for member in members:
        held = view.members.get(member)
        if held is not None and held.directory is not None and held.directory_signed is not None:
            digest = Digest(sha256(held.directory_signed.document).digest())
            rows.append(DirectoryHeld(member, held.directory.version, digest))
    return tuple(rows[:MAX_HELD])


def otherwise(view: TrustView, told: Iterable[DirectoryHeld]) -> list[Trust]:
    """Return the directories held here whose contents differ from what a peer holds under the same
    version.
    """
    here = {row.member: row for row in held_of(view, view.members)}
    found = []
    for row in told:
        own = here.get(row.member)
        if own is not None and own.version == row.version and own.digest != row.digest:
            signed = view.members[row.member].directory_signed
            if signed is not None:
                found.append(signed)
    return found


def contradicts(view: TrustView, shown: Trust) -> MemberCode | None:
    """Return the member that signed both this directory and a different one held here, under one version.

    Returns None if it proves nothing. Raises EnvelopeError ENVELOPE_MALFORMED if it is not a directory.
    """
    if shown.type is not TrustType.DIRECTORY:
        return None
    directory = read_directory(shown, view.suites)
    held = view.members.get(directory.member)
    if held is None or held.directory is None or held.directory_signed is None:
        return None
    same = (held.directory.version, held.directory_signed.document) == (directory.version, shown.document)
    if same or held.directory.version != directory.version:
        return None
    both = ((held.directory_signed, held.directory), (shown, directory))
    proved = all(is_signed(signed, read, held.root, view.suites) for signed, read in both)
    return directory.member if proved else None
