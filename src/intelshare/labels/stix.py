"""Labels as STIX 2.1 data markings: TLP by its fixed ids, everything else as a statement, portions as
selectors.

A statement contains the canonical banner without its TLP block. Every marking that applies must be
understood. A statement that looks like a label but is not one is an error, because it is a label with a
typing mistake; a statement that does not look like one (``terms``) states terms of use, which say nothing
about access. Plain dicts in and out; nothing is fetched.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn
from uuid import NAMESPACE_URL, uuid5

from intelshare.errors import LabelError, Place
from intelshare.instant import Instant
from intelshare.labels.formats import format_banner
from intelshare.labels.label import AMBER_STRICT, CLEAR, TLP_WORDS, Label
from intelshare.labels.parse import parse_label
from intelshare.labels.registry import Registry, fold
from intelshare.labels.sound import require_sound, reread
from intelshare.labels.terms import Terms

Object = Mapping[str, Any]
"""A STIX object as JSON has it."""

WHOLE = ""
"""The selector of a label for the whole object."""

MAX_MARKINGS = 256
"""The most granular markings of one object, and selectors of one marking."""

MAX_COMBINATIONS = 32
"""The most different sets of markings in one text: each is read as a label."""

TLP_EXTENSION = "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d"
"""The OASIS STIX extension for TLP 2.0."""

TLP_IDS = {
    "CLEAR": "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487",
    "GREEN": "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb",
    "AMBER": "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421",
    "AMBER+STRICT": "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003",
    "RED": "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1",
}
"""The fixed ids of TLP 2.0 (OASIS, cti-stix-common-objects)."""

TLP_1_IDS = {
    "CLEAR": "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9",
    "GREEN": "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da",
    "AMBER": "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82",
    "RED": "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed",
}
"""The fixed ids of TLP 1.0 (STIX 2.1, section 7.2.1.4), read and never written; its WHITE is CLEAR."""

_WORDS = {marking: word for ids in (TLP_IDS, TLP_1_IDS) for word, marking in ids.items()}
_TLP_CREATED = "2022-10-01T00:00:00.000Z"
_STATEMENTS = uuid5(NAMESPACE_URL, "urn:intelshare:label")
_STATEMENT_CREATED = "2026-01-01T00:00:00.000Z"
"""The creation time of statements. One id is one object for ever: a label has the same definition whoever
writes it, and when.
"""

_STEP = re.compile(r"[A-Za-z0-9_-]{1,250}|\[(0|[1-9][0-9]{0,5})\]")


@dataclass(frozen=True, slots=True)
class Marked:
    """An object with markings, and the definitions they refer to, which must travel with it."""

    subject: Object
    definitions: tuple[Object, ...]


def definitions_of(label: Label, registry: Registry) -> tuple[Object, ...]:
    """Return the marking definitions that together state the label: a statement, a TLP marking, or both.

    Raises LabelError INPUT_INVALID for a label that no text could state either.
    """
    require_sound(label, registry)
    made: list[Object] = []
    if label.level is not None:
        made.append(_statement(format_banner(replace(label, tlp=None), registry)))
    if label.tlp is not None:
        made.append(_tlp(label.tlp))
    return tuple(made)


def mark(subject: Object, labels: Mapping[str, Label], registry: Registry) -> Marked:
    """Return the object with these labels and no others, by selector (``WHOLE``, ``description``,
    ``labels.[0]``).

    Raises LabelError INPUT_INVALID for a selector that selects nothing, and for a portion that states less
    than the whole: if the whole has a level or a TLP word, each portion needs one too, or would inherit it.
    """
    definitions: dict[str, Object] = {}
    refs: dict[str, tuple[str, ...]] = {}
    for selector, label in labels.items():
        made = definitions_of(label, registry)
        definitions |= {each["id"]: each for each in made}
        refs[selector] = tuple(each["id"] for each in made)
    marked = {
        name: value
        for name, value in subject.items()
        if name not in ("object_marking_refs", "granular_markings")
    }
    if WHOLE in refs:
        marked["object_marking_refs"] = list(refs[WHOLE])
    portions = {selector: ids for selector, ids in refs.items() if selector != WHOLE}
    ids = sorted({marking for chosen in portions.values() for marking in chosen})
    if ids:
        marked["granular_markings"] = [
            {
                "marking_ref": marking,
                "selectors": sorted(s for s, chosen in portions.items() if marking in chosen),
            }
            for marking in ids
        ]
    made_all = tuple(definitions[marking] for marking in sorted(definitions))
    read = read_markings(marked, made_all, registry)
    for selector, label in labels.items():
        if read[selector] != label:
            message = f"next to the label of the whole, {format_banner(label, registry)} would be read as"
            raise LabelError(
                "INPUT_INVALID",
                f"{message} {format_banner(read[selector], registry)}",
                place=Place("label", field=selector),
                hint="state a level and a TLP word where the whole has them; TLP:CLEAR adds nothing",
            )
    return Marked(marked, made_all)


def read_markings(
    subject: Object,
    definitions: Iterable[Object],
    registry: Registry,
    at: Instant | None = None,
    *,
    source: str = "object",
) -> dict[str, Label]:
    """Return the labels of an object by selector; ``WHOLE`` only if the object itself is marked.

    What a portion's markings do not state (a level, a TLP word) is taken from the whole (STIX 2.1, section
    7.2: granular markings take precedence over the object's, kind by kind). Of several TLP words the
    strictest counts. Raises LabelError: INPUT_INVALID (shape, unknown reference, selector without a value),
    UNKNOWN_CONTROL (a marking of another kind), DUPLICATE_CONTROL (two labels as statements),
    MARKING_CONFLICT (a TLP marking whose word contradicts its id), and as ``parse_label``.
    """
    return MarkingReader(definitions, registry, at, source=source).read(subject)


class MarkingReader:
    """``read_markings`` for all objects of one text: each combination of markings is read only once."""

    def __init__(
        self,
        definitions: Iterable[Object],
        registry: Registry,
        at: Instant | None = None,
        *,
        source: str = "object",
    ) -> None:
        self._source = source
        self._reading = _Reading(_by_id(definitions, source), registry, at, source, Terms(registry))
        self._known: dict[tuple[tuple[str, ...], Label | None], Label | None] = {}

    def read(self, subject: Object) -> dict[str, Label]:
        """Return the labels of an object by selector, as ``read_markings`` does; TOO_LARGE over 32
        combinations.
        """
        return _labels(subject, self._source, self._of)

    def terms(self, subject: Object) -> tuple[str, ...]:
        """Return the statements that mark the whole object and are mere terms of use, which say nothing about
        access.
        """
        refs = _texts(subject.get("object_marking_refs", []), self._source, "object_marking_refs")
        found = [
            self._reading.known[marking]["definition"]["statement"]
            for marking in dict.fromkeys(refs)
            if marking not in _WORDS and self._reading.is_terms(marking)
        ]
        return tuple(dict.fromkeys(found))

    def _of(self, refs: Sequence[str], where: str, whole: Label | None = None) -> Label | None:
        key = (tuple(sorted(set(refs))), whole)
        if key not in self._known:
            if len(self._known) >= MAX_COMBINATIONS:
                _fail(self._source, where, f"more than {MAX_COMBINATIONS} labels", "TOO_LARGE")
            self._known[key] = self._reading.of(refs, where, whole)
        return self._known[key]


def _labels(subject: Object, source: str, label_of: Callable[..., Label | None]) -> dict[str, Label]:
    refs = _texts(subject.get("object_marking_refs", []), source, "object_marking_refs")
    whole = label_of(refs, "object_marking_refs")
    labels = {} if whole is None else {WHOLE: whole}
    chosen: dict[str, dict[str, None]] = {}  # in the order of the text, each marking once
    granular = subject.get("granular_markings", [])
    if not isinstance(granular, list) or len(granular) > MAX_MARKINGS:
        _fail(source, "granular_markings", f"a list of at most {MAX_MARKINGS} is expected")
    for number, entry in enumerate(granular):
        where = f"granular_markings[{number}]"
        if not isinstance(entry, Mapping) or not isinstance(entry.get("selectors"), list):
            _fail(source, where, "a marking with selectors is expected")
        if "lang" in entry and "marking_ref" in entry:
            _fail(
                source, where, "a granular marking has a lang or a marking_ref, never both"
            )  # STIX 2.1, 7.2.3
        if "lang" in entry:
            continue  # says a language, no marking
        (marking,) = _texts([entry.get("marking_ref")], source, f"{where}.marking_ref")
        for selector in _texts(entry["selectors"], source, f"{where}.selectors"):
            if selector not in chosen and not _selects(subject, selector):
                _fail(source, f"{where}.selectors", f"{selector!r} selects nothing")
            chosen.setdefault(selector, {})[marking] = None
    for selector, ids in chosen.items():
        label = label_of(list(ids), f"granular_markings, {selector}", whole)
        if label is not None:
            labels[selector] = label
    return labels


@dataclass(frozen=True, slots=True)
class _Reading:
    known: Mapping[str, Object]
    registry: Registry
    at: Instant | None
    source: str
    terms: Terms

    def of(self, refs: Sequence[str], where: str, whole: Label | None = None) -> Label | None:
        """Return the one label that these markings state together; None if there are none."""
        words, others = list[str](), list[str]()
        for marking in dict.fromkeys(refs):
            word = self._tlp(marking, where)
            if word is None:
                others.append(marking)
            else:
                words.append(word)
        statements = [marking for marking in others if not self.is_terms(marking)]
        if len(statements) > 1:
            _fail(self.source, where, "two statements apply at once", "DUPLICATE_CONTROL")
        label = self._statement(statements[0], where) if statements else None
        if label is None and not words:
            return None
        if label is not None and label.tlp is not None:
            words.append(label.tlp)
        if whole is not None:
            if label is None or label.level is None:
                label = replace(whole, tlp=None)
            if not words and whole.tlp is not None:
                words.append(whole.tlp)
        strictest = max(words, key=TLP_WORDS.index, default=None)
        read = replace(label or Label(), tlp=strictest)
        return reread(read, self.registry, self.at)

    def _tlp(self, marking: str, where: str) -> str | None:
        """Return the TLP word of a marking; None if it is another marking. Refuse a word that contradicts the
        id.
        """
        found = self.known.get(marking)
        word = _WORDS.get(marking)
        if word is None:
            return AMBER_STRICT if found is not None and _is_opencti(found) else None
        said = {fold(text).removeprefix("TLP:") for text in _tlp_texts(found or {})}
        if said - {word, "WHITE" if word == CLEAR else word}:
            message = f"{marking!r} is TLP:{word} by its fixed id, but says TLP:{min(said - {word})}"
            _fail(self.source, where, message, "MARKING_CONFLICT")
        return word

    def is_terms(self, marking: str) -> bool:
        """Return True if the marking is a plain statement that is not a label."""
        found = self.known.get(marking, {})
        definition = found.get("definition")
        text = definition.get("statement") if isinstance(definition, Mapping) else None
        plain = found.get("definition_type") == "statement" and not found.get("extensions")
        return plain and isinstance(text, str) and self.terms.are(text)

    def _statement(self, marking: str, where: str) -> Label:
        found = self.known.get(marking)
        if found is None:
            _fail(self.source, where, f"{marking!r} is not among the marking definitions")
        definition = found.get("definition")
        text = definition.get("statement") if isinstance(definition, Mapping) else None
        if (
            found.get("definition_type") != "statement"
            or not isinstance(text, str)
            or found.get("extensions")
        ):
            message = f"{marking!r} is neither a statement nor TLP by its fixed id"
            _fail(self.source, where, message, "UNKNOWN_CONTROL")
        try:
            return parse_label(text, self.registry, self.at)
        except LabelError as error:
            place = error.place or Place(self.source)
            raise LabelError(
                error.code,
                f"the statement is not a label: {error.message}",
                place=replace(place, source=self.source, line=None, field=where),
                hint=error.hint,
            ) from None


def _statement(text: str) -> Object:
    return {
        "type": "marking-definition",
        "spec_version": "2.1",
        "id": f"marking-definition--{uuid5(_STATEMENTS, text)}",
        "created": _STATEMENT_CREATED,
        "definition_type": "statement",
        "definition": {"statement": text},
    }


def _tlp(word: str) -> Object:
    return {
        "type": "marking-definition",
        "spec_version": "2.1",
        "id": TLP_IDS[word],
        "created": _TLP_CREATED,
        "name": f"TLP:{word}",
        "extensions": {TLP_EXTENSION: {"extension_type": "property-extension", "tlp_2_0": word.lower()}},
    }


def _tlp_texts(definition: Object) -> Iterator[str]:
    """Yield every word with which a TLP definition says which one it is."""
    inner, extensions = definition.get("definition"), definition.get("extensions")
    extension = extensions.get(TLP_EXTENSION) if isinstance(extensions, Mapping) else None
    said = (
        inner.get("tlp") if isinstance(inner, Mapping) else None,
        extension.get("tlp_2_0") if isinstance(extension, Mapping) else None,
        definition.get("name"),
    )
    yield from (text for text in said if isinstance(text, str))


def _is_opencti(definition: Object) -> bool:
    """Return True for OpenCTI's AMBER+STRICT, which is older than TLP 2.0 in STIX: this exact shape and no
    other.
    """
    return (
        definition.get("id") == "marking-definition--826578e1-40ad-459f-bc73-ede076f81f37"
        and definition.get("definition_type") == "statement"
        and definition.get("definition") == {"statement": "custom"}
        and definition.get("x_opencti_definition_type") == "TLP"
        and definition.get("x_opencti_definition") == "TLP:AMBER+STRICT"
        and not definition.get("extensions")
    )


def _by_id(definitions: Iterable[Object], source: str) -> dict[str, Object]:
    known: dict[str, Object] = {}
    for definition in definitions:
        marking = definition.get("id")
        if not isinstance(marking, str):
            _fail(source, "marking-definition", "an id is expected")
        if known.setdefault(marking, definition) != definition:
            _fail(source, marking, "two marking definitions have this id")
    return known


def _texts(value: object, source: str, where: str) -> list[str]:
    if not isinstance(value, list) or len(value) > MAX_MARKINGS or not all(isinstance(v, str) for v in value):
        _fail(source, where, f"a list of at most {MAX_MARKINGS} texts is expected")
    return value


def _selects(subject: Object, selector: str) -> bool:
    """Return True if the selector (STIX 2.1, section 7.2.3.1) leads to a value of the object."""
    value: object = subject
    for step in selector.split("."):
        matched = _STEP.fullmatch(step)
        if matched is None:
            return False
        if matched[1] is not None:
            if not isinstance(value, list) or int(matched[1]) >= len(value):
                return False
            value = value[int(matched[1])]
        elif isinstance(value, Mapping) and step in value:
            value = value[step]
        else:
            return False
    return True


def _fail(source: str, where: str, message: str, code: str = "INPUT_INVALID") -> NoReturn:
    raise LabelError(code, message, place=Place(source, field=where))
