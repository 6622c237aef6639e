"""Courier: bundles between members whose nodes have never had a link (decision 50)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from builders import NOW, actor, draft, federation, seeded, text
from consent_world import OF_KEN, ask, pass_on
from courier_world import carry, export, take_in
from intelshare.audit.node_records import Courier, CourierWay
from intelshare.audit.records import EntryType
from intelshare.broker.exchange.consent import consents
from intelshare.broker.exchange.recall import RecallCommand, recall
from intelshare.broker.kernel.frame import Gap
from intelshare.broker.kernel.tables import CHECKPOINT, INBOX, OWED, PAIR, PENDING, RECEIVED, STATEMENT, Owed
from intelshare.broker.lifecycle.destroy import finish, marked
from intelshare.broker.line.courier import answer_gap_late
from intelshare.broker.line.hello import acknowledge, make_hello
from intelshare.broker.transparency.checkpoint import checkpoint
from intelshare.broker.transparency.known_checkpoints import CheckpointState
from intelshare.crypto.records import Kind, Precedence
from intelshare.delivery import Stage
from intelshare.engine.courier import TakenIn
from intelshare.envelope.bundle import BundleWriter
from intelshare.errors import IntelshareError
from intelshare.ids import MemberCode
from intelshare.instant import DAY, HOUR, MINUTE, Instant
from intelshare.policy import ActKind
from intelshare.store.memory import MemoryStore
from intelshare.trust.courier import BundleHead, bundle_key, own_documents, sign_head
from line_world import LATER, TO_USA, arrive, does, entries, hand_over, met, pair_of, rows, say_hello, send

USA = MemberCode("USA")


@pytest.fixture(name="members")
def _members() -> Any:
    """They know each other's documents, and no incarnation."""
    return federation(("FRA", "USA", "KEN"), MemoryStore)


@pytest.fixture(name="fra")
def _fra(members: Any) -> Any:
    return members["FRA"]


@pytest.fixture(name="usa")
def _usa(members: Any) -> Any:
    return members["USA"]


def write(fra: Any, number: int = 0, **changes: Any) -> Any:
    return send(fra, replace(draft(text(TO_USA, f"text {number}"), to=["USA"]), **changes), f"key {number}")


def test_a_release_and_its_receipt_travel_by_files_alone(fra: Any, usa: Any) -> None:
    write(fra)
    assert carry(fra, usa).accepted == 1
    assert pair_of(fra).stage == Stage.HANDED_OVER
    assert rows(fra, PENDING, "peer", "USA")
    back = carry(usa, fra)
    assert back.acks >= 1
    assert pair_of(fra).receipt
    assert not rows(fra, PENDING, "peer", "USA"), "acknowledged by the bundle"
    carry(fra, usa)
    assert not rows(usa, PENDING, "peer", "FRA"), "the receipt is acknowledged, too"


def test_the_bytes_are_those_of_a_link_under_the_same_number(fra: Any, usa: Any) -> None:
    say_hello(fra, usa)
    write(fra)
    frame = hand_over(fra, "USA")[0].frame
    taken = carry(fra, usa)
    assert (taken.accepted, taken.rejected) == (1, {})
    arrive(usa, fra, frame)
    assert len(rows(usa, INBOX)) == 1
    assert len([row for row in rows(fra, STATEMENT) if row.kind == Kind.RELEASE]) == 1


def test_a_lost_bundle_is_repeated_and_nothing_is_handed_over_anew(fra: Any, usa: Any) -> None:
    write(fra)
    export(fra, "USA", seed="lost")
    first = rows(fra, STATEMENT)
    _, packed = export(fra, "USA", seed="second")
    assert packed.releases == 1
    assert rows(fra, STATEMENT) == first


def test_what_comes_late_and_twice_is_known(fra: Any, usa: Any) -> None:
    write(fra, 1)
    first, _ = export(fra, "USA", seed="1")
    write(fra, 2)
    second, _ = export(fra, "USA", seed="2")
    assert take_in(usa, second).accepted == 2
    received = rows(usa, RECEIVED)
    for data in (first, second, first):
        assert take_in(usa, data).accepted == 0
    assert rows(usa, RECEIVED) == received


def test_a_bundle_without_a_number_leaves_a_gap_that_the_next_one_closes(fra: Any, usa: Any) -> None:
    """Row 20 of the attacks."""
    write(fra, 1)
    export(fra, "USA", seed="lost")
    fra.do(acknowledge, USA, [], seed="none")
    write(fra, 2)
    _, packed = export(fra, "USA", seed="both")
    assert packed.releases == 2
    # As if the first had been acknowledged and forgotten: only number 2 travels.
    (first,) = [row for row in rows(fra, STATEMENT) if row.sequence == 1]
    fra.store.perform_now(lambda _: _deleting(PENDING, first.leaf, "USA"))
    assert carry(fra, usa).accepted == 1
    back = carry(usa, fra)
    assert back.acks >= 1
    assert carry(fra, usa).accepted == 1, "number 1 was asked for and sent again"
    assert len(rows(usa, INBOX)) == 2


def _deleting(table: Any, *key: Any) -> Any:
    from intelshare.ports import Delete, Plan

    return Plan((Delete(table, key),), None)


def test_the_most_urgent_goes_first_and_the_limit_leaves_the_rest(fra: Any, usa: Any) -> None:
    for number in range(12):
        write(fra, number, portions=(text(TO_USA, "x" * 60_000),))
    flash = write(fra, 99, precedence=Precedence.FLASH)
    data, packed = export(fra, "USA", most=100_000)
    assert packed.more
    assert packed.releases < 13
    take_in(usa, data)
    assert flash.md in {row.md for row in rows(usa, INBOX)}
    carried = packed.releases
    for round_ in range(12):
        if carried >= 13:
            break
        carry(usa, fra)
        data, packed = export(fra, "USA", most=200_000, seed=f"more {round_}")
        carried += take_in(usa, data).accepted
    assert len(rows(usa, INBOX)) == 13


def test_what_is_new_and_urgent_goes_before_what_was_lost_and_is_not(fra: Any, usa: Any) -> None:
    """A lost bundle had one urgent bulletin: what else was in it does not go first on its account."""
    for number in range(3):
        write(fra, number, portions=(text(TO_USA, "x" * 60_000),))
    write(fra, 98, precedence=Precedence.FLASH)
    export(fra, "USA", seed="lost")
    urgent = write(fra, 99, precedence=Precedence.IMMEDIATE)
    data, packed = export(fra, "USA", most=50_000)
    assert packed.more
    take_in(usa, data)
    assert urgent.md in {row.md for row in rows(usa, INBOX)}


def test_while_nothing_may_be_released_recalls_and_receipts_still_travel(fra: Any, usa: Any) -> None:
    result = write(fra)
    carry(fra, usa)
    write(fra, 2)
    fra.do(recall, RecallCommand(actor("FRA", "a"), result.bulletin.hex(), "wrong"))
    data, packed = export(fra, "USA", may_release=False, seed="held")
    assert (packed.releases, packed.releases_wait, packed.left.queued) == (0, True, 1)
    take_in(usa, data)
    (row,) = rows(usa, INBOX)
    assert row.cause == "RECALLED"


def test_a_recall_that_comes_before_its_release_wins(fra: Any, usa: Any) -> None:
    result = write(fra)
    late, _ = export(fra, "USA", seed="late")
    fra.do(recall, RecallCommand(actor("FRA", "a"), result.bulletin.hex(), "wrong"))
    carry(fra, usa)
    taken = take_in(usa, late)
    assert taken.accepted == 0
    assert rows(usa, INBOX) == []
    carry(usa, fra)
    carry(fra, usa)
    assert take_in(usa, late).accepted == 0


def test_a_destruction_is_signed_for_by_the_next_bundle(fra: Any, usa: Any) -> None:
    result = write(fra)
    carry(fra, usa)
    carry(usa, fra)
    fra.do(recall, RecallCommand(actor("FRA", "a"), result.bulletin.hex(), "wrong"))
    carry(fra, usa)
    usa.do(finish, usa.store.ask_now(marked))
    carry(usa, fra)
    from intelshare.delivery import BestReceipt

    assert pair_of(fra).receipt == BestReceipt.DESTROYED


def test_treaty_acts_and_checkpoints_travel_and_are_proved(fra: Any, usa: Any) -> None:
    does(fra, ActKind.SUSPEND)
    fra.do(checkpoint)
    carry(fra, usa)
    write(fra)
    fra.do(checkpoint, at=Instant(NOW + MINUTE))
    carry(fra, usa, Instant(NOW + MINUTE))
    states = [row.state for row in rows(usa, CHECKPOINT) if row.member == "FRA"]
    assert CheckpointState.CLAIMED in states, "its path has still to come"
    assert [row for row in rows(usa, OWED) if row.kind == Owed.ASK]
    at = Instant(NOW + 2 * MINUTE)
    carry(usa, fra, at)
    carry(fra, usa, at)
    states = [row.state for row in rows(usa, CHECKPOINT) if row.member == "FRA"]
    assert CheckpointState.CLAIMED not in states
    assert not [row for row in rows(fra, OWED, "key", "USA") if row.kind == Owed.PATH]


def test_a_renewed_directory_comes_with_the_bundle_that_needs_it(fra: Any, usa: Any) -> None:
    at = Instant(NOW + 8 * DAY)
    write(fra)
    assert not usa.node.trust.directory_fresh("FRA", at)
    data, _ = export(fra, "USA")
    stale = take_in(usa, data, at)
    assert (stale.accepted, set(stale.rejected)) == (0, {"TRUST_EXPIRED"})


def test_it_is_logged_who_wrote_and_who_took_in(fra: Any, usa: Any) -> None:
    write(fra)
    export(fra, "USA")
    (entry,) = entries(fra, EntryType.COURIER, Courier)
    assert (entry.member, entry.way, entry.user) == ("USA", CourierWay.WRITTEN, actor("FRA", "o").user)


def test_an_own_bundle_and_one_for_another_member_are_refused(members: Any, fra: Any, usa: Any) -> None:
    write(fra)
    data, _ = export(fra, "USA")
    for member in (fra, members["KEN"]):
        with pytest.raises(IntelshareError, match="BUNDLE_NOT_OURS"):
            take_in(member, data)
    # FRA forwards what USA wrote for it: sealed anew for KEN, with USA's head.
    theirs = make_head(usa, "FRA")
    with pytest.raises(IntelshareError, match="SIGNATURE_INVALID"):
        take_in(members["KEN"], sealed_anew(theirs, members["KEN"]))


def make_head(
    member: Any, to: str, *, at: Instant = NOW, prefix: bytes = b"prefix", signer: Any = None
) -> bytes:
    node, code = member.node, MemberCode(to)
    head = BundleHead(code, member.ask(make_hello, code, at))
    return sign_head(prefix, node.uri, own_documents(node.trust), head, signer or node.signer)


def sealed_anew(head: bytes, to: Any) -> bytes:
    writer = writer_to(to)
    return writer.prefix + writer.add(head) + writer.finish()


def writer_to(to: Any) -> BundleWriter:
    node = to.node
    kem = node.trust.sealing_keys(node.member, NOW)[0]
    return BundleWriter(node.member, kem, node.suites, seeded("anew"))


def test_heads_that_do_not_hold_are_refused(members: Any, fra: Any, usa: Any) -> None:
    ken = members["KEN"]

    def refused(make: Any) -> str:
        writer = writer_to(usa)
        data = writer.prefix + writer.add(make(writer.prefix)) + writer.finish()
        with pytest.raises(IntelshareError) as caught:
            take_in(usa, data)
        assert isinstance(caught.value, IntelshareError)
        return caught.value.code

    assert refused(lambda prefix: make_head(fra, "KEN", prefix=prefix)) == "WRONG_RECIPIENT"
    assert refused(lambda prefix: make_head(usa, "USA", prefix=prefix)) == "NOT_AUTHORISED"
    ahead = Instant(NOW + HOUR)
    assert refused(lambda prefix: make_head(fra, "USA", prefix=prefix, at=ahead)) == "CLOCK_SKEW"
    assert (
        refused(lambda prefix: make_head(fra, "USA", prefix=prefix, signer=ken.node.signer))
        == "PEER_IDENTITY_MISMATCH"
    )
    assert refused(lambda _: make_head(fra, "USA")) == "SIGNATURE_INVALID"
    assert refused(lambda _: b"not a head") == "ENVELOPE_MALFORMED"


def test_an_old_request_cancels_nothing_that_was_signed_for_since(fra: Any, usa: Any) -> None:
    result = write(fra)
    carry(fra, usa)
    carry(usa, fra, Instant(NOW + MINUTE))
    fra.do(recall, RecallCommand(actor("FRA", "a"), result.bulletin.hex(), "wrong"))
    gap = Gap(fra.node.uri, fra.node.incarnation, ((1, 1),))
    assert not fra.do(answer_gap_late, USA, gap, Instant(NOW - MINUTE))
    assert pair_of(fra).stage == Stage.HANDED_OVER
    assert fra.do(answer_gap_late, USA, gap, LATER), "it asks after it has signed: it forgot"


def test_a_bundle_for_a_member_that_is_not_dealt_with_is_not_written(fra: Any) -> None:
    for code, why in (("DEU", "TRUST_FINGERPRINT"), ("FRA", "TRUST_FINGERPRINT")):
        with pytest.raises(IntelshareError, match=why):
            bundle_key(fra.node.trust, MemberCode(code), NOW)
    from intelshare.trust import Exclusion

    left_out = fra.node.trust.with_exclusion(USA, Exclusion.SUSPENDED)
    with pytest.raises(IntelshareError, match="PEER_REVOKED"):
        bundle_key(left_out, USA, NOW)


def test_what_is_no_message_of_a_bundle_is_malformed(fra: Any, usa: Any) -> None:
    from intelshare.broker.kernel.frame import Hello
    from intelshare.wire import link_message

    writer = writer_to(usa)
    parts = [writer.prefix, writer.add(make_head(fra, "USA", prefix=writer.prefix))]
    parts += [writer.add(link_message(Hello(b"x"), NOW)), writer.finish()]
    with pytest.raises(IntelshareError, match="ENVELOPE_MALFORMED") as caught:
        take_in(usa, b"".join(parts))
    taken: TakenIn = caught.value.taken  # type: ignore[attr-defined]
    assert taken.member == "FRA", "its head was taken in"
    assert rows(usa, PAIR) == []


def test_a_question_about_a_portion_comes_behind_the_portion_in_the_same_bundle() -> None:
    """On a link a question that comes too early is asked again within seconds; here a round of couriers
    later.
    """
    members: Any = met()
    fra, ken = members["FRA"], members["KEN"]
    ask(fra, pass_on(members, draft(text(OF_KEN), to=["USA"])).bulletin.hex())
    taken = carry(fra, ken)
    assert (taken.accepted, taken.rejected) == (1, {})
    (line,), _ = ken.ask(consents, actor("KEN", "r"), NOW)
    assert line.row.recipient == "USA"
