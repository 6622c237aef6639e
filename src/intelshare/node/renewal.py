"""What a node renews by itself: its directory at half life, its TLS leaf, its sealing and signing keys.

Order of a rotation: new key durable in the vault, directory that names it signed and durable, then sent.
"""

from __future__ import annotations

from dataclasses import replace

from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.register import adopt, take_keys
from intelshare.broker.line.hello import announce
from intelshare.crypto.records import KeyUse
from intelshare.crypto.suites import Signer
from intelshare.crypto.x509 import issue_node, to_pem, validity
from intelshare.errors import VaultError
from intelshare.ids import Digest
from intelshare.node.events import Event
from intelshare.node.links import Links
from intelshare.node.runtime import Runtime
from intelshare.private_files import make_private_folder, write_private
from intelshare.trust import DirectoryNode, Endpoint, Ratified, due, new_key, renew_directory
from intelshare.vault import NODE_AUTHORITY, NODE_LEAF, USER_AUTHORITY


async def renew(runtime: Runtime, endpoints: tuple[Endpoint, ...] | None = None) -> bool:
    """Renew what is due; whether there is a new directory. ``endpoints``: where this node listens now."""
    renew_leaf(runtime)
    now, node = runtime.now(), runtime.node
    held = node.trust.members[node.member]
    directory = held.directory
    if directory is None:
        raise VaultError("NOT_FOUND", "the own directory is not in the store", hint="restore a backup")
    nodes = tuple(_listed(row, runtime, endpoints) for row in directory.nodes)
    ratified = _ratified(node)
    suites, floor = tuple(sorted(node.suites)), runtime.settings.floor
    suite = node.suites[runtime.settings.suite]
    what = due(directory, node.uri, suite.number, now)
    rotated = what.sealing or what.signing or what.note or what.retired
    told = (nodes, ratified, suites, floor)
    before = (directory.nodes, directory.ratified, directory.suites, directory.floor)
    if not (rotated or what.directory or told != before):
        return False
    keys = [
        new_key(
            suite,
            use,
            node.member,
            now,
            runtime.random,
            node=None if use is KeyUse.SEALING else node.uri,
            among=directory.keys,
        )
        for use, wanted in (
            (KeyUse.SEALING, what.sealing),
            (KeyUse.SIGNING, what.signing),
            (KeyUse.NOTE, what.note),
        )
        if wanted
    ]
    if keys:
        runtime.vault.put(keys)
    signed = renew_directory(
        directory,
        directory_signer(runtime),
        now,
        add_keys=[key.record for key in keys],
        drop_keys=what.retired,
        nodes=nodes,
        ratified=ratified,
        suites=suites,
        floor=floor,
    )
    await runtime.step(adopt, signed)
    if rotated:
        vault = runtime.vault
        vault.retire(what.retired)
        signer = vault.signer(runtime.node.trust.signing_key(node.uri, now))
        await runtime.step(take_keys, vault.sealing_keys(), vault.retired(), signer)
    runtime.log.info(Event.DIRECTORY_RENEWED)
    return True


async def renew_and_tell(runtime: Runtime, links: Links) -> None:
    """Renew what is due, and hand a new directory to every peer."""
    if await renew(runtime):
        await links.act(announce, runtime.node.trust.partners)


def renew_leaf(runtime: Runtime, *, at_once: bool = False) -> None:
    """Renew the node's certificate in the second half of its life, or now. Raises VaultError, StoreError."""
    now = runtime.now()
    leaf = runtime.vault.certified(NODE_LEAF)
    valid = validity(leaf.certificate)
    if not at_once and now < valid.start + (valid.end - valid.start) // 2:
        return
    listed = runtime.node.trust.node(runtime.node.uri)
    if listed is None:
        return
    issued = issue_node(
        runtime.vault.certified(NODE_AUTHORITY),
        runtime.node.uri,
        listed[1].dns,
        now,
        runtime.random,
        lifetime=runtime.settings.node_lifetime,
    )
    runtime.vault.put(certified={NODE_LEAF: issued})
    show_certificates(runtime)
    runtime.log.info(Event.LEAF_RENEWED)


def show_certificates(runtime: Runtime) -> None:
    """Write certificates in clear, for people and tools; of ours only ``doctor`` reads them. StoreError."""
    folder = runtime.folder.tls
    make_private_folder(folder)
    for name in (NODE_AUTHORITY, USER_AUTHORITY, NODE_LEAF):
        pem = to_pem((runtime.vault.certified(name).certificate,))
        write_private(folder / f"{name}.pem", pem)


def _listed(row: DirectoryNode, runtime: Runtime, endpoints: tuple[Endpoint, ...] | None) -> DirectoryNode:
    if row.uri != runtime.node.uri or endpoints is None:
        return row
    return replace(row, endpoints=endpoints)


def _ratified(node: Node) -> tuple[Ratified, ...]:
    """The texts by which the member is bound: those of the treaty files that name it as a party."""
    return tuple(
        Ratified(treaty.id, Digest(bytes.fromhex(treaty.text.removeprefix("sha256:"))))
        for treaty in node.world.treaties
        if any(party.member == node.member for party in treaty.parties)
    )


def directory_signer(runtime: Runtime) -> Signer:
    """The signer of a directory key that the own root names. Raises VaultError NOT_FOUND."""
    named = runtime.node.trust.members[runtime.node.member].root.directory
    held = {key.record: key.key_id for key in runtime.vault.held_keys() if not key.retired}
    for record in named:
        if record in held:
            return runtime.vault.signer(held[record])
    raise VaultError(
        "NOT_FOUND",
        "the vault has no directory key that the own root names",
        hint="the directory cannot be renewed here; restore the vault",
    )
