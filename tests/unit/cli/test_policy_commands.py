"""Policy commands as an author uses them: again after each save, for a harness, for all members."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from intelshare.cli.app import run
from intelshare.errors import Place
from intelshare.policy_tools import Result, Severity, tap
from waits import wait_until

TREATY = """\
id = "pact"
title = "Pact"
kind = "bilateral"
in_force = 2000-01-01
source = "invented"

[[provision]]
article = "art. 1"
categories = ["cyber"]
ceiling = "R4"

[[party]]
member = "FRA"
in_force = 2000-01-01

[[party]]
member = "USA"
in_force = 2000-01-01
"""


def test_of_a_data_folder_only_the_law_is_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The runbook names the folder: what is found in settings and profiles would hide what counts."""
    for name, text in (
        ("node.toml", 'member = "FRA"\n'),
        ("users/m.durand/profile.toml", 'member = "FRA"\n'),
        ("treaties/pact.toml", TREATY),
        ("overlays/fra.toml", "member = \n"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert run(["policy", "check", str(tmp_path)]) == 1
    told = capsys.readouterr()
    assert "1 errors" in told.out + told.err
    assert "fra.toml:1" in told.out + told.err


CASES = """\
[world]
treaties = ["pact.toml"]

[[case]]
name = "secret goes"
at = 2026-01-01
from = "FRA"
to = "USA"
label = "//FRA SECRET//REL TO FRA, USA"
category = "cyber"
expect = "allow"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pact.toml").write_text(TREATY)
    (tmp_path / "pact_test.toml").write_text(CASES)
    return tmp_path


@pytest.mark.parametrize("name", ["test_pact.toml", "pact_tests.toml", "pact-test.toml"])
def test_a_test_that_nothing_runs_is_a_warning_with_the_name_that_it_should_have(
    folder: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / name).write_text(CASES)
    for command in ("check", "test"):
        assert run(["policy", command, str(folder)]) == 0
        shown = capsys.readouterr().out
        assert "warning[TEST_NOT_RUN]" in shown
        assert "_test.toml" in shown
        assert "1 warnings" in shown


def test_tap_has_a_point_for_each_result_and_says_why() -> None:
    results = [
        Result(Severity.PASSED, "a # in a \\ name"),
        Result(Severity.WARNING, "w", "CASE_WITHOUT_REASON", "for any reason", Place("t.toml", 3)),
        Result(Severity.ERROR, "e", "CASE_FAILED", 'expected "allow"\nand more', hint="look"),
    ]
    assert tap(results).splitlines() == [
        "TAP version 14",
        "1..3",
        "ok 1 - a \\# in a \\\\ name",
        "ok 2 - w",
        "  ---",
        '  severity: "warning"',
        '  code: "CASE_WITHOUT_REASON"',
        '  message: "for any reason"',
        '  at: "t.toml:3"',
        "  ...",
        "not ok 3 - e",
        "  ---",
        '  severity: "error"',
        '  code: "CASE_FAILED"',
        '  message: "expected \\"allow\\"\\nand more"',
        '  at: "-"',
        '  hint: "look"',
        "  ...",
    ]


def test_watch_runs_again_after_a_change(folder: Path) -> None:
    shown = folder / "shown.txt"
    command = [sys.executable, "-m", "intelshare", "policy", "test", str(folder), "--watch"]
    with shown.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        try:
            wait_until(lambda: "waiting for a change" in shown.read_text(), "the first run")
            assert "1 cases, 0 failures" in shown.read_text()
            (folder / "pact.toml").write_text(TREATY.replace("R4", "R1"))
            wait_until(lambda: "1 cases, 1 failures" in shown.read_text(), "the second run")
            # A file that is wrong ends nothing: the next save may mend it.
            (folder / "pact.toml").write_text("nonsense")
            wait_until(lambda: shown.read_text().count("waiting for a change") == 3, "the third run")
            (folder / "pact.toml").write_text(TREATY)
            wait_until(lambda: shown.read_text().count("1 cases, 0 failures") == 2, "the fourth run")
        finally:
            process.terminate()


def test_a_matrix_of_many_is_listed_with_those_alike_together(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["policy", "matrix", "nato", "eu-csdp", "--category", "cyber", "--as-of", "2026-11-24"]
    assert run(arguments) == 0
    shown = capsys.readouterr().out
    assert re.search(r"^AUT BEL BGR .* and \d+ more +each other +R4$", shown, re.MULTILINE)
    assert re.search(r"^nothing may be sent between the other \d+ of \d+ pairs", shown, re.MULTILINE)
    assert run([*arguments, "--from", "fra", "--to", "USA", "--to", "DEU"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "from \\ to  DEU          USA",
        "FRA        TRES SECRET  DIFFUSION RESTREINTE",
    ]
    assert run([*arguments, "--from", "FRA", "--json"]) == 0
    assert {cell["from"] for cell in json.loads(capsys.readouterr().out)["cells"]} == {"FRA"}
