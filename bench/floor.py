"""The floor: frames of the same sizes over the same mutual TLS, SQLite FULL at both ends, and nothing else.

No signature, no encryption but TLS, no policy, no queue: what gRPC and a durable row at each end cost
in Python.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import apsw
import grpc

from intelshare.broker.kernel.frame import Ack, Carried, Frame
from intelshare.instant import Instant
from intelshare.wire import Acks, acks_message, frame_message, read_message

_METHOD = "/floor/Link"
_FRAME = 64


def floor(count: int, in_flight: int, pki: tuple[bytes, bytes, bytes, str]) -> float:
    """Messages per second from the row at the sender to the acknowledged row at the receiver."""
    spawn = multiprocessing.get_context("spawn")
    mine, theirs = spawn.Pipe()
    with tempfile.TemporaryDirectory() as folder:
        receiver = spawn.Process(target=_receiver, args=(Path(folder), pki, theirs), daemon=True)
        receiver.start()
        try:
            return asyncio.run(_send(Path(folder), count, in_flight, mine.recv(), pki))
        finally:
            mine.send(None)
            receiver.join(10)


def _database(path: Path) -> apsw.Connection:
    connection = apsw.Connection(str(path))
    connection.pragma("journal_mode", "WAL")
    connection.pragma("synchronous", "FULL")
    connection.execute("CREATE TABLE message (id BLOB PRIMARY KEY, data BLOB, acknowledged INTEGER) STRICT")
    return connection


class _Writer:
    """One thread that writes: a commit a call."""

    def __init__(self, path: Path) -> None:
        self._connection = _database(path)
        self._thread = ThreadPoolExecutor(1)

    async def write(self, sql: str, rows: list[tuple[Any, ...]]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._commit, sql, rows)

    def _commit(self, sql: str, rows: list[tuple[Any, ...]]) -> None:
        with self._connection:
            self._connection.executemany(sql, rows)


def _statement() -> Carried:
    return Carried(1, os.urandom(16), os.urandom(209), bytes(257), bytes(1040), (os.urandom(2192),))


async def _send(
    folder: Path, count: int, in_flight: int, port: int, pki: tuple[bytes, bytes, bytes, str]
) -> float:
    key, certificate, roots, dns = pki
    credentials = grpc.ssl_channel_credentials(roots, key, certificate)
    options = (("grpc.default_authority", dns), ("grpc.max_receive_message_length", -1))
    database = _Writer(folder / "sender.db")
    left = asyncio.Semaphore(in_flight)
    batch, sealed = os.urandom(3449), os.urandom(1168)
    async with grpc.aio.secure_channel(f"ipv4:127.0.0.1:{port}", credentials, options=options) as channel:
        stream = channel.stream_stream(_METHOD)()
        done = asyncio.Event()

        async def listen() -> None:
            acknowledged = 0
            while acknowledged < count:
                found = read_message(await stream.read())
                assert isinstance(found, Acks)
                rows = [(ack.digest,) for ack in found.acks]
                await database.write("UPDATE message SET acknowledged = 1 WHERE id = ?", rows)
                acknowledged += len(rows)
                for _ in rows:
                    left.release()
            done.set()

        start = time.perf_counter()
        listening = asyncio.create_task(listen())
        for _ in range(0, count, _FRAME):
            statements = []
            for _ in range(_FRAME):
                await left.acquire()
                statements.append(_statement())
            rows = [(one.nonce * 2, one.bodies[0] + one.grant + one.data, 0) for one in statements]
            await database.write("INSERT INTO message VALUES (?, ?, ?)", rows)
            await stream.write(frame_message(Frame(batch, sealed, tuple(statements))))
        await done.wait()
        took = time.perf_counter() - start
        listening.cancel()
    return count / took


def _receiver(folder: Path, pki: tuple[bytes, bytes, bytes, str], pipe: Connection) -> None:
    asyncio.run(_receive(folder, pki, pipe))


async def _receive(folder: Path, pki: tuple[bytes, bytes, bytes, str], pipe: Connection) -> None:
    key, certificate, roots, _ = pki
    database = _Writer(folder / "receiver.db")

    async def link(_: object, context: Any) -> None:
        while (raw := await context.read()) is not grpc.aio.EOF:
            frame = read_message(raw)
            assert isinstance(frame, Frame)
            rows = [(one.nonce * 2, one.bodies[0] + one.grant + one.data, 1) for one in frame.statements]
            await database.write("INSERT INTO message VALUES (?, ?, ?)", rows)
            acks = [Ack(row[0], "", Instant(0)) for row in rows]
            await context.write(acks_message(acks, Instant(1)))

    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
    handler = grpc.stream_stream_rpc_method_handler(link)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("floor", {"Link": handler}),))
    credentials = grpc.ssl_server_credentials([(key, certificate)], roots, require_client_auth=True)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    pipe.send(port)
    await asyncio.to_thread(pipe.recv)
    await server.stop(1)
