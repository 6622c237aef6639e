"""A member with replicas over PostgreSQL and a peer with a file: faults under load, and what came of it.

PYTHONPATH=tests:. python tests/replicas_world.py --kills 50
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from e2e.nodes import PROGRAM, found, intelshare, introduce, log_of, ok, running, wait_for_links
from intelshare.client import Client, Profile, read_profile
from intelshare.errors import IntelshareError
from intelshare.wire.v1 import user_pb2 as pb
from postgres_server import Cluster, new_cluster
from processes import clean_environment

LABEL = "//FRA SECRET//REL TO FRA, USA"
TREATY = Path(__file__).parents[1] / "treaties" / "un-charter.toml"
"""What lets members beside FRA and USA receive anything."""

CALL = 8
"""Drafts in one call."""


def words_of_run(folder: Path, name: str) -> list[str]:
    """The command of a replica."""
    return [*PROGRAM, "node", "run", "--dev", "--folder", str(folder), "--replica", name]


@dataclass
class Replica:
    """A process that is started again whenever it ends, as a service manager does."""

    folder: Path
    name: str
    process: subprocess.Popen[bytes] | None = None
    codes: list[int] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    """The command; empty: that of one that takes turns."""
    _stopping: bool = False

    def start(self) -> None:
        """Start it."""
        with log_of(self.folder).open("ab") as log:
            self.process = subprocess.Popen(
                self.words or words_of_run(self.folder, self.name),
                stderr=log,
                env=clean_environment(),
                start_new_session=True,
            )

    def keep(self) -> None:
        """Start it again if it has ended."""
        if not self._stopping and self.process is not None and (code := self.process.poll()) is not None:
            self.codes.append(code)
            self.start()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self) -> None:
        """End it in order."""
        self._stopping = True
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Replicas:
    """The replicas of one folder."""

    def __init__(self, folder: Path, names: str = "ab") -> None:
        self.folder = folder
        self.all = [Replica(folder, name) for name in names]
        self._ended = threading.Event()
        self._keeper = threading.Thread(target=self._keep)

    def __enter__(self) -> Replicas:
        for one in self.all:
            one.start()
        self._keeper.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._keeper.join()
        for one in self.all:
            one.stop()

    def _keep(self) -> None:
        while not self._ended.wait(0.1):
            for one in self.all:
                one.keep()

    def shown(self) -> dict[str, object]:
        """What the node shows of itself."""
        try:
            shown: dict[str, object] = json.loads((self.folder / "run.json").read_text())
        except (OSError, ValueError):
            return {}
        return shown

    def active(self) -> Replica | None:
        """Which is the node, if one has said so that lives."""
        pid = self.shown().get("pid")
        return next(
            (
                one
                for one in self.all
                if one.process and one.process.pid == pid and one.process.poll() is None
            ),
            None,
        )

    def wait_for_active(self, but: int = 0, seconds: float = 60.0) -> float:
        """Wait until a process other than this serves; how many seconds that took."""
        began = time.monotonic()
        while time.monotonic() < began + seconds:
            shown = self.shown()
            if shown.get("pid") != but and self.active() is not None and shown.get("health") == "SERVING":
                return time.monotonic() - began
            time.sleep(0.02)
        raise AssertionError(
            f"no replica serves after {seconds} s: {log_of(self.folder).read_text()[-3000:]}"
        )


class Load(threading.Thread):
    """A user who sends again, under the same key, whatever was not answered."""

    def __init__(self, fra: Path, usa: Path, pause: float = 0.0, to: str = "USA", label: str = LABEL) -> None:
        """A node must serve at both. ``to``: the member of the folder ``usa``."""
        super().__init__()
        self.fra, self.usa = fra / "users" / "ana", usa / "users" / "ana"
        self.marks = mark(self.fra), mark(self.usa)
        profile = self.fra
        self.pause, self.to, self.label = pause, to, label
        self.profile = profile
        self.stored: dict[bytes, bytes] = {}
        """By key the bulletin that the node has said OK for."""
        self.doubled: list[bytes] = []
        """Keys for which it has said OK for two bulletins."""
        self.errors: dict[str, int] = {}
        self.defect: BaseException | None = None
        self._ending = threading.Event()

    def run(self) -> None:
        """Until ``end``."""
        try:
            while not self._ending.is_set():
                self._send([self._draft() for _ in range(CALL)])
                self._ending.wait(self.pause)
        except BaseException as error:
            self.defect = error

    def end(self) -> None:
        """Send nothing new; returns once all was answered."""
        self._ending.set()
        self.join()
        if self.defect is not None:
            raise self.defect

    def profile_now(self) -> Profile:
        """Whom to ask, and as whom."""
        return read_profile(self.profile)

    def _draft(self) -> pb.SubmitRequest:
        key = os.urandom(16)
        category = "cyber" if self.label == LABEL else "climate-disaster"
        portion = pb.Portion(
            kind=1, label=self.label, category=category, media="text/plain", content=key.hex().encode()
        )
        return pb.SubmitRequest(key=key, to=[self.to], precedence=1, portions=[portion])

    def _send(self, drafts: list[pb.SubmitRequest]) -> None:
        left = drafts
        end = time.monotonic() + 120
        while left:
            assert time.monotonic() < end, (self.errors, "a draft was not taken in two minutes")
            try:
                with Client(self.profile_now(), deadline=5) as client:
                    for outcome in client.submit_many(left):
                        if isinstance(outcome.result, IntelshareError):
                            self._failed(outcome.result)
                        else:
                            self._took(outcome.key, outcome.result.bulletin)
            except IntelshareError as error:
                self._failed(error)
            left = [draft for draft in left if draft.key not in self.stored]
            if left:
                time.sleep(0.05)

    def _took(self, key: bytes, bulletin: bytes) -> None:
        if self.stored.setdefault(key, bulletin) != bulletin:
            self.doubled.append(key)

    def _failed(self, error: IntelshareError) -> None:
        self.errors[error.code] = self.errors.get(error.code, 0) + 1


@dataclass(frozen=True)
class Outcome:
    """What became of a load."""

    sent: int
    lost: int
    doubled: int
    unexpected: int
    unsettled: int

    @property
    def good(self) -> bool:
        """Every bulletin that got OK is in the inbox once, nothing else is, and each has its receipt."""
        return not (self.lost or self.doubled or self.unexpected or self.unsettled)


def mark(profile: Path) -> str:
    """A place in what happens at a node."""
    with Client(read_profile(profile)) as client:
        return [event.cursor for event in client.watch(once=True)][-1]


def happened(profile: Path, since: str, what: str) -> list[bytes]:
    """The bulletins of all events of a kind after a mark, each as often as it was told."""
    with Client(read_profile(profile)) as client:
        events = client.watch(since, once=True)
        return [bytes(event.bulletin) for event in events if event.what == what]


def checked(load: Load, seconds: float = 60.0) -> Outcome:
    """Wait until everything has its receipt; what was lost, and what came twice."""
    wanted, end = set(load.stored.values()), time.monotonic() + seconds
    while True:
        with contextlib.suppress(IntelshareError):
            receipts = happened(load.fra, load.marks[0], "accepted")
            if set(receipts) >= wanted or time.monotonic() > end:
                break
        if time.monotonic() > end + 60:
            raise AssertionError("the node does not answer")
        time.sleep(0.3)
    arrived = happened(load.usa, load.marks[1], "received")
    receipts = [one for one in receipts if one in wanted]  # others' are to other members
    doubled = (
        len(arrived)
        - len(set(arrived))
        + len(receipts)
        - len(set(receipts))
        + len(load.doubled)
        + len(load.stored)
        - len(wanted)
    )
    return Outcome(
        len(load.stored),
        len(wanted - set(arrived)),
        doubled,
        len(set(arrived) - wanted),
        len(wanted - set(receipts)),
    )


@dataclass(frozen=True)
class World:
    """FRA with its rows in PostgreSQL, USA with a file, not running yet but for USA."""

    cluster: Cluster
    fra: Path
    usa: Path
    more: dict[str, Path] = field(default_factory=dict)
    """The folders of further members that FRA knows."""


@contextlib.contextmanager
def world(home: Path, cluster: Cluster | None = None, more: Sequence[str] = ()) -> Iterator[World]:
    """Two members who know each other, and ``more`` that FRA knows."""
    server = cluster or new_cluster()
    fra, usa = found(home / "fra", "FRA"), found(home / "usa", "USA")
    others = {code: found(home / code.lower(), code) for code in more}
    for folder in (fra, *others.values()) if more else ():
        shutil.copy(TREATY, folder / "treaties")
    with contextlib.ExitStack() as stack:
        for folder in (usa, *others.values()):
            stack.enter_context(running(folder))
        with running(fra):
            for folder in (usa, *others.values()):
                introduce(fra, folder)
            wait_for_links(fra, 1 + len(more))
        ok("node", "move", "--folder", fra, "--to", server.url, "--schema", "fra")
        yield World(server, fra, usa, others)


def killing(replicas: Replicas, kills: int, say: Callable[[str], None], freeze: int = 0) -> list[float]:
    """Kill the node again and again, every so many times freeze it instead; seconds of each take-over."""
    took = []
    for number in range(1, kills + 1):
        replicas.wait_for_active()
        time.sleep(random.uniform(0.2, 1.5))
        victim = replicas.active()
        if victim is None or victim.process is None:
            continue
        frozen = freeze and number % freeze == 0
        pid = victim.process.pid
        victim.signal(signal.SIGSTOP if frozen else signal.SIGKILL)
        took.append(replicas.wait_for_active(but=pid))
        if frozen:
            os.kill(pid, signal.SIGCONT)
        what = "frozen" if frozen else "killed"
        say(f"{number}: {victim.name} {what}, taken over in {took[-1]:.1f} s")
    return took


def main() -> int:
    """Kill the node of a member under load; 0 if nothing was lost or doubled."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--freeze", type=int, default=0, help="Every so many times freeze it instead.")
    parser.add_argument("--restart", type=int, default=0, help="Crash the database so many times besides.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home, world(Path(home)) as w, Replicas(w.fra) as replicas:
        replicas.wait_for_active()
        load = Load(w.fra, w.usa, 0.05)
        load.start()
        took = killing(replicas, options.kills, lambda line: print(line, flush=True), options.freeze)
        for _ in range(options.restart):
            time.sleep(random.uniform(0.5, 2.0))
            w.cluster.restart()
            print("the database crashed and is back", flush=True)
        load.end()
        outcome = checked(load)
        print(outcome, load.errors, f"ended with {[one.codes for one in replicas.all]}")
        if took:
            took.sort()
            middle = took[len(took) // 2]
            print(f"taken over in {took[0]:.1f} to {took[-1]:.1f} s, half of them in {middle:.1f} s")
        print(intelshare("node", "replicas", "--folder", w.fra).out)
        return 0 if outcome.good else 1


if __name__ == "__main__":
    sys.exit(main())
