"""The engine and a second, plain reading of the same words (``plain_reading.py``) agree on random worlds.

``python tests/property/test_policy_agreement.py WORLDS [SEED]`` compares as many as one has patience for and
prints each disagreement as a vector.
"""

import json
import sys
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import plain_reading
import plain_words
from intelshare import instant
from intelshare.errors import LabelError
from intelshare.labels import Equivalence, convert, rollup
from intelshare.policy import Outcome, decide, read_decision
from intelshare.policy.foreign import comes_from, foreign_owners
from intelshare.policy.vectors import (
    label_from_json,
    label_to_json,
    read_request_from_json,
    request_from_json,
    world_from_json,
)
from random_worlds import make_case, make_conversion, make_handed_in, make_portions, make_reading, make_world

pytestmark = pytest.mark.timeout(120)
thorough = settings(max_examples=60, deadline=None, derandomize=True)
dice = st.randoms(use_true_random=False)

VECTORS = Path(__file__).parents[1] / "vectors" / "decisions.json"
BULK_WORLDS = 2000


def engine_decides(world, case):
    decision = decide(world, request_from_json(case))
    if decision.outcome is Outcome.DENY:
        return {"outcome": "deny", "reasons": list(decision.codes)}
    return {
        "outcome": decision.outcome.value,
        "basis": decision.basis,
        "obligations": list(decision.obligations),
        "articles": sorted(citation.article for citation in decision.citations),
        "holds": list(decision.holds),
    }


def engine_reads(world, case):
    decision = read_decision(world, read_request_from_json(case))
    if decision.allowed:
        return {"outcome": "allow"}
    return {"outcome": "deny", "reasons": [code.value for code in decision.codes]}


def engine_rolls_up(world, case):
    portions = [label_from_json(portion) for portion in case["portions"]]
    try:
        label = rollup(case["originator"], instant.parse(case["at"]), portions, world.registry)
    except LabelError as error:
        return {"error": error.code}
    return label_to_json(label)


def engine_converts(world, case):
    rows = [Equivalence(row["from"], row["level"], row["to"], row["as"]) for row in case["rows"]]
    try:
        found = convert(
            world.registry,
            case["from"],
            case["level"],
            case["to"],
            instant.parse(case["at"]),
            rows=tuple(rows),
        )
    except LabelError as error:
        return {"error": error.code}
    return {"level": found.name, "reference": found.reference.name}


def plain_converts(document, case):
    at = plain_words.moment(case["at"])
    worth = plain_words.worth_of(document, case["from"], case["level"], at)
    if worth is None:
        return {"error": "UNKNOWN_LEVEL"}
    found = plain_words.convert(document, case["from"], worth, case["to"], at, case["rows"])
    return {"error": "NO_EQUIVALENCE"} if found is None else {"level": found[0], "reference": f"R{found[1]}"}


def plain_rolls_up(document, case):
    return plain_words.banner(document, case["originator"], case["at"], case["portions"])


def engine_takes(world, case):
    label, source = label_from_json(case["label"]), case["source"]
    if not foreign_owners(label, case["member"], world.registry):
        return {"outcome": "accepted"}
    known = [label_from_json(portion) for portion in source["portions"]] if source else []
    if source is not None and comes_from(label, source["originator"], known, world.registry):
        return {"outcome": "accepted"}
    return {"error": "FOREIGN_LABEL"}


def plain_takes(document, case):
    taken = plain_reading.may_hand_in(document, case["label"], case["member"], case["source"])
    return {"outcome": "accepted"} if taken else {"error": "FOREIGN_LABEL"}


PAIRS = {
    "handed in": (make_handed_in, plain_takes, engine_takes),
    "decision": (make_case, plain_reading.decide, engine_decides),
    "reading": (make_reading, plain_reading.read, engine_reads),
    "banner": (make_portions, plain_rolls_up, engine_rolls_up),
    "conversion": (make_conversion, plain_converts, engine_converts),
}


@pytest.mark.parametrize("kind", PAIRS)
@thorough
@given(dice)
def test_engine_and_plain_reading_agree(kind, dice):
    make, plain, engine = PAIRS[kind]
    document = make_world(dice)
    case = make(dice, document)
    assert engine(world_from_json(document), case) == plain(document, case)


def test_the_plain_reading_answers_the_vectors():
    document = json.loads(VECTORS.read_text("utf-8"))
    for case in document["cases"]:
        plain = plain_reading.read if "reader" in case else plain_reading.decide
        answer = plain(document["world"], case)
        assert {name: answer[name] for name in case["expect"]} == case["expect"], case["id"]
        assert answer["outcome"] == case["expect"]["outcome"]


def disagreements(worlds, seed):
    """Every disagreement of that many worlds, as vectors; and how often each outcome and code came up."""
    found, seen = [], Counter()
    for number in range(worlds):
        dice = Random(f"{seed}/{number}")
        document = make_world(dice)
        world = world_from_json(document)
        for kind, times in (
            ("decision", 12),
            ("reading", 6),
            ("banner", 3),
            ("conversion", 3),
            ("handed in", 3),
        ):
            make, plain, engine = PAIRS[kind]
            for _ in range(times):
                case = make(dice, document)
                expected, got = plain(document, case), engine(world, case)
                seen.update([kind, f"{kind} {expected.get('outcome', 'made')}"])
                seen.update(f"{kind} {code}" for code in expected.get("reasons", ()))
                seen.update([f"{kind} {expected['error']}"] if "error" in expected else [])
                if expected != got:
                    found.append({"world": document, "cases": [{**case, "expect": expected}], "got": got})
    return found, seen


def test_they_agree_on_thousands_of_worlds_and_every_reason_comes_up():
    found, seen = disagreements(BULK_WORLDS, "ci")
    assert not found, json.dumps(found[0])
    # A run that never meets a reason says nothing about it.
    rare = {code: seen[f"decision {code}"] for code in DECISION_CODES if seen[f"decision {code}"] < 10}
    assert not rare
    assert min(seen[f"decision {outcome}"] for outcome in ("allow", "hold", "deny")) > 50


DECISION_CODES = [
    "BULLETIN_RECALLED",
    "BULLETIN_EXPIRED",
    "UNKNOWN_MEMBER",
    "UNKNOWN_LEVEL",
    "UNKNOWN_CONTROL",
    "NATIONAL_LAW_FORBIDS",
    "NOFORN",
    "NOT_RELEASABLE_TO",
    "RELEASABILITY_NOT_STATED",
    "TLP_RED_NOT_NAMED",
    "CONSENT_REQUIRED",
    "NO_TREATY",
    *plain_reading.LIFECYCLE,
    *plain_reading.STEPS[:-1],
    "RECIPIENT_LAW_FORBIDS",
]

if __name__ == "__main__":
    found, seen = disagreements(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "more")
    for vector in found[:20]:
        print(json.dumps(vector))
    for name, count in sorted(seen.items()):
        print(f"{name:40} {count}", file=sys.stderr)
    print(f"{len(found)} disagreements", file=sys.stderr)
    sys.exit(bool(found))
