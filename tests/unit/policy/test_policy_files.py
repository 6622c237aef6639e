"""Treaty and overlay files are read strictly: every wrong field has its code, line and hint."""

from hashlib import sha256

import pytest

from intelshare import instant
from intelshare.builtin import builtin_registry, demo_treaties
from intelshare.errors import PolicyFileError
from intelshare.labels import Equivalence, Label, interval
from intelshare.policy import Kind, Request, compile_world, decide, parse_overlay, parse_treaty

GOOD = """\
id = "nordic"
title = "Nordic Framework"
kind = "regional"
in_force = 2020-01-01
source = "invented"

[[party]]
member = "SWE"
in_force = 2020-01-01

[[party]]
member = "NOR"
periods = [{ from = 2020-01-01, until = 2021-01-01 }, { from = 2022-01-01 }]
suspended = [{ from = 2022-06-01, until = 2022-07-01 }]
reservations = [{ categories = ["cyber"], level_at_least = "R3", counterparties = ["SWE"] }]

[[provision]]
article = "art. 1"
categories = ["cyber"]
ceiling = "NATO SECRET"
"""


def parse(text):
    return parse_treaty(text, "treaties/nordic.toml", builtin_registry())


def test_treaty_file_gives_the_whole_treaty():
    treaty = parse(GOOD)
    assert (treaty.id, treaty.kind, treaty.title) == ("nordic", Kind.REGIONAL, "Nordic Framework")
    norway = treaty.parties[1]
    day = instant.parse
    assert norway.in_force == (
        interval(day("2020-01-01"), day("2021-01-01")),
        interval(day("2022-01-01"), None),
    )
    assert norway.text == treaty.text
    lines = [treaty.provisions[0].place(field).line for field in ("", "article", "ceiling", "until")]
    assert lines == [17, 18, 20, 17], "a field that is not there is where its provision is"


def test_text_hash_is_free_of_order_and_of_parties():
    second = '[[provision]]\narticle = "art. 2"\ncategories = ["cyber", "terrorism"]\nceiling = "R1"\n\n'
    head, tail = GOOD.split("[[provision]]")
    before = parse(f"{head}{second}[[provision]]{tail}")
    after = parse(GOOD + second.replace('"cyber", "terrorism"', '"terrorism", "cyber"'))
    without = parse(GOOD.replace('[[party]]\nmember = "SWE"\nin_force = 2020-01-01\n', "") + second)
    assert before.text == after.text == without.text
    assert before.text != parse(GOOD).text
    assert before.text.startswith("sha256:")
    assert len(before.text) == 71


def test_stated_text_hash_must_be_that_of_the_file():
    stated = parse(GOOD).text
    assert parse(GOOD.replace("source =", f'text = "{stated}"\nsource =')).text == stated


def test_wrong_party_is_shown_with_line_caret_and_hint():
    with pytest.raises(PolicyFileError) as caught:
        parse(GOOD.replace('"NOR"', '"NO"'))
    error = caught.value
    assert error.code == "PARTY_UNKNOWN"
    place = error.place
    assert (place.source, place.line, place.column, place.width) == ("treaties/nordic.toml", 12, 10, 4)
    assert place.field == "party[1].member"
    assert place.excerpt == 'member = "NO"'
    assert "NOR" in error.hint


@pytest.mark.parametrize(
    ("old", "new", "code", "line"),
    [
        ('kind = "regional"', 'kind = "regoinal"', "FIELD_RANGE", 3),
        ('kind = "regional"', "kind = 3", "FIELD_TYPE", 3),
        ('kind = "regional"', 'kind = "regional"\ncolour = 1', "FIELD_UNKNOWN", 4),
        ('kind = "regional"', 'kind = "regional"\nkind = "regional"', "DUPLICATE_KEY", 4),
        ('kind = "regional"', "kind =", "FILE_SYNTAX", 3),
        ("in_force = 2020-01-01\nsource", "in_force = inf\nsource", "FIELD_RANGE", 4),
        ("in_force = 2020-01-01\nsource", "in_force = 2020-13-01\nsource", "FIELD_RANGE", 4),
        ("in_force = 2020-01-01\nsource", "in_force = 2020-01-01T00:00:00\nsource", "FIELD_TYPE", 4),
        ("in_force = 2020-01-01\nsource", "source", "FIELD_RANGE", None),
        ("2022-06-01, until", "2023-06-01, until", "FIELD_RANGE", 14),
        ("{ from = 2022-01-01 }", "{ from = 2020-06-01 }", "INTERVAL_OVERLAP", 13),
        ('member = "NOR"', 'member = "SWE"', "DUPLICATE_KEY", 12),
        ('["SWE"]', '["SWEDEN"]', "PARTY_UNKNOWN", 15),
        ('"R3"', '"R5"', "FIELD_RANGE", 15),
        ("NATO SECRET", "NATO SECRTE", "FIELD_RANGE", 20),
        ('["cyber"]\nceiling', "[]\nceiling", "FIELD_RANGE", 19),
        ('["cyber"]\nceiling', '["cyber"]\nreinstated = 2021-01-01\nceiling', "FIELD_RANGE", 20),
        ('title = "Nordic Framework"', f'title = "{"x" * 5000}"', "TOO_LARGE", 2),
        ('source = "invented"', 'source = "invented"\ntext = "sha256:00"', "FIELD_RANGE", 6),
        ('id = "nordic"', 'id = "../nordic"', "FIELD_RANGE", 1),
    ],
)
def test_wrong_field_has_its_code_and_line(old, new, code, line):
    assert old in GOOD
    with pytest.raises(PolicyFileError) as caught:
        parse(GOOD.replace(old, new, 1))
    assert caught.value.code == code
    assert caught.value.place.line == line


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("\ufeff" + GOOD, "FILE_SYNTAX"),
        (GOOD.replace("\n", "\r\n", 3), "FILE_SYNTAX"),
        (GOOD + "#" * (1 << 20), "TOO_LARGE"),
        ("x = " + "[" * 100_000, "TOO_LARGE"),
        ("a." * 100_000 + "b = 1", "TOO_LARGE"),
        ("x = " + "9" * 10_000, "FIELD_RANGE"),
    ],
)
def test_hostile_file_is_refused_with_a_code(text, code):
    with pytest.raises(PolicyFileError) as caught:
        parse(text)
    assert caught.value.code == code


def test_windows_line_ends_are_read():
    assert parse(GOOD.replace("\n", "\r\n")).text == parse(GOOD).text


def test_two_rows_for_one_level_and_direction_are_an_error():
    row = '[[equivalence]]\nfrom = "FRA"\nlevel = "SECRET"\nto = "KEN"\nas = "SECRET"\n'
    assert parse(GOOD + row).equivalence == (Equivalence("FRA", "SECRET", "KEN", "SECRET"),)
    with pytest.raises(PolicyFileError) as caught:
        parse(GOOD + row + row)
    assert caught.value.code == "DUPLICATE_KEY"


def test_equivalence_row_names_a_level_of_the_ladder():
    row = '[[equivalence]]\nfrom = "FRA"\nlevel = "SECRTE"\nto = "KEN"\nas = "SECRET"\n'
    with pytest.raises(PolicyFileError) as caught:
        parse(GOOD + row)
    assert caught.value.code == "FIELD_RANGE"
    assert "SECRET" in caught.value.hint


PARTY = '[[party]]\nmember = "NGA"\nin_force = 2021-01-01\n'
LADDER = '[[ladder]]\nauthority = "NGA"\nuntil = 2024-01-01\nlevels = { R1 = "RESTRICTED" }\n'
LATER = '[[ladder]]\nauthority = "NGA"\nfrom = 2024-01-01\nlevels = { R1 = "RESTRICTED", R3 = "SECRET" }\n'


def test_text_hash_is_over_the_bytes_of_the_format():
    """Instants are microseconds, null if open; a level that nobody writes stands in no row."""
    bounded = (
        '[[provision]]\narticle = "art. 2"\ncategories = ["cyber"]\nceiling = "R1"\n'
        'obligations = ["attribution"]\n'
        "from = 2020-01-01\nuntil = 2021-01-01\nreinstated = 2022-01-01\n"
    )
    hashed = (
        '{"equivalence":[],"id":"nordic","kind":"regional","ladder":'
        '[["NGA",null,1704067200000000,[["R1","RESTRICTED"]]],'
        '["NGA",1704067200000000,null,[["R1","RESTRICTED"],["R3","SECRET"]]]],"provisions":'
        '[["art. 1",["cyber"],"NATO SECRET",[],null,null,null],'
        '["art. 2",["cyber"],"R1",["attribution"],1577836800000000,1609459200000000,1640995200000000]]}'
    )
    digest = sha256(b"intelshare/treaty-text/1\n" + hashed.encode("ascii"))
    assert parse(GOOD + bounded + PARTY + LADDER + LATER).text == f"sha256:{digest.hexdigest()}"


def test_a_treaty_brings_the_ladder_of_a_party_that_has_none():
    read = parse(GOOD + PARTY + LATER + LADDER)
    (ladder,) = read.ladders
    assert ladder.authority == "NGA"
    levels = [[level.name for level in row.levels] for row in ladder.rows]
    assert levels == [["UNMARKED", "RESTRICTED"], ["UNMARKED", "RESTRICTED", "SECRET"]]
    registry = builtin_registry()
    assert read.ladder("NGA", registry) is ladder
    assert read.ladder("FRA", registry) is registry.ladder("FRA")
    # It is part of the text that the parties adopt; without one the text is what it was.
    assert read.text == parse(GOOD + PARTY + LADDER + LATER).text
    assert read.text not in {parse(GOOD + PARTY).text, parse(GOOD + PARTY + LADDER).text}
    assert parse(GOOD + PARTY).text == parse(GOOD).text


def test_rows_name_levels_of_the_ladder_that_the_treaty_brings():
    row = '[[equivalence]]\nfrom = "FRA"\nlevel = "SECRET"\nto = "NGA"\nas = "{}"\n'
    assert parse(GOOD + PARTY + LATER + row.format("SECRET")).equivalence[0].name == "SECRET"
    with pytest.raises(PolicyFileError) as caught:
        parse(GOOD + PARTY + LATER + row.format("SECRTE"))
    assert caught.value.code == "FIELD_RANGE"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (LADDER, "PARTY_UNKNOWN"),
        (PARTY + LADDER.replace("NGA", "QQQ"), "PARTY_UNKNOWN"),
        (LADDER.replace("NGA", "FRA"), "LADDER_CONFLICT"),
        (PARTY + LADDER + LADDER, "INTERVAL_OVERLAP"),
        (PARTY + LADDER + LATER.replace("2024", "2023"), "INTERVAL_OVERLAP"),
        (PARTY + LADDER.replace("until = 2024", "from = 2024-01-01\nuntil = 2024"), "FIELD_RANGE"),
        (PARTY + LADDER.replace('{ R1 = "RESTRICTED" }', "{}"), "FIELD_RANGE"),
        (PARTY + LADDER.replace("R1", "R5"), "FIELD_UNKNOWN"),
        (PARTY + LADDER.replace("R1 =", "R2 = 1, R1 ="), "FIELD_TYPE"),
        (PARTY + LADDER.replace("R1 =", 'R2 = "RESTRICTED", R1 ='), "DUPLICATE_KEY"),
        (PARTY + LADDER.replace("RESTRICTED", "Restricted"), "FIELD_RANGE"),
        (PARTY + LADDER.replace("RESTRICTED", "UNMARKED"), "FIELD_RANGE"),
        (PARTY + LADDER.replace("RESTRICTED", "SÉCRET"), "FIELD_RANGE"),
        (PARTY + LADDER + "short = 1\n", "FIELD_UNKNOWN"),
    ],
)
def test_a_ladder_of_a_treaty_is_read_strictly(text, code):
    with pytest.raises(PolicyFileError) as caught:
        parse(GOOD + text)
    assert caught.value.code == code


OVERLAY = """\
[[forbid]]
id = "DEU-personal-data"
source = "BDSG sec. 78"
when = { flags = ["personal-data"], not_to_group = "EU" }

[[oblige]]
id = "DEU-log"
source = "example"
when = {}
obligation = "log-access"
"""


def test_overlay_file_gives_the_whole_overlay():
    overlay = parse_overlay(OVERLAY, "deu.toml", builtin_registry())
    assert overlay.forbid[0].when.not_to_group == ("EU",)
    assert overlay.forbid[0].place.line == 1
    assert overlay.oblige[0].obligation == "log-access"


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ('"EU"', '"UE"', "PARTY_UNKNOWN"),
        ('"EU"', "[]", "FIELD_RANGE"),
        ("flags", "flag", "FIELD_UNKNOWN"),
        ("when = {}\n", "", "FIELD_RANGE"),
        ('obligation = "log-access"\n', "", "FIELD_RANGE"),
        ("DEU-log", "DEU-personal-data", "DUPLICATE_KEY"),
        ('source = "example"', "", "FIELD_RANGE"),
        ("[[oblige]]", "[[obliege]]", "FIELD_UNKNOWN"),
    ],
)
def test_wrong_overlay_has_its_code(old, new, code):
    with pytest.raises(PolicyFileError) as caught:
        parse_overlay(OVERLAY.replace(old, new, 1), "deu.toml", builtin_registry())
    assert caught.value.code == code


def test_overlay_is_the_law_of_the_member_it_is_named_for():
    registry = builtin_registry()
    assert parse_overlay(OVERLAY, "overlays/deu.toml", registry).member == "DEU"
    assert parse_overlay(OVERLAY, "overlays/NATO.toml", registry, "NATO").member == "NATO"


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("overlays/germany.toml", "PARTY_UNKNOWN", "such as deu.toml"),
        ("overlays/de.toml", "PARTY_UNKNOWN", 'did you mean "DEU"?'),
        ("overlays/fra.toml", "OVERLAY_FOREIGN", "the law of DEU is in deu.toml"),
    ],
)
def test_overlay_of_another_name_is_not_taken_for_the_own_law(name, code, words):
    with pytest.raises(PolicyFileError) as caught:
        parse_overlay(OVERLAY, name, builtin_registry(), "DEU")
    assert caught.value.code == code
    assert words in caught.value.hint
    assert caught.value.place.source == name


def test_node_does_not_start_on_the_law_of_another_member(tmp_path):
    from intelshare.ids import MemberCode, NodeUri
    from intelshare.node.folder import Folder
    from intelshare.node.policies import read_law
    from intelshare.node.settings import Settings

    settings = Settings(MemberCode("DEU"), NodeUri("intelshare://deu.test/node/one"))
    (tmp_path / "treaties").mkdir()
    (tmp_path / "overlays").mkdir()
    (tmp_path / "overlays" / "deu.toml").write_text(OVERLAY)
    assert read_law(Folder(tmp_path), settings)[0].overlays["DEU"].forbid
    (tmp_path / "overlays" / "deu.toml").rename(tmp_path / "overlays" / "dnk.toml")
    with pytest.raises(PolicyFileError) as caught:
        read_law(Folder(tmp_path), settings)
    assert caught.value.code == "OVERLAY_FOREIGN"


def test_demo_treaties_are_read():
    treaties = [parse_treaty(text, name, builtin_registry()) for name, text in demo_treaties().items()]
    assert sorted(treaty.id for treaty in treaties) == ["demo-climate", "gsa-fra-usa"]


def test_the_caret_of_an_unknown_field_stands_under_its_name() -> None:
    text = GOOD.replace('kind = "regional"', 'kind = "regional"\ncolour = "blue"')
    with pytest.raises(PolicyFileError) as caught:
        parse_treaty(text, "t.toml", builtin_registry())
    assert caught.value.code == "FIELD_UNKNOWN"
    place = caught.value.place
    assert place is not None
    assert (place.line, place.column, place.width) == (4, 1, len("colour"))


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ("[[ladders]]\nx = 1\n", (21, 1, "[[ladders]]")),
        ("[ladders.row]\nx = 1\n", (21, 1, "[ladders.row]")),
        ("[[ladders.row]]\nx = 1\n[[ladders.row]]\n", (21, 1, "[[ladders.row]]")),
        ('["ladders"]\nx = 1\n', (21, 1, '["ladders"]')),
        ('[[party]]\nmember = "DNK"\n"a ladders" = 1\n', (23, 2, "a ladders")),
        ('[[party]]\nmember = "DNK"\nladders.row = 1\n', (23, 1, "ladders")),
        ('[[party]]\nmember = "DNK"\n[party.ladders.row]\n', (23, 1, "[party.ladders.row]")),
    ],
)
def test_an_unknown_field_has_its_line_however_it_is_written(wrong, place) -> None:
    with pytest.raises(PolicyFileError) as caught:
        parse(GOOD + wrong)
    assert caught.value.code == "FIELD_UNKNOWN"
    found = caught.value.place
    shown = found.excerpt[found.column - 1 :][: found.width]
    assert (found.line, found.column, shown) == place


def test_a_party_that_stops_a_treaty_is_shown_with_its_own_line() -> None:
    registry = builtin_registry()
    day = instant.parse("2021-06-01")
    pact = parse_treaty(GOOD, "nordic.toml", registry)
    world = compile_world(registry, registry.states, [pact])
    request = Request(Label("SWE", "HEMLIG", ("SWE", "NOR")), "cyber", day, "SWE", "NOR")
    decision = decide(world, request)
    assert decision.codes == ("WITHDRAWN",)
    place = decision.reasons[0].place
    assert place is not None
    assert (place.source, place.line) == ("nordic.toml", 11)
