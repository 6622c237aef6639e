"""Labels: what the errors point at, what people are shown, and what the shipped registry knows."""

import pytest

from intelshare import instant
from intelshare.builtin import builtin_registry
from intelshare.errors import LabelError, PolicyFileError
from intelshare.instant import Instant
from intelshare.labels import (
    Label,
    LabelReader,
    format_portion,
    parse_label,
    parse_registry,
    reach,
    rollup,
    show_banner,
)

NOW = instant.parse("2026-01-01")


def error_of(text, **options):
    with pytest.raises(LabelError) as caught:
        parse_label(text, builtin_registry(), **options)
    return caught.value


@pytest.mark.parametrize(
    ("text", "code", "pointed_at", "hint"),
    [
        ("SECRET//REL TO USA, FRB", "UNKNOWN_MEMBER", "FRB", "FRA"),
        ("  ( secrte // nf )", "UNKNOWN_LEVEL", "secrte", "SECRET"),
        ("FRA SECRET", "UNKNOWN_LEVEL", "FRA SECRET", "write //FRA SECRET"),
        ("JOINT SECRET FRA USA", "UNKNOWN_LEVEL", "JOINT SECRET FRA USA", "write //JOINT SECRET FRA USA"),
        ("//FRA SECRT", "UNKNOWN_LEVEL", "FRA SECRT", '"SECRET"'),
        ("EU SECRET", "UNKNOWN_LEVEL", "EU SECRET", '"SECRET UE/EU SECRET"'),
        ("//EU CONFIDENTIAL", "UNKNOWN_LEVEL", "EU CONFIDENTIAL", '"CONFIDENTIEL UE/EU CONFIDENTIAL"'),
        ("NATO SECRT//REL TO NATO", "UNKNOWN_LEVEL", "NATO SECRT", '"NATO SECRET"'),
        ("//FRB SECRET", "UNKNOWN_MEMBER", "FRB", "FRA"),
        ("SECRET//NOFRON", "UNKNOWN_CONTROL", "NOFRON", "NOFORN"),
        ("//JOINT SECRET USA UZA", "UNKNOWN_MEMBER", "UZA", "UZB"),
        ("SECRET//REL   TO   FRA", "REL_TO_WITHOUT_AUTHORITY", "REL   TO   FRA", "add USA"),
        ("NATO SECRET   RELEASABLE   TO   SWX", "UNKNOWN_MEMBER", "SWX", "SWE"),
        ("SECRET//REL TO USA, FRA, FRA", "DUPLICATE_CODE", "FRA", None),
        ("TLP:GREN", "UNKNOWN_LEVEL", "TLP:GREN", "GREEN"),
        ("U//TLP:RED//TLP:RED", "DUPLICATE_CONTROL", "TLP:RED", None),
    ],
)
def test_error_points_at_the_piece_and_says_what_was_meant(text, code, pointed_at, hint):
    error = error_of(text)
    place = error.place
    assert error.code == code
    assert place.excerpt[place.column - 1 : place.column - 1 + place.width] == pointed_at
    if hint:
        assert hint in error.hint


def test_withdrawn_level_names_what_is_valid_now():
    error = error_of("//FRA SECRET DEFENSE//REL TO FRA, USA", at=NOW, use="write")
    assert error.code == "LEVEL_WITHDRAWN"
    assert "TRES SECRET" in error.hint


@pytest.mark.parametrize("letter", ["\n", "\x00", "\u202e", "\u200b", "\u2028", "\ud800", "\ue000"])
def test_control_character_is_refused_and_shown_escaped(letter):
    error = error_of(f"SECRET{letter}//NF")
    assert error.code == "CONTROL_CHARACTER"
    assert letter not in error.place.excerpt
    assert error.place.column == 7


def test_a_megabyte_of_spaces_is_too_large():
    assert error_of(" " * 1_000_000).code == "TOO_LARGE"


@pytest.mark.parametrize("text", ["ſECRET", "SЕCRET", "SECRET//ΝF", "ＳECRET", "SECRET\u00a0//NF"])
def test_homoglyphs_are_not_folded(text):
    assert error_of(text).code in ("UNKNOWN_LEVEL", "UNKNOWN_CONTROL")


def test_half_accented_names_are_not_read():
    assert error_of("//POL ŚCISLE TAJNE").code == "UNKNOWN_LEVEL"


@pytest.mark.parametrize(
    "text",
    ["NATO  SECRET   RELEASABLE  TO  SWE", "nato secret releasable to swe", "(//NS// REL  TO NATO , SWE)"],
)
def test_runs_of_spaces_do_not_matter(text):
    label = parse_label(text, builtin_registry())
    assert label == Label("NATO", "NATO SECRET", ("NATO", "SWE"))


def test_people_are_shown_accents():
    registry = builtin_registry()
    label = parse_label("//FRA TRES SECRET//REL TO FRA, DEU", registry)
    assert show_banner(label, registry) == "//FRA TRÈS SECRET//REL TO FRA, DEU"
    assert format_portion(label, registry) == "(//FRA TS//REL TO FRA, DEU)"


def test_reader_remembers_within_its_bound():
    reader = LabelReader(builtin_registry(), bound=2)
    first = reader.read("SECRET//NF")
    assert reader.read("SECRET//NF") is first
    for text in ("(U)", "(S)", "(C)"):
        reader.read(text)
    assert reader.read("SECRET//NF") == first


def test_banner_says_no_level_where_the_ladder_is_unknown():
    registry = builtin_registry()
    with pytest.raises(LabelError) as caught:
        rollup("GAB", NOW, [parse_label("//FRA DR//REL TO FRA, GAB", registry)], registry)
    assert caught.value.code == "NO_EQUIVALENCE"


def test_release_to_an_organisation_covers_its_node_and_its_members_then():
    registry = builtin_registry()
    label = parse_label("//FRA S//REL TO FRA, NATO", registry)
    before = reach(label, registry, instant.parse("2024-03-06T23:59:59Z"))
    after = reach(label, registry, instant.parse("2024-03-07"))
    assert before.covers is not None
    assert after.covers is not None
    assert "NATO" in before.covers
    assert after.covers - before.covers == {"SWE"}


@pytest.mark.parametrize(
    ("group", "count"), [("NATO", 32), ("EU", 27), ("UN", 193), ("AU", 55), ("OSCE", 57), ("FVEY", 5)]
)
def test_registry_has_todays_members(group, count):
    registry = builtin_registry()
    assert len(registry.expand(group, NOW) - {group}) == count
    assert len(registry.states) == 249


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        (
            '[[group]]\ncode = "X"\nname = "X"\nsource = "s"\n[[group.membership]]\nmembers = ["QQQ"]',
            "PARTY_UNKNOWN",
            1,
        ),
        ("[state]\nFRA = 3", "FIELD_TYPE", 2),
        ('[[ladder]]\nauthority = "FRA"\nsource = "s"\n[[ladder.row]]\nR7 = {}', "FIELD_UNKNOWN", 5),
        (
            '[[ladder]]\nauthority = "FRA"\nsource = "s"\n[[ladder.row]]\n[[ladder.row]]\nfrom = 2000-01-01',
            "INTERVAL_OVERLAP",
            5,
        ),
        (
            '[[ladder]]\nauthority = "FRA"\nsource = "s"\n[[ladder.row]]\nR3 = { name = "SÉCRET" }',
            "FIELD_RANGE",
            5,
        ),
    ],
)
def test_wrong_registry_file_has_code_and_line(text, code, line):
    with pytest.raises(PolicyFileError) as caught:
        parse_registry({"data.toml": text})
    assert caught.value.code == code
    assert caught.value.place.line == line


def test_any_instant_has_a_ladder():
    assert builtin_registry().ladder("FRA").at(Instant(-(2**70))).known
