"""docs/attacks.md: every row has a test or an answer, and every test that it names is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parents[2]
PAGE = TESTS.parent / "docs" / "attacks.md"
ROWS = range(1, 113)
_NAMED = re.compile(r"`(test_\w+\.py)::(test_\w+)`")


def rows() -> dict[int, str]:
    """Of each row its last cell."""
    found: dict[int, str] = {}
    for line in PAGE.read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0].isdecimal():
            assert int(cells[0]) not in found, f"row {cells[0]} stands there twice"
            found[int(cells[0])] = cells[-1]
    return found


def collected() -> set[tuple[str, str]]:
    """File and name of every test that pytest collects; those that are always skipped are none."""
    return {
        (path.name, node.name)
        for path in TESTS.rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and "pytest.mark.skip" not in {ast.unparse(by).split("(")[0] for by in node.decorator_list}
    }


def test_every_row_has_a_test_or_an_answer() -> None:
    found = rows()
    assert sorted(found) == list(ROWS)
    assert not [row for row, cell in found.items() if not _NAMED.search(cell) and len(cell) < 10]


def test_every_test_that_the_page_names_is_there() -> None:
    named = {one for cell in rows().values() for one in _NAMED.findall(cell)}
    assert named - collected() == set()
