"""Errors have three parts and a caret; tables align; JSON stands alone on stdout."""

from __future__ import annotations

import errno
import io
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from intelshare.cli import run
from intelshare.cli.shared.output import Out, Table, draw, error_lines, print_error, waiting
from intelshare.errors import ConfigError, Place, PolicyFileError
from intelshare.patience import patient
from waits import LIMIT


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_an_error_says_what_where_and_what_next_with_a_caret() -> None:
    place = Place("treaties/nordic.toml", 14, 10, "party[1].member", 'member = "NO"', 4)
    error = PolicyFileError(
        "PARTY_UNKNOWN", 'party "NO" is not a member code', place=place, hint='did you mean "NOR"?'
    )
    assert error_lines(error) == [
        'error[PARTY_UNKNOWN]: party "NO" is not a member code',
        "  --> treaties/nordic.toml:14:10   party[1].member",
        ' 14 | member = "NO"',
        "    |          ^^^^",
        'hint: did you mean "NOR"?',
    ]


def test_the_caret_stands_under_the_place_behind_escapes_and_wide_letters() -> None:
    lines = error_lines(ConfigError("X", "bad", place=Place("f", 1, 4, excerpt="極\x1b bad", width=3)))
    assert lines[2] == "  1 | 極\\x1b bad"
    assert lines[3] == "    |        ^^^"


def test_an_error_in_a_line_of_a_megabyte_shows_the_place_only() -> None:
    excerpt = "x" * 500_000 + "BAD" + "x" * 500_000
    lines = error_lines(ConfigError("X", "bad", place=Place("f", 1, 500_001, excerpt=excerpt, width=3)))
    assert len(lines[2]) < 200
    assert lines[2][lines[3].index("^") :].startswith("BAD")


def test_foreign_text_in_an_error_is_visible() -> None:
    lines = error_lines(ConfigError("X", "\x1b]0;owned\x07", place=Place("\u202ef"), hint="\x9b"))
    assert not [c for c in "".join(lines) if ord(c) < 32 or c in "\x9b\u202e"]


def test_a_piped_table_is_aligned_text_without_trailing_spaces() -> None:
    stream = io.StringIO()
    draw(Table(("id", "title"), [("a", "極\x1b"), ("bbb", "")]), stream, indent=2)
    assert stream.getvalue() == "  id   title\n  a    極\\x1b\n  bbb\n"


def test_a_title_that_looks_like_markup_is_text_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    draw(Table(("title",), [("[/x] [link=http://evil] \x1b[31m",)]), stream)
    assert "[/x] [link=http://evil] \\x1b[31m" in stream.getvalue()


def test_no_color_means_no_escape_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    draw(Table(("state",), [("withheld",), ("FLASH",)]), stream)
    assert "\x1b" not in stream.getvalue()


def test_json_is_one_document_with_a_schema_and_byte_exact(capsys: pytest.CaptureFixture[str]) -> None:
    out = Out(json=True)
    out.table(Table(("a",), [("b",)]))
    out.line("not shown")
    out.note("beside it")
    out.document("thing", {"title": "\x1b\u202e[/x]"})
    told = capsys.readouterr()
    assert json.loads(told.out) == {"schema": "intelshare/thing/1", "title": "\x1b\u202e[/x]"}
    assert "\x1b" not in told.out
    assert told.err == "beside it\n"


def test_quiet_says_nothing_beside_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    Out(quiet=True).note("hush")
    assert capsys.readouterr().err == ""


def test_a_failing_command_with_json_gives_one_document_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["label", "parse", "//FRA SECRTE", "--json"]) == 2
    told = capsys.readouterr()
    (line,) = told.out.splitlines()  # whoever reads a stream line by line reads it too
    document = json.loads(line)
    assert document["schema"] == "intelshare/error/1"
    assert document["code"] == "UNKNOWN_LEVEL"
    assert document["place"]["column"] == 3
    assert told.err.startswith("error[UNKNOWN_LEVEL]")


def test_an_error_that_does_not_say_what_next_has_it_from_its_code(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_error(ConfigError("ID_CONFLICT", "something is there already"), as_json=True)
    told = capsys.readouterr()
    assert "hint: Choose another name" in told.err
    assert json.loads(told.out)["hint"].startswith("Choose another name")


def test_a_code_of_two_letters_leads_to_all_those_that_it_may_mean(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of FRA and FRO, which are equally close, the other one was proposed."""
    assert run(["init", "FR", str(tmp_path / "fr"), "--dev"]) == 2
    assert 'did you mean "FRA" or "FRO"?' in capsys.readouterr().err


def test_a_wrong_command_line_is_an_error_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["reed", "x"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error[USAGE]")
    assert 'did you mean "read"?' in told


def test_a_defect_shows_no_trace_unless_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_: str) -> None:
        raise RuntimeError("\x1bbroken")

    monkeypatch.setattr("intelshare.cli.policy.label.moment", broken)
    assert run(["label", "parse", "S"]) == 1
    told = capsys.readouterr().err
    assert "error[INTERNAL]" in told
    assert "Traceback" not in told
    assert "\x1b" not in told


def test_a_long_wait_shows_itself_after_a_second_and_takes_itself_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = threading.Event()

    class Watched(Terminal):
        def write(self, text: str, /) -> int:
            shown.set()
            return super().write(text)

    terminal = Watched()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr("intelshare.cli.shared.output.PROGRESS_AFTER", 0.02)
    with waiting("the node works on it"):
        assert shown.wait(patient(LIMIT))
    assert "\rthe node works on it, 0 s " in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_a_short_wait_and_a_pipe_show_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream in (Terminal(), io.StringIO()):
        monkeypatch.setattr("sys.stderr", stream)
        with waiting("x"):
            pass
        assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [
        (">&- 2>&- <&-", 0, ""),
        (">/dev/full", 1, "error[DISK_FULL]: cannot be written: No space left on device"),
        ("| true", 0, ""),
    ],
)
def test_an_output_that_is_closed_or_full_is_no_defect(end: str, code: int, said: str) -> None:
    script = f'set -o pipefail; "$0" -m intelshare errors --json {end}'
    done = subprocess.run(
        ["bash", "-c", script, sys.executable],
        capture_output=True,
        text=True,
        check=False,
        timeout=patient(30),
    )
    assert (done.returncode, done.stderr.partition("\n")[0]) == (code, said)


def test_a_disk_without_room_is_no_defect(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("intelshare.cli.policy.label.moment", full)
    assert run(["label", "parse", "S"]) == 1
    told = capsys.readouterr().err
    assert "error[DISK_FULL]: cannot be written: No space left on device" in told
