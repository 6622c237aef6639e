"""The floor: frames of the same sizes over mutual TLS and gRPC, SQLite FULL at both ends, and nothing else.

No signature, no encryption but TLS, no policy, no queue, no reading of what came: what gRPC and a durable row
at each end cost in Python. And a unary call that does nothing, to put latency beside.
"""

from __future__ import annotations

import asyncio
import datetime
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import apsw
import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bench.measured import Phase, Side
from bench.metered import BLOCK, Meter
from bench.nodes import PATIENCE, Failed, die_with_starter
from bench.processor import Used

BATCH = 64
"""Messages in a frame; a count must be a multiple of it."""

HEAD, MESSAGE, ANSWER, KEY = 4617, 3714, 48, 32
"""Bytes of a frame's own, of a release of 2 KiB in it, of an acknowledgement and of its key in the store."""

NAME = "floor.invalid"
_UNLIMITED = ("grpc.max_receive_message_length", -1)


@dataclass(frozen=True, slots=True)
class Pki:
    """One key and its self-signed certificate, PEM: both ends are it, and trust it alone."""

    key: bytes
    certificate: bytes


def make_pki() -> Pki:
    """P-256, valid for a day."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    built = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - day).not_valid_after(now + day)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = serialization.Encoding.PEM
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return Pki(key.private_bytes(pem, *plain), built.public_bytes(pem))


class _Database:
    """One thread that writes: a commit a call, counted."""

    def __init__(self, path: Path) -> None:
        self._connection = apsw.Connection(str(path))
        self._connection.pragma("journal_mode", "WAL")
        self._connection.pragma("synchronous", "FULL")
        self._connection.execute(
            "CREATE TABLE message (id BLOB PRIMARY KEY, data BLOB, acknowledged INTEGER)"
        )
        self._thread = ThreadPoolExecutor(1)
        self._commits = 0
        self._before = _used(), _written()

    async def write(self, sql: str, rows: list[tuple[Any, ...]]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._commit, sql, rows)

    def begin(self) -> None:
        """Count from here."""
        self._commits, self._before = 0, (_used(), _written())

    def side(self) -> Side:
        """What this process has spent since."""
        written = _written() - self._before[1]
        return Side(Used(_used() - self._before[0]), Meter(self._commits, self._commits, written), written)

    def _commit(self, sql: str, rows: list[tuple[Any, ...]]) -> None:
        with self._connection:
            self._connection.executemany(sql, rows)
        self._commits += 1


def _used() -> float:
    return time.process_time()


def _written() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_oublock * BLOCK


@contextmanager
def receiver(folder: Path, pki: Pki) -> Iterator[tuple[int, Connection]]:
    """The other end in a process of its own, ended in every case: its port, and the pipe to it."""
    spawn = multiprocessing.get_context("spawn")
    mine, theirs = spawn.Pipe()
    process = spawn.Process(target=_receiver, args=(folder, pki, theirs), daemon=True)
    process.start()
    try:
        yield _heard(mine), mine
    finally:
        process.kill()
        process.join()


def channel(port: int, pki: Pki) -> grpc.aio.Channel:
    """To a receiver."""
    credentials = grpc.ssl_channel_credentials(pki.certificate, pki.key, pki.certificate)
    options = (("grpc.default_authority", NAME), _UNLIMITED)
    return grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options=options)


def floor(count: int, in_flight: int, pki: Pki) -> Phase:
    """From the row at the sender to the acknowledged row at the receiver."""
    with tempfile.TemporaryDirectory(prefix="intelshare-bench-floor-") as place:
        folder = Path(place)
        with receiver(folder, pki) as (port, pipe):
            return asyncio.run(_send(folder, count - count % BATCH, in_flight, port, pipe, pki))


async def _send(folder: Path, count: int, in_flight: int, port: int, pipe: Connection, pki: Pki) -> Phase:
    database, room = _Database(folder / "sender.db"), asyncio.Semaphore(max(1, in_flight // BATCH))
    head, keys = os.urandom(HEAD), range(0, BATCH * KEY, KEY)
    async with channel(port, pki) as link:
        stream = link.stream_stream("/floor/Link")()

        async def listen() -> None:
            for _ in range(0, count, BATCH):
                answers = await stream.read()
                rows = [(answers[at : at + KEY],) for at in range(0, len(answers), ANSWER)]
                await database.write("UPDATE message SET acknowledged = 1 WHERE id = ?", rows)
                room.release()

        start = time.perf_counter()
        database.begin()
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
            tasks.create_task(listen())
            for _ in range(0, count, BATCH):
                await room.acquire()
                names = os.urandom(BATCH * KEY)
                messages = [names[at : at + KEY] + os.urandom(MESSAGE - KEY) for at in keys]
                rows = [(one[:KEY], one, 0) for one in messages]
                await database.write("INSERT INTO message VALUES (?, ?, ?)", rows)
                await stream.write(head + b"".join(messages))
        seconds = time.perf_counter() - start
        await stream.done_writing()
        pipe.send("how much?")
        return Phase(count, seconds, {"sender": database.side(), "recipient": _heard(pipe)})


def _heard(pipe: Connection) -> Any:
    if not pipe.poll(PATIENCE):
        raise Failed("the floor's receiver says nothing")
    return pipe.recv()


def _receiver(folder: Path, pki: Pki, pipe: Connection) -> None:
    die_with_starter()
    asyncio.run(_receive(folder, pki, pipe))


async def _receive(folder: Path, pki: Pki, pipe: Connection) -> None:
    database = _Database(folder / "receiver.db")

    async def link(_: object, context: Any) -> None:
        while (raw := await context.read()) is not grpc.aio.EOF:
            messages = [raw[at : at + MESSAGE] for at in range(HEAD, len(raw), MESSAGE)]
            rows = [(one[:KEY], one, 1) for one in messages]
            await database.write("INSERT INTO message VALUES (?, ?, ?)", rows)
            await context.write(b"".join(row[0] + bytes(ANSWER - KEY) for row in rows))

    async def echo(request: bytes, _: Any) -> bytes:
        return request

    server = grpc.aio.server(options=[_UNLIMITED])
    handlers = {
        "Link": grpc.stream_stream_rpc_method_handler(link),
        "Echo": grpc.unary_unary_rpc_method_handler(echo),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("floor", handlers),))
    credentials = grpc.ssl_server_credentials(
        [(pki.key, pki.certificate)], pki.certificate, require_client_auth=True
    )
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    database.begin()
    pipe.send(port)
    await asyncio.to_thread(pipe.recv)
    pipe.send(database.side())
    await server.stop(1)
