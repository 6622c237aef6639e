"""A table fits the terminal, and breaks where a reader would break."""

from __future__ import annotations

import pytest

from intelshare.cli.shared.columns import fit
from intelshare.text import width

TIME = "2026-11-26T03:20:00Z"
RECEIPTS = [
    ("recipient", "receipt", "codes", "decided", "received", "digest", "signature"),
    ("USA", "DESTROYED", "RECALLED", TIME, TIME, "52a0ff8c", "holds"),
]


def widest(rows: list[list[str]]) -> int:
    """Columns that the rows take with two spaces between."""
    columns = range(len(rows[0]))
    return sum(max(width(line) for row in rows for line in row[n].split("\n")) + 2 for n in columns) - 2


def test_what_fits_is_left_alone() -> None:
    assert fit([("a", "b c"), ("", TIME)], 40) == [["a", "b c"], ["", TIME]]


def test_a_time_breaks_before_its_hour_and_a_digest_stays_whole() -> None:
    (_, row) = fit(RECEIPTS, 80)
    assert row[3] == row[4] == "2026-11-26T\n03:20:00Z"
    assert row[5] == "52a0ff8c"


def test_an_address_breaks_after_a_slash_and_a_fingerprint_between_groups() -> None:
    mark = "YW88A-03C2C-N5QR6-X0R75-JGCM2-M249K-ZPP6T-P38ST"
    ((address, fingerprint),) = fit([("intelshare://ken.intelshare.internal/node/node-1", mark)], 56)
    assert all(line.endswith(("/", "node-1")) for line in address.split("\n"))
    assert all(len(group) == 5 for line in fingerprint.split("\n") for group in line.strip("-").split("-"))
    assert fingerprint.replace("\n", "") == mark


def test_a_long_title_gives_way_before_anything_else() -> None:
    (row,) = fit([("3f9a1c22", TIME, "Framework on Climate Disasters and Critical Infrastructure")], 70)
    assert row[:2] == ["3f9a1c22", TIME]
    assert row[2] == "Framework on Climate Disasters and\nCritical Infrastructure"


@pytest.mark.parametrize("room", [30, 50, 80, 100])
def test_no_row_is_wider_than_the_terminal_and_no_letter_is_lost(room: int) -> None:
    rows = [("id", "what"), ("極" * 30, "intelshare://x/" + "y" * 70), (TIME, "one two  three " * 5)]
    found = fit(rows, room)
    assert widest(found) <= room
    for row, cells in zip(rows, found, strict=True):
        for cell, shown in zip(row, cells, strict=True):
            assert shown.replace("\n", "").replace(" ", "") == cell.replace(" ", "")
