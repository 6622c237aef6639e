"""Processes that are killed at a system call: a client in `send`, the node around it, a migration (F22, F26).

strace kills at the n-th call of a kind, so that each of them is a place to die at.
"""

from __future__ import annotations

import shlex
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from e2e.nodes import PROGRAM, ok
from fault_pair import LABELS, Load, Member, check, inbox, two
from fault_world import NotHere
from intelshare.client.spool import spooled
from intelshare.instant import Instant
from intelshare.store.migrate import migrate, migrations
from processes import Ended, clean_environment, ended, finished, process

_CALLS = ("fsync", "mkdir", "write", "sendmsg", "recvmsg", "connect", "unlink")
"""Of a client: those with which it changes something."""

_NODE_CALLS = ("pwrite64", "fdatasync", "sendmsg", "fsync")


def _need_strace() -> None:
    if not shutil.which("strace"):
        raise NotHere("strace is missing")


def _killed_at(call: str, number: int, words: tuple[str | Path, ...], stdin: str = "") -> Ended:
    """Run a command that is killed when it makes this call for the n-th time."""
    inject = f"inject={call}:signal=KILL:when={number}"
    prefix = ("strace", "-f", "-qq", "-e", f"trace={call}", "-e", inject, "-o", "/dev/null")
    return finished((*prefix, *words), stdin=stdin, env=clean_environment())


def _places(most: int) -> Iterator[tuple[str, int]]:
    """Calls and numbers, each call in turn."""
    for number in range(1, most):
        for call in _CALLS:
            yield call, number


def client_killed(kills: int) -> str:
    """F26: `send` is killed at its system calls, and the node around it; what is open is sent again.

    Each draft is once in the inbox, or nowhere. It ends early when each call of `send` was a place to die at.
    """
    _need_strace()
    with two() as (fra, usa):
        load = Load(fra.folder, "USA")
        nowhere = 0
        over: set[str] = set()
        places = (place for place in _places(400) if place[0] not in over)
        played = 0
        while played < kills and over != set(_CALLS):
            call, number = next(places)
            before = _open_keys(load)
            words = _send_words(load)
            done = _killed_at(call, number, (*PROGRAM, *words), "x")
            if done.code == 0:
                over.add(call)
            played += done.code != 0
            fresh = _open_keys(load) - before
            nowhere += not fresh
            for key in fresh:
                ok(*words, "--key", key, stdin="x")
            _note(load)
        for number in range(1, 2 + min(kills, 40) // 8):
            for call in _NODE_CALLS:
                _node_killed(fra, load, call, number)
                played += 1
        figures = check(load, lambda: inbox(usa.folder))
    whole = "each" if over == set(_CALLS) else "some"
    played_at = f"{whole} of the calls that change something: {played} places to die"
    return f"{played_at}, {nowhere} before anything was noted; {figures}"


def _send_words(load: Load) -> tuple[str | Path, ...]:
    return (
        "send", "-", "--as", load.profile, "--to", load.to, "--label", LABELS["FRA"],
        "--category", "cyber", "--json",
    )  # fmt: skip


def _spooled(load: Load) -> Iterator[tuple[str, str]]:
    now = Instant(time.time_ns() // 1000)
    return ((one.key.hex(), one.bulletin) for one in spooled(load.profile / "spool", now))


def _open_keys(load: Load) -> set[str]:
    """Keys in the client's memory without an answer."""
    return {key for key, bulletin in _spooled(load) if not bulletin}


def _note(load: Load) -> None:
    """What the client's memory says had OK."""
    load.had_ok |= {bulletin for _, bulletin in _spooled(load) if bulletin}


def _node_killed(member: Member, load: Load, call: str, number: int) -> None:
    """The node is killed at its n-th call of a kind while it takes a bulletin; then the printed command."""
    tracer = (
        "strace", "-f", "-qq", "-p", str(member.process.pid), "-e", f"trace={call}",
        "-e", f"inject={call}:signal=KILL:when={number}", "-o", "/dev/null",
    )  # fmt: skip
    with process(tracer) as traced:
        time.sleep(0.5)
        done = finished((*PROGRAM, *_send_words(load)), stdin="x", env=clean_environment())
        if member.process.poll() is None and done.code == 0:
            traced.terminate()
        else:
            member.process.kill()
        ended(traced)
    if member.process.poll() is not None:
        member.stop()
        member.start()
    if done.code == 11:
        hint = next(line for line in done.err.splitlines() if "intelshare send" in line)
        command = hint[hint.index("intelshare send") :].partition(" (with the same text")[0]
        words = shlex.split(command)[1:]
        ok(*words, stdin="x")
    _note(load)


def migrating(kills: int) -> str:
    """F22: a migration is killed at its system calls; the next start finds the old schema or the new one."""
    _need_strace()
    old = new = 0
    with tempfile.TemporaryDirectory(prefix="intelshare-migration-") as home:
        path = Path(home) / "intelshare.db"
        migrate(path)
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("CREATE TABLE padding(text)")
            connection.executemany("INSERT INTO padding VALUES (?)", [("x" * 900,)] * 2000)
        whole = path.read_bytes()
        script = Path(home) / "step.py"
        script.write_text(
            "import sys\nfrom pathlib import Path\n"
            "from intelshare.store.migrate import migrate, migrations\n"
            "migrate(Path(sys.argv[1]), [*migrations(), sys.argv[2]])\n"
        )
        step = "CREATE TABLE migrated AS SELECT * FROM padding;"
        version = len(migrations())
        calls = ("pwrite64", "fdatasync", "fsync", "rename", "unlink", "ftruncate")
        for run in range(kills):
            for leftover in Path(home).glob("intelshare.*"):
                leftover.unlink()
            path.write_bytes(whole)
            path.chmod(0o600)
            call, turn = calls[run % len(calls)], run // len(calls)
            number = 1 + turn * (90 if call == "pwrite64" else 1)
            _killed_at(call, number, (sys.executable, script, path, step))
            with closing(sqlite3.connect(path)) as connection:
                ((found,),) = connection.execute("PRAGMA user_version")
                ((sound,),) = connection.execute("PRAGMA integrity_check")
                tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
            assert sound == "ok", sound
            assert ("migrated" in tables) == (found == version + 1), (call, number, found)
            old, new = old + (found == version), new + (found == version + 1)
            copy = path.with_suffix(f".before-{version + 1}")
            if copy.exists():
                with closing(sqlite3.connect(copy)) as connection:
                    ((count,),) = connection.execute("SELECT count(*) FROM padding")
                assert count == 2000, "the copy beside it is not whole"
            migrate(path, [*migrations(), step])
            assert copy.exists()
    assert old + new == kills
    return f"{kills} of {kills}: {old} times the old schema, {new} times the new one, never half"
