"""Keys of a real node: rotated with peers away and statements in flight, called compromised, and gone."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest

from intelshare.crypto.records import KeyUse
from intelshare.errors import StoreError
from intelshare.ids import KeyId, MemberCode
from intelshare.instant import DAY, Instant
from intelshare.node import renewal
from intelshare.node.clock import ClockReading
from intelshare.node.offline import operate_offline
from intelshare.node.renewal import KeyOrder, renew, renew_and_tell
from intelshare.trust import SEALING_GRACE, Revocation, Revoked, Why
from intelshare.trust.keys import SEALING_OVERLAP
from intelshare.vault.format import EntryKind, open_bytes
from intelshare.wire.v1 import user_pb2 as pb
from node_world import LABEL, PASSPHRASE, Site, code_of, make_site, until, word

LABELS = {"FRA": LABEL, "USA": "SECRET//REL TO USA, FRA"}


async def keys(site: Site) -> list[pb.KeyEntry]:
    async with site.client("o") as client:
        return list((await client.operations.ListKeys(pb.ListKeysRequest())).keys)


async def states(site: Site, use: str) -> list[str]:
    return [key.state for key in await keys(site) if key.use == use]


async def rotate(site: Site, *uses: str) -> None:
    async with site.client("o") as client:
        await client.operations.RotateKeys(pb.RotateKeysRequest(uses=uses))


async def revoke(site: Site, key: bytes, *, compromised: bool) -> pb.RevokeKeyResponse:
    async with site.client("o") as client:
        answer: pb.RevokeKeyResponse = await client.operations.RevokeKey(
            pb.RevokeKeyRequest(key=key.hex(), compromised=compromised)
        )
    return answer


async def sent(site: Site, to: str, text: str) -> bytes:
    async with site.client("a") as client:
        return bytes((await client.send([to], text, label=LABELS[site.code])).bulletin)


async def arrives(site: Site, bulletin: bytes, to: str) -> None:
    async def accepted() -> bool:
        return await word(site, bulletin, to) == "accepted"

    await until(accepted, "accepted")


async def test_a_peer_that_missed_two_rotations_follows_and_what_waited_goes(pair: tuple[Site, Site]) -> None:
    fra, usa = pair
    await until(lambda: fra.running.links.engine.linked and usa.running.links.engine.linked, "links")
    await usa.stop()
    before = await sent(fra, "USA", "sealed to a key that is rotated before it comes")
    await rotate(fra)
    await rotate(fra, "signing")
    assert await states(fra, "signing") == ["in use", "overlaps", "overlaps"]
    assert await states(fra, "sealing") == ["in use", "overlaps"]

    def offline() -> None:
        operate_offline(usa.root, lambda: PASSPHRASE, "RotateKeys", pb.RotateKeysRequest())

    await asyncio.to_thread(offline)
    await usa.start()
    await arrives(fra, before, "USA")
    await arrives(usa, await sent(usa, "FRA", "the other way"), "FRA")
    await arrives(fra, await sent(fra, "USA", "under the newest"), "USA")


async def test_a_compromised_signing_key_is_gone_at_once_and_a_linked_peer_goes_on(
    pair: tuple[Site, Site],
) -> None:
    fra, usa = pair
    await arrives(fra, await sent(fra, "USA", "before"), "USA")
    (old,) = [key.id for key in await keys(fra) if key.use == "signing"]
    done = await revoke(fra, old, compromised=True)
    assert (done.key.state, done.anew) == ("compromised", 0)
    assert await states(fra, "signing") == ["in use", "compromised"]
    await arrives(fra, await sent(fra, "USA", "after"), "USA")
    held = {key.key_id: key for key in fra.running.runtime.vault.held_keys()}
    assert held[KeyId(old)].retired
    known = usa.running.runtime.node.trust.revocation(KeyId(old))
    assert known is not None
    assert known.compromised


async def test_two_orders_for_keys_at_once_are_both_carried_out(pair: tuple[Site, Site]) -> None:
    """A directory that does not follow the one before leaves its keys out: they have ended then."""
    fra, _ = pair
    (old,) = [key.id for key in await keys(fra) if key.use == "signing"]
    await asyncio.gather(rotate(fra, "sealing"), revoke(fra, old, compromised=True), rotate(fra, "sealing"))
    assert await states(fra, "signing") == ["in use", "compromised"]
    assert await states(fra, "sealing") == ["in use", "overlaps", "overlaps"]
    runtime = fra.running.runtime
    signs = runtime.node.trust.signing_key(runtime.node.uri, runtime.now())
    assert runtime.node.signer.key_id == signs


async def test_what_a_clock_that_was_ahead_has_renewed_is_made_again_once_it_is_right(
    pair: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    fra, usa = pair
    runtime, links = usa.running.runtime, usa.running.links
    await arrives(fra, await sent(fra, "USA", "before"), "USA")
    before = runtime.node.signer.key_id
    ahead = Instant(runtime.now() + DAY)
    with monkeypatch.context() as patched:
        patched.setattr(runtime.clock, "now", lambda: ahead)
        patched.setattr(runtime.clock, "read", lambda: ClockReading(ahead, True, ahead, ahead))
        await renew(runtime, order=KeyOrder(rotate=frozenset((KeyUse.SEALING, KeyUse.SIGNING))))
    assert runtime.node.signer.key_id != before
    with monkeypatch.context() as patched:
        doubted = runtime.clock.read()._replace(believed=False, confirmed=False)
        patched.setattr(runtime.clock, "read", lambda: doubted)
        assert not await renew(runtime), "nobody knows yet which time is right"
    await renew_and_tell(runtime, links)
    assert runtime.node.signer.key_id == before
    made = runtime.node.trust.members[MemberCode("USA")].directory
    assert made.issued < ahead
    assert all(key.not_before <= runtime.now() for key in made.keys)

    async def told() -> bool:
        return bool(fra.running.runtime.node.trust.members[MemberCode("USA")].directory == made)

    await until(told, "the directory")
    await arrives(fra, await sent(fra, "USA", "to the present key"), "USA")
    await arrives(usa, await sent(usa, "FRA", "with the present key"), "FRA")
    assert not await renew(runtime)


async def test_a_key_that_was_stolen_while_the_clock_was_wrong_has_a_successor_that_counts_once_it_is_right(
    pair: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    fra, usa = pair
    runtime, links = usa.running.runtime, usa.running.links
    await arrives(fra, await sent(fra, "USA", "before"), "USA")
    (old,) = runtime.vault.sealing_keys()
    ahead = Instant(runtime.now() + DAY)
    with monkeypatch.context() as patched:
        patched.setattr(runtime.clock, "now", lambda: ahead)
        patched.setattr(runtime.clock, "read", lambda: ClockReading(ahead, True, ahead, ahead))
        await renew(runtime, order=KeyOrder(rotate=frozenset((KeyUse.SEALING,))))
    with monkeypatch.context() as patched:
        doubted = runtime.clock.read()._replace(believed=False, confirmed=False)
        patched.setattr(runtime.clock, "read", lambda: doubted)
        stolen = Revocation(Revoked.KEY, old, Why.COMPROMISED, runtime.now())
        await renew(runtime, order=KeyOrder(rotate=frozenset((KeyUse.SEALING,)), revoke=(stolen,)))
    await renew_and_tell(runtime, links)
    made = runtime.node.trust.members[MemberCode("USA")].directory
    assert [key.not_before <= runtime.now() for key in made.keys if key.use is KeyUse.SEALING] == [True]
    await arrives(fra, await sent(fra, "USA", "after"), "USA")
    assert not await renew(runtime)


async def test_keys_that_found_no_room_in_the_database_are_taken_by_the_next_renewal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are in the vault and the directory by then: others seal to them."""

    def full(*_: object) -> None:
        raise StoreError("DISK_FULL", "there is no room")

    site = await asyncio.to_thread(make_site, "FRA", tmp_path / "fra")
    try:
        await site.start()
        runtime = site.running.runtime
        before = runtime.node.signer.key_id
        with monkeypatch.context() as patched:
            patched.setattr(renewal, "take_keys", full)
            with pytest.raises(StoreError):
                await renew(runtime, order=KeyOrder(rotate=frozenset((KeyUse.SEALING, KeyUse.SIGNING))))
        assert runtime.node.signer.key_id == before
        assert await renew(runtime), "peers are still to be told of the directory"
        assert runtime.node.signer.key_id == runtime.node.trust.signing_key(runtime.node.uri, runtime.now())
        assert runtime.node.signer.key_id != before
        assert set(runtime.node.sealing) == set(runtime.vault.sealing_keys())
        assert not await renew(runtime)
    finally:
        await site.stop()


async def test_a_root_or_foreign_key_is_not_revoked_here(pair: tuple[Site, Site]) -> None:
    fra, _ = pair
    trust = fra.running.runtime.node.trust
    for use, member, code in (
        (KeyUse.ROOT, "FRA", "INPUT_INVALID"),
        (KeyUse.SIGNING, "USA", "NOT_AUTHORISED"),
    ):
        key = next(key for key, record in trust.records() if (record.use, record.member) == (use, member))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await revoke(fra, key, compromised=True)
        assert code_of(refused.value) == code


def remains(root: Path) -> bytes:
    """Every byte of every file of a data folder: database, its log, free pages, vault, what lies beside."""
    return b"".join(path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file())


def vault_entry(site: Site, key: KeyId) -> tuple[bytes, bytes]:
    """The ciphertext and the secret of a key, as somebody with the passphrase finds them in the vault."""
    opened = open_bytes((site.root / "vault" / "keys").read_bytes(), PASSPHRASE, allow_development=True)
    return next(
        (row.sealed, entry.secret)
        for row, entry in opened.entries
        if entry.kind is EntryKind.KEY and entry.name == key
    )


@pytest.mark.parametrize("way", ["rotated, and its time is over", "compromised"])
async def test_nothing_that_remains_opens_what_was_sealed_to_a_key_that_is_gone(
    pair: tuple[Site, Site], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fra, usa = pair
    runtime = usa.running.runtime
    await arrives(fra, await sent(fra, "USA", "sealed to the old key"), "USA")
    (old,) = runtime.vault.sealing_keys()
    ciphertext, secret = vault_entry(usa, old)
    assert ciphertext in remains(usa.root)
    if way == "compromised":
        await revoke(usa, old, compromised=True)
    else:
        await rotate(usa, "sealing")
        assert set(runtime.vault.sealing_keys()) > {old}
        now = runtime.now()
        over = Instant(now + SEALING_OVERLAP + SEALING_GRACE + DAY)
        monkeypatch.setattr(runtime.clock, "now", lambda: over)
        monkeypatch.setattr(runtime.clock, "read", lambda: ClockReading(over, True, over, over))
        await renew(runtime)
        monkeypatch.undo()
    assert old not in runtime.vault.sealing_keys()
    assert old in runtime.node.retired
    await usa.stop()
    left = remains(usa.root)
    assert ciphertext not in left
    assert secret not in left
    for part in _parts(secret):
        assert part not in left
    with pytest.raises(StopIteration):
        vault_entry(usa, old)


def _parts(secret: bytes) -> list[bytes]:
    """Each 32 bytes of a hybrid secret: neither half remains by itself."""
    return [secret[start : start + 32] for start in range(0, len(secret) - 31, 32)]
