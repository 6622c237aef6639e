"""What several of these tests begin with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from intelshare.broker.transparency import checkpoint
from intelshare.engine import housekeeping
from intelshare.engine.values import Chore
from intelshare.instant import SECOND
from node_world import Site, introduce, make_site


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes look at their files and tell of their logs so often that nobody waits for it: every two and five
    seconds otherwise.
    """
    for chore in (Chore.POLICY, Chore.MEND):
        monkeypatch.setitem(housekeeping.EVERY, chore, SECOND // 5)
    monkeypatch.setattr(checkpoint, "EVERY", SECOND // 5)


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
