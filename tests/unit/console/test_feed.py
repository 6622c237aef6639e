"""What happens is told to every page, over one watch; a page that does not read costs a bounded memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from console_world import Desk, event, member
from intelshare.console.feed import KEPT, Feed
from intelshare.console.nodes import READERS
from intelshare.patience import patient


async def told(page: AsyncIterator[str], name: str) -> Any:
    """The next event of this name."""
    async with asyncio.timeout(patient(10)):
        async for text in page:
            lines = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
            if lines.get("event") == name:
                return json.loads(lines["data"])
    raise AssertionError(name)


async def running(desk: Desk, look: Any, use: Any) -> None:
    feed = Feed(desk, look)
    task = asyncio.create_task(feed.run())
    try:
        await use(feed)
    finally:
        desk.watched.put(event("end", 0))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_an_event_reaches_every_page_and_a_new_page_is_told_the_past() -> None:
    desk = Desk(member(), ("a",))

    async def use(feed: Feed) -> None:
        pages = [feed.events() for _ in range(3)]
        for page in pages:
            assert await told(page, "past") == []
        desk.watched.put(event("accepted", 1))
        assert [(await told(page, "happened"))["what"] for page in pages] == ["accepted"] * 3
        assert [one["what"] for one in await told(feed.events(), "past")] == ["accepted"]

    await running(desk, dict, use)


async def test_a_state_is_told_when_it_changes_and_looked_at_once_for_all_pages() -> None:
    looks: list[int] = []

    def look() -> dict[str, Any]:
        looks.append(1)
        return {"n": len(looks) // 2}

    async def use(feed: Feed) -> None:
        assert looks == []
        pages = [feed.events() for _ in range(4)]
        first = [await told(page, "state") for page in pages]
        later = [await told(page, "state") for page in pages]
        assert [one["n"] for one in first] == [first[0]["n"]] * 4
        assert later[0]["n"] > first[0]["n"]
        assert len(looks) < 8

    await running(Desk(member(), ("a",)), look, use)


async def test_a_page_that_does_not_read_keeps_a_bounded_number_and_is_told_that_it_missed_some() -> None:
    desk = Desk(member(), ("a",))

    async def use(feed: Feed) -> None:
        slow, quick = feed.events(), feed.events()
        await told(slow, "past")
        await told(quick, "past")
        for number in range(KEPT + 40):
            desk.watched.put(event("sent", number))
            await told(quick, "happened")
        assert await told(slow, "missed") == {}
        assert (await told(slow, "happened"))["at"] >= 40 // 1000

    await running(desk, dict, use)


async def test_a_bulletin_that_goes_only_in_part_is_told_as_such_with_its_title() -> None:
    desk = Desk(member(), ("a",))
    entries = (await asyncio.to_thread(desk.ask, READERS, lambda client: client.outbox())).entries
    half = next(one for one in entries if any(0 < pair.granted < pair.portions for pair in one.pairs))
    submitted = event("submitted", 1)
    submitted.bulletin = half.bulletin

    async def use(feed: Feed) -> None:
        page = feed.events()
        await told(page, "past")
        desk.watched.put(submitted)
        assert (await told(page, "happened"))["what"] == "submitted"
        partly = await told(page, "happened")
        assert (partly["what"], partly["member"]) == ("partly withheld", "KEN")

    await running(desk, dict, use)
