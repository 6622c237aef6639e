"""Commands of ``intelshare`` in processes forked from one that has imported the whole command line.

Most of the time of a short command is the start of Python and its imports, and the end to end tests run
hundreds of them. A forked command is a process of its own, as one that was started is: with its own
arguments, environment, folder, files and exit code. Only what it imports was imported before.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from intelshare.patience import patient
from processes import LIMIT, SHOWN, Ended, left_behind, process

_LATER = ("intelshare.client", "intelshare.node.offline", "intelshare.node.run", "grpc.aio")
"""What commands import while they run."""


def finished(words: Sequence[str | Path], *, stdin: str, cwd: Path | None, env: Mapping[str, str]) -> Ended:
    """Run ``intelshare`` with these words to its end. Raises AssertionError if it takes too long or leaves
    a process behind."""
    with tempfile.TemporaryDirectory() as home:
        files = {name: Path(home) / name for name in ("stdin", "stdout", "stderr")}
        files["stdin"].write_text(stdin, "utf-8")
        code = _run({
            "words": [str(word) for word in words],
            "cwd": str(cwd or Path.cwd()),
            "env": dict(env),
            "files": {name: str(path) for name, path in files.items()},
        })  # fmt: skip
        out, err = (files[name].read_text("utf-8", "replace") for name in ("stdout", "stderr"))
    assert code is not None, (
        f"intelshare {words} had not ended after {patient(LIMIT):g} s; it wrote, at last:\n"
        f"{(out + err)[-SHOWN:]}"
    )
    return Ended(code, out, err)


def _run(ask: Mapping[str, object]) -> int | None:
    """The exit code of one command; None if it took too long and was killed."""
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps(ask).encode() + b"\n")
    group = int(server.stdout.readline())
    late = not select.select([server.stdout], [], [], patient(LIMIT))[0]
    if late:
        os.killpg(group, signal.SIGKILL)
    code = int(server.stdout.readline())
    left = left_behind(group)
    assert late or not left, f"{ask['words']}: left behind: {left}"
    return None if late else code


@functools.cache
def _server() -> subprocess.Popen[bytes]:
    """The process that forks; it ends with this one. Unbuffered: what was read ahead is not waited for."""
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(
        process([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    )


def _serve() -> NoReturn:
    """Import everything; then for each line of standard input fork a command, tell its id and its code."""
    from intelshare.cli.shared.commands import COMMANDS

    before = dict(os.environ)
    for module in (*(entry.target.partition(":")[0] for entry in COMMANDS.values()), *_LATER):
        import_module(module)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for line in sys.stdin:
        ask = json.loads(line)
        child = os.fork()
        if not child:
            _become(ask, before)
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()
    sys.exit()


def _become(ask: dict[str, object], before: Mapping[str, str]) -> NoReturn:
    """Be the command, as if it had been started."""
    from intelshare.cli import main

    os.setsid()
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        flags = os.O_WRONLY | os.O_CREAT if number else os.O_RDONLY
        os.dup2(os.open(ask["files"][name], flags, 0o600), number)  # type: ignore[index]
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - for as long as the process lives
    for name in before.keys() - ask["env"].keys():  # type: ignore[attr-defined]
        del os.environ[name]
    os.environ.update(ask["env"])  # type: ignore[call-overload]
    os.chdir(str(ask["cwd"]))
    sys.argv = ["intelshare", *ask["words"]]  # type: ignore[misc]
    code = 1
    try:
        main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


if __name__ == "__main__":
    _serve()
