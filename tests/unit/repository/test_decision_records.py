"""Decision records are found by their number: each has one of its own, in its name and in its title."""

from __future__ import annotations

from pathlib import Path

RECORDS = sorted((Path(__file__).parents[3] / "docs" / "decisions").glob("[0-9]*.md"))


def test_numbers_run_from_1_without_a_gap_and_none_is_given_twice() -> None:
    assert [int(record.name[:4]) for record in RECORDS] == list(range(1, len(RECORDS) + 1))


def test_a_title_begins_with_the_number_of_its_file() -> None:
    for record in RECORDS:
        title = record.read_text("utf-8").splitlines()[0]
        assert title.startswith(f"# {int(record.name[:4])}. "), record.name
