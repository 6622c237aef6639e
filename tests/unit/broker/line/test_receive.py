"""Receive and receipts: promises P4 to P6 and P11, holes, what is rejected, refused and known."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import Any

import pytest

from builders import NOW, draft, text
from intelshare.audit.records import EntryType, ReceiptJoined
from intelshare.broker.exchange.receipt import MAX_RECEIPTS, MAX_TRIES
from intelshare.broker.kernel.frame import Ack, Gap
from intelshare.broker.kernel.inbound import Inbound
from intelshare.broker.kernel.pair_rows import facts_of
from intelshare.broker.kernel.tables import EVIDENCE, INBOX, INCOMING, PENDING, PORTION, RECEIVED
from intelshare.broker.kernel.transaction import Transaction
from intelshare.broker.lifecycle.streams import missing
from intelshare.broker.line.hello import acknowledge, answer_gap
from intelshare.broker.line.resend import resend
from intelshare.broker.transparency import evidence
from intelshare.crypto.records import Cancelled, Kind, Receipt, ReceiptStatus, StreamHead
from intelshare.delivery import status_of
from intelshare.envelope import stream_start
from intelshare.ids import Digest, Incarnation, LeafId, MemberCode, ReleaseNumber
from intelshare.instant import MINUTE, Instant
from intelshare.statement import leaf_id
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
    released,
    rows,
    said,
    say_hello,
    send,
    signed,
)

USA, KEN = MemberCode("USA"), MemberCode("KEN")


@pytest.fixture(name="members")
def _members() -> Any:
    return met()


@pytest.fixture(name="fra")
def _fra(members: Any) -> Any:
    return members["FRA"]


@pytest.fixture(name="usa")
def _usa(members: Any) -> Any:
    return members["USA"]


def in_one(*frames: Any) -> Any:
    """Statements of one batch in one frame."""
    return replace(frames[0], statements=tuple(s for frame in frames for s in frame.statements))


def frames_of(fra: Any, count: int) -> list[Any]:
    """Honest releases 1 to ``count``, a frame each."""
    frames = []
    for place in range(count):
        send(fra, draft(text(TO_USA, str(place)), to=["USA"]), key=str(place))
        frames += [outbound.frame for outbound in hand_over(fra, "USA")]
    return frames


def shown(member: Any) -> str:
    return status_of(facts_of(pair_of(member)))


def holes_of(member: Any) -> tuple[tuple[int, int], ...]:
    (row,) = [row for row in rows(member, INCOMING) if row.member == "FRA"]
    return missing(row).spans


def test_p5_inbox_row_receipt_and_log_entry_are_one_commit(members: Any, fra: Any, usa: Any) -> None:
    frame = released(members)
    commits, logged = usa.store.commits, len(log_of(usa))
    taken = arrive(usa, fra, frame)
    assert usa.store.commits == commits + 1
    assert codes(taken) == [""]
    assert said(taken) == [("ACCEPTED", ())]
    assert taken.accepted == 1
    assert [len(rows(usa, table)) for table in (INBOX, PORTION, PENDING)] == [1, 1, 1]
    assert log_of(usa)[logged:] == [EntryType.RECEIVED]


def test_p5_batch_key_and_grant_are_nowhere_on_the_recipients_disk(members: Any, fra: Any, usa: Any) -> None:
    frame = released(members)
    arrive(usa, fra, frame)
    disk = repr(everything(usa))
    assert repr(frame.statements[0].grant)[2:-1] not in disk
    assert repr(frame.batch_key)[2:-1] not in disk


def test_rows_18_19_p4_a_known_release_gets_the_same_receipt_bytes_and_nothing_happens_twice(
    members: Any, fra: Any, usa: Any
) -> None:
    frame = released(members)
    first = arrive(usa, fra, frame)
    logged, inbox = log_of(usa), rows(usa, INBOX)
    for turn in range(5):
        usa.do(acknowledge, MemberCode("FRA"), [Ack(first.effects.outbound[0].leaves[0], "", NOW)])
        again = arrive(usa, fra, frame, at=Instant(NOW + turn * MINUTE))
        assert codes(again) == [""]
        assert again.again
        assert (again.accepted, again.effects.outbound) == (0, ())
        resent, _ = usa.do(resend, MemberCode("FRA"), (), 1 << 20)
        assert [outbound.frame for outbound in resent] == [
            outbound.frame for outbound in first.effects.outbound
        ]
    assert log_of(usa) == logged
    assert rows(usa, INBOX) == inbox


def test_two_copies_in_one_frame_are_one_release(members: Any, fra: Any, usa: Any) -> None:
    frame = released(members)
    taken = arrive(usa, fra, in_one(frame, frame))
    assert codes(taken) == ["", ""]
    assert said(taken) == [("ACCEPTED", ())]
    assert taken.accepted == 1


def test_a_bad_statement_costs_the_others_of_its_frame_nothing(members: Any, fra: Any, usa: Any) -> None:
    for place in range(3):
        send(fra, draft(text(TO_USA, str(place)), to=["USA"]), key=str(place))
    (outbound,) = hand_over(fra, "USA")
    first, second, third = outbound.frame.statements
    spoilt = replace(outbound.frame, statements=(first, replace(second, grant=second.grant[:-1]), third))
    taken = arrive(usa, fra, spoilt)
    assert codes(taken) == ["", "SEALED_HASH_MISMATCH", ""]
    assert said(taken) == [("ACCEPTED", ())] * 2
    assert holes_of(usa) == ((2, 2),)
    assert codes(arrive(usa, fra, outbound.frame)) == ["", "", ""]
    assert holes_of(usa) == ()


def test_a_batch_that_cannot_be_read_answers_every_statement(members: Any, fra: Any, usa: Any) -> None:
    frame = released(members)
    taken = arrive(usa, fra, replace(frame, batch=frame.batch[:-1]))
    assert codes(taken) == ["ENVELOPE_MALFORMED"]
    assert taken.effects.outbound == ()


def test_rejections_are_one_log_entry_per_digest_and_code_and_counted(
    members: Any, fra: Any, usa: Any
) -> None:
    bad = only(released(members), grant=b"x")
    logged = len(log_of(usa))
    for _ in range(5):
        assert codes(arrive(usa, fra, bad)) == ["SEALED_HASH_MISMATCH"]
    assert log_of(usa)[logged:] == [EntryType.REJECTED]
    assert [row.times for row in rows(usa, EVIDENCE)] == [5]


def test_row_83_evidence_is_bounded_also_when_one_frame_brings_much(
    members: Any, fra: Any, usa: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "MAX_REJECTED", 20)
    frame = released(members)
    for turn in range(5):
        bad = [replace(frame.statements[0], nonce=bytes([turn, n]) * 8) for n in range(15)]
        arrive(usa, fra, replace(frame, statements=tuple(bad)), at=Instant(NOW + turn))
        assert len(rows(usa, EVIDENCE)) <= 20
    assert len(rows(usa, EVIDENCE)) == 20


def test_rows_20_21_p6_any_order_is_accepted_at_once_and_holes_are_shown_and_asked_for(
    fra: Any, usa: Any
) -> None:
    frames = frames_of(fra, 5)
    taken = arrive(usa, fra, frames[2])
    assert said(taken) == [("ACCEPTED", ())]
    assert [gap.missing for gap in taken.gaps] == [((1, 2),)]
    taken = arrive(usa, fra, frames[4])
    assert [gap.missing for gap in taken.gaps] == [((1, 2), (4, 4))]
    for place in (3, 0, 1):
        assert said(arrive(usa, fra, frames[place])) == [("ACCEPTED", ())]
    assert holes_of(usa) == ()


def test_row_20_the_last_number_is_missed_when_the_next_hello_names_it(fra: Any, usa: Any) -> None:
    frames = frames_of(fra, 3)
    arrive(usa, fra, frames[0])
    gap, _ = say_hello(fra, usa).gaps
    assert gap.missing == ((2, 3),)
    fra.do(acknowledge, USA, [Ack(leaf, "", NOW) for leaf in [row.leaf for row in rows(fra, PENDING)]])
    assert fra.do(answer_gap, USA, gap)
    resent, _ = fra.do(resend, USA, (), 1 << 20)
    for outbound in resent:
        arrive(usa, fra, outbound.frame)
    assert holes_of(usa) == ()


def test_row_45_what_was_acknowledged_and_forgotten_is_sent_again_as_the_same_bytes(
    members: Any, fra: Any, usa: Any
) -> None:
    frame = released(members)
    fra.do(acknowledge, USA, [Ack(row.leaf, "", NOW) for row in rows(fra, PENDING)])
    assert shown(fra) == "sent"
    gap, _ = say_hello(fra, usa).gaps
    fra.do(answer_gap, USA, gap)
    ((outbound,), _) = fra.do(resend, USA, (), 1 << 20)
    assert outbound.frame == frame


def test_row_46_nobody_gets_numbers_of_another_members_stream(members: Any, fra: Any, usa: Any) -> None:
    frames_of(fra, 2)
    fra.do(acknowledge, USA, [Ack(row.leaf, "", NOW) for row in rows(fra, PENDING)])
    gap, _ = say_hello(fra, usa).gaps
    assert not fra.do(answer_gap, KEN, gap)
    assert not usa.do(answer_gap, KEN, gap)
    assert not rows(fra, PENDING)


def test_an_incarnation_that_nobody_named_is_rejected_until_a_head_names_it(
    members: Any, fra: Any, usa: Any
) -> None:
    forger = Forger(members)
    unknown = replace(forger.tip, incarnation=Incarnation(99))
    start = stream_start(fra.node.uri, Incarnation(99), USA)
    frame = forger.frame(tip=replace(unknown, head=start))
    assert codes(arrive(usa, fra, frame)) == ["INCARNATION_UNKNOWN"]
    head = StreamHead(USA, Incarnation(99), fra.node.incarnation, ReleaseNumber(0), start, ())
    assert codes(arrive(usa, fra, signed(fra, Kind.STREAM_HEAD, head))) == [""]
    assert said(arrive(usa, fra, frame)) == [("ACCEPTED", ())]


def test_row_19_a_late_copy_of_a_cancelled_number_is_refused_voided(members: Any, fra: Any, usa: Any) -> None:
    frames = frames_of(fra, 2)
    arrive(usa, fra, frames[1])
    one = ReleaseNumber(1)
    head = StreamHead(
        USA, fra.node.incarnation, Incarnation(0), ReleaseNumber(0), _start(fra), (Cancelled(one, one),)
    )
    arrive(usa, fra, signed(fra, Kind.STREAM_HEAD, head))
    assert holes_of(usa) == ()
    taken = arrive(usa, fra, frames[0])
    assert said(taken) == [("REFUSED", ("VOIDED",))]
    assert len(rows(usa, INBOX)) == 1


def test_row_34_p11_a_fork_freezes_its_stream_and_no_other(members: Any, fra: Any, usa: Any) -> None:
    forger = Forger(members)
    start = forger.tip
    arrive(usa, fra, forger.frame(seed="one"))
    other = forger.frame(seed="two", tip=start)
    assert codes(arrive(usa, fra, other)) == ["SEQUENCE_FORK"]
    assert codes(arrive(usa, fra, forger.frame(seed="next"))) == ["SEQUENCE_FORK"]
    assert {row.code for row in rows(usa, EVIDENCE)} == {"SEQUENCE_FORK"}
    ken = members["KEN"]
    honest = Forger(members, to="USA", signer="KEN")
    label = "//USA CONFIDENTIAL//REL TO USA, KEN"
    taken = arrive(usa, ken, honest.frame(text(label), cite=None, banner="CONFIDENTIAL"))
    assert codes(taken) == [""]
    assert say_hello(fra, usa).gaps == (Gap.of_acts(1),)


def test_row_34_a_fork_in_a_hello_freezes_the_stream_and_the_link_still_opens(
    members: Any, fra: Any, usa: Any
) -> None:
    arrive(usa, fra, released(members))
    outgoing = rows(fra, _outgoing())[0]
    fra.store.perform_now(lambda _: _only_put(_outgoing(), outgoing._replace(head=LeafId(b"x" * 32))))
    say_hello(fra, usa)
    (row,) = [row for row in rows(usa, INCOMING) if row.member == "FRA"]
    assert row.frozen == 1
    assert EntryType.REJECTED in log_of(usa)


def test_receipts_make_the_word_and_settle_what_was_sent(members: Any, fra: Any, usa: Any) -> None:
    taken = arrive(usa, fra, released(members))
    assert shown(fra) == "sent"
    back = arrive(fra, usa, taken.effects.outbound[0].frame)
    assert codes(back) == [""]
    assert shown(fra) == "accepted"
    assert not rows(fra, PENDING)
    assert log_of(fra)[-1] is EntryType.RECEIPT
    logged = len(log_of(fra))
    assert codes(arrive(fra, usa, taken.effects.outbound[0].frame)) == [""]
    assert len(log_of(fra)) == logged


def test_row_48_a_receipt_for_what_was_not_handed_over_is_unknown(members: Any, fra: Any, usa: Any) -> None:
    released(members)
    leaf = pair_of(fra).leaf
    accepted = ReceiptStatus.ACCEPTED
    nothing = Receipt(MemberCode("FRA"), LeafId(b"n" * 32), accepted, (), NOW)
    assert codes(arrive(fra, usa, signed(usa, Kind.RECEIPT, nothing))) == ["RECEIPT_UNKNOWN"]
    of_another = Receipt(MemberCode("FRA"), leaf, accepted, (), NOW)
    assert codes(arrive(fra, members["KEN"], signed(members["KEN"], Kind.RECEIPT, of_another))) == [
        "RECEIPT_UNKNOWN"
    ]
    assert shown(fra) == "sent"


def test_a_receipt_for_another_member_is_no_receipt_here(members: Any, fra: Any, usa: Any) -> None:
    released(members)
    receipt = Receipt(KEN, pair_of(fra).leaf, ReceiptStatus.ACCEPTED, (), NOW)
    assert codes(arrive(fra, usa, signed(usa, Kind.RECEIPT, receipt))) == ["WRONG_RECIPIENT"]
    assert shown(fra) == "sent"


def test_accepted_and_refused_are_both_kept_marked_and_the_word_is_accepted(
    members: Any, fra: Any, usa: Any
) -> None:
    released(members)
    leaf = pair_of(fra).leaf
    for status, said_codes in ((ReceiptStatus.ACCEPTED, ()), (ReceiptStatus.REFUSED, ("POLICY_DENIED",))):
        receipt = Receipt(MemberCode("FRA"), leaf, status, said_codes, NOW)
        assert codes(arrive(fra, usa, signed(usa, Kind.RECEIPT, receipt, seed=status.name))) == [""]
    row = pair_of(fra)
    assert (status_of(facts_of(row)), row.conflict, row.codes) == ("accepted", 1, "")
    assert len(rows(fra, RECEIVED, "key", "USA")) == 2


def test_a_refusal_keeps_its_codes_and_voided_does_not_hide_why_it_was_stopped(
    members: Any, fra: Any, usa: Any
) -> None:
    released(members)
    leaf = pair_of(fra).leaf
    voided = Receipt(MemberCode("FRA"), leaf, ReceiptStatus.REFUSED, ("VOIDED",), NOW)
    from intelshare.broker.kernel.tables import PAIR

    stopped = pair_of(fra)._replace(cause=1, codes="NO_TREATY")
    fra.store.perform_now(lambda _: _only_put(PAIR, stopped))
    arrive(fra, usa, signed(usa, Kind.RECEIPT, voided))
    assert (shown(fra), pair_of(fra).codes) == ("withheld", "NO_TREATY")
    denied = Receipt(MemberCode("FRA"), leaf, ReceiptStatus.REFUSED, ("POLICY_DENIED", "NO_TREATY"), NOW)
    arrive(fra, usa, signed(usa, Kind.RECEIPT, denied))
    assert (shown(fra), pair_of(fra).codes) == ("refused", "POLICY_DENIED NO_TREATY")


def test_a_retired_key_brings_the_pair_back_with_a_new_number_and_new_bytes(
    members: Any, fra: Any, usa: Any
) -> None:
    frame = released(members)
    held = usa.node.sealing
    usa.node = replace(usa.node, sealing={}, retired=frozenset(held))
    taken = arrive(usa, fra, frame)
    assert said(taken) == [("REFUSED", ("KEM_KEY_RETIRED",))]
    back = arrive(fra, usa, taken.effects.outbound[0].frame)
    assert back.effects.ready == {USA}
    assert shown(fra) == "queued"
    usa.node = replace(usa.node, sealing=held, retired=frozenset())
    (outbound,) = hand_over(fra, "USA")
    assert said(arrive(usa, fra, outbound.frame)) == [("ACCEPTED", ())]
    assert pair_of(fra).sequence == 2


@pytest.mark.parametrize("code", ["KEM_KEY_RETIRED", "VOIDED"])
def test_a_recipient_that_wants_it_anew_for_ever_has_refused(
    code: str, members: Any, fra: Any, usa: Any
) -> None:
    released(members)
    for number in range(2 * MAX_TRIES):
        refusal = Receipt(MemberCode("FRA"), pair_of(fra).leaf, ReceiptStatus.REFUSED, (code,), NOW)
        assert codes(arrive(fra, usa, signed(usa, Kind.RECEIPT, refusal, seed=str(number)))) == [""]
        if not hand_over(fra, "USA"):
            break
    assert (shown(fra), pair_of(fra).sequence) == ("refused", MAX_TRIES + 1)


def test_an_accepted_pair_is_never_handed_over_again(members: Any, fra: Any, usa: Any) -> None:
    released(members)
    leaf = pair_of(fra).leaf
    for status, said_codes in ((ReceiptStatus.REFUSED, ("KEM_KEY_RETIRED",)), (ReceiptStatus.ACCEPTED, ())):
        receipt = Receipt(MemberCode("FRA"), leaf, status, said_codes, NOW)
        arrive(fra, usa, signed(usa, Kind.RECEIPT, receipt, seed=status.name))
    assert shown(fra) == "accepted"
    assert hand_over(fra, "USA") == ()


def test_a_bulletin_that_comes_by_two_releases_is_in_the_inbox_once(members: Any, fra: Any, usa: Any) -> None:
    forger = Forger(members)
    frames = [forger.frame(bulletin_seed="same") for _ in range(2)]
    assert [said(arrive(usa, fra, frame)) for frame in frames] == [[("ACCEPTED", ())]] * 2
    assert len(rows(usa, INBOX)) == 1


def test_a_statement_kind_that_this_version_does_not_take_is_rejected(
    members: Any, fra: Any, usa: Any
) -> None:
    taken = arrive(usa, fra, signed(fra, Kind.CONSENT, b"anything"))
    assert codes(taken) == ["ENVELOPE_MALFORMED"]


def test_a_peer_that_forgot_numbers_is_noticed(fra: Any, usa: Any) -> None:
    for frame in frames_of(fra, 3):
        arrive(usa, fra, frame)
    row = rows(fra, _outgoing())[0]
    fra.store.perform_now(lambda _: _only_put(_outgoing(), row._replace(last=1, head=_leaf_of(usa, fra, 1))))
    assert say_hello(fra, usa, at=LATER).forgot == 2


def _leaf_of(usa: Any, fra: Any, number: int) -> LeafId:
    found = rows(usa, RECEIVED, "number", fra.node.uri, fra.node.incarnation, Kind.RELEASE, number)
    leaf: LeafId = found[0].leaf
    return leaf


def _start(fra: Any) -> LeafId:
    return stream_start(fra.node.uri, fra.node.incarnation, USA)


def _outgoing() -> Any:
    from intelshare.broker.kernel.tables import OUTGOING

    return OUTGOING


def _only_put(table: Any, row: Any) -> Any:
    from intelshare.ports import Plan, Put

    return Plan((Put(table, row),), None)


def test_a_release_to_both_is_accepted_by_both_under_their_own_numbers(members: Any, fra: Any) -> None:
    send(fra, draft(text(TO_BOTH), to=["USA", "KEN"]))
    for outbound in hand_over(fra, "USA", "KEN"):
        assert said(arrive(members[outbound.peer], fra, outbound.frame)) == [("ACCEPTED", ())]
    assert Digest(pair_of(fra, "USA").md) == pair_of(fra, "KEN").md


@pytest.mark.parametrize("code", ["NO_SUCH_CODE", "", "\x1b[2J", "X" * 64])
def test_a_code_of_a_receipt_that_is_in_no_list_is_unknown_wherever_it_is_shown(
    members: Any, code: str
) -> None:
    fra, usa = members["FRA"], members["USA"]
    frame = released(members)
    leaf = leaf_id(Kind.RELEASE, frame.statements[0].nonce, frame.statements[0].data)
    said = Receipt(MemberCode("FRA"), leaf, ReceiptStatus.REFUSED, (code, "POLICY_DENIED"), NOW)
    assert codes(arrive(fra, usa, signed(usa, Kind.RECEIPT, said))) == [""]
    assert pair_of(fra).codes == "UNKNOWN POLICY_DENIED"
    (logged,) = entries(fra, EntryType.RECEIPT, ReceiptJoined)
    assert logged.codes == ("UNKNOWN", "POLICY_DENIED")


def test_one_recipient_answers_one_bulletin_so_often(members: Any) -> None:
    fra, usa = members["FRA"], members["USA"]
    frame = released(members)
    leaf = leaf_id(Kind.RELEASE, frame.statements[0].nonce, frame.statements[0].data)
    told = []
    for number in range(MAX_RECEIPTS + 2):
        said = Receipt(MemberCode("FRA"), leaf, ReceiptStatus.READ, (), Instant(NOW + number))
        told += codes(arrive(fra, usa, signed(usa, Kind.RECEIPT, said, seed=str(number))))
    assert told == [""] * MAX_RECEIPTS + ["RATE"] * 2


def test_what_a_step_made_is_freed_with_its_plan(members: Any, fra: Any) -> None:
    """A step that keeps itself in a cycle keeps its frame and the rows it looked at, tens of MiB under load,
    until the collector looks at the oldest objects, which it seldom does."""
    usa = members["USA"]
    gc.collect()
    gc.disable()
    try:
        arrive(usa, fra, released(members))
        for outbound in hand_over(usa, "FRA"):
            arrive(fra, usa, outbound.frame)
        left = [one for one in gc.get_objects() if isinstance(one, Inbound | Transaction)]
    finally:
        gc.enable()
    assert [type(one).__name__ for one in left] == []
