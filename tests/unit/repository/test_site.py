"""The documentation site: its navigation has every page, and every link leads to a page and a heading."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import site_pages


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    into = tmp_path_factory.mktemp("site") / "pages"
    site_pages.gather(into)
    return into


def headings(page: Path) -> set[str]:
    """The anchors of a page, as the site makes them of its headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.M | re.S)
    found = re.findall(r"^#{1,6} +(.+?)\s*$", text, re.M)
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in found}


def test_every_page_is_in_the_navigation_and_nothing_else_is(site: Path) -> None:
    pages = {str(path.relative_to(site)) for path in site.rglob("*.md")}
    listed = list(site_pages.in_navigation())
    assert len(listed) == len(set(listed))
    assert set(listed) - pages == set()
    assert {page for page in pages - set(listed) if not page.startswith("decisions/")} == set()


def test_every_link_leads_to_a_page_and_a_heading(site: Path) -> None:
    broken = []
    for page in sorted(site.rglob("*.md")):
        for found in site_pages.LINK.finditer(
            re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.M | re.S)
        ):
            target, anchor = found["target"], (found["anchor"] or "").removeprefix("#")
            if "://" in target or target.startswith("mailto:"):
                continue
            there = (page.parent / target).resolve() if target else page
            if not there.is_file() or (anchor and there.suffix == ".md" and anchor not in headings(there)):
                broken.append(f"{page.relative_to(site)}: {found[0]}")
    assert not broken, "\n".join(broken)
