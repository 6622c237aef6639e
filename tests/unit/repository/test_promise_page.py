"""docs/promises.md and docs/attacks.md name tests that exist, and tests/README.md is their map."""

from __future__ import annotations

import pytest

import page_map

PROMISES = [f"P{n}" for n in range(1, 21)]
CRASH_POINTS = [f"c{n}" for n in range(1, 21)]
INVARIANTS = [f"I{n}" for n in range(1, 17)]


def test_every_promise_crash_point_and_invariant_has_a_test() -> None:
    found = page_map.named(page_map.rows("promises.md"))
    assert list(found) == PROMISES + CRASH_POINTS + INVARIANTS
    assert not [name for name, tests in found.items() if not tests]


def test_every_row_of_attacks_has_a_test_or_an_answer() -> None:
    found = page_map.rows("attacks.md")
    assert [int(name) for name in found] == list(range(1, 113))
    last = {name: rest.rpartition("|")[2] for name, rest in found.items()}
    assert not [name for name, cell in last.items() if not page_map.NAMED.search(cell) and len(cell) < 10]


@pytest.mark.parametrize("page", ["promises.md", "attacks.md"])
def test_every_test_that_a_page_names_exists(page: str) -> None:
    named = {test for tests in page_map.named(page_map.rows(page)).values() for test in tests}
    assert not named - set(page_map.existing())


def test_the_map_of_tests_is_what_the_pages_say() -> None:
    """Stale: run `make test-map`."""
    assert page_map.README.read_text("utf-8") == page_map.current()
