"""A backup that takes the place of a folder: what is there stays until the other one is complete."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from intelshare.errors import ConfigError, StoreError
from intelshare.node.backup import make_backup, restore_backup
from node_world import PASSPHRASE, make_site, now

NOBODY = 4_194_304
"""A process id that no process has: Linux gives none above this."""


def _quiet(what: str, done: int, of: int) -> None:
    del what, done, of


def restore(backup: Path, root: Path) -> Path | None:
    return restore_backup(backup, root, lambda: PASSPHRASE, replace=True, now=now(), progress=_quiet)[1]


async def backed_up(tmp_path: Path) -> tuple[Path, Path]:
    site = await asyncio.to_thread(make_site, "FRA", tmp_path / "fra")
    await site.start()
    backup = tmp_path / "backup"
    await asyncio.to_thread(make_backup, site.root, backup, lambda: PASSPHRASE, now(), _quiet)
    await site.stop()
    return site.root, backup


async def test_a_restore_that_fails_leaves_the_folder_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, backup = await backed_up(tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())

    def full(descriptor: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError) as refused:
        restore(backup, root)
    assert refused.value.code == "DISK_FULL"
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    monkeypatch.undo()
    aside = restore(backup, root)
    assert aside is not None
    assert (aside / "vault" / "keys").exists()
    assert (root / "restored").exists()


async def test_what_a_killed_restore_left_is_removed_by_the_next_and_another_ones_is_not(
    tmp_path: Path,
) -> None:
    root, backup = await backed_up(tmp_path)
    left, others = tmp_path / f".fra.{NOBODY}.part", tmp_path / f".fra.{os.getppid()}.part"
    for path in (left, others):
        (path / "vault").mkdir(parents=True)
    restore(backup, root)
    assert not left.exists()
    assert others.exists()


async def test_a_folder_that_lost_its_settings_is_replaced_and_one_of_something_else_is_not(
    tmp_path: Path,
) -> None:
    root, backup = await backed_up(tmp_path)
    (root / "node.toml").write_bytes(b"\xffmember")
    aside = restore(backup, root)
    assert aside is not None
    (aside / "node.toml").unlink()
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    (other / "thesis.txt").touch()
    with pytest.raises(ConfigError) as refused:
        restore(backup, other)
    assert refused.value.code == "NOT_FOUND"
    assert (other / "thesis.txt").exists()


async def test_a_backup_has_no_reserve_and_no_place_is_a_mounted_disk(tmp_path: Path) -> None:
    root, backup = await backed_up(tmp_path)
    assert (root / "reserve").exists()
    assert not (backup / "folder" / "reserve").exists()
    with pytest.raises(ConfigError) as refused:
        restore(backup, Path("/dev/shm"))
    assert "below it" in refused.value.hint
