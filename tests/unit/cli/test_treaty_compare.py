"""``treaty compare`` and ``show``: terms side by side where there is room, below each other where not."""

import json

import pytest

from intelshare import instant
from intelshare.builtin import builtin_registry, treaty_packs
from intelshare.cli.app import run
from intelshare.policy import parse_treaty
from intelshare.policy_tools import TERMS, summary, terms

NOW = instant.parse("2026-11-24")
AS_OF = ["--as-of", "2026-11-24"]
FIVE = ["nato", "eu-csdp", "gsa-geo-pol", "jcpoa", "paris"]


def pack(name):
    path = treaty_packs()[name]
    return parse_treaty(path.read_text("utf-8"), path.name, builtin_registry())


def shown(capsys, *arguments):
    assert run(["treaty", *map(str, arguments)]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "term", "text"),
    [
        ("paris", "parties", "198: 194 in force, 3 not ratified, 1 withdrawn"),
        ("paris", "ceilings", "R0"),
        (
            "paris",
            "exits",
            "USA left 2020-11-04 (notice 2019-11-04), back 2021-02-19, left 2026-01-27 (notice 2025-01-27)",
        ),
        ("jcpoa", "in force", "2016-01-16 to 2025-10-18"),
        ("jcpoa", "exits", "USA left 2018-05-08"),
        ("jcpoa", "sunsets", "2 of 8 articles 2020-10-18; 2 of 8 articles 2023-10-18"),
        ("unsc-iran", "sunsets", "3 of 3 articles 2016-01-16; reinstated 2025-09-28"),
        ("unsc-iran", "reservations", "CHN IRN RUS"),
        ("unsc-iran", "parties", "194: 194 in force"),
        ("gsa-geo-pol", "parties", "GEO POL (2 in force)"),
        ("gsa-geo-pol", "equivalence", "none"),
        ("gsa-geo-pol", "scope", "all"),
    ],
)
def test_a_summary_says_what_the_public_record_says(name, term, text):
    assert summary(pack(name), NOW, builtin_registry())[term] == text


def test_states_of_parties_are_those_of_the_instant():
    paris = pack("paris")
    assert "3 not ratified, 1 withdrawn" in summary(paris, NOW, builtin_registry())["parties"]
    early = summary(paris, instant.parse("2016-11-04"), builtin_registry())["parties"]
    assert "74 in force" in early
    assert "withdrawn" not in early


def test_every_shipped_treaty_has_all_terms():
    for name in treaty_packs():
        found = summary(pack(name), NOW, builtin_registry())
        assert list(found) == list(TERMS)
        assert all(found.values())


@pytest.mark.parametrize(("width", "count"), [(80, 3), (120, 3), (120, 4)])
def test_treaties_stand_side_by_side_where_there_is_room(width, count, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(width))
    lines = shown(capsys, "compare", *FIVE[:count], *AS_OF).splitlines()
    assert lines[0].split() == FIVE[:count]
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize("width", [80, 120])
def test_treaties_stand_below_each_other_where_there_is_none(width, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(width))
    names = [*FIVE, "un-charter"]
    lines = shown(capsys, "compare", *names, *AS_OF).splitlines()
    assert max(map(len, lines)) <= width
    assert [line for line in lines if not line.startswith(" ")] == list(TERMS)
    start = lines.index("kind") + 1
    assert [line.split()[0] for line in lines[start : start + len(names)]] == names


def test_order_is_the_one_asked_for(capsys):
    document = json.loads(shown(capsys, "compare", "paris", "jcpoa", "nato", "--json"))
    assert list(document["treaties"]) == ["paris", "jcpoa", "nato"]


def test_json_holds_the_terms_as_data(capsys):
    document = json.loads(shown(capsys, "compare", "jcpoa", "unsc-iran", *AS_OF, "--json"))
    assert document["schema"] == "intelshare/treaty-terms/1"
    jcpoa = document["treaties"]["jcpoa"]
    assert jcpoa["terminated"] == "2025-10-18T00:00:00Z"
    (usa,) = [party for party in jcpoa["parties"] if party["member"] == "USA"]
    assert usa["state"] == "WITHDRAWN"
    assert usa["in_force"] == [{"from": "2016-01-16T00:00:00Z", "until": "2018-05-08T00:00:00Z"}]
    assert {one["article"]: one["until"] for one in jcpoa["articles"]}["annex I"] is None
    iran = document["treaties"]["unsc-iran"]
    reserved = {party["member"]: party["reservations"] for party in iran["parties"] if party["reservations"]}
    assert set(reserved) == {"CHN", "IRN", "RUS"}
    assert reserved["CHN"][0]["from"] == "2025-09-28T00:00:00Z"
    assert all(one["in_effect"] for one in iran["articles"])
    assert iran == json.loads(json.dumps(terms(pack("unsc-iran"), NOW)))


def test_markdown_is_a_table_with_a_row_for_each(capsys):
    lines = shown(capsys, "compare", *FIVE, *AS_OF, "--format", "markdown").splitlines()
    assert lines[0].startswith("| treaty | kind | in force |")
    assert [line.split(" | ")[0] for line in lines[2:]] == [f"| {name}" for name in FIVE]
    assert {line.count(" | ") for line in lines} == {len(TERMS)}


ROWS = """
[[equivalence]]
from = "POL"
level = "TAJNE"
to = "GEO"
as = "SRULIAD SAIDUMLO"
"""


def test_show_lists_articles_parties_by_state_and_rows(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("COLUMNS", "100")
    with_rows = tmp_path / "with-rows.toml"
    with_rows.write_text(treaty_packs()["gsa-geo-pol"].read_text("utf-8") + ROWS, "utf-8")
    out = shown(capsys, "show", "paris", with_rows, *AS_OF)
    assert "  not ratified: IRN LBY YEM\n  withdrawn: USA\n" in out
    assert "  POL   TAJNE  GEO  SRULIAD SAIDUMLO" in out
    assert "sha256:" in out
    assert f"  source        {pack('paris').source}" in out


def test_list_names_what_ships(capsys):
    document = json.loads(shown(capsys, "list", "--json"))
    listed = {each["id"]: each for each in document["treaties"]}
    assert {*FIVE, "unsc-iran", "gsa-fin-usa"} <= set(listed)
    assert listed["paris"]["parties"] == 198


def test_a_folder_without_treaties_is_an_error(tmp_path, capsys):
    assert run(["treaty", "compare", str(tmp_path)]) == 8
    assert "no treaty was found" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["compare"], ["compare", "--format", "markdown"], ["show"], ["timeline"], ["list"]]
)
def test_names_from_a_file_cannot_draw_on_a_terminal(arguments, tmp_path, capsys):
    hostile = r"a\n| b |\u001b[2J\u202e"
    path = tmp_path / "x.toml"
    path.write_text(
        f'id = "x"\ntitle = "{hostile}"\nkind = "bilateral"\nin_force = 2020-01-01\nsource = "{hostile}"\n'
        f'[[provision]]\narticle = "{hostile}"\ncategories = ["cyber"]\nceiling = "R1"\n'
        f'until = 2021-01-01\nobligations = ["attribution"]\n[[party]]\nmember = "FRA"\n'
    )
    out = shown(capsys, arguments[0], str(path), *arguments[1:])
    assert not {letter for letter in out if not letter.isprintable()} - {"\n"}
    if "markdown" in arguments:
        assert len(out.splitlines()) == 3
