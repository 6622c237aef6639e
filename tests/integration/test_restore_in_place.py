"""A backup that takes the place of a folder: what is there stays until the other one is complete."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from intelshare.errors import ConfigError, StoreError
from node_world import back_up, make_site, restore

NOBODY = 4_194_304
"""A process id that no process has: Linux gives none above this."""


async def backed_up(tmp_path: Path) -> tuple[Path, Path]:
    site = await asyncio.to_thread(make_site, "FRA", tmp_path / "fra")
    await site.start()
    backup = tmp_path / "backup"
    await asyncio.to_thread(back_up, site, backup)
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
        restore(backup, root, replace=True)
    assert refused.value.code == "DISK_FULL"
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    monkeypatch.undo()
    aside = restore(backup, root, replace=True)
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
    restore(backup, root, replace=True)
    assert not left.exists()
    assert others.exists()


async def test_a_folder_that_lost_its_settings_is_replaced_and_one_of_something_else_is_not(
    tmp_path: Path,
) -> None:
    root, backup = await backed_up(tmp_path)
    (root / "node.toml").write_bytes(b"\xffmember")
    aside = restore(backup, root, replace=True)
    assert aside is not None
    (aside / "node.toml").unlink()
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    (other / "thesis.txt").touch()
    with pytest.raises(ConfigError) as refused:
        restore(backup, other, replace=True)
    assert refused.value.code == "NOT_FOUND"
    assert (other / "thesis.txt").exists()


async def test_a_backup_has_no_reserve_and_no_place_is_a_mounted_disk(tmp_path: Path) -> None:
    root, backup = await backed_up(tmp_path)
    assert (root / "reserve").exists()
    assert not (backup / "folder" / "reserve").exists()
    with pytest.raises(ConfigError) as refused:
        restore(backup, Path("/dev/shm"), replace=True)
    assert "below it" in refused.value.hint
