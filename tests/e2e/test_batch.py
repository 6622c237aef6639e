"""Many bulletins of one file through real processes, killed or interrupted: none lost, none stored twice."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from e2e.nodes import copied, found, intelshare, introduce, ok, running, wait_for_links, wait_until
from processes import ended, process

SHARED = "//FRA SECRET//REL TO FRA, USA"

MANY = 450
"""More than are stored before a signal arrives, and no more than one answer lists."""


class Sender:
    """FRA, which has met USA; whether either runs is up to the test."""

    def __init__(self, home: Path) -> None:
        self.fra, self.usa = home / "fra", home / "usa"
        self.ana, self.smith = self.fra / "users" / "ana", self.usa / "users" / "ana"
        self.file = home / "bulletins.ndjson"

    def write(self, texts: Sequence[str], to: str = "USA") -> None:
        line = {"to": [to], "category": "cyber", "label": SHARED}
        self.file.write_text("".join(json.dumps(line | {"text": text}) + "\n" for text in texts))

    def batch(self, *words: str) -> tuple[str | Path, ...]:
        return ("send", "--batch", self.file, "--as", self.ana, "--json", *words)

    def stored(self) -> list[str]:
        entries = ok("outbox", "--as", self.ana, "--limit", "500", "--json").json["entries"]
        return sorted(entry["bulletin"] for entry in entries)


@pytest.fixture(name="met", scope="module")
def _met(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders of two members that have met, at rest."""
    home = tmp_path_factory.mktemp("met")
    fra, usa = found(home / "fra", "FRA"), found(home / "usa", "USA")
    with running(fra), running(usa):
        introduce(fra, usa)
        wait_for_links(fra)
    return home


@pytest.fixture(name="sender")
def _sender(met: Path, tmp_path: Path) -> Sender:
    copied(met, tmp_path)
    return Sender(tmp_path)


def results(out: str) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in out.splitlines()]
    return [line for line in lines if line["schema"] == "intelshare/batch-line/1"]


def bulletins(lines: Sequence[dict[str, object]]) -> list[str]:
    return [line["stored"]["bulletin"] for line in lines]  # type: ignore[index]


def test_a_batch_reaches_the_recipient_in_its_order_and_a_second_run_stores_nothing(sender: Sender) -> None:
    texts = [f"bulletin {n}" for n in range(100)]
    sender.write(texts)
    with running(sender.fra), running(sender.usa):
        first = results(ok(*sender.batch()).out)
        assert [line["line"] for line in first] == list(range(1, 101))
        assert sorted(bulletins(first)) == sender.stored()
        again = results(ok(*sender.batch()).out)
        assert [line["stored"] for line in again] == [line["stored"] for line in first]
        assert {line["before"] for line in again} == {True}
        assert sorted(bulletins(first)) == sender.stored()

        def arrived() -> list[str]:
            found = ok("inbox", "--as", sender.smith, "--limit", "500", "--json").json["entries"]
            return [entry["bulletin"] for entry in sorted(found, key=lambda entry: int(entry["sequence"]))]

        wait_until(lambda: arrived() == bulletins(first), "all bulletins in their order at USA")


def test_what_a_killed_node_had_stored_is_answered_byte_for_byte_by_the_same_command(sender: Sender) -> None:
    """Killed after its first answers: of what it has committed by then, much was not answered."""
    sender.write([f"bulletin {n} " + "x" * 6000 for n in range(MANY)])
    with running(sender.fra) as node, _started(sender.batch()) as started:
        assert started.stdout is not None
        first = results(started.stdout.readline())
        node.send_signal(signal.SIGKILL)
        node.wait()
        first += results(started.stdout.read())
        assert started.wait() == 11
        assert started.stderr is not None
        told = started.stderr.read()
    assert f"{len(first)} of {MANY} bulletins are stored for certain" in told
    assert f"intelshare send --batch {sender.file}" in told
    with running(sender.fra):
        committed = sender.stored()
        assert set(bulletins(first)) <= set(committed)
        assert 0 < len(committed) < MANY
        again = results(ok(*sender.batch()).out)
        assert [line["stored"] for line in again[: len(first)]] == [line["stored"] for line in first]
        assert sender.stored() == sorted(bulletins(again))
        assert len(set(bulletins(again))) == MANY
        assert set(committed) <= set(bulletins(again))


def test_ctrl_c_says_what_is_stored_and_the_same_command_completes_it(sender: Sender) -> None:
    sender.write([f"bulletin {n} " + "x" * 6000 for n in range(MANY)])
    with running(sender.fra):
        with _started(sender.batch()) as started:
            assert started.stdout is not None
            first = results(started.stdout.readline())
            started.send_signal(signal.SIGINT)
            first += results(started.stdout.read())
            assert ended(started) == 130
            assert started.stderr is not None
            told = started.stderr.read()
        assert f"{len(first)} of {MANY} bulletins are stored for certain" in told
        assert "run again: intelshare send --batch" in told
        again = results(ok(*sender.batch()).out)
        assert bulletins(again)[: len(first)] == bulletins(first)
        assert sender.stored() == sorted(bulletins(again))


def test_a_pipe_that_is_closed_ends_the_batch_and_what_is_stored_is_said(sender: Sender) -> None:
    sender.write([f"bulletin {n} " + "x" * 6000 for n in range(MANY)])
    with running(sender.fra):
        with _started(sender.batch()) as started:
            assert started.stdout is not None
            started.stdout.readline()
            started.stdout.close()
            assert started.stderr is not None
            told = started.stderr.read()
            ended(started)
        assert f"of {MANY} bulletins are stored for certain" in told
        assert "run again: intelshare send --batch" in told
        assert len(sender.stored()) < MANY


def test_a_line_that_is_refused_ends_with_5_and_is_sent_alone_once_it_is_corrected(sender: Sender) -> None:
    sender.write(["one", "two"])
    good = sender.file.read_text()
    sender.write(["three"], to="DEU")
    sender.file.write_text(good + sender.file.read_text())
    with running(sender.fra):
        refused = intelshare(*sender.batch())
        assert refused.code == 5
        first = results(refused.out)
        assert first[2]["refused"]["code"] == "UNKNOWN_MEMBER"  # type: ignore[index]
        assert ok("outbox", "--as", sender.ana).err == "", "a refusal is an answer"
        sender.file.write_text(sender.file.read_text().replace("DEU", "USA"))
        again = results(ok(*sender.batch()).out)
        assert bulletins(again)[:2] == bulletins(first[:2])
        assert len(sender.stored()) == 3


def test_a_line_that_cannot_be_sent_stops_the_batch_before_it_begins(sender: Sender) -> None:
    sender.write(["one"])
    sender.file.write_text(sender.file.read_text() + '{"to": ["USA"]}\n')
    with running(sender.fra):
        done = intelshare("send", "--batch", sender.file, "--as", sender.ana)
        assert (done.code, "bulletins.ndjson:2" in done.err) == (2, True)
        assert sender.stored() == []


def _started(words: Sequence[str | Path]) -> AbstractContextManager[subprocess.Popen[str]]:
    return process(
        [sys.executable, "-m", "intelshare", *words],
        ends_by=signal.SIGINT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
