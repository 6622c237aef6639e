"""``treaty timeline``: a party leaving, coming back and leaving again is seen, at any length, among many."""

import itertools
import json
import re

import pytest

from intelshare import instant
from intelshare.builtin import builtin_registry, treaty_packs
from intelshare.cli.app import run
from intelshare.instant import DAY, NEVER, Instant
from intelshare.policy import parse_treaty
from intelshare.policy_tools import draw, events, party_spans

NOW = instant.parse("2026-11-24")

PACT = """\
id = "pact"
title = "Pact"
kind = "multilateral"
in_force = 1950-01-01
source = "invented"

[[party]]
member = "FRA"
in_force = 1950-01-01

[[party]]
member = "USA"
periods = [{ from = 1950-01-01, until = 1999-05-05 }, { from = 1999-05-06 }]
"""


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


def pack(name):
    path = treaty_packs()[name]
    return parse_treaty(path.read_text("utf-8"), path.name, builtin_registry())


def lane(drawing, name):
    (found,) = [lane for lane in (*drawing.parties, *drawing.articles) if name in lane.names]
    return found


def shown(capsys, *arguments):
    assert run(["treaty", "timeline", *arguments]) == 0
    return capsys.readouterr().out


def told(capsys, *arguments):
    return json.loads(shown(capsys, *arguments, "--json"))


def test_the_united_states_leave_the_paris_agreement_return_and_leave_again():
    for width in (30, 44, 84, 120):
        strip = lane(draw(pack("paris"), NOW, width), "USA").strip
        assert len(strip) == width
        assert [sign for at, sign in enumerate(strip) if sign != strip[at - 1 : at]] == list(".-#x#x")


def test_one_day_in_seventy_years_is_seen():
    treaty = parse_treaty(PACT, "pact.toml", builtin_registry())
    drawing = draw(treaty, NOW, 40)
    assert lane(drawing, "USA").strip.count("x") == 1
    assert "x" not in lane(drawing, "FRA").strip


def test_parties_of_one_look_share_a_lane_and_who_left_comes_first():
    drawing = draw(pack("paris"), NOW, 44)
    names = [name for lane in drawing.parties for name in lane.names]
    assert len(names) == len(set(names)) == 198
    assert len(drawing.parties) < 40
    assert [lane.state for lane in drawing.parties[:2]] == ["NOT_RATIFIED", "WITHDRAWN"]
    assert {lane.state for lane in drawing.parties[2:]} == {"IN_FORCE"}


def test_the_mark_stands_at_the_instant_and_states_are_those_of_that_instant():
    treaty = pack("paris")
    for day, state in (("2020-11-03", "IN_FORCE"), ("2020-11-04", "WITHDRAWN"), ("2021-02-19", "IN_FORCE")):
        drawing = draw(treaty, instant.parse(day), 120)
        assert lane(drawing, "USA").state == state
    before, after = (draw(treaty, instant.parse(day), 120).mark for day in ("2018-01-01", "2026-11-24"))
    assert 0 < before < after == 119


def test_articles_that_end_and_come_back_have_a_lane():
    drawing = draw(pack("unsc-iran"), NOW, 60)
    strip = lane(drawing, "S/RES/1737, para. 18 (a)").strip
    assert strip.startswith("-#")
    assert "#x" in strip
    assert strip.endswith("#")
    assert lane(drawing, "CHN").strip.endswith("r")
    assert lane(drawing, "CHN").names == ("CHN", "RUS")


def test_every_dated_fact_is_an_event_in_order():
    found = events(pack("paris"))
    assert [event.at for event in found] == sorted(event.at for event in found)
    assert [event.what for event in found if event.who == "USA"] == [
        "signed",
        "ratified",
        "in force",
        "gave notice of withdrawal",
        "withdrawn",
        "in force again",
        "gave notice of withdrawal",
        "withdrawn",
    ]
    assert [event.what for event in events(pack("jcpoa")) if event.who.endswith("para. 5)")] == [
        "ends (sunset)"
    ]


def test_spans_of_a_party_cover_all_time_without_a_gap():
    for name in treaty_packs():
        treaty = pack(name)
        for party in treaty.parties:
            spans = party_spans(treaty, party)
            assert spans[-1].until == NEVER
            assert all(one.until == other.start for one, other in itertools.pairwise(spans))
            assert all(one.state != other.state for one, other in itertools.pairwise(spans))


def test_text_fits_eighty_columns_and_names_the_mark(capsys):
    out = shown(capsys, "paris", "--as-of", "2026-11-24")
    assert max(map(len, out.splitlines())) <= 80
    assert "now 2026-11-24 v" in out
    assert "2016" in out
    assert re.search(r"\w{3}, \w{3}, \w{3} \+\d+  [.#-]+  in force\n", out)
    (line,) = [line for line in out.splitlines() if line.strip().startswith("USA  ")]
    assert line.endswith("withdrawn")
    assert "  2021-02-19  USA            in force again\n" in out


def test_a_mark_in_the_past_stands_inside(capsys):
    lines = shown(capsys, "paris", "--as-of", "2019-01-01", "--member", "USA").splitlines()
    column = lines[2].index("v now 2019-01-01")
    assert lines[3][column] == "#"


def test_one_member_can_be_asked_for_and_a_stranger_is_an_error(capsys):
    out = shown(capsys, "paris", "--member", "KEN", "--as-of", "2026-11-24")
    assert "2016-12-28  KEN    ratified" in out
    assert "USA" not in out
    assert run(["treaty", "timeline", "nato", "--member", "KEN"]) == 8
    assert "KEN is not a party to nato" in capsys.readouterr().err


def test_json_tells_states_exactly_and_all_events(capsys):
    document = told(capsys, "paris", "--as-of", "2026-11-24")
    assert document["schema"] == "intelshare/treaty-timeline/1"
    paris = document["treaties"]["paris"]
    (usa,) = [party for party in paris["parties"] if party["member"] == "USA"]
    assert usa["state"] == "WITHDRAWN"
    assert [(span["from"], span["state"]) for span in usa["states"]] == [
        (None, "NOT_RATIFIED"),
        ("2016-09-03T00:00:00Z", "NOT_YET_IN_FORCE"),
        ("2016-11-04T00:00:00Z", "IN_FORCE"),
        ("2020-11-04T00:00:00Z", "WITHDRAWN"),
        ("2021-02-19T00:00:00Z", "IN_FORCE"),
        ("2026-01-27T00:00:00Z", "WITHDRAWN"),
    ]
    assert len(paris["events"]) > 500


def test_events_of_who_came_and_stayed_are_left_out_and_that_is_said(capsys):
    assert run(["treaty", "timeline", "paris", "--as-of", "2026-11-24"]) == 0
    output = capsys.readouterr()
    assert "194 parties that joined and stayed" in output.err
    assert "KEN" not in output.out.split("when", 1)[1]


def test_a_treaty_of_articles_alone_is_drawn(tmp_path, capsys):
    path = tmp_path / "empty.toml"
    path.write_text(PACT.split("[[party]]", maxsplit=1)[0])
    assert "1950-01-01  pact  in force" in shown(capsys, str(path))


def test_a_day_is_not_longer_than_the_drawing():
    treaty = parse_treaty(PACT, "pact.toml", builtin_registry())
    drawing = draw(treaty, Instant(treaty.in_force + DAY), 30, ["FRA"])
    assert [lane.names for lane in drawing.parties] == [("FRA",)]
