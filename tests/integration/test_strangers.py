"""Strangers at the ports of a real node, and a member whose authority shuts out nobody but itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.nodes import PROGRAM, ok, serves_as, wait_until
from hostile_authorities import SPOILT
from intelshare.crypto.codec import encode
from intelshare.crypto.records import Trust
from intelshare.crypto.suites import SUITES
from intelshare.engine import ConnectionLimits, Reason
from intelshare.instant import SECOND
from intelshare.node.renewal import directory_signer
from intelshare.trust import TrustView, renew_directory, write_member_file
from intelshare.wire.v1 import user_pb2 as pb
from node_world import Site, introduce, make_site, until
from processes import clean_environment, finished, process

PORTS = ("user_port", "peer_port")


@contextlib.contextmanager
def silent(port: int, count: int) -> Iterator[list[socket.socket]]:
    """So many connections that send nothing, as far as they are taken."""
    with contextlib.ExitStack() as held:
        opened = []
        for _ in range(count):
            with contextlib.suppress(OSError):
                opened.append(held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=0.5)))
        yield opened


async def status(site: Site) -> pb.StatusResponse:
    async with site.client("o") as client:
        found: pb.StatusResponse = await client.operations.Status(pb.StatusRequest())
        return found


@pytest.fixture
async def fra(tmp_path: Path) -> AsyncIterator[Site]:
    limits = ConnectionLimits(connections=24, unknown=12, of_address=20, prove=SECOND)
    site = await asyncio.to_thread(make_site, "FRA", tmp_path / "FRA", connections=limits)
    await site.start()
    yield site
    await site.stop()


@pytest.mark.parametrize("port", PORTS)
async def test_silent_strangers_have_their_slots_for_a_second_and_members_are_served(
    fra: Site, port: str
) -> None:
    gate = getattr(fra.running.ports, port.removesuffix("_port") + "s").gate
    with silent(getattr(fra.running, port), 40):
        await until_true(lambda: sum(gate.connections.ended.values()) >= 20)
        assert gate.connections.open <= 20
        found = await status(fra)
        assert found.health == "SERVING"
        shown = next(row for row in found.ports if row.name == port)
        assert (shown.most, shown.unknown <= 12) == (24, True)
        await until_true(lambda: gate.connections.unknown == 0)
    assert gate.connections.ended[Reason.UNPROVED] > 0


async def test_what_is_no_tls_ends_at_once_and_half_a_handshake_when_its_time_is_over(fra: Site) -> None:
    connections = fra.running.ports.users.gate.connections
    reader, writer = await asyncio.open_connection("127.0.0.1", fra.running.user_port)
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    assert await reader.read() == b""
    writer.close()
    assert connections.ended == {Reason.NO_TLS: 1}
    reader, writer = await asyncio.open_connection("127.0.0.1", fra.running.user_port)
    writer.write(b"\x16\x03\x01\x02")
    assert await reader.read() == b""
    writer.close()
    assert connections.ended[Reason.UNPROVED] == 1


async def test_a_call_goes_on_beyond_the_time_to_prove(fra: Site) -> None:
    async with fra.client("a") as client:
        watch = client.bulletins.Watch(pb.WatchRequest())
        await watch.read()
        await asyncio.sleep(2.5)
        await client.bulletins.WhoAmI(pb.WhoAmIRequest())
        assert fra.running.ports.users.gate.connections.open == 1
        watch.cancel()


async def until_true(condition: Any) -> None:
    """They are looked at once a second, and nothing is written when it does."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("port", PORTS)
def test_many_connections_cut_short_do_not_end_the_process(tmp_path: Path, port: str) -> None:
    """Finding S1: with certificates that gRPC asks for at each handshake 9 of 9 nodes died within 8 s."""
    ok("init", "FRA", tmp_path / "fra", "--dev")
    with (
        (tmp_path / "log").open("wb") as log,
        process([*PROGRAM, "node", "run", "--dev", "--folder", tmp_path / "fra"], stderr=log) as node,
    ):
        wait_until(lambda: serves_as(tmp_path / "fra", node), "FRA to serve")
        number = json.loads((tmp_path / "fra" / "run.json").read_text())[port]
        end = time.monotonic() + 5
        while time.monotonic() < end:
            with silent(number, 120):
                time.sleep(0.05)
        assert node.poll() is None
        ok("node", "status", "--folder", tmp_path / "fra")


def test_a_node_with_few_descriptors_keeps_some_back_and_outlasts_a_crowd(tmp_path: Path) -> None:
    """Finding S2: 300 idle connections under a limit of 256 open files."""
    ok("init", "FRA", tmp_path / "fra", "--dev")
    few = ["prlimit", "--nofile=256:256", *PROGRAM, "node", "run", "--dev", "--folder", tmp_path / "fra"]
    with (tmp_path / "log").open("wb") as log, process(few, stderr=log) as node:
        wait_until(lambda: serves_as(tmp_path / "fra", node), "FRA to serve")
        number = json.loads((tmp_path / "fra" / "run.json").read_text())["peer_port"]
        with silent(number, 300):
            time.sleep(3)
            assert node.poll() is None
            assert ok("node", "status", "--folder", tmp_path / "fra", "--json").json["health"] == "SERVING"
        assert len(list(Path(f"/proc/{node.pid}/fd").iterdir())) < 256
    assert b"policy.failed" not in (tmp_path / "log").read_bytes()


def test_too_few_descriptors_are_said_at_the_start(tmp_path: Path) -> None:
    ok("init", "FRA", tmp_path / "fra", "--dev")
    few = ["prlimit", "--nofile=100:100", *PROGRAM, "node", "run", "--dev", "--folder", tmp_path / "fra"]
    done = finished(few, env=clean_environment())
    assert done.code != 0
    assert "error[RESOURCES_SHORT]" in done.err


@pytest.mark.parametrize("code", ["ARE", "GBR", "USA"], ids=["before all", "between", "after all"])
async def test_an_authority_that_the_tls_library_cannot_read_shuts_out_its_own_member_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    """Findings S3 and S4, with a directory that got past admission."""
    sites = [await asyncio.to_thread(make_site, one, tmp_path / one) for one in ("FRA", "KEN", code)]
    fra, ken, hostile = sites
    with monkeypatch.context() as admission:
        admission.setattr("intelshare.trust.documents.is_authority", lambda _: True)
        try:
            for site in sites:
                await site.start()
            await until(lambda: fra.running.runtime.health.word == "SERVING", "FRA to serve")
            text = _member_file_with_a_spoilt_authority(hostile)
            async with hostile.client("o") as client:
                print_ = (await client.operations.ExportMember(pb.ExportMemberRequest())).fingerprint
            async with fra.client("o") as client:
                await client.operations.ImportMember(pb.ImportMemberRequest(text=text, fingerprint=print_))
            await introduce(fra, ken)
            await until(lambda: "KEN" in fra.running.links.engine.linked, "KEN to be linked")
            await fra.stop()
            await fra.start()
            await until(lambda: "KEN" in fra.running.links.engine.linked, "KEN to be linked again")
            found = await status(fra)
            assert (list(found.shut_out), found.health) == ([code], "SERVING")
            assert "trust.shut_out" in fra.log.getvalue()
        finally:
            for site in sites:
                await site.stop()


def _member_file_with_a_spoilt_authority(site: Site) -> str:
    runtime = site.running.runtime
    held = runtime.node.trust.members[runtime.node.member]
    assert held.directory is not None
    signed = renew_directory(
        held.directory,
        directory_signer(runtime),
        runtime.now(),
        authorities=(
            SPOILT["a name that is not UTF-8"](site.founded.node_authority),
            *held.directory.authorities,
        ),
    )
    documents = [encode(Trust, trust) for trust in (*held.roots, signed)]
    return write_member_file(
        TrustView.load(runtime.node.member, documents, SUITES).members[runtime.node.member]
    )
