"""Releases under a key that was stolen go once more, under another, and arrive once (row 7 of attacks.md)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from builders import NOW, Member, actor, draft, seeded, text
from intelshare.audit.records import EntryType, Stop
from intelshare.broker.kernel.counters import QUEUE, Count, count_of
from intelshare.broker.kernel.frame import Ack, Gap, Outbound
from intelshare.broker.kernel.pair_rows import facts_of
from intelshare.broker.kernel.tables import INBOX, INCOMING, NODE, STATEMENT
from intelshare.broker.kernel.transaction import without_mark
from intelshare.broker.lifecycle.anew import sign_anew, signed_ahead
from intelshare.broker.lifecycle.attachments import WHOLE
from intelshare.broker.lifecycle.exclude import ExcludeCommand, exclude
from intelshare.broker.lifecycle.review import review
from intelshare.broker.lifecycle.stop import expire
from intelshare.broker.lifecycle.streams import missing
from intelshare.broker.line.hello import acknowledge, answer_gap
from intelshare.broker.line.resend import resend
from intelshare.broker.line.submit import SubmitCommand, submit
from intelshare.broker.queries.impact import Impact, impact_of
from intelshare.crypto.records import Kind, Receipt, ReceiptStatus
from intelshare.delivery import BestReceipt, Facts, PairStatus, Stage, status_of
from intelshare.errors import DeliveryError
from intelshare.ids import KeyId, MemberCode
from intelshare.instant import DAY, SECOND, Instant
from intelshare.policy import ActKind
from intelshare.ports import Put
from intelshare.store.memory import MemoryStore
from intelshare.trust import Exclusion
from line_world import (
    LATER,
    ROOM,
    TO_USA,
    arrive,
    codes,
    does,
    entries,
    fresh_key,
    hand_over,
    met,
    next_directory,
    pair_of,
    released,
    rows,
    said,
    say_hello,
    send,
    signed,
    signs_with,
    stolen,
    with_law,
    world_with,
)


@pytest.fixture(name="members")
def _members() -> Any:
    return met(("FRA", "USA"))


def back(members: Any) -> tuple[Outbound, ...]:
    """What FRA says of what it takes back."""
    done = members["FRA"].do(sign_anew, ())
    assert done.after == ()
    said: tuple[Outbound, ...] = done.effects.outbound
    return said


def taken_back(members: Any) -> Outbound:
    """USA accepts a release whose key was stolen, and is told that its number is void; its receipt is on the
    way.
    """
    fra, usa = members["FRA"], members["USA"]
    receipt: Outbound = arrive(usa, fra, released(members)).effects.outbound[0]
    stolen(members)
    (head,) = back(members)
    arrive(usa, fra, head.frame)
    return receipt


def test_row_7_what_a_stolen_key_signed_is_rejected_then_cancelled_and_handed_over_anew(members: Any) -> None:
    fra, usa = members["FRA"], members["USA"]
    frame = released(members)
    stolen(members)
    assert codes(arrive(usa, fra, frame)) == ["SIGNER_REVOKED"]
    (head,) = back(members)
    assert arrive(usa, fra, head.frame).gaps == ()
    (again,) = hand_over(fra, "USA")
    taken = arrive(usa, fra, again.frame)
    assert (taken.accepted, taken.gaps) == (1, ())
    assert again.frame.statements[0].data != frame.statements[0].data
    assert len(rows(usa, INBOX)) == 1


def test_what_had_arrived_meanwhile_is_not_shown_twice(members: Any) -> None:
    fra, usa = members["FRA"], members["USA"]
    receipt = taken_back(members)
    (again,) = hand_over(fra, "USA")
    second = arrive(usa, fra, again.frame).effects.outbound[0]
    assert len(rows(usa, INBOX)) == 1
    arrive(fra, usa, receipt.frame)
    arrive(fra, usa, second.frame)
    assert status_of(facts_of(pair_of(fra))) is PairStatus.ACCEPTED


def test_what_was_answered_under_its_first_number_goes_once_more_if_the_second_ones_key_is_stolen_too(
    members: Any,
) -> None:
    """A receipt is there, but the second number is not acknowledged: nothing else would close its gap."""
    fra, usa = members["FRA"], members["USA"]
    receipt = arrive(usa, fra, released(members)).effects.outbound[0]
    stolen(members)
    back(members)
    (again,) = hand_over(fra, "USA")
    arrive(fra, usa, receipt.frame)
    stolen(members)
    assert codes(arrive(usa, fra, again.frame)) == ["SIGNER_REVOKED"]
    back(members)
    assert hand_over(fra, "USA") == ()

    (gap,) = [gap for gap in say_hello(fra, usa).gaps if gap.origin]
    assert fra.do(answer_gap, usa.node.member, gap)
    (third,) = hand_over(fra, "USA")
    for outbound in fra.do(resend, usa.node.member, frozenset(third.leaves), ROOM)[0]:
        arrive(usa, fra, outbound.frame)
    second = arrive(usa, fra, third.frame)
    arrive(fra, usa, second.effects.outbound[0].frame)
    assert status_of(facts_of(pair_of(fra))) is PairStatus.ACCEPTED
    assert not [row for row in rows(usa, INCOMING) if missing(row).spans]
    assert len(rows(usa, INBOX)) == 1


def asked_for_its_second_number(members: Any, *, codes: tuple[str, ...] = (), **changes: Any) -> None:
    """USA has accepted number 1, with these codes, and asks for number 2, whose key was stolen as well."""
    fra, usa = members["FRA"], members["USA"]
    receipt = arrive(usa, fra, released(members, **changes)).effects.outbound[0]
    first = pair_of(fra).leaf
    stolen(members)
    back(members)
    hand_over(fra, "USA")
    arrive(fra, usa, receipt.frame)
    if codes:
        told = Receipt(fra.node.member, first, ReceiptStatus.ACCEPTED, codes, NOW)
        arrive(fra, usa, signed(usa, Kind.RECEIPT, told))
    stolen(members)
    back(members)
    (gap,) = [gap for gap in say_hello(fra, usa).gaps if gap.origin]
    assert fra.do(answer_gap, usa.node.member, gap)


def count(member: Member, name: str) -> Count:
    found: Count = member.ask(lambda _, view: count_of(view, name))
    return found


def shown(member: Member) -> PairStatus:
    return status_of(facts_of(pair_of(member)))


def test_what_was_accepted_stays_accepted_while_it_goes_again(members: Any) -> None:
    asked_for_its_second_number(members)
    fra = members["FRA"]
    assert shown(fra) is PairStatus.ACCEPTED
    assert (pair_of(fra).ready, pair_of(fra).open) == (1, 1), "it waits, and whatever ends what waits ends it"
    assert count(fra, QUEUE).rows == 1
    (third,) = hand_over(fra, "USA")
    assert shown(fra) is PairStatus.ACCEPTED
    assert arrive(members["USA"], fra, third.frame).accepted == 0
    assert hand_over(fra, "USA") == ()


@pytest.mark.parametrize("linked", [True, False])
def test_what_was_accepted_stays_accepted_though_its_time_is_over_before_it_goes_again(
    members: Any, linked: bool
) -> None:
    asked_for_its_second_number(members, valid_until=LATER)
    fra, over = members["FRA"], Instant(LATER + 1)
    stops = len(entries(fra, EntryType.STOP, Stop))
    if linked:
        assert hand_over(fra, "USA", at=over) == ()
        assert pair_of(fra).ready == 0
    fra.do(expire, at=over)
    assert (shown(fra), pair_of(fra).ready) == (PairStatus.ACCEPTED, 0), "its content may be purged"
    assert count(fra, QUEUE).rows == 0
    assert len(entries(fra, EntryType.STOP, Stop)) == stops


def test_what_was_accepted_stays_accepted_though_it_is_denied_before_it_goes_again(members: Any) -> None:
    asked_for_its_second_number(members)
    fra = members["FRA"]
    fra.node = replace(fra.node, world=world_with(fra.node, without=("gsa-fra-usa",)))
    assert hand_over(fra, "USA") == ()
    assert (shown(fra), pair_of(fra).ready) == (PairStatus.ACCEPTED, 0)


def test_what_was_accepted_goes_no_more_once_its_recipient_is_removed(members: Any) -> None:
    asked_for_its_second_number(members)
    fra = members["FRA"]
    fra.do(exclude, ExcludeCommand(actor("FRA", "o"), MemberCode("USA"), Exclusion.REMOVED))
    after: Any = ()
    while after := fra.do(review, after).after:
        pass
    assert (shown(fra), pair_of(fra).ready) == (PairStatus.ACCEPTED, 0)


@pytest.mark.parametrize("ends", ["sent", "held", "withheld"])
def test_what_goes_again_beside_an_acceptance_keeps_the_codes_of_its_receipt(members: Any, ends: str) -> None:
    """Above all that its files are whole there, which a recipient says only once."""
    asked_for_its_second_number(members, codes=(WHOLE,))
    fra = members["FRA"]
    assert pair_of(fra).codes == WHOLE
    if ends == "withheld":
        fra.node = replace(fra.node, world=world_with(fra.node, without=("gsa-fra-usa",)))
    if ends == "held":
        with_law(fra, '[[hold]]\nid = "FRA-x"\nsource = "invented"\nwhen = { to = ["USA"] }\n')
    assert len(hand_over(fra, "USA")) == (ends == "sent")
    assert (shown(fra), pair_of(fra).codes, pair_of(fra).ready) == (PairStatus.ACCEPTED, WHOLE, 0)


def test_an_answer_to_the_number_before_ends_the_wait_for_another(members: Any) -> None:
    """It was taken back, and is there: it had gone, and does not go again."""
    fra, usa = members["FRA"], members["USA"]
    receipt = arrive(usa, fra, released(members)).effects.outbound[0]
    stolen(members)
    back(members)
    assert pair_of(fra).ready
    arrive(fra, usa, receipt.frame)
    assert facts_of(pair_of(fra)) == Facts(Stage.HANDED_OVER, receipt=BestReceipt.ACCEPTED)
    assert hand_over(fra, "USA") == ()


@pytest.mark.parametrize("late", [False, True])
def test_a_question_from_before_the_receipt_brings_nothing_again(members: Any, late: bool) -> None:
    """A bundle was on its way while the release came over a link; then the key that signed it was stolen."""
    fra, usa = members["FRA"], members["USA"]
    arrive(fra, usa, arrive(usa, fra, released(members)).effects.outbound[0].frame)
    stolen(members)
    gap = Gap(fra.node.uri, fra.node.incarnation, ((1, 1),))
    asked = Instant(NOW - SECOND if late else NOW + SECOND)
    assert fra.do(partial(answer_gap, asked=asked), usa.node.member, gap) is not late
    assert (shown(fra), pair_of(fra).ready) == ((PairStatus.ACCEPTED, 0) if late else (PairStatus.QUEUED, 1))


def test_a_second_number_that_may_go_no_longer_is_cancelled_if_the_first_was_accepted(members: Any) -> None:
    """Nobody decides about the pair again, and the peer would wait for the number for ever."""
    fra, usa = members["FRA"], members["USA"]
    receipt = taken_back(members)
    hand_over(fra, "USA")
    arrive(fra, usa, receipt.frame)
    fra.node = replace(fra.node, world=world_with(fra.node, without=("gsa-fra-usa",)))
    (gap,) = [gap for gap in say_hello(fra, usa).gaps if gap.origin]
    assert fra.do(answer_gap, usa.node.member, gap)
    for outbound in fra.do(resend, usa.node.member, frozenset(), ROOM)[0]:
        arrive(usa, fra, outbound.frame)
    assert shown(fra) is PairStatus.ACCEPTED
    assert not [row for row in rows(usa, INCOMING) if missing(row).spans]


def test_a_second_number_under_a_lost_sealing_key_does_not_undo_the_acceptance_of_the_first(
    members: Any,
) -> None:
    fra, usa = members["FRA"], members["USA"]
    receipt = arrive(usa, fra, released(members)).effects.outbound[0]
    stolen(members)
    back(members)
    (second,) = hand_over(fra, "USA")
    arrive(fra, usa, receipt.frame)
    keys, usa.node = usa.node, replace(usa.node, sealing={}, retired=frozenset(usa.node.sealing))
    refusal = arrive(usa, fra, second.frame)
    usa.node = keys
    assert said(refusal) == [("REFUSED", ("KEM_KEY_RETIRED",))]
    arrive(fra, usa, refusal.effects.outbound[0].frame)
    assert (shown(fra), pair_of(fra).ready) == (PairStatus.ACCEPTED, 1)


@pytest.mark.parametrize("listed", [True, False])
def test_what_a_key_signed_that_no_peer_knows_goes_once_more(members: Any, listed: bool) -> None:
    """A clock that was ahead has made it: it counts only later, or the directory made since leaves it out."""
    fra, usa = members["FRA"], members["USA"]
    signer, made = fra.node.signer, fresh_key(fra, Instant(NOW + DAY))
    signs_with(fra, made)
    frame = released(members)
    assert codes(arrive(usa, fra, frame)) == ["SIGNER_UNKNOWN"]
    if listed:
        next_directory(fra, add_keys=[made.record])
    fra.node = replace(fra.node, signer=signer)
    (head,) = back(members)
    assert arrive(usa, fra, head.frame).gaps == ()
    (again,) = hand_over(fra, "USA")
    assert arrive(usa, fra, again.frame).accepted == 1


def test_what_other_keys_signed_stays_on_its_way(members: Any) -> None:
    fra, usa = members["FRA"], members["USA"]
    stolen(members)
    frame = released(members)
    assert back(members) == ()
    assert arrive(usa, fra, frame).accepted == 1


def impact(member: Member, key: KeyId, since: int = 0) -> Impact:
    found: Impact = member.ask(impact_of, key.hex()[:16], Instant(since))
    return found


def test_impact_names_what_rests_on_a_key_by_number_and_time(members: Any) -> None:
    fra, usa = members["FRA"], members["USA"]
    key = fra.node.signer.key_id
    first = released(members)
    send(fra, draft(text(TO_USA), to=["USA"]), key="second")
    second = hand_over(fra, "USA")[0].frame
    receipt = arrive(usa, fra, first).effects.outbound[0]
    arrive(usa, fra, second)
    arrive(fra, usa, receipt.frame)
    (sent,) = [line for line in impact(fra, key).signed if line.kind is Kind.RELEASE]
    assert (sent.member, sent.sent, sent.count, sent.alone) == ("USA", True, 2, 1)
    assert (sent.first_number, sent.last_number, sent.first, sent.last) == (1, 2, NOW, NOW)
    (got,) = [line for line in impact(usa, key).signed if line.kind is Kind.RELEASE]
    assert (got.member, got.sent, got.count, got.alone) == ("FRA", False, 2, 2)
    assert impact(usa, key, NOW + 1).signed == ()
    assert impact(usa, key).readable == ()


def test_impact_of_a_sealing_key_names_what_its_thief_can_read(members: Any) -> None:
    fra, usa = members["FRA"], members["USA"]
    arrive(usa, fra, released(members))
    (key,) = usa.node.sealing
    for member, way in ((usa, False), (fra, True)):
        found = impact(member, key)
        assert found.signed == ()
        (line,) = found.readable
        assert (line.sent, line.count, line.last_number) == (way, 1, 1)


def test_impact_of_a_root_key_is_that_of_all_keys_of_its_member(members: Any) -> None:
    fra, usa = members["FRA"], members["USA"]
    arrive(usa, fra, released(members))
    root = usa.node.trust.members[MemberCode("FRA")].root.keys[0]
    (key,) = [key for key, record in usa.node.trust.records() if record == root]
    found = impact(usa, key)
    assert fra.node.signer.key_id in found.keys
    assert {line.kind for line in found.signed} == {Kind.RELEASE}


@pytest.mark.parametrize(
    ("given", "code"), [("ab", "INPUT_INVALID"), ("zz" * 8, "INPUT_INVALID"), ("0" * 16, "NOT_FOUND")]
)
def test_a_key_is_named_well_enough_to_be_one(members: Any, given: str, code: str) -> None:
    with pytest.raises(DeliveryError) as raised:
        members["FRA"].ask(impact_of, given, Instant(0))
    assert raised.value.code == code


AHEAD = Instant(NOW + DAY)


def test_a_release_signed_in_the_future_is_cancelled_and_goes_under_another_number(members: Any) -> None:
    fra, usa = members["FRA"], members["USA"]
    send(fra, draft(text(TO_USA), to=["USA"]), at=AHEAD)
    (early,) = hand_over(fra, "USA", at=AHEAD)
    assert codes(arrive(usa, fra, early.frame)) == ["CLOCK_SKEW"]
    assert fra.store.ask_now(lambda view: signed_ahead(view, NOW))
    done = fra.do(sign_anew, ())
    assert (done.after, done.effects.ready) == ((), frozenset(("USA",)))
    assert not fra.store.ask_now(lambda view: signed_ahead(view, NOW))
    (head,) = done.effects.outbound
    arrive(usa, fra, head.frame)
    (again,) = hand_over(fra, "USA")
    assert arrive(usa, fra, again.frame).accepted == 1
    assert len(rows(usa, INBOX)) == 1


def test_a_receipt_signed_in_the_future_keeps_its_digest_and_is_taken_once(members: Any) -> None:
    fra, usa = members["FRA"], members["USA"]
    frame = released(members)
    (early,) = arrive(usa, fra, frame, at=AHEAD).effects.outbound
    assert codes(arrive(fra, usa, early.frame)) == ["CLOCK_SKEW"]
    done = usa.do(sign_anew, ())
    assert done.effects.ended == (("FRA", early.leaves[0]),)
    (again,) = done.effects.outbound
    assert again.leaves == early.leaves
    assert again.frame.batch != early.frame.batch
    assert codes(arrive(fra, usa, again.frame)) == [""]
    assert status_of(facts_of(pair_of(fra))) is PairStatus.ACCEPTED
    (resent,) = usa.do(resend, MemberCode("FRA"), (), 1 << 20)[0]
    assert resent.frame.batch == again.frame.batch


def test_what_was_not_signed_in_the_future_stays_as_it_is(members: Any) -> None:
    fra = members["FRA"]
    released(members)
    send(fra, draft(text(TO_USA), to=["USA"]), at=AHEAD)
    before = rows(fra, STATEMENT)
    assert fra.do(sign_anew, ()).effects.outbound == ()
    assert rows(fra, STATEMENT) == before


def test_time_that_is_not_believed_is_not_stored_as_the_highest(members: Any) -> None:
    fra = members["FRA"]
    view = fra.store.ask_now(lambda view: view)
    plan = submit(
        fra.node, view, SubmitCommand(actor("FRA", "a"), bytes(16), draft(text(TO_USA), to=["USA"])), AHEAD,
        seeded("submit"),
    )  # fmt: skip
    (believed,) = [write.row for write in plan.writes if isinstance(write, Put) and write.table is NODE]
    assert (believed.latest, believed.written) == (AHEAD, AHEAD)
    expected = Instant(NOW + SECOND)
    for stored, latest in ((view, NOW), (MemoryStore(), expected)):
        kept = without_mark(plan, stored, expected)
        (unbelieved,) = [write.row for write in kept.writes if isinstance(write, Put) and write.table is NODE]
        assert (unbelieved.latest, unbelieved.written) == (latest, AHEAD)


def test_a_receipt_under_a_stolen_key_is_signed_again_and_arrives(members: Any) -> None:
    """Otherwise the recipient rejects it for ever, and what it accepted stays `sent` for ever."""
    fra, usa = members["FRA"], members["USA"]
    send(usa, draft(text("//USA SECRET//REL TO FRA, USA"), to=["FRA"]))
    receipt = arrive(fra, usa, hand_over(usa, "FRA")[0].frame).effects.outbound[0]
    stolen(members)
    assert codes(arrive(usa, fra, receipt.frame)) == ["SIGNER_REVOKED"]
    (again,) = back(members)
    assert again.leaves == receipt.leaves, "the same receipt, in another batch"
    assert codes(arrive(usa, fra, again.frame)) == [""]
    assert status_of(facts_of(pair_of(usa, "FRA"))) is PairStatus.ACCEPTED


def lost_on_the_way(member: Member, peer: Member, outbound: Outbound) -> None:
    """The peer has committed it, as its acknowledgement says, and its disk has forgotten it since."""
    member.do(acknowledge, peer.node.member, [Ack(leaf, "", NOW) for leaf in outbound.leaves])


def resent(member: Member, peer: Member) -> list[str]:
    """The codes that the peer gives to what waits for it, as it was signed."""
    frames = member.do(resend, peer.node.member, (), ROOM)[0]
    return [code for frame in frames for code in codes(arrive(peer, member, frame.frame))]


def test_a_receipt_that_is_asked_for_again_goes_under_a_key_that_counts(members: Any) -> None:
    """It was rejected first, and signed again only up to a minute after that."""
    fra, usa = members["FRA"], members["USA"]
    send(usa, draft(text("//USA SECRET//REL TO FRA, USA"), to=["FRA"]))
    (sent,) = hand_over(usa, "FRA")
    lost_on_the_way(fra, usa, arrive(fra, usa, sent.frame).effects.outbound[0])
    stolen(members)
    assert arrive(fra, usa, sent.frame).again
    assert resent(fra, usa) == [""]
    assert status_of(facts_of(pair_of(usa, "FRA"))) is PairStatus.ACCEPTED


def test_an_act_that_is_asked_for_again_goes_under_a_key_that_counts() -> None:
    """What it changes, such as a suspension, waited for that long at its peers."""
    members = met()
    fra, ken = members["FRA"], members["KEN"]
    told = {one.peer: one for one in does(fra, ActKind.SUSPEND).effects.outbound}
    lost_on_the_way(fra, ken, told[ken.node.member])
    stolen(members, told=("USA", "KEN"))
    assert fra.do(answer_gap, ken.node.member, Gap.of_acts(1))
    assert resent(fra, ken) == [""]
    assert [act.kind for act in ken.node.world.acts] == [ActKind.SUSPEND]


def test_what_a_peer_lost_that_a_stolen_key_had_signed_goes_once_more(members: Any) -> None:
    fra, usa = members["FRA"], members["USA"]
    arrived = released(members)
    arrive(fra, usa, arrive(usa, fra, arrived).effects.outbound[0].frame)
    stolen(members)
    pair = pair_of(fra)
    assert fra.do(answer_gap, MemberCode("USA"), Gap(fra.node.uri, pair.incarnation, ((1, 1),)))
    (again,) = hand_over(fra, "USA")
    assert again.frame.statements[0].data != arrived.statements[0].data
    assert codes(arrive(usa, fra, again.frame)) == [""]


def test_a_receipt_for_the_number_before_counts_and_accuses_nobody(members: Any) -> None:
    fra, usa = members["FRA"], members["USA"]
    receipt = arrive(usa, fra, released(members)).effects.outbound[0]
    stolen(members)
    (head,) = back(members)
    hand_over(fra, "USA")
    arrive(fra, usa, receipt.frame)
    assert status_of(facts_of(pair_of(fra))) is PairStatus.ACCEPTED
    assert not facts_of(pair_of(fra)).conflict
    assert head.frame.statements[0].kind == Kind.STREAM_HEAD


def waiting(member: Member) -> set[Kind]:
    """The kinds of what this member would send USA again."""
    frames = member.do(resend, MemberCode("USA"), (), 1 << 20)[0]
    return {one.kind for frame in frames for one in frame.frame.statements}


def test_what_was_answered_waits_no_more_once_the_key_that_signed_it_is_stolen(members: Any) -> None:
    """Under another number, as here: it was rejected for ever, also after the pair was over."""
    fra, usa = members["FRA"], members["USA"]
    receipt = arrive(usa, fra, released(members)).effects.outbound[0]
    stolen(members)
    back(members)
    (second,) = hand_over(fra, "USA")
    arrive(fra, usa, receipt.frame)
    stolen(members)
    assert codes(arrive(usa, fra, second.frame)) == ["SIGNER_REVOKED"]
    back(members)
    assert Kind.RELEASE not in waiting(fra)
    assert hand_over(fra, "USA") == ()
    assert status_of(facts_of(pair_of(fra))) is PairStatus.ACCEPTED


def test_what_a_peer_has_asked_for_waits_no_more_and_goes_once_more_when_it_asks_again(members: Any) -> None:
    fra, usa = members["FRA"], members["USA"]
    arrive(fra, usa, arrive(usa, fra, released(members)).effects.outbound[0].frame)
    gap = Gap(fra.node.uri, pair_of(fra).incarnation, ((1, 1),))
    assert fra.do(answer_gap, MemberCode("USA"), gap)
    stolen(members)
    back(members)
    assert Kind.RELEASE not in waiting(fra)
    assert fra.do(answer_gap, MemberCode("USA"), gap)
    (again,) = hand_over(fra, "USA")
    assert codes(arrive(usa, fra, again.frame)) == [""]
