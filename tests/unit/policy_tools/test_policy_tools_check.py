"""``policy check`` finds everything at once, in the right line, in every format."""

import json
from xml.etree.ElementTree import fromstring

import pytest

from intelshare.builtin import builtin_registry
from intelshare.cli.app import run
from intelshare.policy_tools import Severity, check_overlay, check_treaties, check_treaty

GOOD = """\
id = "nordic"
title = "Nordic Framework"
kind = "regional"
adopted = 2019-01-01
in_force = 2020-01-01
source = "invented"

[[party]]
member = "SWE"
in_force = 2020-01-01

[[party]]
member = "NOR"
periods = [{ from = 2020-01-01, until = 2021-01-01 }, { from = 2022-01-01 }]
suspended = [{ from = 2022-06-01, until = 2022-07-01 }]

[[provision]]
article = "art. 1"
categories = ["cyber"]
ceiling = "NATO SECRET"
"""


def found(text):
    _, results = check_treaty(text, "nordic.toml", builtin_registry())
    return [(result.code, result.place.line) for result in results]


def test_sound_treaty_has_no_findings():
    assert found(GOOD) == []


def test_all_errors_are_told_at_once_with_their_lines():
    wrong = (
        GOOD.replace('"regional"', '"regoinal"')
        .replace('"SWE"', '"SW"')
        .replace('"NOR"', '"NO"')
        .replace("from = 2022-06-01", "from = 2023-06-01")
        .replace('"NATO SECRET"', '"NATO SECRTE"')
        .replace('article = "art. 1"', 'artcle = "art. 1"')
    )
    assert found(wrong) == [
        ("FIELD_RANGE", 3),
        ("PARTY_UNKNOWN", 9),
        ("PARTY_UNKNOWN", 13),
        ("FIELD_RANGE", 15),
        ("FIELD_RANGE", 17),
        ("FIELD_UNKNOWN", 18),
        ("FIELD_RANGE", 20),
    ]


def test_error_keeps_its_caret_and_hint():
    _, (result,) = check_treaty(GOOD.replace('"NOR"', '"NO"'), "nordic.toml", builtin_registry())
    assert (result.place.line, result.place.column, result.place.width) == (13, 10, 4)
    assert "NOR" in result.hint


def test_one_wrong_field_is_one_error():
    lines = GOOD.split("\n")
    for number, line in enumerate(lines):
        if " = " in line:
            broken = [*lines[:number], line.split(" = ")[0] + " = 3.5", *lines[number + 1 :]]
            assert len(found("\n".join(broken))) == 1, line


def test_hundred_wrong_rows_are_found_in_bounded_work():
    assert len(found(GOOD + '[[party]]\nmember = "XX"\n' * 500)) == 100


@pytest.mark.parametrize(
    ("old", "new", "code", "line"),
    [
        ("adopted = 2019", "adopted = 2021", "DATES_OUT_OF_ORDER", 4),
        ('"SWE"\n', '"SWE"\nsigned = 2019-06-01\nratified = 2019-05-01\n', "DATES_OUT_OF_ORDER", 10),
        ('"SWE"\nin_force = 2020-01-01', '"SWE"\nin_force = 2019-06-01', "DATES_OUT_OF_ORDER", 10),
        ('"SWE"\n', '"SWE"\nnotified = 2021-01-01\n', "DATES_OUT_OF_ORDER", 10),
        (
            "from = 2022-06-01, until = 2022-07-01",
            "from = 2021-06-01, until = 2021-07-01",
            "DATES_OUT_OF_ORDER",
            15,
        ),
        ('["cyber"]\n', '["cyber"]\nuntil = 2019-12-31\n', "ARTICLE_NEVER_APPLIES", 17),
        ('["cyber"]\n', '["cyber"]\nfrom = 2021-02-01\nuntil = 2021-12-01\n', "ARTICLE_NEVER_APPLIES", 17),
    ],
)
def test_what_can_be_read_may_still_make_no_sense(old, new, code, line):
    assert old in GOOD
    assert found(GOOD.replace(old, new, 1)) == [(code, line)]


@pytest.mark.parametrize(
    "row",
    [
        'from = "SWE"\nlevel = "UNMARKED"\nto = "KEN"\nas = "UNMARKED"\n',
        'from = "FRA"\nlevel = "SECRET"\nto = "FJI"\nas = "X"\n',
        'from = "FRA"\nlevel = "SECRET"\nto = "SWE"\nas = "HEMLIG"\n',
    ],
)
def test_row_without_effect_is_a_warning(row):
    _, (result,) = check_treaty(GOOD + "[[equivalence]]\n" + row, "n.toml", builtin_registry())
    assert (result.code, result.severity) == ("ROW_VOID", Severity.WARNING)


def test_parties_whom_nothing_classified_can_reach_are_named_unless_the_file_says_why():
    listed = GOOD + '[[party]]\nmember = "NGA"\nin_force = 2021-01-01\n'
    _, (result,) = check_treaty(listed, "n.toml", builtin_registry())
    assert (result.code, result.name, result.severity) == ("PARTY_UNREACHABLE", "NGA", Severity.WARNING)
    row = '[[equivalence]]\nfrom = "SWE"\nlevel = "HEMLIG"\nto = "NGA"\nas = "SECRET"\n'
    said = listed.replace("source =", 'unclassified_only = "no levels are published"\nsource =')
    ladder = '[[ladder]]\nauthority = "NGA"\nlevels = { R3 = "SECRET" }\n'
    for text in (
        listed + row,
        listed + ladder,
        said,
        listed.replace('ceiling = "NATO SECRET"', 'ceiling = "R0"'),
    ):
        assert check_treaty(text, "n.toml", builtin_registry())[1] == []


def test_untested_treaty_and_second_id_are_found():
    treaty, _ = check_treaty(GOOD, "nordic.toml", builtin_registry())
    assert [result.code for result in check_treaties([treaty], [])] == ["TREATY_UNTESTED"]
    assert [result.code for result in check_treaties([treaty, treaty], ["nordic"])] == ["DUPLICATE_KEY"]


def test_rule_that_nothing_matches_is_a_warning():
    text = '[[forbid]]\nid = "A"\nsource = "s"\nwhen = { flags = [] }\n'
    _, (result,) = check_overlay(text, "overlays/deu.toml", builtin_registry())
    assert (result.code, result.place.line) == ("RULE_NEVER_MATCHES", 1)


def test_name_of_an_overlay_is_one_error_among_others():
    text = '[[forbid]]\nid = "A"\nsource = "s"\nwhen = { flag = [] }\n'
    _, results = check_overlay(text, "overlays/germany.toml", builtin_registry())
    assert sorted(result.code for result in results) == ["FIELD_UNKNOWN", "PARTY_UNKNOWN"]


@pytest.fixture
def wrong_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nordic.toml").write_text(GOOD.replace('"NOR"', '"NO"'))
    return "nordic.toml"


def test_text_shows_the_caret(wrong_file, capsys):
    assert run(["policy", "check", wrong_file]) == 1
    out = capsys.readouterr().out
    assert "error[PARTY_UNKNOWN]" in out
    assert "--> nordic.toml:13:10   party[1].member" in out
    assert ' 13 | member = "NO"\n    |          ^^^^' in out
    assert out.endswith("1 files, 1 errors, 0 warnings\n")


def test_json_github_sarif_and_junit_say_the_same(wrong_file, capsys):
    def written(form):
        assert run(["policy", "check", wrong_file, "--format", form]) == 1
        return capsys.readouterr().out

    (result,) = json.loads(written("json"))["results"]
    assert (result["code"], result["line"], result["column"]) == ("PARTY_UNKNOWN", 13, 10)
    assert written("github").startswith("::error file=nordic.toml,line=13,col=10,title=PARTY_UNKNOWN::")
    sarif = json.loads(written("sarif"))
    region = sarif["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["region"]
    assert region == {"startLine": 13, "startColumn": 10, "endColumn": 14}
    assert sarif["version"] == "2.1.0"
    suite = fromstring(written("junit"))[0]  # noqa: S314
    assert (suite.get("tests"), suite.get("failures")) == ("1", "1")


def test_unreadable_file_is_an_error_among_others(tmp_path, capsys):
    (tmp_path / "a.toml").write_bytes(b'id = "\xff"\n')
    (tmp_path / "b.toml").write_text(GOOD)
    assert run(["policy", "check", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "error[FILE_SYNTAX]" in out
    assert "warning[TREATY_UNTESTED]" in out


def test_absent_path_is_not_found():
    assert run(["policy", "check", "no-such-folder"]) == 8


def test_file_named_twice_is_read_once(tmp_path, capsys):
    path = tmp_path / "nordic.toml"
    path.write_text(GOOD)
    assert run(["policy", "check", str(path), str(tmp_path)]) == 0
    assert "1 files, 0 errors" in capsys.readouterr().out


def test_nothing_to_check_is_no_success(tmp_path, capsys):
    assert run(["policy", "check", str(tmp_path)]) == 8
    assert "no policy file was found" in capsys.readouterr().err


def test_a_file_brings_the_test_beside_it(tmp_path, capsys):
    (tmp_path / "nordic.toml").write_text(GOOD)
    (tmp_path / "nordic_test.toml").write_text(
        """[world]
treaties = ["nordic.toml"]

[[case]]
name = "a public notice"
at = 2024-01-01
from = "NOR"
to = "SWE"
label = "TLP:CLEAR"
category = "cyber"
expect = "allow"
"""
    )
    assert run(["policy", "check", str(tmp_path / "nordic.toml")]) == 0
    assert capsys.readouterr().out == "2 files, 0 errors, 0 warnings\n"
    assert run(["policy", "test", str(tmp_path / "nordic.toml")]) == 0
    assert run(["policy", "test", str(tmp_path / "nordic_test.toml")]) == 0
