"""Labels on the command line: every form read and written, and errors that point at the place."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from intelshare.builtin import builtin_registry
from intelshare.cli import run
from intelshare.labels import WHOLE, mark, parse_label


def test_parse_shows_how_a_label_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["label", "parse", "//FRA S//REL TO USA, FRA", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["label"] == "//FRA SECRET//REL TO FRA, USA"
    assert told["portion"] == "(//FRA S//REL TO FRA, USA)"
    assert told["reference"] == "R3"
    assert told["releasable_to"] == ["FRA", "USA"]


def test_parse_says_what_the_united_states_would_mean(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["label", "parse", "//ROU SECRET"]) == 0
    shown = capsys.readouterr()
    assert "R2" in shown.out
    assert "in United States practice it would be R3" in shown.err
    assert run(["label", "parse", "//DEU SECRET"]) == 0
    shown = capsys.readouterr()
    assert "GEHEIM" in shown.out
    assert shown.err == ""


def test_parse_says_that_groups_are_judged_now(capsys: pytest.CaptureFixture[str]) -> None:
    text = "//JOINT SECRET GBR USA//REL TO USA, FVEY"
    assert run(["label", "parse", text]) == 0
    assert "current members" in capsys.readouterr().err
    assert run(["label", "parse", text, "--at", "2020-01-01"]) == 0
    assert capsys.readouterr().err == ""


def test_a_level_is_converted_up_never_down(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["label", "convert", "CONFIDENTIEL UE/EU CONFIDENTIAL", "--to", "FRA"]) == 0
    assert capsys.readouterr().out == "FRA SECRET\n"


def test_the_banner_of_portions_is_rolled_up(capsys: pytest.CaptureFixture[str]) -> None:
    portions = ["//FRA S//REL TO FRA, USA", "//FRA DR//REL TO FRA, USA, KEN"]
    assert run(["label", "rollup", *portions, "--originator", "FRA"]) == 0
    assert capsys.readouterr().out == "//FRA SECRET//REL TO FRA, USA\n"


@pytest.mark.parametrize(
    ("text", "code", "caret"),
    [
        ("//FRA SECRTE", "UNKNOWN_LEVEL", "  |   ^^^^^^^^^^"),
        ("S//NF/REL TO USA, FRA", "NOFORN_WITH_REL_TO", "  |       ^^^^^^^^^^^^^^^"),
        ("S//REL TO USA, FRX", "UNKNOWN_MEMBER", "  |                ^^^"),
        ("S\u202e//NF", "CONTROL_CHARACTER", "  |  ^^^^^^"),
        ("ЅECRET", "UNKNOWN_LEVEL", "  | ^^^^^^"),
        ("", "EMPTY_LABEL", "  | ^"),
        (" " * 1_000_000, "TOO_LARGE", None),
    ],
)
def test_a_bad_label_ends_with_2_and_a_caret_under_the_place(
    text: str, code: str, caret: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["label", "parse", text]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"error[{code}]")
    assert "\u202e" not in told
    assert len(told) < 1000
    if caret is not None:
        assert caret in told


LABEL = "//FRA TRES SECRET//ORCON/REL TO FRA, USA//TLP:RED"


@pytest.fixture
def forms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """A file for each form that ``label convert --form`` writes of one label."""
    files = {}
    for form in ("shown", "banner", "portion", "stanag4774", "stix"):
        assert run(["label", "convert", LABEL, "--form", form]) == 0
        file = tmp_path / form
        file.write_text(capsys.readouterr().out, "utf-8")
        files[form] = str(file)
    return files


def told(arguments: list[str], capsys: pytest.CaptureFixture[str], code: int = 0) -> dict[str, Any]:
    assert run([*arguments, "--json"]) == code
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def test_every_form_is_written_and_read_back(
    forms: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    for form, file in forms.items():
        read = told(["label", "parse", "--file", file], capsys)
        assert (form, read["schema"], read["label"]) == (form, "intelshare/label/1", LABEL)
        assert read["shown"] == "//FRA TRÈS SECRET//ORCON/REL TO FRA, USA//TLP:RED"
        assert (read["reference"], read["tlp"]) == ("R4", "RED")


def test_any_form_may_be_an_argument_and_any_form_becomes_any_other(
    forms: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    for source in forms.values():
        given = Path(source).read_text("utf-8").rstrip("\n")
        for form, expected in forms.items():
            arguments = ["label", "convert", given, "--form", form, "--at", "2026-11-26"]
            assert run(arguments) == 0
            written = capsys.readouterr().out
            if form != "stanag4774":
                assert written == Path(expected).read_text("utf-8")
            else:
                assert "<slab:CreationDateTime>2026-11-26T00:00:00Z<" in written


def test_a_label_is_read_from_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xef\xbb\xbfSECRET//NF\r\n")))
    assert told(["label", "parse", "--file", "-"], capsys)["label"] == "SECRET//NOFORN"


def test_labels_of_a_stix_object_are_listed_with_their_selectors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = builtin_registry()
    subject = {"type": "report", "id": "report--1", "name": "n", "description": "d"}
    labels = {WHOLE: "//UKR TAIEMNO//REL TO UKR, FRA", "name": "//UKR UNMARKED"}
    marked = mark(subject, {at: parse_label(text, registry) for at, text in labels.items()}, registry)
    file = tmp_path / "bundle.json"
    objects = [marked.subject, *marked.definitions]
    file.write_text(json.dumps({"type": "bundle", "id": "bundle--1", "objects": objects}), "utf-8")
    read = told(["label", "parse", "--file", str(file)], capsys)
    assert read["schema"] == "intelshare/labels/1"
    assert [(each["object"], each["selector"], each["label"]) for each in read["labels"]] == [
        ("report--1", None, labels[WHOLE]),
        ("report--1", "name", labels["name"]),
    ]
    assert run(["label", "parse", "--file", str(file)]) == 0
    shown = capsys.readouterr().out
    assert "//UKR ТАЄМНО//REL TO UKR, FRA" in shown
    assert "(all of it)" in shown
    assert (
        run(["label", "rollup", "--file", str(file), "//FRA DR//REL TO FRA, UKR", "--originator", "UKR"]) == 0
    )
    assert capsys.readouterr().out == "//UKR ТАЄМНО//REL TO UKR, FRA\n"
    assert run(["label", "convert", "--file", str(file), "--to", "FRA"]) == 2
    assert "2 labels" in capsys.readouterr().err


def test_rollup_mixes_forms_and_writes_any(forms: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    portions = ["--file", forms["stanag4774"], "--file", forms["stix"], "//FRA DR//REL TO FRA, USA, GBR"]
    rolled = told(["label", "rollup", *portions, "--originator", "FRA", "--form", "stanag4774"], capsys)
    assert rolled["form"] == "stanag4774"
    assert told(["label", "parse", rolled["text"]], capsys)["label"] == LABEL


def test_levels_are_shown_as_their_state_writes_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["label", "convert", "COSMIC TOP SECRET", "--to", "TUR"]) == 0
    assert capsys.readouterr().out == "TUR ÇOK GİZLİ\n"
    read = told(["label", "convert", "COSMIC TOP SECRET", "--to", "TUR"], capsys)
    assert (read["level"], read["shown"], read["rounded_up"]) == ("COK GIZLI", "ÇOK GİZLİ", False)


def test_prose_is_written_for_organisations(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["label", "convert", "(//NS//OC/REL TO NATO, SWE)", "--form", "prose"]) == 0
    assert capsys.readouterr().out == "NATO SECRET RELEASABLE TO SWE//ORCON\n"


def test_rounding_up_is_said_beside_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["label", "convert", "NATO RESTRICTED", "--to", "USA"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "USA CONFIDENTIAL\n"
    assert "modified handling" in captured.err
    assert run(["label", "convert", "NATO RESTRICTED", "--to", "USA", "--quiet"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("arguments", "code", "exit_code"),
    [
        (["parse"], "USAGE", 2),
        (["convert", "U"], "USAGE", 2),
        (["convert", "U", "--to", "FRA", "--form", "stix"], "USAGE", 2),
        (["convert", "U", "--form", "pdf"], "USAGE", 2),
        (["rollup", "--originator", "FRA"], "USAGE", 2),
        (["convert", "TLP:RED", "--to", "FRA"], "INPUT_INVALID", 2),
        (["convert", "//FRA S//REL TO FRA, USA", "--form", "prose"], "INPUT_INVALID", 2),
        (["convert", "U", "--to", "ZZZ"], "UNKNOWN_MEMBER", 2),
        (["convert", "S", "--to", "FVEY"], "UNKNOWN_MEMBER", 2),
        (["convert", "S", "--to", "GAB"], "NO_EQUIVALENCE", 3),
        (["rollup", "S", "--originator", "ZZZ"], "UNKNOWN_MEMBER", 2),
        (["parse", "--file", "no-such-file"], "NOT_FOUND", 8),
        (["parse", "--file", "/"], "NOT_FOUND", 8),
        (["parse", "U", "--at", "yesterday"], "INPUT_INVALID", 2),
        (["parse", "<!DOCTYPE a>"], "INPUT_INVALID", 2),
        (["parse", '{"type": "bundle"'], "INPUT_INVALID", 2),
    ],
)
def test_what_cannot_be_done_has_a_code_and_an_exit(
    arguments: list[str], code: str, exit_code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    read = told(["label", *arguments], capsys, exit_code)
    assert (read["schema"], read["code"]) == ("intelshare/error/1", code)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"SECRET\xff", "INPUT_INVALID"),
        (b"SECRET\n\n", "CONTROL_CHARACTER"),
        (b"x" * (1 << 21), "TOO_LARGE"),
        (b"", "EMPTY_LABEL"),
        ("<a>\u202e</a>".encode(), "INPUT_INVALID"),
    ],
)
def test_a_bad_file_is_refused_and_named(
    content: bytes, code: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a\u202eb"
    file.write_bytes(content)
    assert run(["label", "parse", "--file", str(file)]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error[{code}]")
    assert "a\\u202eb" in err
    assert "\u202e" not in err


def test_caret_stands_under_the_value_in_xml(
    forms: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    text = Path(forms["stanag4774"]).read_text("utf-8").replace(">USA<", ">UZA<")
    assert run(["label", "parse", text]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("error[UNKNOWN_MEMBER]")
    at = lines[2].index("UZA")
    assert lines[3][at : at + 4] == "^^^"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ЅECRET", "U+0405 CYRILLIC CAPITAL LETTER DZE"),
        ("SECRET//ΝF", "U+039D GREEK CAPITAL LETTER NU"),
        ("SECRET//REL TO USA, FRА", "U+0410 CYRILLIC CAPITAL LETTER A"),
        ("TLP:GRЕEN", "U+0415 CYRILLIC CAPITAL LETTER IE"),
    ],
)
def test_a_homoglyph_is_named(text: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["label", "parse", text]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_names_of_levels_are_printed_in_utf8_whatever_the_locale_says(more: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "intelshare", "label", "parse", "//FIN TL IV", *more],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=True,
    )
    assert "KÄYTTÖ RAJOITETTU" in done.stdout.decode("utf-8")


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["label", "parse", "SECRET", "--at", "soon"], "--at"),
        (["treaty", "timeline", "paris", "--as-of", "soon"], "--as-of"),
        (["treaty", "new", "x", "--party", "FRA", "--party", "USA", "--in-force", "soon"], "--in-force"),
    ],
)
def test_a_wrong_time_names_the_option_that_has_it(
    words: list[str], option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words) == 2
    assert f"--> {option}\n" in capsys.readouterr().err


OWN = """
[[group]]
code = "RHINE"
name = "Commission of the Rhine"
organisation = true
source = "invented for this test"
[[group.membership]]
members = ["CHE", "DEU"]
[[ladder]]
authority = "RHINE"
source = "invented for this test"
[[ladder.row]]
R3 = { name = "RHINE SECRET" }
"""


@pytest.fixture
def own(tmp_path: Path) -> str:
    (tmp_path / "groups").mkdir()
    (tmp_path / "groups" / "rhine.toml").write_text(OWN)
    return str(tmp_path)


def test_own_ladders_and_groups_count_where_their_folder_is_named(
    own: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    marked = "RHINE SECRET//REL TO RHINE, FRA"
    assert run(["label", "parse", marked]) == 2
    assert run(["label", "parse", marked, "--folder", own, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["authority"] == "RHINE"
    assert run(["label", "convert", marked, "--to", "FRA", "--folder", own]) == 0
    assert run(["label", "rollup", marked, "--originator", "RHINE", "--folder", own]) == 0
    assert run(["policy", "schema", "treaty", "--folder", own]) == 0
    assert "RHINE" in capsys.readouterr().out
    (tmp_path / "treaties").mkdir()
    (tmp_path / "treaties" / "rhine.toml").write_text(
        'id = "rhine"\ntitle = "t"\nkind = "regional"\nin_force = 2020-01-01\nsource = "s"\n'
        '[[party]]\nmember = "RHINE"\nin_force = 2020-01-01\n'
        '[[party]]\nmember = "FRA"\nin_force = 2020-01-01\n'
        '[[provision]]\narticle = "1"\ncategories = ["cyber"]\nceiling = "R3"\n'
    )
    question = ["--from", "RHINE", "--to", "FRA", "--label", marked, "--category", "cyber"]
    assert run(["policy", "explain", own, *question]) == 0
