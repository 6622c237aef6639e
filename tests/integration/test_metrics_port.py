"""The metrics port of a real node: one request a connection, bounded, the same as the call gives."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from intelshare.errors import ConfigError
from intelshare.metrics import Metric
from intelshare.node.metrics_port import LONGEST, MOST
from intelshare.node.settings_file import read_settings
from intelshare.services import SERVICES
from intelshare.services.rpc import QueryCall
from intelshare.wire.v1 import user_pb2 as pb
from node_world import Site, make_site
from waits import LIMIT

ROWS: Any = SERVICES["Bulletins"]


@pytest.fixture
def made(tmp_path: Path) -> Site:
    return make_site("FRA", tmp_path / "FRA", dial=False, metrics_host="127.0.0.1")


@pytest.fixture
async def site(made: Site) -> AsyncIterator[Site]:
    await made.start()
    yield made
    await made.stop()


async def ask(site: Site, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.running.ports.metrics.port)
    try:
        writer.write(request)
        return await asyncio.wait_for(reader.read(), 10)
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_a_collector_gets_what_the_operator_gets(site: Site) -> None:
    got = (await ask(site, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")).decode()
    head, _, body = got.partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4")
    assert f"Content-Length: {len(body)}" in head
    names = {line.split("{")[0].split(" ")[0] for line in body.splitlines() if not line.startswith("#")}
    async with site.client("o") as operator:
        answered = await operator.operations.Metrics(pb.MetricsRequest())
    assert {sample.name for sample in answered.samples} == names
    assert names <= {metric.value.name for metric in Metric}
    assert 'intelshare_health{code="CLOCK"} 0\n' in body
    assert "\nintelshare_serving 1\n" in body
    assert 'intelshare_log_lines_total{event="node.started",level="info"} 1\n' in body


async def test_other_requests_get_an_answer_and_no_figures(site: Site) -> None:
    assert b" 404 " in await ask(site, b"GET / HTTP/1.1\r\n\r\n")
    assert b" 405 " in await ask(site, b"POST /metrics HTTP/1.1\r\n\r\n")
    head = await ask(site, b"HEAD /metrics HTTP/1.1\r\n\r\n")
    assert head.endswith(b"\r\n\r\n")
    assert b"200 OK" in head
    assert await ask(site, b"G" * (2 * LONGEST) + b"\r\n\r\n") == b""


async def test_connections_are_bounded_and_a_stop_waits_for_none(site: Site) -> None:
    port = site.running.ports.metrics.port
    silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MOST)]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with suppress(ConnectionError):
        assert await asyncio.wait_for(reader.read(), 10) == b"", "one more is turned away"
    writer.close()
    for _, one in silent:
        one.close()


async def test_a_collector_gets_its_figures_while_users_ask_as_much_as_they_can(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A question that was cancelled runs on, so whoever asks and goes holds up others too."""
    asked, answer = threading.Semaphore(0), threading.Event()

    def long(*_: Any) -> pb.WithheldResponse:
        asked.release()
        answer.wait(LIMIT)
        return pb.WithheldResponse()

    row = ROWS["Withheld"]
    monkeypatch.setitem(ROWS, "Withheld", replace(row, run=QueryCall(long, slow=True)))
    await site.stop()
    await site.start()
    async with site.client("a") as client:
        users = [asyncio.ensure_future(client.bulletins.Withheld(pb.WithheldRequest())) for _ in range(8)]
        try:
            for _ in range(4):
                assert await asyncio.to_thread(asked.acquire, timeout=LIMIT)
            assert b"200 OK" in await ask(site, b"GET /metrics HTTP/1.1\r\n\r\n")
        finally:
            answer.set()
            await asyncio.gather(*users)


@pytest.mark.parametrize(
    "listen", ["0.0.0.0:9464", "node.example:9464", "127.0.0.1", "127.0.0.1:x", "[::]:1"]
)
def test_an_address_that_others_reach_is_refused(listen: str, tmp_path: Path) -> None:
    site = make_site("FRA", tmp_path / "FRA", dial=False)
    path = site.root / "node.toml"
    path.write_text(path.read_text().replace('# listen = "127.0.0.1:9464"', f'listen = "{listen}"'))
    with pytest.raises(ConfigError) as raised:
        read_settings(path)
    assert raised.value.code == "FIELD_RANGE"
    assert raised.value.place is not None
    assert raised.value.place.line
