"""A member with genuine keys that floods another one: a program of its own, so that it takes no node's loop.

    python tests/hostile_member.py FOLDER PEER PORT SECONDS

FOLDER is the data folder of the hostile member, whose node does not run; PEER the member that it floods, at
127.0.0.1:PORT. Each kind of flood gets so many seconds; then a line of JSON says how much was sent, what it
was answered, and with which code links ended. Bounded: one link at a time, loopback only.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final

import grpc

from intelshare.audit.path import LogAsk
from intelshare.broker.kernel.frame import Acks, Carried, Frame, Gap
from intelshare.broker.line.hello import make_hello
from intelshare.crypto.codec import encode
from intelshare.crypto.records import (
    Act,
    Checkpoint,
    Consent,
    Kind,
    Recall,
    Receipt,
    ReceiptStatus,
    Release,
    StreamHead,
    TreatyAct,
)
from intelshare.crypto.x509 import inspect, to_pem
from intelshare.ids import Digest, MemberCode
from intelshare.instant import NEVER, Instant
from intelshare.node.dial import METHOD
from intelshare.node.events import make_logger
from intelshare.node.open_folder import open_folder
from intelshare.node.renewal import directory_signer
from intelshare.statement import Leaf, sign_batch
from intelshare.trust import (
    Channel,
    DirectoriesHeld,
    DirectoryHeld,
    check_answer,
    confirm_hello,
    open_hello,
    renew_directory,
)
from intelshare.vault import NODE_LEAF
from intelshare.wire import MAX_MESSAGE, frame_message, hello_message, link_message, read_message
from intelshare.wire.v1 import peer_pb2 as pb

ENDED: Final = (
    grpc.aio.AioRpcError,
    grpc.aio.UsageError,
    asyncio.InvalidStateError,
    asyncio.CancelledError,
    TimeoutError,
    EOFError,
)
"""What a link that the other side has ended, or does not read from, raises."""
PASSPHRASE: Final = b"a passphrase for tests"
"""Of folders that tests make; that of a development folder lies in it."""
TRAILER: Final = "intelshare-code"


LEAST = {"garbage": 40, "gaps": 80, "log asks": 240}
"""Messages of a flood that spend its budget in ``test_hostile_member`` twice over; of any other, ``FEW``."""

FEW = 16


def now() -> Instant:
    return Instant(time.time_ns() // 1000)


def passphrase_of(root: Path) -> bytes:
    """What opens the vault of a folder."""
    file = root / "passphrase"
    return file.read_bytes().strip() if file.is_file() else PASSPHRASE


class Hostile:
    """The member's keys, and a link that says what it likes."""

    def __init__(self, root: Path, peer: str, port: int) -> None:
        log = make_logger(io.StringIO())
        self.runtime, self.locked = open_folder(
            root, partial(passphrase_of, root), log, accept_loss=True, development=True
        )
        self.node = self.runtime.node
        self.peer, self.port = MemberCode(peer), port
        self.theirs = self.node.trust.members[self.peer].directory.nodes[0]  # type: ignore[union-attr]
        self.answers: Counter[str] = Counter()
        self.ends: Counter[str] = Counter()
        self.sent = 0
        self.directory = self.node.trust.members[self.node.member].directory

    @asynccontextmanager
    async def link(self, **said: Any) -> AsyncIterator[Any]:
        """A stream after its hello; what it is answered is counted."""
        leaf, trust = self.runtime.vault.certified(NODE_LEAF), self.node.trust
        credentials = grpc.ssl_channel_credentials(
            to_pem(trust.authorities(self.peer)), leaf.key, to_pem((leaf.certificate,))
        )
        options = [
            ("grpc.default_authority", self.theirs.dns),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.max_send_message_length", -1),
        ]
        channel = grpc.aio.secure_channel(f"ipv4:127.0.0.1:{self.port}", credentials, options=options)
        call = channel.stream_stream(METHOD)()
        reading = None
        try:
            opening, nonce = open_hello(os.urandom)
            await call.write(hello_message(opening))
            bound = Channel(self.node.uri, self.theirs.uri, inspect(leaf.certificate).digest)
            raw = await call.read()
            if raw is grpc.aio.EOF:
                raise EOFError
            answer = read_message(raw).payload  # type: ignore[union-attr]
            _, pending = check_answer(answer, bound, nonce, now(), view=trust)
            signer = self.runtime.vault.signer(trust.hello_key(self.node.uri, self.peer, now()))
            view = self.runtime.store.ask_now(lambda view: make_hello(self.node, view, self.peer, now()))
            await call.write(hello_message(confirm_hello(pending, signer, replace(view, **said))))
            reading = asyncio.create_task(self._read(call))
            yield call
            await asyncio.sleep(0.2)  # for the answers
        finally:
            if reading is not None:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
            await self._ended(call)
            await channel.close()

    async def _read(self, call: Any) -> None:
        while (raw := await call.read()) is not grpc.aio.EOF:
            message = read_message(raw)
            if isinstance(message, Acks):
                self.answers.update(ack.code or "taken" for ack in message.acks)

    async def _ended(self, call: Any) -> None:
        if call.done():
            with suppress(grpc.aio.AioRpcError, asyncio.CancelledError):
                found = dict(await call.trailing_metadata() or ())
                self.ends[str(found.get(TRAILER, ""))] += 1
        call.cancel()

    async def flood(self, messages: Iterator[bytes], seconds: float, least: int = 0, **said: Any) -> None:
        """Write these as fast as they go, over as many links as are opened one after the other.

        ``least``: so many at least, however long that takes on a slow machine; and until the other side has
        said something, for ten times as long at most.
        """
        end = time.monotonic() + seconds

        def left() -> float:
            now = time.monotonic()
            unheard = not self.answers and not self.ends and now < end + 9 * seconds
            return max(end - now, seconds if self.sent < least or unheard else 0)

        while left() > 0:
            with suppress(*ENDED):
                async with self.link(**said) as call:
                    while left() > 0:
                        # A peer that does not read holds the writer: that is its good right.
                        await asyncio.wait_for(call.write(next(messages)), left() + 0.1)
                        self.sent += 1

    def frames(self, kind: Kind, record: Callable[[], Any], many: int = 256) -> Iterator[bytes]:
        """Frames of genuine statements."""
        while True:
            made = [record() for _ in range(many)]
            leaves = [Leaf(kind, os.urandom(16), encode(type(one), one)) for one in made]
            signed = sign_batch(leaves, self.node.signer, now(), os.urandom)
            carried = tuple(Carried(one.kind, one.nonce, one.data, one.proof) for one in signed.statements)
            yield frame_message(Frame(signed.batch, b"", carried))

    def directories(self) -> Iterator[bytes]:
        """The next directory, and the next."""
        signer = directory_signer(self.runtime)
        while True:
            assert self.directory is not None
            signed = renew_directory(self.directory, signer, now())
            self.directory = replace(self.directory, version=self.directory.version + 1)
            yield next(self.frames(Kind.TRUST, partial(replace, signed), 1))


def floods(hostile: Hostile) -> dict[str, Iterator[bytes]]:
    """Each kind of flood, by name: endless messages."""
    to, uri, own, incarnation = hostile.peer, hostile.node.uri, hostile.node.member, hostile.node.incarnation
    number, draw, zeros = count(2).__next__, partial(os.urandom, 32), bytes(32)
    kind = hostile.frames
    held = DirectoriesHeld((DirectoryHeld(to, 1, Digest(zeros)),) * 1024)
    asked = LogAsk(hostile.theirs.uri, 1, 1, 1, 2)  # type: ignore[arg-type]
    return {
        "garbage": forever(partial(os.urandom, 2000)),
        "too large": forever(partial(bytes, MAX_MESSAGE + 1)),
        "huge times": forever(partial(acks, 2**64 - 1, "")),
        "junk": forever(junk),
        "forged": forever(spoilt(kind(Kind.RECALL, lambda: Recall(to, draw(), "")))),
        "acks": forever(lambda: acks(now(), "")),
        "acks with codes": forever(lambda: acks(now(), "X" * 1000)),
        "recalls": kind(Kind.RECALL, lambda: Recall(to, draw(), "why")),
        "one recall": kind(Kind.RECALL, lambda: Recall(to, zeros, str(number()))),
        "receipts": kind(Kind.RECEIPT, lambda: Receipt(to, draw(), ReceiptStatus.READ, (), now())),
        "releases": kind(
            Kind.RELEASE,
            lambda: Release(uri, incarnation, to, number(), zeros, 4, NEVER, zeros, zeros, zeros),
        ),
        "heads": kind(
            Kind.STREAM_HEAD, lambda: StreamHead(to, int.from_bytes(os.urandom(8)), 0, 0, zeros, ())
        ),
        "acts": kind(
            Kind.TREATY_ACT,
            lambda: TreatyAct(own, number(), draw(), "demo-climate", zeros, Act.GIVE_NOTICE, now(), ()),
        ),
        "consents": kind(Kind.CONSENT, lambda: Consent(to, draw(), (1,), own, NEVER)),
        "checkpoints": kind(
            Kind.CHECKPOINT, lambda: Checkpoint(uri, incarnation, number(), draw(), ()), 16
        ),
        "directories": hostile.directories(),
        "gaps": forever(lambda: link_message(Gap(hostile.theirs.uri, 1, ((1, 2**63 - 1),)), now())),
        "log asks": forever(lambda: link_message(asked, now())),
        "directories held": forever(lambda: link_message(held, now())),
    }  # fmt: skip


def forever(make: Callable[[], bytes]) -> Iterator[bytes]:
    while True:
        yield make()


def acks(at: int, code: str) -> bytes:
    told = [pb.Ack(digest=os.urandom(32), code=code) for _ in range(256)]
    return pb.LinkMessage(acks=pb.Acks(time=at, acks=told)).SerializeToString()


def junk() -> bytes:
    one = Carried(int(Kind.RELEASE), os.urandom(16), os.urandom(64), bytes(257))
    return frame_message(Frame(os.urandom(64), b"", (one,) * 200))


def spoilt(frames: Iterator[bytes]) -> Callable[[], bytes]:
    """One of these frames, its signature wrong."""
    parsed = pb.LinkMessage.FromString(next(frames))
    batch = bytearray(parsed.frame.batch)
    batch[-1] ^= 1
    parsed.frame.batch = bytes(batch)
    return parsed.SerializeToString


async def main(root: Path, peer: str, port: int, seconds: float) -> None:
    hostile = Hostile(root, peer, port)
    try:
        for name, messages in floods(hostile).items():
            hostile.answers.clear()
            hostile.ends.clear()
            hostile.sent = 0
            await hostile.flood(messages, seconds, LEAST.get(name, FEW))
            told = {"answers": dict(hostile.answers), "ends": dict(hostile.ends), "sent": hostile.sent}
            print(json.dumps({"flood": name, **told}), flush=True)
        hostile.ends.clear()
        end, links = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            links += 1
            with suppress(*ENDED):
                async with hostile.link():
                    pass
        told = {"answers": {}, "ends": dict(hostile.ends), "sent": links}
        print(json.dumps({"flood": "links", **told}), flush=True)
    finally:
        hostile.runtime.close()
        hostile.locked.release()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
