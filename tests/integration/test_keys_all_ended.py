"""A folder whose node did not run for longer than its keys count: a member that comes back after a year."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from intelshare.crypto.records import KeyUse
from intelshare.errors import CryptoError
from intelshare.instant import DAY, Instant, show
from intelshare.node import renewal, run
from intelshare.node.links import Links
from intelshare.node.offline import operate_offline
from intelshare.node.renewal import KeyOrder, renew
from intelshare.node.runtime import Runtime
from intelshare.wire.v1 import user_pb2 as pb
from node_world import PASSPHRASE, make_site, now


async def test_a_node_whose_keys_have_ended_starts_after_an_operator_has_made_new_ones(
    tmp_path: Path,
) -> None:
    def later() -> Instant:
        return Instant(now() + 400 * DAY)

    site = await asyncio.to_thread(make_site, "FRA", tmp_path / "fra")
    try:
        await site.start()
        ended = site.running.runtime.node.trust.key_record(site.running.runtime.node.signer.key_id)
        assert ended is not None
        await site.stop()

        # The clock may as well be wrong: nothing is made by itself.
        with pytest.raises(CryptoError) as refused:
            await site.start(wall=later)
        assert refused.value.code == "SIGNER_NOT_VALID"
        assert show(ended.not_after) in refused.value.message
        assert "clock" in refused.value.hint

        request = pb.RotateKeysRequest(uses=["signing"])
        answer = await asyncio.to_thread(
            operate_offline, site.root, lambda: PASSPHRASE, "RotateKeys", request, later
        )
        assert [key.state for key in answer.keys if key.use == "signing"][:1] == ["in use"]
        await site.start(wall=later)
        assert site.running.runtime.health.codes == ()
    finally:
        await site.stop()


async def test_a_start_whose_clock_goes_far_ahead_in_the_middle_makes_no_key_and_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = [0]

    def links(runtime: Runtime) -> Links:
        ahead[0] = 400 * DAY
        return Links(runtime)

    site = await asyncio.to_thread(make_site, "FRA", tmp_path / "fra")
    try:
        with monkeypatch.context() as patched:
            patched.setattr(run, "Links", links)
            with pytest.raises(CryptoError) as refused:
                await site.start(wall=lambda: Instant(now() + ahead[0]))
        assert refused.value.code == "SIGNER_NOT_VALID"
        await site.start()
        held = site.running.runtime.vault.held_keys()
        assert len([key for key in held if key.record.use is KeyUse.SIGNING]) == 1
        assert site.running.runtime.health.codes == ()
    finally:
        await site.stop()


async def test_a_rotation_goes_on_with_its_keys_though_the_clock_goes_far_ahead_in_the_middle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = [0]

    def moved(_: Runtime) -> None:
        ahead[0] = 400 * DAY

    site = await asyncio.to_thread(make_site, "FRA", tmp_path / "fra")
    try:
        await site.start(wall=lambda: Instant(now() + ahead[0]))
        runtime = site.running.runtime
        before = runtime.node.signer.key_id
        monkeypatch.setattr(renewal, "show_member", moved)
        await renew(runtime, order=KeyOrder(rotate=frozenset((KeyUse.SEALING, KeyUse.SIGNING))))
        assert runtime.node.signer.key_id != before
        assert set(runtime.node.sealing) == set(runtime.vault.sealing_keys())
    finally:
        await site.stop()
