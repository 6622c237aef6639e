"""The ladders that ship: a source each, levels that rise, names apart; a new state is a new file."""

from __future__ import annotations

import re
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

import intelshare
from intelshare import instant
from intelshare.builtin import builtin_registry
from intelshare.errors import LabelError, PolicyFileError
from intelshare.labels import (
    BEGINNING,
    JOINT,
    Reference,
    convert,
    format_banner,
    format_portion,
    parse_label,
    parse_registry,
    show_banner,
)
from intelshare.labels.registry import fold

DATA = Path(intelshare.__file__).parent / "labels" / "data"
FILES = {path.name: path.read_text("utf-8") for path in sorted(DATA.glob("*.toml"))}
REGISTRY = builtin_registry()
AUTHORITIES = sorted(set(REGISTRY.ladders) - {JOINT, "UN", "AU", "OSCE"})
NOW = instant.parse("2026-11-26")


def test_at_least_the_nineteen_authorities_have_a_ladder() -> None:
    wanted = "NATO EU USA GBR FRA DEU POL ITA ESP CAN AUS NZL NOR SWE FIN TUR UKR CHE KEN"
    for authority in wanted.split():
        row = REGISTRY.ladder(authority).at(NOW)
        assert row.known, authority
        assert row.levels[-1].reference >= Reference.R3, authority


@pytest.mark.parametrize("group", ["NATO", "EU"])
def test_members_of_nato_and_the_union_have_one_but_iceland(group: str) -> None:
    without = {state for state in REGISTRY.expand(group, NOW) if not REGISTRY.ladder(state).at(NOW).known}
    assert without == {"NATO": set(), "EU": set()}[group]


@pytest.mark.parametrize("name", FILES)
def test_every_file_states_a_source_that_somebody_can_look_up(name: str) -> None:
    document = tomllib.loads(FILES[name])
    stated = [document, *document.get("ladder", []), *document.get("group", [])]
    sources = [each["source"] for each in stated if "source" in each]
    assert len(sources) == len(stated) - (0 if "source" in document else 1)
    # A year, a number of an act, an address: something to look up.
    assert all(re.search(r"\d|\.\w{2,3}/", source) for source in sources)


@pytest.mark.parametrize("authority", AUTHORITIES)
def test_levels_rise_and_every_name_is_read_as_its_own_level(authority: str) -> None:
    ladder = REGISTRY.ladder(authority)
    assert ladder.source
    assert ladder.rows[0].interval.start == BEGINNING
    for before, after in pairwise(ladder.rows):
        assert before.interval.until == after.interval.start
    for row in ladder.rows:
        assert row.levels[0].reference == Reference.R0
        for lower, higher in pairwise(row.levels):
            assert lower.reference < higher.reference
        texts = [
            (text, level.name)
            for level in row.levels
            for text in (level.name, level.short, level.display)
            if text is not None
        ]
        for text, level in texts:
            assert text == text.strip() == fold(text), "written in capitals"
            assert REGISTRY.level_names[authority][text] == level, f"{text} means two levels"
        for level in row.levels:
            assert level.short is None or level.short.isascii()
            at = max(row.interval.start, instant.parse("1950-01-01"))
            text = f"//{authority} {level.name}" if authority not in ("NATO", "EU") else f"//{level.name}"
            if level.name == "UNMARKED":
                text = f"//{authority} UNMARKED"
            label = parse_label(text, REGISTRY, at, "write")
            for form in (format_banner, format_portion, show_banner):
                assert parse_label(form(label, REGISTRY), REGISTRY, at) == label


@pytest.mark.parametrize(
    ("authority", "level", "to", "at", "expected"),
    [
        ("EU", "CONFIDENTIEL UE/EU CONFIDENTIAL", "AUS", "2018-09-30T23:59:59Z", "CONFIDENTIAL"),
        ("EU", "CONFIDENTIEL UE/EU CONFIDENTIAL", "AUS", "2018-10-01", "SECRET"),
        ("AUS", "CONFIDENTIAL", "AUS", "2020-01-01", "SECRET"),
        ("NATO", "NATO RESTRICTED", "CAN", "2024-01-01", "CONFIDENTIAL"),
        ("NATO", "NATO RESTRICTED", "NZL", "2024-01-01", "RESTRICTED"),
        ("SWE", "HEMLIG", "NATO", "2015-01-01", "NATO SECRET"),
        ("SWE", "HEMLIG/RESTRICTED", "SWE", "2024-01-01", "BEGRANSAT HEMLIG"),
        ("EU", "SECRET UE/EU SECRET", "ESP", "2024-01-01", "RESERVADO"),
        ("ESP", "SECRETO", "EU", "2024-01-01", "TRES SECRET UE/EU TOP SECRET"),
        ("ITA", "RISERVATO", "EU", "2024-01-01", "RESTREINT UE/EU RESTRICTED"),
        ("FIN", "LUOTTAMUKSELLINEN", "SWE", "2024-01-01", "KONFIDENTIELL"),
        ("TUR", "OZEL", "NATO", "2024-01-01", "NATO CONFIDENTIAL"),
        ("TUR", "TASNIF DISI", "NOR", "2024-01-01", "UNMARKED"),
        ("POL", "TAJNE", "UKR", "2024-01-01", "TSILKOM TAIEMNO"),
        ("UKR", "TAIEMNO", "GBR", "2024-01-01", "SECRET"),
        ("USA", "SECRET", "CHE", "2024-01-01", "GEHEIM"),
        ("FRA", "DIFFUSION RESTREINTE", "KEN", "2024-01-01", "RESTRICTED"),
        ("NATO", "NATO RESTRICTED", "BEL", "2020-01-01", "CONFIDENTIEL/VERTROUWELIJK"),
        ("ROU", "SECRET", "FRA", "2020-01-01", "CONFIDENTIEL DEFENSE"),
        ("USA", "SECRET", "ROU", "2020-01-01", "STRICT SECRET"),
        ("NATO", "NATO CONFIDENTIAL", "MKD", "2024-01-01", "DOVERLIVO"),
    ],
)
def test_levels_of_the_added_states_convert(
    authority: str, level: str, to: str, at: str, expected: str
) -> None:
    assert convert(REGISTRY, authority, level, to, instant.parse(at)).name == expected


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("//SWE BEGRANSAT HEMLIG", "//SWE BEGRÄNSAT HEMLIG"),
        ("//FIN TL IV", "//FIN KÄYTTÖ RAJOITETTU"),
        ("//TUR COK GIZLI", "//TUR ÇOK GİZLİ"),
        ("//UKR OSOBLYVOI VAZHLYVOSTI", "//UKR ОСОБЛИВОЇ ВАЖЛИВОСТІ"),
        ("//GRC EMPISTEFTIKO", "//GRC ΕΜΠΙΣΤΕΥΤΙΚΟ"),
        ("//BGR STROGO SEKRETNO", "//BGR СТРОГО СЕКРЕТНО"),
        ("//HUN TITKOS!//REL TO AUT, HUN", "//HUN TITKOS!//REL TO HUN, AUT"),
        ("//MLT L-OGHLA SEGRETEZZA/TOP SECRET", "//MLT L-OGĦLA SEGRETEZZA/TOP SECRET"),
        ("//NLD STG. GEHEIM//NF", "//NLD STG. GEHEIM//NOFORN"),
        ("//ESP DL//REL TO ESP, FRA", "//ESP DIFUSIÓN LIMITADA//REL TO ESP, FRA"),
    ],
)
def test_people_are_shown_the_name_that_the_state_writes(text: str, shown: str) -> None:
    label = parse_label(text, REGISTRY)
    assert show_banner(label, REGISTRY) == shown
    assert parse_label(shown.lower().replace("i̇", "İ"), REGISTRY) == label


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("//CAN PROTECTED B", "2024-01-01"),
        ("//AUS OFFICIAL: SENSITIVE", "2024-01-01"),
        ("//NZL SENSITIVE", "2024-01-01"),
        ("//SWE KVALIFICERAT HEMLIG", "2019-03-31T23:59:59Z"),
        ("//AUS OFFICIAL", "2018-09-30T23:59:59Z"),
        ("//CHE STRENG GEHEIM", "2024-01-01"),
    ],
)
def test_scales_beside_the_ladder_and_levels_before_their_day_are_unknown(text: str, at: str) -> None:
    with pytest.raises(LabelError) as caught:
        parse_label(text, REGISTRY, instant.parse(at))
    assert caught.value.code == "UNKNOWN_LEVEL"


def test_adding_a_state_is_adding_a_file() -> None:
    added = """
[[ladder]]
authority = "LIE"
source = "Reglugerð nr. 959/2012"

[[ladder.row]]
R1 = { name = "TAKMARKADUR ADGANGUR", display = "TAKMARKAÐUR AÐGANGUR" }
R2 = { name = "TRUNADARMAL", display = "TRÚNAÐARMÁL" }
R3 = { name = "LEYNDARMAL", display = "LEYNDARMÁL" }
R4 = { name = "ALGERT LEYNDARMAL", short = "AL", display = "ALGERT LEYNDARMÁL" }
"""
    registry = parse_registry({**FILES, "lie.toml": added})
    label = parse_label("//lie algert leyndarmál//rel to lie, fin", registry, NOW, "write")
    assert format_banner(label, registry) == "//LIE ALGERT LEYNDARMAL//REL TO LIE, FIN"
    assert convert(registry, "LIE", "TAKMARKADUR ADGANGUR", "FIN", NOW).name == "KAYTTO RAJOITETTU"
    assert convert(registry, "USA", "SECRET", "LIE", NOW).name == "LEYNDARMAL"
    # Nothing else changed.
    for authority, ladder in REGISTRY.ladders.items():
        assert registry.ladders[authority] == ladder
    with pytest.raises(LabelError, match="NO_EQUIVALENCE"):
        convert(REGISTRY, "USA", "SECRET", "LIE", NOW)


LADDER = """[[ladder]]
authority = "LIE"
source = "§ 11"
[[ladder.row]]
until = 2000-01-01
R1 = { name = "PIIRATUD", short = "P" }
[[ladder.row]]
from = 2000-01-01
R1 = { name = "PIIRATUD", short = "P" }
R3 = { name = "SALAJANE", short = "S" }
"""


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ('"LIE"', '"ZZZ"', "PARTY_UNKNOWN"),
        ('"LIE"', '"FVEY"', "PARTY_UNKNOWN"),
        ('"LIE"', '"JOINT"', "PARTY_UNKNOWN"),
        ('"LIE"', '"FIN"', "DUPLICATE_KEY"),
        ('"§ 11"', '" "', "FIELD_RANGE"),
        ('short = "S"', 'short = "P"', "DUPLICATE_KEY"),
        ('short = "S"', 'short = "PIIRATUD"', "DUPLICATE_KEY"),
        ("SALAJANE", "Salajane", "FIELD_RANGE"),
        ("SALAJANE", "SALAJANE ", "FIELD_RANGE"),
        ("SALAJANE", "SALA  JANE", "FIELD_RANGE"),
        ("SALAJANE", "SALAJANE//NOFORN", "FIELD_RANGE"),
        ("SALAJANE", "SALAJANE (S)", "FIELD_RANGE"),
        ("SALAJANE", "UNMARKED", "FIELD_RANGE"),
        ("SALAJANE", "SALÄJANE", "FIELD_RANGE"),
        ("SALAJANE", "", "FIELD_RANGE"),
        ('short = "S"', 'display = "SALAJANE\\u202e"', "FIELD_RANGE"),
    ],
)
def test_a_ladder_that_no_label_could_say_is_a_file_error(old: str, new: str, code: str) -> None:
    assert old in LADDER
    with pytest.raises(PolicyFileError) as caught:
        parse_registry({**FILES, "new.toml": LADDER.replace(old, new)})
    assert caught.value.code == code
    assert caught.value.place is not None
    assert caught.value.place.source == "new.toml"


def test_an_organisation_gets_a_ladder_as_a_file_too() -> None:
    text = LADDER.replace('"LIE"', '"OSCE"').replace('"S"', '"OS"')
    registry = parse_registry({**FILES, "osce-ladder.toml": text})
    assert format_banner(parse_label("salajane releasable to usa", registry), registry) == (
        "//SALAJANE//REL TO OSCE, USA"
    )


@pytest.mark.parametrize("name", ["SECRET", "NATO SECRET", "NS", "S"])
def test_an_organisation_cannot_take_a_level_that_stands_alone_already(name: str) -> None:
    text = LADDER.replace('"LIE"', '"OSCE"').replace('"SALAJANE", short = "S"', f'"{name}"')
    with pytest.raises(PolicyFileError) as caught:
        parse_registry({**FILES, "osce-ladder.toml": text})
    assert caught.value.code == "DUPLICATE_KEY"
    assert name in caught.value.message


@pytest.mark.parametrize(
    ("group", "state", "first"),
    [
        ("UN", "IND", "1945-10-30"),
        ("UN", "BEL", "1945-12-27"),
        ("UN", "DEU", "1973-09-18"),
        ("UN", "CHE", "2002-09-10"),
        ("UN", "SSD", "2011-07-14"),
        ("AU", "MAR", "2017-01-31"),
        ("AU", "SSD", "2011-07-27"),
        ("OSCE", "ALB", "1991-06-19"),
        ("OSCE", "MNG", "2012-11-21"),
        ("NATO", "FIN", "2023-04-04"),
    ],
)
def test_membership_begins_on_the_day_of_the_public_record(group: str, state: str, first: str) -> None:
    day = instant.parse(first)
    assert state in REGISTRY.expand(group, day)
    assert state not in REGISTRY.expand(group, instant.Instant(day - 1))
