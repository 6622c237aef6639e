"""What a denial says besides its code, which is all that vectors state: whom, since when, above what."""

import json
from pathlib import Path

import pytest

from intelshare.policy import decide
from intelshare.policy.vectors import request_from_json, world_from_json

EDGES = json.loads((Path(__file__).parents[2] / "vectors" / "edges.json").read_text("utf-8"))
WORLD = world_from_json(EDGES["world"])
CASES = {case["id"]: case for case in EDGES["cases"]}
LATER = [
    {**one, "provisions": [{**one["provisions"][0], "from": "2020-01-01"}]} if one["id"] == "main" else one
    for one in EDGES["world"]["treaties"]
]

WORDS = {
    "an originator that nobody knows": [("XXX", None), ("of XXX for BBB", None), ("", None)],
    "somebody whom nobody knows beside those who are shown it": [("XXX", None)],
    "an unknown ceiling lets nothing through": [("RESTRICTED > NO SUCH LEVEL", "odd-ceiling art. 1")],
    "a reservation at its beginning": [("CCC reserves cyber at CONFIDENTIAL", "reserved art. 1")],
    "a joint label of nobody": [
        ("JOINT", None),
        ("JOINT has no level 'JOINT R2' at that time", None),
        ("of JOINT for BBB", None),
        ("", None),
    ],
    "a treaty without provisions": [("the treaty has no provisions", "empty")],
    "ratified and not in force": [("not yet for JJJ", "late")],
    "before ratification": [("JJJ has not ratified", "late")],
    "before reinstatement": [("ended at 2010-01-01T00:00:00Z", "again art. 1")],
    "at the instant of withdrawal": [("CCC since 2020-01-01T00:00:00Z", "left")],
    "a law for every category": [("any-category", None)],
}


@pytest.mark.parametrize("name", WORDS)
def test_a_denial_says_its_particulars(name):
    reasons = decide(WORLD, request_from_json(CASES[name])).reasons
    assert [(one.detail, one.treaty) for one in reasons] == WORDS[name]


@pytest.mark.parametrize(
    ("at", "said"), [("2019-12-31", ["begins at 2020-01-01T00:00:00Z"]), ("2020-01-01", [])]
)
def test_a_provision_that_has_not_begun_says_when_it_does(at, said):
    world = world_from_json({**EDGES["world"], "treaties": LATER})
    case = {**CASES["information of the recipient inside"], "at": at}
    assert [one.detail for one in decide(world, request_from_json(case)).reasons] == said
