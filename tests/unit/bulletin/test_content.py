"""Content that states markings itself says no more than the label of its portion, at a bounded cost."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intelshare import instant
from intelshare.builtin import builtin_registry
from intelshare.bulletin import check_content
from intelshare.crypto.records import Portion, PortionKind
from intelshare.errors import LabelError
from intelshare.labels import TLP_IDS, TLP_WORDS, check_stix, format_banner, parse_label, read_bundle, rollup

REGISTRY = builtin_registry()
NOW = instant.parse("2026-11-01")
SAMPLES = Path(__file__).parents[2] / "samples" / "stix"
OWN = "//FRA SECRET//REL TO FRA, USA"


def named(kind: str, number: int) -> str:
    return f"{kind}--{number:08d}-0000-4000-8000-000000000000"


def statement(text: str, number: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "type": "marking-definition",
        "id": named("marking-definition", number),
        "definition_type": "statement",
        "definition": {"statement": text},
        **more,
    }


def indicator(number: int, *refs: str, **more: Any) -> dict[str, Any]:
    marked = {"object_marking_refs": list(refs)} if refs else {}
    return {
        "type": "indicator",
        "id": named("indicator", number),
        "name": "n",
        "description": "d",
        **marked,
        **more,
    }


def bundle(*objects: object) -> bytes:
    return json.dumps({"type": "bundle", "id": named("bundle", 1), "objects": objects}).encode()


def check(content: bytes, label: str) -> None:
    check_stix(content, parse_label(label, REGISTRY), "FRA", REGISTRY, NOW)


def refused(content: bytes, label: str = OWN) -> LabelError:
    with pytest.raises(LabelError) as caught:
        check(content, label)
    return caught.value


def test_tlp_red_does_not_leave_under_tlp_clear():
    error = refused(bundle(indicator(1, TLP_IDS["RED"])), "TLP:CLEAR")
    assert error.code == "MARKING_CONFLICT"
    assert "TLP:CLEAR" in error.message


def test_the_hint_is_a_label_that_covers_the_content():
    content = bundle(
        statement("//FRA SECRET//REL TO FRA, USA, GBR"), indicator(1, named("marking-definition", 1))
    )
    error = refused(content, "//FRA DIFFUSION RESTREINTE//REL TO FRA, USA//TLP:GREEN")
    needed = error.hint.removeprefix("label it ").removesuffix(", or take the marked objects out")
    assert needed == "//FRA SECRET//REL TO FRA, USA//TLP:GREEN"
    check(content, needed)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    st.sampled_from(TLP_WORDS),
    st.sampled_from([None, *TLP_WORDS]),
    st.sampled_from(["TLP", OWN, "//NATO SECRET", "SECRET//NOFORN", "//FRA NON PROTEGE"]),
)
def test_of_tlp_words_none_passes_that_is_stricter_than_the_labels(inner, outer, head):
    if head == "TLP" and outer is None:
        return
    text = f"TLP:{outer}" if head == "TLP" else head if outer is None else f"{head}//TLP:{outer}"
    content = bundle(indicator(1, TLP_IDS[inner]), indicator(2))
    # A label without TLP has no word to be held against: any above CLEAR says more.
    if TLP_WORDS.index(inner) <= (0 if outer is None else TLP_WORDS.index(outer)) and outer is not None:
        check(content, text)
    else:
        assert refused(content, text).code == "MARKING_CONFLICT"


INNER = [
    "//FRA NP",
    "//FRA DR",
    OWN,
    "//FRA S//REL TO FRA",
    "SECRET//REL TO USA, FRA",
    "//NATO SECRET",
    "(U//FOUO)",
    "//FRA S//OC/REL TO FRA, USA, GBR",
    "UNCLASSIFIED//TLP:AMBER",
    "SECRET//NOFORN",
    "(S//REL TO USA/DISPLAY ONLY FRA)",
]


@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("outer", [*INNER, "TLP:CLEAR", "TLP:RED"])
def test_what_passes_has_a_label_that_rolls_up_to_no_more(inner, outer):
    label, within = parse_label(outer, REGISTRY), parse_label(inner, REGISTRY)
    definitions = [statement(inner.split("//TLP")[0])]
    refs = [named("marking-definition", 1)]
    if within.tlp:
        refs.append(TLP_IDS[within.tlp])
    content = bundle(*definitions, indicator(1, *refs))
    whose = label.authority or "FRA"
    covered = rollup(whose, NOW, [label], REGISTRY)
    if label == within or rollup(whose, NOW, [label, within], REGISTRY) == covered:
        check(content, outer)
    else:
        assert refused(content, outer).code == "MARKING_CONFLICT"


@pytest.mark.parametrize(
    "content",
    [
        b'{"not stix": tru',
        b'{"not": "stix"}',
        b"[]",
        b"7",
        b"\xff\xfe",
        b"",
        bundle(7),
        bundle({"type": "indicator"}),
        bundle({"id": "indicator--1"}),
        b'{"type":"bundle","id":"b","objects":{}}',
        b'{"type":"bundle","id":"b","type":"x"}',
        b'{"type":"indicator","id":"i","x":NaN}',
    ],
)
def test_what_is_no_stix_is_refused_as_such(content):
    assert refused(content).code == "INPUT_INVALID"


def test_unmarked_objects_have_the_label_of_their_portion_beside_marked_ones_too():
    check(bundle(indicator(1)), "TLP:CLEAR")
    check(bundle(indicator(1), indicator(2, TLP_IDS["CLEAR"])), "TLP:CLEAR")
    assert refused(bundle(indicator(1), indicator(2, TLP_IDS["RED"])), "TLP:GREEN").code == "MARKING_CONFLICT"


def test_a_marking_of_a_property_or_of_a_definition_counts_as_well():
    granular = [{"marking_ref": TLP_IDS["RED"], "selectors": ["description"]}]
    assert refused(bundle(indicator(1, granular_markings=granular)), "TLP:CLEAR").code == "MARKING_CONFLICT"
    marked = statement("Reuse under the terms of the source.", object_marking_refs=[TLP_IDS["RED"]])
    assert refused(bundle(marked, indicator(1)), "TLP:CLEAR").code == "MARKING_CONFLICT"


@pytest.mark.parametrize(
    "says",
    [
        {"name": "TLP:RED"},
        {"definition_type": "tlp", "definition": {"tlp": "red"}},
        {"extensions": {"extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d": {"tlp_2_0": "red"}}},
    ],
)
def test_a_tlp_marking_that_says_another_word_than_its_id_is_refused(says):
    contradicting = {"type": "marking-definition", "id": TLP_IDS["CLEAR"], **says}
    error = refused(bundle(contradicting, indicator(1, TLP_IDS["CLEAR"])), "TLP:RED")
    assert error.code == "MARKING_CONFLICT"
    assert "fixed id" in error.message


def test_opencti_writes_amber_strict_in_its_own_shape_and_no_other_is_taken_for_it():
    text = (SAMPLES / "opencti-amber-strict.json").read_text("utf-8")
    assert format_banner(read_bundle(text, REGISTRY)[0].label, REGISTRY) == "TLP:AMBER+STRICT"
    for old, new in (
        ('"custom"', '"Custom"'),
        ('"TLP:AMBER+STRICT"', '"TLP:CLEAR"'),
        ("826578e1", "826578e2"),
    ):
        assert old in text
        with pytest.raises(LabelError, match=r"UNKNOWN_LEVEL|UNKNOWN_CONTROL|INPUT_INVALID"):
            read_bundle(text.replace(old, new, 1), REGISTRY)


def test_terms_of_use_are_kept_and_say_nothing_of_access():
    text = (SAMPLES / "terms-statement-and-tlp.json").read_text("utf-8")
    assert format_banner(read_bundle(text, REGISTRY)[0].label, REGISTRY) == "TLP:AMBER+STRICT"
    check(text.encode(), "TLP:AMBER+STRICT")
    assert refused(text.encode(), "TLP:AMBER").code == "MARKING_CONFLICT"


@pytest.mark.parametrize(
    "text",
    [
        "Copyright 2015-2026, The Example Corporation. All rights reserved.",
        "This object was made from https://example.org//data and may be reused under its terms.",
        "Reuse by anybody, with attribution. Not to be resold.",
    ],
)
def test_prose_is_terms(text):
    check(bundle(statement(text), indicator(1, named("marking-definition", 1))), "TLP:CLEAR")


@pytest.mark.parametrize(
    "text",
    [
        "SECRTE//NOFORN", "SECRTE", "CLASSIFIED BY somebody", "secre t", "NATO SECERT",
        "Handling: NOFORN", "COMSIC TOP SECRET", "TLP RED", "//FRA SECRTE", "STRENG GEHEM", "GEHEMI",
        "\u0421ECRET",
        "Please treat as FRA material", "",
    ],
)  # fmt: skip
def test_a_statement_that_is_meant_as_a_label_is_never_taken_for_terms(text):
    assert (
        refused(bundle(statement(text), indicator(1, named("marking-definition", 1)))).code
        != "MARKING_CONFLICT"
    )


def test_a_granular_marking_has_a_language_or_a_marking():
    error = refused((SAMPLES / "granular-lang-and-marking.json").read_bytes())
    assert (error.code, error.place.field) == ("INPUT_INVALID", "granular_markings[0]")


def test_the_media_type_makes_content_stix_as_the_kind_does():
    content = bundle(indicator(1, TLP_IDS["RED"]))
    label = parse_label("TLP:CLEAR", REGISTRY)

    def portion(kind: PortionKind, media: str) -> Portion:
        return Portion(kind, "TLP:CLEAR", "cyber", (), "", media, content)

    for kind, media in (
        (PortionKind.STIX, "text/plain"),
        (PortionKind.TEXT, "application/stix+json;version=2.1"),
        (PortionKind.FILE, " APPLICATION/STIX+JSON ; x=y"),
    ):
        with pytest.raises(LabelError, match="MARKING_CONFLICT"):
            check_content(portion(kind, media), label, "FRA", REGISTRY, NOW)
    check_content(portion(PortionKind.TEXT, "text/plain"), label, "FRA", REGISTRY, NOW)


def many(count: int) -> list[dict[str, Any]]:
    return [
        statement(f"//FRA SECRET//REL TO FRA, {code}", n)
        for n, code in enumerate(sorted(REGISTRY.states)[:count])
    ]


COSTLY = {
    "one marking": bundle(*(indicator(n, TLP_IDS["GREEN"]) for n in range(5200))),
    "selectors": bundle(
        *(
            indicator(
                n, granular_markings=[{"marking_ref": TLP_IDS["GREEN"], "selectors": ["id"] * 250}] * 250
            )
            for n in range(2)
        )
    ),
    "labels": bundle(*many(200), *(indicator(n, named("marking-definition", n)) for n in range(200))),
    "terms": bundle(
        *(statement("Copyrighs " * 1600 + str(n), n) for n in range(30)),
        *(indicator(n, named("marking-definition", n)) for n in range(30)),
    ),
    "objects": bundle(*({} for _ in range(260_000))),
    "depth": b"[" * 500_000,
}


@pytest.mark.timed
@pytest.mark.parametrize("what", COSTLY)
def test_the_cost_of_a_text_is_bounded(what):
    content = COSTLY[what]
    assert len(content) <= 1 << 20
    assert min(seconds_of_check(content) for _ in range(3)) < 0.15


def seconds_of_check(content: bytes) -> float:
    begun = time.process_time()
    with suppress(LabelError):
        check(content, "TLP:GREEN")
    return time.process_time() - begun


def test_more_labels_than_a_real_text_has_are_too_large():
    assert refused(COSTLY["labels"], "TLP:GREEN").code == "TOO_LARGE"
    assert refused(COSTLY["objects"]).code == "TOO_LARGE"
