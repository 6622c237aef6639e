"""What an answer about many bulletins leaves out because a record is damaged, it names (promise P13)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from builders import NOW, Member, actor, draft, text
from intelshare.broker.kernel.tables import BULLETIN, LOG, PAIR, STATEMENT
from intelshare.broker.queries.impact import impact_of
from intelshare.broker.queries.report import report
from intelshare.broker.queries.withheld import WithheldQuery, withheld
from intelshare.instant import Instant
from intelshare.ports import Table, View
from line_world import TO_BOTH, TO_USA, hand_over, met, send
from rotten_view import Rotten

LATER = Instant(NOW + 1)


def _withheld(fra: Member, view: Any) -> tuple[int, tuple[str, ...]]:
    asked = WithheldQuery(Instant(0), "", "", 10)
    found = withheld(fra.node, view, actor("FRA", "a"), asked, NOW, all_counts=False)
    return sum(one.portions for one in found.counts.values()), found.damaged


def _overseen(fra: Member, view: Any) -> tuple[int, tuple[str, ...]]:
    asked = WithheldQuery(Instant(0), "", "", 0)
    found = withheld(fra.node, view, actor("FRA", "a"), asked, NOW, all_counts=True)
    return sum(one.portions for one in found.counts.values()), found.damaged


def _impact(fra: Member, view: Any) -> tuple[int, tuple[str, ...]]:
    found = impact_of(fra.node, view, fra.node.signer.key_id.hex(), Instant(0))
    return sum(line.count for line in found.signed if line.sent), found.damaged


def _report(fra: Member, view: Any) -> tuple[int, tuple[str, ...]]:
    found = report(fra.node, view, "", Instant(0), LATER, LATER)
    return len(found.releases), tuple(found.damaged)


@pytest.mark.parametrize(
    ("ask", "table", "place"),
    [
        (_withheld, BULLETIN, 0),
        (_withheld, PAIR, 0),
        (_overseen, PAIR, 0),
        (_impact, STATEMENT, 0),
        (_report, PAIR, 0),
        (_report, LOG, -1),
    ],
)
def test_p13_what_a_damaged_record_takes_away_is_named_and_the_rest_is_answered(
    ask: Callable[[Member, View], tuple[int, tuple[str, ...]]], table: Table[Any], place: int
) -> None:
    fra: Member = met()["FRA"]
    for number in range(3):
        send(fra, draft(text(TO_USA, f"{number}"), text(TO_BOTH), to=["USA", "KEN"]), key=f"{number}")
        hand_over(fra, "USA", "KEN")
    rows = fra.store.ask_now(lambda view: view.find(table, "key"))
    whole, named = fra.store.ask_now(lambda view: ask(fra, view))
    assert named == ()
    less, named = fra.store.ask_now(lambda view: ask(fra, Rotten(view, (table, table.key_of(rows[place])))))  # type: ignore[arg-type]
    assert 0 < less < whole
    assert len(named) == 1
