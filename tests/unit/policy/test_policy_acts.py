"""Acts and files together: what each act does to a party's history, from when, and what it cannot do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intelshare import instant
from intelshare.builtin import builtin_registry
from intelshare.instant import NEVER, Instant
from intelshare.labels import Interval, parse_label
from intelshare.policy import (
    ActKind,
    Outcome,
    PartyAct,
    Request,
    Reservation,
    Treaty,
    World,
    compile_world,
    decide,
    parse_treaty,
    with_acts,
)

REGISTRY = builtin_registry()
MEMBERS = ("FRA", "USA", "KEN", "NOR")
PACT = """\
id = "pact"
title = "Pact"
kind = "multilateral"
in_force = 2020-01-01
source = "invented"

[[provision]]
article = "art. 1"
categories = ["cyber", "terrorism"]
ceiling = "R3"

[[party]]
member = "FRA"
in_force = 2020-01-01

[[party]]
member = "USA"
in_force = 2020-01-01

[[party]]
member = "KEN"
signed = 2019-01-01

[[party]]
member = "NOR"
in_force = 2020-01-01
withdrawn = 2023-01-01
"""
TREATY = parse_treaty(PACT, "pact.toml", REGISTRY)
JAN, FEB, MAR, APR = (instant.parse(f"2026-0{month}-01") for month in (1, 2, 3, 4))
BEFORE = {FEB: JAN, MAR: FEB, APR: MAR}


def act(
    kind: ActKind, since: Instant, *, member: str = "USA", n: int = 1, made: Instant = JAN, **changes: object
) -> PartyAct:
    return replace(PartyAct(member, n, "pact", TREATY.text, kind, made, since), **changes)  # type: ignore[arg-type]


def world(acts: Sequence[PartyAct], treaty: Treaty = TREATY) -> World:
    return compile_world(REGISTRY, MEMBERS, [treaty], acts=acts)


def outcome(
    acts: Sequence[PartyAct],
    at: Instant,
    recipient: str = "USA",
    *,
    sender: str = "FRA",
    category: str = "cyber",
    treaty: Treaty = TREATY,
) -> str:
    """``allow``, or the primary code."""
    label = parse_label(
        {"FRA": "//FRA SECRET", "USA": "SECRET"}[sender] + f"//REL TO {sender}, {recipient}", REGISTRY, at=at
    )
    decision = decide(world(acts, treaty), Request(label, category, at, sender, recipient))
    return decision.codes[0] if decision.outcome is Outcome.DENY else "allow"


def series(acts: Sequence[PartyAct], recipient: str = "USA") -> list[str]:
    """The outcome at the first instant of four months."""
    return [outcome(acts, at, recipient) for at in (JAN, FEB, MAR, APR)]


def test_without_acts_the_file_alone_speaks() -> None:
    assert with_acts([TREATY], []) == (TREATY,)
    assert series([]) == ["allow"] * 4


@pytest.mark.parametrize("kind", [ActKind.WITHDRAW, ActKind.GIVE_NOTICE])
def test_a_withdrawal_holds_from_its_instant_and_not_before(kind: ActKind) -> None:
    assert series([act(kind, MAR)]) == ["allow", "allow", "WITHDRAWN", "WITHDRAWN"]
    assert outcome([act(kind, MAR)], Instant(MAR - 1)) == "allow"


def test_notice_is_shown_from_the_day_that_it_was_given() -> None:
    (after,) = with_acts([TREATY], [act(ActKind.GIVE_NOTICE, MAR, made=FEB)])
    usa = next(party for party in after.parties if party.member == "USA")
    assert (usa.notified, usa.in_force[0].until) == ((FEB,), MAR)


def test_a_suspension_ends_when_its_member_reinstates_its_part() -> None:
    acts = [act(ActKind.SUSPEND, FEB), act(ActKind.REINSTATE, APR, n=2)]
    assert series(acts) == ["allow", "SUSPENDED", "SUSPENDED", "allow"]


def test_a_withdrawal_that_is_still_to_come_is_taken_back() -> None:
    acts = [act(ActKind.GIVE_NOTICE, MAR), act(ActKind.REINSTATE, FEB, n=2)]
    assert series(acts) == ["allow"] * 4


def test_reinstating_does_not_undo_a_withdrawal_that_has_taken_effect() -> None:
    acts = [act(ActKind.WITHDRAW, FEB), act(ActKind.REINSTATE, MAR, n=2)]
    assert series(acts) == ["allow", "WITHDRAWN", "WITHDRAWN", "WITHDRAWN"]


def test_who_left_by_act_comes_back_by_ratifying() -> None:
    acts = [act(ActKind.WITHDRAW, FEB), act(ActKind.RATIFY, APR, n=2)]
    assert series(acts) == ["allow", "WITHDRAWN", "WITHDRAWN", "allow"]


def test_a_party_that_the_file_lists_without_a_period_accedes_by_ratifying() -> None:
    assert series([], "KEN") == ["NOT_RATIFIED"] * 4
    acts = [act(ActKind.RATIFY, MAR, member="KEN", made=FEB)]
    assert series(acts, "KEN") == ["NOT_RATIFIED", "NOT_YET_IN_FORCE", "allow", "allow"]
    left = [*acts, act(ActKind.WITHDRAW, APR, member="KEN", n=2)]
    assert series(left, "KEN")[2:] == ["allow", "WITHDRAWN"]


def test_a_ratification_of_another_text_binds_nobody() -> None:
    other = act(ActKind.RATIFY, MAR, member="KEN", text="sha256:" + "0" * 64)
    assert series([other], "KEN") == ["NOT_RATIFIED"] * 4


def test_a_member_that_the_file_does_not_list_cannot_join_by_its_own_word() -> None:
    short = replace(TREATY, parties=tuple(p for p in TREATY.parties if p.member != "KEN"))
    acts = [act(ActKind.RATIFY, JAN, member="KEN")]
    assert outcome(acts, APR, "KEN", treaty=short) == "NO_TREATY"


def test_what_the_file_has_ended_no_act_brings_back() -> None:
    acts = [act(ActKind.RATIFY, FEB, member="NOR"), act(ActKind.REINSTATE, FEB, member="NOR", n=2)]
    assert series(acts, "NOR") == ["WITHDRAWN"] * 4
    usa = next(party for party in TREATY.parties if party.member == "USA")
    council = replace(usa, suspended=(Interval(JAN, NEVER),))
    suspended = replace(TREATY, parties=tuple(council if p is usa else p for p in TREATY.parties))
    assert outcome([act(ActKind.REINSTATE, FEB)], MAR, treaty=suspended) == "SUSPENDED"


def test_who_leaves_before_it_was_ever_bound_has_withdrawn() -> None:
    late = PACT.replace('member = "USA"\nin_force = 2020-01-01', 'member = "USA"\nin_force = 2026-03-01')
    treaty = parse_treaty(late, "pact.toml", REGISTRY)
    leaving = [act(ActKind.WITHDRAW, FEB)]
    assert [outcome(leaving, at, treaty=treaty) for at in (FEB, APR)] == ["WITHDRAWN", "WITHDRAWN"]


def test_a_reservation_excludes_in_both_directions_from_its_instant_until_its_end() -> None:
    only = Reservation(categories=frozenset(["cyber"]), during=Interval(JAN, APR))
    acts = [act(ActKind.RESERVE, FEB, reservation=only)]
    assert series(acts) == ["allow", "RESERVATION", "RESERVATION", "allow"]
    assert outcome(acts, FEB, "FRA", sender="USA") == "RESERVATION"
    assert outcome(acts, FEB, category="terrorism") == "allow"


def test_a_reservation_at_a_level_that_nobody_knows_excludes_all() -> None:
    odd = act(ActKind.RESERVE, FEB, reservation=Reservation(level_at_least="NO SUCH LEVEL"))
    assert series([odd]) == ["allow", "RESERVATION", "RESERVATION", "RESERVATION"]


def test_a_reservation_is_withdrawn_by_naming_it_and_no_other_ends_with_it() -> None:
    cyber, terrorism = (Reservation(categories=frozenset([word])) for word in ("cyber", "terrorism"))
    acts = [
        act(ActKind.RESERVE, FEB, reservation=cyber),
        act(ActKind.RESERVE, FEB, n=2, reservation=terrorism),
        act(ActKind.REINSTATE, MAR, n=3, reservation=cyber),
    ]
    assert series(acts) == ["allow", "RESERVATION", "allow", "allow"]
    assert outcome(acts, APR, category="terrorism") == "RESERVATION"
    suspended = [*acts, act(ActKind.SUSPEND, FEB, n=4), act(ActKind.REINSTATE, MAR, n=5, reservation=cyber)]
    assert outcome(suspended, APR) == "SUSPENDED"


def test_a_later_act_overrides_an_earlier_one_from_its_own_instant() -> None:
    sooner = [act(ActKind.GIVE_NOTICE, APR), act(ActKind.WITHDRAW, FEB, n=2)]
    assert series(sooner) == ["allow", "WITHDRAWN", "WITHDRAWN", "WITHDRAWN"]
    # A second notice with a later date does not give the first one back its time.
    longer = [act(ActKind.GIVE_NOTICE, MAR), act(ActKind.GIVE_NOTICE, APR, n=2)]
    assert series(longer) == ["allow", "allow", "WITHDRAWN", "WITHDRAWN"]


def test_the_world_changes_at_the_instants_of_its_acts() -> None:
    found = world([act(ActKind.GIVE_NOTICE, MAR)])
    assert MAR in found.changes
    assert found.at(Instant(MAR - 1)) is not found.at(MAR)
    assert found.files == (TREATY,)


KINDS = st.sampled_from(list(ActKind))
ACTS = st.lists(
    st.tuples(KINDS, st.sampled_from([JAN, FEB, MAR]), st.sampled_from(["USA", "FRA", "KEN", "NOR"])),
    max_size=6,
).map(
    lambda chosen: [
        act(kind, since, member=member, n=n, reservation=_reservation(kind, n))
        for n, (kind, since, member) in enumerate(chosen, 1)
    ]
)


def _reservation(kind: ActKind, n: int) -> Reservation | None:
    if kind is ActKind.RESERVE or (kind is ActKind.REINSTATE and n % 2):
        return Reservation(categories=frozenset(["cyber"]))
    return None


@settings(max_examples=200, deadline=None, derandomize=True)
@given(ACTS, st.randoms(use_true_random=False))
def test_the_order_in_which_acts_and_files_come_changes_nothing(acts, dice) -> None:  # type: ignore[no-untyped-def]
    other = replace(TREATY, id="other")
    mixed, files = list(acts), [TREATY, other]
    dice.shuffle(mixed)
    dice.shuffle(files)
    # Acts of different members are independent, whatever their numbers.
    again = [replace(one, n=[a for a in acts if a.member == one.member].index(one) + 1) for one in mixed]
    expected = compile_world(REGISTRY, MEMBERS, [TREATY, other], acts=acts).treaties
    for given_acts in (mixed, again):
        assert compile_world(REGISTRY, MEMBERS, files, acts=given_acts).treaties == expected


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    ACTS,
    st.sampled_from([ActKind.SUSPEND, ActKind.WITHDRAW, ActKind.GIVE_NOTICE, ActKind.RESERVE]),
    st.sampled_from([JAN, FEB, MAR]),
)
def test_an_act_that_restricts_never_adds_a_recipient(acts, kind, since) -> None:  # type: ignore[no-untyped-def]
    last = act(kind, since, n=len(acts) + 1, reservation=_reservation(kind, 0))
    for at in (JAN, FEB, MAR, APR):
        for recipient in ("USA", "KEN", "NOR"):
            if outcome([*acts, last], at, recipient) == "allow":
                assert outcome(acts, at, recipient) == "allow"


@settings(max_examples=200, deadline=None, derandomize=True)
@given(ACTS)
def test_no_act_gives_more_than_the_file_leaves_open(acts) -> None:  # type: ignore[no-untyped-def]
    for at in (JAN, FEB, MAR, APR):
        assert outcome(acts, at, "NOR") != "allow"
    ratified = [one for one in acts if one.kind is ActKind.RATIFY and one.member == "KEN"]
    if not ratified:
        assert outcome(acts, APR, "KEN") != "allow"
