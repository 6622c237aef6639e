"""``node drain``: what it says and waits for, with a node that answers from a list."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from intelshare.cli.app import run
from intelshare.cli.operator import waiting
from intelshare.cli.shared.node_folder import NodeFolder
from intelshare.errors import ConfigError
from intelshare.wire.v1 import user_pb2 as pb

AWAY = ConfigError("NODE_UNREACHABLE", "it is being restarted")


def asked(monkeypatch: pytest.MonkeyPatch, *answers: pb.DrainResponse | ConfigError) -> list[Any]:
    """Let the running node give these answers; return what it is asked."""
    questions, given = list[Any](), iter(answers)

    def answer(_: NodeFolder, method: str, request: Any) -> Iterator[Any]:
        questions.append((method, request))
        one = next(given)
        if isinstance(one, ConfigError):
            raise one
        return one  # type: ignore[return-value]

    monkeypatch.setattr(NodeFolder, "ask_running", answer)
    monkeypatch.setattr(waiting, "_POLL", 0)
    return questions


def test_a_wait_goes_on_over_a_restart_of_the_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    some, none = pb.DrainResponse(queued=2, replica="b"), pb.DrainResponse(replica="b")
    questions = asked(monkeypatch, some, AWAY, AWAY, some, none)
    words = ["node", "drain", "--folder", str(tmp_path), "--replica", "b", "--wait", "60", "--json"]
    assert run(words) == 0
    assert len(questions) == 5
    found = json.loads(capsys.readouterr().out)
    assert (found["draining"], found["queued"], found["replica"]) == (True, "0", "b")


def test_what_other_replicas_deliver_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked(monkeypatch, pb.DrainResponse(queued=2, replica="b", others_deliver=True))
    stopped = list[Any]()
    monkeypatch.setattr(waiting, "_stop", lambda *which: stopped.append(which))
    words = ["node", "drain", "--folder", str(tmp_path), "--replica", "b", "--wait", "60", "--stop"]
    assert run(words) == 0
    assert stopped == [(tmp_path, "b")]
    said = capsys.readouterr().out
    assert "queued 2, unacknowledged 0: of all replicas; the others deliver it too\n" in said


def test_what_was_stopped_is_still_drained_and_says_how_that_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked(monkeypatch, pb.DrainResponse(replica="b"))
    monkeypatch.setattr(waiting, "_stop", lambda *_: None)
    assert run(["node", "drain", "--folder", str(tmp_path), "--replica", "b", "--stop"]) == 0
    said = capsys.readouterr()
    assert "replica b has stopped" in said.out
    assert "node drain --undo --replica b" in said.err
