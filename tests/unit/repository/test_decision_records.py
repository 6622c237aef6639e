"""Decision records are found by their number: each has one, a status, a date and a line in the list."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[3] / "docs" / "decisions"
RECORDS = sorted(FOLDER.glob("[0-9]*.md"))
STATUS = re.compile(r"Status: ((?:proposed|accepted|dropped|replaced)\b[^.]*)\. (\d{4}-\d\d-\d\d)\.")


def test_numbers_run_from_1_without_a_gap_and_none_is_given_twice() -> None:
    assert [int(record.name[:4]) for record in RECORDS] == list(range(1, len(RECORDS) + 1))


@pytest.mark.parametrize("record", RECORDS, ids=lambda path: path.stem)
def test_a_record_has_its_number_a_status_a_date_and_a_line_in_the_list(record: Path) -> None:
    title, empty, status, *rest = record.read_text("utf-8").splitlines()
    number = int(record.name[:4])
    assert title.startswith(f"# {number}. ")
    assert not empty
    said = STATUS.fullmatch(status)
    assert said, f"{status!r}: write Status: accepted. YEAR-MONTH-DAY."
    assert any(line.strip() for line in rest)
    line = f"| {number} | [{title.split('. ', 1)[1]}]({record.name}) | {said[1]} | {said[2]} |"
    assert line in (FOLDER / "README.md").read_text("utf-8").splitlines(), line


def test_the_list_has_a_line_for_each_record_and_no_other() -> None:
    lines = re.findall(r"^\| \d+ \|", (FOLDER / "README.md").read_text("utf-8"), re.MULTILINE)
    assert len(lines) == len(RECORDS)
