"""The files of the vault change beneath a running node: promise P17, decision 91."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from test_key_life import arrives, rotate, sent

from intelshare.node.folder import Folder
from intelshare.vault import copy_of
from node_world import Site, until, word

pytestmark = pytest.mark.usefixtures("hurried")


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("harm", [damage, Path.unlink])
async def test_a_running_node_writes_again_what_is_damaged_or_missing_of_its_vault(
    pair: tuple[Site, Site], harm: Callable[[Path], None]
) -> None:
    fra, _ = pair
    vault = Folder(fra.root).vault
    whole = vault.read_bytes()
    for count, path in enumerate((vault, copy_of(vault)), 1):
        harm(path)
        await until(lambda wanted=count: fra.log.getvalue().count("vault.mended") == wanted, "the log")
        assert path.read_bytes() == whole
        assert f'"path": "vault/{path.name}"' in fra.log.getvalue()
    assert fra.running.runtime.health.codes == ()


async def test_a_node_without_its_vault_releases_nothing_says_so_and_goes_on_once_it_is_back(
    pair: tuple[Site, Site],
) -> None:
    fra, _ = pair
    await arrives(fra, await sent(fra, "USA", "before"), "USA")
    folder = Folder(fra.root).vault.parent
    kept = folder.rename(fra.root / "unmounted")
    await until(lambda: fra.running.runtime.health.codes == ("KEYSTORE_CORRUPT",), "health")
    waits = await sent(fra, "USA", "while the vault is gone")
    assert await word(fra, waits, "USA") == "queued"
    kept.rename(folder)
    await arrives(fra, waits, "USA")
    assert fra.running.runtime.health.codes == ()


async def test_a_node_cannot_read_its_vault_on_a_disk_that_fails_and_goes_on_once_it_can(
    pair: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    fra, _ = pair
    vault, read = Folder(fra.root).vault, Path.read_bytes

    def fails(path: Path) -> bytes:
        if path.parent == vault.parent:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(path)

    with monkeypatch.context() as disk:
        disk.setattr(Path, "read_bytes", fails)
        await until(lambda: fra.running.runtime.health.codes == ("KEYSTORE_CORRUPT",), "health")
        waits = await sent(fra, "USA", "while the disk fails")
        assert await word(fra, waits, "USA") == "queued"
    await arrives(fra, waits, "USA")
    assert fra.running.runtime.health.codes == ()


async def test_a_node_whose_vault_cannot_be_mended_because_the_disk_fails_goes_on_and_mends_it_once_it_can(
    pair: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    fra, _ = pair
    vault, sync = Folder(fra.root).vault, os.fsync
    whole = vault.read_bytes()

    def fails(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").readlink().parent == vault.parent:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(descriptor)

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", fails)
        damage(vault)
        await until(lambda: fra.running.runtime.health.codes == ("KEYSTORE_CORRUPT",), "health")
        assert not fra.running.runtime.failed.done(), "it may be the last that has the keys"
        assert copy_of(vault).read_bytes() == whole
    await until(lambda: vault.read_bytes() == whole, "the vault to be mended")
    await until(lambda: fra.running.runtime.health.codes == (), "health")


async def test_a_node_under_which_another_vault_was_put_stops_and_writes_nothing_over_it(
    pair: tuple[Site, Site],
) -> None:
    fra, _ = pair
    vault = Folder(fra.root).vault
    before = vault.read_bytes()
    await rotate(fra, "signing")
    newest = vault.read_bytes()
    vault.write_bytes(before)
    await until(fra.running.runtime.failed.done, "the node to end")
    assert fra.running.runtime.failed.result().code == "DATA_LOCKED"
    assert str(copy_of(vault)) in fra.running.runtime.failed.result().hint
    assert (vault.read_bytes(), copy_of(vault).read_bytes()) == (before, newest)
