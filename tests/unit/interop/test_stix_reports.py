"""A bulletin as STIX 2.1: valid by the validator, marked as the core reads it, the same every time."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from intelshare.crypto.records import PortionKind
from intelshare.interop import identity_of, report_id, write_report
from intelshare.labels import TLP_1_IDS, TLP_IDS, format_banner, read_markings
from interop_world import INDICATOR, REGISTRY, RESTRICTED, SECRET, bulletin, complaints, portion, stix_portion

TITLE = PortionKind.TITLE


def labels_of(subject: Any, objects: Any) -> dict[str, str]:
    """By selector, as the core's own reader reads them."""
    definitions = [one for one in objects if one["type"] == "marking-definition"]
    read = read_markings(subject, definitions, REGISTRY)
    return {selector: format_banner(label, REGISTRY) for selector, label in read.items()}


def test_a_bulletin_is_a_valid_report_whose_parts_have_their_own_markings() -> None:
    shared = bulletin(
        portion(RESTRICTED + "//TLP:GREEN", "Flood", TITLE),
        portion(SECRET + "//TLP:AMBER+STRICT", grade="B2", flags=("personal-data",)),
    )
    objects = write_report(shared, REGISTRY)
    report = objects[-1]
    assert complaints(objects) == []
    assert (report["id"], report["name"], report["description"]) == (
        report_id("FRA", shared.bulletin), "Flood", "The dam at Lokoja",
    )  # fmt: skip
    assert report["created"] == report["modified"] == report["published"] == "2026-03-01T12:00:00.000Z"
    assert report["confidence"] == 70
    assert report["labels"] == [
        "cyber", "personal-data",
        'admiralty-scale:source-reliability="b"', 'admiralty-scale:information-credibility="2"',
    ]  # fmt: skip
    assert labels_of(report, objects) == {
        "": SECRET + "//TLP:AMBER+STRICT",
        "name": RESTRICTED + "//TLP:GREEN",
        "description": SECRET + "//TLP:AMBER+STRICT",
    }
    assert TLP_IDS["AMBER+STRICT"] in report["object_marking_refs"]
    assert identity_of("FRA") in objects


def test_two_exports_are_the_same_objects_and_two_bulletins_are_not() -> None:
    made = bulletin(portion(), stix_portion(INDICATOR), portion(content="more"))
    assert json.dumps(write_report(made, REGISTRY)) == json.dumps(write_report(made, REGISTRY))
    other = write_report(bulletin(portion(), number=8), REGISTRY)
    assert other[-1]["id"] != write_report(made, REGISTRY)[-1]["id"]
    assert report_id("FRA", made.bulletin) != report_id("USA", made.bulletin)


def test_what_two_readers_see_has_one_id_whichever_other_portions_they_see() -> None:
    annex, first = portion(content="annex"), portion(content="first")
    whole = write_report(bulletin(portion(content="secret"), first, annex), REGISTRY)
    less = write_report(bulletin(first, annex), REGISTRY)
    one = next(each for each in whole if each.get("description") == "annex")
    assert one["id"] in [each["id"] for each in less]
    assert whole[-1]["id"] == less[-1]["id"]


@pytest.mark.parametrize(
    "labels",
    [
        ("TLP:GREEN", SECRET),
        ("//FRA NON PROTEGE", SECRET + "//TLP:RED"),
        ("TLP:CLEAR", "TLP:AMBER"),
        (SECRET, "//FRA TRES SECRET//NOFORN"),
    ],
)
def test_no_part_is_ever_marked_lower_than_its_portion(labels: tuple[str, str]) -> None:
    shared = bulletin(portion(labels[0], "Flood", TITLE), portion(labels[1]))
    objects = write_report(shared, REGISTRY)
    read = labels_of(objects[-1], objects)
    whole = format_banner(shared.banner, REGISTRY)
    for selector, label in (("name", labels[0]), ("description", labels[1])):
        said = read.get(selector, whole)
        written = [format_banner(one.label, REGISTRY) for one in shared.portions if one.label]
        assert set(written) & {label}
        for block in label.removeprefix("//").split("//"):
            assert block in said or said == whole, (selector, said)
    assert complaints(objects) == []


def test_objects_of_a_portion_have_its_label_whatever_they_said_and_keep_their_terms_of_use() -> None:
    terms = {
        "type": "marking-definition", "spec_version": "2.1", "created": "2026-01-01T00:00:00.000Z",
        "id": "marking-definition--00000000-0000-4000-8000-000000000001",
        "definition_type": "statement", "definition": {"statement": "Copyright 2026, somebody"},
    }  # fmt: skip
    green = {**INDICATOR, "object_marking_refs": [TLP_1_IDS["GREEN"], terms["id"]]}
    shared = bulletin(portion(), stix_portion(terms, green, label=SECRET + "//TLP:AMBER"))
    objects = write_report(shared, REGISTRY)
    (one,) = (each for each in objects if each["type"] == "indicator")
    assert labels_of(one, objects) == {"": SECRET + "//TLP:AMBER"}
    said = {
        each["id"]: each["definition"]
        for each in objects
        if each["type"] == "marking-definition" and "definition" in each
    }
    assert terms["definition"] in [said[name] for name in one["object_marking_refs"] if name in said]
    # A definition under the id of another one changes nothing.
    assert terms["id"] not in said
    assert one["id"] in objects[-1]["object_refs"]
    assert complaints(objects) == []


@pytest.mark.parametrize("taken", [TLP_IDS["RED"], "secret"])
def test_no_portion_can_say_what_a_marking_or_a_member_is(taken: str) -> None:
    secret = write_report(bulletin(portion()), REGISTRY)[0]
    name = secret["id"] if taken == "secret" else taken
    liar = {**secret, "id": name, "definition": {"statement": "Copyright 2026, somebody"}}
    lying = {**INDICATOR, "object_marking_refs": [name]}
    other = {**identity_of("FRA"), "name": "somebody else"}
    objects = write_report(bulletin(portion(), stix_portion(liar, lying, other)), REGISTRY)
    assert [each for each in objects if each["id"] == secret["id"]] == [secret]
    assert not [each for each in objects if each["id"] == TLP_IDS["RED"] and "definition" in each]
    assert [each for each in objects if each["id"] == other["id"]] == [identity_of("FRA")]


def test_an_object_of_two_portions_is_there_once_with_the_label_that_holds_both() -> None:
    shared = bulletin(stix_portion(INDICATOR, label=RESTRICTED), stix_portion(INDICATOR, label=SECRET))
    objects = write_report(shared, REGISTRY)
    (one,) = (each for each in objects if each["type"] == "indicator")
    assert labels_of(one, objects) == {"": SECRET}


def test_a_file_is_an_artifact_and_a_further_text_a_report_of_its_own() -> None:
    file = portion(RESTRICTED, b"%PDF", PortionKind.FILE, media="application/pdf; name=annex.pdf")
    objects = write_report(bulletin(portion(), portion(RESTRICTED, "annex"), file), REGISTRY)
    (artifact,) = (each for each in objects if each["type"] == "artifact")
    assert base64.b64decode(artifact["payload_bin"]) == b"%PDF"
    assert artifact["mime_type"] == "application/pdf"
    text, report = (each for each in objects if each["type"] == "report")
    assert text["description"] == "annex"
    assert {text["id"], artifact["id"]} < set(report["object_refs"])
    assert labels_of(text, objects) == labels_of(artifact, objects) == {"": RESTRICTED}
    assert complaints(objects) == []
