"""The world that decisions are made in: texts from directories, changes in time, egress, explanations."""

from dataclasses import replace

import pytest

from intelshare import instant
from intelshare.builtin import builtin_registry
from intelshare.errors import DeliveryError, PolicyFileError
from intelshare.labels import Label, parse_label
from intelshare.policy import (
    Code,
    Outcome,
    Overlay,
    Request,
    Rule,
    When,
    check_egress,
    compile_world,
    decide,
    parse_treaty,
)

NOW = instant.parse("2026-01-01")
MEMBERS = ["FRA", "USA", "DEU", "NATO"]
LABEL = "//FRA SECRET//REL TO FRA, USA"
TREATY = """\
id = "pact"
title = "Pact"
kind = "bilateral"
in_force = 2020-01-01
source = "invented"

[[party]]
member = "FRA"
in_force = 2020-01-01

[[party]]
member = "USA"
in_force = 2020-01-01
suspended = [{ from = 2024-01-01, until = 2025-01-01 }]

[[provision]]
article = "art. 1"
categories = ["cyber"]
ceiling = "R3"

[[provision]]
article = "art. 2"
categories = ["cyber", "terrorism"]
ceiling = "R1"
"""


@pytest.fixture(scope="module")
def pact():
    return parse_treaty(TREATY, "pact.toml", builtin_registry())


def request(text=LABEL, category="cyber", at=NOW, **options):
    label = parse_label(text, builtin_registry())
    return Request(label, category, at, sender="FRA", recipient="USA", **options)


def world(*treaties, overlays=(), texts=None):
    return compile_world(builtin_registry(), MEMBERS, treaties, overlays, texts or {})


@pytest.mark.parametrize(
    ("texts", "codes"),
    [
        ({}, ()),
        ({"FRA": {"pact": "{same}"}}, ()),
        ({"FRA": {"pact": "{same}"}, "USA": {"pact": "{same}"}}, ()),
        ({"USA": {"pact": "sha256:00"}}, ("TEXT_MISMATCH",)),
        ({"USA": {}}, ("TEXT_MISMATCH",)),
        ({"FRA": {"pact": "sha256:00"}, "USA": {"pact": "sha256:00"}}, ("TEXT_MISMATCH",)),
    ],
    ids=[
        "files alone",
        "one directory",
        "both",
        "another text",
        "not ratified",
        "both another than the file",
    ],
)
def test_members_are_bound_only_if_their_directories_name_the_texts_of_the_file(pact, texts, codes):
    filled = {
        member: {treaty: text.replace("{same}", pact.text) for treaty, text in ratified.items()}
        for member, ratified in texts.items()
    }
    assert decide(world(pact, texts=filled), request()).codes == codes


def test_decision_changes_at_the_instant_of_the_change(pact):
    here = world(pact)
    start = instant.parse("2024-01-01")
    assert decide(here, request(at=start - 1)).outcome is Outcome.ALLOW
    suspended = decide(here, request(at=start))
    assert suspended.codes == ("SUSPENDED",)
    assert "USA since 2024-01-01" in suspended.reasons[0].detail
    assert here.at(start) is here.at(start + 1)
    assert here.at(start) is not here.at(start - 1)


def test_reason_names_treaty_article_file_and_line(pact):
    (reason,) = decide(world(pact), request(category="terrorism")).reasons
    assert (reason.code, reason.treaty) == (Code.EXCEEDS_CEILING, "pact art. 2")
    assert (reason.place.source, reason.place.line) == ("pact.toml", 24)


def test_all_permitting_provisions_are_cited(pact):
    decision = decide(world(pact), request("//FRA DR//REL TO FRA, USA"))
    assert [citation.article for citation in decision.citations] == ["art. 1", "art. 2"]
    assert {citation.text for citation in decision.citations} == {pact.text}


def test_no_treaty_has_no_findings():
    decision = decide(world(), request())
    assert decision.codes == ("NO_TREATY",)
    assert decision.findings == ()


def test_hold_names_its_open_rows_and_a_signed_release_is_their_approval(pact):
    law = Overlay("FRA", hold=(Rule("b", When()), Rule("a", When())))
    here = world(pact, overlays=[law])
    assert decide(here, request()).holds == ("a", "b")
    assert decide(here, request(approvals=frozenset("a"))).holds == ("b",)
    assert decide(here, request(released=True)).outcome is Outcome.ALLOW


def test_law_of_originator_and_sender_are_both_named(pact):
    laws = [
        Overlay("FRA", forbid=(Rule("f", When(), "F"),)),
        Overlay("USA", forbid=(Rule("u", When(), "U"),)),
    ]
    relayed = replace(request("SECRET//REL TO USA, DEU"), recipient="DEU", consents=frozenset(["DEU"]))
    (reason, *_) = decide(world(pact, overlays=laws), relayed).reasons
    assert (reason.code, reason.rules) == (Code.NATIONAL_LAW_FORBIDS, ("f", "u"))


def test_states_outside_the_federation_may_be_named_but_receive_nothing(pact):
    asked = request("//FRA SECRET//REL TO FRA, USA, NZL")
    assert decide(world(pact), asked).outcome is Outcome.ALLOW
    assert decide(world(pact), replace(asked, recipient="NZL")).codes == ("UNKNOWN_MEMBER", "NO_TREATY")


def test_adding_relido_changes_no_decision(pact):
    plain = Label("USA", "UNCLASSIFIED")
    for label in (plain, replace(plain, controls=("RELIDO",))):
        asked = Request(label, "cyber", NOW, "USA", "DEU")
        assert decide(world(pact), asked).basis == "UNRESTRICTED"


def test_two_treaties_of_one_id_are_an_error(pact):
    with pytest.raises(PolicyFileError) as caught:
        world(pact, pact)
    assert caught.value.code == "DUPLICATE_KEY"
    with pytest.raises(PolicyFileError) as caught:
        compile_world(builtin_registry(), ["ZZZ"], [])
    assert caught.value.code == "PARTY_UNKNOWN"


@pytest.mark.parametrize(
    ("text", "recipient", "reaches"),
    [
        ("//FRA SECRET//REL TO FRA, USA", "USA", True),
        ("//FRA SECRET//REL TO FRA, USA", "DEU", False),
        ("//FRA SECRET//REL TO FRA, USA", "FRA", True),
        ("//FRA SECRET", "USA", False),
        ("//FRA NON PROTEGE", "USA", True),
        ("SECRET//NOFORN", "DEU", False),
        ("UNCLASSIFIED//NOFORN", "DEU", False),
        ("UNCLASSIFIED", "DEU", True),
        ("//NATO SECRET", "DEU", True),
        ("//NATO UNCLASSIFIED", "AUT", False),
        ("//NATO SECRET//REL TO NATO, AUT", "AUT", True),
        ("//EU UNMARKED", "USA", False),
        ("//KEN UNMARKED", "USA", True),
        ("SECRET//EYES ONLY/REL TO USA, NATO", "DEU", False),
        ("SECRET//EYES ONLY/REL TO USA, NATO", "NATO", False),
        ("SECRET//EYES ONLY", "DEU", False),
        ("SECRET//REL TO USA, NATO", "NATO", True),
        ("SECRET//REL TO USA, FVEY", "FVEY", False),
        ("SECRET//REL TO USA, NATO//TLP:RED", "DEU", False),
        ("TLP:GREEN", "DEU", True),
        ("TLP:RED", "DEU", False),
        ("//JOINT SECRET FRA USA//REL TO USA, DEU, FRA", "DEU", True),
        ("//JOINT SECRET FRA USA", "USA", False),
        ("//JOINT UNCLASSIFIED FRA USA", "DEU", True),
        ("nonsense", "DEU", False),
    ],
)
def test_egress_stops_whom_the_label_does_not_reach(text, recipient, reaches):
    if reaches:
        check_egress(text, recipient, "FRA", builtin_registry(), NOW)
    else:
        with pytest.raises(DeliveryError) as caught:
            check_egress(text, recipient, "FRA", builtin_registry(), NOW)
        assert caught.value.code == "POLICY_DENIED"
