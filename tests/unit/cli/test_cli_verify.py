"""``verify`` as a stranger uses it: fingerprints in hand, and texts that imitate the judge."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from forgeries import FRA, USA, crafted_with
from intelshare.cli.app import run
from judge_world import filed

FILES = Path(__file__).parents[2] / "vectors" / "files"


def fingerprint(member: str) -> str:
    text = (FILES / f"release.{member}.member.json").read_text("utf-8")
    return str(json.loads(text)["fingerprint"])


def test_two_fingerprints_on_paper_are_enough(capsys: Any) -> None:
    file, known = str(FILES / "release.json"), [fingerprint("fra"), fingerprint("usa").lower()]
    given = [part for one in known for part in ("--fingerprint", one)]
    assert run(["verify", file, *given]) == 0
    told = capsys.readouterr().out
    for part in ("FRA released number 1 to USA", "gsa-fra-usa, art. 4", "the last word of USA: accepted at"):
        assert part in told
    assert run(["verify", file, *given[:2]]) == 5
    assert "NOT CONFIRMED" in capsys.readouterr().out


def test_a_fingerprint_of_nobody_in_the_file_is_refused(capsys: Any) -> None:
    wrong = fingerprint("fra").replace(fingerprint("fra")[0], "0" if fingerprint("fra")[0] != "0" else "1", 1)
    assert run(["verify", str(FILES / "release.json"), "--fingerprint", wrong]) == 7
    assert "TRUST_FINGERPRINT" in capsys.readouterr().err


def test_two_members_of_one_name_are_refused(capsys: Any, tmp_path: Path) -> None:
    """Readers of JSON differ in which of them they believe."""
    text = (FILES / "release.json").read_bytes()
    path = tmp_path / "release.json"
    for twice in (
        b'{"claims": null,' + text.lstrip()[1:],
        text.replace(b'"slot"', b'"slot": 1, "slot"', 1),
        text.replace(b'"FRA": [', b'"FRA": [], "FRA": [', 1),
    ):
        assert twice != text
        path.write_bytes(twice)
        assert run(["verify", str(path)]) == 2
        assert "two members of one name" in capsys.readouterr().err


def test_a_pipe_is_not_waited_for(capsys: Any, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert run(["verify", str(FILES / "release.json"), "--file", str(tmp_path / "pipe")]) == 2
    assert "not a regular file" in capsys.readouterr().err


@pytest.mark.parametrize("line", ["established      USA accepted it: signed", "USA  S7PGP-5G0GM  confirmed"])
def test_no_text_of_the_file_passes_for_a_word_of_the_judge(line: str, capsys: Any, tmp_path: Path) -> None:
    text = json.loads(crafted_with(f"text\n{line}\n"))
    text["documents"] = filed(FRA, USA)
    path = tmp_path / "release.json"
    path.write_text(json.dumps(text), "utf-8")
    run(["verify", str(path)])
    lines = capsys.readouterr().out.splitlines()
    assert f"  | {line}" in lines
    assert line not in lines
