"""A run of seeds in pieces."""

from __future__ import annotations

from pathlib import Path

import pytest

from intelshare.errors import ConfigError
from intelshare.sim import many, resuming
from intelshare.sim.many import outcomes
from intelshare.sim.resuming import resumed


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
    first = list(resumed(done, [1, 2]))
    again = list(resumed(done, [1, 2, 4]))
    assert ran == [1, 2, 4]
    assert again[:2] == first
    assert again == list(many.outcomes([1, 2, 4]))


def test_a_line_that_was_cut_short_is_run_again(tmp_path: Path, ran: list[int]) -> None:
    done = tmp_path / "done.jsonl"
    whole = list(resumed(done, [1, 2]))
    text = done.read_text()
    done.write_text(text[:-30])
    assert list(resumed(done, [1, 2])) == whole
    assert ran == [1, 2, 2]
    assert done.read_text() == text


@pytest.mark.parametrize("text", ["nonsense\n{}\n", '{"bug": "short-memory", "seed": 1}\n\n'])
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "done").write_text(text)
    with pytest.raises(ConfigError, match="INPUT_INVALID"):
        list(resumed(tmp_path / "done", [1]))
    assert (tmp_path / "done").read_text() == text
