"""``treaty timeline`` shows a party leaving, coming back and leaving again."""

import json

import pytest

from intelshare import instant
from intelshare.cli.app import run
from intelshare.packs import builtin_registry
from intelshare.policy import parse_treaty
from intelshare.policy_tools import events, lanes

PARIS = """\
id = "paris"
title = "Paris Agreement"
kind = "multilateral"
adopted = 2015-12-12
in_force = 2016-11-04
source = "shortened for this test"

[[party]]
member = "FRA"
in_force = 2016-11-04

[[party]]
member = "USA"
periods = [{ from = 2016-11-04, until = 2020-11-04 }, { from = 2021-02-19, until = 2026-01-27 }]

[[provision]]
article = "art. 7"
categories = ["climate"]
ceiling = "R0"
until = 2030-01-01
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "paris.toml"
    path.write_text(PARIS)
    return str(path)


def test_leaving_returning_and_leaving_again_is_seen_in_the_lane():
    treaty = parse_treaty(PARIS, "paris.toml", builtin_registry())
    _, _, strips = lanes(treaty, instant.parse("2026-11-24"))
    assert len(strips["USA"]) == 60
    assert "#x" in strips["USA"].rstrip("x")
    assert "x#" in strips["USA"]
    assert strips["USA"].endswith("x")
    assert "x" not in strips["FRA"]


def test_every_dated_fact_is_an_event_in_order():
    found = events(parse_treaty(PARIS, "paris.toml", builtin_registry()))
    assert [event.at for event in found] == sorted(event.at for event in found)
    assert [event.what for event in found if event.who == "USA"] == [
        "in force",
        "withdrawn",
        "in force again",
        "withdrawn",
    ]
    assert [event.what for event in found if event.who == "art. 7"] == ["ends (sunset)"]


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("list", "Paris Agreement"),
        ("show", "art. 7 2030-01-01"),
        ("compare", "USA 2020-11-04"),
        ("timeline", "in force again"),
    ],
)
def test_commands_print_text_and_json(command, shown, file, capsys):
    assert run(["treaty", command, file]) == 0
    assert shown in capsys.readouterr().out
    assert run(["treaty", command, file, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["schema"].startswith("intelshare/treat")
