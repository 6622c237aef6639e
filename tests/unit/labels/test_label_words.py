"""Labels by the words that people use: titles, aliases, English names, and blocks that are not carried."""

import itertools

import pytest

from intelshare import instant
from intelshare.builtin import builtin_registry
from intelshare.errors import LabelError
from intelshare.labels import Label, format_banner, format_portion, parse_label, read_stanag4774, rollup
from intelshare.labels.stanag4774 import NAMESPACE

REGISTRY = builtin_registry()
LEVELS = [
    (authority, level)
    for authority, ladder in sorted(REGISTRY.ladders.items())
    for row in ladder.rows
    for level in row.levels
    if authority != "JOINT" and level.name != "UNMARKED"
]
NOW = instant.parse("2026-01-01")


def written(authority: str, text: str) -> str:
    return (
        text
        if authority == "USA"
        else f"//{text}"
        if authority in REGISTRY.groups
        else f"//{authority} {text}"
    )


def error_of(text: str, **given: object) -> LabelError:
    with pytest.raises(LabelError) as caught:
        parse_label(text, REGISTRY, **given)
    return caught.value


def in_turkish(text: str) -> list[str]:
    small = text.replace("İ", "i").replace("I", "ı").lower()
    return [
        small,
        " ".join(
            word.replace("i", "İ", 1).capitalize() if word[0] == "i" else word[0].upper() + word[1:]
            for word in small.split()
        ),
    ]


@pytest.mark.parametrize(("authority", "level"), LEVELS)
def test_every_spelling_of_every_level_is_read_in_every_case_and_only_the_name_is_written(authority, level):
    texts = [level.name, *filter(None, (level.display,)), *(alias.text for alias in level.also)]
    for text in texts:
        cases = [text, text.upper(), text.lower(), text.title()]
        if authority == "TUR" and not text.isascii():
            cases = [text, *in_turkish(text)]
        for cased in cases:
            label = parse_label(written(authority, cased), REGISTRY)
            assert (label.authority, label.level) == (authority, level.name), cased
            assert level.name in format_banner(label, REGISTRY)


def test_no_spelling_names_two_levels_of_one_ladder():
    for authority, _ in LEVELS:
        names: dict[str, set[str]] = {}
        for owner, level in LEVELS:
            for text in level.texts if owner == authority else ():
                names.setdefault(text.upper(), set()).add(level.name)
        assert all(len(found) == 1 for found in names.values())


def test_greek_capitals_drop_their_accents_and_keep_them_too():
    for text in ("Άκρως Απόρρητο", "ΑΚΡΩΣ ΑΠΟΡΡΗΤΟ", "ΆΚΡΩΣ ΑΠΌΡΡΗΤΟ", "άκρως απόρρητο", "ΑΑΠ"):
        assert parse_label(f"//GRC {text}", REGISTRY).level == "AKROS APORRITO"


def test_an_ascii_letter_is_never_taken_for_another():
    for text in ("//TUR ÇOK GİZLİ".replace("Ç", "\u0421"), "//USA ſECRET", "ſECRET"):
        assert error_of(text).code == "UNKNOWN_LEVEL"


PAIRS = [
    ("NOFORN", "RELIDO"),
    ("NOFORN", "DISPLAY ONLY AFG"),
    ("NOFORN", "EYES ONLY"),
    ("RELIDO", "DISPLAY ONLY AFG"),
]


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("form", ["SECRET//{}", "(S//{})", "//FRA SECRET//{}", "NATO SECRET//{}"])
def test_controls_that_contradict_each_other_are_refused_in_either_order(pair, form):
    for first, second in itertools.permutations(pair):
        for between in ("/", "//"):
            error = error_of(form.format(first + between + second))
            assert error.code == "CONTROLS_CONFLICT"
            assert error.place.excerpt[error.place.column - 1 :].startswith(second)


@pytest.mark.parametrize("pair", PAIRS[:1] + PAIRS[2:3])
def test_contradicting_controls_are_refused_in_xml_too(pair):
    values = {"NOFORN": "Special Handling", "EYES ONLY": "Special Handling", "RELIDO": "Disclosure"}
    kinds = {"Special Handling": "RESTRICTIVE", "Disclosure": "INFORMATIVE"}
    tags: dict[str, str] = {}
    for control in pair:
        tags[values[control]] = tags.get(values[control], "") + f"<GenericValue>{control}</GenericValue>"
    inside = "".join(
        f'<Category TagName="{name}" Type="{kinds[name]}">{text}</Category>' for name, text in tags.items()
    )
    text = (
        f'<ConfidentialityLabel xmlns="{NAMESPACE}"><ConfidentialityInformation>'
        f"<PolicyIdentifier>USA</PolicyIdentifier><Classification>SECRET</Classification>{inside}"
        "</ConfidentialityInformation></ConfidentialityLabel>"
    )
    with pytest.raises(LabelError, match="CONTROLS_CONFLICT"):
        read_stanag4774(text, REGISTRY)


def test_eyes_only_stands_beside_rel_to_and_display_only():
    assert parse_label("SECRET//EYES ONLY/REL TO USA, GBR/DISPLAY ONLY AFG", REGISTRY).displayable_to == (
        "AFG",
    )


@pytest.mark.parametrize(
    ("text", "block", "what"),
    [
        ("TOP SECRET//SI//NOFORN", "SI", "compartmented"),
        ("TOP SECRET//SI-GAMMA ABCD", "SI-GAMMA ABCD", "compartmented"),
        ("(TS//HCS-P/TK//NF)", "HCS-P", "compartmented"),
        ("TOP SECRET//TALENT KEYHOLE//NOFORN", "TALENT KEYHOLE", "compartmented"),
        ("SECRET//SAR-BP//NOFORN", "SAR-BP", "special access"),
        (
            "SECRET//SPECIAL ACCESS REQUIRED-BUTTER POPCORN",
            "SPECIAL ACCESS REQUIRED-BUTTER POPCORN",
            "special access",
        ),
        ("SECRET//FRD-SIGMA 14", "FRD-SIGMA 14", "atomic"),
        ("UNCLASSIFIED//DOE UCNI", "DOE UCNI", "atomic"),
        ("//NATO SECRET ATOMAL", "NATO SECRET ATOMAL", "atomic"),
        ("(//CTS-B)", "CTS-B", "special category"),
        ("//COSMIC TOP SECRET//BOHEMIA", "BOHEMIA", "special category"),
    ],
)
def test_a_block_that_is_never_carried_is_refused_by_name(text, block, what):
    error = error_of(text)
    assert error.code == "COMPARTMENT_NOT_CARRIED"
    assert repr(block) in error.message
    assert what in error.message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("SECRET//EXDIS", "Department of State"),
        ("UNCLASSIFIED//SBU NOFORN", "outside the intelligence community"),
        ("SECRET//RSEN/NOFORN", "intelligence community"),
        ("(S//REL)", "write out the list"),
        ("//FRA SECRET//FGI DEU", "only labels of the United States"),
    ],
)
def test_a_marking_that_is_known_and_not_read_is_refused_as_what_it_is(text, says):
    error = error_of(text)
    assert error.code == "UNKNOWN_CONTROL"
    assert says in error.message
    assert error.hint is None


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("//DEU VS-NUR FÜR DEN DIENSTGEBRUACH", "VS-NUR FÜR DEN DIENSTGEBRAUCH"),
        ("//HUN SZIGORÚAN TITKOS", "SZIGORÚAN TITKOS!"),
    ],
)
def test_no_hint_blames_a_letter_that_the_name_has(text, meant):
    assert meant in error_of(text).hint


def test_a_letter_that_no_name_has_is_blamed():
    assert "CYRILLIC" in error_of("\u0421ECRET").hint


def test_english_words_are_what_the_ladder_has_of_that_reference_then():
    assert parse_label("//DEU SECRET", REGISTRY).level == "GEHEIM"
    assert format_portion(parse_label("(//DEU TS//NF)", REGISTRY), REGISTRY) == "(//DEU STRENG GEHEIM//NF)"
    assert parse_label("//ROU SECRET", REGISTRY).level == "SECRET"
    assert (
        parse_label("//FRA CONFIDENTIAL", REGISTRY, instant.parse("2020-01-01")).level
        == "CONFIDENTIEL DEFENSE"
    )
    error = error_of("//FRA CONFIDENTIAL", at=NOW)
    assert error.code == "UNKNOWN_LEVEL"
    assert "CONFIDENTIEL DEFENSE" in error.message
    assert error_of("//ETH SECRET").code == "UNKNOWN_LEVEL"


def test_a_group_in_rel_to_counts_for_its_members_of_that_time():
    text = "//JOINT SECRET FIN USA//REL TO USA, NATO"
    assert parse_label(text, REGISTRY, instant.parse("2023-04-04")).owners == ("FIN", "USA")
    assert error_of(text, at=instant.parse("2023-04-03")).code == "REL_TO_WITHOUT_AUTHORITY"
    assert parse_label(text, REGISTRY).owners == ("FIN", "USA")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("SECRET//FGI DEU DEU", "DUPLICATE_CODE"),
        ("SECRET//FGI DEU//FGI GBR", "DUPLICATE_CONTROL"),
        ("SECRET//FGI USA", "UNKNOWN_MEMBER"),
        ("SECRET//FGI FVEY", "UNKNOWN_MEMBER"),
        ("SECRET//DISPLAY ONLY AFG/DISPLAY ONLY IRQ", "DUPLICATE_CONTROL"),
        ("SECRET//NOT RELEASABLE TO FOREIGN NATIONALS/NF", "DUPLICATE_CONTROL"),
    ],
)
def test_lists_are_bounded_like_rel_to(text, code):
    assert error_of(text).code == code


def banner(originator: str, *texts: str) -> str:
    labels = [parse_label(text, REGISTRY) for text in texts]
    return format_banner(rollup(originator, NOW, labels, REGISTRY), REGISTRY)


@pytest.mark.parametrize(
    ("originator", "texts", "expected"),
    [
        # RELIDO alone would be for everybody, or for the whole organisation: NOFORN stays.
        ("USA", ["(U//RELIDO/REL TO USA)"], "UNCLASSIFIED//NOFORN"),
        ("NATO", ["(S//RELIDO)"], "//NATO SECRET//NOFORN"),
        ("USA", ["(S//FGI)"], "SECRET//FGI//NOFORN"),
        ("USA", ["(S//FGI//NF)", "(//DEU GEHEIM//REL TO DEU, USA)"], "SECRET//FGI//NOFORN"),
        ("USA", ["(//JOINT S GBR USA//REL TO USA, GBR)"], "SECRET//FGI GBR//REL TO USA, GBR"),
        ("DEU", ["(S//FGI GBR//REL TO USA, DEU, GBR)"], "//DEU GEHEIM//REL TO DEU, GBR, USA"),
        ("NATO", ["(//NS//DISPLAY ONLY UKR)"], "//NATO SECRET//DISPLAY ONLY UKR"),
        (
            "USA",
            ["(S//REL TO USA, NATO/DISPLAY ONLY UKR)", "(S//REL TO USA, UKR)"],
            "SECRET//DISPLAY ONLY UKR",
        ),
    ],
)
def test_banners_of_lists_and_of_foreign_information(originator, texts, expected):
    assert banner(originator, *texts) == expected


def test_labels_that_differ_in_a_list_alone_are_different():
    labels = {
        Label("USA", "SECRET"),
        Label("USA", "SECRET", fgi=()),
        Label("USA", "SECRET", displayable_to=("FRA",)),
    }
    assert len(labels) == 3
