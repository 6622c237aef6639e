"""Members around a hub, each a real process, under load: the world of the faults of load, lines and memory.

The hub sends; the others receive. The load runs in a thread of its own, so that a run reads as what it does
to the nodes. Every run ends in ``Federation.check``, which asks the command line what became of everything.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import os
import random
import shutil
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import grpc
from bench.load import CALL, ROUTINE, submit
from bench.nodes import Node
from bench.processor import resident
from bench.recipients import CODES, TREATY

import fault_member
from e2e.nodes import PROGRAM, documents_of, found, introduce, ok
from intelshare.errors import IntelshareError
from intelshare.node.folder import Folder
from intelshare.node.settings_file import read_settings
from intelshare.patience import patient
from intelshare.wire.v1 import user_pb2 as pb
from intelshare.wire.v1 import user_pb2_grpc as services
from processes import finished

USER = "ana"
HUB = CODES[0]
CATEGORY = "climate-disaster"

SLACK = 0.25
"""Seconds by which the slowest may be slower in any case: in peace it takes few milliseconds."""

T = TypeVar("T")

_starting = threading.Lock()

DRAIN = 600.0
"""Seconds in which everything that had OK is answered once all members are up."""

_TOLD = 900.0
"""Seconds in which `watch` tells everything: of 100,000 bulletins for ten members some 300,000 events."""


class NotHere(Exception):
    """This machine cannot play a fault: why."""


_loop = asyncio.new_event_loop()
"""All clients' connections: gRPC works best in one loop."""


def on_loop(work: Coroutine[Any, Any, T]) -> T:
    """Do this in the clients' loop, which has a thread of its own; its result."""
    with _starting:
        if not _loop.is_running():
            threading.Thread(target=_loop.run_forever, name="clients", daemon=True).start()
            asyncio.run_coroutine_threadsafe(asyncio.sleep(0), _loop).result()
    return asyncio.run_coroutine_threadsafe(work, _loop).result()


def quantile(values: Sequence[float], share: float) -> float:
    """The value that this share of them does not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


class Member(fault_member.Member):
    """One of many members, with the figures of its process, and what its user and its operator see."""

    def __init__(self, code: str, folder: Path, prefix: Sequence[str] = ()) -> None:
        """``prefix``: the words that run the node within bounds, or in a namespace."""
        super().__init__(folder, (*prefix, *PROGRAM))
        self.code = code

    @property
    def user(self) -> Path:
        """The profile of the user who sends and reads."""
        return self.folder / "users" / USER

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self.runs, f"the node of {self.code} does not run"
        return self.process.pid

    @property
    def memory(self) -> float:
        """MiB in memory."""
        return resident(self.pid) / 2**20

    @property
    def starved(self) -> float:
        """How many times as long its threads took as they would with processors of their own: at least 1.

        Ten members and whatever else runs share this machine; each member of the promises has one. Bounds in
        seconds are for a node alone, so they are multiplied by this.
        """
        spent = [path.read_text().split() for path in Path(f"/proc/{self.pid}/task").glob("*/schedstat")]
        ran, waited = (sum(int(one[place]) for one in spent) for place in (0, 1))
        return 1 + waited / max(1, ran)

    def channel(self, user: str = USER) -> grpc.aio.Channel:
        """A connection of a user."""
        return Node(self.code, self.folder).channel(user)

    def events(self) -> list[dict[str, Any]]:
        """What ``watch`` tells since it was last asked."""
        since = ("--since", "last") if (self.user / "watch-cursor").exists() else ()
        words = ("watch", *since, "--once", "--json", "--as", self.user)
        told = finished([*PROGRAM, *words], seconds=_TOLD, check=True).out
        return documents_of(told) if told else []

    def status(self) -> dict[str, Any]:
        """What ``node status`` says."""
        return ok("node", "status", "--folder", self.folder, "--json").json

    @property
    def node(self) -> str:
        """The URI of its node, by which the logs of others name it."""
        return read_settings(Folder(self.folder).settings).node

    def peer(self, other: Member) -> dict[str, Any]:
        """How it stands with a member."""
        return next(one for one in self.status()["peers"] if one["member"] == other.code)

    def logged(self, event: str, peer: Member, since: int = 0) -> int:
        """How often its log names an event of the node of this peer, after so many bytes."""
        return sum(one.get("peer") == peer.node for one in self.log(event, since))


class Federation:
    """A hub and others that know it. All run."""

    def __init__(self, members: Sequence[Member]) -> None:
        self.hub, self.others = members[0], tuple(members[1:])
        self.seen: dict[str, Counter[str]] = {one.code: Counter() for one in self.others}
        self.accepted: Counter[tuple[str, str]] = Counter()

    def member(self, code: str) -> Member:
        """The one with this code."""
        return next(one for one in (self.hub, *self.others) if one.code == code)

    def linked(self, *members: Member, seconds: float = 60.0) -> float:
        """Wait until the hub has a link to each of these, or to all others; the seconds that it took."""
        began, wanted = time.monotonic(), {one.code for one in members or self.others}
        while True:
            peers = self.hub.status()["peers"]
            if wanted <= {one["member"] for one in peers if one["state"] == "linked"}:
                return time.monotonic() - began
            assert time.monotonic() < began + patient(seconds), f"no link to one of {wanted}: {peers}"
            time.sleep(0.05)

    def store(self, to: Member, precedences: Sequence[int], size: int = 2048) -> dict[str, Sent]:
        """Store one bulletin of each of these precedences for a member, many in a call: what had OK."""
        return on_loop(_store(self.hub, [to.code], precedences, size))

    def drained(self, to: Member) -> None:
        """Wait until a member has answered everything."""
        end = time.monotonic() + DRAIN
        while left := unanswered(self.hub, to):
            assert time.monotonic() < end, f"{left} without an answer after {DRAIN:.0f} s"
            time.sleep(0.5)

    def look(self) -> None:
        """Take note of all that has arrived, by the command line of each member that runs."""
        for one in self.others:
            if one.runs:
                told = one.events()
                self.seen[one.code].update(e["bulletin"] for e in told if e.get("what") == "received")
        self.accepted.update(
            (e["bulletin"], e["member"])
            for e in self.hub.events()
            if e.get("what") == "accepted" and "WHOLE" not in e["codes"]
        )

    def check(self, sent: dict[str, frozenset[str]], *, verify: bool = True) -> str:
        """Nothing is lost, doubled or unexpected, and the logs are whole; the figure."""
        self.look()
        for one in self.others:
            wanted, there = {key for key, to in sent.items() if one.code in to}, self.seen[one.code]
            lost, strange = wanted - there.keys(), there.keys() - wanted
            doubled = [key for key, times in there.items() if times > 1]
            assert not lost, f"{len(lost)} lost at {one.code}: {sorted(lost)[:3]}"
            assert not doubled, f"{len(doubled)} doubled at {one.code}: {doubled[:3]}"
            assert not strange, f"{len(strange)} unexpected at {one.code}: {sorted(strange)[:3]}"
        pairs = {(key, member) for key, to in sent.items() for member in to}
        assert set(self.accepted) == pairs, f"{len(pairs ^ set(self.accepted))} receipts differ"
        twice = [pair for pair, times in self.accepted.items() if times > 1]
        assert not twice, f"{len(twice)} receipts counted twice: {twice[:3]}"
        for one in (self.hub, *self.others) if verify else ():
            ok("audit", "verify", "--folder", one.folder)
        return f"{len(sent)} bulletins, {len(pairs)} pairs: lost 0, doubled 0, unexpected 0"


@contextlib.contextmanager
def federation(
    count: int, *, hosts: dict[str, tuple[str, Sequence[str]]] | None = None, queue: int = 0
) -> Iterator[Federation]:
    """So many members, the hub first, linked and running.

    ``hosts``: address and prefix of each, where they have namespaces. ``queue``: bulletins that the hub lets
    wait for one recipient.
    """
    with tempfile.TemporaryDirectory(prefix="intelshare-faults-") as root, contextlib.ExitStack() as stack:
        members = []
        for code in CODES[:count]:
            host, prefix = (hosts or {}).get(code, ("", ()))
            one = Member(code, found(Path(root) / code.lower(), code), prefix)
            shutil.copy(TREATY, one.folder / "treaties")
            if host:
                _set(one.folder, '"127.0.0.1"', f'"{host}"')
            members.append(one)
        if queue:
            _set(members[0].folder, "# bulletins = 200000", f"bulletins = {queue}")
            _set(members[0].folder, "# all_bulletins = 1000000", f"all_bulletins = {2 * queue}")
        for one in members:
            stack.callback(one.stop)
            one.start()
        for one in members[1:]:
            introduce(members[0].folder, one.folder)
        made = Federation(members)
        made.linked()
        made.look()
        yield made


def _set(folder: Path, line: str, new: str) -> None:
    file = folder / "node.toml"
    assert line in file.read_text(), line
    file.write_text(file.read_text().replace(line, new))


class Sent(NamedTuple):
    """One bulletin that had OK."""

    at: float
    """Second since 1970 of the call."""
    to: frozenset[str]
    precedence: int


class Traffic:
    """One user of the hub who sends, and when each pair was answered."""

    def __init__(self, hub: Member, seed: int = 1) -> None:
        self._hub, self._dice = hub, random.Random(seed)
        self.sent: dict[str, Sent] = {}
        self.answered: dict[tuple[str, str], float] = {}
        """When each pair had its receipt."""
        self.withheld: set[tuple[str, str]] = set()
        """Pairs that were stopped because their recipient was suspended, and have no receipt."""
        self.unknown = 0
        """Calls whose answer was not heard: they were made again with their key."""
        self._stop = threading.Event()
        self._watches = False
        self._channel: grpc.aio.Channel | None = None

    @contextlib.contextmanager
    def flowing(
        self, to: Sequence[Member], rate: float, *, each: int = 3, urgent: float = 0.0
    ) -> Iterator[None]:
        """Within the block send ``rate`` a second, each to so many of these members, a share of it FLASH.

        At its end everything is answered. Raises AssertionError if it is not.
        """
        ended: list[BaseException] = []

        def run() -> None:
            try:
                on_loop(self._main(to, rate, each, urgent))
            except BaseException as error:
                ended.append(error)

        self._stop.clear()
        thread = threading.Thread(target=run, name="load")
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()
        if ended:
            raise ended[0]

    def ids(self) -> dict[str, frozenset[str]]:
        """The recipients of each bulletin that had OK, but those to whom it was withheld."""
        return {
            key: frozenset(one for one in sent.to if (key, one) not in self.withheld)
            for key, sent in self.sent.items()
        }

    def took(
        self, since: float, until: float, *, without: str = "", only: str = "", precedence: int = 0
    ) -> list[float]:
        """Seconds from the call to the receipt of each pair of which the call fell into this time."""
        return [
            self.answered.get((key, member), math.inf) - one.at
            for key, one in self.sent.items()
            if since <= one.at < until and precedence in (0, one.precedence)
            for member in one.to
            if member != without and only in ("", member)
        ]

    async def _main(self, to: Sequence[Member], rate: float, each: int, urgent: float) -> None:
        self._channel, self._watches = None, False
        calls: set[asyncio.Task[None]] = set()
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(self._watch())
            while not self._watches:
                await asyncio.sleep(0.01)
            due = time.monotonic()
            while not self._stop.is_set():
                some = self._dice.sample(sorted(one.code for one in to), min(each, len(to)))
                precedence = 4 if self._dice.random() < urgent else self._dice.choice((1, 1, 2, 3))
                task = tasks.create_task(self._one(frozenset(some), precedence))
                calls.add(task)
                task.add_done_callback(calls.discard)
                due += 1 / rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            await asyncio.gather(*calls)
            end = time.monotonic() + DRAIN
            while self.open() and time.monotonic() < end:
                await asyncio.sleep(0.05)
            watching.cancel()
        if self._channel is not None:
            await self._channel.close()
        assert not self.open(), f"{len(self.open())} pairs have no receipt after {DRAIN:.0f} s"

    def open(self) -> list[tuple[str, str]]:
        """The pairs without a receipt."""
        pairs = [(key, member) for key, one in self.sent.items() for member in one.to]
        return [pair for pair in pairs if pair not in self.answered and pair not in self.withheld]

    async def _one(self, to: frozenset[str], precedence: int) -> None:
        """Send one; without an answer again, with the same key, until there is one."""
        draft, at = draft_of(sorted(to), precedence), time.time()
        while True:
            try:
                told = await services.BulletinsStub(self._line()).Submit(draft, timeout=10)
                break
            except (grpc.aio.AioRpcError, OSError, IntelshareError):
                self.unknown += 1
                await asyncio.sleep(0.5)
        key = bytes(told.bulletin).hex()
        self.sent[key] = Sent(at, to, precedence)
        self.withheld |= {(key, pair.recipient) for pair in told.pairs if pair.word == "withheld"}

    async def _watch(self) -> None:
        cursor = ""
        while True:
            try:
                watched = services.BulletinsStub(self._line()).Watch(pb.WatchRequest(cursor=cursor))
                async for event in watched:
                    cursor, self._watches = event.cursor, True
                    pair = event.bulletin.hex(), event.member
                    if event.what == "accepted":
                        self.answered[pair] = event.at / 1e6
                        self.withheld.discard(pair)
                    elif event.what == "withheld" and pair not in self.answered:
                        self.withheld.add(pair)
            except (grpc.aio.AioRpcError, OSError, IntelshareError):
                await asyncio.sleep(0.2)

    def _line(self) -> grpc.aio.Channel:
        """The connection, which is made again when it is down: the node may have another port now."""
        state = self._channel.get_state() if self._channel is not None else None
        if self._channel is None or state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
            self._channel = self._hub.channel()
        return self._channel


def label(to: Sequence[str]) -> str:
    """A label that these members may see."""
    return f"//FRA NON PROTEGE//REL TO {', '.join((HUB, *to))}"


def draft_of(to: Sequence[str], precedence: int = ROUTINE, size: int = 2048) -> pb.SubmitRequest:
    """A bulletin with a key of its own."""
    text = os.urandom(size // 2).hex().encode()
    portion = pb.Portion(kind=1, label=label(to), category=CATEGORY, media="text/plain", content=text)
    return pb.SubmitRequest(key=os.urandom(16), to=to, precedence=precedence, portions=[portion])


def unanswered(hub: Member, to: Member) -> int:
    """How many pairs have no answer of this member."""
    peer = hub.peer(to)
    return int(peer["queued"]) + int(peer["unacknowledged"])


async def _store(hub: Member, to: Sequence[str], precedences: Sequence[int], size: int) -> dict[str, Sent]:
    sent: dict[str, Sent] = {}
    async with hub.channel() as channel:
        bulletins, left = services.BulletinsStub(channel), iter(precedences)

        async def caller() -> None:
            while drafts := [draft_of(to, one, size) for one in itertools.islice(left, CALL)]:
                at = time.time()
                answers = await submit(bulletins, drafts)
                for draft, answer in zip(drafts, answers, strict=True):
                    sent[answer.bulletin.hex()] = Sent(at, frozenset(to), draft.precedence)

        await asyncio.gather(*[caller() for _ in range(4)])
    return sent


class Highest:
    """The most memory that nodes take within the block, looked at ten times a second."""

    def __init__(self, *members: Member) -> None:
        self._members = members
        self.mib = 0.0
        self._stop = threading.Event()

    def __enter__(self) -> Highest:
        self._thread = threading.Thread(target=self._look, name="memory")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(0.1):
            for one in self._members:
                with contextlib.suppress(AssertionError, OSError, StopIteration):
                    self.mib = max(self.mib, one.memory)


@contextlib.contextmanager
def frozen_still(member: Member) -> Iterator[None]:
    """SIGSTOP a node within the block."""
    assert member.runs
    member.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        member.process.send_signal(signal.SIGCONT)


def machine() -> str:
    """The load of this machine, which every figure depends on."""
    return f"load {os.getloadavg()[0]:.1f}"
