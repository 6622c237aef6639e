"""A replica that leads from now on: what stands in its way for a moment, and what ends it (promise P14)."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from intelshare.engine.events import Leads
from intelshare.errors import ConfigError, IntelshareError, StoreError
from intelshare.node import housekeeping, servers
from intelshare.node.housekeeping import NodeProcess
from intelshare.node.servers import Ports
from waits import LIMIT

FULL = StoreError("DISK_FULL", "no room")


class Replica:
    """A replica whose parts do nothing, or fail as often as a test says."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fails: dict[str, list[BaseException]] = {}
        self.done: list[str] = []
        self.fed: list[Any] = []
        self.lacking: set[str] = set()
        self.logged: list[tuple[str, str]] = []
        self.port_is_open = asyncio.Event()
        for name in ("renew", "show_running"):
            monkeypatch.setattr(housekeeping, name, getattr(self, f"_{name}"))
        monkeypatch.setattr(housekeeping, "endpoints", lambda *_: ())
        monkeypatch.setattr(housekeeping, "last_peer_port", lambda _: 0)
        monkeypatch.setattr(housekeeping, "_LEAD_AGAIN", 0.001)
        monkeypatch.setattr(housekeeping, "_PORT_AGAIN", 0.001)
        loop = asyncio.get_running_loop()
        self.failed: asyncio.Future[IntelshareError] = loop.create_future()
        runtime = SimpleNamespace(
            folder=SimpleNamespace(root=root),
            health=SimpleNamespace(codes=()),
            log=SimpleNamespace(info=self._log, error=self._log),
            leads=False,
            replica="b",
            outdated=False,
            failed=self.failed,
            now=lambda: 0,
            vault=SimpleNamespace(follow=lambda: False),
            catch_up=self._step("catch_up"),
            mending=SimpleNamespace(withholds=False),
            on_full=[],
            on_trust=[],
            found_full=lambda error: self.done.append(f"found {error.code}"),
            lacks=self._lacks,
            store=SimpleNamespace(ask_now=lambda _: ()),
            pieces=SimpleNamespace(take_stock=lambda _: self._do("take_stock"), run=self._run),
        )
        links = SimpleNamespace(engine=SimpleNamespace(held=()), feed=self.fed.append, fail=self._fail)
        ports = SimpleNamespace(follow=self._step("follow"), open_to_peers=self._open_to_peers)
        policies = SimpleNamespace(begin=self._step("begin"))
        self.node = NodeProcess(runtime, links, ports, SimpleNamespace(), policies)  # type: ignore[arg-type]

    def lead(self) -> None:
        """The store says that this replica leads."""
        self.node._may_lead()

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(LIMIT):
            while not condition():
                await asyncio.sleep(0.001)

    def _do(self, name: str) -> None:
        if self.fails.get(name):
            raise self.fails[name].pop(0)
        self.done.append(name)

    def _step(self, name: str) -> Callable[[], Any]:
        async def step() -> None:
            self._do(name)

        return step

    async def _run(self, work: Callable[[], None]) -> None:
        work()

    async def _renew(self, *_: Any) -> None:
        self._do("renew")

    def _show_running(self, *_: Any) -> None:
        self._do("show_running")

    async def _open_to_peers(self, *_: Any) -> None:
        self._do("open_to_peers")
        self.port_is_open.set()

    def _lacks(self, what: str, code: str = "") -> None:
        assert what == "lead"
        self.lacking = {code} - {""}

    def _log(self, event: Any, **fields: Any) -> None:
        self.logged.append((str(event), fields.get("code", "")))

    def _fail(self, error: BaseException) -> None:
        self.failed.set_result(StoreError("INTERNAL", repr(error)))


@pytest.fixture
async def replica(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Replica]:
    made = Replica(tmp_path, monkeypatch)
    yield made
    for task in (made.node._leading, made.node._opening):
        if task is not None:
            task.cancel()


@pytest.mark.parametrize("error", [OSError(errno.ESTALE, "stale file handle"), RuntimeError("of gRPC")])
@pytest.mark.parametrize("place", ["take_stock", "open_to_peers", "show_running"])
async def test_an_error_that_nobody_foresaw_ends_a_replica_that_would_lead(
    replica: Replica, place: str, error: BaseException
) -> None:
    """Else it would keep the lead and do nothing with it: no replica ends, destroys or renews anything."""
    replica.fails[place] = [error]
    replica.lead()
    async with asyncio.timeout(LIMIT):
        assert (await replica.failed).code == "INTERNAL"
    assert replica.fed == []
    assert replica.node._following == set()


@pytest.mark.parametrize("place", ["catch_up", "take_stock", "begin", "renew", "show_running"])
async def test_p14_a_full_disk_ends_no_replica_that_would_lead(replica: Replica, place: str) -> None:
    """The next one would find the same disk, until none runs."""
    replica.fails[place] = [FULL, FULL, OSError(errno.EMFILE, "too many open files"), FULL]
    replica.lead()
    await replica.until(lambda: replica.fed)
    assert isinstance(replica.fed[0], Leads)
    assert not replica.failed.done()
    assert replica.lacking == set(), "health shows it only while it lasts"
    assert replica.done.count("found DISK_FULL") == 3
    assert [code for _, code in replica.logged] == ["", "DISK_FULL", "RESOURCES_SHORT", "DISK_FULL"]
    # What may be done only once is not done again, whatever had to be tried again after it.
    assert [replica.done.count(one) for one in ("take_stock", "open_to_peers", "begin")] == [1, 1, 1]


async def test_what_does_not_pass_ends_a_replica_that_would_lead(replica: Replica) -> None:
    replica.fails["renew"] = [StoreError("DISK_ERROR", "broken")]
    replica.lead()
    async with asyncio.timeout(LIMIT):
        assert (await replica.failed).code == "DISK_ERROR"
    assert replica.fed == []


async def test_the_port_for_peers_is_tried_until_it_is_open_whatever_fails(replica: Replica) -> None:
    replica.fails["open_to_peers"] = [
        ConfigError("PORT_IN_USE", "another process has it"),
        ConfigError("LISTEN_FAILED", "no such address"),
        StoreError("RESOURCES_SHORT", "no descriptor"),
        RuntimeError("of gRPC"),
    ]
    replica.lead()
    async with asyncio.timeout(LIMIT):
        await replica.port_is_open.wait()
    codes = [code for event, code in replica.logged if event == "peers.off"]
    assert codes == ["PORT_IN_USE", "LISTEN_FAILED", "RESOURCES_SHORT", "INTERNAL"]
    assert not replica.failed.done()


async def test_a_port_for_peers_that_cannot_be_served_yet_is_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else the next attempt would find its own number in use."""
    made: list[str] = []

    class OnePort:
        gate = SimpleNamespace(port=7)

        async def follow(self) -> None:
            made.append("follow")
            if len(made) == 1:
                raise StoreError("RESOURCES_SHORT", "no descriptor")

        async def close(self) -> None:
            made.append("close")

    monkeypatch.setattr(servers, "_peers", lambda *_: OnePort())
    runtime = SimpleNamespace(settings=SimpleNamespace(metrics_host=""))
    nothing: Any = SimpleNamespace(gate=SimpleNamespace(port=1))
    ports = Ports(runtime, None, nothing, nothing, nothing, nothing)  # type: ignore[arg-type]
    with pytest.raises(StoreError):
        await ports.open_to_peers(nothing, 7)
    assert (made, ports.peer_port) == (["follow", "close"], 0)
    await ports.open_to_peers(nothing, 7)
    await ports.open_to_peers(nothing, 7)
    assert (made, ports.peer_port) == (["follow", "close", "follow"], 7)
