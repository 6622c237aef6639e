"""Processes that are killed between two system calls: a client in `send`, the node around it, a migration
(F22, F26).

strace holds each call of a client or a node back for a moment, so that it is killed once so many are over. It
could kill at the n-th call by itself, but counts those of each thread apart (6.1): the third call of a
process would be no place to die at where it is the first of its thread. A migration has one thread.
"""

from __future__ import annotations

import itertools
import os
import re
import select
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from e2e.nodes import PROGRAM, ok
from fault_pair import LABELS, Load, Member, check, inbox, two
from fault_world import NotHere
from intelshare.client.spool import spooled
from intelshare.instant import Instant
from intelshare.store.migrate import migrate, migrations
from processes import Ended, clean_environment, ended, finished, outcome, process

_CALLS = ("mkdir", "write", "fsync", "connect", "sendmsg", "recvmsg", "shutdown", "unlink", "rename")
"""Of a client: those with which it changes something, or hears of it.

The rest of the 6,700 calls of a `send` leaves nothing behind: killed among these, it is as if it were killed
before the next one of those. That a file was opened shows in what is written to it.
"""

_NODE_CALLS = ("pwrite64", "fdatasync", "fsync", "write", "rename", "unlink", "sendmsg", "sendto")
"""The same of a node: rows, its sidecar and its log, and what leaves for callers and peers."""

_CLIENT_HELD, _NODE_HELD = 20_000, 2_000
"""Microseconds for which a call is held back. A node makes others meanwhile, the more the longer it takes."""

_TRIES = 3
"""How often a place is tried: another thread may make one more call before the process is dead."""

_APART = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
"""How a client is started."""

_OVER = re.compile(rb"\) += [^?]")
"""In what strace says of a call that is over."""


def _need_strace() -> None:
    if not shutil.which("strace"):
        raise NotHere("strace is missing")


def _killed_at(call: str, number: int, words: tuple[str | Path, ...]) -> Ended:
    """Run a command of one thread that is killed when it makes this call for the n-th time."""
    inject = f"inject={call}:signal=KILL:when={number}"
    prefix = ("strace", "-f", "-qq", "-e", f"trace={call}", "-e", inject, "-o", "/dev/null")
    return finished((*prefix, *words), env=clean_environment())


@contextmanager
def _traced(
    kinds: Sequence[str], held: int, *words: str | Path, **options: Any
) -> Iterator[tuple[subprocess.Popen[Any], Iterator[int]]]:
    """strace with these words, and how many calls of these kinds are over, each time that it may be another
    number.
    """
    reading, writing = os.pipe()
    kind = ",".join(kinds)
    tracer = (
        "strace", "-f", "-qq", "-e", f"trace={kind}", "-e", f"inject={kind}:delay_enter={held}",
        "-o", f"/proc/self/fd/{writing}",
    )  # fmt: skip
    with (
        open(reading, "rb") as said,
        open(writing, "wb") as theirs,
        process((*tracer, *words), pass_fds=(writing,), **options) as started,
    ):
        theirs.close()
        yield started, _over(said.fileno())


def _over(said: int) -> Iterator[int]:
    """It ends with strace and whom it traces."""
    count, rest = 0, b""
    while True:
        if select.select([said], [], [], 0.1)[0]:
            new = os.read(said, 1 << 16)
            if not new:
                return
            *lines, rest = (rest + new).split(b"\n")
            count += sum(_OVER.search(line) is not None for line in lines)
        yield count


def client_killed(times: int) -> str:
    """F26: `send` is killed after each of its calls, then the node after each of its own around it, so often;
    what is open is sent again.

    Each draft is once in the inbox, or nowhere.
    """
    _need_strace()
    nowhere = 0
    with two() as (fra, usa):
        load = Load(fra.folder, "USA")
        words = _send_words(load)

        def client(after: int) -> int:
            nonlocal nowhere
            before = _known_keys(load)
            over = _client_killed(after, (*PROGRAM, *words))
            nowhere += _known_keys(load) == before
            for key in _open_keys(load):
                ok(*words, "--key", key)
            _note(load)
            return over

        def node(after: int) -> int:
            over = _node_killed(fra, (*PROGRAM, *words), after)
            _note(load)
            return over

        told = [f"{_each(client)} of the client and {_each(node)} of the node" for _ in range(times)]
        figures = check(load, lambda: inbox(usa.folder))
    return f"killed after {'; '.join(told)}; {nowhere} times nothing was noted yet; {figures}"


def _each(killed: Callable[[int], int]) -> str:
    """Kill after the first call, after the second, and so on, until the answer is there before; the figure.

    ``killed``: how many calls were over when it was dead; 0: it was not killed.
    """
    met: Counter[int] = Counter()
    for after in itertools.count(1):
        for _ in range(_TRIES):
            over = killed(after)
            met[over] += 1
            if over in (0, after):
                break
        if met[0]:
            calls = after - 1
            there = sum(one in met for one in range(1, after))
            assert there > 0.9 * calls, f"only {there} of {calls} calls: {sorted(met)}"
            return f"{there} of {calls} calls ({met.total() - 1} kills)"
    raise AssertionError


def _send_words(load: Load) -> tuple[str | Path, ...]:
    text = load.folder.parent / "text"
    text.write_text("x")
    return (
        "send", text, "--as", load.profile, "--to", load.to, "--label", LABELS["FRA"],
        "--category", "cyber", "--json",
    )  # fmt: skip


def _spooled(load: Load) -> Iterator[tuple[str, str]]:
    now = Instant(time.time_ns() // 1000)
    return ((one.key.hex(), one.bulletin) for one in spooled(load.profile / "spool", now))


def _known_keys(load: Load) -> set[str]:
    """All keys in the client's memory."""
    return {key for key, _ in _spooled(load)}


def _open_keys(load: Load) -> set[str]:
    """Keys in the client's memory without an answer."""
    return {key for key, bulletin in _spooled(load) if not bulletin}


def _note(load: Load) -> None:
    """What the client's memory says had OK."""
    load.had_ok |= {bulletin for _, bulletin in _spooled(load) if bulletin}


def _client_killed(after: int, words: Sequence[str | Path]) -> int:
    """`send` is killed once so many of its calls are over; how many were, or 0 if it ended before."""
    with _traced(_CALLS, _CLIENT_HELD, *words, **_APART) as (traced, calls):
        over = next((over for over in calls if over >= after), 0)
        if over:
            (client,) = Path(f"/proc/{traced.pid}/task/{traced.pid}/children").read_text().split()
            os.kill(int(client), signal.SIGKILL)
        over = max((over, *calls))
        return over if ended(traced) else 0


def _node_killed(member: Member, words: Sequence[str | Path], after: int) -> int:
    """The node is killed once so many of its calls are over since `send` began; then the command that this
    prints. How many were over, or 0 if the client had ended before.
    """
    with _traced(_NODE_CALLS, _NODE_HELD, "-p", str(member.process.pid)) as (traced, calls):
        traced_by = time.monotonic() + 0.5
        before = next(over for over in calls if time.monotonic() > traced_by)
        with process(words, text=True, env=clean_environment(), **_APART) as client:
            over = next(over for over in calls if over >= before + after or client.poll() is not None)
            killed = client.poll() is None
            if killed:
                member.process.kill()
                over = max((over, *calls))
            else:
                traced.terminate()
            done = outcome(client)
        ended(traced)
    if killed:
        member.stop()
        member.start()
    if done.code == 11:
        hint = next(line for line in done.err.splitlines() if "intelshare send" in line)
        ok(*shlex.split(hint[hint.index("intelshare send") :])[1:])
    return over - before if killed else 0


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
