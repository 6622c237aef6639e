"""What ``node health`` reads says what an operator's command has changed, once that command is answered."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from intelshare.cli.shared.owner import owner_client
from intelshare.errors import StoreError
from intelshare.instant import DAY, Instant
from intelshare.node.folder import Folder
from intelshare.node.running import read_running
from intelshare.wire.v1 import user_pb2 as pb
from node_world import PASSPHRASE, Site, back_up, make_site, now, restore, until


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    site = await asyncio.to_thread(make_site, "FRA", tmp_path / "FRA", dial=False)
    yield site
    await site.stop()


def shown(site: Site) -> tuple[str, ...]:
    running = read_running(Folder(site.root))
    assert running is not None
    assert running.health == ("NOT_SERVING" if running.codes else "SERVING")
    return running.codes


async def as_owner(site: Site, method: str, request: Any) -> Any:
    def ask() -> Any:
        with owner_client(site.root, lambda: PASSPHRASE) as client:
            return client.operate(method, request)

    return await asyncio.to_thread(ask)


async def test_a_drain_and_its_end_are_shown_before_they_are_answered(site: Site) -> None:
    await site.start()
    async with site.client("o") as operator:
        for undo in (False, True, False, True):
            await operator.operations.Drain(pb.DrainRequest(undo=undo))
            assert shown(site) == (() if undo else ("DRAINING",))


async def test_a_clock_that_is_believed_again_is_shown_before_that_is_answered(site: Site) -> None:
    await site.start(wall=lambda: Instant(now() + DAY))
    await site.stop()
    await site.start()
    await until(lambda: shown(site) == ("CLOCK",), "CLOCK to show")
    async with site.client("o") as operator:
        await operator.operations.Clock(pb.ClockRequest(believe=True, reason="set by hand"))
        assert shown(site) == ()


async def test_access_that_is_confirmed_is_shown_before_that_is_answered(site: Site, tmp_path: Path) -> None:
    await site.start()
    await asyncio.to_thread(back_up, site, tmp_path / "backup")
    await site.stop()
    site.root = tmp_path / "again"
    await asyncio.to_thread(restore, tmp_path / "backup", site.root)
    await site.start()
    assert shown(site) == ("ACCESS_WAITS",)
    waiting = await as_owner(site, "ConfirmAccess", pb.ConfirmAccessRequest(dry_run=True))
    names = [user.name for user in waiting.users]
    await as_owner(site, "ConfirmAccess", pb.ConfirmAccessRequest(users=names, reason="nobody was revoked"))
    assert shown(site) == ()


async def test_a_vault_that_is_written_again_is_shown_before_that_is_answered(site: Site) -> None:
    await site.start()
    shutil.rmtree(Folder(site.root).vault.parent)
    await until(lambda: shown(site) == ("KEYSTORE_CORRUPT",), "KEYSTORE_CORRUPT to show")
    async with site.client("o") as operator:
        await operator.operations.RotateKeys(pb.RotateKeysRequest())
        assert shown(site) == ()


async def test_a_command_is_answered_though_its_health_cannot_be_shown(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise StoreError("DISK_FULL", "there is no room for run.json")

    await site.start()
    monkeypatch.setattr("intelshare.node.housekeeping.show_running", full)
    async with site.client("o") as operator:
        await operator.operations.Drain(pb.DrainRequest())


async def test_a_replica_that_does_not_lead_shows_its_health_in_its_own_file(site: Site) -> None:
    node = await site.start()
    runtime = node.runtime
    runtime.replica, runtime.leads = "b", False
    await node.show_now()
    assert json.loads((site.root / "replica-b.json").read_bytes())["codes"] == []
    runtime.replica, runtime.leads = "", True
