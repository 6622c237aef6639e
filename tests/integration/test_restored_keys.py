"""A folder from before its keys changed: peers tell it what became of them (decision 81)."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import grpc
import pytest
from test_key_life import arrives, keys, revoke, rotate, sent, states

from intelshare.crypto.pae import key_id
from intelshare.errors import StoreError, VaultError
from intelshare.ids import KeyId, MemberCode
from intelshare.vault import copy_of
from intelshare.wire.v1 import user_pb2 as pb
from node_world import Site, back_up, introduce, make_site, restore, show_member, until


async def forgetful(
    fra: Site, folder: Path, change: Callable[[], Awaitable[object]]
) -> tuple[Site, bytes, KeyId]:
    """FRA on a folder from before this change of its keys; a bulletin and its key that only USA knows."""
    await arrives(fra, await sent(fra, "USA", "before"), "USA")
    await asyncio.to_thread(back_up, fra, folder / "backup")
    await change()
    later = await sent(fra, "USA", "signed by the key that is forgotten")
    await arrives(fra, later, "USA")
    forgotten = fra.running.runtime.node.signer.key_id
    await fra.stop()
    await asyncio.to_thread(restore, folder / "backup", folder / "again")
    return replace(fra, root=folder / "again"), later, forgotten


async def is_known(site: Site, bulletin: bytes) -> None:
    """Wait until a releasing officer is shown that the recipient has accepted a bulletin."""

    async def accepted() -> bool:
        async with site.client("r") as client:
            with contextlib.suppress(grpc.aio.AioRpcError):
                answer = await client.bulletins.Outbox(pb.OutboxRequest(id=bulletin.hex()))
                return bool(answer.entries[0].pairs[0].word == "accepted")
        return False

    await until(accepted, "the recipient's receipt")


async def both_ways(fra: Site, usa: Site) -> None:
    await arrives(fra, await sent(fra, "USA", "under the newest key"), "USA")
    await arrives(usa, await sent(usa, "FRA", "the other way"), "FRA")


async def test_what_a_forgotten_key_signed_is_known_again(pair: tuple[Site, Site], tmp_path: Path) -> None:
    """The key was made after the backup, by rotation; what it signed is with the recipient alone."""
    fra, usa = pair
    again, later, forgotten = await forgetful(fra, tmp_path, lambda: rotate(fra, "signing"))
    try:
        await again.start()
        await again.let_in()

        await is_known(again, later)
        await both_ways(again, usa)
        assert await states(again, "signing") == ["in use", "overlaps"]
        for site in (again, usa):
            held = site.running.runtime.node.trust.members[MemberCode("FRA")]
            assert held.directory is not None
            assert forgotten in {key_id(key) for key in held.directory.keys}
            assert not held.former
    finally:
        await again.stop()


@pytest.mark.parametrize("dials", [True, False])
async def test_a_key_that_was_stolen_signs_nothing_after_a_restore(tmp_path: Path, dials: bool) -> None:
    """The backup has the key and does not know that it was stolen since; its successor is with nobody.
    ``dials``: whether the restored node calls its peer, or is called.
    """
    fra, usa = [
        await asyncio.to_thread(make_site, code, tmp_path / code, dial=dials is (code == "FRA"))
        for code in ("FRA", "USA")
    ]
    try:
        await fra.start()
        await usa.start()
        await introduce(fra, usa)
        (stolen,) = [key.id for key in await keys(fra) if key.use == "signing"]
        change = partial(revoke, fra, stolen, compromised=True)
        fra, later, successor = await forgetful(fra, tmp_path, change)
        await fra.start()
        assert fra.running.runtime.node.signer.key_id == stolen
        await fra.let_in()

        async def noticed() -> bool:
            return bool(fra.running.runtime.node.signer.key_id != stolen)

        await until(noticed, "the key to be given up")
        assert await states(fra, "signing") == ["in use", "compromised"]
        held = {key.key_id: key for key in fra.running.runtime.vault.held_keys()}
        assert held[KeyId(stolen)].retired
        assert successor not in held
        await show_member(fra, usa)  # by a link it could not be told
        await is_known(fra, later)
        await both_ways(fra, usa)
    finally:
        await fra.stop()
        await usa.stop()


async def test_a_database_alone_from_before_the_revocation_goes_on_with_the_key_that_counts(
    tmp_path: Path,
) -> None:
    """The vault has destroyed the stolen key, and the member's file beside the database says why."""
    fra = await asyncio.to_thread(make_site, "FRA", tmp_path / "FRA")
    database = fra.root / "intelshare.db"
    try:
        await fra.start()
        (stolen,) = [key.id for key in await keys(fra) if key.use == "signing"]
        await fra.stop()
        before = database.read_bytes()
        await fra.start()
        await revoke(fra, stolen, compromised=True)
        successor = fra.running.runtime.node.signer.key_id
        await fra.stop()
        database.write_bytes(before)
        with pytest.raises(StoreError) as refused:
            await fra.start()
        assert refused.value.code == "STORE_FORGOT"
        assert "--accept-loss" in refused.value.hint
        await fra.start(accept_loss=True)
        assert fra.running.runtime.node.signer.key_id == successor
        known = fra.running.runtime.node.trust.revocation(KeyId(stolen))
        assert known is not None
        assert known.compromised
    finally:
        await fra.stop()


async def test_a_vault_alone_whose_only_key_was_stolen_since_does_not_start(tmp_path: Path) -> None:
    fra = await asyncio.to_thread(make_site, "FRA", tmp_path / "FRA")
    vault = fra.root / "vault" / "keys"
    try:
        await fra.start()
        before = vault.read_bytes()
        (stolen,) = [key.id for key in await keys(fra) if key.use == "signing"]
        await revoke(fra, stolen, compromised=True)
        await fra.stop()
        vault.write_bytes(before)
        with pytest.raises(StoreError, match="the vault is older"):
            await fra.start()
        with pytest.raises(VaultError) as refused:
            await fra.start(accept_loss=True)
        assert refused.value.code == "NOT_FOUND"
        assert "node restore" in refused.value.hint
    finally:
        await fra.stop()


async def test_a_vault_alone_from_before_a_rotation_goes_on_with_the_key_that_overlaps(
    pair: tuple[Site, Site],
) -> None:
    """An operator says that its successor is lost: it ends, and another one is made. What had been destroyed
    since, and is back, is destroyed again.
    """
    fra, usa = pair
    vault = fra.root / "vault" / "keys"
    await arrives(fra, await sent(fra, "USA", "before"), "USA")
    before = vault.read_bytes()
    (destroyed,) = fra.running.runtime.vault.sealing_keys()
    await revoke(fra, destroyed, compromised=True)
    await rotate(fra, "signing")
    await arrives(fra, await sent(fra, "USA", "under the key that is lost"), "USA")
    lost = fra.running.runtime.node.signer.key_id
    await fra.stop()
    newest = vault.read_bytes()
    vault.write_bytes(before)
    with pytest.raises(StoreError) as refused:
        await fra.start()
    assert (refused.value.code, copy_of(vault).read_bytes()) == ("STORE_FORGOT", newest)
    backup = fra.root.parent / "backup"
    with pytest.raises(StoreError, match="STORE_FORGOT"):
        back_up(fra, backup)  # whoever restored it would believe what had ended
    assert not backup.exists()
    await fra.start(accept_loss=True)
    assert destroyed not in fra.running.runtime.vault.sealing_keys()
    assert destroyed in fra.running.runtime.node.retired
    await fra.let_in()
    await both_ways(fra, usa)
    assert await states(fra, "signing") == ["in use", "overlaps"]
    for site in pair:
        known = site.running.runtime.node.trust.revocation(lost)
        assert known is not None
        assert not known.compromised


async def test_what_a_copy_of_the_folder_made_is_learned_by_the_original_before_anything_is_sent_to_it(
    pair: tuple[Site, Site], tmp_path: Path
) -> None:
    """Peers hold the copy's directory, which is the newer one, and seal to a key that only the copy had."""
    fra, usa = pair
    await fra.stop()
    copy = replace(fra, root=tmp_path / "copy")
    await asyncio.to_thread(shutil.copytree, fra.root, copy.root, ignore=shutil.ignore_patterns("lock"))
    try:
        await copy.start(accept_loss=True)
        await copy.let_in()
        await rotate(copy, "sealing")
        await arrives(usa, await sent(usa, "FRA", "to the copy"), "FRA")
    finally:
        await copy.stop()
    waits = await sent(usa, "FRA", "while neither runs")
    await fra.start()
    await arrives(usa, waits, "FRA")
    await both_ways(fra, usa)
