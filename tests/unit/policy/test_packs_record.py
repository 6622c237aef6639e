"""The public record in paris, jcpoa, unsc-iran and the bilateral agreements, day by day."""

import pytest

from intelshare.builtin import builtin_registry, treaty_packs
from intelshare.instant import DAY, NEVER, parse, show
from intelshare.labels import convert, in_force
from intelshare.policy import parse_treaty
from intelshare.policy_tools import state_at


def pack(name):
    path = treaty_packs()[name]
    return parse_treaty(path.read_text("utf-8"), path.name, builtin_registry())


def party(treaty, member):
    (found,) = [party for party in treaty.parties if party.member == member]
    return found


def days(intervals):
    return [tuple("never" if at == NEVER else show(at)[:10] for at in span) for span in intervals]


def test_paris_has_all_parties_to_the_convention():
    paris = pack("paris")
    bound = {party.member for party in paris.parties if party.in_force}
    assert len(paris.parties) == 198
    assert {party.member for party in paris.parties} - bound == {"IRN", "LBY", "YEM"}
    # Members of the United Nations that are no party; and parties that are no member.
    members = builtin_registry().expand("UN", parse("2026-11-24")) - {"UN"}
    assert members - bound == {"IRN", "LBY", "YEM"}
    assert bound - members == {"COK", "EU", "NIU", "PSE", "VAT"}


def test_paris_is_in_force_for_a_party_thirty_days_after_its_deposit():
    paris = pack("paris")
    for one in paris.parties:
        if one.in_force:
            assert one.in_force[0].start == max(paris.in_force, one.ratified + 30 * DAY), one.member


def test_paris_was_in_force_thirty_days_after_fifty_five_had_deposited():
    paris = pack("paris")
    reached = parse("2016-10-05")
    assert paris.in_force == reached + 30 * DAY
    assert sum(one.ratified is not None and one.ratified <= reached for one in paris.parties) == 74


def test_the_united_states_and_paris():
    usa = party(pack("paris"), "USA")
    assert days(usa.in_force) == [("2016-11-04", "2020-11-04"), ("2021-02-19", "2026-01-27")]
    assert [show(notice)[:10] for notice in usa.notified] == ["2019-11-04", "2025-01-27"]
    # Art. 28 (2): one year after notice; art. 21 (3): thirty days after the second acceptance.
    assert [show(span.until)[5:] for span in usa.in_force] == [show(at)[5:] for at in usa.notified]
    assert usa.in_force[1].start == parse("2021-01-20") + 30 * DAY


def test_nobody_else_has_left_paris_and_nobody_has_a_reservation():
    for one in pack("paris").parties:
        assert one.reservations == ()
        if one.member != "USA" and one.in_force:
            assert [span.until for span in one.in_force] == [NEVER]


@pytest.mark.parametrize(
    ("article", "years"),
    [
        ("S/RES/2231, para. 26 (annex B, para. 3)", 8),
        ("S/RES/2231, para. 26 (annex B, para. 5)", 5),
        ("S/RES/2231, para. 26 (annex B, para. 6 (c))", 8),
        ("S/RES/2231, para. 26 (annex B, para. 6 (e))", 5),
    ],
)
def test_paragraphs_of_annex_b_end_years_after_adoption_day(article, years):
    jcpoa = pack("jcpoa")
    (found,) = [one for one in jcpoa.provisions if one.article == article]
    assert show(found.until)[:10] == f"{2015 + years}-10-18"
    assert found.reinstated == NEVER, "snapback re-applied the older resolutions, not annex B"
    assert show(jcpoa.terminated)[:10] == "2025-10-18"


def test_only_the_united_states_left_the_plan():
    jcpoa = pack("jcpoa")
    assert {one.member for one in jcpoa.parties} == {"CHN", "DEU", "EU", "FRA", "GBR", "IRN", "RUS", "USA"}
    left = [one.member for one in jcpoa.parties if one.in_force[0].until < NEVER]
    assert left == ["USA"]
    assert days(party(jcpoa, "USA").in_force) == [("2016-01-16", "2018-05-08")]


def test_every_member_of_the_united_nations_is_bound_by_the_resolutions():
    iran = pack("unsc-iran")
    group = builtin_registry().groups["UN"]
    for at in (iran.in_force, parse("2011-07-13"), parse("2011-07-14"), parse("2026-11-24")):
        members = {state for state, intervals in group.members.items() if in_force(intervals, at)}
        assert {one.member for one in iran.parties if in_force(one.in_force, at)} == members | {"UN"}


def test_resolutions_are_lifted_and_applied_again_to_the_second():
    back = parse("2025-09-28T00:00:00Z")
    for one in pack("unsc-iran").provisions:
        assert show(one.until) == "2016-01-16T00:00:00Z"
        assert one.reinstated == back
        assert not one.in_effect(back - 1)
        assert one.in_effect(back)


def test_three_hold_the_snapback_void_and_nobody_else():
    iran = pack("unsc-iran")
    back = parse("2025-09-28T00:00:00Z")
    for at, expected in ((back - 1, {"IRN"}), (back, {"CHN", "IRN", "RUS"})):
        assert {one.member for one in iran.parties if state_at(iran, one, at) == "RESERVATION"} == expected


def test_an_agreement_about_classified_information_leaves_restricted_data_out():
    usa = party(pack("gsa-fin-usa"), "USA")
    assert [reservation.categories for reservation in usa.reservations] == [frozenset({"atomic-energy"})]


def test_the_ladder_of_georgia_equals_polands_as_their_agreement_says():
    registry = builtin_registry()
    day = parse("2016-09-01")
    equal = {
        "ZASTRZEZONE": "SHEZGUDULI SARGEBLOBISTVIS",
        "POUFNE": "SAIDUMLO",
        "TAJNE": "SRULIAD SAIDUMLO",
        "SCISLE TAJNE": "GANSAKUTREBULI MNISHVNELOBIS",
    }
    for polish, georgian in equal.items():
        assert convert(registry, "POL", polish, "GEO", day).name == georgian
        assert convert(registry, "GEO", georgian, "POL", day).name == polish
