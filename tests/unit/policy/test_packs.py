"""The treaties that ship: each is clean, tested to the last article, and agrees with the groups."""

import tomllib
from functools import cache
from pathlib import Path

import pytest

from intelshare.builtin import builtin_registry, treaty_packs
from intelshare.cli.app import run
from intelshare.cli.policy.files import Shelf, find
from intelshare.instant import NEVER, Instant, parse
from intelshare.labels import Label, in_force, interval
from intelshare.policy import Outcome, Request, compile_world, parse_treaty
from intelshare.policy_tools import Case, check_treaties, cover, survivors, try_case

PACKS = treaty_packs()
ORGANISATIONS = {
    "nato": "NATO",
    "eu-csdp": "EU",
    "un-charter": "UN",
    "osce": "OSCE",
    "african-union": "AU",
}
SUSPENDED_IN_THE_AFRICAN_UNION = {
    "BFA": ("2022-01-31", None),
    "GAB": ("2023-08-31", "2025-04-30"),
    "GIN": ("2021-09-10", "2026-01-22"),
    "GNB": ("2025-11-28", None),
    "MDG": ("2025-10-15", None),
    "MLI": ("2021-06-01", None),
    "NER": ("2023-08-22", None),
    "SDN": ("2021-10-26", None),
}
"""The last suspension of each, by the communiqués of the Peace and Security Council."""
AS_OF = Instant(0)
"""No case of a pack may depend on today."""


@cache
def read(pack):
    """The treaty, and its test with what that needs; nothing wrong with either."""
    shelf = Shelf(AS_OF)
    treaty, found = shelf.treaty(PACKS[pack])
    bench, wrong = shelf.bench(PACKS[pack].with_name(f"{pack}_test.toml"))
    assert not [*found, *wrong]
    return treaty, bench


def tried(pack):
    _, bench = read(pack)
    world = bench.world()
    return [(world, try_case(world, case)) for case in bench.suite.cases]


def test_the_packs_that_were_promised_ship():
    assert ORGANISATIONS.keys() <= PACKS.keys()


@pytest.mark.parametrize("pack", PACKS)
def test_a_pack_is_named_as_its_file_and_clean(pack):
    treaty, bench = read(pack)
    assert treaty.id == pack
    assert check_treaties([treaty], [own.id for own in bench.treaties]) == []


@pytest.mark.parametrize("pack", PACKS)
def test_a_pack_says_what_is_fact_and_where_from(pack):
    treaty, _ = read(pack)
    assert len(treaty.source) > 10
    assert PACKS[pack].read_text("utf-8").startswith("# ")


@pytest.mark.parametrize("pack", PACKS)
def test_every_case_of_a_pack_passes(pack):
    assert [(trial.case.name, trial.failures) for _, trial in tried(pack) if trial.failures] == []


@pytest.mark.parametrize("pack", PACKS)
def test_every_denial_in_a_pack_states_its_reason(pack):
    _, bench = read(pack)
    silent = [
        case.name
        for case in bench.suite.cases
        if case.expect.value == "deny" and case.reason is None and case.reasons is None
    ]
    assert silent == []


@pytest.mark.parametrize("pack", PACKS)
def test_the_tests_of_a_pack_reach_everything(pack):
    treaty, bench = read(pack)
    coverage = cover([treaty], bench.overlays, tried(pack))
    assert coverage.missing == []
    assert coverage.of("article")[1] == len(treaty.provisions) > 0


@pytest.mark.parametrize("pack", PACKS)
def test_no_mutant_of_a_pack_lives(pack):
    count, lived = survivors([read(pack)[1]])
    assert [mutant.what for mutant in lived] == []
    assert count > 0


@pytest.mark.parametrize(("pack", "organisation"), ORGANISATIONS.items())
def test_parties_are_the_members_of_the_organisation_at_every_moment(pack, organisation):
    treaty, _ = read(pack)
    group = builtin_registry().groups[organisation]
    spans = [span for intervals in group.members.values() for span in intervals]
    spans += [span for party in treaty.parties for span in party.in_force]
    bounds = {bound for span in spans for bound in span if bound < NEVER}
    for at in sorted({treaty.in_force, *(bound for bound in bounds if bound > treaty.in_force)}):
        members = {state for state, intervals in group.members.items() if in_force(intervals, at)}
        bound = {party.member for party in treaty.parties if in_force(party.in_force, at)}
        assert bound - {organisation} == members, at


@pytest.mark.parametrize(("pack", "organisation"), ORGANISATIONS.items())
def test_the_organisation_itself_is_a_party(pack, organisation):
    treaty, _ = read(pack)
    assert organisation in [party.member for party in treaty.parties]


@pytest.mark.parametrize(("member", "span"), SUSPENDED_IN_THE_AFRICAN_UNION.items())
def test_the_african_union_suspends_to_the_day(member, span):
    treaty, _ = read("african-union")
    (party,) = [party for party in treaty.parties if party.member == member]
    assert party.suspended[-1] == interval(
        *(None if day is None else parse(f"{day}T00:00:00Z") for day in span)
    )


def test_nobody_else_is_suspended_today():
    treaty, _ = read("african-union")
    open_ended = {
        party.member
        for party in treaty.parties
        if party.suspended[-1:] and party.suspended[-1].until == NEVER
    }
    assert open_ended == {
        member for member, (_, end) in SUSPENDED_IN_THE_AFRICAN_UNION.items() if end is None
    }


def test_a_pack_is_named_by_its_id_on_the_command_line(capsys):
    assert run(["treaty", "timeline", "nato"]) == 0
    assert "nato: North Atlantic Treaty" in capsys.readouterr().out
    assert run(["treaty", "list"]) == 0
    listed = capsys.readouterr().out
    assert all(pack in listed for pack in PACKS)
    assert run(["policy", "test", "osce", "--coverage", "--mutate"]) == 0
    assert "coverage: 100 %" in capsys.readouterr().out


def test_a_file_goes_before_a_pack_of_the_same_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("nato").write_text("")
    assert find([Path("nato")]).treaties == [Path("nato")]


def test_an_unknown_id_is_told_apart_from_a_path_with_a_hint(capsys):
    assert run(["treaty", "show", "natoo"]) == 8
    assert 'did you mean "nato"?' in capsys.readouterr().err


def test_a_wheel_takes_the_packs_along():
    root = Path(__file__).parents[3]
    settings = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    included = settings["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert included["treaties"] == "intelshare/treaties"
    assert (root / "treaties").is_dir()


def test_an_error_in_a_list_of_parties_has_the_caret_in_its_row(tmp_path, capsys):
    """Also after rows that have a list of their own inside."""
    text = PACKS["african-union"].read_text("utf-8").replace('member = "NGA"', 'member = "NGAX"')
    path = tmp_path / "union.toml"
    path.write_text(text, "utf-8")
    number = next(number for number, line in enumerate(text.splitlines(), 1) if "NGAX" in line)
    assert run(["policy", "check", str(path)]) == 1
    shown = capsys.readouterr()
    assert f"union.toml:{number}:16" in shown.out + shown.err


@pytest.mark.parametrize("pack", PACKS)
def test_every_provision_says_what_its_paragraph_asks_of_whom(pack):
    """What forbids is no basis for sharing: a lawyer reads here what is."""
    text = treaty_packs()[pack].read_text("utf-8")
    blocks = text.split("[[provision]]")[:-1]
    assert blocks
    for before in blocks:
        comment = before.rpartition("\n\n")[2]
        assert "# asks: " in comment, comment


def test_an_article_for_everything_is_asked_for_a_stop_where_a_party_lacks_levels():
    """Else the conversion that stops it there would be tested by nobody."""
    registry = builtin_registry()
    text = treaty_packs()["gsa-geo-pol"].read_text("utf-8")
    whole = parse_treaty(text, "t.toml", registry)
    lacking = parse_treaty(text.replace('member = "GEO"', 'member = "NGA"'), "t.toml", registry)
    for treaty, asked in ((whole, False), (lacking, True)):
        request = Request(Label("POL", "TAJNE", ("POL",)), "cyber", parse("2020-01-01"), "POL", "DEU")
        world = compile_world(registry, registry.nodes, [treaty])
        trial = try_case(world, Case("any", request, Outcome.DENY))
        points = cover([treaty], [], [(world, trial)]).points
        assert any(point.name.endswith("stops") for point in points) is asked
