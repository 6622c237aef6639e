"""What must hold of every decision, whatever is asked (docs: policy guide, "Invariants")."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from intelshare import instant
from intelshare.errors import LabelError
from intelshare.instant import NEVER, Instant
from intelshare.labels import (
    CONTROLS,
    JOINT,
    NOFORN,
    ORCON,
    TLP_WORDS,
    Interval,
    Label,
    Reference,
    convert,
    format_banner,
    format_portion,
    level_reference,
    parse_label,
    rollup,
)
from intelshare.packs import builtin_registry
from intelshare.policy import (
    OWN_PRODUCT,
    UNRESTRICTED,
    Outcome,
    Overlay,
    Request,
    Reservation,
    Rule,
    When,
    World,
    check_egress,
    decide,
)
from intelshare.policy.vectors import world_from_json

pytestmark = pytest.mark.timeout(60)
quick = settings(max_examples=150, deadline=None, derandomize=True)

PIECES = [
    "//",
    "/",
    "(",
    ")",
    ",",
    ":",
    "TLP:",
    "REL_TO",
    "RELEASABLE_TO",
    "USA",
    "FRA",
    "NATO",
    "ZZZ",
    "JOINT",
    "NOFORN",
    "RED",
    "S",
    "SECRET",
    "UNMARKED",
    "ſ",
]
VECTORS = Path(__file__).parents[1] / "vectors" / "decisions.json"
WORLD = world_from_json(json.loads(VECTORS.read_text("utf-8"))["world"])
RANK = {Outcome.DENY: 0, Outcome.HOLD: 1, Outcome.ALLOW: 2}
NAMES = {
    authority: [
        level.name
        for row in WORLD.registry.ladder(authority).rows
        for level in row.levels
        if level.name != "UNMARKED" or authority in ("EU", "KEN", "CHE")
    ]
    for authority in ("USA", "FRA", "GBR", "DEU", "POL", "KEN", "CHE", "NATO", "EU", JOINT)
}
CODES = sorted({*WORLD.members, *WORLD.registry.groups})
STATES = sorted(WORLD.registry.states)
MEMBERS = ["USA", "FRA", "GBR", "DEU", "POL", "KEN", "UKR", "SWE", "FIN", "NATO", "EU"]
CATEGORIES = ["cyber", "terrorism", "organised-crime", "climate-disaster", "arms-transfer", "proliferation"]
FLAGS = ["personal-data", "source-identity"]
INSTANTS = [*map(instant.parse, ("1990-01-01", "2019-06-01", "2021-06-01", "2024-06-01", "2026-06-01"))]


@st.composite
def labels(draw, authorities=tuple(NAMES)):
    """Sound labels of all authorities, as a parser would give them (up to the order of codes)."""
    if draw(st.integers(0, 9)) == 0:
        return Label(tlp=draw(st.sampled_from(TLP_WORDS)))
    authority = draw(st.sampled_from(authorities))
    owners = ()
    if authority == JOINT:
        owners = tuple(sorted(draw(st.sets(st.sampled_from(STATES[:6]), min_size=2, max_size=3))))
    controls = draw(st.sets(st.sampled_from(CONTROLS), max_size=2))
    releasable = None
    if NOFORN not in controls and draw(st.booleans()):
        named = draw(st.sets(st.sampled_from([*MEMBERS, "FVEY"]), min_size=1, max_size=5))
        releasable = tuple(sorted(named | (set(owners) if owners else {authority})))
    return Label(
        authority=authority,
        level=draw(st.sampled_from(NAMES[authority])),
        releasable_to=releasable,
        controls=tuple(control for control in CONTROLS if control in controls),
        tlp=draw(st.sampled_from([None, None, None, *TLP_WORDS])),
        owners=owners,
    )


@st.composite
def requests(draw):
    label = draw(labels())
    sender = draw(st.sampled_from(MEMBERS))
    if label.authority in MEMBERS and draw(st.integers(0, 3)):
        sender = label.authority
    return Request(
        label=label,
        category=draw(st.sampled_from(CATEGORIES)),
        at=draw(st.sampled_from(INSTANTS)),
        sender=sender,
        recipient=draw(st.sampled_from(MEMBERS)),
        originator=draw(st.sampled_from([None, None, "USA"])),
        flags=frozenset(draw(st.sets(st.sampled_from(FLAGS), max_size=1))),
        consents=frozenset(draw(st.sets(st.sampled_from(MEMBERS), max_size=4))),
        approvals=frozenset(draw(st.sets(st.sampled_from(["USA-two-person", "FRA-terrorism-release"])))),
    )


def rank(world, request):
    return RANK[decide(world, request).outcome]


def facts(decision):
    return (
        decision.outcome,
        decision.codes,
        decision.basis,
        decision.obligations,
        decision.holds,
        decision.citations,
        decision.findings,
    )


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
            member: replace(law, forbid=shuffled(law.forbid), hold=shuffled(law.hold))
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


# 4. Converting never lowers; the banner is no wider than any portion.


@quick
@given(st.sampled_from(sorted(NAMES)), st.sampled_from(sorted(NAMES)), st.sampled_from(INSTANTS), st.data())
def test_converting_there_and_back_never_lowers(origin, to, at, data):
    registry = WORLD.registry
    name = data.draw(st.sampled_from(NAMES[origin]))
    level = registry.ladder(origin).read(name, at)
    assume(level is not None)
    try:
        there = convert(registry, origin, name, to, at)
        back = convert(registry, to, there.name, origin, at)
    except LabelError:
        return
    assert level.reference <= there.reference <= back.reference


@quick
@given(
    st.sampled_from(["USA", "FRA", "DEU", "NATO", "EU"]),
    st.sampled_from(INSTANTS[1:]),
    st.sampled_from(CATEGORIES),
    st.sampled_from(MEMBERS),
    st.data(),
)
def test_whoever_may_receive_the_banner_may_receive_each_portion(originator, at, category, recipient, data):
    portions = data.draw(st.lists(labels((originator,)), min_size=1, max_size=3))
    assume(recipient != originator)
    try:
        banner = rollup(originator, at, portions, WORLD.registry)
    except LabelError:
        return
    request = Request(banner, category, at, originator, recipient, released=True)
    if decide(WORLD, request).outcome is Outcome.ALLOW:
        for portion in portions:
            assert decide(WORLD, replace(request, label=portion)).outcome is Outcome.ALLOW, portion


# 5. Total: whatever is asked gets a decision, and what is unknown denies.

words = st.sampled_from([*CODES, *CATEGORIES, *CONTROLS, "SECRET", "R4", "*", ""]) | st.text(max_size=4)


@quick
@given(
    st.builds(
        Request,
        label=st.builds(
            Label,
            authority=st.none() | words,
            level=st.none() | words,
            releasable_to=st.none() | st.lists(words, max_size=3).map(tuple),
            controls=st.lists(words, max_size=3).map(tuple),
            tlp=st.none() | words | st.sampled_from(TLP_WORDS),
            owners=st.lists(words, max_size=2).map(tuple),
        ),
        category=words,
        at=st.integers(-(2**64), 2**65).map(Instant),
        sender=words,
        recipient=words,
        originator=st.none() | words,
        flags=st.frozensets(words, max_size=2),
        consents=st.frozensets(words, max_size=2),
        valid_until=st.none() | st.integers(-(2**64), 2**65).map(Instant),
    )
)
def test_any_request_gets_a_decision_and_the_unknown_denies(request):
    decision = decide(WORLD, request)
    unknown = {request.sender, request.recipient} - WORLD.members
    unknown |= {code for code in request.label.releasable_to or () if code not in CODES}
    unknown |= set(request.label.controls) - set(CONTROLS)
    if unknown:
        assert decision.outcome is Outcome.DENY
    assert (decision.outcome is Outcome.DENY) == bool(decision.reasons)


# 6 and 7. Every allow stands on something; a warm world decides as a fresh one.


@quick
@given(requests())
def test_every_allow_names_a_treaty_in_force_between_the_two(request):
    decision = decide(WORLD, request)
    if decision.outcome is Outcome.DENY or decision.basis in (OWN_PRODUCT, UNRESTRICTED):
        assert not decision.citations
        return
    (treaty,) = [treaty for treaty in WORLD.treaties if treaty.id == decision.basis]
    assert treaty.in_force <= request.at < treaty.terminated
    for member in (decision.originator, request.recipient):
        (party,) = [party for party in treaty.parties if party.member == member]
        assert any(interval.holds(request.at) for interval in party.in_force)
        assert not any(interval.holds(request.at) for interval in party.suspended)
    articles = {provision.article: provision for provision in treaty.provisions}
    assert decision.citations
    for citation in decision.citations:
        provision = articles[citation.article]
        assert citation.text == treaty.text
        assert {request.category, "*"} & provision.categories
        assert provision.in_effect(request.at)


@quick
@given(requests())
def test_a_warm_world_decides_as_a_fresh_one(request):
    fresh = World(WORLD.registry, WORLD.members, WORLD.treaties, WORLD.overlays)
    assert facts(decide(fresh, request)) == facts(decide(WORLD, request))


@quick
@given(requests())
def test_egress_lets_through_whatever_decide_allows(request):
    decision = decide(WORLD, request)
    if decision.outcome is not Outcome.DENY:
        text = format_banner(request.label, WORLD.registry)
        check_egress(text, request.recipient, decision.originator, WORLD.registry, request.at)


# 8. Text forms.


@quick
@given(labels())
def test_parse_of_format_is_the_label_and_format_is_canonical(label):
    registry = builtin_registry()
    banner = format_banner(label, registry)
    read = parse_label(banner, registry)
    assert format_banner(read, registry) == banner or label.releasable_to is not None
    assert set(read.releasable_to or ()) == set(label.releasable_to or ())
    assert replace(read, releasable_to=label.releasable_to) == label
    canonical = format_banner(read, registry)
    for text in (canonical, format_portion(read, registry), f"  {canonical.lower().replace(' ', '   ')} "):
        assert parse_label(text, registry) == read


@quick
@given(
    st.text(max_size=60)
    | st.lists(
        st.sampled_from([*PIECES, " ", "  ", "COSMIC TOP SECRET"]),
        max_size=12,
    ).map(lambda pieces: "".join(pieces).replace("_", " "))
)
def test_any_text_is_a_label_or_a_label_error(text):
    registry = builtin_registry()
    try:
        label = parse_label(text, registry)
    except LabelError as error:
        place = error.place
        assert place is None or (place.column >= 1 and place.width >= 1)
        return
    assert parse_label(format_banner(label, registry), registry) == label
    assert level_reference(label, registry, INSTANTS[-1]) in Reference
