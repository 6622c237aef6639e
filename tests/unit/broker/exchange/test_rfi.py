"""Requests for information and obligations: both sides know how they stand, and nobody else knows of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from builders import NOW, Member, actor, draft, text, user
from intelshare.audit.records import DutyDone, EntryType
from intelshare.broker.exchange import rfi
from intelshare.broker.exchange.recall import RecallCommand, recall
from intelshare.broker.exchange.rfi import RequestState, requests
from intelshare.broker.kernel.tables import BULLETIN, DUTY, INBOX, REQUEST
from intelshare.broker.lifecycle import duties
from intelshare.broker.lifecycle.duties import MeetDutyCommand, due_of_duty, meet_duty
from intelshare.bulletin.request import Marked, Word, marked_in, media_of
from intelshare.errors import DeliveryError
from intelshare.instant import DAY, HOUR, NEVER, Instant
from intelshare.services.bulletins import inbox_page
from intelshare.services.rpc import CallContext
from intelshare.wire.v1 import user_pb2 as pb
from line_world import arrive, entries, hand_over, met, rows, send, with_law
from rotten_view import Rotten

TO_ALL = "//FRA DIFFUSION RESTREINTE//REL TO FRA, USA, KEN"
OF_USA = "UNCLASSIFIED//REL TO USA, FRA"
DUE = Instant(NOW + DAY)


def marked(word: Word, label: str = TO_ALL, due: Instant = NEVER) -> Any:
    return replace(text(label), media=media_of(Marked(word, due)))


def deliver(members: Any, sender: str, *to: str) -> None:
    for code in to:
        for outbound in hand_over(members[sender], code):
            arrive(members[code], members[sender], outbound.frame)


def asked(members: Any, due: Instant = DUE) -> str:
    """FRA has asked USA and KEN, and both have the question."""
    question = draft(marked(Word.ASK, due=due), to=["USA", "KEN"])
    bulletin: str = send(members["FRA"], question, key="ask").bulletin.hex()
    deliver(members, "FRA", "USA", "KEN")
    return bulletin


def reply(member: Member, bulletin: str, word: Word, label: str, to: str, key: str = "reply") -> None:
    send(member, replace(draft(marked(word, label), to=[to]), in_reply_to=bulletin), key=key)


def states(member: Member) -> dict[str, RequestState]:
    return {row.member: RequestState(row.state) for row in rows(member, REQUEST)}


@pytest.fixture
def members() -> dict[str, Member]:
    found: dict[str, Member] = met()
    return found


@pytest.mark.parametrize("word", list(Word))
@pytest.mark.parametrize("due", [NEVER, Instant(DUE - DUE % 1_000_000)])
def test_a_mark_is_read_as_it_was_written(word: Word, due: Instant) -> None:
    given = Marked(word, due)
    assert marked_in([text(TO_ALL), replace(text(TO_ALL), media=media_of(given))]) == given


@pytest.mark.parametrize(
    "media",
    ["text/plain", "text/plain; rfi=", "text/plain; rfi=steal", "text/plain; rfi=ask; due=soon", "rfi=ask"],
)
def test_what_is_no_mark_is_only_text(media: str) -> None:
    assert marked_in([replace(text(TO_ALL), media=media)]) is None


def test_both_sides_know_that_a_request_is_open_and_until_when(members: dict[str, Member]) -> None:
    asked(members)
    assert states(members["FRA"]) == {"USA": RequestState.OPEN, "KEN": RequestState.OPEN}
    assert [(row.member, row.own, row.due) for row in rows(members["USA"], REQUEST)] == [("FRA", 0, DUE)]
    ((line,), _) = members["USA"].ask(requests, actor("USA", "a"), NOW)
    assert (line.category, line.title) == ("cyber", "text")


def test_an_answer_and_a_refusal_are_told_apart(members: dict[str, Member]) -> None:
    bulletin = asked(members)
    reply(members["USA"], bulletin, Word.ANSWER, OF_USA, "FRA")
    reply(members["KEN"], bulletin, Word.DECLINE, "//KEN UNMARKED", "FRA")
    deliver(members, "USA", "FRA")
    deliver(members, "KEN", "FRA")
    assert states(members["FRA"]) == {"USA": RequestState.ANSWERED, "KEN": RequestState.DECLINED}
    assert states(members["USA"]) == {"FRA": RequestState.ANSWERED}
    lines, _ = members["FRA"].ask(requests, actor("FRA", "a"), NOW)
    assert all(line.reply for line in lines)


def test_closing_ends_what_is_open_on_both_sides_and_undoes_no_answer(members: dict[str, Member]) -> None:
    bulletin = asked(members)
    reply(members["USA"], bulletin, Word.ANSWER, OF_USA, "FRA")
    deliver(members, "USA", "FRA")
    close = replace(draft(marked(Word.CLOSE), to=["USA", "KEN"]), in_reply_to=bulletin)
    send(members["FRA"], close, key="close")
    deliver(members, "FRA", "USA", "KEN")
    assert states(members["FRA"]) == {"USA": RequestState.ANSWERED, "KEN": RequestState.CLOSED}
    assert states(members["KEN"]) == {"FRA": RequestState.CLOSED}
    assert states(members["USA"]) == {"FRA": RequestState.ANSWERED}


def test_an_answer_that_is_withheld_answers_nothing(members: dict[str, Member]) -> None:
    bulletin = asked(members)
    reply(members["USA"], bulletin, Word.ANSWER, "SECRET//NF", "FRA")
    assert states(members["USA"]) == {"FRA": RequestState.OPEN}


@pytest.mark.parametrize("word", [Word.ANSWER, Word.DECLINE])
def test_a_reply_that_never_comes_leaves_the_request_open_and_it_may_be_declined_or_closed(
    members: dict[str, Member], word: Word
) -> None:
    usa, bulletin = members["USA"], asked(members)
    sent = send(usa, replace(draft(marked(word, OF_USA), to=["FRA"]), in_reply_to=bulletin), key="reply")

    def listed() -> tuple[int, bytes]:
        ((line,), _) = usa.ask(requests, actor("USA", "a"), NOW)
        return line.row.state, line.reply

    assert listed() == (_STATES[word], sent.bulletin)
    usa.do(recall, RecallCommand(actor("USA", "a"), sent.bulletin.hex(), "not so"))
    assert listed() == (RequestState.OPEN, b"")
    deliver(members, "USA", "FRA")
    assert states(members["FRA"])["USA"] is RequestState.OPEN, "both sides agree"
    reply(members["FRA"], bulletin, Word.CLOSE, TO_ALL, "USA", key="close")
    deliver(members, "FRA", "USA")
    assert listed()[0] == RequestState.CLOSED


_STATES = {Word.ANSWER: RequestState.ANSWERED, Word.DECLINE: RequestState.DECLINED}


@pytest.mark.parametrize("word", [Word.ANSWER, Word.DECLINE, Word.CLOSE])
def test_what_answers_no_request_is_refused_and_stores_nothing(
    members: dict[str, Member], word: Word
) -> None:
    plain = send(members["FRA"], draft(text(TO_ALL), to=["USA"])).bulletin.hex()
    deliver(members, "FRA", "USA")
    for bulletin in (plain, ""):
        with pytest.raises(DeliveryError) as raised:
            reply(members["USA"], bulletin, word, OF_USA, "FRA")
        assert raised.value.code == "INPUT_INVALID"
    assert not rows(members["USA"], REQUEST)


def test_an_answer_to_somebody_else_is_refused(members: dict[str, Member]) -> None:
    bulletin = asked(members)
    with pytest.raises(DeliveryError, match="which asked"):
        reply(members["USA"], bulletin, Word.ANSWER, OF_USA, "KEN")


def test_a_third_member_cannot_answer_for_one_that_was_asked(members: dict[str, Member]) -> None:
    question = draft(marked(Word.ASK), to=["USA"])
    bulletin = send(members["FRA"], question, key="ask").bulletin.hex()
    deliver(members, "FRA", "USA")
    with pytest.raises(DeliveryError) as raised:
        reply(members["KEN"], bulletin, Word.ANSWER, "//KEN UNMARKED", "FRA")
    assert raised.value.code == "NOT_FOUND"
    assert states(members["FRA"]) == {"USA": RequestState.OPEN}


def test_what_is_overdue_is_counted_for_those_who_may_see_it_only(members: dict[str, Member]) -> None:
    usa = members["USA"]
    asked(members)
    late = Instant(DUE + HOUR)
    assert usa.ask(rfi.overdue_requests, actor("USA", "a"), NOW) == (0, ())
    assert usa.ask(rfi.overdue_requests, actor("USA", "a"), late) == (1, ())
    from intelshare.broker.kernel.register import SetUserCommand, set_user
    from intelshare.broker.kernel.tables import UserRow

    blind = UserRow(user("USA", "b"), "b", "analyst", "R4", "USA", "climate-disaster", 0)
    usa.do(set_user, SetUserCommand(user("USA", "o"), blind))
    assert usa.ask(rfi.overdue_requests, actor("USA", "b"), late) == (0, ())
    assert usa.ask(requests, actor("USA", "b"), late) == ([], ())


def test_an_obligation_to_report_is_kept_with_its_date_until_somebody_says_that_it_is_met(
    members: dict[str, Member],
) -> None:
    usa = members["USA"]
    law = '[[oblige]]\nid = "USA-report"\nsource = "invented"\nobligation = "report-use-7d"\nwhen = {}\n'
    with_law(members["FRA"], law.replace("USA-report", "FRA-report"))
    bulletin = send(members["FRA"], draft(text(TO_ALL), to=["USA"])).bulletin.hex()
    deliver(members, "FRA", "USA")
    (row,) = rows(usa, DUTY)
    assert (row.obligation, row.due, row.done) == ("report-use-7d", NOW + 7 * DAY, 0)
    late = Instant(NOW + 8 * DAY)
    assert usa.ask(duties.overdue_duties, actor("USA", "a"), late) == (1, ())
    with pytest.raises(DeliveryError) as raised:
        usa.do(meet_duty, MeetDutyCommand(actor("USA", "a"), bulletin, "report-everything"))
    assert raised.value.code == "NOT_FOUND"
    usa.do(meet_duty, MeetDutyCommand(actor("USA", "a"), bulletin, "report-use-7d"), at=late)
    assert usa.ask(duties.overdue_duties, actor("USA", "a"), late) == (0, ())
    assert [one.user for one in entries(usa, EntryType.DUTY, DutyDone)] == [user("USA", "a")]
    usa.do(meet_duty, MeetDutyCommand(actor("USA", "a"), bulletin, "report-use-7d"), at=late)
    assert len(entries(usa, EntryType.DUTY, DutyDone)) == 1


def test_a_release_brings_so_many_duties_and_its_bulletin_is_opened_once_for_all_of_them(
    members: dict[str, Member], monkeypatch: pytest.MonkeyPatch
) -> None:
    fra, usa = members["FRA"], members["USA"]
    law = "".join(
        f'[[oblige]]\nid = "FRA-{n}"\nsource = "invented"\nobligation = "report-use-{n + 1}d"\nwhen = {{}}\n'
        for n in range(duties.MAX_DUTIES + 8)
    )
    with_law(fra, law)
    send(fra, draft(text(TO_ALL), to=["USA"]))
    deliver(members, "FRA", "USA")
    assert len(rows(usa, DUTY)) == duties.MAX_DUTIES
    opened: list[int] = []
    show = duties.show
    monkeypatch.setattr(duties, "show", lambda *args: (opened.append(1), show(*args))[1])
    assert usa.ask(duties.overdue_duties, actor("USA", "a"), NOW) == (0, ())
    assert not opened, "what is not due is not opened"
    last = Instant(NOW + (duties.MAX_DUTIES + 8) * DAY)
    assert usa.ask(duties.overdue_duties, actor("USA", "a"), last) == (duties.MAX_DUTIES, ())
    assert len(opened) == 1


@pytest.mark.parametrize(
    ("word", "days"),
    [("report-use-30d", 30), ("report-use", None), ("report-use-d", None), ("report-use-99999d", None)],
)
def test_the_date_of_an_obligation_stands_in_its_name(word: str, days: int | None) -> None:
    assert due_of_duty(word, NOW) == (NEVER if days is None else NOW + days * DAY)


def test_an_answered_request_stays_answered(members: dict[str, Member]) -> None:
    bulletin = asked(members)
    reply(members["USA"], bulletin, Word.ANSWER, OF_USA, "FRA")
    deliver(members, "USA", "FRA")
    with pytest.raises(DeliveryError) as refused:
        reply(members["USA"], bulletin, Word.DECLINE, OF_USA, "FRA", key="late")
    assert refused.value.code == "ID_CONFLICT"
    assert states(members["USA"]) == {"FRA": RequestState.ANSWERED}
    assert states(members["FRA"])["USA"] is RequestState.ANSWERED


def test_a_declined_request_may_still_be_answered(members: dict[str, Member]) -> None:
    bulletin = asked(members)
    reply(members["USA"], bulletin, Word.DECLINE, OF_USA, "FRA")
    reply(members["USA"], bulletin, Word.ANSWER, OF_USA, "FRA", key="after all")
    deliver(members, "USA", "FRA")
    assert states(members["FRA"])["USA"] is RequestState.ANSWERED


def inbox(node: Any, view: Any, by: Any, now: Instant) -> Any:
    return inbox_page(CallContext(node, view, by, now), pb.InboxRequest())


def rotten(member: Member, place: Any, query: Any, *given: Any) -> Any:
    """What the analyst gets of a query while one record is damaged."""
    by = actor(member.node.member, "a")
    return member.store.ask_now(lambda view: query(member.node, Rotten(view, place), by, *given))


@pytest.mark.parametrize(
    ("code", "table"),
    [("FRA", REQUEST), ("FRA", BULLETIN), ("USA", REQUEST), ("USA", INBOX)],
    ids=lambda one: getattr(one, "name", one),
)
def test_the_requests_go_on_without_a_damaged_record_and_name_it(
    members: dict[str, Member], code: str, table: Any
) -> None:
    for key in ("one", "two"):
        send(members["FRA"], draft(marked(Word.ASK, due=DUE), to=["USA"]), key=key)
    deliver(members, "FRA", "USA")
    bad, sound = rows(members[code], REQUEST)
    place = (table, REQUEST.key_of(bad) if table is REQUEST else (bad.md,))
    lines, named = rotten(members[code], place, requests, NOW)
    assert ([line.row for line in lines], len(named)) == ([sound], 1)
    if code == "USA":
        late = Instant(DUE + HOUR)
        assert rotten(members[code], place, rfi.overdue_requests, late) == (1, named)
        shown = rotten(members[code], place, inbox, late)
        assert (shown.requests_overdue, len(shown.damaged)) == (1, 1)


def test_a_request_is_listed_without_a_reply_whose_record_is_damaged(members: dict[str, Member]) -> None:
    bulletin = asked(members)
    reply(members["USA"], bulletin, Word.ANSWER, OF_USA, "FRA")
    deliver(members, "USA", "FRA")
    (held,) = rows(members["FRA"], INBOX)
    lines, named = rotten(members["FRA"], (INBOX, (held.md,)), requests, NOW)
    assert {line.row.member: (line.row.state, line.reply) for line in lines} == {
        "USA": (RequestState.ANSWERED, b""),
        "KEN": (RequestState.OPEN, b""),
    }
    assert len(named) == 1


@pytest.mark.parametrize("table", [DUTY, INBOX], ids=lambda table: table.name)
def test_the_obligations_go_on_without_a_damaged_record_and_name_it(
    members: dict[str, Member], table: Any
) -> None:
    law = '[[oblige]]\nid = "FRA-report"\nsource = "invented"\nobligation = "report-use-7d"\nwhen = {}\n'
    with_law(members["FRA"], law)
    for key in ("one", "two"):
        send(members["FRA"], draft(text(TO_ALL), to=["USA"]), key=key)
    deliver(members, "FRA", "USA")
    bad, sound = rows(members["USA"], DUTY)
    place = (table, DUTY.key_of(bad) if table is DUTY else (bad.md,))
    for done in (False, True):
        lines, named = rotten(members["USA"], place, duties.duties, done, NOW)
        assert ([line.row for line in lines], len(named)) == ([sound], 1)
    late = Instant(NOW + 8 * DAY)
    assert rotten(members["USA"], place, duties.overdue_duties, late) == (1, named)
    shown = rotten(members["USA"], place, inbox, late)
    assert (shown.obligations_overdue, len(shown.damaged)) == (1, 1)
