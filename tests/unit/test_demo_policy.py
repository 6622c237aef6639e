"""Scene 1 of the demo, as decisions: who gets which portion, under which article, and why not."""

import pytest

from intelshare import instant
from intelshare.labels import parse_label
from intelshare.packs import builtin_registry, demo_treaties
from intelshare.policy import Code, Outcome, Request, check_egress, compile_world, decide, parse_treaty

AT = instant.parse("2026-11-24T12:00:00Z")
SECRET = "//FRA SECRET//REL TO FRA, USA, KEN"
RESTRICTED = "//FRA DIFFUSION RESTREINTE//REL TO FRA, USA, KEN"


@pytest.fixture(scope="module")
def world():
    registry = builtin_registry()
    treaties = [parse_treaty(text, name, registry) for name, text in demo_treaties().items()]
    return compile_world(registry, ["FRA", "USA", "KEN"], treaties)


def ask(world, text, recipient):
    label = parse_label(text, world.registry, AT, "write")
    return decide(world, Request(label, "cyber", AT, sender="FRA", recipient=recipient))


@pytest.mark.parametrize("text", [SECRET, RESTRICTED])
def test_usa_gets_both_portions_under_the_bilateral_agreement(world, text):
    decision = ask(world, text, "USA")
    assert decision.outcome is Outcome.ALLOW
    assert decision.basis == "gsa-fra-usa"
    assert [citation.article for citation in decision.citations] == ["art. 4"]
    assert len(decision.citations[0].digest) == 32
    assert decision.obligations == ("equal-protection", "no-onward-release")


def test_kenya_gets_the_restricted_portion_under_the_framework(world):
    decision = ask(world, RESTRICTED, "KEN")
    assert decision.outcome is Outcome.ALLOW
    assert decision.basis == "demo-climate"
    assert [citation.article for citation in decision.citations] == ["art. 2"]
    assert decision.obligations == ("attribution",)


def test_kenya_is_told_nothing_of_the_secret_portion_and_france_why(world):
    decision = ask(world, SECRET, "KEN")
    assert decision.outcome is Outcome.DENY
    assert decision.basis is None
    (reason,) = decision.reasons
    assert reason.code is Code.EXCEEDS_CEILING
    assert reason.detail == "SECRET > RESTRICTED"
    assert reason.treaty == "demo-climate art. 2"
    assert (reason.place.source, reason.place.line) == ("demo-climate.toml", 11)


def test_egress_knows_only_the_label(world):
    check_egress(SECRET, "KEN", "FRA", world.registry, AT)
