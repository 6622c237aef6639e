"""MISP: a bulletin as an event that pymisp reads, a feed as pymisp makes it, events as drafts."""

from __future__ import annotations

import json
import warnings
from typing import Any

import pytest

from intelshare.crypto.records import PortionKind
from intelshare.errors import LabelError
from intelshare.interop import (
    Imported,
    event_uuid,
    parse_marking_table,
    read_misp,
    write_event,
    write_hashes,
    write_manifest,
)
from intelshare.labels import format_banner
from interop_world import AT, INDICATOR, REGISTRY, RESTRICTED, SECRET, bulletin, portion, stix_portion

OWN = '[[marking]]\ndistribution = "0"\nlabel = "TLP:CLEAR"\n'


def sample(**changes: Any) -> dict[str, Any]:
    event: dict[str, Any] = {
        "info": "Kit", "distribution": "3", "Tag": [{"name": "tlp:green"}],
        "Attribute": [
            {"uuid": "1", "type": "ip-dst", "category": "Network activity", "value": "198.51.100.3"},
            {"uuid": "2", "type": "url", "category": "Network activity", "value": "http://127.0.0.1:9/",
             "Tag": [{"name": "tlp:red"}]},
        ],
    }  # fmt: skip
    return {"Event": {**event, **changes}}


def imported(event: Any, table: str = "") -> Imported:
    known = parse_marking_table(table, "markings.toml", REGISTRY)
    return read_misp(json.dumps(event), known, REGISTRY, AT, source="event.json")


def said(found: Imported) -> list[tuple[str, str]]:
    return [(format_banner(one.label, REGISTRY), one.content) for one in found.texts]


def full() -> Any:
    return bulletin(
        portion(RESTRICTED, "Flood", PortionKind.TITLE),
        portion(SECRET + "//TLP:AMBER+STRICT", grade="B2"),
        stix_portion(INDICATOR, {**INDICATOR, "id": "indicator--2", "pattern": "[x:y > 3 AND z:v = 'a']"}),
        portion(SECRET, b"%PDF", PortionKind.FILE, media="application/pdf; name=annex.pdf"),
    )


def test_pymisp_reads_the_event_and_writes_the_same_manifest_and_hashes() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pymisp import MISPEvent

        event = write_event(full(), REGISTRY)
        read = MISPEvent()
        read.load(json.dumps(event))
        theirs = read.to_feed(valid_distributions=[0, 1, 2, 3, 4, 5])
        manifest, hashes = read.manifest, read.attributes_hashes("md5")
    assert (read.info, str(read.uuid)) == ("Flood", event_uuid("FRA", full().bulletin))
    assert theirs["Event"]["Orgc"]["name"] == "FRA"
    assert [one.value for one in read.attributes] == ["198.51.100.3", "[x:y > 3 AND z:v = 'a']", "annex.pdf"]
    assert int(read.distribution) == 0
    names = [tag.name for tag in read.tags]
    assert f'intelshare:label="{SECRET}//TLP:AMBER+STRICT"' in names
    assert "tlp:amber+strict" in names
    assert all(one.tags for one in read.attributes)
    ours = write_manifest([event])
    assert set(manifest) == set(ours)
    own = write_hashes([event]).split()
    assert set(hashes) <= {line.split(",")[0] for line in own}
    assert json.dumps(write_event(full(), REGISTRY)) == json.dumps(event)


def test_an_event_of_ours_comes_back_with_the_label_of_each_part() -> None:
    found = imported(write_event(full(), REGISTRY), OWN)
    whole = SECRET + "//TLP:AMBER+STRICT"
    assert {label for label, _ in said(found)} == {whole}
    assert found.title is not None
    assert format_banner(found.title.label, REGISTRY) == whole


def test_attributes_have_their_events_label_besides_their_own() -> None:
    assert [label for label, _ in said(imported(sample()))] == ["TLP:GREEN", "TLP:RED"]
    lower = sample(Tag=[{"name": "tlp:red"}])
    assert [label for label, _ in said(imported(lower))] == ["TLP:RED"]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"Tag": [{"name": "tlp:purple"}]}, "tlp:purple"),
        ({"Tag": [{"name": "PAP:RED"}, {"name": "tlp:green"}]}, "PAP:RED"),
        ({"Tag": [{"name": 'fr-classif:classifiees="SECRET"'}]}, "fr-classif"),
        ({"Tag": [{"name": 'intelshare:label="SECRTE"'}]}, "SECRTE"),
        ({"distribution": "0"}, "your organisation only"),
        ({"distribution": 4}, "sharing group"),
        ({"distribution": "99"}, "99"),
        ({"Tag": []}, "neither TLP"),
        ({"Object": [{"Attribute": [{"uuid": "7", "distribution": "1", "value": "x"}]}]}, "attribute 7"),
    ],
)
def test_what_is_not_understood_is_refused_by_its_name(changes: Any, named: str) -> None:
    with pytest.raises(LabelError) as refused:
        imported(sample(**changes))
    assert refused.value.code == "MARKING_UNMAPPED"
    assert named in refused.value.message


def test_the_table_says_what_a_tag_or_a_distribution_means() -> None:
    rows = f'[[marking]]\ntag = "PAP:RED"\nlabel = "{RESTRICTED}"\n{OWN}'
    found = imported(sample(Tag=[{"name": "PAP:RED"}], distribution="0", Attribute=[]), rows)
    assert said(found)[0][0] == RESTRICTED + "//TLP:CLEAR"


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "{", "[]", '{"Event": 7}', '{"Event": {"Tag": 7}}', "9" * 2_000_000]
)
def test_row_71_what_is_no_event_is_refused_at_once(text: str) -> None:
    table = parse_marking_table("", "markings.toml", REGISTRY)
    with pytest.raises(LabelError) as refused:
        read_misp(text, table, REGISTRY, AT, source="event.json")
    assert refused.value.code in ("INPUT_INVALID", "TOO_LARGE")
