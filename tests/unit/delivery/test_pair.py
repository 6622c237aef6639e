"""The facts of a pair, the events that change them, and its one status (docs/promises.md)."""

from itertools import permutations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intelshare.delivery import BestReceipt, Cause, Facts, Stage, pair, status_of

STOPPED = [cause for cause in Cause if cause is not Cause.NONE]
SIGNED = [receipt for receipt in BestReceipt if receipt is not BestReceipt.NONE]
QUEUED = Facts(Stage.QUEUED)
SENT = Facts(Stage.HANDED_OVER)
HELD = pair.hold(QUEUED)

any_facts = st.builds(
    Facts, st.sampled_from(Stage), st.sampled_from(Cause), st.sampled_from(BestReceipt), st.booleans()
)
codes = st.sampled_from([(), ("POLICY_DENIED", "NO_BASIS"), ("VOIDED",), ("KEM_KEY_RETIRED",), ("EXPIRED",)])
plain_codes = st.sampled_from([(), ("POLICY_DENIED",), ("EXPIRED",)])


@pytest.mark.parametrize("receipt", SIGNED)
def test_a_signed_word_beats_everything_the_sender_knows(receipt: BestReceipt) -> None:
    for stage, cause, conflict in product(Stage, Cause, (False, True)):
        assert status_of(Facts(stage, cause, receipt, conflict)) == receipt.name.lower()


@pytest.mark.parametrize("cause", STOPPED)
def test_a_stopped_pair_shows_its_cause_unless_the_bytes_may_have_arrived(cause: Cause) -> None:
    shown = "withheld" if cause is Cause.HOLD_REFUSED else cause.name.lower()
    assert status_of(Facts(Stage.QUEUED, cause)) == shown
    assert status_of(Facts(Stage.HELD, cause)) == shown
    assert status_of(Facts(Stage.HANDED_OVER, cause)) == "in doubt"
    assert status_of(Facts(Stage.CANCELLED, cause)) == shown


@pytest.mark.parametrize(
    ("stage", "shown"),
    [
        (Stage.HELD, "held"),
        (Stage.QUEUED, "queued"),
        (Stage.HANDED_OVER, "sent"),
        (Stage.CANCELLED, "sent"),
    ],
)
def test_an_open_pair_shows_its_stage(stage: Stage, shown: str) -> None:
    assert status_of(Facts(stage)) == shown


@given(any_facts)
def test_every_facts_have_exactly_one_word_of_the_table(facts: Facts) -> None:
    assert status_of(facts) in pair.PairStatus


def test_approval_closes_a_hold_and_nothing_else() -> None:
    assert pair.approve(Facts(Stage.HELD)) == QUEUED
    for stage in (Stage.QUEUED, Stage.HANDED_OVER, Stage.CANCELLED):
        assert pair.approve(Facts(stage)) == Facts(stage)


def test_hand_over_holds_again_or_hands_over() -> None:
    assert pair.hold(QUEUED) == Facts(Stage.HELD)
    assert pair.hold(SENT) == SENT
    assert pair.hand_over(QUEUED) == SENT


@pytest.mark.parametrize(("first", "second"), list(product(STOPPED, STOPPED)))
def test_a_stop_cause_is_set_once_but_for_a_recall_after_hand_over(first: Cause, second: Cause) -> None:
    assert pair.stop(pair.stop(QUEUED, first), second).cause is first
    after = pair.stop(pair.stop(SENT, first), second).cause
    assert after is (Cause.RECALLED if second is Cause.RECALLED else first)


@pytest.mark.parametrize("receipt", SIGNED)
def test_after_a_receipt_only_a_recall_is_noted_and_the_word_stays(receipt: BestReceipt) -> None:
    facts = Facts(Stage.HANDED_OVER, receipt=receipt)
    for cause in STOPPED:
        after = pair.stop(facts, cause)
        assert after.cause is (cause if cause is Cause.RECALLED else Cause.NONE)
        assert status_of(after) == status_of(facts)


def test_an_acknowledged_stream_head_or_a_refusal_voided_cancels_the_number() -> None:
    doubt = pair.stop(SENT, Cause.EXPIRED)
    assert status_of(pair.cancelled(doubt)) == "expired"
    assert pair.receive(doubt, BestReceipt.REFUSED, ("VOIDED",)) == pair.cancelled(doubt)
    assert pair.cancelled(QUEUED) == QUEUED


def test_a_refusal_for_a_retired_key_queues_the_pair_again() -> None:
    assert status_of(pair.receive(SENT, BestReceipt.REFUSED, ("KEM_KEY_RETIRED",))) == "queued"
    stopped = pair.stop(SENT, Cause.WITHHELD)
    assert status_of(pair.receive(stopped, BestReceipt.REFUSED, ("KEM_KEY_RETIRED",))) == "withheld"
    for waits in (HELD, pair.stop(HELD, Cause.UNDELIVERABLE)):
        # It had gone before, and waits for a person since.
        assert pair.receive(waits, BestReceipt.REFUSED, ("KEM_KEY_RETIRED",)) == waits


def test_accepted_and_refused_are_a_conflict_and_the_word_is_accepted() -> None:
    for order in permutations([BestReceipt.ACCEPTED, BestReceipt.REFUSED]):
        facts = SENT
        for receipt in order:
            facts = pair.receive(facts, receipt, ())
        assert facts.conflict
        assert status_of(facts) == "accepted"


@given(any_facts, st.permutations(SIGNED), st.data())
def test_receipts_join_in_any_order_and_any_number_of_times(
    facts: Facts, signed: list[BestReceipt], data: st.DataObject
) -> None:
    chosen = data.draw(st.lists(st.sampled_from(signed)))
    again = data.draw(st.permutations(chosen + chosen))
    one, other = facts, facts
    for receipt in chosen:
        one = pair.receive(one, receipt, ())
    for receipt in again:
        other = pair.receive(other, receipt, ())
    assert one == other


@given(any_facts, st.sampled_from(SIGNED), codes)
def test_a_receipt_never_weakens_what_was_signed_before(
    facts: Facts, receipt: BestReceipt, said: tuple[str, ...]
) -> None:
    after = pair.receive(facts, receipt, said)
    lost_its_key = receipt is BestReceipt.REFUSED and "KEM_KEY_RETIRED" in said
    assert after.receipt >= facts.receipt or (lost_its_key and after == Facts(Stage.QUEUED, facts.cause))
    assert after.cause is facts.cause
    assert after.conflict >= facts.conflict or lost_its_key
    assert pair.receive(after, receipt, said) == after


def test_a_cancellation_that_the_disk_forgot_happens_anew():
    sent = pair.hand_over(Facts(Stage.QUEUED))
    assert pair.receive(sent, BestReceipt.REFUSED, ("VOIDED",)) == Facts(Stage.QUEUED)
