"""Mend: what becomes of a damaged record, by the real steps between members (promise P13)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from builders import NOW, Member, actor, draft, federation, seeded, text, user
from intelshare.audit.node_records import Operated, OperatorAct
from intelshare.audit.records import EntryType, Stop
from intelshare.audit.work import finish
from intelshare.broker.exchange.recall import RecallCommand, recall
from intelshare.broker.kernel.frame import Gap
from intelshare.broker.kernel.kept_claims import read_claims
from intelshare.broker.kernel.log import log_row_of
from intelshare.broker.kernel.pair_rows import logged_decision
from intelshare.broker.kernel.stored_bulletins import read_written
from intelshare.broker.kernel.tables import (
    BATCH,
    BATCH_KEY,
    BULLETIN,
    COUNTER,
    INBOX,
    INCOMING,
    LOG,
    LOG_HEAD,
    NODE,
    OUTGOING,
    PAIR,
    PENDING,
    PORTION,
    RECALLED,
    RECEIPT,
    RECEIVED,
    SECRET,
    STATEMENT,
    SUBMISSION,
    LogRow,
    StatementRow,
)
from intelshare.broker.kernel.transaction import SELF
from intelshare.broker.lifecycle.anew import sign_anew
from intelshare.broker.lifecycle.destroy import Gone, marked
from intelshare.broker.lifecycle.destroy import finish as finish_destroying
from intelshare.broker.lifecycle.drop import DropCommand, drop, pairs_of
from intelshare.broker.lifecycle.exclude import exclusions
from intelshare.broker.lifecycle.mend import (
    MAX_MENDED,
    BroughtBy,
    MendCommand,
    Record,
    RecordOutcome,
    brought_by,
    mend,
)
from intelshare.broker.lifecycle.pair_again import handed_over
from intelshare.broker.lifecycle.purge import purge
from intelshare.broker.lifecycle.rebuild import rebuild, recount
from intelshare.broker.line.hand_back import hand_back
from intelshare.broker.line.hello import answer_gap, start_incarnation
from intelshare.broker.line.receive import Arrival, receive
from intelshare.broker.line.resend import resend
from intelshare.broker.queries.lists import outbox
from intelshare.broker.queries.watch import Cursor, end_of_log, watch
from intelshare.crypto.records import Kind, Receipt, ReceiptStatus
from intelshare.delivery import Cause
from intelshare.errors import DeliveryError, RecordError
from intelshare.ids import MemberCode, UserUri
from intelshare.instant import HOUR, Instant
from intelshare.ports import CHUNK, Delete, Plan, Put, changed
from intelshare.trust import Exclusion
from line_world import (
    ROOM,
    TO_BOTH,
    TO_USA,
    arrive,
    entries,
    hand_over,
    met,
    pair_of,
    released,
    rows,
    say_hello,
    send,
    signed,
    stolen,
    with_law,
)
from rotten_view import Rotten

FRA, USA = MemberCode("FRA"), MemberCode("USA")
LAW = '[[oblige]]\nid = "told"\nobligation = "read-receipt"\nsource = "invented"\nwhen = { to = ["USA"] }\n'


@pytest.fixture(name="members")
def _members() -> Any:
    members = met(("FRA", "USA"))
    for number in range(3):
        send(members["FRA"], draft(text(TO_USA, f"number {number}"), to=["USA"]), key=f"key {number}")
    for said in hand_over(members["FRA"], "USA"):
        answer(members, arrive(members["USA"], members["FRA"], said.frame))
    return members


def answer(members: Any, taken: Any, by: str = "USA") -> None:
    """Bring the receipts back."""
    for outbound in taken.effects.outbound:
        arrive(members["FRA"], members[by], outbound.frame)


def perform(member: Any, step: Any, command: Any, *places: Any) -> Any:
    """The answer of a step to which these records are damaged."""
    return member.store.perform_now(
        lambda view: step(member.node, Rotten(view, *places), command, NOW, bytes)
    ).value


def mended(member: Any, *places: Any) -> Any:
    """These records are mended, with what the log says of them."""
    return perform(member, mend, brought(member, *places), *places)


def brought(member: Any, *places: Any) -> MendCommand:
    """The command to mend these records, with what the log says of them now."""
    records = tuple(Record(table.name, key) for table, key in places)
    view = Rotten(member.store, *places)
    return MendCommand(records, finish(brought_by(member.node, view, records)))


def outcomes(result: Any) -> Sequence[tuple[RecordOutcome, str]]:
    return [(one.outcome, one.member) for one in result.mended]


@pytest.mark.parametrize("key", [("USA", 1), ()], ids=["as long as a key", "empty"])
def test_a_page_that_cannot_be_read_is_no_record_and_stays(members: Any, key: Any) -> None:
    """What is looked for in a list may have as many parts as a key: it was whole, since no row had it."""
    fra = members["FRA"]
    page = Record(PAIR.name, key, page="start again")
    assert outcomes(perform(fra, mend, MendCommand((page,), BroughtBy()))) == [(RecordOutcome.STAYS, "")]
    with pytest.raises(DeliveryError, match="cannot be dropped"):
        perform(fra, drop, DropCommand((page,), UserUri("u"), "no"))


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
    assert outcomes(result) == [(RecordOutcome.FORGOTTEN, "FRA")]
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


@pytest.mark.parametrize("late", [False, True])
def test_what_came_under_two_numbers_is_fetched_again_under_the_one_that_its_sender_counts(
    late: bool,
) -> None:
    """It was signed anew, because a key was stolen, while the first receipt was on its way; ``late``: after
    the logs were read for the step that mends.
    """
    members = met(("FRA", "USA"))
    fra, usa = members["FRA"], members["USA"]
    arrive(usa, fra, released(members))
    stolen(members)
    (head,) = fra.do(sign_anew, ()).effects.outbound
    arrive(usa, fra, head.frame)
    (anew,) = hand_over(fra, "USA")
    place = PORTION, PORTION.key_of(rows(usa, PORTION)[0])
    before = brought(usa, place)
    answer(members, arrive(usa, fra, anew.frame))
    (row,) = rows(usa, INBOX)
    result = perform(usa, mend, before if late else brought(usa, place), place)
    assert outcomes(result) == [(RecordOutcome.FORGOTTEN, "FRA")]
    assert not [one for one in rows(usa, RECEIVED) if one.kind == Kind.RELEASE]
    ((_, gap),) = result.effects.gaps
    assert gap.missing == ((1, 1), (2, 2))

    assert fra.do(answer_gap, USA, gap)
    frames, _ = fra.do(resend, USA, frozenset(), ROOM)
    assert sum(arrive(usa, fra, said.frame).accepted for said in frames) == 1
    (back,) = rows(usa, INBOX)
    assert (back.md, back.sequence, pair_of(fra).leaf) == (row.md, 2, back.leaf)


def test_damaged_portions_of_one_bulletin_are_asked_for_together_and_none_waits_for_an_operator() -> None:
    members = met(("FRA", "USA"))
    fra, usa = members["FRA"], members["USA"]
    send(fra, draft(text(TO_USA, "one"), text(TO_USA, "two"), to=["USA"]))
    arrive(usa, fra, hand_over(fra, "USA")[0].frame)
    result = mended(usa, *[(PORTION, PORTION.key_of(one)) for one in rows(usa, PORTION)])
    assert outcomes(result) == [(RecordOutcome.FORGOTTEN, "FRA")] * 2, "neither is whole: nothing came yet"
    assert len(result.effects.gaps) == 1
    assert rows(usa, PORTION) == []


def test_damaged_content_of_what_was_forgotten_before_is_not_counted_again(members: Any) -> None:
    usa = members["USA"]
    row = rows(usa, INBOX)[1]
    portion = PORTION.key_of(next(one for one in rows(usa, PORTION) if one.md == row.md))
    (counter,) = [one for one in rows(usa, COUNTER) if one.name == "inbox"]
    fewer = changed(counter, rows=counter.rows - 1, size=counter.size - row.size)
    usa.store.apply(Plan((Delete(INBOX, (row.md,)), Put(COUNTER, fewer)), None))
    assert outcomes(mended(usa, (PORTION, portion))) == [(RecordOutcome.FORGOTTEN, "FRA")]
    assert fewer in rows(usa, COUNTER)


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


def test_that_a_bulletin_was_recalled_is_known_again_from_the_recall(members: Any) -> None:
    """An operator could but delete it; the bulletin was then accepted if it came once more."""
    usa = members["USA"]
    for row in rows(members["FRA"], BULLETIN):
        is_recalled(members, row.md)
    for row in rows(usa, RECALLED):
        place = RECALLED, RECALLED.key_of(row)
        (write,) = rebuild(Rotten(usa.store, place), *(RECALLED.name, place[1])) or ()
        assert write.row == row
        recall_ = RECEIVED, (row.member, row.leaf)
        assert rebuild(Rotten(usa.store, place, recall_), RECALLED.name, place[1]) is None


def test_what_follows_from_a_damaged_row_is_not_made_again(members: Any) -> None:
    usa = members["USA"]
    key = INCOMING.key_of(rows(usa, INCOMING)[0])
    received = [(RECEIVED, RECEIVED.key_of(row)) for row in rows(usa, RECEIVED)]
    assert rebuild(Rotten(usa.store, (INCOMING, key), *received), INCOMING.name, key) is None


def test_a_stream_of_which_nothing_came_is_made_again_or_its_peer_could_say_no_hello(members: Any) -> None:
    fra, usa = members["FRA"], members["USA"]
    (stream,) = rows(fra, INCOMING)
    assert stream.last == 0, "USA has sent nothing"
    assert outcomes(mended(fra, (INCOMING, INCOMING.key_of(stream)))) == [(RecordOutcome.REBUILT, "")]
    assert rows(fra, INCOMING) == [stream]
    say_hello(usa, fra)


def test_a_stream_whose_releases_are_damaged_too_is_not_taken_for_an_empty_one(members: Any) -> None:
    usa = members["USA"]
    received = [(RECEIVED, RECEIVED.key_of(row)) for row in rows(usa, RECEIVED)]
    result = mended(usa, (INCOMING, INCOMING.key_of(rows(usa, INCOMING)[0])), *received)
    assert outcomes(result)[0] == (RecordOutcome.STAYS, "")


def test_content_of_an_own_bulletin_waits_for_an_operator_and_ends_what_is_open(members: Any) -> None:
    fra = members["FRA"]
    send(fra, draft(text(TO_USA, "still to go"), to=["USA"]), key="later")
    waits = next(row for row in rows(fra, PAIR) if row.open)
    secret = next(row for row in rows(fra, SECRET) if row.md == waits.md)
    place = (SECRET, SECRET.key_of(secret))
    assert outcomes(mended(fra, place)) == [(RecordOutcome.STAYS, "")]
    record = Record(SECRET.name, SECRET.key_of(secret))
    given_up = perform(fra, drop, DropCommand((record,), user("FRA", "operator"), "a bad disk"), place)
    assert outcomes(given_up) == [(RecordOutcome.DROPPED, "")]
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


def test_no_more_is_dropped_at_once_than_a_step_can_hold(members: Any) -> None:
    fra = members["FRA"]
    records = tuple(
        Record(BULLETIN.name, (bytes([place // 256, place % 256]),)) for place in range(MAX_MENDED + 1)
    )
    with pytest.raises(DeliveryError, match=f"at most {MAX_MENDED}"):
        perform(fra, drop, DropCommand(records, user("FRA", "operator"), "a bad disk"))


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
    result = perform(fra, mend, MendCommand((Record(PAIR.name, PAIR.key_of(row)),), BroughtBy()))
    assert outcomes(result) == [(RecordOutcome.WHOLE, "")]
    assert pair_of(fra) == row
    assert rows(fra, NODE)[0].name == SELF


def test_what_the_store_has_brought_back_is_written_again_a_chunk_by_the_commit_itself(members: Any) -> None:
    usa = members["USA"]
    secret = rows(usa, SECRET)[0]
    records = (Record(CHUNK, (3,)), Record(SECRET.name, SECRET.key_of(secret)))
    written: list[Any] = []

    def step(*given: Any) -> Plan[Any]:
        plan = mend(*given)
        written.extend(plan.writes)
        return plan

    result = usa.do(step, MendCommand(records, BroughtBy()))
    assert outcomes(result) == [(RecordOutcome.WHOLE, ""), (RecordOutcome.WHOLE, "")]
    assert written == [Put(SECRET, secret)]


def test_a_received_release_is_fetched_again_although_the_log_rotted_with_it(members: Any) -> None:
    """One flipped bit takes a chunk: what came, and the log entries that say what it was."""
    usa = members["USA"]
    row = rows(usa, INBOX)[1]
    logged = [(LOG, LOG.key_of(one)) for one in rows(usa, LOG)]
    result = mended(usa, (RECEIVED, (FRA, row.leaf)), *logged)
    assert outcomes(result)[0] == (RecordOutcome.FORGOTTEN, "FRA")
    assert {outcome for outcome, _ in outcomes(result)[1:]} == {RecordOutcome.STAYS}


def test_what_was_destroyed_is_never_fetched_again(members: Any) -> None:
    usa = members["USA"]
    row = rows(usa, INBOX)[0]
    gone = Plan((Put(INBOX, changed(row, gone=Gone.DESTROYED, cause="RETENTION")),), None)
    usa.store.perform_now(lambda _: gone)
    assert outcomes(mended(usa, (RECEIVED, (FRA, row.leaf)))) == [(RecordOutcome.STAYS, "")]


def given_back(members: Any, effects: Any, *places: Any) -> list[Any]:
    """What the members that were asked hand back to FRA, to whom these records are damaged."""
    fra = members["FRA"]
    return [
        perform(fra, receive, Arrival(member, members[member].node.uri, one.frame), *places)
        for member, gap in effects.gaps
        for one in members[member].do(hand_back, FRA, fra.node.uri, gap).frames
    ]


def test_a_release_of_this_member_comes_back_from_its_recipient_as_it_was_signed(members: Any) -> None:
    fra = members["FRA"]
    said = next(one for one in rows(fra, STATEMENT) if one.kind == Kind.RELEASE)
    proved = fra.ask(read_claims, said)
    result = mended(fra, (STATEMENT, (said.leaf,)))
    assert outcomes(result) == [(RecordOutcome.ASKED, "USA")]
    ((member, gap),) = result.effects.gaps
    assert (member, gap.missing) == (USA, ((said.sequence, said.sequence),))
    (taken,) = given_back(members, result.effects, (STATEMENT, (said.leaf,)))
    assert taken.effects.mended
    (again,) = [one for one in rows(fra, STATEMENT) if one.leaf == said.leaf]
    same = ("data", "proof", "batch", "slots", "incarnation", "sequence")
    assert [getattr(again, name) for name in same] == [getattr(said, name) for name in same]
    assert fra.ask(read_claims, again) == proved, "it could not be exported any more"


def written(member: Member, md: Any) -> Any:
    """A bulletin of this member as it is stored, and what it says of its portions."""
    (row,) = [one for one in rows(member, BULLETIN) if one.md == md]
    kept = member.ask(read_written, row)
    return changed(row, sealed_draft=b""), kept.heads


def lost_with_it(member: Member, md: Any, tables: Sequence[Any]) -> list[Any]:
    """A bulletin of which these are damaged: its own row, and the first of each other table."""
    found = [next(one for one in rows(member, table) if one.md == md) for table in tables]
    return [(table, table.key_of(one)) for table, one in zip(tables, found, strict=True)]


def is_recalled(members: Any, md: Any) -> None:
    (row,) = [one for one in rows(members["FRA"], BULLETIN) if one.md == md]
    command = RecallCommand(actor("FRA", "r"), row.bulletin.hex(), "it is wrong")
    for outbound in members["FRA"].do(recall, command, at=Instant(NOW + 5)).effects.outbound:
        arrive(members["USA"], members["FRA"], outbound.frame)
    usa = members["USA"]
    for outbound in usa.do(finish_destroying, usa.ask(lambda _, view: marked(view))).outbound:
        arrive(members["FRA"], usa, outbound.frame)


def is_purged(members: Any, md: Any) -> None:
    fra = members["FRA"]
    assert fra.do(purge, at=Instant(NOW + 96 * HOUR)).purged == 3
    assert not any(one.body for one in rows(fra, PORTION) if one.md == md)


@pytest.mark.parametrize("before", [None, is_recalled, is_purged])
@pytest.mark.parametrize("also", [(), (PORTION,), (STATEMENT,)], ids=lambda also: str([t.name for t in also]))
def test_a_bulletin_of_this_member_comes_back_from_its_recipient_as_it_was(
    members: Any, before: Any, also: Any
) -> None:
    """Only content and releases did: its own row waited for an operator, who could but delete it."""
    fra = members["FRA"]
    md = rows(fra, BULLETIN)[1].md
    if before is not None:
        before(members, md)
    if before is not None and PORTION in also:
        return  # whoever destroyed the content cannot give it back, and of what was purged there is none
    as_it_was, counter = written(fra, md), counted(fra, "outbox")
    places = lost_with_it(fra, md, (BULLETIN, *also))
    result = mended(fra, *places)
    assert outcomes(result) == [(RecordOutcome.ASKED, "USA")] * len(places)
    ((member, gap),) = result.effects.gaps
    assert (member, len(gap.missing)) == (USA, 1)
    (taken,) = given_back(members, result.effects, *places)
    assert taken.effects.mended, "what waits for it goes"
    back, heads = written(fra, md)
    assert back == changed(as_it_was[0], recalled=back.recalled)
    assert bool(back.recalled) == bool(as_it_was[0].recalled)
    assert [one.label for one in heads] == [one.label for one in as_it_was[1]]
    assert heads == as_it_was[1] or before is is_purged
    assert counted(fra, "outbox") == counter
    assert pair_of(fra).receipt != 0


def test_bulletins_and_content_that_come_back_in_one_frame_are_each_counted(members: Any) -> None:
    fra = members["FRA"]
    first, second, third = [one.md for one in rows(fra, BULLETIN)]
    places = [*lost_with_it(fra, first, (BULLETIN,)), *lost_with_it(fra, second, (PORTION,))]
    places += lost_with_it(fra, third, (BULLETIN, PORTION))
    counter = counted(fra, "outbox")
    given_back(members, mended(fra, *places).effects, *places)
    assert counted(fra, "outbox") == counter


@pytest.mark.parametrize("before", [None, is_recalled])
def test_a_bulletin_comes_back_as_it_was_if_all_is_lost_that_was_written_with_it(
    members: Any, before: Any
) -> None:
    """One chunk holds all of that: what destroys more of it than its parity brings back takes all rows."""
    fra = members["FRA"]
    md = rows(fra, BULLETIN)[1].md
    if before is not None:
        before(members, md)
    as_it_was, _ = written(fra, md)
    tables = (SUBMISSION, BULLETIN, STATEMENT, BATCH, BATCH_KEY, LOG, RECEIPT, RECEIVED)
    places = [(table, table.key_of(row)) for table in tables for row in rows(fra, table)]
    result = mended(fra, *places)
    assert dict(zip(places, outcomes(result), strict=True))[BULLETIN, (md,)] == (RecordOutcome.ASKED, "USA")
    given_back(members, result.effects, *places)
    back, _ = written(fra, md)
    assert back == changed(as_it_was, recalled=back.recalled)
    assert bool(back.recalled) == bool(as_it_was.recalled)


def test_a_recall_is_told_to_who_is_known_again_while_the_bulletin_is_damaged() -> None:
    """Found by the simulator (seed 193320): whoever had it could read on."""
    members = met(("FRA", "USA", "KEN"))
    fra = members["FRA"]
    send(fra, draft(text(TO_USA), text(TO_BOTH), to=["USA", "KEN"]))
    for said in hand_over(fra, "USA", "KEN"):
        answer(members, arrive(members[said.peer], fra, said.frame), said.peer)
    forgot = members["FRA"] = federation(("FRA", "USA", "KEN"), type(fra.store))["FRA"]
    forgot.node = replace(forgot.node, incarnation=fra.node.incarnation + 1)
    forgot.do(start_incarnation)

    def comes_back(member: str, *places: Any) -> None:
        gap = Gap(forgot.node.uri, 0, ((NOW, NOW),))  # all since then, without content
        for one in members[member].do(hand_back, FRA, forgot.node.uri, gap).frames:
            perform(
                forgot,
                receive,
                Arrival(members[member].node.member, members[member].node.uri, one.frame),
                *places,
            )

    comes_back("USA")
    md = pair_of(forgot).md
    is_recalled(members, md)
    place = (BULLETIN, (md,))
    comes_back("KEN", place)
    assert pair_of(forgot, "KEN").cause == Cause.NONE
    given_back(members, mended(forgot, place).effects, place)
    assert pair_of(forgot, "KEN").cause == Cause.RECALLED
    recalls = [row.peer for row in rows(forgot, STATEMENT) if row.kind == Kind.RECALL]
    assert sorted(recalls) == ["KEN", "USA"]


def test_a_bulletin_does_not_come_back_while_its_content_cannot_be_read(members: Any) -> None:
    fra = members["FRA"]
    md = rows(fra, BULLETIN)[1].md
    (place,) = lost_with_it(fra, md, (BULLETIN,))
    result = mended(fra, place)
    (secret,) = lost_with_it(fra, md, (SECRET,))
    before = rows(fra, BULLETIN)
    (taken,) = given_back(members, result.effects, place, secret)
    assert rows(fra, BULLETIN) == before
    assert [ack.code for ack in taken.acks] == [""], "its peer is not blamed"


@pytest.mark.parametrize("key", ["is damaged", "was given up"])
def test_what_its_recipient_has_lost_goes_anew_where_nothing_opens_the_release_any_more(
    members: Any, key: str
) -> None:
    """It stayed unsent; or it went without the key, and was refused."""
    fra, usa = members["FRA"], members["USA"]
    row = rows(usa, INBOX)[1]
    (said,) = [one for one in rows(fra, STATEMENT) if one.leaf == row.leaf]
    place = BATCH_KEY, (said.batch, said.kem)
    if key == "was given up":
        record = Record(BATCH_KEY.name, place[1])
        perform(fra, drop, DropCommand((record,), user("FRA", "operator"), "a bad disk"), place)
    ((_, gap),) = mended(usa, (INBOX, (row.md,))).effects.gaps
    places = [place] if key == "is damaged" else []
    answered = fra.store.perform_now(
        lambda view: answer_gap(fra.node, Rotten(view, *places), USA, gap, NOW, seeded("gap"))
    )
    assert answered.value
    (anew,) = hand_over(fra, "USA")
    answer(members, arrive(usa, fra, anew.frame))
    assert row.md in [one.md for one in rows(usa, INBOX)]


def test_a_release_whose_bulletin_was_given_up_never_goes_again_and_its_number_is_cancelled(
    members: Any,
) -> None:
    """Nobody can decide any more whether it may: it went without a decision, under a law that denied it."""
    fra, usa = members["FRA"], members["USA"]
    row = rows(usa, INBOX)[1]
    (bulletin,) = [one for one in rows(fra, BULLETIN) if one.md == row.md]
    give_up(fra, BULLETIN, bulletin)
    ((_, gap),) = mended(usa, (INBOX, (row.md,))).effects.gaps
    assert fra.do(answer_gap, USA, gap)
    frames, _ = fra.do(resend, USA, frozenset(), ROOM)
    said = [one for outbound in frames for one in outbound.frame.statements]
    assert [one.kind for one in said] == [Kind.STREAM_HEAD]
    for outbound in frames:
        assert arrive(usa, fra, outbound.frame).gaps == ()


def test_a_bulletin_of_which_nothing_has_left_waits_for_an_operator(members: Any) -> None:
    fra = members["FRA"]
    send(fra, draft(text(TO_USA, "still to go"), to=["USA"]), key="later")
    waits = next(row for row in rows(fra, PAIR) if row.open)
    assert outcomes(mended(fra, (BULLETIN, (waits.md,)))) == [(RecordOutcome.STAYS, "")]


def test_content_is_requested_in_one_question_from_all_who_have_that_portion(members: Any) -> None:
    fra = members["FRA"]
    places = [(PORTION, PORTION.key_of(one)) for one in rows(fra, PORTION)]
    result = mended(fra, *places)
    assert {outcome for outcome, _ in outcomes(result)} == {RecordOutcome.ASKED}
    ((member, gap),) = result.effects.gaps
    assert (member, sorted(gap.missing)) == (USA, [(1, 1), (2, 2), (3, 3)])


def test_two_portions_given_up_at_once_end_a_pair_once_and_the_bulletin_is_still_listed(members: Any) -> None:
    fra = members["FRA"]
    send(fra, draft(text(TO_USA, "one"), text(TO_USA, "two"), to=["USA"]), key="both")
    waits = next(row for row in rows(fra, PAIR) if row.open)
    places = [(PORTION, PORTION.key_of(one)) for one in rows(fra, PORTION) if one.md == waits.md]
    assert len(places) == 2
    before = rows(fra, STATEMENT)
    records = tuple(Record(PORTION.name, key) for _, key in places)
    perform(fra, drop, DropCommand(records, user("FRA", "operator"), "a bad disk"), *places)
    ended = [one for one in entries(fra, EntryType.STOP, Stop) if one.md == waits.md]
    assert [one.codes for one in ended] == [("RECORD_CORRUPT",)]
    assert rows(fra, STATEMENT) == before, "its number was never given"
    counted = {one.name: (one.rows, one.size) for one in rows(fra, COUNTER)}["outbox"]
    bodies = [one.body for one in rows(fra, PORTION) if one.body]
    assert counted == (3, sum(map(len, bodies)))
    lines, damaged = fra.ask(outbox, actor("FRA", "a"), "", 50, False, NOW)
    assert (len(lines), damaged) == (4, ())
    recalled = next(line.row.bulletin.hex() for line in lines if line.row.md == waits.md)
    fra.do(recall, RecallCommand(actor("FRA", "a"), recalled, "it is wrong"))


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("lost", [(BULLETIN,), (BULLETIN, PORTION), (BULLETIN, SECRET), (PORTION, SECRET)])
def test_of_a_bulletin_that_is_given_up_nothing_stays_that_could_be_read_or_is_counted(
    members: Any, lost: tuple[Any, ...], order: int
) -> None:
    """Found by the simulator (seed 193434): what was left of it was counted once it was known again."""
    fra = members["FRA"]
    send(fra, draft(text(TO_USA, "one"), text(TO_BOTH, "two"), to=["USA"]), key="both")
    md = next(row.md for row in rows(fra, PAIR) if row.open)
    places = lost_with_it(fra, md, lost)[::order]
    records = tuple(Record(table.name, key) for table, key in places)
    perform(fra, drop, DropCommand(records, user("FRA", "operator"), "a bad disk"), *places)
    (seen,) = [one for one in rows(fra, COUNTER) if one.name == "outbox"]
    assert fra.ask(lambda _, view: recount(view, "outbox")) == seen
    if BULLETIN in lost:
        assert not any(row.body for row in rows(fra, PORTION) if row.md == md)
        assert not any(any(row.sealed) for row in rows(fra, SECRET) if row.md == md)


def give_up(member: Member, table: Any, row: Any, *beside: Any) -> None:
    """Drop this row, while others are damaged too."""
    place = (table, table.key_of(row))
    command = DropCommand((Record(table.name, place[1]),), user("FRA", "operator"), "a bad disk")
    perform(member, drop, command, place, *beside)


def shown_to_author(member: Member, md: Any) -> list[tuple[str, str, tuple[str, ...]]]:
    """Recipient, word and codes of each pair of a bulletin, in the outbox of its author."""
    lines, damaged = member.ask(outbox, actor("FRA", "a"), "", 50, False, NOW)
    assert damaged == ()
    (line,) = [one for one in lines if one.row.md == md]
    return [(one.row.recipient, one.status, one.codes) for one in line.pairs]


def watched(member: Member, since: Cursor) -> list[tuple[str, str, tuple[str, ...]]]:
    """What its author is told since then."""
    told = member.ask(watch, actor("FRA", "a"), since, NOW).happened
    return [(one.what, one.member, one.codes) for one in told]


def counted(member: Member, name: str) -> tuple[int, int]:
    """A counter, which is what counting all rows says."""
    (row,) = [one for one in rows(member, COUNTER) if one.name == name]
    assert row == member.store.ask_now(lambda view: recount(view, name))
    return row.rows, row.size


@pytest.mark.parametrize("gone", ["waits", "in doubt", "answered"])
def test_the_author_is_told_of_a_pair_whose_row_is_given_up(members: Any, gone: str) -> None:
    """Its row was deleted: no list and no event said that it had been lost."""
    fra, usa = members["FRA"], members["USA"]
    send(fra, draft(text(TO_USA, "the one"), to=["USA"]), key="the one")
    pair = next(row for row in rows(fra, PAIR) if row.open)
    sent = hand_over(fra, "USA") if gone != "waits" else ()
    if gone == "answered":
        answer(members, arrive(usa, fra, sent[0].frame))
    pair = next(row for row in rows(fra, PAIR) if row.md == pair.md)
    before, decided = fra.ask(end_of_log), fra.ask(logged_decision, pair)
    give_up(fra, PAIR, pair)
    codes = ("RECORD_CORRUPT",)
    if gone == "answered":
        assert shown_to_author(fra, pair.md) == [("USA", "accepted", ())]
        assert watched(fra, before) == []
    else:
        word = "undeliverable" if gone == "waits" else "in doubt"
        assert shown_to_author(fra, pair.md) == [("USA", word, codes)]
        assert watched(fra, before) == [("undeliverable", "USA", codes)]
    assert (counted(fra, "queue"), counted(fra, "queue:USA")) == ((0, 0), (0, 0))
    assert hand_over(fra, "USA") == ()
    after = next(row for row in rows(fra, PAIR) if row.md == pair.md)
    if gone != "waits":
        same = ("leaf", "incarnation", "sequence", "decided_in", "decided_at", "decision", "due", "size")
        assert [getattr(after, name) for name in same] == [getattr(pair, name) for name in same]
    assert fra.ask(logged_decision, after).portions == decided.portions
    assert Kind.RELEASE not in {
        one.kind for frame in fra.do(resend, USA, (), ROOM)[0] for one in frame.frame.statements
    }


def test_the_outbox_names_a_pair_whose_record_is_damaged(members: Any) -> None:
    """It showed the bulletin without that recipient, and said nothing."""
    fra = members["FRA"]
    place = (PAIR, PAIR.key_of(pair_of(fra)))
    (written,) = [row for row in rows(fra, BULLETIN) if row.md == place[1][0]]
    for given in ("", written.bulletin.hex()):
        _, damaged = outbox(fra.node, Rotten(fra.store, place), actor("FRA", "a"), given, 50, False, NOW)
        assert len(damaged) == 1


def test_an_answer_that_comes_after_its_pair_was_given_up_counts(members: Any) -> None:
    fra, usa = members["FRA"], members["USA"]
    send(fra, draft(text(TO_USA, "the one"), to=["USA"]), key="the one")
    (sent,) = hand_over(fra, "USA")
    pair = next(row for row in rows(fra, PAIR) if row.open)
    give_up(fra, PAIR, pair)
    answer(members, arrive(usa, fra, sent.frame))
    assert shown_to_author(fra, pair.md) == [("USA", "accepted", ())]


def test_a_pair_is_given_up_with_its_bulletin_and_whoever_watches_is_told(members: Any) -> None:
    """Who wrote the bulletin, and how it was marked, was in that row: no list can show it."""
    fra = members["FRA"]
    send(fra, draft(text(TO_USA, "the one"), to=["USA"]), key="the one")
    pair = next(row for row in rows(fra, PAIR) if row.open)
    (written,) = [row for row in rows(fra, BULLETIN) if row.md == pair.md]
    before = fra.ask(end_of_log)
    give_up(fra, BULLETIN, written)
    assert watched(fra, before) == [("damaged", "", ("RECORD_CORRUPT",))]


def beside(member: Member, md: Any, table: Any) -> Any:
    """A record of this table that a bulletin needs."""
    if table is LOG:
        (place,) = [(row.decided_in, row.decided_at) for row in rows(member, PAIR) if row.md == md]
        return member.store.ask_now(lambda view: log_row_of(view, *place))
    return next(row for row in rows(member, table) if row.md == md)


def test_the_author_is_told_of_a_pair_that_is_given_up_while_its_bulletin_is_damaged(members: Any) -> None:
    fra = members["FRA"]
    send(fra, draft(text(TO_USA, "the one"), to=["USA"]), key="the one")
    pair, before = next(row for row in rows(fra, PAIR) if row.open), fra.ask(end_of_log)
    give_up(fra, PAIR, pair, (BULLETIN, (pair.md,)))
    assert watched(fra, before) == [("undeliverable", "USA", ("RECORD_CORRUPT",))]


@pytest.mark.parametrize("table", [PORTION, LOG], ids=lambda table: table.name)
def test_a_pair_stays_listed_that_is_given_up_before_what_else_is_damaged_of_its_bulletin(
    members: Any, table: Any
) -> None:
    """It was deleted. Without it nothing told the place of a portion: nobody could see or recall the rest."""
    fra = members["FRA"]
    send(fra, draft(text(TO_USA, "the one"), to=["USA"]), key="the one")
    (sent,) = hand_over(fra, "USA")
    pair = next(row for row in rows(fra, PAIR) if row.open)
    other = beside(fra, pair.md, table)
    give_up(fra, PAIR, pair, (table, table.key_of(other)))
    if table is not LOG:
        give_up(fra, table, other)
    assert shown_to_author(fra, pair.md) == [("USA", "in doubt", ("RECORD_CORRUPT",))]
    answer(members, arrive(members["USA"], fra, sent.frame))
    assert shown_to_author(fra, pair.md) == [("USA", "accepted", ())]


@pytest.mark.parametrize("gone", ["damaged", "given up"])
@pytest.mark.parametrize("answered", [True, False])
def test_a_pair_that_is_given_up_has_left_though_its_release_is_not_there(
    members: Any, gone: str, answered: bool
) -> None:
    """Its recipient has it, and was not told of a recall: the log knows that it left."""
    fra, usa = members["FRA"], members["USA"]
    send(fra, draft(text(TO_USA, "the one"), to=["USA"]), key="the one")
    (sent,) = hand_over(fra, "USA")
    pair = next(row for row in rows(fra, PAIR) if row.open)
    if answered:
        answer(members, arrive(usa, fra, sent.frame))
    release = next(row for row in rows(fra, STATEMENT) if row.leaf == pair.leaf)
    if gone == "given up":
        give_up(fra, STATEMENT, release, (PAIR, PAIR.key_of(pair)))
    give_up(fra, PAIR, pair, (STATEMENT, (release.leaf,)))
    word = ("accepted", ()) if answered else ("in doubt", ("RECORD_CORRUPT",))
    assert shown_to_author(fra, pair.md) == [("USA", *word)]
    (written,) = [row for row in rows(fra, BULLETIN) if row.md == pair.md]
    said = fra.do(recall, RecallCommand(actor("FRA", "a"), written.bulletin.hex(), "it is wrong"))
    assert [one.peer for one in said.effects.outbound if one.frame.statements[0].kind == Kind.RECALL] == [USA]


def test_a_pair_made_again_keeps_since_when_it_is_accepted_and_how_long_that_took(members: Any) -> None:
    """The outbox showed the time of the repair, and `7 min` for what took 29 ms."""
    fra, usa = members["FRA"], members["USA"]
    send(fra, draft(text(TO_USA, "the one"), to=["USA"]), key="the one")
    taken = arrive(usa, fra, hand_over(fra, "USA")[0].frame)
    (receipt,) = [one.frame for one in taken.effects.outbound]
    soon = Instant(NOW + 29_000)
    arrive(fra, usa, receipt, at=soon)
    pair = next(row for row in rows(fra, PAIR) if row.recipient == "USA" and row.changed == soon)
    key = PAIR.key_of(pair)
    command = DropCommand((Record(PAIR.name, key),), user("FRA", "operator"), "a bad disk")
    fra.store.perform_now(
        lambda view: drop(fra.node, Rotten(view, (PAIR, key)), command, Instant(NOW + HOUR), bytes)
    )
    again = next(row for row in rows(fra, PAIR) if row.md == pair.md)
    assert (again.created, again.changed) == (pair.created, soon)


@pytest.mark.parametrize("release", ["whole", "damaged"])
@pytest.mark.parametrize("answered", [True, False])
def test_a_pair_that_is_given_up_while_its_bulletin_cannot_be_read_is_still_told_of_a_recall(
    members: Any, release: str, answered: bool
) -> None:
    """It was deleted. Once its bulletin could be read again, the recipient kept what was recalled."""
    fra, usa = members["FRA"], members["USA"]
    send(fra, draft(text(TO_USA, "the one"), to=["USA"]), key="the one")
    (sent,) = hand_over(fra, "USA")
    pair = next(row for row in rows(fra, PAIR) if row.open)
    (written,) = [row for row in rows(fra, BULLETIN) if row.md == pair.md]
    if answered:
        answer(members, arrive(usa, fra, sent.frame))
    lost = [(BULLETIN, (pair.md,)), *([(STATEMENT, (pair.leaf,))] if release == "damaged" else [])]
    give_up(fra, PAIR, pair, *lost)
    after = next(row for row in rows(fra, PAIR) if row.md == pair.md)
    same = ("leaf", "incarnation", "sequence", *(["decision", "basis", "due"] if release == "whole" else ()))
    assert [getattr(after, name) for name in same] == [getattr(pair, name) for name in same]
    word = ("accepted", ()) if answered else ("in doubt", ("RECORD_CORRUPT",))
    assert shown_to_author(fra, pair.md) == [("USA", *word)]
    assert (counted(fra, "queue"), counted(fra, "queue:USA")) == ((0, 0), (0, 0))
    said = fra.do(recall, RecallCommand(actor("FRA", "a"), written.bulletin.hex(), "it is wrong"))
    assert [one.peer for one in said.effects.outbound if one.frame.statements[0].kind == Kind.RECALL] == [USA]


@pytest.mark.parametrize("first", [PAIR, BULLETIN], ids=lambda table: table.name)
def test_the_number_of_a_pair_that_is_given_up_with_its_bulletin_is_cancelled(
    members: Any, first: Any
) -> None:
    """Its recipient asked for that number for ever, and nobody answered."""
    fra, usa = members["FRA"], members["USA"]
    send(fra, draft(text(TO_USA, "the one"), to=["USA"]), key="the one")
    hand_over(fra, "USA")
    pair = next(row for row in rows(fra, PAIR) if row.open)
    places: list[Any] = [(PAIR, PAIR.key_of(pair)), (BULLETIN, (pair.md,))]
    records = [Record(table.name, key) for table, key in places]
    given = tuple(records if first is PAIR else records[::-1])
    result = perform(fra, drop, DropCommand(given, user("FRA", "operator"), "a bad disk"), *places)
    (head,) = result.effects.outbound
    assert arrive(usa, fra, head.frame).gaps == ()
    assert [row.leaf for row in rows(fra, PENDING)] == list(head.leaves)
    assert [one.codes for one in entries(fra, EntryType.STOP, Stop)] == [("RECORD_CORRUPT",)]


def test_a_pair_is_given_up_by_what_was_read_of_the_logs_before(members: Any) -> None:
    """A step in which a million entries are read holds up everything that is written, for seconds."""
    fra = members["FRA"]
    send(fra, draft(text(TO_USA, "the one"), to=["USA"]), key="the one")
    (sent,) = hand_over(fra, "USA")
    pair = next(row for row in rows(fra, PAIR) if row.open)
    pairs = pairs_of([Record(PAIR.name, PAIR.key_of(pair))])
    before = fra.ask(lambda node, view: finish(handed_over(node, view, pairs)))
    send(fra, draft(text(TO_USA, "another"), to=["USA"]), key="another")
    read: Any = Read(fra.store)
    again = finish(handed_over(fra.node, read, pairs, before))
    assert again.numbers == before.numbers
    assert again.numbers[PAIR.key_of(pair)].leaf == sent.leaves[0]
    assert {one.last for one in read.found if isinstance(one, LogRow)} == {
        row.last for row in rows(fra, LOG) if row.last >= before.read[row.incarnation]
    }
    assert not [one for one in read.found if isinstance(one, StatementRow)]


class Read:
    """A view that notes what was read in it."""

    unbound = None

    def __init__(self, view: Any) -> None:
        self._view = view
        self.found: list[Any] = []

    def find(self, *args: Any, **given: Any) -> Any:
        rows = self._view.find(*args, **given)
        self.found += rows
        return rows


def test_a_pair_that_is_given_up_keeps_what_only_its_recipient_has_said_once(members: Any) -> None:
    """WHOLE: without it, files go again with each bundle, and the bulletin is never purged."""
    fra, usa = members["FRA"], members["USA"]
    pair = pair_of(fra)
    whole = Receipt(FRA, pair.leaf, ReceiptStatus.ACCEPTED, ("WHOLE",), Instant(NOW + 1))
    arrive(fra, usa, signed(usa, Kind.RECEIPT, whole))
    give_up(fra, PAIR, pair)
    assert shown_to_author(fra, pair.md) == [("USA", "accepted", ("WHOLE",))]


def test_a_pair_that_is_given_up_and_goes_again_cites_the_decision_by_which_it_goes(members: Any) -> None:
    """Its row had the fingerprint of a new decision, and the place of the old one."""
    fra = members["FRA"]
    pair = pair_of(fra)
    send(fra, draft(text(TO_USA, "the one"), to=["USA"]), key="the one")
    with_law(fra, LAW)
    give_up(fra, PAIR, pair)
    again = next(row for row in rows(fra, PAIR) if row.md == pair.md)
    fra.store.apply(Plan((Put(PAIR, changed(again, stage=0, ready=1, open=1, receipt=0)),), None))
    hand_over(fra, "USA")
    after = next(row for row in rows(fra, PAIR) if row.md == pair.md)
    assert after.decision != pair.decision
    kept = fra.ask(logged_decision, after)
    assert all("read-receipt" in one.decision.value.obligations for one in kept.portions)


@pytest.mark.parametrize("table", [STATEMENT, BATCH, BATCH_KEY], ids=lambda table: table.name)
def test_a_release_whose_bytes_are_given_up_ends_and_is_not_sent_for_ever(members: Any, table: Any) -> None:
    fra = members["FRA"]
    send(fra, draft(text(TO_USA, "on its way"), to=["USA"]), key="way")
    hand_over(fra, "USA")
    waits = next(row for row in rows(fra, PAIR) if row.open)
    said = next(one for one in rows(fra, STATEMENT) if one.leaf == waits.leaf)
    key = {STATEMENT: (said.leaf,), BATCH: (said.batch,), BATCH_KEY: (said.batch, said.kem)}[table]
    record = Record(table.name, key)
    perform(fra, drop, DropCommand((record,), user("FRA", "operator"), "a bad disk"), (table, key))
    after = next(row for row in rows(fra, PAIR) if row.md == waits.md)
    assert (after.cause, after.codes) == (Cause.UNDELIVERABLE, "RECORD_CORRUPT")
    assert said.leaf not in [one.leaf for one in rows(fra, PENDING)]
