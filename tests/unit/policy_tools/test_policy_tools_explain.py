"""``policy explain`` names the rule and its line, and what it says would turn a decision does turn it."""

import json
from dataclasses import fields as dataclass_fields
from dataclasses import replace
from pathlib import Path

import pytest

import intelshare
from intelshare import instant
from intelshare.builtin import builtin_registry, demo_treaties
from intelshare.cli.app import run
from intelshare.instant import Instant
from intelshare.labels import Reference, level_reference, parse_label
from intelshare.policy import Outcome, Request, compile_world, decide, parse_treaty
from intelshare.policy.vectors import request_from_json, world_from_json
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


VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "decisions.json").read_text("utf-8"))
SMALL = world_from_json(VECTORS["world"])
QUESTIONS = {case["id"]: request_from_json(case) for case in VECTORS["cases"] if "reader" not in case}


def granted_by(decision):
    return decision.outcome is not Outcome.DENY


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_change_turns_the_decision_when_it_is_decided_again_and_changes_one_thing(name):
    request = QUESTIONS[name]
    granted = granted_by(decide(SMALL, request))
    found = turns(SMALL, request)
    assert len({turn.change for turn in found}) == len(found)
    for turn in found:
        again = decide(replace(turn.world), turn.request)
        assert again == turn.decision
        assert granted_by(again) is not granted
        fields = {
            f.name
            for f in dataclass_fields(request)
            if getattr(request, f.name) != getattr(turn.request, f.name)
        }
        expected = {
            Change.LABEL: {"label"},
            Change.CATEGORY: {"category"},
            Change.CONSENT: {"consents"},
            Change.DATE: {"at"},
            Change.MEMBERSHIP: set(),
        }
        if turn.change is Change.RECIPIENT:
            assert fields in ({"recipient"}, {"recipient", "label"})
        else:
            assert fields == expected[turn.change]
        assert (turn.world is SMALL) is (turn.change is not Change.MEMBERSHIP)


@pytest.mark.parametrize("name", QUESTIONS)
def test_no_nearer_date_turns_the_decision(name):
    """Held against every instant at which anything changes, and one microsecond around each."""
    request = QUESTIONS[name]
    granted = granted_by(decide(SMALL, request))
    (told,) = [turn for turn in turns(SMALL, request) if turn.change is Change.DATE] or [None]
    first, last = instant.parse("0900-01-01"), instant.parse("9999-12-31")
    edges = [change for change in SMALL.changes if first < change < last]
    edges += [] if request.valid_until is None else [request.valid_until]
    turned = [
        abs(at - request.at)
        for edge in edges
        for at in (Instant(edge - 1), edge)
        if granted_by(decide(SMALL, replace(request, at=at))) is not granted
    ]
    assert min(turned, default=None) == (None if told is None else abs(told.request.at - request.at))


def test_changes_are_found_for_most_questions():
    """A tool that finds nothing would pass the two tests above."""
    found = [turn.change for request in QUESTIONS.values() for turn in turns(SMALL, request)]
    assert set(found) == set(Change)
    assert len(found) > 2 * len(QUESTIONS)


@pytest.mark.parametrize(
    ("label", "recipient"),
    [
        ("//FRA SECRET//NOFORN", "USA"),
        ("//FRA SECRET//EYES ONLY/REL TO FRA, NATO", "KEN"),
        ("//KEN CONFIDENTIAL//REL TO KEN, FRA", "FRA"),
        ("//FRA SECRET//ORCON/REL TO FRA", "KEN"),
    ],
)
def test_no_suggestion_drops_a_classification_or_a_control(world, label, recipient):
    request = ask(world, label, recipient, AT)
    assert decide(world, request).outcome is Outcome.DENY
    for turn in turns(world, request):
        suggested = turn.request.label
        assert set(request.label.controls) <= set(suggested.controls), turn.what
        assert level_reference(suggested, world.registry, AT) > Reference.R0, turn.what


@pytest.mark.parametrize(
    ("change", "label", "recipient", "at", "what"),
    [
        ("level", "//FRA SECRET//REL TO FRA, KEN", "KEN", AT, "//FRA DIFFUSION RESTREINTE//REL TO FRA, KEN"),
        (
            "name added",
            "//FRA DIFFUSION RESTREINTE//REL TO FRA, USA",
            "KEN",
            AT,
            "//FRA DIFFUSION RESTREINTE//REL TO FRA, KEN, USA",
        ),
        ("name removed", "//FRA SECRET//REL TO FRA, USA", "USA", AT, "//FRA SECRET//REL TO FRA"),
        ("group removed", "//FRA SECRET//REL TO FRA, NATO", "USA", AT, "//FRA SECRET//REL TO FRA"),
        (
            "control removed",
            "//FRA SECRET//EYES ONLY/REL TO FRA, NATO",
            "USA",
            AT,
            "//FRA SECRET//EYES ONLY/REL TO FRA, USA, NATO",
        ),
        ("TLP lowered", "TLP:RED", "USA", AT, "TLP:AMBER+STRICT"),
        ("NOFORN added", "//FRA NON PROTEGE", "GBR", AT, "//FRA NON PROTEGE//NOFORN"),
    ],
)
def test_label_change_is_the_smallest_of_its_kind(world, change, label, recipient, at, what):
    (turn,) = [turn for turn in turns(world, ask(world, label, recipient, at)) if turn.change is Change.LABEL]
    assert turn.what == what


@pytest.mark.parametrize(
    ("at", "what"),
    [("2023-12-31", "2024-01-01T00:00:00Z"), ("2024-01-02", "before 2024-01-01T00:00:00Z")],
)
def test_date_is_moved_forward_and_back(world, at, what):
    request = ask(world, "//FRA DIFFUSION RESTREINTE//REL TO FRA, KEN", "KEN", instant.parse(at))
    (turn,) = [turn for turn in turns(world, request) if turn.change is Change.DATE]
    assert turn.what == what


def test_end_of_validity_is_a_date_too(world):
    request = ask(world, "//FRA DIFFUSION RESTREINTE//REL TO FRA, KEN", "KEN")
    request = replace(request, valid_until=instant.parse("2026-11-20"))
    (turn,) = [turn for turn in turns(world, request) if turn.change is Change.DATE]
    assert turn.what == "before 2026-11-20T00:00:00Z"


def test_consent_and_category_that_are_missing_are_named(world):
    relayed = replace(ask(world, "//FRA DIFFUSION RESTREINTE//REL TO FRA, USA, KEN", "KEN"), sender="USA")
    (turn,) = [turn for turn in turns(world, relayed) if turn.change is Change.CONSENT]
    assert turn.what == "of FRA for KEN"
    given = replace(relayed, consents=frozenset(("KEN",)))
    assert [turn.what for turn in turns(world, given) if turn.change is Change.CONSENT] == ["none of FRA"]
    other = ask(world, "//FRA DIFFUSION RESTREINTE//REL TO FRA, KEN", "KEN", category="terrorism")
    (turn,) = [turn for turn in turns(world, other) if turn.change is Change.CATEGORY]
    assert turn.what == "climate-disaster"


def test_suspended_party_is_a_smaller_change_than_a_new_one():
    registry = builtin_registry()
    texts = demo_treaties()
    climate = texts["demo-climate.toml"].replace('"KEN"\n', '"KEN"\nsuspended = [{ from = 2025-01-01 }]\n', 1)
    other = texts["gsa-fra-usa.toml"].replace('id = "gsa-fra-usa"', 'id = "a-first"')
    treaties = [parse_treaty(text, "t.toml", registry) for text in (climate, other)]
    world = compile_world(registry, registry.states, treaties)
    request = ask(world, "//FRA DIFFUSION RESTREINTE//REL TO FRA, KEN", "KEN")
    assert decide(world, request).codes == ("SUSPENDED",)
    (turn,) = [turn for turn in turns(world, request) if turn.change is Change.MEMBERSHIP]
    assert turn.what == "demo-climate in force for KEN"


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


def test_explanation_of_national_law_names_the_rule_and_its_line(capsys, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[3] / "examples" / "policy-repo")
    question = ["policy", "explain", ".", "--from", "DEU", "--at", "2026-06-01"]
    label = "//DEU VS-NUR FUER DEN DIENSTGEBRAUCH//REL TO DEU, CHE"
    personal = ["--to", "CHE", "--category", "flood-warning", "--flag", "personal-data", "--label", label]
    assert run([*question, *personal]) == 3
    out = capsys.readouterr().out
    assert (
        "rule 3, law of originator and sender: NATIONAL_LAW_FORBIDS: DEU-personal-data (BDSG sec. 78)\n"
        in out
    )
    assert "       (overlays/deu.toml:2)\n" in out
    assert "membership  CHE a member of EU  released: rhine-accord art. 3" in out
    source = [
        "--to",
        "FRA",
        "--category",
        "cyber",
        "--flag",
        "source-identity",
        "--label",
        "//DEU GEHEIM//REL TO DEU, FRA",
    ]
    assert run([*question, *source]) == 0
    assert "held by      DEU-source-identity (overlays/deu.toml:7)\n" in capsys.readouterr().out


def test_question_that_no_treaty_concerns_says_so(capsys):
    question = [
        "--from",
        "FRA",
        "--to",
        "GBR",
        "--category",
        "cyber",
        "--label",
        "//FRA SECRET//REL TO FRA, GBR",
    ]
    assert run(["policy", "explain", TREATIES, *question]) == 3
    out = capsys.readouterr().out
    assert "no treaty lists both FRA and GBR" in out
    assert "gsa-fra-usa in force for GBR" in out


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
