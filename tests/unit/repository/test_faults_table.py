"""The table of faults: every row of it is there, and every test that it names."""

from __future__ import annotations

import re
from pathlib import Path

from faults import FAULTS, Fault, Told, told

ROOT = Path(__file__).resolve().parents[3]


def test_every_row_is_there_once_and_is_played_or_says_what_is_missing() -> None:
    assert [fault.number for fault in FAULTS] == [f"F{number}" for number in range(1, 37)]
    assert all(fault.tests or fault.counted or fault.missing for fault in FAULTS)


def test_every_test_that_a_row_names_exists() -> None:
    for fault in FAULTS:
        for one in fault.tests:
            file, _, name = one.partition("::")
            text = (ROOT / file).read_text()
            assert not name or re.search(rf"def {name}\b", text), one


def test_what_is_missing_is_never_a_pass() -> None:
    missing = Fault("F0", "nothing", missing="all of it")
    assert list(told(missing, short=False, cycles=0)) == [Told("NOT DONE", "not done: all of it")]
