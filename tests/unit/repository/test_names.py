"""A name that docs/glossary.md retires does not come back, and what it says is used now exists."""

import ast
import functools
import re
from collections import defaultdict
from pathlib import Path

import pytest

import intelshare

SOURCE = Path(intelshare.__file__).parent
GLOSSARY = (Path(__file__).parents[3] / "docs" / "glossary.md").read_text("utf-8")
WORDS = GLOSSARY.partition("## Retired names")[0]
ROWS = [
    [re.findall(r"`(\w+)`", cell) for cell in row]
    for row in re.findall(r"^\| (.*) \| (.*) \|$", GLOSSARY.partition("## Retired names")[2], re.MULTILINE)
    if "`" in row[0]
]
RETIRED = [name for old, _ in ROWS for name in old]


@functools.cache
def public_names() -> dict[str, list[str]]:
    """Modules, and the classes and functions at their top level, by name: where each is."""
    found = defaultdict(list)
    for path in SOURCE.rglob("*.py"):
        if path.is_relative_to(SOURCE / "wire" / "v1"):
            continue
        here = str(path.relative_to(SOURCE))
        found[path.stem].append(here)
        for node in ast.parse(path.read_bytes()).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                found[node.name].append(f"{here}:{node.lineno}")
    return found


@pytest.mark.parametrize("name", RETIRED)
def test_a_retired_name_does_not_come_back(name):
    assert public_names().get(name, []) == []


def test_every_retired_name_has_a_successor_that_exists():
    assert len(ROWS) > 10
    assert [name for _, new in ROWS for name in new if name not in public_names()] == []


def test_a_word_has_one_row_in_the_glossary():
    words = [
        word
        for cell in re.findall(r"^\| ([^|]+) \|", WORDS, re.MULTILINE)
        if cell not in ("word", "---")
        for word in cell.split(", ")
    ]
    assert len(words) > 30
    assert sorted(words) == sorted(set(words))


def test_no_two_public_classes_or_functions_of_the_core_share_a_name():
    core = {
        name: [place for place in places if ":" in place and place.startswith(("broker/", "engine/"))]
        for name, places in public_names().items()
        if not name.startswith("_")
    }
    assert sum(map(bool, core.values())) > 500
    assert {name: places for name, places in core.items() if len(places) > 1} == {}
