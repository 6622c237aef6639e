"""A recall takes a bulletin back from those who were handed it, whenever it arrives; nobody else's counts."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from builders import NOW, actor, draft, text, user
from intelshare.audit.records import Destroyed, EntryType, Recalled
from intelshare.broker.exchange.recall import (
    Effect,
    RecallCommand,
    RecallResult,
    effect_of_recall,
    recall,
)
from intelshare.broker.exchange.receipt import receipts
from intelshare.broker.kernel.frame import Gap, Outbound
from intelshare.broker.kernel.tables import (
    BATCH,
    BULLETIN,
    INBOX,
    PAIR,
    PENDING,
    PORTION,
    RECALLED,
    RECEIPT,
    RECEIVED,
    SECRET,
    STATEMENT,
)
from intelshare.broker.lifecycle.destroy import finish, marked
from intelshare.broker.lifecycle.drop import DropCommand, drop
from intelshare.broker.lifecycle.mend import Record
from intelshare.broker.lifecycle.read import ReadCommand, read
from intelshare.broker.line.hello import acknowledge, answer_gap
from intelshare.broker.line.resend import resend
from intelshare.broker.queries.lists import InboxQuery, inbox, outbox, why
from intelshare.crypto.codec import decode
from intelshare.crypto.records import Kind, Recall, Receipt
from intelshare.delivery import Cause
from intelshare.errors import DeliveryError
from intelshare.ids import MemberCode
from line_world import (
    LATER,
    TO_BOTH,
    TO_USA,
    Forger,
    arrive,
    codes,
    entries,
    everything,
    hand_over,
    log_of,
    met,
    only,
    pair_of,
    rows,
    said,
    say_hello,
    send,
    signed,
    stolen,
)
from rotten_view import Rotten

USA, KEN = MemberCode("USA"), MemberCode("KEN")


@pytest.fixture
def members() -> Any:
    return met(["FRA", "USA", "KEN"])


def submitted(members: Any, label: str = TO_USA, to: tuple[str, ...] = ("USA",), **changes: Any) -> str:
    """A bulletin of FRA's analyst; its id."""
    return send(members["FRA"], replace(draft(text(label), to=to), **changes)).bulletin.hex()


def take_back(members: Any, bulletin: str, by: str = "a", at: Any = LATER) -> RecallResult:
    taking: RecallResult = members["FRA"].do(
        recall, RecallCommand(actor("FRA", by), bulletin, "wrong source"), at=at
    )
    return taking


def deliver(members: Any, said: tuple[Outbound, ...], by: str = "FRA", at: Any = LATER) -> list[Any]:
    """Each frame to its recipient; what the recipients answered."""
    return [arrive(members[one.peer], members[by], one.frame, at=at) for one in said]


def accepted(members: Any, bulletin_to: tuple[str, ...] = ("USA",)) -> None:
    """Hand over what is queued, and bring the receipts back."""
    taken_by = deliver(members, hand_over(members["FRA"], *bulletin_to), at=NOW)
    for taken, peer in zip(taken_by, bulletin_to, strict=True):
        deliver(members, taken.effects.outbound, peer, at=NOW)


def word_of(members: Any, recipient: str = "USA") -> str:
    (line,) = members["FRA"].ask(outbox, actor("FRA", "a"), "", 10, False, LATER)[0]
    return next(pair.status for pair in line.pairs if pair.row.recipient == recipient)


def destroy(member: Any, at: Any = LATER) -> Any:
    """As the runtime does after it has shredded the store."""
    return member.do(finish, member.store.ask_now(marked), at=at)


def keyless(member: Any) -> bool:
    """Whether every secret that was ever kept is overwritten, and no body is left."""
    return {row.sealed for row in rows(member, SECRET)} == {bytes(72)} and rows(member, PORTION) == []


def hand_again(member: Any) -> tuple[Outbound, ...]:
    """What a new link loads from the store for USA."""
    frames: tuple[Outbound, ...] = member.do(resend, USA, frozenset(), 1 << 20, at=LATER)[0]
    return frames


def kinds(said: tuple[Outbound, ...], peer: str) -> list[Kind]:
    return [Kind(c.kind) for one in said if one.peer == peer for c in one.frame.statements]


def test_what_is_queued_stops_and_nobody_is_told(members: Any) -> None:
    bulletin = submitted(members)
    taking = take_back(members, bulletin)
    assert [effect for _, effect in taking.pairs] == [Effect.STOPPED]
    assert taking.effects.outbound == ()
    assert word_of(members) == "recalled"
    assert hand_over(members["FRA"], "USA", at=LATER) == ()


def test_who_had_opened_it_is_told_the_originators_reason(members: Any) -> None:
    usa = members["USA"]
    bulletin = submitted(members)
    accepted(members)
    usa.do(read, ReadCommand(actor("USA", "a"), bulletin))
    deliver(members, take_back(members, bulletin).effects.outbound)
    (line,) = usa.ask(inbox, actor("USA", "a"), InboxQuery(), LATER)[0]
    assert (line.row.cause, line.reason) == ("RECALLED", "wrong source")
    with pytest.raises(DeliveryError, match="destroyed here: RECALLED, wrong source"):
        usa.do(read, ReadCommand(actor("USA", "a"), bulletin), at=LATER)
    with pytest.raises(DeliveryError, match="there is no bulletin"):
        usa.do(read, ReadCommand(actor("USA", "r"), bulletin), at=LATER)


def test_a_peers_endless_reason_is_cut_and_an_own_one_is_refused(members: Any) -> None:
    usa, fra = members["USA"], members["FRA"]
    bulletin = submitted(members)
    accepted(members)
    usa.do(read, ReadCommand(actor("USA", "a"), bulletin))
    (row,) = rows(usa, INBOX)
    arrive(usa, fra, signed(fra, Kind.RECALL, Recall(USA, row.md, "x" * 60_000)))
    (line,) = usa.ask(inbox, actor("USA", "a"), InboxQuery(), LATER)[0]
    assert line.reason == "x" * 500
    with pytest.raises(DeliveryError) as caught:
        fra.do(recall, RecallCommand(actor("FRA", "a"), bulletin, "x" * 501))
    assert caught.value.code == "TOO_LARGE"


def test_p19_a_recall_goes_only_to_those_who_were_handed_the_bulletin(members: Any) -> None:
    bulletin = submitted(members, TO_BOTH, ("USA", "KEN"))
    accepted(members)
    taking = take_back(members, bulletin)
    assert {row.recipient: effect for row, effect in taking.pairs} == {USA: Effect.ASKED, KEN: Effect.STOPPED}
    assert kinds(taking.effects.outbound, "USA") == [Kind.RECALL]
    assert kinds(taking.effects.outbound, "KEN") == []
    assert word_of(members, "KEN") == "recalled"


def test_recalled_bulletin_cannot_be_read_and_its_destruction_is_signed_once(members: Any) -> None:
    fra, usa = members["FRA"], members["USA"]
    bulletin = submitted(members)
    accepted(members)
    taking = take_back(members, bulletin)
    row = pair_of(fra)
    assert word_of(members) == "accepted"
    (line,) = fra.ask(outbox, actor("FRA", "a"), bulletin, 1, False, LATER)[0]
    assert line.pairs[0].recall_requested
    (taken,) = deliver(members, taking.effects.outbound)
    assert codes(taken) == [""]
    assert taken.effects.marked
    assert said(taken) == []
    assert keyless(usa)
    with pytest.raises(DeliveryError, match="there is no bulletin"):
        usa.do(read, ReadCommand(actor("USA", "a"), bulletin), at=LATER)
    assert usa.ask(inbox, actor("USA", "a"), InboxQuery(), LATER)[0] == []
    done = destroy(usa)
    (receipt,) = [decode(Receipt, c.data) for one in done.outbound for c in one.frame.statements]
    assert (receipt.to, receipt.leaf) == ("FRA", row.leaf)
    assert (receipt.status.name, receipt.codes) == ("DESTROYED", ("RECALLED",))
    assert destroy(usa).outbound == ()
    deliver(members, done.outbound, "USA")
    assert word_of(members) == "destroyed"
    (line,) = fra.ask(outbox, actor("FRA", "a"), bulletin, 1, False, LATER)[0]
    assert not line.pairs[0].recall_requested
    (logged,) = entries(usa, EntryType.DESTROYED, Destroyed)
    assert (logged.member, logged.cause) == ("FRA", "RECALLED")
    assert [e.reason for e in entries(fra, EntryType.RECALL, Recalled)] == ["wrong source"]
    assert fra.ask(why, actor("FRA", "a"), bulletin, USA, LATER).pair.status == "destroyed"


def test_what_is_on_the_way_is_in_doubt_until_the_cancellation_is_acknowledged(members: Any) -> None:
    fra = members["FRA"]
    bulletin = submitted(members)
    (lost,) = hand_over(fra, "USA")
    taking = take_back(members, bulletin)
    assert word_of(members) == "in doubt"
    assert kinds(taking.effects.outbound, "USA") == [Kind.RECALL, Kind.STREAM_HEAD]
    assert taking.effects.ended == ((USA, lost.leaves[0]),)
    again, _ = fra.do(resend, USA, frozenset(), 1 << 20)
    assert Kind.RELEASE not in kinds(again, "USA")
    for taken in deliver(members, taking.effects.outbound):
        fra.do(acknowledge, USA, taken.acks, at=LATER)
    assert word_of(members) == "recalled"
    assert rows(fra, PENDING) == []
    assert not fra.do(answer_gap, USA, Gap(fra.node.uri, fra.node.incarnation, ((1, 1),)))


def test_p8_a_receipt_that_was_under_way_settles_what_is_in_doubt(members: Any) -> None:
    bulletin = submitted(members)
    (taken,) = deliver(members, hand_over(members["FRA"], "USA"), at=NOW)
    taking = take_back(members, bulletin)
    deliver(members, taken.effects.outbound, "USA")
    assert word_of(members) == "accepted"
    deliver(members, taking.effects.outbound)
    deliver(members, destroy(members["USA"]).outbound, "USA")
    assert word_of(members) == "destroyed"


def test_a_recall_that_overtakes_its_bulletin_is_remembered(members: Any) -> None:
    usa = members["USA"]
    bulletin = submitted(members)
    (late,) = hand_over(members["FRA"], "USA")
    taking = take_back(members, bulletin)
    ahead = taking.effects.outbound[0]
    (taken,) = deliver(members, (ahead,))
    assert codes(taken) == [""]
    assert not taken.effects.marked
    taken = arrive(usa, members["FRA"], late.frame, at=LATER)
    assert said(taken) == [("REFUSED", ("BULLETIN_RECALLED",))]
    assert rows(usa, INBOX) == rows(usa, PORTION) == []
    deliver(members, taken.effects.outbound, "USA")
    assert word_of(members) == "refused"


def test_a_bulletin_and_its_recall_in_one_frame_leave_no_key_behind(members: Any) -> None:
    bulletin = submitted(members)
    (release,) = hand_over(members["FRA"], "USA")
    arrive_together = take_back(members, bulletin).effects.outbound[0]
    usa = members["USA"]
    usa.do(lambda node, view, now, random: _both(node, view, members, release, arrive_together, now, random))
    assert keyless(usa)
    assert [row.cause for row in rows(usa, INBOX)] == ["RECALLED"]


def _both(node: Any, view: Any, members: Any, release: Any, later: Any, now: Any, random: Any) -> Any:
    """Two frames in one transaction: what the first put is not in the view of the second."""
    from intelshare.broker.exchange.recall import on_recall
    from intelshare.broker.kernel.inbound import Inbound
    from intelshare.broker.kernel.transaction import Transaction
    from intelshare.broker.line.release import accept
    from intelshare.envelope import Opener
    from intelshare.statement import parse_statement, read_batch, verify

    fra = members["FRA"].node
    tx = Transaction(node, view, now, random)
    inbound = Inbound(tx, fra.member, fra.uri, release.frame.batch_key, Opener(node.sealing, node.retired))
    for frame, step in ((release.frame, accept), (later.frame, on_recall)):
        carried = frame.statements[0]
        statement = parse_statement(carried.kind, carried.nonce, carried.data, carried.proof)
        verified = verify(
            statement, read_batch(frame.batch), fra.member, LATER,
            trust=node.trust, suites=node.suites, roots=node.roots,
        )  # fmt: skip
        step(inbound, verified, carried)
    return tx.plan(None)


def test_what_was_recalled_is_not_accepted_again_under_another_number(members: Any) -> None:
    usa = members["USA"]
    forger = Forger(members)
    first = forger.frame(bulletin_seed="one")
    again = forger.frame(bulletin_seed="one")
    arrive(usa, members["FRA"], first)
    (row,) = rows(usa, INBOX)
    arrive(usa, members["FRA"], signed(members["FRA"], Kind.RECALL, Recall(USA, row.md, "")))
    destroy(usa)
    assert said(arrive(usa, members["FRA"], again, at=LATER)) == [("REFUSED", ("BULLETIN_RECALLED",))]
    assert keyless(usa)


def test_row_41_a_peers_recall_of_another_members_bulletin_changes_nothing_and_is_answered_the_same(
    members: Any,
) -> None:
    usa, ken = members["USA"], members["KEN"]
    bulletin = submitted(members)
    accepted(members)
    (held,) = rows(usa, INBOX)
    answers = []
    for md in (held.md, bytes(32)):
        taken = arrive(usa, ken, signed(ken, Kind.RECALL, Recall(USA, md, "mine"), seed=md.hex()))
        answers.append((codes(taken), said(taken), taken.effects.marked))
    assert answers[0] == answers[1] == ([""], [], False)
    assert rows(usa, INBOX) == [held]
    assert usa.do(read, ReadCommand(actor("USA", "a"), bulletin)).shown.portions


def test_row_41_an_own_user_who_may_read_it_is_told_and_nothing_is_sent(members: Any) -> None:
    usa = members["USA"]
    bulletin = submitted(members)
    accepted(members)
    before = everything(usa)
    with pytest.raises(DeliveryError) as caught:
        usa.do(recall, RecallCommand(actor("USA", "r"), bulletin, ""))
    assert caught.value.code == "RECALL_NOT_ORIGINATOR"
    with pytest.raises(DeliveryError) as caught:
        usa.do(recall, RecallCommand(actor("USA", "r"), "f" * 8, ""))
    assert caught.value.code == "NOT_FOUND"
    assert everything(usa) == before


def test_row_42_another_digest_put_in_is_no_statement_of_the_batch_and_a_replay_changes_nothing(
    members: Any,
) -> None:
    usa, fra = members["USA"], members["FRA"]
    submitted(members)
    accepted(members)
    (held,) = rows(usa, INBOX)
    genuine = signed(fra, Kind.RECALL, Recall(USA, bytes(32), ""))  # type: ignore[arg-type]
    data = genuine.statements[0].data.replace(bytes(32), held.md)
    assert codes(arrive(usa, fra, only(genuine, data=data))) == ["BATCH_PROOF_INVALID"]
    assert rows(usa, INBOX) == [held]
    assert codes(arrive(usa, fra, genuine)) == [""]
    before, logged = len(rows(usa, RECEIVED)), log_of(usa)
    assert codes(arrive(usa, fra, genuine, at=LATER)) == [""]
    assert (len(rows(usa, RECEIVED)), log_of(usa)) == (before, logged)


def test_a_recall_for_another_member_is_no_recall_here(members: Any) -> None:
    usa, fra = members["USA"], members["FRA"]
    submitted(members)
    accepted(members)
    (held,) = rows(usa, INBOX)
    assert codes(arrive(usa, fra, signed(fra, Kind.RECALL, Recall(KEN, held.md, "")))) == ["WRONG_RECIPIENT"]
    assert rows(usa, INBOX) == [held]
    assert rows(usa, RECALLED) == []


def test_author_and_releasing_officer_may_recall_and_nobody_else(members: Any) -> None:
    from intelshare.broker.kernel.register import SetUserCommand, set_user
    from intelshare.broker.kernel.tables import UserRow

    fra = members["FRA"]
    row = UserRow(user("FRA", "b"), "b", "analyst", "R4", "FRA", "*", 0)
    fra.do(set_user, SetUserCommand(user("FRA", "o"), row))
    bulletin = submitted(members)
    with pytest.raises(DeliveryError) as caught:
        take_back(members, bulletin, "b")
    assert caught.value.code == "NOT_AUTHORISED"
    assert not take_back(members, bulletin, "r").before


def test_a_second_recall_stores_and_says_nothing(members: Any) -> None:
    fra = members["FRA"]
    bulletin = submitted(members)
    accepted(members)
    take_back(members, bulletin)
    before = everything(fra)
    taking = take_back(members, bulletin)
    assert taking.before
    assert taking.effects.outbound == ()
    assert everything(fra) == before


def told(member: Any) -> list[str]:
    return sorted(row.peer for row in rows(member, STATEMENT) if row.kind == Kind.RECALL)


@pytest.mark.parametrize("settled", ["repaired", "given up"])
def test_p13_a_recipient_whose_pair_is_damaged_is_named_and_asked_once_that_is_settled(
    members: Any, settled: str
) -> None:
    """An operator's drill: the recall said that it was done, and that recipient read on."""
    fra = members["FRA"]
    bulletin = submitted(members, TO_BOTH, ("USA", "KEN"))
    accepted(members, ("USA", "KEN"))
    place = (PAIR, PAIR.key_of(pair_of(fra, "KEN")))
    command = RecallCommand(actor("FRA", "a"), bulletin, "wrong source")
    step = partial(recall, fra.node, command=command, now=LATER, random=bytes)
    taking = fra.store.perform_now(lambda view: step(Rotten(view, place))).value
    assert (len(taking.damaged), taking.before) == (1, False)
    assert [row.recipient for row, _ in taking.pairs] == ["USA"]
    assert told(fra) == ["USA"]
    if settled == "given up":
        given = DropCommand((Record(PAIR.name, place[1]),), user("FRA", "operator"), "a bad disk")
        fra.store.perform_now(lambda view: drop(fra.node, Rotten(view, place), given, LATER, bytes))
        assert told(fra) == ["KEN", "USA"]
    again = take_back(members, bulletin)
    assert (again.before, again.damaged, told(fra)) == (True, (), ["KEN", "USA"])
    assert pair_of(fra, "KEN").cause == Cause.RECALLED
    before = everything(fra)
    take_back(members, bulletin)
    assert everything(fra) == before


def test_the_effect_is_known_before_and_nothing_is_stored(members: Any) -> None:
    fra = members["FRA"]
    bulletin = submitted(members, TO_BOTH, ("USA", "KEN"))
    accepted(members)
    before = everything(fra)
    planned = fra.ask(effect_of_recall, RecallCommand(actor("FRA", "a"), bulletin, ""), LATER)
    effects = {row.recipient: effect for row, effect in planned.pairs}
    assert effects == {USA: Effect.ASKED, KEN: Effect.STOPPED}
    assert everything(fra) == before


def test_the_own_copy_stays_readable_and_shows_the_recall(members: Any) -> None:
    bulletin = submitted(members)
    take_back(members, bulletin)
    (line,) = members["FRA"].ask(outbox, actor("FRA", "a"), bulletin, 1, False, LATER)[0]
    assert line.row.recalled == LATER
    assert len(rows(members["FRA"], PORTION)) == 1
    assert rows(members["FRA"], BULLETIN)[0].recalled == LATER


def restored(member: Any, before: Any, seed: int) -> None:
    """The member starts again over an earlier state of its disk."""
    from intelshare.broker.kernel.tables import TABLES
    from intelshare.broker.line.hello import start_incarnation
    from intelshare.ports import Plan, Put
    from intelshare.store.memory import MemoryStore

    tables = {table.name: table for table in TABLES}
    puts = tuple(Put(tables[name], row) for name, found in before.items() for row in found)
    member.store = MemoryStore([Plan(puts, None)])
    member.node = replace(member.node, incarnation=seed)
    member.do(start_incarnation, at=LATER)


def test_p12_p16_a_recipient_that_came_back_with_less_hears_the_recall_again(members: Any) -> None:
    fra, usa = members["FRA"], members["USA"]
    bulletin = submitted(members)
    accepted(members)
    before = everything(usa)
    taking = take_back(members, bulletin)
    for taken in deliver(members, taking.effects.outbound):
        fra.do(acknowledge, USA, taken.acks, at=LATER)
    deliver(members, destroy(usa).outbound, "USA")
    assert rows(fra, PENDING) == []
    restored(usa, before, 4711)
    assert len(rows(usa, PORTION)) == 1
    say_hello(usa, fra, LATER)
    again = hand_again(fra)
    assert kinds(again, "USA") == [Kind.RECALL]
    assert [one.leaves for one in again] == [one.leaves for one in taking.effects.outbound], "the same bytes"
    deliver(members, again)
    assert keyless(usa)
    deliver(members, destroy(usa).outbound, "USA")
    assert word_of(members) == "destroyed"


def test_p12_a_recall_that_a_stolen_key_signed_is_heard_at_once_by_who_came_back_with_less(
    members: Any,
) -> None:
    """It reads on once it was linked for a minute: rejected first, the recall might come later."""
    fra, usa = members["FRA"], members["USA"]
    bulletin = submitted(members)
    accepted(members)
    before = everything(usa)
    for taken in deliver(members, take_back(members, bulletin).effects.outbound):
        fra.do(acknowledge, USA, taken.acks, at=LATER)
    deliver(members, destroy(usa).outbound, "USA")
    restored(usa, before, 4715)
    stolen(members)
    say_hello(usa, fra, LATER)
    again = hand_again(fra)
    assert kinds(again, "USA") == [Kind.RECALL]
    assert [codes(taken) for taken in deliver(members, again)] == [[""]]
    assert keyless(usa)


def test_p12_a_recall_that_is_made_again_is_told_to_who_has_destroyed_it_and_again_after_a_restore(
    members: Any,
) -> None:
    fra, usa = members["FRA"], members["USA"]
    bulletin = submitted(members)
    accepted(members)
    not_recalled, readable = everything(fra), everything(usa)
    deliver(members, take_back(members, bulletin).effects.outbound)
    destroyed = destroy(usa).outbound
    restored(fra, not_recalled, 4713)
    deliver(members, destroyed, "USA")
    assert word_of(members) == "destroyed"
    again = take_back(members, bulletin)
    assert [effect for _, effect in again.pairs] == [Effect.NONE]
    assert kinds(again.effects.outbound, "USA") == [Kind.RECALL]
    for taken in deliver(members, again.effects.outbound):
        fra.do(acknowledge, USA, taken.acks, at=LATER)
    restored(usa, readable, 4714)
    assert len(rows(usa, PORTION)) == 1
    say_hello(usa, fra, LATER)
    deliver(members, hand_again(fra))
    assert keyless(usa)


def test_p12_the_number_of_what_was_recalled_and_forgotten_is_cancelled_when_it_is_asked_for(
    members: Any,
) -> None:
    fra, usa = members["FRA"], members["USA"]
    before = everything(usa)
    bulletin = submitted(members)
    accepted(members)
    for taken in deliver(members, take_back(members, bulletin).effects.outbound):
        fra.do(acknowledge, USA, taken.acks, at=LATER)
    deliver(members, destroy(usa).outbound, "USA")
    restored(usa, before, 4712)
    asked = [gap for gap in say_hello(fra, usa, LATER).gaps if gap.missing]
    assert [gap.missing for gap in asked] == [((1, 1),)]
    say_hello(usa, fra, LATER)
    assert fra.do(answer_gap, USA, asked[0], at=LATER)
    again = hand_again(fra)
    assert sorted(kinds(again, "USA")) == [Kind.RECALL, Kind.STREAM_HEAD]
    for taken in deliver(members, again):
        assert not [gap for gap in taken.gaps if gap.missing]
    assert word_of(members) == "destroyed"
    assert rows(usa, INBOX) == []


@pytest.mark.parametrize("table", [RECEIPT, RECEIVED, BATCH], ids=lambda table: table.name)
def test_the_receipts_of_a_bulletin_are_shown_without_a_damaged_one_which_is_named(
    members: Any, table: Any
) -> None:
    bulletin = submitted(members, TO_BOTH, ("KEN", "USA"))
    accepted(members, ("KEN", "USA"))
    fra = members["FRA"]
    bad, sound = rows(fra, RECEIPT)
    held = fra.store.ask_now(lambda view: view.get(RECEIVED, bad.member, bad.leaf))
    key = (held.batch,) if table is BATCH else table.key_of(bad if table is RECEIPT else held)
    _, found, named = fra.store.ask_now(
        lambda view: receipts(fra.node, Rotten(view, (table, key)), actor("FRA", "a"), bulletin, LATER)
    )
    assert [(one.member, one.flaw) for one in found] == [(sound.member, "")]
    assert len(named) == 1
