"""NATS JetStream through nats-py: publisher and consumer in two processes, file storage, all acked."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import time
from multiprocessing.connection import Connection

ADDRESS = ("127.0.0.1", 4222)
_URL = "nats://{}:{}".format(*ADDRESS)


def jetstream(count: int, size: int, in_flight: int) -> tuple[float, str] | None:
    """Messages per second from publish to the consumer's acknowledgement, and the server's version.

    None: there is no server.
    """
    try:
        return asyncio.run(_measure(count, size, in_flight))
    except (ImportError, OSError, TimeoutError):
        return None


async def _measure(count: int, size: int, in_flight: int) -> tuple[float, str]:
    import nats
    from nats.js.api import StorageType, StreamConfig

    # nats-py tries again and again where nobody listens; a socket says so at once.
    _, probe = await asyncio.wait_for(asyncio.open_connection(*ADDRESS), 2)
    probe.close()
    client = await nats.connect(_URL)
    name = f"BENCH{os.getpid()}"
    stream = client.jetstream(timeout=30, publish_async_max_pending=in_flight)
    await stream.add_stream(StreamConfig(name, subjects=[name], storage=StorageType.FILE, num_replicas=1))
    spawn = multiprocessing.get_context("spawn")
    mine, theirs = spawn.Pipe()
    consumer = spawn.Process(target=_consumer, args=(name, count, theirs), daemon=True)
    try:
        consumer.start()
        await asyncio.to_thread(mine.recv)
        payload = os.urandom(size)
        left = iter(range(count))

        async def publish() -> None:
            for _ in left:
                await stream.publish(name, payload)

        start = time.perf_counter()
        await asyncio.gather(*[publish() for _ in range(in_flight)])
        await asyncio.to_thread(mine.recv)
        return count / (time.perf_counter() - start), str(client.connected_server_version).removeprefix(
            "<nats server v"
        ).rstrip(">")
    finally:
        await stream.delete_stream(name)
        await client.close()
        consumer.terminate()


def _consumer(name: str, count: int, pipe: Connection) -> None:
    asyncio.run(_consume(name, count, pipe))


async def _consume(name: str, count: int, pipe: Connection) -> None:
    import nats

    client = await nats.connect(_URL)
    pulled = await client.jetstream().pull_subscribe(name, "bench")
    pipe.send("ready")
    seen = 0
    while seen < count:
        for message in await pulled.fetch(256, timeout=30):
            await message.ack()
            seen += 1
    await client.flush()
    pipe.send("done")
    await client.close()
