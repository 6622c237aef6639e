"""Mend: what becomes of a damaged record, by the real steps between members (promise P13)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from builders import NOW, draft, text, user
from intelshare.audit.node_records import Operated, OperatorAct
from intelshare.audit.records import EntryType
from intelshare.broker.kernel.tables import (
    BULLETIN,
    COUNTER,
    INBOX,
    INCOMING,
    LOG_HEAD,
    NODE,
    OUTGOING,
    PAIR,
    PENDING,
    PORTION,
    RECEIPT,
    RECEIVED,
    SECRET,
)
from intelshare.broker.kernel.transaction import SELF
from intelshare.broker.lifecycle.exclude import exclusions
from intelshare.broker.lifecycle.mend import (
    DropCommand,
    MendCommand,
    Outcome,
    Record,
    brought_by,
    drop,
    mend,
)
from intelshare.broker.lifecycle.rebuild import rebuild
from intelshare.broker.line.hello import answer_gap
from intelshare.broker.line.resend import resend
from intelshare.delivery import Cause
from intelshare.errors import DeliveryError, RecordError
from intelshare.ids import MemberCode
from intelshare.ports import Table
from intelshare.trust import Exclusion
from line_world import ROOM, TO_USA, arrive, entries, hand_over, met, pair_of, rows, send

FRA, USA = MemberCode("FRA"), MemberCode("USA")


class Rotten:
    """A view in which some rows are not as they were written, as the embedded store gives it."""

    def __init__(self, view: Any, *places: tuple[Table[Any], tuple[Any, ...]]) -> None:
        self._view = view
        self._places = {(table.name, key) for table, key in places}
        self.count = view.count

    def get(self, table: Any, *key: Any) -> Any:
        if (table.name, key) in self._places:
            raise RecordError(table.name, key, "a record does not match its digest")
        return self._view.get(table, *key)

    def get_many(self, table: Any, keys: Any) -> Any:
        return [self.get(table, *key) for key in keys]

    def find(self, table: Any, *args: Any, damaged: Any = None, **given: Any) -> Any:
        found = self._view.find(table, *args, **given)
        whole = [row for row in found if (table.name, table.key_of(row)) not in self._places]
        if damaged is not None:
            bad = [row for row in found if row not in whole]
            damaged += [RecordError(table.name, table.key_of(row), "damaged") for row in bad]
        return whole


@pytest.fixture(name="members")
def _members() -> Any:
    members = met(("FRA", "USA"))
    for number in range(3):
        send(members["FRA"], draft(text(TO_USA, f"number {number}"), to=["USA"]), key=f"key {number}")
    for said in hand_over(members["FRA"], "USA"):
        answer(members, arrive(members["USA"], members["FRA"], said.frame))
    return members


def answer(members: Any, taken: Any) -> None:
    """Bring the receipts back."""
    for outbound in taken.effects.outbound:
        arrive(members["FRA"], members["USA"], outbound.frame)


def perform(member: Any, step: Any, command: Any, *places: Any) -> Any:
    """The answer of a step to which these records are damaged."""
    return member.store.perform_now(
        lambda view: step(member.node, Rotten(view, *places), command, NOW, bytes)
    ).value


def mended(member: Any, *places: Any) -> Any:
    """These records are mended, with what the log says of them."""
    records = tuple(Record(table.name, key) for table, key in places)
    view = Rotten(member.store, *places)
    command = MendCommand(records, brought_by(member.node, view, records))
    return perform(member, mend, command, *places)


def outcomes(result: Any) -> Sequence[tuple[Outcome, str]]:
    return [(one.outcome, one.member) for one in result.mended]


@pytest.mark.parametrize("table", [INBOX, PORTION, SECRET, RECEIVED], ids=lambda table: table.name)
def test_a_received_bulletin_is_forgotten_and_fetched_again_from_its_sender(members: Any, table: Any) -> None:
    fra, usa = members["FRA"], members["USA"]
    row = rows(usa, INBOX)[1]
    key = next(
        table.key_of(one)
        for one in rows(usa, table)
        if (one.leaf == row.leaf if table is RECEIVED else one.md == row.md)
    )
    result = mended(usa, (table, key))
    assert outcomes(result) == [(Outcome.ASKED, "FRA")]
    assert [one.md for one in rows(usa, INBOX)] == [one.md for one in rows(usa, INBOX) if one.md != row.md]
    ((member, gap),) = result.effects.gaps
    assert (member, gap.missing) == (FRA, ((row.sequence, row.sequence),))
    (noted,) = entries(usa, EntryType.OPERATED, Operated)
    assert (noted.act, noted.reason) == (OperatorAct.RECORD_DROPPED, "asked for from FRA")

    assert fra.do(answer_gap, USA, gap)
    frames, _ = fra.do(resend, USA, frozenset(), ROOM)
    for said in frames:
        arrive(usa, fra, said.frame)
    assert row.md in [one.md for one in rows(usa, INBOX)]
    said_counter = {one.name: (one.rows, one.size) for one in rows(usa, COUNTER)}["inbox"]
    assert said_counter == (3, sum(one.size for one in rows(usa, INBOX)))


@pytest.mark.parametrize(
    ("code", "table"),
    [
        ("USA", NODE), ("USA", LOG_HEAD), ("USA", COUNTER), ("USA", INCOMING), ("FRA", OUTGOING),
        ("FRA", RECEIPT), ("USA", PENDING),
    ],
    ids=lambda one: getattr(one, "name", one),
)  # fmt: skip
def test_what_follows_from_other_rows_is_made_again_as_it_was(members: Any, code: str, table: Any) -> None:
    member = members[code]
    for row in rows(member, table):
        key = table.key_of(row)
        made = rebuild(Rotten(member.store, (table, key)), table.name, key)
        assert made is not None, row
        ((again,),) = ([write.row for write in made],)
        if table is NODE:
            assert (again.incarnation, again.began) == (row.incarnation, row.began)
        elif table is PENDING:
            assert (again.leaf, again.peer, again.size) == (row.leaf, row.peer, row.size)
        else:
            assert again == row


def test_what_follows_from_a_damaged_row_is_not_made_again(members: Any) -> None:
    usa = members["USA"]
    key = INCOMING.key_of(rows(usa, INCOMING)[0])
    received = [(RECEIVED, RECEIVED.key_of(row)) for row in rows(usa, RECEIVED)]
    assert rebuild(Rotten(usa.store, (INCOMING, key), *received), INCOMING.name, key) is None


def test_content_of_an_own_bulletin_waits_for_an_operator_and_ends_what_is_open(members: Any) -> None:
    fra = members["FRA"]
    send(fra, draft(text(TO_USA, "still to go"), to=["USA"]), key="later")
    waits = next(row for row in rows(fra, PAIR) if row.open)
    secret = next(row for row in rows(fra, SECRET) if row.md == waits.md)
    place = (SECRET, SECRET.key_of(secret))
    assert outcomes(mended(fra, place)) == [(Outcome.STAYS, "")]
    record = Record(SECRET.name, SECRET.key_of(secret))
    given_up = perform(fra, drop, DropCommand((record,), user("FRA", "operator"), "a bad disk"), place)
    assert outcomes(given_up) == [(Outcome.DROPPED, "")]
    after = next(row for row in rows(fra, PAIR) if row.md == waits.md)
    assert (after.cause, after.codes, after.open) == (Cause.UNDELIVERABLE, "RECORD_CORRUPT", 0)
    assert not any(next(row for row in rows(fra, SECRET) if row.md == waits.md).sealed)
    (noted,) = entries(fra, EntryType.OPERATED, Operated)
    assert (noted.reason, noted.user, str(record)) == ("a bad disk", user("FRA", "operator"), noted.about)


@pytest.mark.parametrize("table", [NODE, LOG_HEAD], ids=lambda table: table.name)
def test_what_a_node_cannot_be_without_is_never_dropped(members: Any, table: Any) -> None:
    fra = members["FRA"]
    key = table.key_of(rows(fra, table)[0])
    command = DropCommand((Record(table.name, key),), user("FRA", "operator"), "why not")
    with pytest.raises(DeliveryError, match="cannot be dropped"):
        perform(fra, drop, command, (table, key))


def test_what_is_whole_is_not_dropped(members: Any) -> None:
    fra = members["FRA"]
    key = BULLETIN.key_of(rows(fra, BULLETIN)[0])
    command = DropCommand((Record(BULLETIN.name, key),), user("FRA", "operator"), "a slip")
    with pytest.raises(DeliveryError, match="is not damaged"):
        perform(fra, drop, command)


def test_who_was_left_out_is_suspended_while_the_row_is_damaged() -> None:
    class OneLost:
        def find(self, table: Any, index: str, *, limit: int, damaged: Any) -> Any:
            del index, limit
            damaged.append(RecordError(table.name, ("KEN",), "damaged"))
            return []

    assert exclusions(OneLost()) == {"KEN": Exclusion.SUSPENDED}  # type: ignore[arg-type]


def test_a_pair_that_reads_as_it_should_is_written_once_more(members: Any) -> None:
    fra = members["FRA"]
    row = pair_of(fra)
    result = perform(fra, mend, MendCommand((Record(PAIR.name, PAIR.key_of(row)),), {}))
    assert outcomes(result) == [(Outcome.WHOLE, "")]
    assert pair_of(fra) == row
    assert rows(fra, NODE)[0].name == SELF
