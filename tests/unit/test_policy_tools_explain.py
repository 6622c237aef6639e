"""``policy explain`` names the rule and its line, and what it says would turn a decision does turn it."""

import json
from pathlib import Path

import pytest

import intelshare
from intelshare import instant
from intelshare.cli.app import run
from intelshare.labels import parse_label
from intelshare.packs import builtin_registry, demo_treaties
from intelshare.policy import Outcome, Request, compile_world, decide, parse_treaty
from intelshare.policy_tools import Change, matrix, turns

TREATIES = str(Path(intelshare.__file__).parent / "demo" / "scenario" / "treaties")
AT = instant.parse("2026-11-24")


@pytest.fixture(scope="module")
def world():
    registry = builtin_registry()
    treaties = [parse_treaty(text, name, registry) for name, text in demo_treaties().items()]
    return compile_world(registry, registry.states, treaties)


def ask(world, label, recipient, at=AT, category="cyber"):
    return Request(parse_label(label, world.registry), category, at, sender="FRA", recipient=recipient)


@pytest.mark.parametrize(
    ("label", "recipient", "at", "expected"),
    [
        (
            "//FRA SECRET//REL TO FRA, KEN",
            "KEN",
            AT,
            {
                Change.LABEL: "//FRA DIFFUSION RESTREINTE//REL TO FRA, KEN",
                Change.RECIPIENT: "USA",
            },
        ),
        ("//FRA SECRET//NOFORN", "USA", AT, {Change.LABEL: "//FRA SECRET//REL TO FRA, USA"}),
        ("//FRA SECRET", "USA", AT, {Change.LABEL: "//FRA SECRET//REL TO FRA, USA"}),
        ("//FRA SECRET//REL TO FRA, KEN", "USA", AT, {Change.LABEL: "//FRA SECRET//REL TO FRA, KEN, USA"}),
        (
            "//FRA DIFFUSION RESTREINTE//REL TO FRA, KEN",
            "KEN",
            instant.parse("2023-12-30"),
            {
                Change.DATE: "2024-01-01T00:00:00Z",
            },
        ),
        (
            "//FRA SECRET//REL TO FRA, USA",
            "USA",
            AT,
            {
                Change.LABEL: "//FRA SECRET//REL TO FRA",
                Change.MEMBERSHIP: "USA not a party of gsa-fra-usa",
            },
        ),
    ],
)
def test_smallest_change_turns_the_decision(world, label, recipient, at, expected):
    request = ask(world, label, recipient, at)
    granted = decide(world, request).outcome is not Outcome.DENY
    found = {turn.change: turn for turn in turns(world, request)}
    assert {change: found[change].what for change in expected} == expected
    assert all((turn.decision.outcome is not Outcome.DENY) is not granted for turn in found.values())


def test_membership_that_is_missing_is_named(world):
    request = ask(world, "//FRA SECRET//REL TO FRA, GBR", "GBR")
    memberships = [turn.what for turn in turns(world, request) if turn.change is Change.MEMBERSHIP]
    assert memberships == ["gsa-fra-usa in force for GBR"]


def test_group_membership_counts(world):
    request = ask(world, "//FRA SECRET//REL TO FRA, NATO", "NATO", category="nothing")
    assert decide(world, request).outcome is Outcome.DENY
    request = ask(world, "//FRA SECRET//REL TO FRA, NATO", "USA")
    whats = [turn.what for turn in turns(world, request) if turn.change is Change.MEMBERSHIP]
    assert whats == ["USA not a party of gsa-fra-usa"]


def test_explanation_shows_rule_article_file_line_and_change(capsys):
    question = ["--from", "FRA", "--to", "KEN", "--category", "cyber", "--at", "2026-11-24"]
    label = ["--label", "//FRA SECRET//REL TO FRA, KEN"]
    assert run(["policy", "explain", TREATIES, *question, *label]) == 3
    out = capsys.readouterr().out
    assert "rule 9, the treaty test: EXCEEDS_CEILING: SECRET > RESTRICTED" in out
    assert "demo-climate art. 2 (" in out
    assert "demo-climate.toml:11" in out
    assert "//FRA DIFFUSION RESTREINTE//REL TO FRA, KEN  released: demo-climate art. 2" in out
    assert run(["policy", "explain", TREATIES, *question, *label, "--json"]) == 3
    document = json.loads(capsys.readouterr().out)
    assert [asked["stopped"] for asked in document["asked"]] == ["EXCEEDS_CEILING"]
    assert document["changes"][0]["outcome"] == "allow"


def test_matrix_shows_the_highest_level_of_every_pair(world):
    cells = matrix(world, AT, "cyber", ["FRA", "KEN", "USA"])
    names = {pair: None if level is None else level.name for pair, level in cells.items()}
    assert names[("FRA", "USA")] == "TRES SECRET"
    assert names[("FRA", "KEN")] == "DIFFUSION RESTREINTE"
    assert names[("USA", "KEN")] == "UNCLASSIFIED"
    assert set(matrix(world, instant.parse("1970-01-01"), "cyber", ["FRA", "USA"]).values()) == {None}


def test_matrix_command_prints_one_row_per_sender(capsys):
    assert run(["policy", "matrix", TREATIES, "--category", "cyber", "--as-of", "2026-11-24"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["from", "\\", "to", "FRA", "KEN", "USA"]
    assert lines[2].startswith("FRA ")
    assert "TRES SECRET" in lines[2]
