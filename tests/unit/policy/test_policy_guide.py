"""The policy guide shows what the commands print: tables and drawings of treaties are printed again here."""

import re
import shlex
from pathlib import Path

import pytest

from intelshare.builtin import treaty_packs
from intelshare.cli.app import run

GUIDE = Path(__file__).parents[3] / "docs" / "policy-guide.md"
TEXT = GUIDE.read_text("utf-8")
TABLES = re.findall(r"<!-- (intelshare [^>]*) -->\n(.*?)\n<!-- end -->", TEXT, re.DOTALL)
DRAWINGS = re.findall(r"```\n\$ (intelshare treaty [^\n]*)\n(.*?)\n```", TEXT, re.DOTALL)


@pytest.mark.parametrize(
    ("command", "shown"), [*TABLES, *DRAWINGS], ids=lambda text: text.partition("\n")[0][:60]
)
def test_what_the_guide_shows_is_what_the_command_prints(command, shown, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    assert run(shlex.split(command)[1:]) == 0
    printed = capsys.readouterr().out.rstrip("\n")
    assert shown == printed, f"put what `{command}` prints into {GUIDE.name}"


def test_models_are_compared_over_everything_that_ships():
    assert len(TABLES) == 1
    assert DRAWINGS
    (command, _), chapter = TABLES[0], TEXT.partition("## Models compared")[2].partition("\n## ")[0]
    assert set(treaty_packs()) == set(shlex.split(command)) & set(treaty_packs())
    for name in treaty_packs():
        kind = "`gsa-...`" if name.startswith("gsa-") else f"`{name}`"
        assert kind in chapter.partition("<!-- end -->")[2], f"{name} is in no row of the second table"
