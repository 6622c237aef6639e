"""Labels on the command line: what is read, and errors that point at the place."""

from __future__ import annotations

import json

import pytest

from intelshare.cli import run


def test_parse_shows_how_a_label_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["label", "parse", "//FRA S//REL TO USA, FRA", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["label"] == "//FRA SECRET//REL TO FRA, USA"
    assert told["portion"] == "(//FRA S//REL TO FRA, USA)"
    assert told["reference"] == "R3"
    assert told["releasable_to"] == ["FRA", "USA"]


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
