"""Earlier directories of a member that are kept, because they list keys which the one held leaves out.

A signing or note key that a directory leaves out has ended with its issue. What the key signed before is
judged by the last directory that lists it, and a member that has forgotten the key is shown that directory
(decision 81).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from intelshare.crypto.codec import malformed
from intelshare.crypto.pae import key_id
from intelshare.crypto.records import KeyRecord, KeyUse, Trust
from intelshare.instant import Instant
from intelshare.trust.documents import DirectoryDocument, Revocation, Revoked, Why

MAX_FORMER: Final = 16
"""The most earlier directories that are kept of one member: for the keys that it left out. An honest member
leaves one out when it was restored, and lists it again once it has learned of it.
"""

_LASTING: Final = (KeyUse.SIGNING, KeyUse.NOTE)
"""The uses of the keys that stay listed after their end: what they signed is judged by them."""


@dataclass(frozen=True, slots=True)
class FormerDirectory:
    """A directory that came before the one held, and lists keys that it leaves out."""

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


def kept_beside(
    before: Iterable[FormerDirectory], directory: DirectoryDocument
) -> tuple[FormerDirectory, ...]:
    """Return those of these directories that list a key which no later one lists."""
    known = set(directory.keys)
    kept: list[FormerDirectory] = []
    for one in sorted(before, key=lambda one: one.directory.version, reverse=True):
        keys = set(begun_keys(one.directory, directory.issued))
        if keys - known:
            kept.append(one)
            known |= keys
    if len(kept) > MAX_FORMER:
        raise malformed("DirectoryDocument", f"it leaves out keys of more than {MAX_FORMER} earlier ones")
    return tuple(reversed(kept))
