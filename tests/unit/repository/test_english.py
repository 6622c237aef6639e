"""Marks of sentences that readers stumble over are counted, and the counts may only fall.

Five patterns that a reader of English has to read twice: a bare "own", a noun clause ("What it is.") or an
"else" where a sentence belongs, "X is no Y", "anew". Each marks a voice and need not be a fault. A count of
zero stays zero; whoever rewrites a text where the count is higher lowers the figure.
"""

from __future__ import annotations

import ast
import functools
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import reference_pages

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "src" / "intelshare"

MARKS: Final = {
    "bare own": re.compile(r"\b(?:the|an|of|by|to|for|with|and|in|from) own\b|\A\s*Own\b"),
    "opens with a question word": re.compile(r"\A\s*(?:What|Who|Whoever|Whether|How)\b(?![^.]*\?)"),
    "else": re.compile(r"[,:;] else\b"),
    "is no": re.compile(r"(?<!there )\bis no (?!longer\b|more\b|such\b)\w+"),
    "anew": re.compile(r"\banew\b|\bonce more\b"),
}

CEILING: Final = {"docstrings": 2, "texts": 0, "codes": 0, "pages": 0}
"""How many marked texts there may be of each kind. Lower these when you rewrite; never raise them."""


def docstrings(tree: ast.AST) -> Iterator[tuple[ast.Constant, str]]:
    """The docstrings of a module: also those of its constants and fields."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        for statement in body if isinstance(body, list) else []:
            match statement:
                case ast.Expr(ast.Constant(str(text)) as constant):
                    yield constant, text


def of_modules() -> Iterator[tuple[str, str, str]]:
    """(kind, place, text) of every docstring, and of every other string that has the form of a sentence."""
    for path in sorted(SOURCE.rglob("*.py")):
        if path.match("wire/v1/*"):
            continue
        tree, place = ast.parse(path.read_text("utf-8")), path.relative_to(ROOT)
        of_docs = {id(node): text for node, text in docstrings(tree)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                if id(node) in of_docs:
                    yield "docstrings", f"{place}:{node.lineno}", node.value
                elif node.value.count(" ") > 2:
                    yield "texts", f"{place}:{node.lineno}", node.value


def of_codes() -> Iterator[tuple[str, str, str]]:
    """What the catalogue of codes says of each, and what to do next."""
    path = SOURCE / "cli" / "shared" / "codes.toml"
    for code, row in tomllib.loads(path.read_text("utf-8")).items():
        for field in ("means", "next"):
            yield "codes", f"{path.name}:{code}.{field}", row[field]


def of_pages() -> Iterator[tuple[str, str, str]]:
    """The paragraphs of the pages that people write; code and tables aside."""
    pages = (*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "days").glob("*.md"))
    docs = sorted(path for path in pages if path.name not in reference_pages.PAGES)
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *docs]:
        prose = re.sub(r"^```.*?^```", "", path.read_text("utf-8"), flags=re.M | re.S)
        for paragraph in re.split(r"\n\s*\n", prose):
            if not paragraph.lstrip().startswith(("|", "#")):
                yield "pages", f"{path.relative_to(ROOT)}: {paragraph.strip()[:40]!r}", paragraph


@functools.cache
def texts() -> tuple[tuple[str, str, str], ...]:
    """(kind, place, text) of every text."""
    return (*of_modules(), *of_codes(), *of_pages())


def marked(kind: str) -> list[str]:
    """Every text of that kind that has a mark, with its place."""
    return [
        f"{place}: {mark}: {' '.join(text.split())[:120]}"
        for its, place, text in texts()
        if its == kind
        for mark, pattern in MARKS.items()
        if pattern.search(text)
    ]


@pytest.mark.parametrize("kind", CEILING)
def test_marks_of_translated_sentences_only_become_fewer(kind: str) -> None:
    """More than the ceiling: somebody wrote a new one. Fewer: lower the ceiling."""
    found = marked(kind)
    assert len(found) == CEILING[kind], f"{len(found)} of {CEILING[kind]} {kind}:\n" + "\n".join(found)
