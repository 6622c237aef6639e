"""Reports and proofs on the command line: nothing is made up, and no assurance is shown that nobody gave."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import msgspec
import pytest

from intelshare.audit.report import REPORT_SCHEMA, Duty, Report, Shared
from intelshare.cli import run
from intelshare.cli.operator.audit_report import write_csv

REPORT = Report(
    schema=REPORT_SCHEMA,
    member="FRA",
    treaty="",
    since=0,
    until=1,
    made=1,
    shared=[Shared("KEN", "FRA", "", "", "=cyber", "R0", 2, 2)],
    stopped=[],
    releases=[],
    missing=[],
    overdue=[Duty("FRA", "ab" * 32, "-report", 1, 0)],
    truncated=False,
    damaged=[],
)


def test_an_empty_cell_of_the_csv_is_empty_and_no_cell_is_a_formula() -> None:
    stream = io.StringIO()
    write_csv(REPORT, stream)
    rows = list(csv.reader(io.StringIO(stream.getvalue())))
    assert ["shared", "KEN", "FRA", "", "", "'=cyber", "R0", "2", "2"] in rows
    assert not [row for row in rows if "'" in row]


def test_the_reports_of_one_member_cannot_be_reconciled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "fra.json"
    file.write_bytes(msgspec.json.encode(REPORT))
    assert run(["audit", "reconcile", str(file), str(file)]) == 2
    told = capsys.readouterr()
    assert "both reports are from FRA" in told.err
    assert told.out == ""


def test_what_is_no_report_says_which_command_writes_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "x.json"
    file.write_text("{}")
    assert run(["audit", "reconcile", str(file), str(file)]) == 2
    assert "audit report --format json" in capsys.readouterr().err
