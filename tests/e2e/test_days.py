"""Four people's days in docs/days, command by command as they are written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from e2e.written import run_as_written

DAYS = Path(__file__).parents[2] / "docs" / "days"

SEEN = {
    "analyst.md": [
        r"because +RELEASABILITY_NOT_STATED",
        r"^USA +2 of 2 +released +gsa-fra-usa art\. 4 +accepted",
        r"Seen twice in October\.",
        r"to USA +answered",
        r"^USA +DESTROYED +RECALLED .*holds$",
        r"did you mean \"SECRET\"",
    ],
    "officer.md": [r"USA held", r"^USA +1 of 1|^USA +2 of 2", r"^USA +DESTROYED"],
    "policy-author.md": [r"mutants: \d+ of (\d+) caught", r"basis +rhine art\. 1", r"OUT_OF_SCOPE"],
    "operator.md": [r"p\.martin", r"suspended", r"every entry matches its tree"],
}
"""What somebody who follows a page must have seen."""


LONGER = {"officer.md", "policy-author.md"}
"""Pages of which most commands stand on others too: `make soak` follows them."""


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=pytest.mark.soak) if page in LONGER else page for page in sorted(SEEN)]
)
def test_a_day_goes_as_it_is_written(page: str, tmp_path: Path) -> None:
    done = run_as_written(tmp_path, *((DAYS / name).read_text("utf-8") for name in ("README.md", page)))
    assert done.code == 0, done.out + done.err
    missing = [text for text in SEEN[page] if not re.search(text, done.out + done.err, re.MULTILINE)]
    assert not missing, done.out + done.err
