"""How long a person waits for a command that asks their node, from Enter to the prompt.

python -m bench.prompt [--rounds 10] [--json]

Wall time and processor time of the whole process, the median of the rounds, each command in turn in every
round; beside it an interpreter that does nothing, which is the floor. Nodes with one bulletin between them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench.nodes import ANALYST, ROOT, Failed, federation
from bench.once import run

LABEL = "//FRA SECRET//REL TO FRA, USA"
SEND = ("send", "--to", "USA", "--category", "cyber", "--label", LABEL, "--yes", "pyproject.toml")
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("version",),
    ("whoami",),
    ("status",),
    ("inbox",),
    ("outbox",),
    ("outbox", "{id}"),
    ("read", "{id}"),
    ("why", "{id}", "--member", "USA"),
    ("receipts", "{id}"),
    ("search", "project"),
    SEND,
    ("node", "status", "--folder", "{folder}"),
    ("member", "list", "--folder", "{folder}"),
    ("user", "list", "--folder", "{folder}"),
    ("audit", "verify", "--folder", "{folder}"),
    ("doctor", "--folder", "{folder}"),
)


def once(command: Sequence[str]) -> tuple[float, float]:
    """(wall time, processor time) of one process, seconds. Raises Failed if it ends with anything but 0."""
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    if process.returncode:
        raise Failed(f"{' '.join(command)} ended with {process.returncode}: {said.decode()}")
    return time.perf_counter() - began, used.ru_utime + used.ru_stime


def words_of(command: Sequence[str], bulletin: str, folder: Path) -> list[str]:
    """One command of the product, as a process."""
    words = [word.format(id=bulletin, folder=folder) for word in command]
    if "--folder" not in words and words != ["version"]:
        words += ["--as", str(folder / "users" / ANALYST)]
    return [str(Path(sys.executable).with_name("intelshare")), *words]


def title(command: Sequence[str]) -> str:
    """A command without its options."""
    words = [word for word in command[:2] if not word.startswith("-")]
    return " ".join(words).format(id="ID")


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """All figures. Raises Failed."""
    with federation(("FRA", "USA")) as (fra, _):
        asked = [*words_of(SEND, "", fra.folder), "--json"]
        sent = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
        if sent.returncode:
            raise Failed(sent.stderr)
        bulletin = json.loads(sent.stdout)["bulletin"]
        lines = {("python", "-c", "pass"): [sys.executable, "-c", "pass"]}
        lines |= {command: words_of(command, bulletin, fra.folder) for command in COMMANDS}
        took: dict[tuple[str, ...], list[tuple[float, float]]] = {name: [] for name in lines}
        for _ in range(options.rounds):
            for name, command in lines.items():
                took[name].append(once(command))
    return {
        title(name): {
            "wall_ms": median(wall for wall, _ in found) * 1e3,
            "processor_ms": median(used for _, used in found) * 1e3,
        }
        for name, found in took.items()
    }


def show(found: dict[str, Any]) -> None:
    """One line a command."""
    print(f"{'milliseconds, median':<24}{'wall':>8}{'processor':>11}")
    for name, line in found.items():
        print(f"{name:<24}{line['wall_ms']:>8.0f}{line['processor_ms']:>11.0f}")


if __name__ == "__main__":
    sys.exit(run(__doc__, measured, show, {"--rounds": 10}))
