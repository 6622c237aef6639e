"""Whether a member shows everybody the same directory: what peers tell each other of what they hold.

Digests travel between peers once a link is open, and whenever a directory has changed; who reads another
digest for the version that it holds shows its own copy, and so does the other side. Two contents of one
version, both signed by the member's directory key, prove themselves (``contradicts``). A member that shows
two peers different *versions* is not found out by this.
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
    """Which directory of a member the sender holds."""

    member: Member
    version: U63
    digest: Digest32
    """SHA-256 of the document."""


@record
class DirectoriesHeld:
    """What the sender holds of others, or what has changed of it."""

    directories: Annotated[tuple[DirectoryHeld, ...], Count(1, MAX_HELD)]


@record
class ForkedDirectories:
    """Two directories of one member and version: they prove against it that it signed both."""

    first: Trust
    """The one that is held."""
    second: Trust


def held_of(view: TrustView, members: Iterable[MemberCode]) -> tuple[DirectoryHeld, ...]:
    """What is held of these members, in their order; at most ``MAX_HELD``."""
    rows = []
    for member in members:
        held = view.members.get(member)
        if held is not None and held.directory is not None and held.directory_signed is not None:
            digest = Digest(sha256(held.directory_signed.document).digest())
            rows.append(DirectoryHeld(member, held.directory.version, digest))
    return tuple(rows[:MAX_HELD])


def otherwise(view: TrustView, told: Iterable[DirectoryHeld]) -> list[Trust]:
    """The directories held here of which a peer holds other contents under the same version."""
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
    """The member that signed both this directory and another one, which is held, under one version.

    None: it proves nothing. Raises EnvelopeError ENVELOPE_MALFORMED for what is no directory.
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
    signed = [is_signed(one, held.root, view.suites) for one in (held.directory_signed, shown)]
    return directory.member if all(signed) else None
