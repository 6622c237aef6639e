"""STIX of others as a draft: labels by reader and table, nothing lowered, what is not understood is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from intelshare.errors import IntelshareError, LabelError, PolicyFileError
from intelshare.interop import (
    Imported,
    draft_files,
    parse_marking_table,
    read_stix,
    write_bundle_of,
    write_report,
)
from intelshare.labels import TLP_IDS, check_stix, format_banner, parse_label
from interop_world import (
    AT,
    INDICATOR,
    REGISTRY,
    RESTRICTED,
    SECRET,
    bulletin,
    complaints,
    portion,
    stix_portion,
)

SAMPLES = Path(__file__).parents[2] / "samples" / "stix"
FOREIGN = {
    "type": "marking-definition", "spec_version": "2.1", "created": "2026-01-01T00:00:00.000Z",
    "id": "marking-definition--00000000-0000-4000-8000-000000000007",
    "definition_type": "statement", "definition": {"statement": "ACME internal"},
}  # fmt: skip
TABLE = f"""
[[marking]]
statement = "ACME internal"
label = "{RESTRICTED}"

[[marking]]
tlp = "AMBER"
label = "{RESTRICTED}//TLP:GREEN"
"""


def imported(*objects: Any, table: str = "") -> Imported:
    text = json.dumps({"type": "bundle", "id": "bundle--1", "objects": objects})
    return read_stix(
        text, parse_marking_table(table, "markings.toml", REGISTRY), REGISTRY, AT, source="in.json"
    )


def labels(found: Imported) -> list[str]:
    return [format_banner(one.label, REGISTRY) for one in found.objects]


def marked(*names: str, **given: Any) -> dict[str, Any]:
    return {**INDICATOR, "object_marking_refs": list(names), **given}


def test_a_bulletin_that_was_exported_comes_back_with_the_labels_that_it_had() -> None:
    shared = bulletin(portion(RESTRICTED + "//TLP:GREEN", "Flood"), stix_portion(INDICATOR, label=SECRET))
    found = imported(*write_report(shared, REGISTRY))
    assert [(one.content, format_banner(one.label, REGISTRY)) for one in found.texts] == [
        ("Flood", RESTRICTED + "//TLP:GREEN")
    ]
    assert SECRET in labels(found)
    for one in found.objects:
        check_stix(one.content.encode(), one.label, "FRA", REGISTRY, AT)
        assert complaints(json.loads(one.content)["objects"]) == []


def test_a_marking_that_means_nothing_here_is_refused_by_its_name() -> None:
    scheme = {**FOREIGN, "definition_type": "acme", "definition": {"acme": 3}, "name": "ACME 3"}
    with pytest.raises(LabelError) as refused:
        imported(scheme, marked(TLP_IDS["GREEN"], FOREIGN["id"]))
    assert refused.value.code == "MARKING_UNMAPPED"
    for part in (FOREIGN["id"], "ACME 3", INDICATOR["id"]):
        assert part in refused.value.message
    assert "markings.toml" in (refused.value.hint or "")


def test_a_statement_of_terms_is_no_label_and_without_another_marking_nothing_is_marked() -> None:
    assert labels(imported(FOREIGN, marked(FOREIGN["id"], TLP_IDS["GREEN"]))) == ["TLP:GREEN"]
    with pytest.raises(LabelError, match="MARKING_UNMAPPED"):
        imported(FOREIGN, marked(FOREIGN["id"]))


def test_the_table_says_what_a_marking_means_and_the_draft_says_it_in_words_that_all_read() -> None:
    found = imported(FOREIGN, marked(FOREIGN["id"]), table=TABLE)
    assert labels(found) == [RESTRICTED]
    assert "ACME" not in found.objects[0].content
    check_stix(found.objects[0].content.encode(), found.objects[0].label, "FRA", REGISTRY, AT)


def test_a_row_takes_nothing_away() -> None:
    assert labels(imported(marked(TLP_IDS["AMBER"]), table=TABLE)) == [RESTRICTED + "//TLP:AMBER"]
    secret = write_report(bulletin(portion(SECRET)), REGISTRY)[0]
    both = imported(FOREIGN, secret, marked(secret["id"], FOREIGN["id"]), table=TABLE)
    assert labels(both) == [SECRET]


def test_a_part_is_never_below_what_the_table_says_of_the_whole() -> None:
    report = {
        **write_report(bulletin(portion()), REGISTRY)[-1], "object_marking_refs": [FOREIGN["id"]],
        "granular_markings": [{"marking_ref": TLP_IDS["GREEN"], "selectors": ["description"]}],
    }  # fmt: skip
    (text,) = imported(FOREIGN, report, table=TABLE).texts
    assert format_banner(text.label, REGISTRY) == RESTRICTED + "//TLP:GREEN"


def test_what_is_unmarked_has_the_label_that_holds_all_its_neighbours() -> None:
    other = {**INDICATOR, "id": "indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd30"}
    third = {**INDICATOR, "id": "indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd31"}
    found = imported(marked(TLP_IDS["GREEN"]), {**third, "object_marking_refs": [TLP_IDS["RED"]]}, other)
    assert labels(found) == ["TLP:GREEN", "TLP:RED"]
    assert other["id"] in found.objects[1].content


def test_a_text_in_which_nothing_is_marked_needs_a_row_for_that() -> None:
    with pytest.raises(LabelError, match="MARKING_UNMAPPED"):
        imported(INDICATOR)
    assert labels(imported(INDICATOR, table='[unmarked]\nlabel = "TLP:AMBER"\n')) == ["TLP:AMBER"]


@pytest.mark.parametrize(
    ("row", "word"),
    [
        (f'statement = "{SECRET}"\nlabel = "TLP:CLEAR"', "already a label"),
        (f'id = "{TLP_IDS["RED"]}"\nlabel = "TLP:CLEAR"', "TLP word"),
        ('tlp = "PURPLE"\nlabel = "TLP:CLEAR"', "not one of"),
        ('tlp = "RED"\nlabel = "SECRTE"', "not a label"),
        ('label = "TLP:CLEAR"', "one of"),
        ('tlp = "RED"\nid = "x"\nlabel = "TLP:CLEAR"', "one of"),
        ('tlp = "RED"\nlabel = "TLP:RED"\nextra = 1', "extra"),
    ],
)
def test_a_table_that_would_lower_or_says_nothing_is_refused(row: str, word: str) -> None:
    with pytest.raises(PolicyFileError) as refused:
        parse_marking_table(f"[[marking]]\n{row}\n", "markings.toml", REGISTRY)
    assert word in refused.value.message
    assert refused.value.place is not None
    assert refused.value.place.line is not None


REFUSED = ("MARKING_UNMAPPED", "MARKING_CONFLICT", "INPUT_INVALID", "DUPLICATE_CONTROL")


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.json")), ids=lambda path: path.stem)
def test_every_sample_becomes_a_draft_or_is_refused_with_a_code(path: Path) -> None:
    table = parse_marking_table('[unmarked]\nlabel = "TLP:AMBER"\n', "markings.toml", REGISTRY)
    try:
        found = read_stix(path.read_text("utf-8"), table, REGISTRY, AT, source=path.name).objects
    except LabelError as error:
        code, found = error.code, ()
    else:
        code = ""
    assert bool(found) is (code not in REFUSED)
    for one in found:
        check_stix(one.content.encode(), one.label, one.label.authority or "FRA", REGISTRY, AT)


def test_a_draft_is_a_line_for_send_with_its_files_by_their_whole_path() -> None:
    shared = bulletin(portion(RESTRICTED, "Flood"), stix_portion(INDICATOR))
    found = imported(*write_report(shared, REGISTRY))
    files = draft_files(
        found, "/drafts/one", category="cyber", to=["USA"], registry=REGISTRY, source="in.json"
    )
    line = json.loads(files["draft.ndjson"])
    assert (line["to"], line["category"], line["title"]) == (
        ["USA"],
        "cyber",
        f"Bulletin {shared.bulletin[:8]}",
    )
    named = [line["file"], *(one["file"] for one in line["portions"])]
    assert named == [f"/drafts/one/{name}" for name in files if name != "draft.ndjson"]
    for one in (line["label"], line["title_label"], *(each["label"] for each in line["portions"])):
        parse_label(one, REGISTRY, None, "write")


def test_row_71_a_bomb_is_refused_at_once() -> None:
    table = parse_marking_table("", "markings.toml", REGISTRY)
    for text in ("[" * 10_000, '{"a":' * 10_000, '{"type":"bundle","id":"b","objects":[' + "9" * 1_000_000):
        with pytest.raises(IntelshareError) as refused:
            read_stix(text, table, REGISTRY, AT, source="in.json")
        assert refused.value.code in ("INPUT_INVALID", "TOO_LARGE")


def test_row_73_no_address_in_an_object_is_looked_at() -> None:
    lure = {
        **marked(TLP_IDS["GREEN"]),
        "external_references": [{"source_name": "x", "url": "http://127.0.0.1:9/"}],
    }
    assert "http://127.0.0.1:9/" in imported(lure).objects[0].content
    assert write_bundle_of([lure])["objects"] == [lure]
