"""Real nodes of the product in processes of their own, driven by its own commands, and what a bench asks of
them."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc

from bench.metered import CALLS, Meter, read_meter
from bench.processor import Used, used
from intelshare.client import Profile, address_of, read_profile

ROOT = Path(__file__).parent.parent
PATIENCE = 120.0
"""Seconds after which something that should have happened counts as failed."""

_PR_SET_PDEATHSIG = 1

ANALYST, OPERATOR = "analyst", "operator"


class Failed(Exception):
    """The bench cannot go on: what was waited for, and where to look."""


class Node:
    """One member's data folder, and its node while it runs. ``counted``: its calls are, see ``metered``."""

    def __init__(self, code: str, folder: Path, *, counted: bool = False) -> None:
        self.code, self.folder, self.counted = code, folder, counted
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self.process is not None, f"the node of {self.code} does not run"
        return self.process.pid

    def start(self) -> float:
        """Returns once its ports are open: how many seconds that took."""
        began = time.monotonic()
        words = [sys.executable, "-m", "bench.metered", str(self._meter), *[CALLS] * self.counted]
        words += ["node", "run", "--dev", "--folder", str(self.folder)]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stderr=log)
        while self._running() != self.process.pid:
            if self.process.poll() is not None or time.monotonic() > began + PATIENCE:
                raise Failed(f"the node of {self.code} does not start: {self._log.read_text()[-2000:]}")
            time.sleep(0.005)
        return time.monotonic() - began

    def stop(self) -> None:
        """SIGTERM, and SIGKILL to one that does not end."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process = None

    def used(self) -> Used:
        """Processor time so far; nothing while it is stopped."""
        return used(self.pid) if self.process is not None else Used()

    def meter(self) -> Meter:
        """What it has made durable so far."""
        return read_meter(self._meter)

    def channel(self, user: str) -> grpc.aio.Channel:
        """The connection of one of its users, as the product's own client makes it."""
        return self.channel_of(self.profile(user))

    def profile(self, user: str) -> Profile:
        """What the product's own client knows of one of its users."""
        return read_profile(self.folder / "users" / user)

    @staticmethod
    def channel_of(profile: Profile) -> grpc.aio.Channel:
        """The connection by this profile."""
        credentials = grpc.ssl_channel_credentials(
            profile.authority.read_bytes(), profile.key.read_bytes(), profile.certificate.read_bytes()
        )
        options = (("grpc.default_authority", profile.server_name), ("grpc.use_local_subchannel_pool", 1))
        return grpc.aio.secure_channel(address_of(profile), credentials, options=options)

    @property
    def _log(self) -> Path:
        return self.folder.with_name(f"{self.code}.log")

    @property
    def _meter(self) -> Path:
        return self.folder.with_name(f"{self.code}.meter")

    def _running(self) -> int:
        try:
            return int(json.loads((self.folder / "run.json").read_bytes())["pid"])
        except (OSError, ValueError):
            return 0


def die_with_starter() -> None:
    """SIGKILL this process when the thread that started it ends. For helpers that nobody else would end."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def command(*words: str) -> Any:
    """One command of the product; the document that it prints. Raises Failed."""
    done = subprocess.run(
        [sys.executable, "-m", "intelshare", *words, "--json"], cwd=ROOT, capture_output=True, check=False
    )
    if done.returncode:
        raise Failed(f"`intelshare {' '.join(words)}` ended with {done.returncode}: {done.stderr.decode()}")
    return json.loads(done.stdout)


@contextlib.contextmanager
def federation(
    codes: Sequence[str], treaties: Iterable[Path] = (), server: str = "", *, counted: bool = False
) -> Iterator[list[Node]]:
    """Running nodes; the first knows every other, and they know it. All ended, whatever happens.

    ``counted``: see ``Node``.
    ``server``: the URL of a PostgreSQL that holds the rows of all of them, each in a schema of its own.

    A SIGTERM to this process from now on unwinds it; a SIGKILL ends the nodes by the pipes that it held.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with tempfile.TemporaryDirectory(prefix="intelshare-bench-") as place:
        nodes = [Node(code, Path(place) / code, counted=counted) for code in codes]
        try:
            for node in nodes:
                command("init", node.code, str(node.folder), "--dev")
                for treaty in treaties:
                    shutil.copy(treaty, node.folder / "treaties")
                if server:
                    words = ("--to", server, "--schema", f"{node.code.lower()}_{os.getpid()}")
                    command("node", "move", "--folder", str(node.folder), *words)
                node.start()
            rights = ("--clearance", "SECRET" if codes[0] == "FRA" else "R3", "--category", "*")
            for node in nodes[:2]:
                command("user", "add", ANALYST, "--folder", str(node.folder), *rights)
            for other in nodes[1:]:
                _introduce(nodes[0], other)
                _introduce(other, nodes[0])
            yield nodes
        finally:
            end(nodes)


def end(nodes: Iterable[Node]) -> None:
    """End them all, at once; one that cannot be ended does not keep the rest alive."""
    with contextlib.ExitStack() as stack:
        for node in nodes:
            if node.process is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(node.pid, signal.SIGTERM)
            stack.callback(node.stop)


def _introduce(giver: Node, taker: Node) -> None:
    file = giver.folder.with_name(f"{giver.code}.member")
    given = command("member", "export", "--folder", str(giver.folder), "--out", str(file))
    words = ("--fingerprint", given["fingerprint"], "--folder", str(taker.folder))
    command("member", "import", str(file), *words)
