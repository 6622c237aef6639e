"""What must hold of every decision, proved by z3 over the finite core; and that the model is the engine's.

``make prove`` runs this alone. The proofs hold for the worlds named here, for every question about them, and
for every change put in (any forbid, any reservation, any suspension), not for samples of them.
"""

import json
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random

import pytest
import z3

from intelshare import instant
from intelshare.builtin import builtin_registry, treaty_packs
from intelshare.errors import ConfigError
from intelshare.labels import Reference
from intelshare.policy import Outcome, Overlay, Rule, When, World, compile_world, decide, parse_treaty
from intelshare.policy.foreign import foreign_owners
from intelshare.policy.vectors import world_from_json
from intelshare.policy_tools import formula, parse_claim, prove
from intelshare.policy_tools.formula import Point
from intelshare.policy_tools.prove import request_of
from intelshare.policy_tools.symbolic import UNCHANGED, Change, Model
from random_worlds import make_world

pytestmark = pytest.mark.timeout(300)

REGISTRY = builtin_registry()
VECTORS = Path(__file__).parents[1] / "vectors" / "decisions.json"
WORLDS = {
    "packs": compile_world(
        REGISTRY,
        REGISTRY.nodes,
        [parse_treaty(path.read_text("utf-8"), path.name, REGISTRY) for path in treaty_packs().values()],
    ),
    "vectors": world_from_json(json.loads(VECTORS.read_text("utf-8"))["world"]),
    **{f"random {seed}": world_from_json(make_world(Random(seed))) for seed in range(8)},
}


@pytest.fixture(
    scope="module",
    params=[
        # The others are larger: `make prove` has them.
        name if name == "vectors" else pytest.param(name, marks=pytest.mark.soak)
        for name in WORLDS
    ],
)
def model(request):
    return Model(WORLDS[request.param])


@cache
def formulas_of(model):
    """The point ``p`` of a model: is it a question, does it pass, is it held. Made once, they are large."""
    p = model.point("p")
    return p, model.sound(p), model.passes(p), model.held(p)


# The model says what the engine says.


def random_point(model, dice):
    """A question with a label that can be written; the fields that must fit together do."""
    registry, members = model.world.registry, model.members
    changes = [change for change in model.world.changes if -(2**62) < change < 2**60]
    at = dice.choice(changes) + dice.choice((-1, 0, 0, 1, 10**13))
    authority = dice.choice([*members, *members, formula.JOINT, formula.TLP_ALONE])
    ladder = registry.ladder(authority)
    levels = [ladder.read(level.name, at) for row in ladder.rows for level in row.levels]
    states = [member for member in members if registry.is_state(member)]
    originator = authority if registry.is_state(authority) else dice.choice(states)
    recipient = dice.choice(sorted(model.world.members))
    sender = originator if dice.random() < 0.7 and originator in model.world.members else recipient
    alone = authority == formula.TLP_ALONE
    red = dice.random() < 0.1

    def yes(chance):
        return dice.random() < chance and not alone

    foreign = authority == "USA"
    fgi = foreign and dice.random() < 0.4
    return Point(
        at=at,
        originator=model.numbers[originator],
        sender=model.numbers[sender],
        recipient=model.numbers[recipient],
        authority=model.numbers[authority],
        reference=0 if alone else int(dice.choice([level for level in levels if level]).reference),
        category=dice.randrange(len(model.categories)),
        stated=yes(0.8),
        noforn=yes(0.1),
        eyes_only=yes(0.15),
        handled=yes(0.1),
        displayed=yes(0.2),
        fgi=fgi,
        third=fgi and dice.random() < 0.7,
        concealed=foreign and not fgi and dice.random() < 0.2,
        guarded=red or dice.random() < 0.2,
        red=red,
        consent=dice.random() < 0.8,
        over=dice.random() < 0.05,
        named={code: code == recipient or dice.random() < 0.3 for code in model.codes},
        shown={code: dice.random() < 0.3 for code in model.codes},
        flags={flag: dice.random() < 0.2 for flag in model.flags},
        approved={rule: dice.random() < 0.5 for rule in model.holds},
    )


def said_of(formulas, variables, values):
    """What the formulas come to at a point of plain numbers and truths."""
    pairs = []
    for name in Point.__slots__:
        variable, value = getattr(variables, name), getattr(values, name)
        couples = (
            [(variable[key], value[key]) for key in variable]
            if isinstance(variable, dict)
            else [(variable, value)]
        )
        pairs += [
            (one, z3.BoolVal(other) if z3.is_bool(one) else z3.IntVal(int(other))) for one, other in couples
        ]
    return [z3.is_true(z3.simplify(z3.substitute(each, *pairs))) for each in formulas]


def outcome_of(passes, held):
    return (Outcome.HOLD if held else Outcome.ALLOW) if passes else Outcome.DENY


def test_model_and_engine_agree_on_random_questions(model):
    variables, *formulas = formulas_of(model)
    dice = Random(1)
    seen = set()
    for _ in range(60):
        values = random_point(model, dice)
        sound, passes, held = said_of(formulas, variables, values)
        assert sound
        decision = decide(model.world, request_of(model, values))
        assert decision.outcome is outcome_of(passes, held), (values, decision)
        seen.add(decision.outcome)
    assert Outcome.DENY in seen


def test_model_and_engine_agree_all_around_what_passes(model):
    """What z3 lets pass, asked again at the instants of changes, at other levels, of other categories."""
    p, *formulas = formulas_of(model)
    changes = [change for change in model.world.changes if -(2**62) < change < 2**60]
    solver, dice, compared = z3.Solver(), Random(3), 0
    solver.add(formulas[0], formulas[1], p.recipient != p.originator, p.reference > 0)
    for _ in range(6):
        if solver.check() != z3.sat:
            break
        found = model.read(p, solver.model())
        solver.add(z3.Or(p.recipient != found.recipient, p.authority != found.authority))
        for _ in range(25):
            values = replace(
                found,
                at=dice.choice([found.at, *changes, *changes]) - dice.choice((0, 0, 1)),
                reference=dice.choice((found.reference, found.reference, dice.randrange(5))),
                category=dice.choice((found.category, dice.randrange(len(model.categories)))),
            )
            sound, passes, held = said_of(formulas, p, values)
            if sound:
                compared += 1
                decision = decide(model.world, request_of(model, values))
                assert decision.outcome is outcome_of(passes, held), (values, decision)
    assert compared or model.world is not WORLDS["vectors"]


@pytest.mark.parametrize("outcome", Outcome)
def test_model_and_engine_agree_on_questions_that_z3_finds(model, outcome):
    """Each for another recipient or category."""
    p, sound, passes, held = formulas_of(model)
    solver = z3.Solver()
    solver.add(
        sound,
        p.recipient != p.originator,
        p.reference > 0,
        passes if outcome is not Outcome.DENY else z3.Not(passes),
        held if outcome is Outcome.HOLD else z3.Not(held) if outcome is Outcome.ALLOW else True,
    )
    found = set()
    while len(found) < 10 and solver.check() == z3.sat:
        values = model.read(p, solver.model())
        assert decide(model.world, request_of(model, values)).outcome is outcome
        found.add((values.recipient, values.category))
        solver.add(z3.Or(p.recipient != values.recipient, p.category != values.category))
    # Some random worlds let nothing through.
    assert found or model.world is not WORLDS["vectors"]


# Invariants 1 and 2: what is stricter never adds a recipient.


def never_adds(model, q, *premises, change=UNCHANGED):
    """None: what goes, or goes without an officer, under ``q`` and the change does so under p."""
    solver = z3.Solver()
    p, sound, looser, held = formulas_of(model)
    solver.add(sound, model.sound(q), *premises)
    stricter = model.passes(q, change)
    solver.add(
        z3.Or(
            z3.And(stricter, z3.Not(looser)),
            z3.And(
                stricter,
                z3.Not(model.held(q, change)),
                z3.Not(z3.And(looser, z3.Not(held))),
            ),
        )
    )
    answer = solver.check()
    return None if answer == z3.unsat else model.read(p, solver.model()) if answer == z3.sat else answer


def fresh(names):
    return {name: z3.Bool(f"change.{name}") for name in names}


def test_raising_the_level_never_adds_a_recipient(model):
    p, *_ = formulas_of(model)
    q = replace(p, reference=z3.Int("higher"))
    assert never_adds(model, q, q.reference >= p.reference) is None


@pytest.mark.parametrize("control", ["noforn", "handled", "eyes_only", "third", "concealed"])
def test_adding_a_control_never_adds_a_recipient(model, control):
    p, *_ = formulas_of(model)
    # EYES ONLY is not in the list of the invariant, and holds as well.
    assert never_adds(model, replace(p, **{control: z3.BoolVal(True)})) is None


def test_adding_any_forbid_never_adds_a_recipient(model):
    p, *_ = formulas_of(model)
    assert never_adds(model, p, change=Change(forbidden=z3.Bool("any condition"))) is None


def test_adding_any_reservation_never_adds_a_recipient(model):
    p, *_ = formulas_of(model)
    change = Change(reserved=fresh(treaty.id for treaty in model.world.treaties))
    assert never_adds(model, p, change=change) is None


@pytest.mark.parametrize("field", ["named", "shown"])
def test_removing_codes_from_a_list_never_adds_a_recipient(model, field):
    p, *_ = formulas_of(model)
    q = replace(p, **{field: fresh(model.codes)})
    fewer = [z3.Implies(getattr(q, field)[code], getattr(p, field)[code]) for code in model.codes]
    assert never_adds(model, q, *fewer) is None


def test_removing_consents_or_approvals_never_adds_a_recipient(model):
    p, *_ = formulas_of(model)
    q = replace(p, consent=z3.Bool("q.consent"), approved=fresh(model.holds))
    fewer = [z3.Implies(q.approved[rule], p.approved[rule]) for rule in model.holds]
    assert never_adds(model, q, z3.Implies(q.consent, p.consent), *fewer) is None


def test_suspending_withdrawing_or_terminating_never_adds_a_recipient(model):
    p, *_ = formulas_of(model)
    change = Change(idle=fresh(treaty.id for treaty in model.world.treaties))
    assert never_adds(model, p, change=change) is None


def named_by(world, field, kinds=("forbid", "refuse", "hold")):
    rules = [rule for law in world.overlays.values() for kind in kinds for rule in getattr(law, kind)]
    return {code for rule in rules for code in getattr(rule.when, field) or ()}


def test_ending_a_membership_never_adds_a_recipient_unless_a_rule_names_the_group(model):
    p, *_ = formulas_of(model)
    free = set(model.world.registry.groups) - named_by(model.world, "to_group")
    assert never_adds(model, p, change=Change(left=fresh(sorted(free)))) is None


def test_starting_a_membership_adds_only_whom_the_group_covers_or_frees(model):
    p, sound, passes, _ = formulas_of(model)
    registry = model.world.registry
    for code in sorted(set(registry.groups) - named_by(model.world, "to_group")):
        before = Change(left={code: z3.BoolVal(True)})
        covered = z3.Or(z3.And(p.stated, p.named[code]), z3.And(p.displayed, p.shown[code]))
        if registry.is_organisation(code):
            covered = z3.Or(covered, p.authority == model.numbers[code])
        freed = code in named_by(model.world, "not_to_group")
        solver = z3.Solver()
        solver.add(sound, passes, z3.Not(model.passes(p, before)))
        solver.add(z3.Not(z3.And(model.inside(p, code), z3.Or(covered, freed))))
        assert solver.check() == z3.unsat


@pytest.mark.parametrize("what", ["forbidden", "reserved", "idle", "left"])
def test_each_change_takes_somebody_away_else_its_proof_says_nothing(what):
    model = Model(WORLDS["vectors"])
    p, sound, passes, _ = formulas_of(model)
    names = {
        "reserved": [treaty.id for treaty in model.world.treaties],
        "idle": [treaty.id for treaty in model.world.treaties],
        "left": sorted(model.world.registry.groups),
    }
    every = z3.BoolVal(True)
    change = Change(**{what: dict.fromkeys(names[what], every) if what in names else every})
    solver = z3.Solver()
    solver.add(sound, passes, z3.Not(model.passes(p, change)))
    assert solver.check() == z3.sat


def test_a_proof_can_fail():
    """A forbid that names a group in ``to_group`` frees whoever leaves it: z3 finds just that."""
    base = WORLDS["vectors"]
    law = Overlay("FRA", forbid=(Rule("not to EU", When(to_group=("EU",))),))
    world = World(base.registry, base.members, base.treaties, {"FRA": law})
    model = Model(world)
    p, *_ = formulas_of(model)
    left = Change(left={"EU": z3.BoolVal(True)})
    found = never_adds(model, p, p.originator == model.numbers["FRA"], change=left)
    assert isinstance(found, Point)
    assert decide(world, request_of(model, found)).outcome is Outcome.DENY


# A slip of the label never skips the treaty test.


def test_what_is_handed_in_goes_to_others_by_a_treaty_or_unclassified(model):
    p, sound, passes, _ = formulas_of(model)
    solver = z3.Solver()
    solver.add(sound, passes, model.handed_in(p), p.recipient != p.sender, p.reference > 0)
    assert solver.check() == z3.sat or model.world is not WORLDS["vectors"]
    solver.add(z3.Not(model.treaty(p)))
    assert solver.check() == z3.unsat


def test_without_the_rule_a_slip_goes_to_its_own_state_without_a_treaty():
    """Else the proof before says nothing: z3 finds the slip, and the engine lets it go as OWN_PRODUCT."""
    model = Model(WORLDS["vectors"])
    p, sound, passes, _ = formulas_of(model)
    solver = z3.Solver()
    usa = model.numbers["USA"]
    solver.add(sound, passes, p.recipient != p.sender, p.reference > 0, z3.Not(model.treaty(p)))
    solver.add(p.authority == usa, p.recipient == usa)
    assert solver.check() == z3.sat
    request = request_of(model, model.read(p, solver.model()))
    assert decide(model.world, request).basis == "OWN_PRODUCT"
    assert foreign_owners(request.label, request.sender, model.world.registry)


def test_the_model_takes_what_submit_takes(model):
    variables, dice, taken = model.point("p"), Random(5), Counter()
    for _ in range(200):
        values = random_point(model, dice)
        request = request_of(model, values)
        own = not foreign_owners(request.label, request.sender, model.world.registry)
        # Whose a draft is, its sender says; a JOINT label lets it, if it is an owner.
        (said,) = said_of([model.handed_in(variables)], variables, values)
        assert said is (own and values.originator == values.sender), request
        taken[said] += 1
    assert min(taken[True], taken[False]) > 10


# Claims.


WORLD = WORLDS["vectors"]


@pytest.mark.parametrize(
    ("claim", "proved"),
    [
        ("no SECRET to KEN before 2023", True),
        ("no SECRET to KEN", False),
        ("no R4 to anybody of USA with source-identity from FRA after 2026", False),
        ("no SECRET to IRN", True),
        ("no FRA SECRET to USA after 2022", False),
        ("no FRA SECRET to USA before 1945", True),
        ("no NATO SECRET to anybody outside NATO", False),
        ("no NATO SECRET to KEN before 2023", True),
        ("no NATO SECRET to NATO about cyber", False),
        ("no R1 to USA of FRA about proliferation after 2018-05-08", None),
        ("no R1 to SWE with source-identity", True),
        ("no SECRET to TUR of USA about hybrid-influence", True),
    ],
)
def test_a_claim_is_proved_or_its_counterexample_is_decided(claim, proved):
    asked = parse_claim(claim, WORLD.registry)
    proof = prove(WORLD, asked)
    if proved is not None:
        assert (proof.counterexample is None) is proved
    if proof.counterexample is None:
        return
    request = proof.counterexample.request
    decision = decide(WORLD, request)
    assert decision == proof.counterexample.decision
    assert decision.outcome is not Outcome.DENY
    assert asked.during.holds(request.at)
    assert asked.recipient in (None, request.recipient)
    assert asked.originator in (None, decision.originator)
    assert asked.sender in (None, request.sender)
    assert asked.category in (None, request.category)
    assert WORLD.at(request.at).facts(request.label).mark.reference >= asked.least


def test_a_claim_about_words_that_no_file_knows_says_so():
    proof = prove(WORLD, parse_claim("no SECRET to KEN about cyberr with secret-sauce", WORLD.registry))
    assert proof.counterexample is None
    assert 'did you mean "cyber"?' in proof.notes[0]
    assert "secret-sauce" in proof.notes[1]


def test_a_claim_is_read_in_full():
    claim = parse_claim(
        "no nato secret to anybody outside EU of USA from FRA about cyber with personal-data "
        "between 2020 and 2021-06-30",
        WORLD.registry,
    )
    assert (claim.least, claim.authority, claim.recipient, claim.outside) == (
        Reference.R3,
        "NATO",
        None,
        "EU",
    )
    assert (claim.originator, claim.sender, claim.category, claim.flag) == (
        "USA",
        "FRA",
        "cyber",
        "personal-data",
    )
    assert claim.during == (instant.parse("2020-01-01"), instant.parse("2021-06-30"))


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("", 1),
        ("all SECRET to USA", 1),
        ("no to USA", 1),
        ("no SECERT to USA", 4),
        ("no SECRET//NOFORN to USA", 4),
        ("no SECRET", 4),
        ("no SECRET to", 11),
        ("no SECRET to Mars", 14),
        ("no SECRET to USA to FRA", 18),
        ("no SECRET to anybody except USA", 22),
        ("no SECRET to anybody outside QQQ", 30),
        ("no SECRET to USA before tomorrow", 25),
        ("no SECRET to USA between 2020", 1),
        ("no SECRET to USA after 2021 before 2020", 1),
        ("no SECRET to USA about cyber crime", 30),
    ],
)
def test_a_claim_that_cannot_be_read_says_where(text, column):
    with pytest.raises(ConfigError) as caught:
        parse_claim(text, WORLD.registry)
    assert caught.value.code == "INPUT_INVALID"
    assert caught.value.place.column == column
    assert caught.value.hint


def test_without_z3_the_error_names_the_extra(monkeypatch):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(formula, "import_module", absent)
    with pytest.raises(ConfigError) as caught:
        prove(WORLD, parse_claim("no SECRET to KEN", WORLD.registry))
    assert caught.value.code == "EXTRA_MISSING"
    assert "intelshare[prove]" in caught.value.hint
