"""Every form says the same label: what is written is read back, and what cannot be said is refused."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intelshare.builtin import builtin_registry
from intelshare.errors import LabelError
from intelshare.instant import Instant
from intelshare.labels import (
    CONTROLS,
    JOINT,
    NOFORN,
    TLP_WORDS,
    WHOLE,
    Label,
    format_banner,
    format_portion,
    format_prose,
    mark,
    parse_label,
    read_bundle,
    read_markings,
    read_stanag4774,
    show_banner,
    write_bundle,
    write_stanag4774,
)

pytestmark = pytest.mark.timeout(60)
quick = settings(max_examples=100, deadline=None, derandomize=True)

REGISTRY = builtin_registry()
STATES = ["USA", "FRA", "GBR", "GAB", "SWE", "TUR", "UKR", "AUS", "KEN"]
AUTHORITIES = [*STATES, "NATO", "EU", "AU", JOINT]
CODES = [*STATES, "NATO", "EU", "UN", "FVEY"]
CREATED = Instant(1_790_000_000_000_000)


@st.composite
def labels(draw: st.DrawFn) -> Label:
    """Any label that text can say, in canonical order."""
    tlp = draw(st.sampled_from([None, *TLP_WORDS]))
    if tlp is not None and draw(st.integers(0, 3)) == 0:
        return Label(tlp=tlp)
    authority = draw(st.sampled_from(AUTHORITIES))
    ladder = REGISTRY.ladder(authority)
    level = draw(st.sampled_from([level.name for row in ladder.rows for level in row.levels]))
    owners = draw(st.sets(st.sampled_from(STATES), min_size=2, max_size=3)) if authority == JOINT else set()
    controls = draw(st.sets(st.sampled_from(CONTROLS)))
    if NOFORN in controls:
        controls -= {"RELIDO", "EYES ONLY"}
    releasable = displayable = fgi = None
    if not {NOFORN, "RELIDO"} & controls and draw(st.booleans()):
        displayable = draw(st.sets(st.sampled_from(CODES), min_size=1, max_size=3))
    if authority == "USA" and draw(st.booleans()):
        fgi = draw(st.sets(st.sampled_from([*STATES[1:], "NATO"]), max_size=3))
    if NOFORN not in controls and draw(st.booleans()):
        releasable = {*draw(st.sets(st.sampled_from(CODES), max_size=4)), *(owners or {authority})}
    if level == "UNMARKED" and ladder.at(Instant(0)).level("UNMARKED") is None:
        level = ladder.at(Instant(0)).levels[0].name
    raw = Label(
        authority,
        level,
        None if releasable is None else tuple(releasable),
        tuple(controls),
        tlp,
        tuple(sorted(owners)),
        None if displayable is None else tuple(displayable),
        None if fgi is None else tuple(fgi),
    )
    return parse_label(format_banner(raw, REGISTRY), REGISTRY)


@quick
@given(labels())
def test_text_forms_are_read_back(label: Label) -> None:
    for form in (format_banner, format_portion, show_banner):
        assert parse_label(form(label, REGISTRY), REGISTRY) == label


@quick
@given(labels())
def test_prose_is_read_back_where_organisations_write_it(label: Label) -> None:
    others = set(label.releasable_to or ()) - {label.authority}
    if label.authority in ("NATO", "EU", "AU") and others:
        assert parse_label(format_prose(label, REGISTRY), REGISTRY) == label
    else:
        with pytest.raises(LabelError, match="INPUT_INVALID"):
            format_prose(label, REGISTRY)


@quick
@given(labels())
def test_stanag_4774_is_read_back(label: Label) -> None:
    text = write_stanag4774(label, REGISTRY, CREATED)
    assert text.isascii()
    assert read_stanag4774(text, REGISTRY) == label


@quick
@given(labels())
def test_a_stix_bundle_is_read_back_and_is_the_same_each_time(label: Label) -> None:
    bundle = write_bundle(label, REGISTRY)
    assert bundle == write_bundle(label, REGISTRY)
    (found,) = read_bundle(json.dumps(bundle), REGISTRY)
    assert found == ("", WHOLE, label)


@quick
@given(
    st.dictionaries(st.sampled_from([WHOLE, "name", "description", "labels.[0]", "labels.[1]"]), labels()),
)
def test_granular_markings_are_the_portions_labels(portions: dict[str, Label]) -> None:
    subject = {"type": "report", "id": "report--1", "name": "n", "description": "d", "labels": ["a", "b"]}
    whole = portions.get(WHOLE)
    if whole is not None and any(
        (whole.tlp is not None and label.tlp is None) or (whole.level is not None and label.level is None)
        for label in portions.values()
    ):
        # Such a portion would inherit from the whole: not written, rather than read back as another label.
        with pytest.raises(LabelError, match="INPUT_INVALID"):
            mark(subject, portions, REGISTRY)
        return
    marked = mark(subject, portions, REGISTRY)
    assert read_markings(marked.subject, marked.definitions, REGISTRY) == portions
    assert {name: marked.subject[name] for name in subject} == subject


@quick
@given(labels(), labels())
def test_a_portion_without_a_level_of_its_own_has_that_of_the_whole(whole: Label, portion: Label) -> None:
    """Granular TLP beside a classified object must not make the property unclassified."""
    subject = {"type": "report", "id": "report--1", "name": "n"}
    only_whole = mark(subject, {WHOLE: whole}, REGISTRY)
    only_portion = mark(subject, {"name": portion}, REGISTRY)
    both = {**only_whole.subject, "granular_markings": only_portion.subject["granular_markings"]}
    read = read_markings(both, (*only_whole.definitions, *only_portion.definitions), REGISTRY)["name"]
    stated = portion if portion.level is not None else whole
    assert (read.authority, read.level, read.releasable_to, read.controls, read.owners) == (
        stated.authority,
        stated.level,
        stated.releasable_to,
        stated.controls,
        stated.owners,
    )
    assert read.tlp == (portion.tlp or whole.tlp)


CODES_OR_WORDS = st.one_of(
    st.none(), st.sampled_from([*CODES, "ZZZ", "SECRET", "", "FRA//NOFORN"]), st.text(max_size=5)
)


@quick
@given(
    CODES_OR_WORDS,
    CODES_OR_WORDS,
    st.one_of(st.none(), st.lists(st.sampled_from(["USA", "FRA", "ZZZ", "A/B", "<x>"]), max_size=3)),
    st.lists(st.sampled_from([*CONTROLS, "NF", "x"]), max_size=3),
    CODES_OR_WORDS,
)
def test_what_no_text_can_say_no_form_writes(
    authority: str | None,
    level: str | None,
    releasable: list[str] | None,
    controls: list[str],
    tlp: str | None,
) -> None:
    label = Label(authority, level, None if releasable is None else tuple(releasable), tuple(controls), tlp)
    try:
        sound = parse_label(format_banner(label, REGISTRY), REGISTRY) == label
    except LabelError:
        sound = False
    for write in (lambda: write_stanag4774(label, REGISTRY, CREATED), lambda: write_bundle(label, REGISTRY)):
        if sound:
            write()
        else:
            with pytest.raises(LabelError):
                write()


NOISE = st.sampled_from(
    [
        "",
        "<",
        ">",
        "&",
        "&amp;",
        "/",
        "//",
        '"',
        "{",
        "}",
        "[",
        ",",
        "\\",
        "\x00",
        "\u202e",
        "é",
        " ",
        "\n",
        "NF",
        "RED",
    ]
)


@quick
@given(labels(), st.data())
def test_damaged_xml_and_json_is_refused_or_read_as_a_sound_label(label: Label, data: st.DataObject) -> None:
    """Nothing but LabelError comes out, and what is still accepted has one canonical form."""
    for text, read, write in (
        (
            write_stanag4774(label, REGISTRY, CREATED),
            lambda text: read_stanag4774(text, REGISTRY),
            lambda label: write_stanag4774(label, REGISTRY, CREATED),
        ),
        (
            json.dumps(write_bundle(label, REGISTRY)),
            lambda text: read_bundle(text, REGISTRY)[0].label,
            lambda label: json.dumps(write_bundle(label, REGISTRY)),
        ),
    ):
        start = data.draw(st.integers(0, len(text)))
        until = data.draw(st.integers(start, min(len(text), start + 40)))
        damaged = text[:start] + data.draw(NOISE) + text[until:]
        try:
            accepted = read(damaged)
        except LabelError:
            continue
        assert read(write(accepted)) == accepted
