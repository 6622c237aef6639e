"""Whatever the policy guide shows of the tools is run: commands print what stands there, files are read."""

import re
import shlex
from pathlib import Path

import pytest

import intelshare
from intelshare.builtin import builtin_registry
from intelshare.cli.app import run
from intelshare.policy import parse_overlay, parse_treaty

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "policy-guide.md").read_text("utf-8")
DEMO = Path(intelshare.__file__).parent / "demo" / "scenario" / "treaties"
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
# Drawings and tables of treaties are printed again by test_policy_guide.py.
SHOWN = [
    (command, printed.rstrip("\n"))
    for language, block in BLOCKS
    if not language
    for command, printed in re.findall(r"^\$ (intelshare [^\n]*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)
    if not command.startswith("intelshare treaty")
]
NORDIC = """\
id = "nordic"
title = "Nordic Framework"
kind = "regional"
in_force = 2020-01-01
source = "invented"



[[party]]
member = "SWE"
in_force = 2020-01-01

[[party]]
member = "NO"
"""
ENDS = {"policy check": 1, "policy explain": 3, "policy diff": 2, "policy prove": None}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """What the guide speaks of: the demo's treaties, one with an error, one before and after a change."""
    monkeypatch.chdir(tmp_path)
    for name in ("treaties", "old", "new"):
        Path(name).mkdir()
    for path in DEMO.iterdir():
        Path("treaties", path.name).write_text(path.read_text("utf-8"), "utf-8")
    climate = Path("treaties", "demo-climate.toml").read_text("utf-8")
    Path("old", "demo-climate.toml").write_text(climate, "utf-8")
    Path("new", "demo-climate.toml").write_text(climate.replace('ceiling = "R1"', 'ceiling = "R2"'), "utf-8")
    Path("tests").symlink_to(ROOT / "tests")
    return tmp_path


@pytest.mark.parametrize(("command", "shown"), SHOWN, ids=[command[11:60] for command, _ in SHOWN])
def test_command_prints_what_the_guide_shows(command, shown, folder, capsys):
    words = shlex.split(command)[1:]
    if words[:2] == ["policy", "prove"]:
        pytest.importorskip("z3")
    if words[:2] == ["policy", "check"]:
        (folder / "treaties" / "nordic.toml").write_text(NORDIC)
    words = [
        found for word in words for found in (sorted(map(str, Path().glob(word))) if "*" in word else [word])
    ]
    ended = run(words)
    assert ended == ENDS.get(" ".join(words[:2]), 0) or (words[1] == "prove" and ended in (0, 1))
    printed = "\n".join(line.rstrip() for line in capsys.readouterr().out.rstrip("\n").split("\n"))
    if words[0] == "conformance":
        # How many vectors there are changes with every one that is added.
        printed, shown = (re.sub(r"^\d+ checked", "N checked", text) for text in (printed, shown))
    assert printed == shown


def test_guide_shows_every_tool():
    shown = {" ".join(command.split()[1:3]) for command, _ in SHOWN}
    assert shown >= {"policy check", "policy test", "policy explain", "policy diff", "label convert"}


MENTIONED = sorted(
    {
        found
        for found in re.findall(r"`(intelshare [^`\n]+)`", TEXT)
        + [line for language, block in BLOCKS if not language for line in block.splitlines()]
        if found.startswith("intelshare ")
    }
)


@pytest.mark.parametrize("command", MENTIONED)
def test_command_and_options_that_the_guide_mentions_exist(command, capsys):
    words = re.findall(r"[^\s\"]+", command.partition("  ")[0])[1:]
    path = []
    for word in words:
        if not re.fullmatch(r"[a-z]+", word) or run([*path, word, "--help"]) != 0:
            break
        path.append(word)
        if path[0] in ("conformance", "errors"):
            break
        if len(path) == 2:
            break
    capsys.readouterr()
    assert path, command
    assert run([*path, "--help"]) == 0
    told = capsys.readouterr().out
    for option in (word for word in words if word.startswith("-") and len(word) > 1):
        assert option in told, (command, option)


TOML = [block for language, block in BLOCKS if language == "toml"]


def test_files_of_the_guide_are_read(folder, capsys):
    registry = builtin_registry()
    treaty, *rest = [block for block in TOML if block.startswith('id = "')]
    assert not rest
    assert parse_treaty(treaty, "demo-climate.toml", registry).provisions
    (overlay,) = [block for block in TOML if block.startswith("[[forbid]]")]
    assert parse_overlay(overlay, "deu.toml", registry).hold
    (case,) = [block for block in TOML if block.startswith("[world]")]
    (matrix,) = [block for block in TOML if block.startswith("[[matrix]]")]
    (folder / "overlays").mkdir()
    (folder / "overlays" / "fra.toml").write_text(overlay)
    (folder / "treaties" / "guide_test.toml").write_text(case + matrix)
    assert run(["policy", "test", "treaties/guide_test.toml"]) == 0
    assert "5 cases, 0 failures, 0 warnings" in capsys.readouterr().out
