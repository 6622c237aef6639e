"""Earlier directories of a member that are kept, because they say what the one held leaves out.

A signing or note key that a directory leaves out has ended with its issue. What the key signed before is
judged by the last directory that lists it, and a member that has forgotten the key is shown that directory
(decision 81). So is a member that still lists a key and has forgotten that it was revoked: nobody seals to
such a key.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from intelshare.crypto.codec import malformed
from intelshare.crypto.pae import key_id
from intelshare.crypto.records import KeyRecord, KeyUse, Trust
from intelshare.instant import Instant
from intelshare.trust.documents import (
    DirectoryDocument,
    Revocation,
    Revoked,
    Why,
    harshest,
    is_missing,
)

MAX_FORMER: Final = 16
"""The most earlier directories that are kept of one member. An honest member leaves something out when it was
restored, and says it again once it has learned of it.
"""

_LASTING: Final = (KeyUse.SIGNING, KeyUse.NOTE)
"""The uses of the keys that stay listed after their end: what they signed is judged by them."""


@dataclass(frozen=True, slots=True)
class FormerDirectory:
    """A directory that came before the one held, and says what that leaves out."""

    directory: DirectoryDocument
    signed: Trust


def lasting_keys(directory: DirectoryDocument) -> list[KeyRecord]:
    """Return the keys of the member that stay listed after their end."""
    return [key for key in directory.keys if key.member == directory.member and key.use in _LASTING]


def begun_keys(directory: DirectoryDocument, at: Instant) -> list[KeyRecord]:
    """Return the keys that stay listed and count by then. One that begins later was made by a clock that was
    ahead: it has signed nothing that counts.
    """
    return [key for key in lasting_keys(directory) if key.not_before <= at]


def ended_by(before: DirectoryDocument, after: DirectoryDocument) -> tuple[Revocation, ...]:
    """Return what leaving keys out means: they were rotated at the issue of the directory that does it."""
    return tuple(
        Revocation(Revoked.KEY, key_id(key), Why.ROTATED, after.issued)
        for key in lasting_keys(before)
        if key not in after.keys
    )


def unstated(before: DirectoryDocument, directory: DirectoryDocument) -> set[Revocation]:
    """Return what an earlier directory says of keys that this one lists, and this one does not, or says less
    harshly.
    """
    listed, stated = {key_id(key) for key in directory.keys}, harshest(directory.revocations)
    return {
        row
        for row in before.revocations
        if row.what is Revoked.KEY and row.subject in listed and is_missing(row, stated)
    }


def kept_beside(
    before: Iterable[FormerDirectory], directory: DirectoryDocument
) -> tuple[FormerDirectory, ...]:
    """Return those of these directories that list a key, or revoke one that this directory lists, which no
    later one does.
    """
    known: set[KeyRecord | Revocation] = set(directory.keys)
    kept: list[FormerDirectory] = []
    for one in sorted(before, key=lambda one: one.directory.version, reverse=True):
        says: set[KeyRecord | Revocation] = {
            *begun_keys(one.directory, directory.issued),
            *unstated(one.directory, directory),
        }
        if says - known:
            kept.append(one)
            known |= says
    if len(kept) > MAX_FORMER:
        raise malformed("DirectoryDocument", f"it leaves out what more than {MAX_FORMER} earlier ones say")
    return tuple(reversed(kept))
