"""Policy tests fail for the wrong reason, count what they reach, and notice every mutant."""

import json
from pathlib import Path
from xml.etree.ElementTree import fromstring

import pytest

import intelshare
from intelshare.cli.app import run

TREATIES = Path(intelshare.__file__).parent / "demo" / "scenario" / "treaties"

CASE = """
[[case]]
name = "to Kenya"
at = 2026-11-24
from = "FRA"
to = "KEN"
label = "//FRA SECRET//REL TO FRA, KEN"
category = "cyber"
"""
WORLD = '[world]\ntreaties = ["treaties/demo-climate.toml"]\n'


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A folder with the demo's treaty and a way to run one test file."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "treaties"
    folder.mkdir()
    (folder / "demo-climate.toml").write_text((TREATIES / "demo-climate.toml").read_text())

    def test(text, *options):
        (folder / "a_test.toml").write_text(text)
        return run(["policy", "test", "treaties", *options])

    return test


def test_demo_treaties_are_covered_and_every_mutant_is_caught(capsys):
    assert run(["policy", "test", str(TREATIES), "--coverage", "--threshold", "100", "--mutate"]) == 0
    out = capsys.readouterr().out
    assert "coverage: 100 %  (articles 2/2, parties 5/5" in out
    assert "mutants: 20 of 20 caught" in out


def test_figures_are_in_the_json_document(capsys):
    assert run(["policy", "test", str(TREATIES), "--coverage", "--mutate", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["cases"], document["mutants"]) == (22, 20)
    assert (document["coverage"]["percent"], document["coverage"]["missing"]) == (100, [])


def test_coverage_command_reports_articles_parties_states_and_both_outcomes(repository, capsys):
    repository(WORLD + CASE + 'expect = "deny"\nreason = "EXCEEDS_CEILING"\n')
    capsys.readouterr()
    assert run(["policy", "coverage", "treaties"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["articles", "parties", "states", "rules"]
    assert lines[1].split() == ["demo-climate", "0/1", "2/3", "1/3", "1/2"]
    assert lines[2] == "coverage: 44 %  (articles 0/1, parties 2/3, states 1/3, rules 1/2)"
    assert [line.split("   (")[0].strip() for line in lines[3:]] == [
        "not covered: article demo-climate art. 2",
        "not covered: party demo-climate USA",
        "not covered: rule demo-climate art. 2 lets through",
        "not covered: state demo-climate NOT_RATIFIED",
        "not covered: state demo-climate NOT_YET_IN_FORCE",
    ]


def test_coverage_is_the_same_as_that_of_the_test_command(capsys):
    assert run(["policy", "coverage", str(TREATIES), "--json"]) == 0
    alone = json.loads(capsys.readouterr().out)
    assert alone["schema"] == "intelshare/policy-coverage/1"
    assert run(["policy", "test", str(TREATIES), "--coverage", "--json"]) == 0
    beside = json.loads(capsys.readouterr().out)["coverage"]
    assert {name: alone[name] for name in beside} == beside


def test_coverage_of_wrong_files_says_in_json_too_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a_test.toml").write_text("nothing = 1\n")
    assert run(["policy", "coverage", str(tmp_path), "--json"]) == 1
    (wrong,) = json.loads(capsys.readouterr().out)["results"]
    assert wrong["code"] == "FIELD_RANGE"


@pytest.mark.parametrize("command", [["coverage"], ["test"], ["test", "--coverage"]])
def test_coverage_below_the_threshold_fails(repository, command, capsys):
    repository(WORLD + CASE + 'expect = "deny"\nreason = "EXCEEDS_CEILING"\n')
    assert run(["policy", *command, "treaties", "--threshold", "10"]) == 0
    assert run(["policy", *command, "treaties", "--threshold", "90"]) == 1
    assert "error[COVERAGE_BELOW]" in capsys.readouterr().out


def test_coverage_of_cases_that_fail_is_no_success(repository):
    repository(WORLD + CASE + 'expect = "allow"\n')
    assert run(["policy", "coverage", "treaties"]) == 1


def test_denial_for_the_wrong_reason_fails(repository, capsys):
    assert repository(WORLD + CASE + 'expect = "deny"\nreason = "EXCEEDS_CEILING"\n') == 0
    assert repository(WORLD + CASE + 'expect = "deny"\nreason = "NO_TREATY"\n') == 1
    out = capsys.readouterr().out
    assert "denied for the wrong reason: expected NO_TREATY, got EXCEEDS_CEILING" in out
    assert "demo-climate.toml:11" in out


def test_denial_without_a_reason_is_a_warning(repository, capsys):
    assert repository(WORLD + CASE + 'expect = "deny"\n') == 0
    out = capsys.readouterr().out
    assert "warning[CASE_WITHOUT_REASON]" in out
    assert "1 cases, 0 failures, 1 warnings" in out


@pytest.mark.parametrize(
    "wrong",
    [
        'expect = "allow"\n',
        'expect = "deny"\nreasons = ["NOFORN"]\n',
        'expect = "deny"\nreason = "EXCEEDS_CEILING"\nas = "RESTRICTED"\n',
    ],
)
def test_every_expectation_can_fail(repository, wrong):
    assert repository(WORLD + CASE + wrong) == 1


@pytest.mark.parametrize(
    "wrong", ['basis = "another"', 'article = "art. 9"', "obligations = []", 'holds = ["X"]']
)
def test_every_expectation_of_a_grant_can_fail(repository, wrong):
    granted = CASE.replace("FRA SECRET", "FRA DIFFUSION RESTREINTE") + 'expect = "allow"\n'
    assert repository(WORLD + granted) == 0
    assert repository(WORLD + granted + wrong + "\n") == 1


def test_matrix_is_one_case_a_cell(repository, capsys):
    matrix = """
[[matrix]]
name = "warnings"
at = 2026-11-24
from = "FRA"
category = "cyber"
label = "//FRA {level}//REL TO FRA, {to}"
to = ["USA", "KEN"]
levels = ["DIFFUSION RESTREINTE", "SECRET"]
expect = [["allow", "allow"], ["EXCEEDS_CEILING", "CELL"]]
"""
    assert repository(WORLD + matrix.replace("CELL", "EXCEEDS_CEILING")) == 0
    assert "4 cases, 0 failures" in capsys.readouterr().out
    assert repository(WORLD + matrix.replace("CELL", "NOFORN")) == 1
    assert "warnings: SECRET to KEN" in capsys.readouterr().out
    assert repository(WORLD + matrix.replace('"CELL"', '"NOFORN", "allow"')) == 1
    assert "error[FIELD_RANGE]" in capsys.readouterr().out


def test_matrix_asks_with_all_facts_of_the_question(repository):
    matrix = """
[[matrix]]
name = "recalled"
at = 2026-11-24
from = "FRA"
category = "cyber"
label = "//FRA {level}//REL TO FRA, {to}"
to = ["USA", "KEN"]
levels = ["DIFFUSION RESTREINTE"]
recalled = true
expect = [["BULLETIN_RECALLED", "BULLETIN_RECALLED"]]
"""
    assert repository(WORLD + matrix) == 0


def test_overlay_of_the_world_is_asked_and_its_rules_are_covered(repository, tmp_path, capsys):
    (tmp_path / "overlays").mkdir()
    (tmp_path / "overlays" / "fra.toml").write_text(
        '[[forbid]]\nid = "FRA-x"\nsource = "s"\nwhen = { flags = ["personal-data"] }\n'
    )
    world = WORLD + 'overlays = ["overlays/fra.toml"]\n'
    denied = CASE + 'flags = ["personal-data"]\nexpect = "deny"\nreason = "NATIONAL_LAW_FORBIDS"\n'
    assert repository(world + denied, "--coverage") == 0
    assert "not covered: rule FRA FRA-x does not match   (" in capsys.readouterr().out


def test_untested_rule_is_a_living_mutant(repository, capsys):
    assert repository(WORLD + CASE + 'expect = "deny"\nreason = "EXCEEDS_CEILING"\n', "--mutate") == 1
    out = capsys.readouterr().out
    assert "error[MUTANT_LIVES]: demo-climate: art. 2 category climate-disaster dropped" in out


@pytest.mark.parametrize(
    ("extra", "lives"),
    [
        ("", ["dropped", "without flags", "without to"]),
        (('flags = ["personal-data"]', '"NATIONAL_LAW_FORBIDS"'), ["without flags", "without to"]),
    ],
)
def test_every_condition_of_an_overlay_rule_needs_a_case(repository, tmp_path, capsys, extra, lives):
    (tmp_path / "overlays").mkdir()
    rule = '[[forbid]]\nid = "X"\nsource = "s"\nwhen = { flags = ["personal-data"], to = ["KEN"] }\n'
    (tmp_path / "overlays" / "fra.toml").write_text(rule)
    world = WORLD + 'overlays = ["overlays/fra.toml"]\n'
    case = CASE.replace("FRA SECRET", "FRA DIFFUSION RESTREINTE")
    other = case.replace("KEN", "USA").replace("to Kenya", "other")
    text = world + other + 'expect = "allow"\n'
    if extra:
        text += f'{case}{extra[0]}\nexpect = "deny"\nreason = {extra[1]}\n'
    repository(text, "--mutate")
    out = capsys.readouterr().out
    told = [line for line in out.splitlines() if line.startswith("error[MUTANT_LIVES]: FRA: forbid X ")]
    assert [line.split("forbid X ")[1].split(":")[0] for line in told] == lives


def test_options_choose_stop_and_report(repository, tmp_path, capsys):
    bad = CASE + 'expect = "allow"\n'
    text = WORLD + bad + bad.replace("to Kenya", "again")
    assert repository(text, "--fail-fast", "--junit", "r.xml") == 1
    assert "1 cases, 1 failures" in capsys.readouterr().out
    suite = fromstring((tmp_path / "r.xml").read_text())[0]  # noqa: S314
    assert (suite.get("tests"), suite.get("failures")) == ("1", "1")
    assert repository(text, "-k", "AGAIN", "--format", "json") == 1
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert (result["name"], result["code"]) == ("again", "CASE_FAILED")
    assert repository(text, "-k", "nothing") == 1
    assert "NO_CASES" in capsys.readouterr().out


def test_case_without_time_is_judged_as_of(repository):
    undated = CASE.replace("at = 2026-11-24\n", "").replace("FRA SECRET", "FRA DIFFUSION RESTREINTE")
    text = WORLD + undated + 'expect = "deny"\nreason = "NOT_RATIFIED"\n'
    assert repository(text, "--as-of", "2023-01-01") == 0
    assert repository(text, "--as-of", "2026-01-01") == 1


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (WORLD + CASE + 'expect = "alow"\n', "FIELD_RANGE"),
        (WORLD + CASE + 'expect = "allow"\nreason = "NOFORN"\n', "FIELD_RANGE"),
        (WORLD + CASE.replace('"KEN"\n', '"KNE"\n') + 'expect = "allow"\n', "PARTY_UNKNOWN"),
        (WORLD + CASE.replace("FRA SECRET", "FRA SECRTE") + 'expect = "allow"\n', "UNKNOWN_LEVEL"),
        (WORLD.replace("demo", "dmeo") + CASE + 'expect = "allow"\n', "NOT_FOUND"),
        (CASE + 'expect = "allow"\n', "FIELD_RANGE"),
    ],
)
def test_wrong_test_file_fails_with_a_code(repository, text, code, capsys):
    assert repository(text) == 1
    assert f"error[{code}]" in capsys.readouterr().out
