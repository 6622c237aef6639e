"""A damaged record is the outcome of one pair (promise P13): it is named, and the others go."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from builders import NOW, actor, draft, seeded, text
from intelshare.broker.kernel.frame import Gap
from intelshare.broker.kernel.node import Recent
from intelshare.broker.kernel.tables import BULLETIN, INBOX, PAIR, PENDING, PORTION, SECRET, STATEMENT
from intelshare.broker.lifecycle.holds import ApproveCommand, approve
from intelshare.broker.lifecycle.review import review
from intelshare.broker.line.handover import handover
from intelshare.broker.line.hello import answer_gap
from intelshare.broker.line.resend import resend
from intelshare.broker.queries.lists import InboxQuery, inbox, outbox
from intelshare.delivery import Stage
from intelshare.errors import StoreError
from intelshare.ids import MemberCode
from intelshare.statement import MAX_LEAVES
from line_world import ROOM, TO_USA, arrive, hand_over, met, pair_of, rows, send

USA = MemberCode("USA")


class Damaged:
    """A view in which the rows of one bulletin do not match their digests."""

    unbound = None

    def __init__(self, view: Any, md: bytes, *tables: Any, code: str = "RECORD_CORRUPT") -> None:
        self._code = code
        self._view, self._md, self._tables = view, md, tables
        self.count = view.count

    def get(self, table: Any, *key: Any) -> Any:
        row = self._view.get(table, *key)
        return self._checked(table, [row])[0]

    def get_many(self, table: Any, keys: Any) -> Any:
        return self._checked(table, self._view.get_many(table, keys))

    def find(self, table: Any, *args: Any, damaged: Any = None, **kwargs: Any) -> Any:
        found = self._view.find(table, *args, **kwargs)
        if damaged is None:
            return self._checked(table, found)
        whole = [row for row in found if table not in self._tables or row.md != self._md]
        damaged += [self._error(table)] * (len(found) - len(whole))
        return whole

    def _checked(self, table: Any, found: list[Any]) -> list[Any]:
        if table in self._tables and any(row is not None and row.md == self._md for row in found):
            raise self._error(table)
        return found

    def _error(self, table: Any) -> StoreError:
        return StoreError(self._code, f"a record of {table.name} does not match its digest")


@pytest.fixture(name="fra")
def _fra() -> Any:
    fra = met(("FRA", "USA"))["FRA"]
    for number in range(3):
        send(fra, draft(text(TO_USA, f"number {number}"), to=["USA"]), key=f"key {number}")
    # As after a restart: what submit remembers would not be read back.
    fra.node = replace(fra.node, recent=Recent())
    return fra


def perform(member: Any, step: Any, md: bytes, tables: Any, *event: Any) -> Any:
    """The plan of a step to which some records are damaged, carried out."""
    plans = []

    def run(view: Any) -> Any:
        plans.append(step(member.node, Damaged(view, md, *tables), *event, NOW, seeded("damaged")))
        return plans[0]

    member.store.perform_now(run)
    return plans[0]


@pytest.mark.parametrize("table", [PORTION, SECRET], ids=lambda table: table.name)
def test_hand_over_holds_the_pair_of_a_damaged_record_and_hands_over_the_others(fra: Any, table: Any) -> None:
    damaged = pair_of(fra)
    plan = perform(fra, handover, damaged.md, [table], {USA: ROOM}, MAX_LEAVES)
    stages = [(row.md == damaged.md, Stage(row.stage), row.codes) for row in rows(fra, PAIR)]
    assert sorted(stages) == [
        (False, Stage.HANDED_OVER, ""),
        (False, Stage.HANDED_OVER, ""),
        (True, Stage.HELD, "RECORD_CORRUPT"),
    ]
    assert len(plan.answer[0].leaves) == 2
    assert plan.damaged == (f"a record of {table.name} does not match its digest",)


def test_what_is_held_for_its_record_goes_once_that_is_whole_and_an_officer_releases_it(
    fra: Any,
) -> None:
    damaged = pair_of(fra)
    perform(fra, handover, damaged.md, [PORTION], {USA: ROOM}, MAX_LEAVES)
    bulletin = next(row.bulletin for row in rows(fra, BULLETIN) if row.md == damaged.md)
    fra.do(approve, ApproveCommand(actor("FRA", "r"), bulletin.hex(), USA))
    (again,) = hand_over(fra, "USA")
    assert len(again.leaves) == 1


@pytest.mark.parametrize("table", [PORTION, STATEMENT], ids=lambda table: table.name)
def test_resend_leaves_a_damaged_record_out_and_keeps_it_pending(fra: Any, table: Any) -> None:
    hand_over(fra, "USA")
    damaged = pair_of(fra)
    frames, more = (plan := perform(fra, resend, damaged.md, [table], USA, frozenset(), ROOM)).answer
    assert (sum(len(frame.leaves) for frame in frames), more) == (2, False)
    assert len(plan.damaged) == 1
    assert len(rows(fra, PENDING)) == 3


@pytest.mark.parametrize("table", [BULLETIN, PORTION, PAIR], ids=lambda table: table.name)
def test_what_a_peer_has_lost_goes_again_but_for_a_damaged_record(table: Any) -> None:
    """One bulletin whose record was damaged kept all that its recipient asked for from going."""
    members = met(("FRA", "USA"))
    member, peer = members["FRA"], members["USA"]
    for number in range(3):
        send(member, draft(text(TO_USA, f"number {number}"), to=["USA"]), key=f"key {number}")
    for said in hand_over(member, "USA"):
        for receipt in arrive(peer, member, said.frame).effects.outbound:
            arrive(member, peer, receipt.frame)
    damaged = pair_of(member)
    gap = Gap(member.node.uri, damaged.incarnation, ((1, 3),))
    assert perform(member, answer_gap, damaged.md, [table], USA, gap).answer
    waits = {row.leaf for row in rows(member, PENDING)}
    assert (len(waits), damaged.leaf in waits) == (2, False)


def test_review_goes_on_past_a_damaged_record(fra: Any) -> None:
    hand_over(fra, "USA")
    plan = perform(fra, review, pair_of(fra).md, [PORTION], ())
    assert len(plan.damaged) == 1
    assert plan.answer.after == ()


@pytest.mark.parametrize("table", [BULLETIN, PORTION, PAIR], ids=lambda table: table.name)
def test_the_outbox_goes_on_without_a_damaged_record_and_names_it(fra: Any, table: Any) -> None:
    damaged = pair_of(fra).md

    def listed(limit: int) -> Any:
        view = Damaged(fra.store, damaged, table)
        return outbox(fra.node, view, actor("FRA", "a"), "", limit, False, NOW)

    lines, named = listed(50)
    recipients = {line.row.md: len(line.pairs) for line in lines}
    assert recipients.pop(damaged, None) == (0 if table is PAIR else None), "a bulletin has other recipients"
    assert list(recipients.values()) == [1, 1]
    assert named == (f"a record of {table.name} does not match its digest",)
    assert len(listed(2)[0]) == 2


@pytest.mark.parametrize("table", [INBOX, PORTION, SECRET], ids=lambda table: table.name)
def test_the_inbox_goes_on_without_a_damaged_record_and_names_it(table: Any) -> None:
    members = met(("FRA", "USA"))
    for number in range(3):
        send(members["FRA"], draft(text(TO_USA, f"number {number}"), to=["USA"]), key=f"key {number}")
    for said in hand_over(members["FRA"], "USA"):
        arrive(members["USA"], members["FRA"], said.frame)
    usa = members["USA"]
    view = Damaged(usa.store, rows(usa, INBOX)[1].md, table)
    lines, named = inbox(usa.node, view, actor("USA", "a"), InboxQuery(), NOW)
    assert len(lines) == 2
    assert named == (f"a record of {table.name} does not match its digest",)
    view = Damaged(usa.store, rows(usa, INBOX)[1].md, PORTION, code="DISK_ERROR")
    with pytest.raises(StoreError, match="DISK_ERROR"):
        inbox(usa.node, view, actor("USA", "a"), InboxQuery(), NOW)


def test_any_other_error_of_the_store_is_that_of_the_whole_step(fra: Any) -> None:
    view = Damaged(fra.store, pair_of(fra).md, PORTION, code="DISK_ERROR")
    with pytest.raises(StoreError, match="DISK_ERROR"):
        handover(fra.node, view, {USA: ROOM}, MAX_LEAVES, NOW, seeded("fails"))
