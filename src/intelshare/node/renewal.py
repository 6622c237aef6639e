"""Renews what a node renews by itself: its directory at half of its life, its sealing and signing keys, and
with them its certificates.

The order of a rotation: the new key is durable in the vault; the directory that names it is signed and
durable; then it is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from intelshare.audit.node_records import KeyChange, KeyChanged
from intelshare.broker.kernel.documents import adopt, take_keys
from intelshare.broker.kernel.node import Node
from intelshare.broker.line.hello import announce
from intelshare.crypto.pae import key_id
from intelshare.crypto.records import KeyUse
from intelshare.crypto.suites import Signer
from intelshare.errors import VaultError
from intelshare.ids import Digest, KeyId, UserUri
from intelshare.instant import Instant
from intelshare.node.authorities import follow_authorities
from intelshare.node.events import Event
from intelshare.node.leaf import DUE, renew_leaf, show_member
from intelshare.node.links import Links
from intelshare.node.runtime import Runtime
from intelshare.node.settings import LONGEST_LEAF
from intelshare.trust import (
    DirectoryDocument,
    DirectoryNode,
    Due,
    Endpoint,
    MemberTrust,
    Ratified,
    Revocation,
    Revoked,
    RootDocument,
    SecretKey,
    Why,
    due,
    ends,
    new_key,
    renew_directory,
    rotated_out,
    spent,
    without_ahead,
)


@dataclass(frozen=True, slots=True)
class KeyOrder:
    """An operator's order for the keys, due or not."""

    by: UserUri = DUE
    rotate: frozenset[KeyUse] = frozenset()
    """The uses for which a new key is made."""
    revoke: tuple[Revocation, ...] = ()
    """The revocations to state in the new directory."""


_NOTHING: Final = KeyOrder()


async def renew(
    runtime: Runtime,
    endpoints: tuple[Endpoint, ...] | None = None,
    order: KeyOrder = _NOTHING,
) -> bool:
    """Renew what is due or ordered; return true if there is a new directory, or an earlier renewal came no
    further than to it.

    ``endpoints``: where this node listens now. After a loss the next directory is signed although nothing is
    due, and is above those that this node may have signed and forgotten: signing a second content under one
    of their versions would be evidence against it (TRUST_FORK).

    A directory that a start dated by a clock that was ahead is due once the clock is believed: no peer takes
    it, nor the keys that it names first.

    One renewal begins when the one before is over: a directory made beside another does not follow it, and
    ends the keys that the other has just named.
    """
    async with runtime.renewing:
        return await _renew(runtime, endpoints, order)


async def _renew(runtime: Runtime, endpoints: tuple[Endpoint, ...] | None, order: KeyOrder) -> bool:
    if order != _NOTHING:
        await asyncio.to_thread(runtime.vault.write_again)
    await follow_authorities(runtime)
    await renew_leaf(runtime)
    now, node = runtime.now(), runtime.node
    held = node.trust.members[node.member]
    newest = held.directory
    if newest is None:
        raise VaultError("NOT_FOUND", "this member's directory is not in the store", hint="restore a backup")
    believed = not runtime.clock.wrong()
    known = without_ahead(newest, now) if believed else newest
    directory = _with_forgotten(known, held, runtime, now)
    what = due(directory, node.uri, runtime.settings.suite, now, runtime.settings.key_periods)
    unusable = _unusable(runtime, directory)
    if unusable:
        order = replace(order, rotate=order.rotate | {KeyUse.SEALING})
    keys = _new_keys(runtime, directory, what, order, now)
    gone = _dropped(directory, unusable, order.revoke)
    if runtime.clock.read().confirmed:
        gone |= {*what.retired, *_ended(directory, now)}
    facts = _facts_now(runtime, directory, endpoints)
    # A clock that is behind would date it again and again, of a time when it has long expired for peers.
    is_due = what.directory and (believed or newest.issued <= now)
    changes = keys or gone or order.revoke or facts != _facts_of(directory) or directory is not newest
    if not (changes or is_due or not held.supported or runtime.forgot is not None):
        # A node that was killed between signing a directory and the destruction that follows finds it still
        # to be done.
        untold = bool(runtime.changed_keys)
        await _go_on(runtime, now)
        return untold
    if keys:
        runtime.vault.put(keys)
    revoked = [*rotated_out(directory, [key.record for key in keys], now), *order.revoke]
    signed = renew_directory(
        directory,
        directory_signer(runtime),
        now,
        add_keys=[key.record for key in keys],
        drop_keys=gone,
        nodes=facts.nodes,
        ratified=facts.ratified,
        suites=facts.suites,
        floor=facts.floor,
        authorities=facts.authorities,
        revoke=revoked,
        since=runtime.forgot,
    )
    await runtime.step(adopt, signed)
    runtime.forgot = None
    learned = directory.revocations[len(known.revocations) :]
    said = [*_said(directory, learned, _NOTHING), *_said(directory, revoked, order)]
    runtime.changed_keys += [*_made(keys, order), *said]
    # Before anybody is sent it: a start that lost the database's copy must not sign this version once more.
    show_member(runtime)
    await _go_on(runtime, now)
    runtime.log.info(Event.DIRECTORY_RENEWED)
    return True


class _Facts(NamedTuple):
    """The content of a directory besides keys and revocations."""

    nodes: tuple[DirectoryNode, ...]
    ratified: tuple[Ratified, ...]
    suites: tuple[int, ...]
    floor: int
    authorities: tuple[bytes, ...]


def _facts_now(
    runtime: Runtime, directory: DirectoryDocument, endpoints: tuple[Endpoint, ...] | None
) -> _Facts:
    """Return what the next directory has to say."""
    return _Facts(
        tuple(_listed(row, runtime, endpoints) for row in directory.nodes),
        _ratified(runtime.node),
        tuple(sorted(runtime.node.suites)),
        runtime.settings.floor,
        runtime.certificates.node_authorities(),
    )


def _facts_of(directory: DirectoryDocument) -> _Facts:
    return _Facts(
        directory.nodes, directory.ratified, directory.suites, directory.floor, directory.authorities
    )


def _unusable(runtime: Runtime, directory: DirectoryDocument) -> tuple[KeyId, ...]:
    """Return the sealing keys that nobody can use: a restored folder has none, for backups contain none, and
    nothing should be sealed to them.
    """
    held = runtime.vault.sealing_keys()
    return tuple(
        key_id(key) for key in directory.keys if key.use is KeyUse.SEALING and key_id(key) not in held
    )


def _with_forgotten(
    directory: DirectoryDocument, held: MemberTrust, runtime: Runtime, now: Instant
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
        or (row.what is Revoked.CERTIFICATE and now <= row.effective + LONGEST_LEAF)
    ]
    before = replace(directory, keys=keys, revocations=(*directory.revocations, *learned))
    in_vault = {key.key_id for key in runtime.vault.held_keys() if not key.retired}
    lost = [
        Revocation(Revoked.KEY, key_id(key), Why.ROTATED, now)
        for key in keys
        if key.use is KeyUse.SIGNING
        and key.node == runtime.node.uri
        and key_id(key) not in in_vault
        and ends(key, before) > now
    ]
    if not (held.left_out or learned or lost):
        return directory
    return replace(before, revocations=(*before.revocations, *lost))


def _new_keys(
    runtime: Runtime, directory: DirectoryDocument, what: Due, order: KeyOrder, now: Instant
) -> list[SecretKey]:
    node, suite = runtime.node, runtime.node.suites[runtime.settings.suite]
    wanted = {KeyUse.SEALING: what.sealing, KeyUse.SIGNING: what.signing, KeyUse.NOTE: what.note}
    return [
        new_key(
            suite,
            use,
            node.member,
            now,
            runtime.random,
            node=None if use is KeyUse.SEALING else node.uri,
            among=directory.keys,
            first=runtime.vault.first_half(suite.number) if use is KeyUse.SIGNING else b"",
        )
        for use, is_due in wanted.items()
        if is_due or use in order.rotate
    ]


def _dropped(
    directory: DirectoryDocument, retired: Iterable[KeyId], revoke: Sequence[Revocation]
) -> frozenset[KeyId]:
    """Return the keys to remove from the directory: nobody must seal to a stolen key again."""
    stolen = {row.subject for row in revoke if row.compromised}
    return frozenset(retired) | {
        key_id(key) for key in directory.keys if key.use is KeyUse.SEALING and key_id(key) in stolen
    }


def _ended(directory: DirectoryDocument, now: Instant) -> frozenset[KeyId]:
    """Revoked certificates that have ended meanwhile: nobody needs to be told any more."""
    return frozenset(
        KeyId(row.subject)
        for row in directory.revocations
        if row.what is Revoked.CERTIFICATE and now > row.effective + LONGEST_LEAF
    )


async def _go_on(runtime: Runtime, now: Instant) -> None:
    """Destroy the secrets of expired keys, and continue with the remaining keys. What fails here is done by
    the next renewal.

    ``now``: the time of this renewal. By a clock that was moved since, no key may be valid, not even one that
    was just made.
    """
    vault, node = runtime.vault, runtime.node
    directory = node.trust.members[node.member].directory
    assert directory is not None  # noqa: S101 - asked for before
    held = {key.key_id: key.record for key in vault.held_keys() if not key.retired}
    named = node.trust.members[node.member].root.directory
    confirmed = runtime.clock.read().confirmed
    over = (
        *spent(directory, held.values(), now if confirmed else None),
        # A directory key that is no longer in a root; one that is not in a root yet is newer than all that
        # are.
        *(
            key
            for key, record in held.items()
            if record.use is KeyUse.DIRECTORY
            and record not in named
            and record.not_before < max(other.not_before for other in named)
        ),
    )
    if over:
        vault.retire(over)
        runtime.changed_keys += [
            KeyChanged(Digest(key), held[key].use, KeyChange.DESTROYED, now, DUE) for key in over
        ]
    if runtime.changed_keys or node.trust.key_record(node.signer.key_id) is None:
        signer = vault.signer(node.trust.signing_key(node.uri, now))
        changes, runtime.changed_keys = runtime.changed_keys, []
        try:
            await runtime.step(take_keys, vault.sealing_keys(), vault.retired(), signer, changes)
        except BaseException:
            runtime.changed_keys[:0] = changes
            raise


def _made(keys: Iterable[SecretKey], order: KeyOrder) -> list[KeyChanged]:
    return [
        KeyChanged(Digest(key.key_id), key.record.use, KeyChange.MADE, key.record.not_before, order.by)
        for key in keys
    ]


def _said(directory: DirectoryDocument, revoked: Iterable[Revocation], order: KeyOrder) -> list[KeyChanged]:
    uses = {key_id(key): key.use for key in directory.keys}
    return [
        KeyChanged(
            Digest(row.subject),
            uses[KeyId(row.subject)],
            KeyChange.COMPROMISED if row.compromised else KeyChange.ROTATED,
            row.effective,
            order.by,
        )
        for row in revoked
        if row.what is Revoked.KEY
    ]


async def renew_and_tell(runtime: Runtime, links: Links, order: KeyOrder = _NOTHING) -> None:
    """Renew what is due or ordered, and send a new directory to every peer."""
    if await renew(runtime, order=order):
        await links.act(announce, runtime.node.trust.partners)


def _listed(row: DirectoryNode, runtime: Runtime, endpoints: tuple[Endpoint, ...] | None) -> DirectoryNode:
    if row.uri != runtime.node.uri or endpoints is None:
        return row
    return replace(row, endpoints=endpoints)


def _ratified(node: Node) -> tuple[Ratified, ...]:
    """Return the texts that bind the member: those of the treaty files that name it as a party."""
    return tuple(
        Ratified(treaty.id, Digest(bytes.fromhex(treaty.text.removeprefix("sha256:"))))
        for treaty in node.world.treaties
        if any(party.member == node.member for party in treaty.parties)
    )


def need_directory_key(runtime: Runtime, root: RootDocument) -> KeyId:
    """Return the id of the vault's directory key that a root names. Raises VaultError NOT_FOUND."""
    held = {key.record: key.key_id for key in runtime.vault.held_keys() if not key.retired}
    for record in root.directory:
        if record in held:
            return held[record]
    raise VaultError(
        "NOT_FOUND",
        "the vault has no directory key that this member's root names",
        hint="the directory cannot be renewed here; restore the vault",
    )


def directory_signer(runtime: Runtime) -> Signer:
    """Return the signer with a directory key that this member's root names. Raises VaultError NOT_FOUND."""
    root = runtime.node.trust.members[runtime.node.member].root
    return runtime.vault.signer(need_directory_key(runtime, root))
