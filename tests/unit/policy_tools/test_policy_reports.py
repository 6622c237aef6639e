"""What the tools write for machines is held against the schema, or read by a reader, of somebody else."""

import json
from pathlib import Path

import jsonschema
import pytest
from junitparser import Failure, JUnitXml

from intelshare.cli.app import run
from intelshare.errors import Place
from intelshare.policy_tools import Result, Severity, github, junit, sarif

SCHEMA = json.loads((Path(__file__).parents[2] / "schemas" / "sarif-2.1.0.json").read_text())
SARIF = jsonschema.Draft4Validator(SCHEMA)

ERROR = Result(
    Severity.ERROR,
    "NO",
    "PARTY_UNKNOWN",
    'a message with <&"> and \x1b, %0A and: , in it',
    Place("a folder/tréaty.toml", 14, 10, "party[1].member", 'member = "NO"', 4),
    "a hint",
)
WARNING = Result(Severity.WARNING, "case", "CASE_WITHOUT_REASON", "for any reason", Place("t.toml", 3))
WITHOUT_PLACE = Result(Severity.ERROR, "tests", "NO_CASES", "no case was run")
PASSED = Result(Severity.PASSED, "a case", place=Place("t.toml", 9))
ALL = [ERROR, WARNING, WITHOUT_PLACE, PASSED]


@pytest.mark.parametrize("results", [[], [PASSED], [ERROR], [WITHOUT_PLACE], ALL])
def test_sarif_is_valid_by_its_schema(results):
    document = json.loads(sarif(results, "1.0"))
    assert list(SARIF.iter_errors(document)) == []
    assert len(document["runs"][0]["results"]) == sum(result is not PASSED for result in results)


def test_schema_of_sarif_refuses_what_is_none():
    document = json.loads(sarif(ALL, "1.0"))
    document["runs"][0]["results"][0]["level"] = "catastrophe"
    assert not SARIF.is_valid(document)


def test_sarif_names_files_as_uris_and_points_at_the_caret():
    found = json.loads(sarif(ALL, "1.0"))["runs"][0]["results"][0]
    where = found["locations"][0]["physicalLocation"]
    assert where["artifactLocation"]["uri"] == "a%20folder/tr%C3%A9aty.toml"
    assert where["region"] == {"startLine": 14, "startColumn": 10, "endColumn": 14}
    assert (found["ruleId"], found["level"]) == ("PARTY_UNKNOWN", "error")


def test_junit_is_read_by_a_junit_reader():
    (suite,) = JUnitXml.fromstring(junit(ALL, "policy test").encode())
    assert (suite.name, suite.tests, suite.failures, suite.errors) == ("policy test", 4, 2, 0)
    error, warning, bare, passed = suite
    (failure,) = error.result
    assert isinstance(failure, Failure)
    assert failure.type == "PARTY_UNKNOWN"
    assert failure.message == 'a message with <&"> and \ufffd, %0A and: , in it'
    assert error.classname == "a folder/tréaty.toml"
    assert "a folder/tréaty.toml:14:10" in failure.text
    assert "for any reason" in warning.system_out
    assert (warning.is_passed, bare.is_passed, passed.is_passed) == (True, False, True)
    suite.update_statistics()
    assert (suite.tests, suite.failures) == (4, 2)


def test_a_case_keeps_its_name_in_junit_whether_it_passes_or_fails():
    place = Place("t.toml", 9)
    each = [PASSED, Result(Severity.ERROR, "a case", "CASE_FAILED", "expected deny", place)]
    each.append(Result(Severity.WARNING, "a case", "CASE_WITHOUT_REASON", "for any reason", place))
    (suite,) = JUnitXml.fromstring(junit(each, "policy test").encode())
    assert {case.name for case in suite} == {"a case"}


def test_github_annotation_is_one_line_whatever_the_message():
    first, *_ = github([ERROR]).splitlines()
    assert first.startswith("::error file=a folder/tréaty.toml,line=14,col=10,title=PARTY_UNKNOWN::")
    assert "%250A" in first
    assert github([PASSED]) == ""


@pytest.mark.parametrize("command", ["check", "test"])
def test_reports_of_the_commands_are_valid(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("a b.toml").write_text('id = "x"\nkind = "regoinal"\n')
    Path("a_test.toml").write_text('[world]\ntreaties = ["a b.toml", "c.toml"]\n')
    assert run(["policy", command, ".", "--format", "sarif"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert list(SARIF.iter_errors(document)) == []
    assert document["runs"][0]["results"]
    assert run(["policy", command, ".", "--format", "junit"]) == 1
    (suite,) = JUnitXml.fromstring(capsys.readouterr().out.encode())
    assert suite.failures == len(document["runs"][0]["results"])
