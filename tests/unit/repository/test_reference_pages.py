"""docs/commands.md and docs/codes.md say what the commands and the catalogue say now."""

from __future__ import annotations

import pytest

import reference_pages


@pytest.mark.parametrize("page", reference_pages.PAGES)
def test_a_page_of_reference_is_not_stale(page: str) -> None:
    """Stale: run `make reference`."""
    assert (reference_pages.DOCS / page).read_text("utf-8") == reference_pages.PAGES[page]()
