"""Every row of every table: what fits comes back and can be shown, what does not is refused by its name."""

from __future__ import annotations

from typing import Any, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intelshare.broker.kernel.tables import TABLES
from intelshare.ids import Incarnation, ReleaseNumber
from intelshare.instant import Instant, show
from intelshare.ports import Table
from intelshare.store.layout import Layout

WIDE = (Incarnation, Instant, ReleaseNumber)


def values(hint: Any, kind: type) -> st.SearchStrategy[Any]:
    if kind is int:
        return st.integers(0, 2**64 - 1) if hint in WIDE else st.integers(-(2**63), 2**63 - 1)
    return (
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=9)
        if kind is str
        else st.binary(max_size=9)
    )


def rows(table: Table[Any]) -> st.SearchStrategy[Any]:
    hints, kinds = get_type_hints(table.row), Layout(table).kinds
    return st.builds(table.row, **{name: values(hints[name], kinds[name]) for name in table.columns()})


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_row_comes_back_as_it_was_and_its_times_can_be_shown(table: Table[Any]) -> None:
    layout, hints = Layout(table), get_type_hints(table.row)

    @settings(max_examples=15, deadline=None)
    @given(rows(table))
    def holds(row: Any) -> None:
        found = layout.row(layout.record(row)[1])
        assert found == row
        for name in table.columns():
            if hints[name] is Instant:
                assert show(getattr(found, name))

    holds()


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_what_does_not_fit_is_refused_with_the_name_of_its_field(table: Table[Any]) -> None:
    layout, hints = Layout(table), get_type_hints(table.row)

    @settings(max_examples=5, deadline=None)
    @given(rows(table))
    def holds(row: Any) -> None:
        for name, kind in layout.kinds.items():
            wrong = {int: [2**64, -1 if hints[name] in WIDE else 2**63], str: [1], bytes: ["x"]}[kind]
            for value in wrong:
                with pytest.raises(TypeError, match=rf"\b{name}\b"):
                    layout.record(row._replace(**{name: value}))

    holds()
