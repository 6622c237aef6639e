"""Foreign text cannot act on a terminal, nor a foreign name on a file system (attacks 65, 67, 68)."""

from __future__ import annotations

import unicodedata

import pytest

from intelshare.errors import ConfigError
from intelshare.text import safe_name, visible, width


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x1b]52;c;ZXZpbA==\x07", "\\x1b]52;c;ZXZpbA==\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("over\rwritten", "over\\rwritten"),
        ("a\bb\x00", "a\\x08b\\x00"),
        ("two\nlines\ttab", "two\\nlines\\ttab"),
        ("\u202etxt.exe", "\\u202etxt.exe"),
        ("\u2066iso", "\\u2066iso"),
        ("zero\u200bwidth\u200d\ufeff", "zero\\u200bwidth\\u200d\\ufeff"),
        ("\u2028line\u2029", "\\u2028line\\u2029"),
        ("\ud800", "\\ud800"),
        ("\U000e0041tag", "\\U000e0041tag"),
        ("blank\u3164letter\u2800", "blank\\u3164letter\\u2800"),
        ("[/x] [link=file:///etc]", "[/x] [link=file:///etc]"),
        ("TRÈS SECRET, Ściśle tajne, 極秘", "TRÈS SECRET, Ściśle tajne, 極秘"),
        ("e\u0301", "e\u0301"),
    ],
)
def test_what_could_act_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_lines_stay_and_tabs_become_spaces_in_a_body() -> None:
    assert visible("a\tb\r\nc\x1b", lines=True) == "a       b\nc\\x1b"


def test_a_flood_of_marks_is_cut_into_escapes() -> None:
    shown = visible("a" + "\u0301" * 1000)
    assert shown.startswith("a" + "\u0301" * 4 + "\\u0301")
    assert shown.count("\u0301") == 4


def test_a_line_of_a_megabyte_is_shown_whole() -> None:
    assert len(visible("\x1b" + "x" * 1_000_000)) == 1_000_004


def test_no_control_character_comes_through_whatever_is_put_in() -> None:
    everything = "".join(map(chr, range(0x3000)))
    shown = visible(everything, lines=True)
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") and c != "\n"]


def test_wide_letters_take_two_columns_and_marks_none() -> None:
    assert width("極秘") == 4
    assert width("e\u0301") == 1


@pytest.mark.parametrize(
    "name",
    [
        "../up",
        "/etc/passwd",
        "a/b",
        "a\\b",
        "nul\x00byte",
        "..%2fup",
        "CON",
        "con.txt",
        "com1.log",
        "x" * 300,
        "trailing.",
        "trailing ",
        "..",
        ".hidden",
        "-rf",
        "e\u0301.txt",
        "\u202etxt.exe",
        "c:stream",
        "",
    ],
)
def test_a_dangerous_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        safe_name(name, source="portion 1")
    assert caught.value.code == "UNSAFE_NAME"


@pytest.mark.parametrize("name", ["report.pdf", "éclair.txt", "a b.tar.gz", "console.txt", "x" * 200])
def test_a_plain_name_is_used(name: str) -> None:
    assert safe_name(name, source="portion 1") == name
