"""Decisions, reasons, bases and obligations as the vectors say."""

import json
from pathlib import Path

import pytest

from intelshare.policy import Outcome, decide, read_decision
from intelshare.policy.vectors import read_request_from_json, request_from_json, world_from_json

DOCUMENT = json.loads(Path(__file__).with_name("decisions.json").read_text("utf-8"))
WORLD = world_from_json(DOCUMENT["world"])


@pytest.mark.parametrize("case", DOCUMENT["cases"], ids=[case["id"] for case in DOCUMENT["cases"]])
def test_decision(case):
    if "reader" in case:
        reading = read_decision(WORLD, read_request_from_json(case))
        assert [code.value for code in reading.codes] == case["expect"].get("reasons", [])
        assert reading.allowed == (case["expect"]["outcome"] == "allow")
        return
    decision = decide(WORLD, request_from_json(case))
    found = {"outcome": decision.outcome.value}
    if decision.outcome is Outcome.DENY:
        found["reasons"] = list(decision.codes)
    else:
        found |= {"basis": decision.basis, "obligations": list(decision.obligations)}
    assert found == case["expect"]
