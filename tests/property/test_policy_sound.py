"""What must hold of every decision, whatever is asked (invariants 4 to 8 of the policy guide)."""

import json
import random
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from intelshare.builtin import builtin_registry
from intelshare.errors import LabelError
from intelshare.instant import Instant
from intelshare.labels import (
    CONTROLS,
    TLP_WORDS,
    Label,
    Reference,
    convert,
    format_banner,
    format_portion,
    level_reference,
    parse_label,
    rollup,
)
from intelshare.policy import (
    OWN_PRODUCT,
    UNRESTRICTED,
    Outcome,
    ReadRequest,
    Request,
    World,
    check_egress,
    decide,
    read_decision,
)
from intelshare.policy.treaty import reference_of
from intelshare.policy.vectors import request_from_json, world_from_json
from policy_questions import (
    CATEGORIES,
    CODES,
    INSTANTS,
    MEMBERS,
    NAMES,
    WORLD,
    facts,
    labels,
    quick,
    requests,
)
from random_worlds import make_case, make_world

pytestmark = pytest.mark.timeout(60)

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


@quick
@given(
    st.builds(
        ReadRequest,
        label=st.builds(Label, authority=st.none() | words, level=st.none() | words, tlp=st.none() | words),
        category=words,
        at=st.integers(-(2**64), 2**65).map(Instant),
        member=words,
        clearance=st.none() | words,
        nationality=words,
        categories=st.frozensets(words, max_size=2),
        basis=st.none() | words,
    )
)
def test_any_reader_gets_a_decision_and_an_unknown_level_needs_the_highest_clearance(request):
    decision = read_decision(WORLD, request)
    if WORLD.at(request.at).facts(request.label).mark.unknown_level is not None and request.clearance != "R4":
        ladder = WORLD.registry.ladder(request.member)
        held = ladder.read(request.clearance or "", request.at)
        assert (held is not None and held.reference is Reference.R4) or not decision.allowed


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
        assert level_reference(request.label, WORLD.registry, request.at) <= reference_of(
            provision.ceiling, WORLD.registry, request.at
        )


@quick
@given(requests())
def test_a_warm_world_decides_as_a_fresh_one(request):
    fresh = World(WORLD.registry, WORLD.members, WORLD.treaties, WORLD.overlays)
    assert facts(decide(fresh, request)) == facts(decide(WORLD, request))


@quick
@given(st.randoms(use_true_random=False), st.integers(0, 2**32))
def test_random_worlds_decide_the_same_in_any_order_and_warm_as_fresh(dice, seed):
    """Invariants 3 and 7 where the world is random too; and at the recipient all holds are approved."""
    document = make_world(dice)
    warm = world_from_json(document)
    mixed = json.loads(json.dumps(document))
    mixer = random.Random(seed)
    for treaty in mixed["treaties"]:
        for name in ("parties", "provisions", "equivalence"):
            mixer.shuffle(treaty.get(name, []))
    mixer.shuffle(mixed["treaties"])
    for law in mixed["overlays"].values():
        for rules in law.values():
            mixer.shuffle(rules)
    other = world_from_json(mixed)
    for _ in range(3):
        request = request_from_json(make_case(dice, document))
        decision = decide(warm, request)
        fresh = World(warm.registry, warm.members, warm.treaties, warm.overlays)
        assert facts(decide(fresh, request)) == facts(decision) == facts(decide(other, request))
        at_recipient = decide(other, replace(request, released=True))
        assert (at_recipient.outcome is Outcome.DENY) == (decision.outcome is Outcome.DENY)
        assert at_recipient.codes == decision.codes
        assert (at_recipient.basis, at_recipient.obligations) == (decision.basis, decision.obligations)
        assert not at_recipient.holds


@quick
@given(st.randoms(use_true_random=False))
def test_texts_in_signed_directories_count_as_those_in_files(dice):
    """Directories that say what the files say change nothing; silent ones are TEXT_MISMATCH."""
    document = make_world(dice)
    files = world_from_json(document)
    said = {
        member: {
            treaty.id: party.text
            for treaty in files.treaties
            for party in treaty.parties
            if party.member == member and party.text is not None
        }
        for member in files.members
    }
    signed = World(files.registry, files.members, files.treaties, files.overlays, said)
    silent = World(files.registry, files.members, files.treaties, files.overlays, {code: {} for code in said})
    for _ in range(3):
        request = request_from_json(make_case(dice, document))
        decision = decide(files, request)
        assert facts(decide(signed, request)) == facts(decision)
        if decision.basis not in (None, OWN_PRODUCT, UNRESTRICTED):
            assert decide(silent, request).codes == ("TEXT_MISMATCH",)


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
    lists = ("releasable_to", "displayable_to", "fgi")
    assert format_banner(read, registry) == banner or any(getattr(label, name) for name in lists)
    for name in lists:
        assert set(getattr(read, name) or ()) == set(getattr(label, name) or ())
    assert replace(read, **{name: getattr(label, name) for name in lists}) == label
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
