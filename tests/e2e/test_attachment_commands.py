"""Attachments by the command line: through kills of either node, in constant memory, never over a file."""

from __future__ import annotations

import contextlib
import hashlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import waits
from e2e.nodes import PROGRAM, found, intelshare, introduce, ok, pair_to, running, wait_for_links, wait_until
from processes import clean_environment, outcome, process

LABEL = "//FRA SECRET//REL TO FRA, USA"
MIB = 1 << 20

CEILING = 32 * MIB
"""By how much a process may grow while a file of any size passes through it."""


@contextlib.contextmanager
def linked(home: Path) -> Iterator[tuple[Path, Path, list[subprocess.Popen[bytes]]]]:
    """FRA and USA, running, who know each other, and their processes."""
    fra, usa = found(home / "fra", "FRA"), found(home / "usa", "USA")
    ok("user", "add", "low", "--folder", fra, "--role", "analyst", "--clearance", "R1", "--category", "*")
    with running(fra) as one, running(usa) as other:
        introduce(fra, usa)
        wait_for_links(fra)
        yield fra, usa, [one, other]


def a_file(path: Path, mib: int) -> Path:
    """Of this size, and no two parts the same."""
    with path.open("wb") as file:
        for number in range(mib):
            file.write(hashlib.shake_256(str(number).encode()).digest(1024) * 1024)
    return path


def same(one: Path, other: Path) -> bool:
    digests = []
    for path in (one, other):
        with path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").digest())
    return digests[0] == digests[1]


def send(fra: Path, file: Path, *words: str) -> list[str | Path]:
    text = fra.parent / "text.txt"
    text.write_text("see the annex")
    return [
        "send", text, "--as", fra / "users" / "ana", "--to", "USA", "--category", "cyber", "--label", LABEL,
        "--attach", file, "--json", *words,
    ]  # fmt: skip


def pieces(folder: Path) -> int:
    """Bytes of pieces that lie at a node."""
    return sum(path.stat().st_size for path in (folder / "files").iterdir())


def test_a_file_travels_whole_under_its_name_and_never_over_another(tmp_path: Path) -> None:
    with linked(tmp_path) as (fra, usa, _):
        file = a_file(tmp_path / "annex.pdf", 3)
        sent = ok(*send(fra, file, "--wait", "whole", "--timeout", "60")).json
        assert pair_to(sent, "USA")["codes"] == ["WHOLE"]
        reader, name = usa / "users" / "ana", sent["bulletin"][:8]
        shown = ok("read", name, "--as", reader).out
        assert f"application/pdf; name=annex.pdf, {3 * MIB} bytes: write it with --out DIR" in shown
        out = tmp_path / "out"
        ok("read", name, "--as", reader, "--out", out)
        assert sorted(path.name for path in out.iterdir()) == ["1-text.txt", "2-annex.pdf"]
        assert same(file, out / "2-annex.pdf")
        assert (out / "2-annex.pdf").stat().st_mode & 0o777 == 0o600
        again = intelshare("read", name, "--as", reader, "--portion", "2", "--out", out)
        assert (again.code, "UNSAFE_NAME" in again.err) == (1, True)
        assert len(list(out.iterdir())) == 2, "nothing beside them either"
        raw = intelshare("read", name, "--as", reader, "--portion", "2", "--format", "raw")
        assert (raw.code, raw.out) == (2, "")
        own = tmp_path / "own"
        ok("read", name, "--as", fra / "users" / "ana", "--out", own)
        assert same(file, own / "2-annex.pdf"), "its author gets it back"
        refused = intelshare("read", name, "--as", fra / "users" / "low", "--out", tmp_path / "low")
        assert (refused.code, "NOT_FOUND" in refused.err) == (8, True)
        ok("recall", name, "--as", fra / "users" / "ana", "--reason", "wrong", "--yes")
        wait_until(lambda: pieces(fra) == pieces(usa) == 0, "the pieces to be removed")
        gone = intelshare("read", name, "--as", fra / "users" / "ana", "--out", tmp_path / "gone")
        assert (gone.code, "no longer kept here" in gone.err) == (8, True)
        assert "no longer here" in ok("read", name, "--as", fra / "users" / "ana").out


def test_a_stranger_is_told_whether_a_file_is_the_one_that_was_released(tmp_path: Path) -> None:
    with linked(tmp_path) as (fra, usa, _):
        file, proof = a_file(tmp_path / "annex.pdf", 3), tmp_path / "release.json"
        sent = ok(*send(fra, file, "--wait", "whole", "--timeout", "60")).json
        ok("export", sent["bulletin"], "--as", usa / "users" / "ana", "--content", "--out", proof)
        bare = tmp_path / "bare.json"
        ok("export", sent["bulletin"], "--as", fra / "users" / "ana", "--out", bare)
    own = [word for code in ("fra", "usa") for word in ("--member", tmp_path / f"{code}.member")]
    found = ok("verify", proof, "--file", file, *own)
    assert f"established      {file} is what was released: it is slot" in found.out
    assert f"annex.pdf, {3 * MIB} bytes" in found.out
    told = ok("verify", proof, "--file", file, "--file", tmp_path / "text.txt", *own, "--json").json
    slots = {Path(one["file"]).name: one["slots"] for one in told["files"]}
    kinds = {portion["slot"]: portion["kind"] for portion in told["portions"]}
    assert [kinds[slot] for slot in (*slots["annex.pdf"], *slots["text.txt"])] == ["attachment", "text"]
    other = tmp_path / "other.pdf"
    other.write_bytes(file.read_bytes()[:-1] + b"x")
    wrong = intelshare("verify", proof, "--file", other, "--file", file, *own)
    assert wrong.code == 7
    assert f"not established  {other} is what was released" in wrong.out
    hidden = intelshare("verify", bare, "--file", file, *own)
    assert (hidden.code, "the proof shows no content" in hidden.out) == (7, True)
    assert intelshare("verify", tmp_path / "fra.member", "--file", file).code == 2


@pytest.mark.soak
def test_kills_in_the_middle_of_upload_transfer_and_download_lose_nothing(tmp_path: Path) -> None:
    """The command, and the nodes by themselves, go on where they were; nothing half lies anywhere."""
    fra, usa = found(tmp_path / "fra", "FRA"), found(tmp_path / "usa", "USA")
    file, out = a_file(tmp_path / "annex.pdf", 48), tmp_path / "out"
    with running(usa), running(fra):
        introduce(fra, usa)
        wait_for_links(fra)
    waits_on = send(fra, file, "--wait", "whole", "--timeout", "300")
    with running(fra) as first, _command(*waits_on) as sender:
        _wait(lambda: pieces(fra) > 4 * MIB, "some of the upload")
        _kill(first)
        assert pieces(fra) < file.stat().st_size
        with running(fra) as other:
            with running(usa) as second:
                _wait(lambda: pieces(usa) > 4 * MIB, "some of the transfer")
                _kill(second)
                _kill(other)
            assert pieces(usa) < file.stat().st_size
        with running(fra):
            with running(usa):
                sent = outcome(sender)
                assert sent.code == 0, sent
                assert pair_to(json.loads(sent.out), "USA")["codes"] == ["WHOLE"]
                reader = usa / "users" / "ana"
                name = ok("inbox", "--as", reader, "--json").json["entries"][0]["bulletin"]
            with running(usa) as third, _command("read", name, "--as", reader, "--out", out) as command:
                _wait(lambda: out.exists() and any(out.iterdir()), "some of the download")
                _kill(third)
                assert outcome(command).code != 0
                assert list(out.iterdir()) == [], "all files or none"
            with running(usa):
                ok("read", name, "--as", reader, "--out", out)
    assert same(file, out / "2-annex.pdf")


@pytest.mark.soak
def test_memory_is_constant_at_both_ends(tmp_path: Path) -> None:
    """A file of 512 MiB, through the sender's command, both nodes and the reader's command."""
    with linked(tmp_path) as (fra, usa, nodes):
        small = a_file(tmp_path / "small.bin", 4)
        sending, _ = _measured(*send(fra, small, "--wait", "whole", "--timeout", "60"))
        before = [sending, *[_peak(node.pid) for node in nodes]]
        file = a_file(tmp_path / "large.bin", 512)
        sending, done = _measured(*send(fra, file, "--wait", "whole", "--timeout", "300"))
        reading, _ = _measured(
            "read", json.loads(done)["bulletin"], "--as", usa / "users" / "ana", "--portion", "2", "--out",
            tmp_path / "out",
        )  # fmt: skip
        after = [max(sending, reading), *[_peak(node.pid) for node in nodes]]
        assert same(file, tmp_path / "out" / "2-large.bin")
    grown = [late - early for early, late in zip(before, after, strict=True)]
    print("client, sender, recipient grew by MiB:", [round(number / MIB, 1) for number in grown])
    assert max(grown) < CEILING


@pytest.mark.soak
def test_memory_is_constant_where_the_reader_is_slower_than_the_node(tmp_path: Path) -> None:
    """On a machine with better things to do: gRPC let the window of the stream grow with the delay."""
    with linked(tmp_path) as (fra, _, _):
        author = ("--as", fra / "users" / "ana", "--portion", "2", "--out")
        small = ok(*send(fra, a_file(tmp_path / "small.bin", 4))).json["bulletin"]
        before, _ = _measured("read", small, *author, tmp_path / "small")
        large = ok(*send(fra, a_file(tmp_path / "large.bin", 384))).json["bulletin"]
        with contextlib.ExitStack() as busy:
            for _ in range(4):
                busy.enter_context(process([sys.executable, "-c", "while True: pass"]))
            after, _ = _measured("read", large, *author, tmp_path / "large", niceness=10)
        assert same(tmp_path / "large.bin", tmp_path / "large" / "2-large.bin")
    print("reader grew by MiB:", round((after - before) / MIB, 1))
    assert after - before < CEILING


def _peak(pid: int) -> int:
    """The most memory that a process has had so far, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def _measured(*words: str | Path, niceness: int = 0) -> tuple[int, str]:
    """Run a command that must succeed; its peak of memory, and what it wrote."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
    peak = 0
    command = ["nice", "-n", str(niceness), *PROGRAM, *words]
    with process(command, text=True, env=clean_environment(), **pipes) as started:
        while started.poll() is None:
            with contextlib.suppress(OSError, IndexError):
                peak = max(peak, _peak(started.pid))
            time.sleep(0.02)
        done = outcome(started)
    assert done.code == 0, done
    return peak, done.out


def _kill(node: subprocess.Popen[bytes]) -> None:
    node.send_signal(signal.SIGKILL)
    node.wait()


def _command(*words: str | Path) -> contextlib.AbstractContextManager[subprocess.Popen[str]]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
    return process([*PROGRAM, *words], text=True, env=clean_environment(), **pipes)


def _wait(condition: Callable[[], Any], what: str) -> None:
    """Looked at often: what is waited for passes by."""
    waits.wait_until(condition, what, signs=time.monotonic)
