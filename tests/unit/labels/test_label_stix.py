"""STIX 2.1 markings: the fixed ids, foreign bundles, and what must not lower a label."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from intelshare.builtin import builtin_registry
from intelshare.errors import LabelError
from intelshare.labels import (
    TLP_IDS,
    WHOLE,
    Label,
    definitions_of,
    format_banner,
    mark,
    parse_label,
    read_bundle,
    read_markings,
    write_bundle,
)

REGISTRY = builtin_registry()
REPORT = {
    "type": "report",
    "spec_version": "2.1",
    "id": "report--84e4d88f-44ea-4bcd-bbf3-b2c1c320bcb3",
    "name": "Flood",
    "description": "The dam at Lokoja",
    "labels": ["a", "b"],
    "external_references": [{"source_name": "x", "description": "y"}],
}
MARKING_ID = re.compile(
    r"marking-definition--[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
)


def label(text: str) -> Label:
    return parse_label(text, REGISTRY)


def statement(text: str, number: int = 1) -> dict[str, Any]:
    return {
        "type": "marking-definition",
        "spec_version": "2.1",
        "id": f"marking-definition--00000000-0000-4000-8000-{number:012}",
        "created": "2020-01-01T00:00:00.000Z",
        "definition_type": "statement",
        "definition": {"statement": text},
    }


def banner(*objects: object) -> str:
    """The one label of a bundle of these objects."""
    (found,) = read_bundle(json.dumps({"type": "bundle", "id": "b", "objects": objects}), REGISTRY)
    return format_banner(found.label, REGISTRY)


def error_of(document: object) -> LabelError:
    text = document if isinstance(document, str) else json.dumps(document)
    with pytest.raises(LabelError) as caught:
        read_bundle(text, REGISTRY, source="b.json")
    return caught.value


@pytest.mark.parametrize(
    ("word", "marking"),
    [
        ("CLEAR", "94868c89-83c2-464b-929b-a1a8aa3c8487"),
        ("GREEN", "bab4a63c-aed9-4cf5-a766-dfca5abac2bb"),
        ("AMBER", "55d920b0-5e8b-4f79-9ee9-91f868d9b421"),
        ("AMBER+STRICT", "939a9414-2ddd-4d32-a0cd-375ea402b003"),
        ("RED", "e828b379-4e03-4974-9ac4-e53a884c97c1"),
    ],
)
def test_tlp_2_is_written_as_oasis_published_it(word: str, marking: str) -> None:
    assert definitions_of(Label(tlp=word), REGISTRY) == (
        {
            "type": "marking-definition",
            "spec_version": "2.1",
            "id": f"marking-definition--{marking}",
            "created": "2022-10-01T00:00:00.000Z",
            "name": f"TLP:{word}",
            "extensions": {
                "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d": {
                    "extension_type": "property-extension",
                    "tlp_2_0": word.lower(),
                }
            },
        },
    )


@pytest.mark.parametrize(
    ("marking", "expected"),
    [
        ("613f2e26-407d-48c7-9eca-b8e91df99dc9", "TLP:CLEAR"),
        ("34098fce-860f-48ae-8e50-ebd3cc5e41da", "TLP:GREEN"),
        ("f88d31f6-486f-44da-b317-01333bde0b82", "TLP:AMBER"),
        ("5e57c739-391a-4eb3-b6be-7d15ca92d5ed", "TLP:RED"),
    ],
)
def test_tlp_1_is_read_by_its_fixed_ids_without_its_definition(marking: str, expected: str) -> None:
    assert banner({**REPORT, "object_marking_refs": [f"marking-definition--{marking}"]}) == expected


def test_a_fixed_id_means_its_word_whatever_its_definition_claims() -> None:
    liar = {**statement("TLP:CLEAR"), "id": TLP_IDS["RED"]}
    assert banner(liar, {**REPORT, "object_marking_refs": [TLP_IDS["RED"]]}) == "TLP:RED"


def test_statement_and_tlp_together_are_one_label() -> None:
    secret = statement("//fra secret // rel to fra, usa")
    refs = [secret["id"], TLP_IDS["GREEN"], TLP_IDS["AMBER"]]
    assert (
        banner(secret, {**REPORT, "object_marking_refs": refs}) == "//FRA SECRET//REL TO FRA, USA//TLP:AMBER"
    )


def test_written_definitions_have_the_shape_of_the_standard() -> None:
    bundle = write_bundle(label("//FRA SECRET//REL TO FRA, USA//TLP:RED"), REGISTRY)
    assert re.fullmatch(r"bundle--[0-9a-f-]{36}", bundle["id"])
    for definition in bundle["objects"]:
        assert definition["type"] == "marking-definition"
        assert definition["spec_version"] == "2.1"
        assert MARKING_ID.fullmatch(definition["id"])
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", definition["created"])
    assert bundle["objects"][0]["definition"] == {"statement": "//FRA SECRET//REL TO FRA, USA"}


def test_portions_are_granular_markings_with_selectors() -> None:
    portions = {
        WHOLE: label("//FRA SECRET//REL TO FRA, USA"),
        "description": label("//FRA SECRET//REL TO FRA, USA"),
        "name": label("//FRA NON PROTEGE"),
        "external_references.[0].description": label("//FRA NON PROTEGE"),
    }
    marked = mark(REPORT, portions, REGISTRY)
    open_, secret = definitions_of(portions["name"], REGISTRY), definitions_of(portions[WHOLE], REGISTRY)
    assert marked.subject["object_marking_refs"] == [secret[0]["id"]]
    assert {entry["marking_ref"]: entry["selectors"] for entry in marked.subject["granular_markings"]} == {
        secret[0]["id"]: ["description"],
        open_[0]["id"]: ["external_references.[0].description", "name"],
    }
    text = json.dumps({"type": "bundle", "id": "b", "objects": [marked.subject, *marked.definitions]})
    found = read_bundle(text, REGISTRY)
    assert {each.selector: each.label for each in found} == portions
    assert found[0].selector == WHOLE


def test_granular_tlp_does_not_take_the_classification_away() -> None:
    secret = statement("//FRA SECRET//REL TO FRA, USA")
    subject = {
        **REPORT,
        "object_marking_refs": [secret["id"]],
        "granular_markings": [{"marking_ref": TLP_IDS["GREEN"], "selectors": ["name"]}],
    }
    read = read_markings(subject, [secret], REGISTRY)
    assert read["name"] == label("//FRA SECRET//REL TO FRA, USA//TLP:GREEN")


def test_a_portion_that_would_inherit_more_is_not_written() -> None:
    with pytest.raises(LabelError, match="INPUT_INVALID") as caught:
        mark(REPORT, {WHOLE: label("U//TLP:RED"), "name": label("U")}, REGISTRY)
    assert caught.value.hint is not None
    assert "TLP:CLEAR" in caught.value.hint


def test_a_language_is_no_marking() -> None:
    subject = {
        **REPORT,
        "object_marking_refs": [TLP_IDS["GREEN"]],
        "granular_markings": [{"lang": "fr", "selectors": ["name"]}],
    }
    assert read_markings(subject, [], REGISTRY) == {WHOLE: Label(tlp="GREEN")}


ONE = statement("SECRET//NOFORN")


@pytest.mark.parametrize(
    ("objects", "code"),
    [
        ([{**REPORT, "object_marking_refs": [ONE["id"]]}], "INPUT_INVALID"),
        ([REPORT], "INPUT_INVALID"),
        ([], "INPUT_INVALID"),
        ([statement("Copyright 2026, somebody")], "INPUT_INVALID"),
        ([statement("CLASSIFIED BY somebody")], "UNKNOWN_LEVEL"),
        ([statement("SECRTE//NOFORN")], "UNKNOWN_LEVEL"),
        ([statement("SECRET\u202e//NOFORN")], "CONTROL_CHARACTER"),
        ([statement(" " * 5000)], "TOO_LARGE"),
        ([statement("SECRET//NOFORN"), statement("SECRET", 2)], "DUPLICATE_CONTROL"),
        ([statement("SECRET//NOFORN"), statement("SECRET")], "INPUT_INVALID"),
        ([{**ONE, "definition_type": "tlp", "definition": {"tlp": "green"}}], "UNKNOWN_CONTROL"),
        ([{**ONE, "extensions": {"extension-definition--x": {}}}], "UNKNOWN_CONTROL"),
        ([{**ONE, "definition": {"statement": 7}}], "UNKNOWN_CONTROL"),
        ([{**ONE, "definition": None}], "UNKNOWN_CONTROL"),
        ([{**ONE, "id": 7}], "INPUT_INVALID"),
        ([{**REPORT, "object_marking_refs": TLP_IDS["RED"]}], "INPUT_INVALID"),
        ([{**REPORT, "object_marking_refs": [7]}], "INPUT_INVALID"),
        ([{**REPORT, "object_marking_refs": [TLP_IDS["RED"]] * 300}], "INPUT_INVALID"),
        ([{**REPORT, "granular_markings": {}}], "INPUT_INVALID"),
        ([{**REPORT, "granular_markings": [{"selectors": ["name"]}]}], "INPUT_INVALID"),
        ([{**REPORT, "granular_markings": [{"marking_ref": TLP_IDS["RED"]}]}], "INPUT_INVALID"),
        *(
            (
                [{**REPORT, "granular_markings": [{"marking_ref": TLP_IDS["RED"], "selectors": [one]}]}],
                "INPUT_INVALID",
            )
            for one in (
                "nam",
                "labels.[2]",
                "labels.0",
                "labels.[-1]",
                "name.x",
                "",
                ".",
                "name.",
                "labels.[01]",
            )
        ),
        ([7], "INPUT_INVALID"),
        ({"a": 1}, "INPUT_INVALID"),
    ],
)
def test_what_is_not_understood_is_refused_with_a_code(objects: object, code: str) -> None:
    assert error_of({"type": "bundle", "id": "b", "objects": objects}).code == code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "INPUT_INVALID"),
        ("[]", "INPUT_INVALID"),
        ("7", "INPUT_INVALID"),
        ('{"type": "bundle"', "INPUT_INVALID"),
        ('{"type": "bundle", "type": "report"}', "INPUT_INVALID"),
        ('{"type": "bundle", "x": NaN}', "INPUT_INVALID"),
        ('{"type": "bundle", "x": ' + "9" * 5000 + "}", "INPUT_INVALID"),
        ("[" * 100_000, "TOO_LARGE"),
        (" " * (1 << 20) + "{}", "TOO_LARGE"),
        ('"\ud800"', "INPUT_INVALID"),
    ],
)
def test_text_that_is_no_sane_json_is_refused(text: str, code: str) -> None:
    assert error_of(text).code == code


def test_error_points_into_the_statement() -> None:
    place = error_of({"type": "bundle", "id": "b", "objects": [statement("SECRET//NOFRON")]}).place
    assert place is not None
    assert (place.source, place.field) == ("b.json", "object_marking_refs")
    assert place.excerpt is not None
    assert place.column is not None
    assert place.excerpt[place.column - 1 :] == "NOFRON"
