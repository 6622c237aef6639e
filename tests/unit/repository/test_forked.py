"""A forked process of ``intelshare`` is what one is that its executable has started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import forked
from forked import PROGRAM, REAL
from processes import clean_environment, ended, finished, outcome, process
from waits import wait_until

TESTS = Path(__file__).parents[2]

WAITS = (*PROGRAM, "label", "parse", "--file", "-")
"""A command that reads its standard input, and waits there until a test has seen enough."""

OTHERS = """
import sys
sys.path[:0] = sys.argv[1:]
import forked
from processes import process
forked.allow(True)
words = [*forked.PROGRAM, "label", "parse", "--file", "-"]
with process(words, stdin=sys.stdin.fileno(), stdout=sys.stdout.fileno()) as one:
    assert isinstance(one, forked.Forked)
    print(one.pid, flush=True)
    sys.stdin.buffer.raw.read(1)
    one.wait()
"""

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere nothing is forked"),
    pytest.mark.skipif(REAL in os.environ, reason="nothing is forked in this run"),
]


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], Any]:
    """Does something with forked processes, then with the executable; what both gave."""

    def compare(do: Callable[[], Any]) -> Any:
        assert forked.may_fork(PROGRAM, {})
        mine = do()
        with monkeypatch.context() as real:
            real.setenv(REAL, "1")
            assert not forked.may_fork(PROGRAM, {})
            assert do() == mine
        return mine

    return compare


@pytest.mark.parametrize(
    ("words", "stdin", "code"),
    [
        (["errors", "NOFORN"], "", 0),
        (["errors", "NO_SUCH_CODE", "--json"], "", 8),
        (["label", "parse", "--file", "-"], "//FRA SECRET//REL TO FRA, USA", 0),
        (["label", "parse", "//FRA SÉCRTE"], "", 2),
        (["no-such-command"], "", 2),
        (["node", "health", "--folder", "nowhere"], "", 6),
    ],
)
def test_exit_code_and_output_are_the_same(words: list[str], stdin: str, code: int, both: Any) -> None:
    assert both(lambda: finished([*PROGRAM, *words], stdin=stdin, env=clean_environment())).code == code


def test_a_file_is_found_from_the_folder_and_the_environment_is_the_given_one(
    tmp_path: Path, both: Any
) -> None:
    (tmp_path / "text").write_text("//FRA NONSENSE\n")
    env = clean_environment(INTELSHARE_FOLDER=str(tmp_path / "mine"), XDG_CONFIG_HOME=str(tmp_path))
    words = [*PROGRAM, "config", "show", "--json"]
    assert str(tmp_path / "mine") in both(lambda: finished(words, cwd=tmp_path, env=env)).out
    words = [*PROGRAM, "label", "parse", "--file", "text"]
    both(lambda: finished(words, cwd=tmp_path, env=env))


def test_what_the_kernel_knows_of_a_process_is_the_same(tmp_path: Path, both: Any) -> None:
    def known() -> dict[str, object]:
        before, errors = os.umask(0o027), (tmp_path / "errors").open("w")
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL, "stderr": errors}
        try:
            with errors, process(WAITS, cwd=tmp_path, env=clean_environment(), **pipes) as one:
                at = Path(f"/proc/{one.pid}")
                _wait_for_a_read(at)
                status = dict(line.split(":\t", 1) for line in (at / "status").read_text().splitlines())
                files = {path.name: os.readlink(path) for path in (at / "fd").iterdir()}
                assert files.pop("0").startswith("pipe:")
                assert os.getsid(one.pid) == os.getpgid(one.pid) == one.pid
                alike = (
                    "PPid",
                    "Umask",
                    "SigIgn",
                    "SigCgt",
                    "SigBlk",
                    "Threads",
                    "NoNewPrivs",
                    "Seccomp",
                    "CapEff",
                )
                return {
                    "files": files,
                    "folder": os.readlink(at / "cwd"),
                    "program": os.readlink(at / "exe"),
                    "limits": (at / "limits").read_text(),
                    "status": {name: status[name] for name in alike},
                    "end": (one.stdin.close(), ended(one)) if one.stdin else None,
                }
        finally:
            os.umask(before)

    assert both(known)["status"]["PPid"] == str(os.getpid())


def _wait_for_a_read(process: Path) -> None:
    """Until a process waits for what comes by a pipe."""

    def waits_in() -> str:
        return (process / "wchan").read_text()

    wait_until(lambda: "pipe" in waits_in(), "it to read", signs=waits_in)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_it_ends_by_a_signal_as_the_executable_does(number: signal.Signals, both: Any) -> None:
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)

    def killed() -> object:
        with process(WAITS, text=True, env=clean_environment(), **pipes) as one:
            _wait_for_a_read(Path(f"/proc/{one.pid}"))
            os.kill(one.pid, number)
            return outcome(one)

    assert both(killed).code in {130, -number}


def test_a_reader_that_has_gone_away_ends_it_alike(both: Any) -> None:
    def unread() -> object:
        read, write = os.pipe()
        os.close(read)
        try:
            with process([*PROGRAM, "errors"], stdout=write, stderr=subprocess.PIPE, text=True) as one:
                return outcome(one)
        finally:
            os.close(write)

    both(unread)


def test_no_two_have_the_same_random_numbers(tmp_path: Path) -> None:
    """Neither keys, from three libraries, nor any other number that a founding draws."""

    def drawn(name: str) -> Iterator[bytes]:
        finished([*PROGRAM, "init", "FRA", tmp_path / name, "--dev"], check=True, env=clean_environment())
        for path in sorted((tmp_path / name).rglob("*")):
            if path.is_file() and path.suffix in {".pem", ".key"}:
                yield path.read_bytes()

    assert forked.may_fork(PROGRAM, {})
    one, other = list(drawn("one")), list(drawn("other"))
    assert one
    assert not set(one) & set(other)


def test_it_ends_with_the_process_that_asked_for_it_also_when_that_is_killed() -> None:
    words = [sys.executable, "-c", OTHERS, str(TESTS), *filter(None, sys.path)]
    with process(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as asker:
        assert asker.stdout is not None
        assert int(asker.stdout.readline())
        asker.kill()
        # The end of the pipe: neither it nor the process that forked it is left, which has the pipe too.
        assert asker.stdout.read() == b""


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ([sys.executable, "-m", "intelshare.other"], {}),
        (["nice", *PROGRAM], {}),
        ([str(Path(sys.executable).with_name("intelshare"))], {}),
        ([*PROGRAM], {"preexec_fn": os.getpid}),
        ([*PROGRAM], {"pass_fds": (3,)}),
        ([*PROGRAM], {"env": clean_environment(LD_PRELOAD="libfaketime.so.1")}),
        ([*PROGRAM], {"env": clean_environment(PYTHONHASHSEED="1")}),
        ([*PROGRAM], {"env": clean_environment(GRPC_VERBOSITY="DEBUG")}),
        ([*PROGRAM], {"env": {}}),
    ],
)
def test_what_a_fork_would_not_obey_is_started(words: list[str], options: dict[str, Any]) -> None:
    usual = {
        "NO_COLOR": "1",
        "EDITOR": "true",
        "SOFTHSM2_CONF": "x",
        "GRPC_VERBOSITY": "NONE",
        "HOME": "/",
        "PATH": "/bin",
    }
    assert forked.may_fork(PROGRAM, {"env": clean_environment(**usual)})
    assert not forked.may_fork(words, options)
