"""Faults that one member has while the others must not notice, with real processes: F16, F31."""

from __future__ import annotations

import asyncio
import time

import grpc

from e2e.nodes import intelshare, log_of, ok, wait_until
from fault_world import SLACK, Member, Traffic, federation, machine, on_loop, quantile
from intelshare.wire.v1 import user_pb2 as pb
from intelshare.wire.v1 import user_pb2_grpc as services
from rot import rot

RATE = 10.0
"""Bulletins a second, each for both other members."""

PEACE = 15.0
"""Seconds that are compared with what follows."""

CUT = 5.0
"""Seconds after which a revoked certificate has lost its open streams."""


def rotten_beside(times: int) -> str:
    """F31: so many rotten records in turn at one recipient under load; another's p99 stays that of peace."""
    with federation(3) as world:
        traffic, (one, two) = Traffic(world.hub), world.others
        named = 0
        with traffic.flowing(world.others, RATE, each=2):
            time.sleep(5)  # caches and first contacts
            began = time.time()
            time.sleep(PEACE)
            rotting = time.time()
            for number in range(times):
                one.stop()
                before = log_of(one.folder).stat().st_size
                rot(one.folder / "intelshare.db", "received", number)
                one.start()
                wait_until(lambda: _mended(one), "what was damaged to be fetched again")
                wait_until(lambda at=before: one.logged("record.damaged", since=at), "the record to be named")
                named += 1
            over = time.time()
            slower = world.hub.starved
        peace, war = (
            quantile(traffic.took(*span, only=two.code), 0.99) for span in ((began, rotting), (rotting, over))
        )
        checked = world.check(traffic.ids())
    told = (
        f"{named} of {times} named; p99 of the other recipient {war * 1e3:.0f} ms, in peace "
        f"{peace * 1e3:.0f} ms; {checked}"
    )
    assert war <= 2 * peace + SLACK * slower, told
    return f"{told}; processor shared by {slower:.1f}, {machine()}"


def _mended(member: Member) -> bool:
    """Read every record again; whether all are whole."""
    words = ("node", "repair", "--scrub", "--fetch", "--folder", member.folder, "--json")
    return not intelshare(*words).json["records"]


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
