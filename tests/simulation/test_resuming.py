"""A run of seeds in pieces."""

from __future__ import annotations

from pathlib import Path

import pytest

from intelshare.errors import ConfigError
from intelshare.sim import many, resuming
from intelshare.sim.many import outcomes
from intelshare.sim.resuming import resumed, resumed_with_bugs

SHORT = [14, 26]
"""Seeds whose runs are short."""


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The seeds that were really run."""
    seeds: list[int] = []

    def noted(left: list[int], *rest: object) -> object:
        seeds.extend(left)
        return outcomes(left, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(resuming, "outcomes", noted)
    return seeds


def test_what_is_done_is_not_run_again_and_counts_alike(tmp_path: Path, ran: list[int]) -> None:
    done = tmp_path / "done.jsonl"
    first = list(resumed(done, SHORT))
    again = list(resumed(done, [*SHORT, 30]))
    assert ran == [*SHORT, 30]
    assert again[:2] == first
    assert again == list(many.outcomes([*SHORT, 30]))


def test_a_line_that_was_cut_short_is_run_again(tmp_path: Path, ran: list[int]) -> None:
    done = tmp_path / "done.jsonl"
    whole = list(resumed(done, SHORT))
    text = done.read_text()
    done.write_text(text[:-30])
    assert list(resumed(done, SHORT)) == whole
    assert ran == [*SHORT, SHORT[1]]
    assert done.read_text() == text


@pytest.mark.parametrize("text", ["nonsense\n{}\n", '{"bug": "short-memory", "seed": 1}\n\n'])
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "done").write_text(text)
    with pytest.raises(ConfigError, match="INPUT_INVALID"):
        list(resumed(tmp_path / "done", [1]))
    assert (tmp_path / "done").read_text() == text


def test_of_several_planted_bugs_each_has_a_file_of_its_own(tmp_path: Path, ran: list[int]) -> None:
    done, bugs = tmp_path / "done", ("short-memory", "no-backoff")
    first = {bug: list(resumed_with_bugs(done, SHORT, bug, 1)) for bug in bugs}
    assert {bug: list(resumed_with_bugs(done, SHORT, bug, 1)) for bug in bugs} == first
    assert ran == [*SHORT, *SHORT]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["done.no-backoff", "done.short-memory"]
