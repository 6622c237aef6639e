"""A replica beside others: what it forgets of its own, and what it reads before a hand-over."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from intelshare.broker.kernel.node import Recent
from intelshare.broker.kernel.tables import PAIR, TRUST, TrustRow
from intelshare.broker.line.read_ahead import handover_ahead
from intelshare.crypto.codec import encode
from intelshare.crypto.records import Trust, TrustType
from intelshare.engine.actions import RunStep
from intelshare.engine.steps import Step
from intelshare.errors import RecordError
from intelshare.ids import ManifestDigest, MemberCode
from intelshare.instant import Instant
from intelshare.node.following import Following
from intelshare.ports import Plan, Put, View, durable_after_commit
from intelshare.store.memory import MemoryStore
from intelshare.trust import write_member_file
from line_world import met

MD = ManifestDigest(bytes(32))


class Groups:
    """What another replica has committed: a pair for the USA."""

    def keys(self, table: Any) -> list[tuple[bytes, str]]:
        return [(MD, "USA")] if table is PAIR else []

    def gone(self, _: Any) -> list[tuple[bytes, str]]:
        return []

    def durable(self, value: Any) -> Any:
        return durable_after_commit(value)

    def touch(self, *_: Any) -> bool:
        return False

    def rows(self, _: Any) -> list[Any]:
        return []


class Damaged:
    """The view of a store in which the root of one member does not match its digest."""

    unbound: View | None = None

    def __init__(self, view: View, member: str) -> None:
        self._view, self._member = view, member
        self.get = view.get

    def find(self, table: Any, *index: Any, **more: Any) -> list[Any]:
        rows = self._view.find(table, *index, **more)
        return [row for row in rows if table is not TRUST or row[:2] != (self._member, TrustType.ROOT)]

    def known(self) -> tuple[RecordError, ...]:
        return (RecordError(TRUST.name, (self._member, int(TrustType.ROOT), 1), "damaged"),)


class Store:
    """Its questions wait until they are answered."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def query(self, _: Any) -> Any:
        return await self.answer


def beside(folder: Path, **more: Any) -> tuple[Following, Any, Any]:
    runtime = SimpleNamespace(
        folder=SimpleNamespace(root=folder),
        vault=SimpleNamespace(is_current=lambda: True),
        node=SimpleNamespace(recent=Recent(), trust=SimpleNamespace(partners=())),
        leads=False,
        outdated=False,
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


@pytest.mark.parametrize("member", ["USA", "FRA"])
def test_a_replica_that_makes_its_node_again_reads_trust_with_the_care_of_a_start(
    member: str, tmp_path: Path
) -> None:
    """A damaged root ends no replica: another member is not known, this one's is in the folder besides."""
    fra = met()["FRA"]
    rows = [
        Put(TRUST, TrustRow(code, kind, 1, encode(Trust, signed)))
        for code, held in fra.node.trust.members.items()
        for kind, signed in (
            (TrustType.ROOT, held.roots[0]),
            (TrustType.DIRECTORY, held.directory_signed),
        )
    ]
    view = Damaged(MemoryStore([Plan(tuple(rows), None)]), member)
    following, runtime, _ = beside(tmp_path, store=SimpleNamespace(damage=view))
    runtime.folder.own_member = tmp_path / "own-member"
    own = write_member_file(fra.node.trust.members[MemberCode("FRA")])
    runtime.folder.own_member.write_bytes(own.encode())
    made = following._renewed(fra.node, view)  # type: ignore[arg-type]
    assert set(made.trust.members) == {"FRA", "USA", "KEN"} - ({member} - {"FRA"})


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
