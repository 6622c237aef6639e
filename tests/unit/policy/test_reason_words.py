"""What a denial says besides its code, which is all that vectors state: whom, since when, above what."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from intelshare import instant
from intelshare.builtin import builtin_registry
from intelshare.labels import Label
from intelshare.policy import Request, compile_world, decide, parse_overlay, parse_treaty
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


def test_a_denial_says_that_a_level_has_no_authority():
    label = {"level": "SECRET", "releasable_to": ["AAA", "BBB"]}
    case = {"at": "2025-06-01", "from": "AAA", "to": "BBB", "category": "cyber", "label": label}
    reasons = decide(WORLD, request_from_json(case)).reasons
    assert "nobody has no level 'SECRET' at that time" in [one.detail for one in reasons]


PACT = """\
id = "pact"
title = "Pact"
kind = "bilateral"
in_force = 2020-01-01
source = "invented"

[[party]]
member = "SWE"
in_force = 2020-01-01

[[party]]
member = "NOR"
in_force = 2020-01-01

[[provision]]
article = "art. 1"
categories = ["terrorism", "cyber"]
ceiling = "NATO CONFIDENTIAL"
"""
LAW = """\
[[forbid]]
id = "SWE-2"
source = "Act 2"
when = { to = ["NOR"] }

[[forbid]]
id = "SWE-1"
source = "Act 1"
when = { to = ["NOR"] }
"""
OTHER = f"sha256:{'0' * 64}"


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"category": "piracy"}, ("piracy is not one of cyber, terrorism", 17)),
        ({"category": "piracy", "more": "from = 2030-01-01"}, ("piracy is not one of cyber, terrorism", 17)),
        ({"level": "HEMLIG"}, ("SECRET > CONFIDENTIAL", 18)),
        ({"more": "from = 2030-01-01\nuntil = 2031-01-01"}, ("begins at 2030-01-01T00:00:00Z", 19)),
        ({"more": "from = 2021-01-01\nuntil = 2022-01-01"}, ("ended at 2022-01-01T00:00:00Z", 20)),
        ({"party": "ARG"}, ("CONFIDENTIAL has no equivalent for ARG", 15)),
        ({"at": "2019-06-01"}, ("not yet for SWE", 7)),
        ({"at": "2019-06-01", "lines": False}, ("not yet for SWE", 1)),
        ({"texts": {"NOR": {"pact": OTHER}}}, (f"NOR adopted {OTHER}", 11)),
        ({"texts": {"NOR": {"pact": OTHER}}, "lines": False}, (f"NOR adopted {OTHER}", 1)),
        ({"texts": {"NOR": {}}}, ("NOR adopted no text", 11)),
        ({"laws": [LAW]}, ("SWE-1 (Act 1), SWE-2 (Act 2)", 6)),
    ],
)
def test_a_denial_says_what_stops_it_and_at_which_line(how, said):
    """``lines``: whether its parties have one, or the treaty alone."""
    registry, to = builtin_registry(), how.get("party", "NOR")
    pact = parse_treaty(PACT.replace("NOR", to) + how.get("more", ""), "pact.toml", registry)
    if not how.get("lines", True):
        pact = replace(pact, parties=tuple(replace(one, place=None) for one in pact.parties))
    laws = [parse_overlay(text, "swe.toml", registry) for text in how.get("laws", ())]
    world = compile_world(registry, registry.states, [pact], laws, how.get("texts", {}))
    label = Label("SWE", how.get("level", "KONFIDENTIELL"), ("SWE", to))
    at = instant.parse(how.get("at", "2025-06-01"))
    decision = decide(world, Request(label, how.get("category", "cyber"), at, "SWE", to))
    assert [(one.detail, one.place.line) for one in decision.reasons] == [said]
