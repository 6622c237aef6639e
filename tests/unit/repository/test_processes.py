"""Every process of a test is started in one place, and ends; every limit is scaled by one factor."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from intelshare.client import Client, Profile
from intelshare.errors import ConfigError
from intelshare.patience import VARIABLE, patient
from intelshare.wire.v1 import user_pb2 as pb
from processes import ended, finished, process
from waits import wait_until

TESTS = Path(__file__).parents[2]

STUBBORN = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
while True:
    signal.pause()
"""
PARENT = f"""
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", {STUBBORN!r}])
"""
KILLED = """
import os, sys
sys.path[:0] = sys.argv[1:]
from processes import process
with process([sys.executable, "-c", "import time; print('child', flush=True); time.sleep(600)"]):
    sys.stdin.read()
"""


def test_no_test_of_nodes_starts_a_process_elsewhere() -> None:
    for room in ("e2e", "integration"):
        for path in sorted((TESTS / room).glob("*.py")):
            called = {
                node.func.attr
                for node in ast.walk(ast.parse(path.read_text("utf-8")))
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            }
            assert not called & {"Popen", "check_output", "check_call", "create_subprocess_exec"}, path
            assert "subprocess.run(" not in path.read_text("utf-8"), path


def test_a_process_gets_ctrl_c_however_pytest_was_started() -> None:
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with process([sys.executable, "-c", "print(flush=True); input()"], **pipes) as one:
        assert one.stdout is not None
        # Before its own first line, Python ends by another code.
        one.stdout.readline()
        assert _catches(one.pid, signal.SIGINT)
        one.send_signal(signal.SIGINT)
        assert ended(one) == -signal.SIGINT


def _catches(pid: int, number: signal.Signals) -> bool:
    """From /proc: whether a process has a handler of its own for a signal."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    caught = next(int(line.split()[1], 16) for line in lines if line.startswith("SigCgt"))
    return bool(caught >> (number - 1) & 1)


def test_a_process_that_obeys_no_signal_is_killed_and_fails_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processes._GRACE", 0.2 / patient(1))
    with pytest.raises(AssertionError, match="did not end by SIGTERM and was killed"):
        _run_until_it_is_ready(STUBBORN)


def _run_until_it_is_ready(program: str, *, ends: bool = False) -> None:
    with process([sys.executable, "-c", program], stdout=subprocess.PIPE) as one:
        assert one.stdout is not None
        assert one.stdout.readline() == b"ready\n"
        if ends:
            ended(one)


def test_a_process_that_stands_still_is_woken_to_end() -> None:
    with process([sys.executable, "-c", "print('ready', flush=True); input()"], stdin=subprocess.PIPE) as one:
        one.send_signal(signal.SIGSTOP)
    assert one.returncode == -signal.SIGTERM


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="a group is read from /proc")
def test_a_process_that_leaves_another_behind_fails_the_test() -> None:
    with pytest.raises(AssertionError, match="left behind"):
        _run_until_it_is_ready(PARENT, ends=True)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere nothing tells the child")
def test_a_process_ends_with_the_one_that_started_it_also_when_that_is_killed() -> None:
    words = [sys.executable, "-c", KILLED, str(TESTS), *filter(None, sys.path)]
    with process(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"child\n"
        parent.kill()
        # The end of the pipe: nobody is left who could write to it.
        assert parent.stdout.read() == b""


def test_a_command_that_takes_too_long_tells_what_it_wrote() -> None:
    with pytest.raises(AssertionError, match=r"had not ended after .* it wrote, at last:\nhalf"):
        finished(["sh", "-c", "echo half; exec sleep 600"], seconds=0.5)


def test_a_wait_in_vain_tells_what_was_there_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("waits.LIMIT", 0.0)
    with pytest.raises(AssertionError) as caught:
        wait_until(lambda: "", "the impossible", seen=lambda: ["--- FRA", "link.closed"])
    assert str(caught.value) == (
        "waited 0 s in vain for the impossible; the last look gave ''\n--- FRA\nlink.closed"
    )


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "101", "much", "1e9"])
def test_a_factor_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="FIELD_RANGE"):
        patient(1, {VARIABLE: text})


def test_one_factor_scales_the_deadline_of_a_call_and_nothing_is_set_by_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert (patient(10, {}), patient(10, {VARIABLE: ""}), patient(10, {VARIABLE: "2.5"})) == (10, 10, 25)
    assert os.environ[VARIABLE]
    monkeypatch.setenv(VARIABLE, "3")
    nowhere = _Nowhere()
    with Client(Profile(Path(), "FRA", "a", "", "", "x"), channel=nowhere) as client:  # type: ignore[arg-type]
        client.whoami()
    assert nowhere.deadlines == [30]


@pytest.mark.parametrize("method", ["KeyImpact", "RemoveMember", "RevokeKey", "Repair", "VerifyAudit"])
def test_a_call_that_reads_all_records_of_a_kind_may_take_long(method: str) -> None:
    """On a large node it always ended with TIMED_OUT."""
    nowhere = _Nowhere()
    with Client(Profile(Path(), "FRA", "a", "", "", "x"), channel=nowhere) as client:  # type: ignore[arg-type]
        client.operate(method, pb.WhoAmIRequest())
    assert nowhere.deadlines == [patient(600)]


class _Nowhere:
    """A channel that leads nowhere and notes how long each call may take: nothing here depends on a clock."""

    def __init__(self) -> None:
        self.deadlines: list[float] = []

    def unary_unary(self, *_: object, **__: object) -> Callable[..., pb.WhoAmIResponse]:
        def call(_: object, *, timeout: float) -> pb.WhoAmIResponse:
            self.deadlines.append(timeout)
            return pb.WhoAmIResponse()

        return call

    unary_stream = stream_unary = stream_stream = unary_unary

    def close(self) -> None:
        """Nothing is open."""
