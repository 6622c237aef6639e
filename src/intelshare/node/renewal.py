"""Renews what a node renews by itself: its directory at half of its life, its sealing and signing keys, and
with them its certificates.

The order of a rotation: the new key is durable in the vault; the directory that names it is signed and
durable; then it is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
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
from intelshare.trust import (
    DirectoryDocument,
    DirectoryNode,
    Endpoint,
    Ratified,
    Revocation,
    Revoked,
    RootDocument,
    SecretKey,
    next_directory,
    renew_directory,
    secrets_to_destroy,
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
    now, node, vault, clock = runtime.now(), runtime.node, runtime.vault, runtime.clock.read()
    following = next_directory(
        node.trust.members[node.member],
        node.uri,
        tuple(key.key_id for key in vault.held_keys() if not key.retired),
        now,
        suite=runtime.settings.suite,
        periods=runtime.settings.key_periods,
        believed=clock.believed,
        confirmed=clock.confirmed,
        rotate=order.rotate,
        revoke=order.revoke,
    )
    directory, facts = following.after, _facts_now(runtime, following.after, endpoints)
    if not (following.due or facts != _facts_of(directory) or runtime.forgot is not None):
        # A node that was killed between signing a directory and the destruction that follows finds it still
        # to be done.
        untold = bool(runtime.changed_keys)
        await _go_on(runtime, now)
        return untold
    suite = node.suites[runtime.settings.suite]
    first = vault.first_half(suite.number) if KeyUse.SIGNING in following.make else b""
    keys = following.keys(suite, node.uri, now, runtime.random, first)
    if keys:
        vault.put(keys)
    revoked = following.revoked([key.record for key in keys], now)
    signed = renew_directory(
        directory,
        directory_signer(runtime),
        now,
        add_keys=[key.record for key in keys],
        drop_keys=following.drop,
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
    said = [*_said(directory, following.learned, _NOTHING), *_said(directory, revoked, order)]
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


async def _go_on(runtime: Runtime, now: Instant) -> None:
    """Destroy the secrets of expired keys, and continue with the remaining keys. What fails here is done by
    the next renewal.

    ``now``: the time of this renewal. By a clock that was moved since, no key may be valid, not even one that
    was just made.
    """
    vault, node = runtime.vault, runtime.node
    held = {key.key_id: key.record for key in vault.held_keys() if not key.retired}
    confirmed = runtime.clock.read().confirmed
    over = secrets_to_destroy(node.trust.members[node.member], held, now if confirmed else None)
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
