"""Certificates that are renewed and revoked under real nodes with bulletins on the way (F16)."""

from __future__ import annotations

import asyncio
import time

import grpc

from e2e.nodes import ok, wait_until
from fault_world import Member, Traffic, federation, machine, on_loop
from intelshare.wire.v1 import user_pb2 as pb
from intelshare.wire.v1 import user_pb2_grpc as services

RATE = 10.0
"""Bulletins a second, each for both other members."""

CUT = 5.0
"""Seconds after which a revoked certificate has lost its open streams."""


def certified(times: int) -> str:
    """F16: under load the node's certificate is renewed and the one before revoked, so often; then a user's
    certificate is revoked, whose open stream ends.
    """
    with federation(3) as world:
        traffic, hub = Traffic(world.hub), world.hub
        with traffic.flowing(world.others, RATE, each=2):
            pid = hub.pid
            for _ in range(times):
                ok("pki", "renew", "--folder", hub.folder)
                serial = _shown(hub)
                ok("pki", "revoke", serial, "--reason", "a drill", "--yes", "--folder", hub.folder)
                wait_until(lambda old=serial: _shown(hub) != old, "another certificate")
                world.linked()
            cut, code = on_loop(_cut(hub, "rel"))
            assert hub.pid == pid
            slower = hub.starved
        checked = world.check(traffic.ids())
    told = f"{times} renewals and revocations; a user's stream ended after {cut:.1f} s with {code}; {checked}"
    assert cut <= CUT * slower, told
    assert code == "NOT_AUTHORISED", told
    return f"{told}; processor shared by {slower:.1f}, {machine()}"


def _shown(hub: Member) -> str:
    """The serial number of the certificate that the node shows."""
    found = ok("pki", "show", "--folder", hub.folder, "--json").json["certificates"]
    (serial,) = (one["serial"] for one in found if one["use"] == "node" and one["state"] == "counts")
    return str(serial)


async def _cut(hub: Member, user: str) -> tuple[float, str]:
    """Seconds from the revocation of a user's certificate to the end of its open stream, and its code."""
    async with hub.channel(user) as line:
        stream = services.BulletinsStub(line).Watch(pb.WatchRequest())
        reading = asyncio.create_task(_drained(stream))
        await asyncio.sleep(1)
        words = ("pki", "revoke", "--user", user, "--reason", "a drill", "--yes", "--folder", hub.folder)
        await asyncio.to_thread(ok, *words)
        began = time.monotonic()
        code = await reading
        return time.monotonic() - began, code


async def _drained(stream: grpc.aio.UnaryStreamCall) -> str:
    """Read a stream to its end; the code that it ended with."""
    try:
        async for _ in stream:
            pass
    except grpc.aio.AioRpcError as error:
        return str(dict(error.trailing_metadata() or ()).get("intelshare-code", error.code().name))
    return ""
