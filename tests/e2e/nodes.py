"""Nodes as people run them: the real command line in real processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATIENCE = 30.0


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """Its one document."""
        document: dict[str, Any] = json.loads(self.out)
        return document


def intelshare(*words: str | Path, stdin: str = "", cwd: Path | None = None) -> Done:
    """Run one command to its end."""
    done = subprocess.run(
        [sys.executable, "-m", "intelshare", *map(str, words)],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=cwd,
        env={name: value for name, value in os.environ.items() if not name.startswith("INTELSHARE_")},
    )
    return Done(done.returncode, done.stdout, done.stderr)


def ok(*words: str | Path, stdin: str = "") -> Done:
    """Run one command that must succeed."""
    done = intelshare(*words, stdin=stdin)
    assert done.code == 0, (words, done)
    return done


@contextlib.contextmanager
def running(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The node of a folder, serving; stopped at the end, however that comes."""
    with (folder.parent / f"{folder.name}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "intelshare", "node", "run", "--folder", str(folder)], stderr=log
        )
    try:
        wait_until(lambda: serves(folder, process), f"{folder.name} to serve")
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(timeout=PATIENCE)


def serves(folder: Path, process: subprocess.Popen[bytes]) -> bool:
    """Whether this very process has written where it listens."""
    assert process.poll() is None, (folder.parent / f"{folder.name}.log").read_text()
    try:
        return bool(json.loads((folder / "run.json").read_text())["pid"] == process.pid)
    except (FileNotFoundError, ValueError):
        return False


def wait_until(condition: Any, what: str) -> Any:
    """Poll until something is true; its value."""
    end = time.monotonic() + PATIENCE
    while not (value := condition()):
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.05)
    return value


def found(folder: Path, member: str) -> Path:
    """A development member with an analyst and a releasing officer."""
    ok("init", member, folder, "--dev")
    for name, role in (("ana", "analyst"), ("rel", "releasing-officer")):
        ok("user", "add", name, "--folder", folder, "--role", role, "--clearance", "R3", "--category", "*")
    return folder


def introduce(one: Path, other: Path) -> None:
    """Exchange member files and fingerprints, both ways."""
    for giver, taker in ((one, other), (other, one)):
        file = giver.parent / f"{giver.name}.member"
        ok("member", "export", "--folder", giver, "--out", file)
        print_ = ok("member", "fingerprint", "--folder", giver).out.strip()
        ok("member", "import", file, "--folder", taker, "--fingerprint", print_)
