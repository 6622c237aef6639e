"""Whoever reads a code in ``node health`` finds it in both pages for operators."""

from __future__ import annotations

import re
from pathlib import Path

from e2e.written import part
from intelshare.errors import PASSING
from intelshare.node import housekeeping, mending, policies

DOCS = Path(__file__).parents[3] / "docs"


def _codes(table: str) -> list[str]:
    return sorted(re.findall(r"^\| `?([A-Z]+(?:_[A-Z]+)*)`? \|", table, re.MULTILINE))


def test_the_runbook_leads_from_every_health_code_that_operations_explains() -> None:
    operations = (DOCS / "operations.md").read_text("utf-8").split("| health code |")[1].split("\n\n")[0]
    runbook = part((DOCS / "runbook.md").read_text("utf-8"), "Not serving")
    assert _codes(operations) == _codes(runbook)
    assert {*PASSING, housekeeping.VAULT_GONE, mending.CODE, policies.UNAVAILABLE} <= {*_codes(runbook)}
