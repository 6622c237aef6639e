"""A replica beside others: what it forgets of its own, and what it reads before a hand-over."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from intelshare.broker.kernel.node import Recent
from intelshare.broker.line.read_ahead import handover_ahead
from intelshare.engine.actions import RunStep
from intelshare.engine.steps import Step
from intelshare.ids import ManifestDigest, MemberCode
from intelshare.instant import Instant
from intelshare.node.following import Following

MD = ManifestDigest(bytes(32))


class Groups:
    """What another replica has committed: a pair for the USA."""

    def keys(self, _: Any) -> list[tuple[bytes, str]]:
        return [(MD, "USA")]

    def touch(self, *_: Any) -> bool:
        return False

    def rows(self, _: Any) -> list[Any]:
        return []


class Store:
    """Its questions wait until they are answered."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def query(self, _: Any) -> Any:
        return await self.answer


def beside(folder: Path, **more: Any) -> tuple[Following, Any, Any]:
    (folder / "vault").write_bytes(b"sealed")
    runtime = SimpleNamespace(
        folder=SimpleNamespace(vault=folder / "vault"),
        node=SimpleNamespace(recent=Recent()),
        leads=False,
        later=lambda *_: None,
        now=lambda: Instant(1),
        **more,
    )
    links = SimpleNamespace()
    return Following(runtime, links), runtime, links  # type: ignore[arg-type]


def test_a_replica_forgets_what_another_one_hands_over(tmp_path: Path) -> None:
    """No secret stays in its memory for longer than it is needed."""
    following, runtime, _ = beside(tmp_path)
    runtime.node.recent.put(MD, "made", 1, [MemberCode("USA"), MemberCode("KEN")])
    following.take_in(Groups())  # type: ignore[arg-type]
    assert runtime.node.recent.get(MD) == "made"
    runtime.node.recent.done(MD, MemberCode("KEN"))
    assert runtime.node.recent.get(MD) is None


async def test_a_stop_waits_for_a_hand_over_that_is_still_reading(tmp_path: Path) -> None:
    """Its step is in the store's queue before the store takes no more."""
    store, order = Store(), list[Any]()

    async def step(*what: Any, traced: str) -> None:
        order.append((traced, *what))

    following, _, links = beside(tmp_path, store=store, step=step)
    rooms = {MemberCode("USA"): 1}
    handing = asyncio.create_task(links.perform(RunStep(Step.HANDOVER, (rooms, 8))))
    await asyncio.sleep(0)
    settling = asyncio.create_task(following.settle())
    await asyncio.sleep(0)
    assert not settling.done()
    store.answer.set_result({})
    await settling
    assert order == [("handover", handover_ahead, rooms, 8, {})], "its span is that of every hand-over"
    await handing
