"""A data folder that is taken away from its running node: a disk that was unmounted, or fell off the bus."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from intelshare.errors import StoreError
from intelshare.patience import patient
from node_world import make_site


async def test_a_node_whose_folder_is_gone_ends_with_disk_error_and_loses_nothing(tmp_path: Path) -> None:
    site = await asyncio.to_thread(make_site, "FRA", tmp_path / "fra")
    away = tmp_path / "away"
    try:
        await site.start()
        site.root.rename(away)
        error = await asyncio.wait_for(site.running.failed(), patient(15))
        assert isinstance(error, StoreError)
        assert error.code == "DISK_ERROR"
        assert error.place is not None
        assert str(site.root) in error.place.source
        assert "mounted" in str(error.hint)
        assert "node.defect" not in site.log.getvalue()
    finally:
        await site.stop()
    with pytest.raises(StoreError) as missing:
        await site.start()
    assert "mounted" in missing.value.hint
    site.root.symlink_to(away)
    with pytest.raises(StoreError) as link:
        await site.start()
    assert "not the link" in link.value.hint
    site.root.unlink()
    away.rename(site.root)
    try:
        await site.start()
    finally:
        await site.stop()
