"""Decision records are found by their number: each has one of its own, in its name and in its title."""

from __future__ import annotations

from pathlib import Path

RECORDS = sorted((Path(__file__).parents[3] / "docs" / "decisions").glob("[0-9]*.md"))


def test_no_number_is_given_twice() -> None:
    """Numbers are given out before the records are written, so that one may still be missing."""
    numbers = [int(record.name[:4]) for record in RECORDS]
    assert numbers == sorted(set(numbers))


def test_a_title_begins_with_the_number_of_its_file() -> None:
    for record in RECORDS:
        title = record.read_text("utf-8").splitlines()[0]
        assert title.startswith(f"# {int(record.name[:4])}. "), record.name
