"""A disk that is full to the last byte, and one that takes no writes, under real nodes (F7, F8, F9)."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.nodes import found, intelshare, introduce, log_of, ok, running, wait_for_links, wait_until
from processes import finished

SHARED = "//FRA SECRET//REL TO FRA, USA"
SIZE = 64 << 20
"""Bytes of the disk: development nodes keep 16 MiB of it free, and 1 MiB in reserve."""

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(
        sys.platform != "linux" or os.geteuid() != 0 or shutil.which("mount") is None,
        reason="SKIPPED, NOT PASSED: a disk of its own (tmpfs) needs root on Linux",
    ),
]


@contextlib.contextmanager
def disk(at: Path) -> Iterator[Path]:
    """A small file system."""
    at.mkdir()
    if finished(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "none", at]).code:
        pytest.skip("SKIPPED, NOT PASSED: this machine lets nobody mount a tmpfs")
    try:
        yield at
    finally:
        assert finished(["umount", "--lazy", at]).code == 0


def fill(at: Path) -> Path:
    """Take all that is left, to the last byte."""
    ballast = at / "ballast"
    with ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return ballast


def send(folder: Path, *words: str) -> Any:
    return intelshare(
        "send", "-", "--as", folder / "users" / "ana", "--to", "USA", "--label", SHARED,
        "--category", "cyber", *words, "--json", stdin="Phishing kit",
    )  # fmt: skip


def health(folder: Path) -> str:
    return str(intelshare("node", "health", "--folder", folder).out)


def word(folder: Path, bulletin: str) -> str:
    (pair,) = ok("outbox", bulletin, "--as", folder / "users" / "ana", "--json").json["pairs"]
    return str(pair["word"])


def is_full(folder: Path) -> None:
    begun = time.monotonic()
    wait_until(lambda: "DISK_FULL" in health(folder), "health to say DISK_FULL")
    assert time.monotonic() - begun < 5


def test_f7_f8_a_full_disk_refuses_says_so_and_goes_on_by_itself_at_both_ends(tmp_path: Path) -> None:
    with disk(tmp_path / "f") as f, disk(tmp_path / "u") as u:
        fra, usa = found(f / "fra", "FRA"), found(u / "usa", "USA")
        with running(fra) as sender, running(usa) as recipient:
            introduce(fra, usa)
            wait_for_links(fra)
            early = send(fra, "--wait", "accepted").json["bulletin"]

            # The sender's disk.
            ballast = fill(f)
            is_full(fra)
            refused = send(fra)
            assert (refused.code, refused.json["code"]) == (1, "DISK_FULL")
            assert refused.json["retry_after_seconds"] == 60
            assert f"{fra} has" in refused.json["message"]
            assert "are needed" in refused.json["message"]
            urgent = send(fra, "--precedence", "FLASH", "--wait", "accepted")
            assert urgent.code == 0, urgent
            recalled = intelshare("recall", early, "--reason", "x", "--yes", "--as", fra / "users" / "ana")
            assert recalled.code == 0, recalled
            wait_until(lambda: word(fra, early) == "destroyed", "the recall to be answered")
            assert ok("inbox", "--as", usa / "users" / "ana").out
            ballast.unlink()
            wait_until(lambda: health(fra).strip() == "SERVING", "FRA to go on by itself")
            assert (fra / "reserve").stat().st_size == 1 << 20

            # The recipient's.
            ballast = fill(u)
            is_full(usa)
            waits = send(fra).json["bulletin"]
            urgent = send(fra, "--precedence", "FLASH", "--wait", "accepted")
            assert urgent.code == 0, urgent
            assert ok("inbox", "--as", usa / "users" / "ana").out
            assert word(fra, waits) == "sent"
            ballast.unlink()
            wait_until(lambda: word(fra, waits) == "accepted", "what waited to be accepted")
            assert (sender.poll(), recipient.poll()) == (None, None)
            rows = ok("inbox", "--as", usa / "users" / "ana", "--json").json["entries"]
            assert len({row["bulletin"] for row in rows}) == len(rows) == 3, (
                "two that were urgent, and the one that waited"
            )
        assert "node.fatal" not in log_of(fra).read_text() + log_of(usa).read_text()


def test_a_start_on_a_full_disk_uses_the_reserve_and_without_one_says_what_is_needed(tmp_path: Path) -> None:
    with disk(tmp_path / "f") as f:
        fra = found(f / "fra", "FRA")
        with running(fra):
            pass
        ballast = fill(f)
        refused = intelshare("node", "run", "--dev", "--folder", fra)
        assert refused.code == 1
        assert "error[DISK_FULL]" in refused.err
        assert "a start needs 4 MiB" in refused.err
        assert str(fra) in refused.err
        ballast.unlink()
        with running(fra):
            pass


def test_f9_a_start_on_a_disk_that_takes_no_writes_is_a_disk_error_and_one_after_it_goes_on(
    tmp_path: Path,
) -> None:
    with disk(tmp_path / "f") as f:
        fra = found(f / "fra", "FRA")
        with running(fra):
            pass
        # Not while a file is open for writing: tests/integration/test_node_lifecycle.py has a disk that
        # fails under a running node.
        assert finished(["mount", "-o", "remount,ro", f]).code == 0
        refused = intelshare("node", "run", "--dev", "--folder", fra)
        assert refused.code == 1
        assert "error[DISK_ERROR]" in refused.err
        assert finished(["mount", "-o", "remount,rw", f]).code == 0
        with running(fra):
            pass
