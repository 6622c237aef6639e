"""Every command line that a page, a hint or a docstring names exists, with each of its options."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

import reference_pages
from intelshare.cli.app import root

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "src" / "intelshare"

LINE: Final = re.compile(r"(?:^|[`\s(\"'$])intelshare((?: +[^\s`\"'|;<>&()]+)+)", re.M)
CODE: Final = re.compile(r"\Aintelshare [^`]+|`intelshare [^`]+`")
WORD: Final = re.compile(r"^[a-z][a-z-]+$")
OPTION: Final = re.compile(r"^--[a-z][a-z-]+$")

FORMATS: Final = {"bundle", "checkpoint", "log"}
"""Signed texts that begin with the name of the product and of their format."""

EVERYWHERE: Final = {"--help", "--version"}


def in_pages() -> Iterator[tuple[str, str]]:
    """(place, code) of what stands as code in the pages that people read."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "days").glob("*.md")]
    for path in sorted(pages):
        if path.name in {"CHANGELOG.md", *reference_pages.PAGES}:
            continue
        text = path.read_text("utf-8").replace("\\\n", " ")
        for block in re.findall(r"^```.*?^```", text, re.M | re.S) + re.findall(r"`[^`\n]+`", text):
            yield str(path.relative_to(ROOT)), block


def text_of(node: ast.AST) -> str:
    """The text of a string; what is put into it stands there as VALUE."""
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(one) or "VALUE" for one in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def in_source() -> Iterator[tuple[str, str]]:
    """(place, code) of the command lines in the strings of the source: in backquotes, or a whole string."""
    for path in sorted(SOURCE.rglob("*.py")):
        if path.match("wire/v1/*"):
            continue
        tree = ast.parse(path.read_text("utf-8"))
        parts = {id(one) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for one in node.values}
        for node in ast.walk(tree):
            if id(node) not in parts and (text := text_of(node)):
                for code in CODE.findall(text):
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", code
    codes = SOURCE / "cli" / "shared" / "codes.toml"
    for code, row in tomllib.loads(codes.read_text("utf-8")).items():
        yield from ((f"codes.toml:{code}", line) for line in CODE.findall(row["next"]))


def wrong(words: list[str], *, copied: bool = False) -> str | None:
    """What of a command line does not exist, or is missing in one that is copied; None: it is right."""
    command: click.Command = root
    context = click.Context(root, info_name="intelshare")
    for place, word in enumerate(words):
        if not isinstance(command, click.Group) or not WORD.match(word):
            break
        found = command.get_command(context, word)
        if found is None and (command.invoke_without_command or (command is root and word in FORMATS)):
            return None
        if found is None:
            return f"there is no command {' '.join(words[: place + 1])}"
        command, context = found, click.Context(found, parent=context, info_name=word)
    known = {
        name
        for parameter in command.get_params(context)
        for name in (*parameter.opts, *parameter.secondary_opts)
    }
    for word in words:
        option = word.partition("=")[0].rstrip(".,:")
        if OPTION.match(option) and option not in known | EVERYWHERE:
            return f"{' '.join(words[:2])} has no option {option}"
    # A command alone names it; with an argument or an option it is what people copy.
    if copied and not isinstance(command, click.Group) and words[-1] != command.name:
        for parameter in command.params:
            needed = isinstance(parameter, click.Option) and parameter.required and not parameter.envvar
            if needed and not set(parameter.opts) & set(words):
                return f"{' '.join(words[:2])} needs {parameter.opts[0]}"
    return None


def test_a_command_that_an_answer_gives_has_all_that_it_needs() -> None:
    missing = [
        f"{place}: {said}: {code}"
        for place, code in in_source()
        if code.startswith("`")
        and (said := wrong(code.strip("`").removeprefix("intelshare ").split(), copied=True))
    ]
    assert not missing, "\n".join(missing)


def test_every_command_that_is_named_exists_with_its_options() -> None:
    missing, lines = [], 0
    for place, text in (*in_pages(), *in_source()):
        for found in LINE.findall(text):
            lines += 1
            if said := wrong([word.rstrip(".,:") for word in found.split()]):
                missing.append(f"{place}: {said}: intelshare{found[:90]}")
    assert lines > 300
    assert not missing, "\n".join(missing)
