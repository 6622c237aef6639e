"""Every line of the README does what it says."""

from __future__ import annotations

import re
from pathlib import Path

from e2e.written import blocks, run_as_written

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def section(title: str) -> str:
    """The text below a heading."""
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_own_first_bulletin_as_it_is_written(tmp_path: Path) -> None:
    done = run_as_written(tmp_path, section("Your own first bulletin"))
    assert done.code == 0, done.out + done.err
    assert re.search(r"^USA +1 of 2 +released +gsa-fra-usa art\. 4 +accepted", done.out, re.MULTILINE)
    assert "withheld  NOT_RELEASABLE_TO" in done.out
    assert "Phishing kit against grid operators." in done.out
    assert "BLUE HERON" not in done.out
    assert "every entry matches its tree" in done.out


def test_try_and_test_stand_alone_and_only_use_what_the_package_declares() -> None:
    (try_it,) = blocks(section("Try it"))
    (test_it,) = blocks(section("Test it"))
    assert try_it == "python3 -m venv .venv && .venv/bin/pip install -q . && .venv/bin/intelshare demo\n"
    assert test_it == "python3 -m venv .venv && .venv/bin/pip install -q -e '.[dev]' && .venv/bin/pytest\n"


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
