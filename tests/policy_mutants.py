"""Weakened copies of the release decision, each given all vectors: which ones answer all of them rightly?

``make mutants`` prints them, and for each that is left why no vector can tell it.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from intelshare.builtin import builtin_registry
from intelshare.conformance import conform
from mutations import Mutant, mutants_of
from weakened import other_code

MODULES: Final = ("decide", "permits", "reader", "snapshot", "treaty")
VECTORS: Final = Path(__file__).parent / "vectors"
DECISIONS: Final = [
    json.loads((VECTORS / f"{name}.json").read_text("utf-8")) for name in ("edges", "decisions")
]
REGISTRY: Final = builtin_registry()

WORDS: Final = "says in words why; vectors state codes, tests/unit/policy/test_reason_words.py the words"
MEMO: Final = "what is remembered: right or slow, never wrong"
TEXT: Final = "the hash of a text, which tests/unit/policy/test_policy_files.py states"
CITED: Final = "vectors state basis and obligations; tests/property/test_policy.py what is cited"

SHORT_CUT: Final = "a short cut to the same facts"
NOT_RED: Final = "who is named is only asked of TLP:RED"
NO_LAW: Final = "without overlays there is no rule to match"
NOBODY: Final = "the empty authority has no ladder, and neither has none"

WHOLE: Final = {
    "decide._of_rules": WORDS,
    "permits.Tester._detail": WORDS,
    "permits._sunset": WORDS,
    "permits._field": WORDS,
    "treaty.Provision.place": WORDS,
    "treaty.text_hash": TEXT,
    "treaty.ladder_rows": TEXT,
    "snapshot._keep": MEMO,
    "snapshot.Snapshot.remember": MEMO,
    "decide._Case.citations": CITED,
    "decide._Case.findings": CITED,
}
"""Functions of which nothing is asked here, and why."""

EQUIVALENT: Final = (
    # beginning of the name, what stood there, why no vector tells the copy
    (
        "decide.decide",
        "request.released",
        "no vector says that it was released: tests/unit/broker/line/test_receive.py does",
    ),
    ("decide._unknown", "{request.recipient", WORDS),
    ("decide._unknown", "if not snapshot.registry", WORDS),
    ("decide._unknown", "not snapshot.registry", WORDS),
    ("decide._national_law", "case.snapshot.overlays", NO_LAW),
    (
        "decide._not_releasable",
        "facts.covers is not None",
        "what is stated covers somebody or nobody, never None",
    ),
    (
        "decide._consent",
        "request.sender == case.originator",
        "then nobody is asked: the rest of the rule says it too",
    ),
    ("decide._open_holds", "case.snapshot.overlays", NO_LAW),
    ("decide._obligations", "rule.obligation and", "a rule that obliges has its obligation"),
    (
        "decide._obligations",
        "not ordered",
        "a short cut to the same tuple: a basis has them sorted, each once",
    ),
    ("decide._sending_laws", "sender != case.originator", "the same law twice gives the same codes"),
    ("permits._lifecycle", "party.place", WORDS),
    ("permits._lifecycle", "adopted or", WORDS),
    (
        "permits._lifecycle",
        "directory is None",
        "no vector has directories: tests/unit/policy/test_world.py does",
    ),
    ("permits.Tester.test", "authority or", NOBODY),
    ("permits.Tester.test", "finding.article", WORDS),
    ("permits.Tester.test", "finding.treaty if", WORDS),
    ("permits.Tester._candidates", "found is None", MEMO),
    ("permits.Tester._candidates", "own and other", MEMO),
    ("permits.Tester._candidates", "if own", MEMO),
    ("permits.Tester._ask", "code is not None", "nothing permits there, so every provision has a code"),
    ("permits.Tester._terms_of", "terms is None", MEMO),
    ("permits.Tester._has_equivalent", "", MEMO),
    (
        "permits.Tester._reserves",
        "level_at_least is None",
        "no level is an unknown one, and that covers all too",
    ),
    (
        "reader.read_decision",
        "facts.mark.reference > Reference.R0",
        "R0 is R0 in every ladder, and nobody has less",
    ),
    ("reader._needed", "authority or", NOBODY),
    ("reader._clearance", "word is None", "no level is called nothing, and an unknown one is R0 too"),
    (
        "snapshot._mark",
        "authority in (None, JOINT)",
        "who is not known has no level and is no member: both codes come anyway",
    ),
    ("snapshot._mark", "authority or 'nobody'", WORDS),
    ("snapshot._mark", "unknown_level is not None", "where there is no reference, what is unknown was said"),
    ("snapshot._originator", "authority is None", "nothing is no organisation, and is given back as it is"),
    ("snapshot.Snapshot.facts", "found is None", MEMO),
    ("snapshot.Snapshot.treaty_test", "found is None", MEMO),
    ("snapshot.Snapshot.convert", "treaty is None", "no treaty is called nothing"),
    (
        "snapshot.Snapshot.matches",
        "level_at_least is not None",
        "no level is an unknown one, and that matches too",
    ),
    ("snapshot.Snapshot._expand", "", "a state expands to itself; the rest is remembered"),
    ("snapshot._mark", "authority is not None", SHORT_CUT),
    ("snapshot.Snapshot._expand_all", "if groups", SHORT_CUT),
    ("snapshot.Snapshot._read", "mark is None", MEMO),
    (
        "snapshot.Snapshot._read",
        "Reference.R0",
        "only of a label that states nothing, and then nobody asks whom it covers",
    ),
    ("snapshot.Snapshot._read", "if mark.plain", SHORT_CUT),
    ("snapshot.Snapshot._read", "if mark.red", NOT_RED),
    ("snapshot.Snapshot._released", "if mark.red", NOT_RED),
    ("snapshot.Snapshot._released", "isdisjoint", SHORT_CUT),
    ("snapshot.Snapshot._released", "if known", SHORT_CUT),
    ("snapshot.Snapshot._unknown", "issuperset", SHORT_CUT),
    ("snapshot.Snapshot._unknown", "codes - ", WORDS),
)


def reason_of(mutant: Mutant) -> str:
    """Why no vector can tell this copy from the decision; empty: one should."""
    name = mutant.name.removeprefix("policy.").split(":")[0]
    for start, was, why in EQUIVALENT:
        if name == start and was in mutant.was:
            return why
    return WHOLE.get(name, "")


def is_caught(mutant: Mutant) -> bool:
    """Whether a vector tells this copy from the decision."""
    with other_code(mutant.function, mutant.source):
        try:
            return any(conform(document, REGISTRY)[1] for document in DECISIONS)
        except Exception:
            return True


def judge_all() -> tuple[int, list[tuple[Mutant, str]]]:
    """How many copies there are, and those that no vector tells, with the reason; empty: none is known."""
    made: list[Any] = [
        mutant for name in MODULES for mutant in mutants_of(import_module(f"intelshare.policy.{name}"))
    ]
    left = []
    for mutant in made:
        why = reason_of(mutant)
        if why in (MEMO, WORDS, TEXT, CITED) or not is_caught(mutant):
            left.append((mutant, why))
    return len(made), left


def main() -> int:
    """Print the survivors; how many of them nothing explains."""
    count, left = judge_all()
    for mutant, why in left:
        print(f"{'explained' if why else 'SURVIVES '}  {mutant.name}{f': {why}' if why else ''}")
    unexplained = sum(not why for _, why in left)
    print(f"decide: {count} wrong copies, {len(left) - unexplained} explained, {unexplained} survive")
    return unexplained


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
