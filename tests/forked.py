"""Processes of ``intelshare`` that a server forks, which has imported all that a command or a node needs.

Most of what a short command costs is the start of Python and its imports, and tests start over a thousand. A
forked process is one of its own and a child of the one that asked for it, as one that was started is: it has
its own arguments, environment, folder, files, session, signals and exit code. Only its imports came before.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import gc
import inspect
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

PROGRAM = (sys.executable, "-m", "intelshare")
"""The command whose processes may be forked; the installed script never is."""

REAL = "INTELSHARE_TEST_EXECUTABLE"
"""While this variable is set, nothing is forked."""

_OPTIONS = frozenset(("bufsize", "cwd", "encoding", "env", "errors", "stderr", "stdin", "stdout", "text"))
"""Those of ``subprocess.Popen`` that a forked process obeys."""

_READ_LATE = (
    *("INTELSHARE_", "XDG_", "SSL_CERT_", "PYTEST_", "SOFTHSM2_"),
    *(
        "EDITOR",
        "HOME",
        "PATH",
        "TMPDIR",
        "NO_COLOR",
        "COLUMNS",
        "LINES",
        "TERM",
        "_INTELSHARE_COMPLETE",
        "COMP_",
    ),
)
"""How variables begin that nothing reads on import. With another value of any other, nothing is forked."""

_SET_ON_IMPORT = ("GRPC_VERBOSITY", "NONE")
"""What the command line sets on import where it is not set: also in the environment of a test."""

_LATER = ("intelshare.client", "intelshare.node.offline", "intelshare.node.run", "grpc.aio")
"""What commands import while they run."""

_PIPES = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")

_MOST = 1 << 17
"""Bytes of a request."""

_SET_DEATH_SIGNAL, _SET_SUBREAPER = 1, 36
"""Of prctl(2)."""

_allowed = False


def allow(allowed: bool) -> None:
    """From now on processes may be forked, or not. At first they may not."""
    global _allowed  # noqa: PLW0603 - one switch for all that a test starts
    _allowed = allowed and sys.platform.startswith("linux")


def may_fork(words: Sequence[str], options: Mapping[str, Any]) -> bool:
    """Whether a forked process is the same as one that is started with these words and options."""
    given = options.get("env")
    return (
        _allowed
        and REAL not in os.environ
        and tuple(words[: len(PROGRAM)]) == PROGRAM
        and options.keys() <= _OPTIONS
        and _read_early(os.environ if given is None else given) == _server().environment
    )


def _read_early(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith(_READ_LATE) and (name, value) != _SET_ON_IMPORT
    }


class Forked(subprocess.Popen[Any]):
    """A process of ``PROGRAM``, forked: all that is not its start is that of ``subprocess.Popen``.

    It has a session of its own, and is killed when this process ends.
    """

    def _execute_child(self, *given: Any) -> None:
        names = inspect.signature(subprocess.Popen._execute_child).parameters  # type: ignore[attr-defined]
        start = dict(zip(names, (self, *given), strict=True))
        pipes = {name: start[name] for name in _PIPES}
        files = (pipes["p2cread"], pipes["c2pwrite"], pipes["errwrite"])
        self.pid = _server().fork({
            "words": list(start["args"][len(PROGRAM) :]),
            "folder": os.fspath(start["cwd"] or os.getcwd()),
            "environment": dict(os.environ if start["env"] is None else start["env"]),
        }, [number if file == -1 else file for number, file in enumerate(files)])  # fmt: skip
        self._child_created = True
        self._close_pipe_fds(**pipes)  # type: ignore[attr-defined]


class _Server:
    """The process that forks; it ends with this one."""

    def __init__(self) -> None:
        self.environment = _read_early(os.environ)
        self._one = threading.Lock()
        self._asks, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            # -P: this folder is no place to import from. A Ctrl-C at a terminal is not for the server.
            self._process = subprocess.Popen(
                [sys.executable, "-P", __file__, str(theirs.fileno())],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def fork(self, start: Mapping[str, object], files: Sequence[int]) -> int:
        """The id of a process that is forked. It is a child of this process."""
        with self._one:
            # A child of a process that has ended goes to the next above it that takes such children.
            _prctl(_SET_SUBREAPER, 1)
            try:
                socket.send_fds(self._asks, [json.dumps({**start, "umask": _umask()}).encode()], files)
                answer = self._asks.recv(_MOST)
            finally:
                _prctl(_SET_SUBREAPER, 0)
        assert answer, "the process that forks for tests has ended"
        return int(answer)

    def close(self) -> None:
        """End it."""
        self._asks.close()
        self._process.wait()


@functools.cache
def _server() -> _Server:
    server = _Server()
    atexit.register(server.close)
    return server


def _umask() -> int:
    """That of this process, which only a change of it tells otherwise."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1], 8) for line in lines if line.startswith("Umask"))


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _serve(asks: socket.socket) -> NoReturn:
    """Import everything; then fork for each request, and tell the id of the process."""
    from intelshare.cli.shared.commands import COMMANDS

    asker, before = os.getppid(), set(os.environ)
    for module in (*(entry.target.partition(":")[0] for entry in COMMANDS.values()), *_LATER):
        import_module(module)
    found = {name: value for name, value in os.environ.items() if name not in before}
    open_files = {int(name) for name in os.listdir("/proc/self/fd")} - {0, 1, 2, asks.fileno()}
    assert len(os.listdir("/proc/self/task")) == 1, "an import has started a thread"
    assert len(open_files) == 1, f"an import has opened a file: {open_files}"  # the one is of the list
    # What is imported is no garbage in any child, and no child writes to its pages to find that out.
    gc.collect()
    gc.freeze()
    while True:
        text, files, _, _ = socket.recv_fds(asks, _MOST, 3)
        if not text:
            os._exit(0)
        ours, theirs = socket.socketpair()
        # A process between ends at once, so that its child becomes one of the process that has asked.
        between = os.fork()
        if not between:
            if os.fork():
                os._exit(0)
            theirs.send(str(os.getpid()).encode())
            theirs.recv(1)
            for ended in (asks, ours, theirs):
                ended.close()
            _become(json.loads(text), files, asker, found)
        child = ours.recv(_MOST)
        os.waitpid(between, 0)
        asks.send(child)
        ours.send(b".")
        for file in files:
            os.close(file)
        ours.close()
        theirs.close()


def _become(start: dict[str, Any], files: Sequence[int], asker: int, found: Mapping[str, str]) -> NoReturn:
    """Be the command, as if Python had started with it."""
    os.setsid()
    _prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != asker:
        os._exit(1)
    for number, (file, name) in enumerate(zip(files, ("stdin", "stdout", "stderr"), strict=True)):
        os.dup2(file, number)
        os.close(file)
        old, mode, buffering = getattr(sys, name), "w" if number else "r", 1 if number == 2 else -1
        new = open(number, mode, buffering, old.encoding, old.errors, closefd=False)  # noqa: SIM115
        setattr(sys, name, new)
        setattr(sys, f"__{name}__", new)
    os.umask(start["umask"])
    os.chdir(start["folder"])
    environment = found | start["environment"]
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    os.environ.update(environment)
    sys.path.insert(0, os.getcwd())
    sys.argv[1:] = start["words"]
    code = 0
    try:
        runpy.run_module("intelshare", run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        code = int(ended.code or 0)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        code = 1
        sys.excepthook(*sys.exc_info())
    # The end of Python without taking apart all that was imported, which nobody sees.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
