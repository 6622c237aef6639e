"""What a member may hand in under whose label, as the vectors say: the rule, and its second reading."""

import json
from pathlib import Path

import pytest

from intelshare.builtin import builtin_registry
from intelshare.conformance import conform
from intelshare.labels import parse_label
from intelshare.policy.vectors import label_to_json
from plain_reading import may_hand_in

CASES = json.loads(Path(__file__).with_name("foreign.json").read_text("utf-8"))
REGISTRY = builtin_registry()
WORLD = {
    "members": sorted(REGISTRY.nodes),
    "groups": {code: {"organisation": group.organisation} for code, group in REGISTRY.groups.items()},
}


def test_the_rule():
    assert conform(CASES, REGISTRY) == (len(CASES), [])


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_the_second_reading(case):
    def read(text):
        return label_to_json(parse_label(text, REGISTRY))

    source = case.get("source")
    if source is not None:
        source = {**source, "portions": [read(text) for text in source["portions"]]}
    said = may_hand_in(WORLD, read(case["handed_in"]), case["member"], source)
    assert said is (case.get("expect") == "accepted")
