"""The next directory of a node's own member: the keys that are made or go, what is revoked, and if it is due.

It follows the directory held, without keys that a clock ahead has made, and with what a restored node has
learned of its member since (decision 81). Pure: a node and the simulator decide by it, and sign with it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from intelshare.crypto.pae import key_id
from intelshare.crypto.records import KeyRecord, KeyUse
from intelshare.crypto.suites import Suite
from intelshare.errors import VaultError
from intelshare.ids import KeyId, NodeUri
from intelshare.instant import DAY, Instant
from intelshare.ports import Random
from intelshare.trust.documents import DirectoryDocument, Revocation, Revoked, Why
from intelshare.trust.keys import (
    USUAL,
    Periods,
    SecretKey,
    due,
    ends,
    new_key,
    rotated_out,
    spent,
    without_ahead,
)
from intelshare.trust.rules import MemberTrust

LONGEST_LEAF: Final = 398 * DAY
"""The longest lifetime of a certificate of a node or user: common TLS libraries refuse longer ones too."""

_MADE: Final = (KeyUse.SEALING, KeyUse.SIGNING, KeyUse.NOTE)
"""The uses of the keys that a node makes, in the order in which it makes them."""


@dataclass(frozen=True, slots=True)
class NextDirectory:
    """The changes of the next directory, as far as its member's keys say."""

    after: DirectoryDocument
    """The directory that it follows: as held, without keys of a clock ahead, with what was forgotten."""
    make: tuple[KeyUse, ...]
    """The uses for which a key is made."""
    drop: frozenset[KeyId]
    """The keys and certificates that it no longer names."""
    revoke: tuple[Revocation, ...]
    """The revocations that an operator ordered."""
    learned: tuple[Revocation, ...]
    """The revocations that it states because this node had forgotten them, or has lost the key."""
    due: bool
    """True if it is to be signed: one of these says something, or the one held is old or no longer counts."""

    def keys(
        self, suite: Suite, node: NodeUri, at: Instant, random: Random, first: bytes = b""
    ) -> list[SecretKey]:
        """Make its new keys. ``first``: the public key of a signing key's first half, if a token has that."""
        return [
            new_key(
                suite,
                use,
                self.after.member,
                at,
                random,
                node=None if use is KeyUse.SEALING else node,
                among=self.after.keys,
                first=first if use is KeyUse.SIGNING else b"",
            )
            for use in self.make
        ]

    def revoked(self, made: Iterable[KeyRecord], at: Instant) -> tuple[Revocation, ...]:
        """Return what it revokes besides what it had learned: the keys that the new ones succeed, and what
        was ordered.
        """
        return (*rotated_out(self.after, made, at), *self.revoke)


def next_directory(
    held: MemberTrust,
    node: NodeUri,
    vault: Collection[KeyId],
    at: Instant,
    *,
    suite: int,
    periods: Periods = USUAL,
    believed: bool = True,
    confirmed: bool = True,
    rotate: Collection[KeyUse] = (),
    revoke: Sequence[Revocation] = (),
) -> NextDirectory:
    """Return the changes of the next directory at ``at``, and if it is due.

    ``vault``: the keys whose secrets this node has. ``believed``, ``confirmed``: of its clock; by a time that
    nobody has confirmed nothing is dropped. ``rotate`` and ``revoke`` are an operator's orders. Raises
    VaultError NOT_FOUND if no directory is held.
    """
    newest = held.directory
    if newest is None:
        raise VaultError("NOT_FOUND", "this member's directory is not in the store", hint="restore a backup")
    known = without_ahead(newest, at) if believed else newest
    after = _with_forgotten(known, held, node, vault, at)
    what = due(after, node, suite, at, periods)
    unusable = lacking_keys(after, vault)
    wanted = {
        KeyUse.SEALING: what.sealing or bool(unusable),
        KeyUse.SIGNING: what.signing,
        KeyUse.NOTE: what.note,
    }
    make = tuple(use for use in _MADE if wanted[use] or use in rotate)
    # A restored folder lacks sealing keys, for backups contain none, and nobody must seal to a stolen one,
    # whose secret is destroyed at any time (``spent``).
    stolen = {row.subject for row in (*revoke, *after.revocations) if row.compromised}
    drop = {*unusable, *(key for key in _ids(after, KeyUse.SEALING) if key in stolen)}
    if confirmed:
        drop |= {*what.retired, *_ended(after, at)}
    # A clock that is behind would date it again and again, of a time when it has long expired for peers.
    is_due = what.directory and (believed or newest.issued <= at)
    changes = bool(make or drop or revoke) or after is not newest
    learned = after.revocations[len(known.revocations) :]
    return NextDirectory(
        after, make, frozenset(drop), tuple(revoke), learned, is_due or changes or not held.supported
    )


def lacking_keys(directory: DirectoryDocument, vault: Collection[KeyId]) -> tuple[KeyId, ...]:
    """Return the sealing keys that a directory names and a vault lacks: what is sealed to them stays shut."""
    return tuple([key for key in _ids(directory, KeyUse.SEALING) if key not in vault])


def secrets_to_destroy(
    held: MemberTrust, vault: Mapping[KeyId, KeyRecord], at: Instant | None
) -> tuple[KeyId, ...]:
    """Return those of the vault's keys that are to be destroyed now that this directory is durable.

    ``at``: None if the time may be wrong.
    """
    assert held.directory is not None  # noqa: S101 - asked for before
    named = held.root.directory
    newest = max(key.not_before for key in named)
    return (
        *spent(held.directory, vault.values(), at),
        # A directory key that is no longer in a root; one that is not in a root yet is newer than all that
        # are.
        *(
            key
            for key, record in vault.items()
            if record.use is KeyUse.DIRECTORY and record not in named and record.not_before < newest
        ),
    )


def _with_forgotten(
    directory: DirectoryDocument, held: MemberTrust, node: NodeUri, vault: Collection[KeyId], at: Instant
) -> DirectoryDocument:
    """Return this directory with what a restored node has learned of its member since: the signing keys that
    it leaves out, for what they signed is judged by them, and what was revoked. A signing key of this node
    that is not in the vault has ended: nobody can sign with it.
    """
    keys = (*directory.keys, *held.left_out)
    ids = {key_id(key) for key in keys}
    learned = [
        row
        for row in held.remembered
        if (row.what is Revoked.KEY and row.subject in ids)
        or (row.what is Revoked.CERTIFICATE and at <= row.effective + LONGEST_LEAF)
    ]
    before = replace(directory, keys=keys, revocations=(*directory.revocations, *learned))
    lost = [
        Revocation(Revoked.KEY, key_id(key), Why.ROTATED, at)
        for key in keys
        if key.use is KeyUse.SIGNING
        and key.node == node
        and key_id(key) not in vault
        and ends(key, before) > at
    ]
    if not (held.left_out or learned or lost):
        return directory
    return replace(before, revocations=(*before.revocations, *lost))


def _ids(directory: DirectoryDocument, use: KeyUse) -> list[KeyId]:
    return [key_id(key) for key in directory.keys if key.use is use]


def _ended(directory: DirectoryDocument, at: Instant) -> frozenset[KeyId]:
    """Return the revoked certificates that have ended meanwhile: nobody needs to be told any more."""
    return frozenset(
        KeyId(row.subject)
        for row in directory.revocations
        if row.what is Revoked.CERTIFICATE and at > row.effective + LONGEST_LEAF
    )
