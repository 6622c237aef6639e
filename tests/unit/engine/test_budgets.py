"""What each peer may ask of a node: the table, what a spent budget answers, and how it comes back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import NOW, seeded
from engine_world import Rig
from intelshare.broker.kernel.allowance import Lasting
from intelshare.broker.kernel.frame import Ack, Acks, Carried, Frame
from intelshare.broker.kernel.tables import EVIDENCE, INCOMING, RECALLED, RECEIVED
from intelshare.crypto.codec import encode
from intelshare.crypto.records import Kind, Recall
from intelshare.engine import BUDGETS, Limits, Rate, Step
from intelshare.engine.actions import SetReading, Tell
from intelshare.engine.budgets import REJECTED, Budgets, Passing
from intelshare.engine.events import Unreadable
from intelshare.engine.values import LinkId, Notice
from intelshare.ids import ManifestDigest, MemberCode
from intelshare.instant import HOUR, MINUTE, SECOND, Instant
from intelshare.statement import Leaf, sign_batch

USA, KEN = MemberCode("USA"), MemberCode("KEN")


def rows(rig: Rig, *asked: Any) -> list[Any]:
    return rig.fra.store.ask_now(lambda view: view.find(*asked))


def at(seconds: float) -> Instant:
    return Instant(int(seconds * SECOND))


def small(**most: int) -> Limits:
    """Budgets of so much, full again after a minute."""
    names = {budget.value: budget for budget in BUDGETS}
    return Limits(budgets={names[name]: Rate(number, MINUTE) for name, number in most.items()})


def test_a_budget_gives_so_much_at_once_and_comes_back_by_itself() -> None:
    budgets = Budgets({Passing.GAPS: Rate(6, MINUTE)})
    assert [budgets.take(USA, Passing.GAPS, at(1)) for _ in range(7)] == [True] * 6 + [False]
    assert not budgets.take(USA, Passing.GAPS, at(10.9))
    assert budgets.take(USA, Passing.GAPS, at(11.1)), "one more every ten seconds"
    assert [budgets.take(USA, Passing.GAPS, at(1000)) for _ in range(7)] == [True] * 6 + [False]


def test_one_members_budget_is_nobody_elses() -> None:
    budgets = Budgets({Passing.GAPS: Rate(1, MINUTE)})
    assert budgets.take(USA, Passing.GAPS, at(1))
    assert not budgets.take(USA, Passing.GAPS, at(1))
    assert budgets.take(KEN, Passing.GAPS, at(1))
    assert budgets.state(KEN, at(1))[0].refused == 0


def test_what_was_spent_is_shown_with_when_it_comes_back() -> None:
    budgets = Budgets({Passing.GAPS: Rate(6, MINUTE)})
    assert budgets.state(USA, at(1)) == ()
    for _ in range(8):
        budgets.take(USA, Passing.GAPS, at(1))
    (shown,) = budgets.state(USA, at(1))
    assert (shown.budget, shown.refused) == (Passing.GAPS, 2)
    assert at(10.9) < shown.again < at(11.1)
    assert budgets.state(USA, at(60))[0].again == 0
    assert budgets.take(USA, Passing.GAPS, shown.again)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20 * SECOND), st.integers(1, 50)), max_size=60))
def test_no_more_is_ever_taken_than_the_budget_and_what_came_back(asks: list[tuple[int, int]]) -> None:
    budgets, now, taken = Budgets({Passing.GAPS: Rate(10, MINUTE)}), 0, 0
    for pause, times in asks:
        now += pause
        taken += sum(budgets.take(USA, Passing.GAPS, Instant(now)) for _ in range(times))
        assert taken <= 10 + now / (6 * SECOND) + 1e-6


def test_honest_traffic_of_2000_releases_a_second_never_meets_a_budget() -> None:
    budgets = Budgets()
    for tick in range(6000):
        # Each 10 ms a frame of 20 releases of 10 KiB, one of 20 receipts, and one of checkpoints a second.
        now = at(1 + tick / 100)
        assert budgets.takes_frame(USA, 20 * 10_240, 20, now)
        assert budgets.takes_frame(USA, 20 * 500, 20, now)
    assert budgets.state(USA, at(61)) == ()


def test_rejected_statements_cost_more_until_a_frame_is_answered_with_rate_and_reading_pauses() -> None:
    rig = Rig(small(checks=2 * REJECTED))
    link = rig.link()
    junk = Frame(b"junk", b"", tuple(Carried(1, bytes(16), b"%d" % n, bytes(257)) for n in range(4)))
    rig.say(link, junk)
    assert {ack.code for acks in rig.sent(link, Acks) for ack in acks.acks} == {"ENVELOPE_MALFORMED"}
    before = len(rig.actions(SetReading))
    steps = len(rig.steps(Step.RECEIVE))
    rig.say(link, junk)
    assert [ack.code for ack in rig.sent(link, Acks)[-1].acks] == ["RATE"] * 4
    assert len(rig.steps(Step.RECEIVE)) == steps, "nothing was verified"
    assert [one.on for one in rig.actions(SetReading)[before:]] == [False]
    assert rig.closed(link) is None
    states = {one.budget: one for one in rig.engine.budgets(USA, Instant(rig.steady))}
    assert states[Passing.CHECKS].refused == 1
    rig.wait(5 * MINUTE)
    assert [one.on for one in rig.actions(SetReading)[before:]] == [False, True]
    rig.say(link, junk)
    assert rig.sent(link, Acks)[-1].acks[0].code == "ENVELOPE_MALFORMED", "it is heard again by itself"


def test_another_peer_goes_on_while_one_has_spent_its_budget() -> None:
    rig = Rig(small(checks=1))
    bad, good = rig.link("USA"), rig.link("KEN")
    junk = Frame(b"junk", b"", (Carried(1, bytes(16), b"1", bytes(257)),))
    for _ in range(3):
        rig.say(bad, junk)
    rig.say(good, junk)
    assert rig.sent(bad, Acks)[-1].acks[0].code == "RATE"
    assert rig.sent(good, Acks)[-1].acks[0].code == "ENVELOPE_MALFORMED"


def test_a_budget_is_of_the_member_and_not_of_a_link() -> None:
    rig = Rig(small(checks=1))
    junk = Frame(b"junk", b"", (Carried(1, bytes(16), b"1", bytes(257)),))
    for _ in range(2):
        rig.say(rig.link(), junk)
    assert rig.sent(rig.link(), Acks) == []
    last = rig.link()
    rig.say(last, junk)
    assert rig.sent(last, Acks)[-1].acks[0].code == "RATE"


def test_calls_beyond_the_budget_end_before_a_hello() -> None:
    rig = Rig(small(links=3))
    assert [rig.closed(rig.call()) for _ in range(2)] == [None, None]
    rig.wait(10 * SECOND)
    codes = [rig.closed(rig.call()) for _ in range(4)]
    assert codes[-1] == "RATE"


def test_acknowledgements_of_what_was_not_sent_lead_to_nothing_and_then_end_the_link() -> None:
    rig = Rig(small(answers=10))
    link = rig.link()
    for n in range(5):
        rig.say(
            link,
            Acks((Ack(bytes([n]) * 32, "", Instant(NOW)), Ack(bytes([n]) * 32, "NO\x1bNE", Instant(NOW)))),
        )
    assert rig.steps(Step.ACKNOWLEDGE) == []
    assert [one for one in rig.actions(Tell) if one.notice is Notice.REJECTED_BY_PEER] == []
    assert rig.closed(link) is None
    rig.say(link, Acks((Ack(b"\xff" * 32, "", Instant(NOW)),)))
    assert rig.closed(link) == "RATE"


def test_lines_about_a_peer_are_counted_when_they_are_too_many_and_the_count_is_told() -> None:
    rig = Rig(small(lines=2, unreadable=1000))
    link = rig.link()
    for _ in range(6):
        rig.feed(_unreadable(link))
    rejected = [one for one in rig.actions(Tell) if one.notice is Notice.FRAME_REJECTED]
    assert len(rejected) == 2
    rig.wait(MINUTE)
    rig.feed(_unreadable(link))
    assert [one.count for one in rig.actions(Tell) if one.notice is Notice.LEFT_OUT] == [4]


def _unreadable(link: LinkId) -> Unreadable:
    return Unreadable(link, b"\x01" * 32, "TOO_LARGE", 9)


def said(rig: Rig, by: str, kind: Kind, records: list[bytes]) -> Frame:
    """A frame of genuine statements of a member."""
    node = rig.members[by].node
    random = seeded(repr(records))
    leaves = [Leaf(kind, random(16), data) for data in records]
    signed = sign_batch(leaves, node.signer, Instant(NOW), random)
    return Frame(
        signed.batch,
        b"",
        tuple(Carried(one.kind, one.nonce, one.data, one.proof) for one in signed.statements),
    )


def test_recalls_of_unknown_digests_are_kept_as_far_as_the_budget_goes() -> None:
    rig = Rig(small(recalls=10))
    link = rig.link()
    recalls = [
        encode(Recall, Recall(MemberCode("FRA"), ManifestDigest(bytes([n]) * 32), "")) for n in range(40)
    ]
    rig.say(link, said(rig, "USA", Kind.RECALL, recalls))
    codes = [ack.code for ack in rig.sent(link, Acks)[-1].acks]
    assert codes == [""] * 10 + ["RATE"] * 30
    assert len(rows(rig, RECALLED, "key")) == 10
    assert len([row for row in rows(rig, RECEIVED, "key") if row.kind == Kind.RECALL]) == 10
    again = [encode(Recall, Recall(MemberCode("FRA"), ManifestDigest(bytes(32)), str(n))) for n in range(9)]
    rig.say(link, said(rig, "USA", Kind.RECALL, again))
    assert {ack.code for ack in rig.sent(link, Acks)[-1].acks} == {"RATE"}, "one digest again and again"
    rig.wait(MINUTE)
    rig.say(link, said(rig, "USA", Kind.RECALL, recalls[20:22]))
    assert [ack.code for ack in rig.sent(link, Acks)[-1].acks] == ["", ""], "it comes back by itself"


def test_what_is_rejected_is_kept_and_logged_as_far_as_the_budget_of_evidence_goes() -> None:
    rig = Rig(small(evidence=5))
    link = rig.link()
    for n in range(8):
        rig.say(link, Frame(b"junk", b"", (Carried(1, bytes(16), b"%d" % n, bytes(257)),)))
    assert len(rows(rig, EVIDENCE, "key")) == 5
    assert len(rig.sent(link, Acks)) == 8, "each is answered all the same"


@pytest.mark.parametrize(
    "kind", [Kind.TRUST, Kind.TREATY_ACT, Kind.CONSENT, Kind.CHECKPOINT, Kind.STREAM_HEAD]
)
def test_each_kind_that_lasts_has_a_budget_that_is_asked_before_a_signature_is(kind: Kind) -> None:
    names = {
        Kind.TRUST: Lasting.DIRECTORIES, Kind.TREATY_ACT: Lasting.ACTS, Kind.CONSENT: Lasting.CONSENTS,
        Kind.CHECKPOINT: Lasting.CHECKPOINTS, Kind.STREAM_HEAD: Lasting.HEADS,
    }  # fmt: skip
    rig = Rig(Limits(budgets={names[kind]: Rate(2, HOUR)}))
    link = rig.link()
    rig.say(link, said(rig, "KEN", kind, [b"%d" % n for n in range(4)]))
    codes = [ack.code for ack in rig.sent(link, Acks)[-1].acks]
    assert codes[2:] == ["RATE", "RATE"]
    assert "RATE" not in codes[:2]


def test_incarnations_that_a_peer_names_are_kept_as_far_as_the_budget_goes() -> None:
    rig = Rig(small(streams=3))
    rig.link()
    assert len(rows(rig, INCOMING, "member", USA)) <= 3
    before = len(rows(rig, INCOMING, "member", USA))
    budgets = Budgets({Lasting.STREAMS: Rate(3, MINUTE)})
    budgets.kept(USA, {Lasting.STREAMS: 3}, at(1))
    assert budgets.allowed(USA, at(1))[Lasting.STREAMS] == 0
    assert before >= 1
