"""The third-party rule: another member's portion goes on only with its consent, by name, until it ends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from builders import NOW, Member, actor, draft, text, user
from consent_world import (
    FRA,
    KEN,
    LATER,
    OF_KEN,
    OWN,
    SOURCES_STAY,
    USA,
    ask,
    asked,
    carry,
    grant,
    pass_on,
    say,
    word,
)
from intelshare.audit.records import ConsentSaid, EntryType
from intelshare.broker.exchange.consent import (
    AnswerConsentCommand,
    AskConsentCommand,
    answer_consent,
    ask_consent,
    consents,
)
from intelshare.broker.exchange.recall import RecallCommand, recall
from intelshare.broker.kernel.register import SetUserCommand, set_user
from intelshare.broker.kernel.tables import BULLETIN, CONSENT, INBOX, STATEMENT, TABLES, UserRow
from intelshare.broker.lifecycle.redecide import ConsentState
from intelshare.broker.lifecycle.stop import anything_over, expire
from intelshare.broker.line.hello import acknowledge, start_incarnation
from intelshare.broker.line.resend import resend
from intelshare.broker.queries.watch import Cursor, watch
from intelshare.crypto.records import Consent
from intelshare.errors import DeliveryError
from intelshare.ids import Incarnation, ManifestDigest, MemberCode
from intelshare.instant import NEVER, SECOND, Instant
from intelshare.ports import Delete, Plan, Put, changed
from line_world import (
    ROOM,
    arrive,
    codes,
    entries,
    everything,
    hand_over,
    met,
    pair_of,
    rows,
    said,
    say_hello,
    send,
    with_law,
)
from rotten_view import Rotten


@pytest.fixture
def members() -> dict[str, Member]:
    found: dict[str, Member] = met()
    return found


def test_another_members_portion_is_withheld_until_its_consent_is_there_and_then_goes_by_itself(
    members: dict[str, Member],
) -> None:
    fra, usa, ken = members["FRA"], members["USA"], members["KEN"]
    bulletin = asked(members)
    assert (word(fra), pair_of(fra).codes) == ("withheld", "CONSENT_REQUIRED")
    (taken,) = carry(members, grant(ken, bulletin), "KEN", "FRA")
    assert taken.effects.ready == {USA}
    assert word(fra) == "queued"
    (frame,) = hand_over(fra, "USA")
    assert said(arrive(usa, fra, frame.frame)) == [("ACCEPTED", ())]
    assert len(rows(usa, INBOX)) == 1
    for member, states in (("FRA", [1, 2]), ("KEN", [1, 2])):
        found = entries(members[member], EntryType.CONSENT, ConsentSaid)
        assert [one.state for one in found] == states


def test_the_originator_sees_its_own_portions_and_nothing_else(members: dict[str, Member]) -> None:
    fra, ken = members["FRA"], members["KEN"]
    mixed = draft(text("//FRA SECRET//REL TO FRA, USA", "ours"), text(OF_KEN, "theirs"), to=["USA"])
    fra_only = pass_on(members, mixed).bulletin.hex()
    ask(fra, fra_only)
    (frame,) = hand_over(fra, "KEN")
    arrive(ken, fra, frame.frame)
    assert rows(ken, INBOX)[0].portions == 1


def test_a_question_that_comes_before_its_bulletin_is_tried_again(members: dict[str, Member]) -> None:
    fra, ken = members["FRA"], members["KEN"]
    bulletin = pass_on(members, draft(text(OF_KEN), to=["USA"])).bulletin.hex()
    effects = ask(fra, bulletin)
    (early,) = carry(members, effects, "FRA", "KEN")
    assert codes(early) == ["CONSENT_UNKNOWN"]
    (frame,) = hand_over(fra, "KEN")
    arrive(ken, fra, frame.frame)
    (late,) = carry(members, effects, "FRA", "KEN")
    assert codes(late) == [""]
    ((line,), _) = ken.ask(consents, actor("KEN", "r"), NOW)
    assert (line.row.member, line.row.recipient, line.row.state) == ("FRA", "USA", ConsentState.ASKED)


def test_a_refusal_leaves_it_withheld_and_is_shown(members: dict[str, Member]) -> None:
    fra, ken = members["FRA"], members["KEN"]
    bulletin = asked(members)
    carry(members, grant(ken, bulletin, grant=False), "KEN", "FRA")
    assert word(fra) == "withheld"
    assert not hand_over(fra, "USA")
    ((line,), _) = fra.ask(consents, actor("FRA", "a"), NOW)
    assert line.row.state == ConsentState.REFUSED


@pytest.mark.parametrize(
    ("code", "table"),
    [("FRA", CONSENT), ("FRA", BULLETIN), ("KEN", CONSENT), ("KEN", INBOX)],
    ids=lambda one: getattr(one, "name", one),
)
def test_the_list_goes_on_without_a_damaged_record_and_names_it(
    members: dict[str, Member], code: str, table: Any
) -> None:
    fra, ken = members["FRA"], members["KEN"]
    for number in range(2):
        given = draft(text(OF_KEN, f"number {number}"), to=["USA"])
        effects = ask(fra, pass_on(members, given, key=f"key {number}").bulletin.hex())
        for frame in hand_over(fra, "KEN"):
            arrive(ken, fra, frame.frame)
        carry(members, effects, "FRA", "KEN")
    bad, sound = rows(members[code], CONSENT)
    key = CONSENT.key_of(bad) if table is CONSENT else (bad.md,)
    lines, named = members[code].store.ask_now(
        lambda view: consents(members[code].node, Rotten(view, (table, key)), actor(code, "r"), NOW)
    )
    assert [line.row for line in lines] == [sound]
    assert len(named) == 1


def test_a_refusal_that_crosses_a_newer_question_does_not_answer_it(members: dict[str, Member]) -> None:
    fra, ken = members["FRA"], members["KEN"]
    bulletin = asked(members)
    refusal = grant(ken, bulletin, grant=False)
    question = ask(fra, bulletin)
    carry(members, refusal, "KEN", "FRA")
    assert rows(fra, CONSENT)[0].state == ConsentState.ASKED
    carry(members, question, "FRA", "KEN")
    assert rows(ken, CONSENT)[0].state == ConsentState.ASKED
    carry(members, grant(ken, bulletin, grant=False), "KEN", "FRA")
    assert [rows(one, CONSENT)[0].state for one in (fra, ken)] == [ConsentState.REFUSED] * 2


def test_a_grant_that_crosses_a_newer_question_is_said_again_for_it(members: dict[str, Member]) -> None:
    fra, ken = members["FRA"], members["KEN"]
    bulletin = asked(members)
    granted = grant(ken, bulletin)
    question = ask(fra, bulletin, until=LATER)
    carry(members, granted, "KEN", "FRA")
    assert rows(fra, CONSENT)[0].state == ConsentState.ASKED
    (taken,) = carry(members, question, "FRA", "KEN")
    carry(members, taken.effects, "KEN", "FRA")
    assert [rows(one, CONSENT)[0].state for one in (fra, ken)] == [ConsentState.GRANTED] * 2
    assert [rows(one, CONSENT)[0].until for one in (fra, ken)] == [LATER] * 2
    assert word(fra) == "queued"


def test_a_grant_that_was_taken_back_does_not_count_for_a_newer_question(members: dict[str, Member]) -> None:
    fra, ken = members["FRA"], members["KEN"]
    bulletin = asked(members)
    granted, back = grant(ken, bulletin), grant(ken, bulletin, grant=False)
    ask(fra, bulletin)
    carry(members, back, "KEN", "FRA")
    carry(members, granted, "KEN", "FRA")
    assert (rows(fra, CONSENT)[0].state, word(fra)) == (ConsentState.ASKED, "withheld")


def test_a_newer_question_takes_the_place_of_the_one_before(members: dict[str, Member]) -> None:
    fra = members["FRA"]
    bulletin = pass_on(members, draft(text(OF_KEN), to=["USA"])).bulletin.hex()
    (first,) = ask(fra, bulletin).outbound
    again = ask(fra, bulletin)
    assert again.ended == (("KEN", first.leaves[0]),)


def test_a_consent_that_ended_before_hand_over_does_not_count(members: dict[str, Member]) -> None:
    fra, ken = members["FRA"], members["KEN"]
    bulletin = asked(members)
    carry(members, grant(ken, bulletin, until=LATER), "KEN", "FRA")
    assert not hand_over(fra, "USA", at=LATER)
    assert (word(fra), pair_of(fra).codes) == ("withheld", "CONSENT_REQUIRED")


def test_a_recipient_refuses_what_comes_under_a_consent_that_has_lapsed(members: dict[str, Member]) -> None:
    fra, usa, ken = members["FRA"], members["USA"], members["KEN"]
    bulletin = asked(members)
    carry(members, grant(ken, bulletin, until=LATER), "KEN", "FRA")
    (frame,) = hand_over(fra, "USA", at=Instant(LATER - 1))
    assert said(arrive(usa, fra, frame.frame, at=LATER)) == [
        ("REFUSED", ("POLICY_DENIED", "CONSENT_REQUIRED"))
    ]


def test_a_consent_taken_back_stops_what_is_on_the_way(members: dict[str, Member]) -> None:
    fra, ken = members["FRA"], members["KEN"]
    bulletin = asked(members)
    carry(members, grant(ken, bulletin), "KEN", "FRA")
    assert hand_over(fra, "USA")
    (taken,) = carry(members, grant(ken, bulletin, grant=False), "KEN", "FRA")
    assert [peer for peer, _ in taken.effects.ended] == ["USA"]
    assert word(fra) == "in doubt"


def test_an_answer_to_a_question_that_was_lost_with_the_disk_is_taken_and_comes_again_when_asked(
    members: dict[str, Member],
) -> None:
    """It could not be placed, was rejected, and came again without end."""
    fra, ken = members["FRA"], members["KEN"]
    bulletin = asked(members)
    (row,) = rows(fra, CONSENT)
    lost = Delete(CONSENT, (row.md, row.recipient, row.member)), Delete(STATEMENT, (row.leaf,))
    fra.store.apply(Plan(lost, None))
    (taken,) = carry(members, grant(ken, bulletin), "KEN", "FRA")
    assert (codes(taken), word(fra), rows(fra, CONSENT)) == ([""], "withheld", [])
    (heard,) = carry(members, ask(fra, bulletin), "FRA", "KEN")
    (taken,) = carry(members, heard.effects, "KEN", "FRA")
    assert (codes(taken), word(fra)) == ([""], "queued")


def test_a_consent_for_somebody_else_or_of_somebody_else_does_not_count(members: dict[str, Member]) -> None:
    fra, usa = members["FRA"], members["USA"]
    bulletin = asked(members)
    md = pair_of(fra).md
    # USA consents to having KEN's portion itself: it is not the originator, and was not asked.
    forged = say(usa, Consent(FRA, md, (0, 1, 2, 3), USA, NEVER))
    assert codes(arrive(fra, usa, forged)) == ["CONSENT_UNKNOWN"]
    # KEN consents for a member that nobody asked about.
    other = say(members["KEN"], Consent(FRA, md, tuple(rows(fra, CONSENT)[0].slots), KEN, NEVER))
    assert codes(arrive(fra, members["KEN"], other)) == ["CONSENT_UNKNOWN"]
    assert word(fra) == "withheld"
    assert bulletin


def test_a_consent_for_another_member_is_not_taken(members: dict[str, Member]) -> None:
    fra, ken = members["FRA"], members["KEN"]
    asked(members)
    said_to = say(ken, Consent(USA, pair_of(fra).md, (0,), USA, NEVER))
    assert codes(arrive(fra, ken, said_to)) == ["WRONG_RECIPIENT"]


def test_only_what_was_asked_is_answered(members: dict[str, Member]) -> None:
    ken = members["KEN"]
    bulletin = asked(members)
    with pytest.raises(DeliveryError) as raised:
        ken.do(answer_consent, AnswerConsentCommand(actor("KEN", "r"), bulletin, FRA, True, NEVER))
    assert raised.value.code == "NOT_FOUND"


def test_own_portions_need_no_consent_and_a_pair_is_handed_over_once(members: dict[str, Member]) -> None:
    fra = members["FRA"]
    own = send(fra, draft(text(OWN), to=["USA"]), key="own").bulletin.hex()
    with pytest.raises(DeliveryError) as raised:
        ask(fra, own)
    assert raised.value.code == "INPUT_INVALID"
    mixed = pass_on(members, draft(text(OWN), text(OF_KEN), to=["USA"]), key="mixed").bulletin.hex()
    hand_over(fra, "USA")
    with pytest.raises(DeliveryError, match="handed over only once"):
        ask(fra, mixed)
    with pytest.raises(DeliveryError) as raised:
        ask(fra, own, KEN)
    assert raised.value.code == "NOT_FOUND"


def test_a_question_again_changes_nothing_that_was_granted(members: dict[str, Member]) -> None:
    fra, ken = members["FRA"], members["KEN"]
    bulletin = asked(members)
    grant(ken, bulletin)
    for taken in carry(members, ask(fra, bulletin), "FRA", "KEN"):
        assert codes(taken) == [""]
    assert rows(ken, CONSENT)[0].state == ConsentState.GRANTED


def test_an_answer_that_is_known_is_answered_like_the_first(members: dict[str, Member]) -> None:
    ken = members["KEN"]
    effects = grant(ken, asked(members))
    first, again = (carry(members, effects, "KEN", "FRA")[0] for _ in range(2))
    assert codes(first) == codes(again) == [""]


def test_what_was_recalled_goes_to_nobody_although_a_consent_comes(members: dict[str, Member]) -> None:
    fra, ken = members["FRA"], members["KEN"]
    bulletin = asked(members)
    fra.do(recall, RecallCommand(actor("FRA", "a"), bulletin, "wrong source"))
    carry(members, grant(ken, bulletin), "KEN", "FRA")
    assert not hand_over(fra, "USA")
    assert word(fra) == "withheld"
    with pytest.raises(DeliveryError, match="recalled"):
        ask(fra, bulletin)


def test_a_recalled_bulletin_is_not_handed_over_whatever_its_pair_says(members: dict[str, Member]) -> None:
    fra = members["FRA"]
    send(fra, draft(text(OWN), to=["USA"]))
    (row,) = rows(fra, BULLETIN)
    fra.store.perform_now(lambda _: Plan((Put(BULLETIN, changed(row, recalled=NOW)),), None))
    assert not hand_over(fra, "USA")
    assert word(fra) == "recalled"


def test_a_recipient_does_not_learn_of_a_portion_that_the_consent_did_not_help(
    members: dict[str, Member],
) -> None:
    """Promise P19: the consent is carried whole, and names the slots that were asked about."""
    fra, ken = members["FRA"], members["KEN"]
    with_law(fra, SOURCES_STAY)
    hidden = text(OF_KEN, "hidden", flags=("source-identity",))
    bulletin = pass_on(members, draft(text(OF_KEN, "shown"), hidden, to=["USA"])).bulletin.hex()
    effects = ask(fra, bulletin)
    (row,) = rows(fra, CONSENT)
    assert len(row.slots) == 1
    for frame in hand_over(fra, "KEN"):
        arrive(ken, fra, frame.frame)
    carry(members, effects, "FRA", "KEN")
    carry(members, grant(ken, bulletin), "KEN", "FRA")
    (frame,) = hand_over(fra, "USA")
    assert said(arrive(members["USA"], fra, frame.frame)) == [("ACCEPTED", ())]


def test_a_consent_that_names_what_is_withheld_is_not_carried(members: dict[str, Member]) -> None:
    fra, ken = members["FRA"], members["KEN"]
    hidden = text(OF_KEN, "hidden", flags=("source-identity",))
    bulletin = pass_on(members, draft(text(OF_KEN, "shown"), hidden, to=["USA"])).bulletin.hex()
    effects = ask(fra, bulletin)
    for frame in hand_over(fra, "KEN"):
        arrive(ken, fra, frame.frame)
    carry(members, effects, "FRA", "KEN")
    carry(members, grant(ken, bulletin), "KEN", "FRA")
    with_law(fra, SOURCES_STAY)
    assert not hand_over(fra, "USA")
    assert (word(fra), "CONSENT_REQUIRED" in pair_of(fra).codes) == ("withheld", True)


def test_a_lapsed_consent_may_be_asked_for_and_given_again(members: dict[str, Member]) -> None:
    fra, ken = members["FRA"], members["KEN"]
    bulletin = asked(members)
    carry(members, grant(ken, bulletin, until=LATER), "KEN", "FRA")
    with pytest.raises(DeliveryError, match="already granted"):
        ask(fra, bulletin)
    assert not hand_over(fra, "USA", at=LATER)
    command = AskConsentCommand(actor("FRA", "a"), bulletin, USA, NEVER)
    (taken,) = carry(members, fra.do(ask_consent, command, at=LATER).effects, "FRA", "KEN", at=LATER)
    assert codes(taken) == [""]
    command = AnswerConsentCommand(actor("KEN", "r"), bulletin, USA, True, NEVER)
    carry(members, ken.do(answer_consent, command, at=LATER).effects, "KEN", "FRA", at=LATER)
    assert hand_over(fra, "USA", at=LATER)


def test_a_grant_that_comes_after_it_was_taken_back_does_not_count(members: dict[str, Member]) -> None:
    fra, ken = members["FRA"], members["KEN"]
    bulletin = asked(members)
    late = grant(ken, bulletin)
    command = AnswerConsentCommand(actor("KEN", "r"), bulletin, USA, False, NEVER)
    after = ken.do(answer_consent, command, at=Instant(NOW + 1)).effects
    assert [codes(one) for one in carry(members, after, "KEN", "FRA")] == [[""]]
    assert [codes(one) for one in carry(members, late, "KEN", "FRA")] == [[""]]
    assert rows(fra, CONSENT)[0].state == ConsentState.REFUSED
    assert not hand_over(fra, "USA")


def test_a_grant_that_waits_is_sent_no_more_once_it_was_taken_back_by_a_clock_that_went_back(
    members: dict[str, Member],
) -> None:
    """What waits is sent in the order of the clock, or of those of several replicas: it would arrive last."""
    fra, ken = members["FRA"], members["KEN"]
    bulletin = asked(members)
    command = AnswerConsentCommand(actor("KEN", "r"), bulletin, USA, True, NEVER)
    ken.do(answer_consent, command, at=Instant(NOW + 2 * SECOND))
    ken.do(answer_consent, replace(command, grant=False), at=Instant(NOW + SECOND))
    frames, _ = ken.do(resend, MemberCode("FRA"), frozenset(), ROOM)
    said = [code for one in frames for code in codes(arrive(fra, ken, one.frame, Instant(NOW + 3 * SECOND)))]
    assert set(said) == {""}
    assert rows(fra, CONSENT)[0].state == ConsentState.REFUSED


def test_what_went_under_a_consent_that_has_ended_is_not_shown_as_sent_for_ever(
    members: dict[str, Member],
) -> None:
    fra, ken = members["FRA"], members["KEN"]
    bulletin = asked(members)
    carry(members, grant(ken, bulletin, until=LATER), "KEN", "FRA")
    assert hand_over(fra, "USA")
    assert fra.store.ask_now(lambda view: anything_over(view, LATER))
    ended = fra.do(expire, at=LATER).ended
    assert [peer for peer, _ in ended if peer == "USA"] == ["USA"]
    assert word(fra) == "in doubt"


def test_a_node_that_forgot_that_a_consent_was_taken_back_hears_it_again(members: dict[str, Member]) -> None:
    fra, ken = members["FRA"], members["KEN"]
    bulletin = asked(members)
    carry(members, grant(ken, bulletin), "KEN", "FRA")
    before = everything(fra)
    taken_back = grant(ken, bulletin, grant=False)
    (taken,) = carry(members, taken_back, "KEN", "FRA")
    ken.do(acknowledge, FRA, taken.acks)
    _forget(fra, before)
    fra.node = replace(fra.node, incarnation=Incarnation(fra.node.incarnation + 1), trees={})
    fra.do(start_incarnation)
    assert word(fra) == "queued"
    say_hello(fra, ken)
    frames, _ = ken.do(resend, FRA, frozenset(), 1 << 20)
    for frame in frames:
        assert set(codes(arrive(fra, ken, frame.frame))) == {""}
    assert rows(fra, CONSENT)[0].state == ConsentState.REFUSED
    assert not hand_over(fra, "USA")


def test_a_refusal_of_what_was_forgotten_is_tried_no_more(members: dict[str, Member]) -> None:
    fra, ken = members["FRA"], members["KEN"]
    refusal = say(ken, Consent(FRA, ManifestDigest(bytes(32)), (), USA, NEVER))
    assert codes(arrive(fra, ken, refusal)) == [""]
    assert rows(fra, CONSENT) == []


def test_an_officer_does_not_answer_for_what_it_may_not_read(members: dict[str, Member]) -> None:
    fra, ken = members["FRA"], members["KEN"]
    other = text(OF_KEN, category="climate-disaster")
    bulletin = pass_on(members, draft(text(OF_KEN), other, to=["USA"])).bulletin.hex()
    effects = ask(fra, bulletin)
    for frame in hand_over(fra, "KEN"):
        arrive(ken, fra, frame.frame)
    carry(members, effects, "FRA", "KEN")
    low = UserRow(user("KEN", "s"), "s", "releasing-officer", "R4", "KEN", "cyber", 0)
    ken.do(set_user, SetUserCommand(user("KEN", "o"), low))
    with pytest.raises(DeliveryError) as raised:
        grant(ken, bulletin, by="s")
    assert raised.value.code == "NOT_FOUND"
    assert ken.ask(consents, actor("KEN", "s"), NOW) == ([], ())
    start = Cursor(ken.node.incarnation, 0)
    told = ken.ask(watch, actor("KEN", "s"), start, NOW).happened
    assert [one.what for one in told if one.what != "submitted"][-1:] == ["received"]


def test_a_peer_asks_about_so_many_recipients_and_no_more(
    members: dict[str, Member], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("intelshare.broker.exchange.consent.MAX_ASKED", 1)
    asked(members)
    row = rows(members["FRA"], CONSENT)[0]
    more = Consent(KEN, row.md, tuple(row.slots), MemberCode("DEU"), NEVER)
    assert codes(arrive(members["KEN"], members["FRA"], say(members["FRA"], more))) == ["RATE"]


def _forget(member: Member, before: Any) -> None:
    """The disk is as it was."""
    for table in TABLES:
        key = table.key_of
        kept = {key(row) for row in before[table.name]}
        gone = [Delete(table, key(row)) for row in rows(member, table) if key(row) not in kept]
        plan = Plan((*gone, *(Put(table, row) for row in before[table.name])), None)
        member.store.perform_now(lambda _, plan=plan: plan)
