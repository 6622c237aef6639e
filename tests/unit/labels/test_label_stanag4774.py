"""STANAG 4774: what is read, and what somebody hostile or careless writes into XML."""

from __future__ import annotations

from pathlib import Path

import pytest

from intelshare import instant
from intelshare.builtin import builtin_registry
from intelshare.errors import LabelError
from intelshare.instant import Instant
from intelshare.labels import Label, format_banner, parse_label, read_stanag4774, write_stanag4774
from intelshare.labels.stanag4774 import NAMESPACE

REGISTRY = builtin_registry()
GOOD = """<?xml version="1.0" encoding="UTF-8"?>
<slab:originatorConfidentialityLabel xmlns:slab="urn:nato:stanag:4774:confidentialitymetadatalabel:1:0"
    ReviewDateTime="2031-09-26T00:00:00Z">
  <slab:ConfidentialityInformation>
    <slab:PolicyIdentifier URI="urn:oid:1.3.26.1.3.1">NATO</slab:PolicyIdentifier>
    <slab:Classification>SECRET</slab:Classification>
    <slab:PrivacyMark>CLEAR</slab:PrivacyMark>
    <slab:Category Type="PERMISSIVE" TagName="Releasable to" URI="http://198.51.100.1/tag">
      <slab:GenericValue>NATO</slab:GenericValue>
      <slab:GenericValue> swe </slab:GenericValue>
    </slab:Category>
    <slab:Category Type="RESTRICTIVE" TagName="Special Handling">
      <slab:GenericValue>ORCON</slab:GenericValue>
    </slab:Category>
    <slab:Category Type="INFORMATIVE" TagName="Administrative">
      <slab:GenericValue>STAFF</slab:GenericValue>
    </slab:Category>
  </slab:ConfidentialityInformation>
  <slab:OriginatorID IDType="rfc822Name">a@example.org</slab:OriginatorID>
  <slab:CreationDateTime>2026-09-26T12:00:00Z</slab:CreationDateTime>
</slab:originatorConfidentialityLabel>
"""
_NESTED = "".join(f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 10))
LAUGHS = f"<!DOCTYPE l [<!ENTITY a0 'ha'>{_NESTED}]>"


def read(text: str, **options: object) -> Label:
    return read_stanag4774(text, REGISTRY, source="label.xml", **options)


def error_of(text: str, **options: object) -> LabelError:
    with pytest.raises(LabelError) as caught:
        read(text, **options)
    return caught.value


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new, 1)


def test_a_foreign_label_is_read_and_what_has_no_access_meaning_left_out() -> None:
    assert read(GOOD) == Label("NATO", "NATO SECRET", ("NATO", "SWE"), ("ORCON",))


def test_the_policy_may_stand_before_its_level() -> None:
    assert read(changed(">SECRET<", ">NATO SECRET<")) == read(GOOD)
    assert read(changed(">SECRET<", ">COSMIC TOP SECRET<")).level == "COSMIC TOP SECRET"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Releasable to", "ReleasableTo"),
        ("Special Handling", "special handling"),
        ("slab:originatorConfidentialityLabel", "slab:ConfidentialityLabel"),
        (
            "<slab:GenericValue>NATO</slab:GenericValue>",
            "<slab:GenericValue><![CDATA[NATO]]></slab:GenericValue>",
        ),
        (">ORCON<", ">\n  OR&#67;ON\n<"),
    ],
)
def test_what_other_tools_write_otherwise_is_the_same_label(old: str, new: str) -> None:
    assert old in GOOD
    assert read(GOOD.replace(old, new)) == read(GOOD)


def test_accented_and_native_names_are_read() -> None:
    text = write_stanag4774(parse_label("//UKR TAIEMNO", REGISTRY), REGISTRY, Instant(0))
    assert read(text.replace("TAIEMNO", "ТАЄМНО")).level == "TAIEMNO"


def test_written_label_has_categories_by_type_and_a_creation_time() -> None:
    label = parse_label("//JOINT S GBR USA//OC/RELIDO/REL TO USA, GBR//TLP:RED", REGISTRY)
    text = write_stanag4774(label, REGISTRY, instant.parse("2026-01-02T03:04:05Z"))
    for line in (
        '<slab:Category Type="PERMISSIVE" TagName="Releasable To">',
        '<slab:Category Type="RESTRICTIVE" TagName="Special Handling">',
        '<slab:Category Type="RESTRICTIVE" TagName="TLP">',
        '<slab:Category Type="INFORMATIVE" TagName="Disclosure">',
        "<slab:PolicyIdentifier>JOINT</slab:PolicyIdentifier>",
        "<slab:CreationDateTime>2026-01-02T03:04:05Z</slab:CreationDateTime>",
    ):
        assert line in text


@pytest.mark.parametrize(
    "prolog",
    [
        LAUGHS,
        '<!DOCTYPE l SYSTEM "http://127.0.0.1:1/x.dtd">',
        '<!DOCTYPE l [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE l [<!ENTITY % p SYSTEM "http://127.0.0.1:1/p">%p;]>',
        "<!DOCTYPE l>",
        '<?xml-stylesheet href="http://127.0.0.1:1/x"?>',
        "<!-- a comment -->",
    ],
)
def test_doctype_entities_and_instructions_are_refused_before_they_can_act(
    prolog: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def touched(*_: object, **__: object) -> None:
        raise AssertionError("something was opened")

    text = GOOD.replace("?>\n", f"?>\n{prolog}\n", 1).replace("STAFF", "&a9;&x;")
    monkeypatch.setattr("socket.socket", touched)
    monkeypatch.setattr("builtins.open", touched)
    error = error_of(text)
    assert error.code == "INPUT_INVALID"
    assert error.place is not None
    assert error.place.line == 2


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (changed("STAFF", "&x;"), "INPUT_INVALID"),
        (changed(">ORCON<", ">OR<!-- NO -->CON<"), "INPUT_INVALID"),
        (changed("UTF-8", "UTF-16"), "INPUT_INVALID"),
        (changed("UTF-8", "utf-7"), "INPUT_INVALID"),
        (changed("STAFF", "S\ud800"), "INPUT_INVALID"),
        (changed("STAFF", "S\x00"), "INPUT_INVALID"),
        (changed(":1:0", ":2:0"), "INPUT_INVALID"),
        (GOOD.replace("originatorConf", "metadataConf"), "INPUT_INVALID"),
        (GOOD.replace("originatorConf", "alternativeConf"), "INPUT_INVALID"),
        (changed("</slab:Classification>", ""), "INPUT_INVALID"),
        (GOOD + GOOD, "INPUT_INVALID"),
        ("", "INPUT_INVALID"),
        ("<" * 1000, "INPUT_INVALID"),
        (changed("STAFF", "x" * 70_000), "TOO_LARGE"),
        ("é" * 40_000, "TOO_LARGE"),
        (changed("STAFF", "<slab:a>" * 20 + "</slab:a>" * 20), "TOO_LARGE"),
        (changed("NATO</slab:Policy", "N\u202eATO</slab:Policy"), "CONTROL_CHARACTER"),
        (changed("ORCON", "OR\u200bCON"), "CONTROL_CHARACTER"),
        (changed("ORCON", "OR\u2028CON"), "CONTROL_CHARACTER"),
        (changed(">SECRET<", "><"), "EMPTY_LABEL"),
        (changed(">SECRET<", ">ЅECRET<"), "UNKNOWN_LEVEL"),
        (changed(">SECRET<", ">SECRET//NOFORN<"), "UNKNOWN_LEVEL"),
        (changed(">NATO</slab:Policy", ">ОTAN</slab:Policy"), "UNKNOWN_MEMBER"),
        (changed(" swe ", "SWX"), "UNKNOWN_MEMBER"),
        (changed(" swe ", "SWE, RUS"), "UNKNOWN_MEMBER"),
        (changed(" swe ", "NATO"), "DUPLICATE_CODE"),
        (changed("<slab:GenericValue>NATO</slab:GenericValue>", ""), "REL_TO_WITHOUT_AUTHORITY"),
        (changed("ORCON", "NOFORN"), "NOFORN_WITH_REL_TO"),
        (changed("ORCON", "RELIDO"), "UNKNOWN_CONTROL"),
        (changed("ORCON", "CODEWORD"), "UNKNOWN_CONTROL"),
        (changed("Special Handling", "Compartment"), "UNKNOWN_CONTROL"),
        (changed("PERMISSIVE", "INFORMATIVE"), "UNKNOWN_CONTROL"),
        (changed("INFORMATIVE", "RESTRICTIVE"), "UNKNOWN_CONTROL"),
        (changed("Administrative", "Owner"), "UNKNOWN_CONTROL"),
        (changed("<slab:PrivacyMark>CLEAR</slab:PrivacyMark>", "<slab:Other/>"), "INPUT_INVALID"),
        (changed("<slab:OriginatorID ", "<slab:SuccessionHandling/><slab:OriginatorID "), "INPUT_INVALID"),
        (
            changed("<slab:GenericValue> swe </slab:GenericValue>", "").replace(
                "<slab:GenericValue>NATO</slab:GenericValue>", "", 1
            ),
            "EMPTY_REL_TO",
        ),
        (
            changed(
                'Type="RESTRICTIVE" TagName="Special Handling"', 'Type="PERMISSIVE" TagName="RELEASABLE TO"'
            ),
            "DUPLICATE_CONTROL",
        ),
    ],
)
def test_what_is_not_understood_is_refused_with_a_code(text: str, code: str) -> None:
    assert error_of(text).code == code


def test_error_points_at_the_value_in_its_line() -> None:
    place = error_of(changed(" swe ", " SWX ")).place
    assert place is not None
    assert (place.source, place.line) == ("label.xml", 10)
    assert place.excerpt is not None
    assert place.column is not None
    assert place.excerpt[place.column - 1 : place.column - 1 + place.width] == "SWX"


def test_level_is_judged_at_the_time_asked_for() -> None:
    text = write_stanag4774(parse_label("//FRA SECRET DEFENSE", REGISTRY), REGISTRY, Instant(0))
    assert read(text, at=instant.parse("2026-01-01")).level == "SECRET DEFENSE"
    newer = write_stanag4774(parse_label("//FRA SECRET", REGISTRY), REGISTRY, Instant(0))
    assert error_of(newer, at=instant.parse("2020-01-01")).code == "UNKNOWN_LEVEL"


@pytest.mark.parametrize(
    "label",
    [
        Label("FRA", "CODEWORD"),
        Label("FRA", "SECRET", ()),
        Label("FRA", "SECRET", ("USA",)),
        Label("FRA", "SECRET", owners=("FRA", "USA")),
        Label("FRA", "SECRET//NOFORN"),
        Label("FRA", "SECRET", controls=("CODEWORD",)),
        Label(None, None),
    ],
)
def test_a_label_that_no_text_can_say_is_not_written(label: Label) -> None:
    with pytest.raises(LabelError):
        write_stanag4774(label, REGISTRY, Instant(0))


SAMPLES = Path(__file__).parents[2] / "samples" / "stanag4774"


@pytest.mark.parametrize(
    ("name", "banner"),
    [
        ("nato-context-plain", "//NATO UNCLASSIFIED"),
        ("nato-context-releasable", "//NATO RESTRICTED//REL TO NATO, CHE, JPN, UKR"),
        ("nato-top-secret", "//COSMIC TOP SECRET"),
    ],
)
def test_labels_published_with_the_policy_of_nato_are_read_and_written_again(name: str, banner: str) -> None:
    label = read((SAMPLES / f"{name}.xml").read_text("utf-8"))
    assert format_banner(label, REGISTRY) == banner
    assert read(write_stanag4774(label, REGISTRY, Instant(0))) == label


@pytest.mark.parametrize("level", ["UNCLASSIFIED", "RESTRICTED", "CONFIDENTIAL", "SECRET", "TOP SECRET"])
def test_every_level_of_nato_is_written_as_its_policy_calls_it(level: str) -> None:
    name = "COSMIC TOP SECRET" if level == "TOP SECRET" else f"NATO {level}"
    text = write_stanag4774(parse_label(f"//{name}//REL TO NATO, SWE", REGISTRY), REGISTRY, Instant(0))
    assert f"<slab:Classification>{level}</slab:Classification>" in text
    context = text[text.index('TagName="Context"') :]
    assert "NATO</slab:GenericValue>" in context[:90]
    assert ">Releasable<" in context[:160]
    assert read(text).level == name


def of_nato(*categories: str) -> str:
    inside = "".join(categories)
    return (
        f'<ConfidentialityLabel xmlns="{NAMESPACE}"><ConfidentialityInformation><PolicyIdentifier>NATO'
        f"</PolicyIdentifier><Classification>SECRET</Classification>{inside}</ConfidentialityInformation>"
        "</ConfidentialityLabel>"
    )


def category(name: str, kind: str, *values: str) -> str:
    inside = "".join(f"<GenericValue>{value}</GenericValue>" for value in values)
    return f'<Category TagName="{name}" Type="{kind}">{inside}</Category>'


RELEASED = category("Releasable To", "PERMISSIVE", "SWE")


@pytest.mark.parametrize(
    ("text", "code", "named"),
    [
        (of_nato(category("Context", "PERMISSIVE", "NATO", "EAPC"), RELEASED), "UNKNOWN_CONTROL", "'EAPC'"),
        (of_nato(category("Context", "PERMISSIVE", "NATO", "Releasable")), "EMPTY_REL_TO", "Releasable To"),
        (of_nato(category("Only", "PERMISSIVE", "CCEB")), "UNKNOWN_CONTROL", "'CCEB'"),
        (
            of_nato(category("Additional Sensitivity", "RESTRICTIVE", "ATOMAL")),
            "COMPARTMENT_NOT_CARRIED",
            "'ATOMAL'",
        ),
        (of_nato(category("Additional Sensitivity", "RESTRICTIVE", "CRYPTO")), "UNKNOWN_CONTROL", "'CRYPTO'"),
        (of_nato(category("Foreign Government Information", "RESTRICTIVE", "DEU")), "UNKNOWN_CONTROL", "FGI"),
    ],
)
def test_a_value_that_is_not_modelled_is_an_error_that_names_it(text: str, code: str, named: str) -> None:
    error = error_of(text)
    assert error.code == code
    assert named in error.message


def test_the_context_says_whose_label_it_is_so_the_list_need_not() -> None:
    text = of_nato(category("Context", "PERMISSIVE", "NATO", "Releasable"), RELEASED)
    assert read(text).releasable_to == ("NATO", "SWE")
    assert read(of_nato(category("Administrative", "INFORMATIVE", "STAFF"))).controls == ()


def test_lists_of_the_united_states_come_back() -> None:
    for text in ("SECRET//FGI DEU GBR//REL TO USA, GBR/DISPLAY ONLY AFG", "SECRET//FGI//NOFORN"):
        label = parse_label(text, REGISTRY)
        assert read(write_stanag4774(label, REGISTRY, Instant(0))) == label
    assert 'TagName="Additional Sensitivity"' in write_stanag4774(
        parse_label("NATO SECRET//ORCON", REGISTRY), REGISTRY, Instant(0)
    )
