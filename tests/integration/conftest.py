"""What several of these tests begin with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from node_world import Site, introduce, make_site


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Site, Site]]:
    """FRA and USA, running, who know each other."""
    fra, usa = [await asyncio.to_thread(make_site, code, tmp_path / code) for code in ("FRA", "USA")]
    try:
        await fra.start()
        await usa.start()
        await introduce(fra, usa)
        yield fra, usa
    finally:
        await fra.stop()
        await usa.stop()
