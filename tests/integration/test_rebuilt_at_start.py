"""What a start has made again before it goes on is told like any other damage (F31, promise P13)."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from node_world import make_site, until
from rot import spoil

FOLLOW = ("node", "log_head", "counter")
"""Tables that every step reads, of which a row follows from others."""


async def test_a_row_that_a_start_has_made_again_is_named_and_settled(tmp_path: Path) -> None:
    site = await asyncio.to_thread(make_site, "FRA", tmp_path / "FRA", dial=False)
    await site.start()
    await site.stop()
    for table in FOLLOW:
        spoil(site.root / "intelshare.db", table)
    await site.start()
    try:
        said = [json.loads(line) for line in site.log.getvalue().splitlines()]
        named = [line["record"].split(" does not")[0] for line in said if line["event"] == "record.damaged"]
        assert sorted(named) == [f"a record of {table}" for table in sorted(FOLLOW)]
        await until(lambda: not site.running.runtime.store.damage.known(), "all to be settled")
    finally:
        await site.stop()
