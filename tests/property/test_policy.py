"""What makes a release stricter never adds a recipient, and order changes nothing (invariants 1 to 3)."""

import random
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from intelshare.errors import LabelError
from intelshare.instant import NEVER
from intelshare.labels import NOFORN, ORCON, Interval, Registry, level_reference, rollup
from intelshare.policy import Outcome, Overlay, Reservation, Rule, When, World, decide
from policy_questions import (
    CATEGORIES,
    INSTANTS,
    MEMBERS,
    NAMES,
    STATES,
    WORLD,
    facts,
    labels,
    quick,
    requests,
)
from random_worlds import RULES

pytestmark = pytest.mark.timeout(60)

RANK = {Outcome.DENY: 0, Outcome.HOLD: 1, Outcome.ALLOW: 2}


def rank(world, request):
    return RANK[decide(world, request).outcome]


def with_treaties(change):
    return World(WORLD.registry, WORLD.members, tuple(map(change, WORLD.treaties)), WORLD.overlays)


# 1. More protection never adds a recipient.


@quick
@given(requests(), st.data())
def test_raising_the_level_never_adds_a_recipient(request, data):
    label = request.label
    assume(label.authority is not None)
    registry = WORLD.registry
    own = level_reference(label, registry, request.at)
    assume(own is not None)
    raised = data.draw(st.sampled_from(NAMES[label.authority]))
    higher = replace(label, level=raised)
    reference = level_reference(higher, registry, request.at)
    assume(reference is not None and reference >= own)
    assert rank(WORLD, replace(request, label=higher)) <= rank(WORLD, request)


@quick
@given(requests(), st.sampled_from([NOFORN, ORCON]))
def test_adding_noforn_or_orcon_never_adds_a_recipient(request, control):
    stricter = replace(request.label, controls=tuple({*request.label.controls, control}))
    assert rank(WORLD, replace(request, label=stricter)) <= rank(WORLD, request)


@quick
@given(
    requests(),
    st.builds(
        When,
        categories=st.none() | st.frozensets(st.sampled_from(CATEGORIES), max_size=2),
        level_at_least=st.none() | st.sampled_from(["R1", "R3", "NATO SECRET", "nonsense"]),
        to_group=st.none() | st.sampled_from([("EU",), ("FVEY", "NATO"), ("QQQ",)]),
        not_to_group=st.none() | st.sampled_from([("EU",), ("NATO",), ("QQQ",)]),
    ),
)
def test_adding_a_forbid_never_adds_a_recipient(request, when):
    own = WORLD.overlays.get(request.sender, Overlay(request.sender))
    stricter = replace(own, forbid=(*own.forbid, Rule("new", when)))
    world = World(WORLD.registry, WORLD.members, WORLD.treaties, {**WORLD.overlays, request.sender: stricter})
    assert rank(world, request) <= rank(WORLD, request)


@quick
@given(
    requests(),
    st.builds(
        Reservation,
        categories=st.none() | st.frozensets(st.sampled_from(CATEGORIES), max_size=2),
        level_at_least=st.none() | st.sampled_from(["R1", "R3"]),
        counterparties=st.none() | st.frozensets(st.sampled_from(MEMBERS), max_size=3),
    ),
    st.sampled_from(MEMBERS),
)
def test_adding_a_reservation_never_adds_a_recipient(request, reservation, member):
    def reserve(party):
        if party.member != member:
            return party
        return replace(party, reservations=(*party.reservations, reservation))

    world = with_treaties(lambda treaty: replace(treaty, parties=tuple(map(reserve, treaty.parties))))
    assert rank(world, request) <= rank(WORLD, request)


# 2. Less permission never adds a recipient.


@quick
@given(requests(), st.data())
def test_removing_a_code_from_rel_to_never_adds_a_recipient(request, data):
    named = request.label.releasable_to
    assume(named is not None and len(named) > 1)
    gone = data.draw(st.sampled_from(named))
    fewer = replace(request.label, releasable_to=tuple(code for code in named if code != gone))
    assert rank(WORLD, replace(request, label=fewer)) <= rank(WORLD, request)


@quick
@given(requests())
def test_removing_consents_or_approvals_never_adds_a_recipient(request):
    assert rank(WORLD, replace(request, consents=frozenset())) <= rank(WORLD, request)
    assert rank(WORLD, replace(request, approvals=frozenset())) <= rank(WORLD, request)


@quick
@given(requests(), st.sampled_from(MEMBERS), st.sampled_from(["suspend", "withdraw", "terminate"]))
def test_suspending_withdrawing_or_terminating_never_adds_a_recipient(request, member, act):
    def lose(party):
        if party.member != member:
            return party
        if act == "suspend":
            return replace(party, suspended=(*party.suspended, Interval(request.at, NEVER)))
        ended = tuple(
            Interval(start, min(until, request.at)) for start, until in party.in_force if start < request.at
        )
        return replace(party, in_force=ended)

    def change(treaty):
        if act == "terminate":
            return replace(treaty, terminated=min(treaty.terminated, request.at))
        return replace(treaty, parties=tuple(map(lose, treaty.parties)))

    assert rank(with_treaties(change), request) <= rank(WORLD, request)


def regrouped(code, change):
    """The world with other intervals of one group's members."""
    registry = WORLD.registry
    group = registry.groups[code]
    members = {state: change(state, intervals) for state, intervals in group.members.items()}
    groups = {**registry.groups, code: replace(group, members=members)}
    other = Registry(registry.states, groups, registry.ladders)
    return World(other, WORLD.members, WORLD.treaties, WORLD.overlays)


def names_group(field, code):
    """Whether a forbid, refuse or hold names the group in that field."""
    rules = [rule for law in WORLD.overlays.values() for rule in (*law.forbid, *law.refuse, *law.hold)]
    return any(code in (getattr(rule.when, field) or ()) for rule in rules)


@quick
@given(requests(), st.sampled_from(sorted(WORLD.registry.groups)), st.sampled_from(STATES))
def test_ending_a_membership_never_adds_a_recipient(request, code, leaver):
    def leave(state, intervals):
        if state != leaver:
            return intervals
        return tuple(
            Interval(start, min(until, request.at)) for start, until in intervals if start < request.at
        )

    assume(not names_group("to_group", code))
    assert rank(regrouped(code, leave), request) <= rank(WORLD, request)


@quick
@given(requests(), st.sampled_from(sorted(WORLD.registry.groups)), st.sampled_from(MEMBERS))
def test_starting_a_membership_adds_only_whom_the_group_covers_or_frees(request, code, joiner):
    joined = {joiner: (Interval(request.at, NEVER),)}
    registry = WORLD.registry
    assume(registry.is_state(joiner) and not names_group("to_group", code))
    group = registry.groups[code]
    groups = {**registry.groups, code: replace(group, members={**group.members, **joined})}
    wider = World(
        Registry(registry.states, groups, registry.ladders), WORLD.members, WORLD.treaties, WORLD.overlays
    )
    if rank(wider, request) > rank(WORLD, request):
        label = request.label
        assert request.recipient == joiner
        assert (
            code in (label.releasable_to or ())
            or label.authority == code
            or names_group("not_to_group", code)
        )


# 3. Order changes nothing.


@quick
@given(requests(), st.integers(0, 2**32))
def test_order_of_files_rules_and_codes_changes_nothing(request, seed):
    dice = random.Random(seed)

    def shuffled(items):
        return tuple(dice.sample(list(items), len(items)))

    world = World(
        WORLD.registry,
        WORLD.members,
        shuffled(
            [
                replace(
                    treaty,
                    parties=shuffled(treaty.parties),
                    provisions=shuffled(treaty.provisions),
                    equivalence=shuffled(treaty.equivalence),
                )
                for treaty in WORLD.treaties
            ]
        ),
        {
            member: replace(law, **{kind: shuffled(getattr(law, kind)) for kind in RULES})
            for member, law in WORLD.overlays.items()
        },
    )
    label = request.label
    named = label.releasable_to
    other = replace(
        label,
        releasable_to=None if named is None else shuffled(named),
        controls=shuffled(label.controls),
        owners=shuffled(label.owners),
    )
    assert facts(decide(world, replace(request, label=other))) == facts(decide(WORLD, request))


@quick
@given(st.lists(labels(("USA", "FRA", "DEU")), min_size=1, max_size=4), st.sampled_from(INSTANTS))
def test_order_of_portions_does_not_change_the_banner(portions, at):
    try:
        banner = rollup("USA", at, portions, WORLD.registry)
    except LabelError:
        return
    assert rollup("USA", at, portions[::-1], WORLD.registry) == banner
