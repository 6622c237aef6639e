"""Help says what every command and option does, and what is mistyped or left out is told with what next."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from intelshare.cli import run
from intelshare.cli.app import root
from intelshare.cli.shared.commands import COMMANDS

LONGEST = 160
"""Characters of the sentence that a list of commands shows."""


def commands(group: click.Group, path: str = "intelshare") -> Iterator[tuple[str, click.Command]]:
    """Every command and group below a group, with the words that lead to it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")


def test_every_command_says_in_a_sentence_what_it_does() -> None:
    for path, command in commands(root):
        said = command.get_short_help_str(10_000)
        assert said.endswith((".", ":")), (path, said)
        assert 10 < len(said) <= LONGEST, (path, said)


def test_every_option_says_what_it_does() -> None:
    for path, command in commands(root):
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert parameter.help, (path, parameter.opts)
                assert parameter.help.endswith((".", "any.", ")", "]")), (
                    path,
                    parameter.opts,
                    parameter.help,
                )


def test_the_list_of_commands_cuts_no_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    for group in ("treaty", "policy", "audit"):
        assert run([group, "--help"]) == 0
        assert "..." not in capsys.readouterr().out.partition("Commands:")[2]


def test_an_example_is_on_a_line_of_its_own_however_long(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["treaty", "timeline", "--help"]) == 0
    shown = capsys.readouterr().out
    assert (
        "\n  Examples:\n    intelshare treaty timeline paris\n    intelshare treaty timeline jcpoa" in shown
    )


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["policy", "chekc"], "check"),
        (["treaty", "ratfiy", "paris"], "ratify"),
        (["audit", "verfiy"], "verify"),
        (["member", "improt", "x"], "import"),
        (["outbox", "aprove", "3f9a1c22"], "approve"),
    ],
)
def test_a_mistyped_subcommand_is_guessed(
    words: list[str], meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words) == 2
    assert f'did you mean "{meant}"?' in capsys.readouterr().err


def test_what_resembles_no_command_is_told_where_all_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["policy", "zzz"]) == 2
    assert "`intelshare policy --help` lists all" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["policy"], ["rfi"]])
def test_a_group_without_a_word_shows_its_help_and_ends_with_2(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"Usage: {' '.join(['intelshare', *words])} ")
    assert "\n\nOptions:\n" in shown.err


def test_what_is_required_and_left_out_is_named_with_the_help_to_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("INTELSHARE_FOLDER", raising=False)
    asking = [path for path, command in commands(root) if any(one.required for one in command.params)]
    assert len(asking) > len(COMMANDS)
    for path in asking:
        assert run(path.split()[1:]) == 2, path
        told = capsys.readouterr().err
        assert "error[USAGE]: Missing" in told, path
        assert f"hint: {path} --help" in told, path


def test_a_precedence_that_there_is_not_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "rfi",
        "ask",
        "q.txt",
        "--to",
        "USA",
        "--category",
        "cyber",
        "--label",
        "U",
        "--precedence",
        "SOON",
    ]
    assert run(words) == 2
    assert "'--precedence'" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["1", "--log=-1"], ["1", "--log", "f" * 17], [str(2**64)]])
def test_a_number_that_no_log_has_is_wrong_usage(words: list[str], tmp_path: Path) -> None:
    assert run(["audit", "prove", *words, "--folder", str(tmp_path)]) == 2


def test_a_file_that_cannot_be_written_is_no_defect(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "below"
    assert run(["treaty", "new", "nordic", "--party", "NOR", "--party", "SWE", "--folder", str(folder)]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"error[INPUT_INVALID]: cannot be used: Not a directory\n  --> {folder}\n")


@pytest.mark.parametrize("words", [[], ["treaty"], ["treaty", "list"]])
def test_help_shows_what_the_option_shows(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*words, "--help"]) == 0
    shown = capsys.readouterr().out
    assert run(["help", *words]) == 0
    assert capsys.readouterr().out == shown
    assert run(["help", *words, "x"]) == 2
