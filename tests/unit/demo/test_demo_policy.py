"""What the demo's scenes rest on, as decisions: who gets which portion, under which article, and why not."""

from copy import deepcopy
from functools import partial

import pytest

from intelshare import instant
from intelshare.builtin import builtin_registry, demo_treaties
from intelshare.demo import record
from intelshare.demo.sending import fits
from intelshare.demo.stage import Stage
from intelshare.labels import parse_label
from intelshare.policy import (
    ActKind,
    Code,
    Outcome,
    PartyAct,
    Request,
    check_egress,
    compile_world,
    decide,
    parse_treaty,
)

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


def after_a_withdrawal(world, text, sender, recipient):
    acts = [PartyAct("USA", 1, "demo-climate", text_of(world), ActKind.WITHDRAW, AT, AT)]
    left = compile_world(world.registry, sorted(world.members), world.files, acts=acts)
    label = parse_label(text, left.registry, AT, "write")
    return decide(left, Request(label, "climate-disaster", AT, sender=sender, recipient=recipient))


def text_of(world):
    return next(treaty.text for treaty in world.files if treaty.id == "demo-climate")


def test_after_the_withdrawal_kenya_and_the_united_states_share_no_treaty_in_force(world):
    decision = after_a_withdrawal(world, "//KEN RESTRICTED//REL TO KEN, USA", "KEN", "USA")
    assert [reason.code for reason in decision.reasons] == [Code.WITHDRAWN]
    assert decision.reasons[0].detail.startswith("USA since ")


def test_france_and_the_united_states_still_do_so_scene_3_is_told_of_kenya(world):
    decision = after_a_withdrawal(world, RESTRICTED, "FRA", "USA")
    assert [reason.code for reason in decision.reasons] == [Code.OUT_OF_SCOPE]


NOWHERE = Stage(folder=None, sites={})


@pytest.mark.parametrize("name", ["paris", "jcpoa"])
def test_every_day_of_a_replay_is_as_its_file_expects(name, capsys):
    for scene in record(name).scenes:
        assert scene.play(NOWHERE) == []
    assert "withheld" in capsys.readouterr().out


def test_a_day_that_differs_from_the_engine_is_named(capsys):
    scene = record("paris").scenes[1]
    told = deepcopy(scene.play.keywords)
    told["one"]["expect"]["USA"] = ["released paris art. 8 (4)"]
    (difference,) = partial(scene.play.func, **told)(NOWHERE)
    assert difference.startswith(
        "climate-disaster for USA: withheld NOT_YET_IN_FORCE: not yet for FRA (paris.toml:"
    )
    assert difference.endswith(" instead of released paris art. 8 (4)")


@pytest.mark.parametrize(
    ("got", "wanted", "fit"),
    [
        ("withheld NOFORN (a.toml:3)", "withheld NOFORN (a.toml:3)", True),
        ("withheld NOFORN (a.toml:3)", "withheld NOFORN", True),
        ("withheld NOFORN (a.toml:3)", "withheld NOFORN (a.toml:4)", False),
        ("withheld NOFORN", "withheld NOFORN (a.toml:3)", False),
        ("released a art. 8 (4)", "released a art. 8", False),
        ("released a art. 4", "withheld NOFORN", False),
    ],
)
def test_a_verdict_fits_what_is_expected_of_it(got, wanted, fit):
    assert fits(got, wanted) is fit
