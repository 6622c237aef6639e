"""No forged file is believed, each is refused for its own reason, and each reason of the page is tried."""

from __future__ import annotations

import re

import pytest

import format_page as page
from forgeries import ask, forgeries
from intelshare import verifier
from intelshare.errors import IntelshareError
from judge_world import Forgery


@pytest.fixture(scope="module")
def everything() -> list[Forgery]:
    return forgeries()


def test_every_forged_file_is_refused_with_its_code(everything: list[Forgery]) -> None:
    said = {}
    for one in everything:
        try:
            ask(verifier, one)
            said[one.name] = "believed"
        except IntelshareError as error:
            said[one.name] = error.code
    assert said == {one.name: one.code for one in everything}
    assert len(said) == len(everything) > 40


def test_every_code_that_the_page_gives_to_a_judge_is_tried(everything: list[Forgery]) -> None:
    section = page.PAGE.split("## Judging a file")[1].split("**A revocation never")[0]
    rows = [line.rsplit("|", 2)[1] for line in section.splitlines() if line.startswith("| ")]
    told = set(re.findall(r"[A-Z]{2,}(?:_[A-Z]+)+", " ".join(rows)))
    assert len(told) > 10
    assert told <= {one.code for one in everything}
