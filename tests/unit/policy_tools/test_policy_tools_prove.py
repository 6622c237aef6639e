"""``policy prove`` answers with an exit code, a text for people and a document for machines."""

import json
from pathlib import Path

import pytest

import intelshare
from intelshare.cli.app import run
from intelshare.policy_tools import formula

TREATIES = str(Path(intelshare.__file__).parent / "demo" / "scenario" / "treaties")


def test_a_claim_that_holds_exits_with_0(capsys):
    assert run(["policy", "prove", "no SECRET to KEN before 2027", TREATIES]) == 0
    assert capsys.readouterr().out == "proved: no SECRET to KEN before 2027\n"


def test_a_claim_that_does_not_hold_shows_a_question_and_exits_with_1(capsys):
    assert run(["policy", "prove", "no FRA SECRET to USA about cyber after 2025", TREATIES]) == 1
    out = capsys.readouterr().out
    assert out.splitlines()[0] == "refuted: no FRA SECRET to USA about cyber after 2025"
    for line in ("label       //FRA SECRET//REL TO FRA, USA", "from        FRA", "to          USA"):
        assert line in out
    assert "decision    released: gsa-fra-usa" in out


def test_the_document_holds_claim_and_counterexample(capsys):
    assert run(["policy", "prove", "no FRA SECRET to USA about cyber after 2025", TREATIES, "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "intelshare/policy-proof/1"
    assert document["proved"] is False
    found = document["counterexample"]
    assert (found["from"], found["to"], found["category"], found["outcome"]) == (
        "FRA",
        "USA",
        "cyber",
        "allow",
    )
    assert run(["policy", "prove", "no SECRET to KEN", TREATIES, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["proved"] is True
    assert document["counterexample"] is None


@pytest.mark.parametrize("claim", ["no SECERT to KEN", "SECRET to KEN"])
def test_a_claim_that_cannot_be_read_exits_with_2_and_a_caret(capsys, claim):
    assert run(["policy", "prove", claim, TREATIES]) == 2
    error = capsys.readouterr().err
    assert "error[INPUT_INVALID]" in error
    assert "^^^^" in error


def test_the_current_folder_is_asked_and_an_empty_one_proves_nothing(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(TREATIES)
    assert run(["policy", "prove", "no SECRET to KEN before 2027"]) == 0
    monkeypatch.chdir(tmp_path)
    assert run(["policy", "prove", "no SECRET to KEN before 2027"]) == 8
    assert "no treaty was found" in capsys.readouterr().err


def test_without_z3_the_command_names_the_extra(capsys, monkeypatch):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(formula, "import_module", absent)
    assert run(["policy", "prove", "no SECRET to KEN", TREATIES]) == 2
    assert "intelshare[prove]" in capsys.readouterr().err
