"""A list goes on behind damaged records, however many stand together (promise P13)."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import Member, draft, text
from intelshare.broker.kernel import damage
from intelshare.broker.kernel.damage import every_row
from intelshare.broker.kernel.tables import BULLETIN
from line_world import TO_USA, met, send
from rotten_view import Rotten

ROWS = 7


@cache
def _sender() -> Member:
    made: Member = met()["FRA"]
    for number in range(ROWS):
        send(made, draft(text(TO_USA, f"{number}"), to=["USA"]), key=f"{number}")
    return made


@given(rotten=st.sets(st.integers(0, ROWS - 1)), first=st.integers(1, ROWS + 1), page=st.integers(1, 3))
def test_p13_each_whole_row_is_given_once_and_each_damaged_one_is_named(
    rotten: set[int], first: int, page: int
) -> None:
    def read(view: Any) -> tuple[list[Any], list[Any], set[str]]:
        rows = view.find(BULLETIN, "newest")
        bad: list[Any] = []
        beside = Rotten(view, *((BULLETIN, BULLETIN.key_of(rows[place])) for place in rotten))
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(damage, "PAGE", page)
            found = list(every_row(beside, BULLETIN, "newest", bad, first=first))  # type: ignore[arg-type]
        return rows, found, {error.message for error in bad}

    rows, found, named = _sender().store.ask_now(read)
    assert len(rows) == ROWS
    assert found == [row for place, row in enumerate(rows) if place not in rotten]
    assert len(named) == len(rotten)
