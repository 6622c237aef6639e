"""A folder from before its keys changed: peers tell it what became of them (decision 81)."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from test_key_life import arrives, keys, revoke, rotate, sent, states

from intelshare.crypto.pae import key_id
from intelshare.errors import StoreError, VaultError
from intelshare.ids import KeyId, MemberCode
from intelshare.node.backup import make_backup, restore_backup
from intelshare.wire.v1 import user_pb2 as pb
from node_world import PASSPHRASE, Site, introduce, make_site, now, until


def _quiet(what: str, done: int, of: int) -> None:
    del what, done, of


async def backed_up(site: Site, target: Path) -> None:
    await asyncio.to_thread(make_backup, site.root, target, lambda: PASSPHRASE, now(), _quiet)


async def restored(site: Site, backup: Path, root: Path) -> Site:
    """The same member, on a folder made from a backup."""
    await asyncio.to_thread(
        restore_backup, backup, root, lambda: PASSPHRASE, replace=False, now=now(), progress=_quiet
    )
    return replace(site, root=root, node=None)


async def is_known(site: Site, bulletin: bytes) -> None:
    """Wait until a releasing officer is shown that the recipient has accepted a bulletin."""

    async def accepted() -> bool:
        async with site.client("r") as client:
            with contextlib.suppress(grpc.aio.AioRpcError):
                answer = await client.bulletins.Outbox(pb.OutboxRequest(id=bulletin.hex()))
                return bool(answer.entries[0].pairs[0].word == "accepted")
        return False

    await until(accepted, "the recipient's receipt")


async def show_member(giver: Site, taker: Site) -> None:
    """Whoever could not be told by a link is given the member file again."""
    async with giver.client("o") as client:
        said = await client.operations.ExportMember(pb.ExportMemberRequest())
    async with taker.client("o") as client:
        await client.operations.ImportMember(
            pb.ImportMemberRequest(text=said.text, fingerprint=said.fingerprint)
        )


async def test_what_a_forgotten_key_signed_is_known_again(tmp_path: Path) -> None:
    """The key was made after the backup, by rotation; what it signed is with the recipient alone."""
    fra, usa = [await asyncio.to_thread(make_site, code, tmp_path / code) for code in ("FRA", "USA")]
    try:
        await fra.start()
        await usa.start()
        await introduce(fra, usa)
        await arrives(fra, await sent(fra, "USA", "before"), "USA")
        await backed_up(fra, tmp_path / "backup")
        await rotate(fra, "signing")
        later = await sent(fra, "USA", "signed by the key that is forgotten")
        await arrives(fra, later, "USA")
        forgotten = fra.running.runtime.node.signer.key_id
        await fra.stop()
        fra = await restored(fra, tmp_path / "backup", tmp_path / "again")
        await fra.start()
        await fra.let_in()

        await is_known(fra, later)
        await arrives(fra, await sent(fra, "USA", "under the newest key"), "USA")
        await arrives(usa, await sent(usa, "FRA", "the other way"), "FRA")
        assert await states(fra, "signing") == ["in use", "overlaps"]
        for site in (fra, usa):
            held = site.running.runtime.node.trust.members[MemberCode("FRA")]
            assert held.directory is not None
            assert forgotten in {key_id(key) for key in held.directory.keys}
            assert not held.former
    finally:
        await fra.stop()
        await usa.stop()


async def test_a_key_that_was_stolen_signs_nothing_after_a_restore(tmp_path: Path) -> None:
    """The backup has the key and does not know that it was stolen since; its successor is with nobody."""
    fra, usa = [await asyncio.to_thread(make_site, code, tmp_path / code) for code in ("FRA", "USA")]
    try:
        await fra.start()
        await usa.start()
        await introduce(fra, usa)
        await arrives(fra, await sent(fra, "USA", "before"), "USA")
        await backed_up(fra, tmp_path / "backup")
        (stolen,) = [key.id for key in await keys(fra) if key.use == "signing"]
        await revoke(fra, stolen, compromised=True)
        later = await sent(fra, "USA", "signed by its successor, which is forgotten")
        await arrives(fra, later, "USA")
        successor = fra.running.runtime.node.signer.key_id
        await fra.stop()
        fra = await restored(fra, tmp_path / "backup", tmp_path / "again")
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
        await show_member(fra, usa)
        await is_known(fra, later)
        await arrives(fra, await sent(fra, "USA", "under the newest key"), "USA")
        await arrives(usa, await sent(usa, "FRA", "the other way"), "FRA")
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
        with pytest.raises(VaultError) as refused:
            await fra.start()
        assert refused.value.code == "NOT_FOUND"
        assert "node restore" in refused.value.hint
    finally:
        await fra.stop()


async def test_a_vault_alone_from_before_a_rotation_goes_on_with_the_key_that_overlaps(
    pair: tuple[Site, Site],
) -> None:
    """Its successor is lost: it ends, and another one is made."""
    fra, usa = pair
    vault = fra.root / "vault" / "keys"
    await arrives(fra, await sent(fra, "USA", "before"), "USA")
    before = vault.read_bytes()
    await rotate(fra, "signing")
    await arrives(fra, await sent(fra, "USA", "under the key that is lost"), "USA")
    lost = fra.running.runtime.node.signer.key_id
    await fra.stop()
    vault.write_bytes(before)
    await fra.start()
    await arrives(fra, await sent(fra, "USA", "after"), "USA")
    await arrives(usa, await sent(usa, "FRA", "the other way"), "FRA")
    assert await states(fra, "signing") == ["in use", "overlaps"]
    for site in pair:
        known = site.running.runtime.node.trust.revocation(lost)
        assert known is not None
        assert not known.compromised
