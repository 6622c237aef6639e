"""``make siege``: strangers and a hostile member attack a node while two honest members exchange bulletins.

    PYTHONPATH=tests:. python tests/siege.py [--minutes 10] [--rate 4] [--seed 1] [--slack 0.25]

FRA, USA and KEN run on loopback as the processes that they are. First FRA sends to USA in peace. Then
strangers take all they can get of both ports of FRA (silent sockets, garbage, handshakes of a byte a second,
TLS without a certificate, connections that come and go), and KEN's keys flood FRA with all that an admitted
member can say, while FRA goes on sending. It ends with 1 if a node has ended, a bulletin was lost or arrived
twice, or a figure is outside its bound. Everything is drawn from the seed and bounded; nothing leaves this
machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.load import FLASH, ROUTINE, Load, load
from bench.nodes import Failed, Node, federation
from bench.processor import resident

HOSTILE = Path(__file__).with_name("hostile_member.py")

SOCKETS = 96
"""Connections that strangers hold or try at once, at each port."""

LOG, DISK, MEMORY = 4 << 20, 256 << 20, 192 << 20
"""Bytes by which FRA's log, data folder and memory may grow while it is attacked, in ten minutes or less."""

SLOWER = 2.0
"""How many times as long the slowest of a hundred bulletins may take as in peace..."""

SLACK = 0.25
"""... and so many seconds more: in peace it takes few milliseconds, and the attackers share its two cores."""


@dataclass(frozen=True)
class Traffic:
    """What honest members did: second of each submission by bulletin, and of its receipt."""

    sent: dict[bytes, float] = field(default_factory=dict)
    answered: dict[bytes, float] = field(default_factory=dict)

    def quantile(self, share: float) -> float:
        """Seconds from submission to receipt of this share of them."""
        took = sorted(self.answered[one] - at for one, at in self.sent.items() if one in self.answered)
        return took[min(len(took) - 1, int(share * len(took)))] if took else float("inf")


@dataclass(frozen=True)
class Size:
    """Bytes of FRA: its log, its data folder, its memory."""

    log: int
    disk: int
    memory: int


def size_of(node: Node) -> Size:
    """How large a running node is."""
    disk = 0
    for path in node.folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            disk += path.stat().st_size if path.is_file() else 0
    return Size(node.folder.with_name(f"{node.code}.log").stat().st_size, disk, resident(node.pid))


async def exchange(sender: Load, seconds: float, rate: float, dice: random.Random) -> Traffic:
    """Send alone, one bulletin after the other at this rate, every eighth FLASH; wait for all receipts."""
    mark, traffic, end = await sender.mark(), Traffic(), time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.time()
        traffic.sent[await sender.one(FLASH if dice.random() < 1 / 8 else ROUTINE)] = began
        await asyncio.sleep(max(0.0, dice.expovariate(rate)))
    for at, bulletin in await sender.receipts(mark, len(traffic.sent)):
        traffic.answered[bulletin] = at
    return traffic


async def arrivals(recipient: Load, mark: str) -> Counter[bytes]:
    """How often each bulletin arrived at the recipient after a mark."""
    from intelshare.wire.v1 import user_pb2 as pb

    watched = recipient.bulletins.Watch(pb.WatchRequest(cursor=mark, once=True))
    return Counter([bytes(event.bulletin) async for event in watched if event.what == "received"])


# Strangers: each opens a connection and does something with it until it is cut off.


async def _silent(
    _: int, __: random.Random, writer: asyncio.StreamWriter, reader: asyncio.StreamReader
) -> None:
    await reader.read()


async def _garbage(
    _: int, dice: random.Random, writer: asyncio.StreamWriter, reader: asyncio.StreamReader
) -> None:
    writer.write(dice.randbytes(dice.randrange(1, 4096)))
    await reader.read()


async def _plain(
    _: int, __: random.Random, writer: asyncio.StreamWriter, reader: asyncio.StreamReader
) -> None:
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9))
    await reader.read()


async def _slow(
    _: int, dice: random.Random, writer: asyncio.StreamWriter, reader: asyncio.StreamReader
) -> None:
    hello = ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), hello).do_handshake()
    for byte in hello.read():
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(1.0)
    await reader.read()


async def _leaves(_: int, __: random.Random, writer: asyncio.StreamWriter, ___: asyncio.StreamReader) -> None:
    writer.transport.abort()


async def _nobody(
    port: int, _: random.Random, writer: asyncio.StreamWriter, ___: asyncio.StreamReader
) -> None:
    writer.close()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    reader, over = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    over.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9))
    await reader.read()
    over.close()


Stranger = Callable[
    [int, random.Random, asyncio.StreamWriter, asyncio.StreamReader], Awaitable[None]
]  # fmt: skip

STRANGERS: tuple[Stranger, ...] = (_silent, _garbage, _plain, _slow, _leaves, _nobody)


async def _stranger(port: int, dice: random.Random, tried: Counter[str]) -> None:
    """One after the other, each for at most a quarter of a minute."""
    while True:
        what = dice.choice(STRANGERS)
        tried[what.__name__] += 1
        with contextlib.suppress(OSError, TimeoutError, ssl.SSLError):
            async with asyncio.timeout(15):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                try:
                    await what(port, dice, writer, reader)
                finally:
                    writer.close()
        await asyncio.sleep(dice.uniform(0.2, 1.0))


async def strangers(ports: list[int], seconds: float, seed: int) -> None:
    """All strangers for so long; a line of JSON says how often each kind came."""
    tried: Counter[str] = Counter()
    tasks = [
        asyncio.create_task(_stranger(port, random.Random(f"{seed} {port} {number}"), tried))
        for port in ports
        for number in range(SOCKETS)
    ]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    print(json.dumps(dict(tried)), flush=True)


@contextlib.asynccontextmanager
async def attacked(fra: Node, ken: Node, seconds: float, seed: int) -> AsyncIterator[list[str]]:
    """Strangers and KEN's keys against FRA for so long; what they said of it in the end."""
    running = json.loads((fra.folder / "run.json").read_bytes())
    ports = [str(running[name]) for name in ("peer_port", "user_port")]
    said: list[str] = []
    kinds = 17
    commands = (
        [__file__, "--strangers", *ports, "--seconds", str(seconds), "--seed", str(seed)],
        [str(HOSTILE), str(ken.folder), "FRA", ports[0], str(max(0.2, seconds / (kinds + 1)))],
    )
    started = [
        await asyncio.create_subprocess_exec(
            sys.executable, *command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
        for command in commands
    ]
    try:
        yield said
        for one in started:
            out, err = await asyncio.wait_for(one.communicate(), seconds + 120)
            said += out.decode().splitlines()
            if one.returncode:
                raise Failed(f"an attacker ended with {one.returncode}: {err.decode()[-2000:]}")
    finally:
        for one in started:
            if one.returncode is None:
                os.killpg(one.pid, signal.SIGKILL)
                await one.wait()


async def siege(nodes: list[Node], seconds: float, rate: float, seed: int, slack: float) -> list[str]:
    """Peace, then the attack; what is outside its bound, a line each."""
    fra, usa, ken = nodes
    dice = random.Random(seed)
    async with load(fra) as sender, load(usa) as recipient:
        await sender.linked()
        mark = await recipient.mark()
        peace = await exchange(sender, max(10.0, seconds / 6), rate, dice)
        await asyncio.to_thread(ken.stop)
        before = size_of(fra)
        async with attacked(fra, ken, seconds, seed) as said:
            war = await exchange(sender, seconds, rate, dice)
        after = size_of(fra)
        arrived = await arrivals(recipient, mark)
        # KEN behaves again, and is served.
        await asyncio.to_thread(ken.start)
        await sender.linked()
    for line in said:
        print(line)
    return judged(peace, war, arrived, before, after, slack)


def judged(
    peace: Traffic, war: Traffic, arrived: Counter[bytes], before: Size, after: Size, slack: float = SLACK
) -> list[str]:
    """Print what was measured; what is outside its bound."""
    sent = peace.sent | war.sent
    lost = sum(bulletin not in arrived for bulletin in sent)
    doubled = sum(arrived[bulletin] > 1 for bulletin in sent)
    calm, attack = peace.quantile(0.99), war.quantile(0.99)
    rows = [
        ("bulletins lost", lost, 0),
        ("bulletins that arrived twice", doubled, 0),
        ("p99 of submit to receipt, ms", attack * 1e3, (calm * SLOWER + slack) * 1e3),
        ("log has grown by, KiB", (after.log - before.log) / 1024, LOG / 1024),
        ("data folder has grown by, MiB", (after.disk - before.disk) / (1 << 20), DISK / (1 << 20)),
        ("memory has grown by, MiB", (after.memory - before.memory) / (1 << 20), MEMORY / (1 << 20)),
    ]
    print(
        f"{len(peace.sent)} bulletins in peace, p50 {peace.quantile(0.5) * 1e3:.0f} ms, p99 {calm * 1e3:.0f}"
    )
    print(f"{len(war.sent)} under attack, p50 {war.quantile(0.5) * 1e3:.0f} ms, p99 {attack * 1e3:.0f}")
    for what, value, bound in rows:
        print(f"{what:<36}{value:>12.1f}  at most {bound:.1f}")
    return [what for what, value, bound in rows if value > bound]


def main() -> int:
    """The command; the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=4.0, help="honest bulletins a second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--slack", type=float, default=SLACK, help="seconds beyond twice the p99 of peace")
    parser.add_argument("--strangers", nargs=2, type=int, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.strangers:
        socket.setdefaulttimeout(15)
        asyncio.run(strangers(given.strangers, given.seconds, given.seed))
        return 0
    try:
        with federation(("FRA", "USA", "KEN")) as nodes:
            wrong = asyncio.run(siege(nodes, given.minutes * 60, given.rate, given.seed, given.slack))
            ended = [node.code for node in nodes if node.process is None or node.process.poll() is not None]
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    for code in ended:
        print(f"THE NODE OF {code} HAS ENDED", file=sys.stderr)
    for what in wrong:
        print(f"OUTSIDE ITS BOUND: {what}", file=sys.stderr)
    return 1 if wrong or ended else 0


if __name__ == "__main__":
    sys.exit(main())
