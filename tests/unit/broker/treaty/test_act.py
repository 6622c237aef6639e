"""Treaty acts between members: what counts from when, what waits, what is shown, and what is stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from builders import NOW, Member, actor, draft, text, user
from intelshare.audit.exhibit import Exhibit, contradiction
from intelshare.audit.records import EntryType, TreatyActed
from intelshare.broker.kernel.frame import Ack, Frame, Gap
from intelshare.broker.kernel.node import with_acts
from intelshare.broker.kernel.pair_rows import facts_of
from intelshare.broker.kernel.tables import ACT, EVIDENCE, PENDING, RECEIVED, STATEMENT
from intelshare.broker.lifecycle.review import MAX_REVIEWED, review
from intelshare.broker.line.hello import acknowledge, answer_gap, still_missing
from intelshare.broker.line.receive import Arrival, receive
from intelshare.broker.line.resend import resend
from intelshare.broker.treaty.act import (
    MAX_ACTS,
    MAX_WAITING,
    ActCommand,
    ActResult,
    ActState,
    counting,
    effect_of_act,
    forgotten,
    missing_acts,
    resume,
)
from intelshare.crypto.codec import decode
from intelshare.crypto.records import Act, Kind, Receipt, Reservation, TreatyAct
from intelshare.delivery import status_of
from intelshare.ids import Digest, LeafId, MemberCode
from intelshare.instant import DAY, HOUR, MINUTE, NEVER, SECOND, Instant
from intelshare.policy import ActKind
from intelshare.policy import Reservation as Reserved
from intelshare.statement import leaf_id
from line_world import (
    LATER,
    ROOM,
    arrive,
    codes,
    does,
    entries,
    everything,
    hand_over,
    met,
    pair_of,
    refused,
    rows,
    said,
    say_hello,
    send,
    signed,
    tell,
)

FRA, USA, KEN = (MemberCode(code) for code in ("FRA", "USA", "KEN"))
CLIMATE = "demo-climate"
TO_THEM = "//FRA DIFFUSION RESTREINTE//REL TO FRA, KEN"
WARNING = text(TO_THEM, category="climate-disaster")
NONE = LeafId(bytes(32))
SOON = Instant(NOW + MINUTE)


def climate_text(member: Member) -> Digest:
    treaty = next(treaty for treaty in member.node.world.files if treaty.id == CLIMATE)
    return Digest(bytes.fromhex(treaty.text.removeprefix("sha256:")))


def acts_of(member: Member, *kinds: Act, first: int = 1, previous: LeafId = NONE) -> list[tuple[Frame, Any]]:
    """A chain of genuine acts, signed without being made."""
    made = []
    for n, kind in enumerate(kinds, first):
        record = TreatyAct(member.node.member, n, previous, CLIMATE, climate_text(member), kind, NOW, ())
        frame = signed(member, Kind.TREATY_ACT, record, seed=f"act {n} {kind}")
        (carried,) = frame.statements
        previous = leaf_id(Kind.TREATY_ACT, carried.nonce, carried.data)
        made.append((frame, record))
    return made


def states(at: Member, of: MemberCode) -> list[tuple[int, ActState]]:
    return sorted((row.n, ActState(row.state)) for row in rows(at, ACT, "key", of))


def sent(members: Any, to: str = "KEN", at: Instant = NOW, key: str = "key") -> str:
    """The word and codes of a fresh warning of FRA."""
    answer = send(
        members["FRA"], draft(replace(WARNING, label=f"//FRA DR//REL TO FRA, {to}"), to=[to]), key, at=at
    )
    (pair,) = answer.pairs
    codes = [reason.code for portion in pair.portions for reason in portion.decision.value.reasons]
    return " ".join([pair.word, *codes])


# Own acts.


def test_an_act_counts_at_once_at_home_and_from_its_receipt_at_the_peers() -> None:
    members = met(["FRA", "KEN"])
    fra, ken = members["FRA"], members["KEN"]
    assert sent(members) == "queued"
    acted = does(ken, ActKind.WITHDRAW)
    assert acted.act.n == 1
    assert sent(members, key="before it came") == "queued"
    (taken,) = tell(ken, acted, fra, at=SOON)
    assert codes(taken) == [""]
    assert sent(members, key="after", at=SOON) == "withheld WITHDRAWN"
    assert entries(ken, EntryType.TREATY_ACT, TreatyActed) == [
        TreatyActed(KEN, 1, acted_leaf(ken), CLIMATE, ActKind.WITHDRAW, NOW, user("KEN", "r"))
    ]
    assert entries(fra, EntryType.TREATY_ACT, TreatyActed) == [
        TreatyActed(KEN, 1, acted_leaf(ken), CLIMATE, ActKind.WITHDRAW, SOON, "")
    ]


def acted_leaf(member: Member, n: int = 1) -> LeafId:
    (row,) = rows(member, ACT, "key", member.node.member, n)
    leaf: LeafId = row.leaf
    return leaf


def test_notice_of_withdrawal_takes_effect_at_its_date_on_both_sides() -> None:
    members = met(["FRA", "KEN"])
    fra, ken = members["FRA"], members["KEN"]
    end = Instant(NOW + 90 * DAY)
    tell(ken, does(ken, ActKind.GIVE_NOTICE, since=end), fra)
    # The decision alone: in 90 days every directory has been renewed.
    assert sent(members, at=Instant(end - 1), key="a") == "queued"
    assert sent(members, at=end, key="b") == "withheld WITHDRAWN"
    (row,) = rows(fra, ACT)
    assert (row.since, row.at) == (end, NOW)


def test_all_members_get_the_same_bytes_under_the_same_nonce() -> None:
    members = met()
    ken = members["KEN"]
    acted = does(ken, ActKind.SUSPEND)
    assert [outbound.peer for outbound in acted.effects.outbound] == ["FRA", "USA"]
    assert len({outbound.frame for outbound in acted.effects.outbound}) == 1
    assert len(rows(ken, STATEMENT)) == 1
    assert [row.peer for row in rows(ken, PENDING)] == ["FRA", "USA"]


def test_each_act_names_the_one_before_it() -> None:
    members = met(["FRA", "KEN"])
    ken = members["KEN"]
    for kind in (ActKind.SUSPEND, ActKind.REINSTATE, ActKind.WITHDRAW):
        does(ken, kind)
    made = rows(ken, ACT)
    chain = [decode(TreatyAct, row.data) for row in made]
    assert [row.n for row in made] == [1, 2, 3]
    assert [one.previous for one in chain] == [NONE, made[0].leaf, made[1].leaf]


def test_the_world_is_compiled_again_from_statements_at_a_start() -> None:
    members = met(["FRA", "KEN"])
    fra, ken = members["FRA"], members["KEN"]
    reservation = Reserved(frozenset(["cyber"]), "R1", frozenset([FRA]))
    acted = does(ken, ActKind.RESERVE, reservation=reservation)
    tell(ken, acted, fra)
    for member in (fra, ken):
        stored = member.store.ask_now(counting)
        assert with_acts(member.node, stored).world.treaties == member.node.world.treaties
        assert member.node.world.files != member.node.world.treaties


def test_only_users_of_the_register_act() -> None:
    ken = met(["FRA", "KEN"])["KEN"]
    assert refused(ken, lambda: does(ken, ActKind.SUSPEND, by="u")).code == "NOT_AUTHORISED"
    does(ken, ActKind.SUSPEND, by="o")


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("NOT_FOUND", {"treaty": "no-such-treaty"}),
        ("INPUT_INVALID", {"since": Instant(NOW - DAY)}),
        ("INPUT_INVALID", {"reservation": Reserved()}),
        ("ID_CONFLICT", {"n": 2}),
    ],
)
def test_what_cannot_be_meant_is_refused_and_nothing_is_signed(code: str, changes: Any) -> None:
    members = met(["FRA", "KEN"])
    assert refused(members["KEN"], lambda: does(members["KEN"], ActKind.SUSPEND, **changes)).code == code


def test_an_act_of_a_party_that_the_file_does_not_list_is_refused() -> None:
    members = met(["FRA", "KEN"])
    ken = members["KEN"]
    error = refused(ken, lambda: does(ken, ActKind.RATIFY, treaty="gsa-fra-usa"))
    assert error.code == "INPUT_INVALID"


def test_an_act_that_would_change_nothing_is_refused() -> None:
    ken = met(["FRA", "KEN"])["KEN"]
    assert refused(ken, lambda: does(ken, ActKind.REINSTATE)).code == "INPUT_INVALID"
    does(ken, ActKind.WITHDRAW)
    assert refused(ken, lambda: does(ken, ActKind.WITHDRAW, at=LATER)).code == "INPUT_INVALID"


def test_looking_at_an_effect_changes_nothing() -> None:
    ken = met(["FRA", "KEN"])["KEN"]
    before = everything(ken)
    command = ActCommand(actor("KEN", "r"), CLIMATE, ActKind.WITHDRAW)
    acted, world = ken.ask(effect_of_act, command, NOW)
    assert (acted.act.n, acted.act.since) == (1, NOW)
    assert world.at(NOW) is not ken.node.world.at(NOW)
    assert everything(ken) == before


# A peer's acts (attacks.md rows 43, 44, 96).


def test_row_43_an_act_for_another_member_is_rejected() -> None:
    members = met()
    fra, ken, usa = (members[code] for code in ("FRA", "KEN", "USA"))
    ((frame, _),) = acts_of(ken, Act.WITHDRAW)
    record = decode(TreatyAct, frame.statements[0].data)
    forged = signed(usa, Kind.TREATY_ACT, record)
    assert codes(arrive(fra, usa, forged)) == ["SIGNER_NOT_AUTHORISED"]
    # The genuine one, handed over by somebody else.
    assert codes(arrive(fra, usa, frame)) == ["NOT_AUTHORISED"]
    assert states(fra, KEN) == []
    assert sent(members) == "queued"


def test_row_44_an_act_dated_back_counts_from_its_receipt_at_the_earliest() -> None:
    members = met(["FRA", "KEN"])
    fra, ken = members["FRA"], members["KEN"]
    record = TreatyAct(KEN, 1, NONE, CLIMATE, climate_text(ken), Act.WITHDRAW, Instant(NOW - 3650 * DAY), ())
    assert codes(arrive(fra, ken, signed(ken, Kind.TREATY_ACT, record), at=SOON)) == [""]
    (row,) = rows(fra, ACT)
    assert (row.at, row.since) == (SOON, SOON)
    (party,) = [p for t in fra.node.world.treaties if t.id == CLIMATE for p in t.parties if p.member == "KEN"]
    assert party.in_force[-1].until == SOON
    assert sent(members, at=SOON) == "withheld WITHDRAWN"


def test_row_44_an_act_signed_ahead_of_our_clock_is_rejected() -> None:
    members = met(["FRA", "KEN"])
    fra, ken = members["FRA"], members["KEN"]
    record = TreatyAct(KEN, 1, NONE, CLIMATE, climate_text(ken), Act.WITHDRAW, NOW, ())
    ahead = signed(ken, Kind.TREATY_ACT, record, at=Instant(NOW + 301 * SECOND))
    assert codes(arrive(fra, ken, ahead)) == ["CLOCK_SKEW"]
    assert states(fra, KEN) == []


def test_row_96_an_act_behind_a_hole_waits_and_the_hole_is_shown_and_asked_for() -> None:
    members = met(["FRA", "KEN"])
    fra, ken = members["FRA"], members["KEN"]
    (one, _), (two, _), (three, _) = acts_of(ken, Act.SUSPEND, Act.REINSTATE, Act.WITHDRAW)
    world = fra.node.world
    taken = arrive(fra, ken, three)
    assert (codes(taken), taken.gaps) == ([""], (Gap.of_acts(1),))
    assert fra.node.world is world
    assert arrive(fra, ken, one).gaps == (Gap.of_acts(2),)
    assert states(fra, KEN) == [(1, ActState.COUNTS), (3, ActState.WAITS)]
    assert missing_acts(rows(fra, ACT)) == 2
    assert fra.store.ask_now(lambda view: still_missing(view, KEN, "", 0)) == Gap.of_acts(2)
    assert sent(members, key="a") == "withheld SUSPENDED"
    assert arrive(fra, ken, two, at=SOON).gaps == ()
    assert [(row.n, row.state, row.since) for row in rows(fra, ACT)] == [
        (1, ActState.COUNTS, NOW),
        (2, ActState.COUNTS, SOON),
        # It came before, and counts only from when what it follows was there.
        (3, ActState.COUNTS, SOON),
    ]
    assert sent(members, key="b", at=SOON) == "withheld WITHDRAWN"
    assert fra.store.ask_now(lambda view: still_missing(view, KEN, "", 0)) is None


@pytest.mark.parametrize("waiting", [False, True])
def test_row_96_two_acts_of_one_number_are_evidence_and_the_first_stays(waiting: bool) -> None:
    members = met(["FRA", "KEN"])
    fra, ken = members["FRA"], members["KEN"]
    chain = acts_of(ken, Act.SUSPEND, Act.REINSTATE, Act.WITHDRAW)
    ((other, _),) = acts_of(ken, Act.WITHDRAW)
    if waiting:
        second = acts_of(ken, Act.SUSPEND, Act.WITHDRAW)[1][0]
        arrive(fra, ken, chain[1][0])
        assert codes(arrive(fra, ken, second)) == ["SEQUENCE_FORK"]
    else:
        arrive(fra, ken, chain[0][0])
        assert codes(arrive(fra, ken, other)) == ["SEQUENCE_FORK"]
        assert sent(members, key="a") == "withheld SUSPENDED"
    (evidence,) = [row for row in rows(fra, EVIDENCE) if row.shelf == 1]
    found = contradiction(decode(Exhibit, evidence.exhibit))
    assert found is not None
    assert (found.code, found.node) == ("SEQUENCE_FORK", "KEN")
    # Whole and provable: with nonce, proof and batch.
    assert all(row.proof and row.batch for row in rows(fra, RECEIVED, "key", KEN))
    # It is told once: the peer need not try for ever.
    again = second if waiting else other
    assert codes(arrive(fra, ken, again)) == [""]
    before = [row for row in states(fra, KEN) if row[1] is ActState.COUNTS]
    for frame, _ in chain:
        arrive(fra, ken, frame)
    assert [row for row in states(fra, KEN) if row[1] is ActState.COUNTS] == before, "later ones wait"
    assert fra.store.ask_now(lambda view: still_missing(view, KEN, "", 0)) is None, "nothing is missing"


def test_row_96_an_act_that_names_another_before_it_is_evidence_too() -> None:
    members = met(["FRA", "KEN"])
    fra, ken = members["FRA"], members["KEN"]
    arrive(fra, ken, acts_of(ken, Act.SUSPEND)[0][0])
    ((frame, _),) = acts_of(ken, Act.REINSTATE, first=2, previous=LeafId(b"x" * 32))
    assert codes(arrive(fra, ken, frame)) == ["SEQUENCE_FORK"]
    assert states(fra, KEN) == [(1, ActState.COUNTS), (2, ActState.CONTRADICTS)]
    (evidence,) = [row for row in rows(fra, EVIDENCE) if row.shelf == 1]
    assert contradiction(decode(Exhibit, evidence.exhibit)) is not None
    assert sent(members) == "withheld SUSPENDED"


def test_row_96_what_waited_and_names_another_before_it_does_not_count() -> None:
    members = met(["FRA", "KEN"])
    fra, ken = members["FRA"], members["KEN"]
    ((late, _),) = acts_of(ken, Act.REINSTATE, first=2, previous=LeafId(b"x" * 32))
    assert codes(arrive(fra, ken, late)) == [""]
    arrive(fra, ken, acts_of(ken, Act.SUSPEND)[0][0])
    assert states(fra, KEN) == [(1, ActState.COUNTS), (2, ActState.CONTRADICTS)]
    assert sent(members) == "withheld SUSPENDED"


def test_an_operator_who_has_asked_lets_contradicting_acts_count_from_then_on() -> None:
    members = met(["FRA", "KEN"])
    fra, ken = members["FRA"], members["KEN"]
    ((first, _),) = acts_of(ken, Act.SUSPEND)
    chain = acts_of(ken, Act.RATIFY, Act.REINSTATE)
    for frame in (first, chain[0][0], chain[1][0]):
        arrive(fra, ken, frame)
    assert states(fra, KEN) == [(1, ActState.COUNTS), (1, ActState.CONTRADICTS), (2, ActState.WAITS)]
    assert refused(fra, lambda: fra.do(resume, actor("FRA", "o"), USA)).code == "NOT_FOUND"
    acted = fra.do(resume, actor("FRA", "o"), KEN, at=SOON)
    assert acted.act.kind is ActKind.REINSTATE
    assert sorted((row.n, row.state, row.by) for row in rows(fra, ACT)) == [
        (1, ActState.COUNTS, ""),
        (1, ActState.COUNTS, user("FRA", "o")),
        (2, ActState.COUNTS, user("FRA", "o")),
    ]
    assert sent(members, at=SOON) == "queued"
    # And on it goes from the newest.
    ((following, _),) = acts_of(ken, Act.WITHDRAW, first=3, previous=rows(fra, ACT)[-1].leaf)
    assert codes(arrive(fra, ken, following, at=SOON)) == [""]
    assert sent(members, at=SOON, key="b") == "withheld WITHDRAWN"


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("RATE", {"n": 1 + MAX_WAITING + 1, "previous": LeafId(b"x" * 32)}),
        ("RATE", {"n": MAX_ACTS + 1, "previous": LeafId(b"x" * 32)}),
        ("ENVELOPE_MALFORMED", {"n": 0}),
        ("ENVELOPE_MALFORMED", {"n": 2}),
        ("ENVELOPE_MALFORMED", {"previous": LeafId(b"x" * 32)}),
        ("ENVELOPE_MALFORMED", {"act": Act.RESERVE}),
        ("ENVELOPE_MALFORMED", {"reservation": (Reservation((), "", (), Instant(0), NEVER),)}),
        ("TOO_LARGE", {"treaty": "t" * 9000}),
    ],
)
def test_an_act_out_of_bounds_is_rejected_and_nothing_is_kept_but_evidence(code: str, changes: Any) -> None:
    members = met(["FRA", "KEN"])
    fra, ken = members["FRA"], members["KEN"]
    record = replace(TreatyAct(KEN, 1, NONE, CLIMATE, climate_text(ken), Act.SUSPEND, NOW, ()), **changes)
    assert codes(arrive(fra, ken, signed(ken, Kind.TREATY_ACT, record))) == [code]
    assert rows(fra, ACT) == []
    assert rows(fra, RECEIVED) == []


def test_an_act_comes_twice_and_counts_once() -> None:
    members = met(["FRA", "KEN"])
    fra, ken = members["FRA"], members["KEN"]
    acted = does(ken, ActKind.SUSPEND)
    tell(ken, acted, fra)
    before = [row for table, row in everything(fra).items() if table != "node"]
    assert codes(tell(ken, acted, fra)[0]) == [""]
    assert [row for table, row in everything(fra).items() if table != "node"] == before


def test_an_act_of_a_treaty_that_is_not_held_is_kept_and_changes_nothing() -> None:
    members = met(["FRA", "KEN"])
    fra, ken = members["FRA"], members["KEN"]
    record = TreatyAct(KEN, 1, NONE, "elsewhere", Digest(bytes(32)), Act.WITHDRAW, NOW, ())
    assert codes(arrive(fra, ken, signed(ken, Kind.TREATY_ACT, record))) == [""]
    assert fra.node.world.treaties == fra.node.world.files
    assert states(fra, KEN) == [(1, ActState.COUNTS)]


# Asking for acts.


def test_each_hello_asks_for_the_acts_that_are_missing_and_the_peer_sends_them_again() -> None:
    members = met()
    fra, ken, usa = (members[code] for code in ("FRA", "KEN", "USA"))
    made = [does(ken, kind) for kind in (ActKind.SUSPEND, ActKind.REINSTATE, ActKind.WITHDRAW)]
    tell(ken, made[0], fra)
    # FRA has committed all and forgotten two of them; USA was never told.
    for peer in (FRA, USA):
        acks = [ack for one in made for ack in _acks(one)]
        ken.do(acknowledge, peer, acks)
    assert rows(ken, PENDING) == []
    for member, first in ((fra, 2), (usa, 1)):
        gap = say_hello(ken, member).gaps[-1]
        assert gap == Gap.of_acts(first)
        assert ken.do(answer_gap, member.node.member, gap)
        assert not ken.do(answer_gap, member.node.member, gap), "what waits to be sent is not queued twice"
        (outbound, *more), left = ken.do(resend, member.node.member, (), ROOM)
        assert not left
        for frame in (outbound, *more):
            assert set(codes(arrive(member, ken, frame.frame))) == {""}
        assert [n for n, state in states(member, KEN) if state is ActState.COUNTS] == [1, 2, 3]
    assert rows(fra, RECEIVED, "key", KEN)[0].data in {row.data for row in rows(ken, STATEMENT)}


def test_a_node_that_has_forgotten_own_acts_learns_it_from_what_a_peer_asks_for() -> None:
    ken = met(["FRA", "KEN"])["KEN"]
    does(ken, ActKind.SUSPEND)
    asked = {1: 0, 2: 0, 3: 1, 9: 7, 1 << 63: MAX_ACTS}
    assert {first: ken.ask(forgotten, first) for first in asked} == asked


def _acks(acted: ActResult) -> Sequence[Any]:
    return [Ack(acted.effects.outbound[0].leaves[0], "", NOW)]


# What is on the way (promise P9).


def run_review(member: Member, at: Instant) -> list[Any]:
    """All steps of one review; what each led to."""
    after: tuple[Any, ...] = ()
    led = []
    while True:
        answer = member.do(review, after, at=at)
        led.append(answer.effects)
        after = answer.after
        if not after:
            return led


def test_p9_what_waits_is_decided_again_at_hand_over_and_withheld_after_queueing() -> None:
    members = met(["FRA", "KEN"])
    fra, ken = members["FRA"], members["KEN"]
    assert sent(members) == "queued"
    tell(ken, does(ken, ActKind.WITHDRAW), fra)
    assert hand_over(fra, "KEN", at=SOON) == ()
    row = pair_of(fra, "KEN")
    assert (row.cause, row.codes, row.leaf) == (1, "WITHDRAWN", b"")


def test_p9_what_is_on_the_way_is_not_resent_and_in_doubt_until_its_cancellation_is_known() -> None:
    members = met(["FRA", "KEN"])
    fra, ken = members["FRA"], members["KEN"]
    sent(members)
    (lost,) = hand_over(fra, "KEN")
    # At once: also before the review comes to it.
    tell(ken, does(ken, ActKind.WITHDRAW), fra)
    frames, _ = fra.do(resend, KEN, (), ROOM, at=SOON)
    assert lost.leaves[0] not in [leaf for frame in frames for leaf in frame.leaves]
    (led,) = run_review(fra, SOON)
    assert led.ended == ((KEN, lost.leaves[0]),)
    assert word_of(fra) == ("in doubt", "WITHDRAWN")
    (head,) = led.outbound
    taken = arrive(ken, fra, head.frame, at=SOON)
    fra.do(acknowledge, KEN, taken.acks, at=SOON)
    assert word_of(fra) == ("withheld", "WITHDRAWN")
    # The copy that was lost comes after all.
    late = arrive(ken, fra, lost.frame, at=SOON)
    assert said(late) == [("REFUSED", ("VOIDED",))]


def word_of(member: Member) -> tuple[str, str]:
    row = pair_of(member, "KEN")
    return status_of(facts_of(row)), row.codes


def test_p9_the_recipients_signed_word_beats_the_stop() -> None:
    members = met(["FRA", "KEN"])
    fra, ken = members["FRA"], members["KEN"]
    sent(members)
    (frame,) = hand_over(fra, "KEN")
    taken = arrive(ken, fra, frame.frame)
    tell(ken, does(ken, ActKind.WITHDRAW), fra)
    run_review(fra, SOON)
    assert word_of(fra)[0] == "in doubt"
    (receipt,) = taken.effects.outbound
    assert decode(Receipt, receipt.frame.statements[0].data).status.name == "ACCEPTED"
    arrive(fra, ken, receipt.frame)
    assert word_of(fra)[0] == "accepted"


def test_p9_a_date_that_passes_stops_what_is_on_the_way_without_any_act() -> None:
    members = met(["FRA", "KEN"])
    fra, ken = members["FRA"], members["KEN"]
    end = Instant(NOW + HOUR)
    tell(ken, does(ken, ActKind.GIVE_NOTICE, since=end), fra)
    sent(members)
    hand_over(fra, "KEN")
    assert [led.ended for led in run_review(fra, Instant(end - 1))] == [()]
    assert fra.node.world.at(Instant(end - 1)) is not fra.node.world.at(end)
    # Also before the review comes to it.
    assert fra.do(resend, KEN, (), ROOM, at=Instant(end - 1))[0] != ()
    assert fra.do(resend, KEN, (), ROOM, at=end) == ((), True), "more may go later"
    (led,) = run_review(fra, end)
    assert len(led.ended) == 1
    assert word_of(fra) == ("in doubt", "WITHDRAWN")


def test_p9_what_was_accepted_and_forgotten_is_not_sent_again_once_it_is_denied() -> None:
    members = met(["FRA", "KEN"])
    fra, ken = members["FRA"], members["KEN"]
    send(fra, draft(WARNING, to=["KEN"]))
    (frame,) = hand_over(fra, "KEN")
    taken = arrive(ken, fra, frame.frame)
    arrive(fra, ken, taken.effects.outbound[0].frame)
    assert word_of(fra)[0] == "accepted"
    # KEN has lost it, and asks for what it knows was sent.
    gap = Gap(fra.node.uri, fra.node.incarnation, ((1, 1),))
    assert fra.do(answer_gap, KEN, gap, at=LATER)
    assert [one.leaves for one in fra.do(resend, KEN, (), ROOM, at=LATER)[0]] == [frame.leaves]
    tell(ken, does(ken, ActKind.SUSPEND, at=LATER), fra, at=LATER)
    again = Instant(LATER + 1)
    assert frame.leaves not in [one.leaves for one in fra.do(resend, KEN, (), ROOM, at=again)[0]]
    run_review(fra, again)
    assert word_of(fra)[0] == "accepted", "a signed word stays"


def test_p9_what_another_treaty_still_carries_goes_on() -> None:
    members = met(["FRA", "USA"])
    fra, usa = members["FRA"], members["USA"]
    send(fra, draft(text("//FRA SECRET//REL TO FRA, USA"), to=["USA"]))
    (frame,) = hand_over(fra, "USA")
    tell(usa, does(usa, ActKind.WITHDRAW), fra)
    assert [led.ended for led in run_review(fra, SOON)] == [()]
    again, _ = fra.do(resend, USA, (), ROOM, at=SOON)
    assert [outbound.leaves for outbound in again] == [frame.leaves]


def test_p9_a_review_goes_through_all_that_is_on_the_way_in_bounded_steps() -> None:
    members = met(["FRA", "KEN"])
    fra, ken = members["FRA"], members["KEN"]
    count = MAX_REVIEWED + 5
    for number in range(count):
        send(fra, draft(WARNING, to=["KEN"]), f"k{number}", at=Instant(NOW + number))
    handed = 0
    while frames := hand_over(fra, "KEN", at=SOON, room=1 << 22):
        handed += sum(len(frame.leaves) for frame in frames)
    assert handed == count
    tell(ken, does(ken, ActKind.WITHDRAW), fra, at=SOON)
    led = run_review(fra, Instant(SOON + 1))
    assert [len(one.ended) for one in led] == [MAX_REVIEWED, 5]


def test_a_member_that_comes_back_receives_what_is_sent_then_and_nothing_of_before() -> None:
    members = met(["FRA", "KEN"])
    fra, ken = members["FRA"], members["KEN"]
    tell(ken, does(ken, ActKind.SUSPEND), fra)
    assert sent(members, key="a") == "withheld SUSPENDED"
    tell(ken, does(ken, ActKind.REINSTATE, at=SOON), fra, at=SOON)
    assert sent(members, key="b", at=SOON) == "queued"
    (frame,) = hand_over(fra, "KEN", at=SOON)
    assert len(frame.leaves) == 1
    assert said(arrive(ken, fra, frame.frame, at=SOON)) == [("ACCEPTED", ())]


def test_an_act_that_comes_while_the_clock_is_wrong_is_taken_when_it_is_right() -> None:
    """Else a suspension that came while the clock was two days ahead would hold in two days."""
    members = met(["FRA", "USA"])
    fra, usa = members["FRA"], members["USA"]
    acted = does(usa, ActKind.SUSPEND)
    (frame,) = [outbound.frame for outbound in acted.effects.outbound if outbound.peer == "FRA"]
    ahead = Instant(NOW + 2 * DAY)
    arrival = Arrival(usa.node.member, usa.node.uri, frame, clock=False)
    assert codes(fra.do(receive, arrival, at=ahead)) == ["CLOCK"]
    assert codes(arrive(fra, usa, frame, at=LATER)) == [""]
    (row,) = rows(fra, ACT)
    assert (row.state, row.since) == (ActState.COUNTS, LATER)
