"""A folder whose node did not run for longer than its keys count: a member that comes back after a year."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from intelshare.errors import CryptoError
from intelshare.instant import DAY, Instant, show
from intelshare.node.offline import operate_offline
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
