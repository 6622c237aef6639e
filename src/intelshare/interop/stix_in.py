"""Turns foreign STIX 2.1 into parts of a draft: objects by label, and the readable texts of their reports.

A label comes from an object's markings, read by the core's reader, and from the operator's table. Nothing is
lowered: several labels become one that covers all of them, an unmarked object gets the label that covers
everything else in the text, and a marking that is not understood here is refused by name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from intelshare.errors import LabelError, Place
from intelshare.instant import Instant
from intelshare.interop.combine import combine
from intelshare.interop.marking_table import MarkingTable
from intelshare.interop.stix_out import Carried, mark_carried, terms_of, write_bundle_of
from intelshare.interop.values import Json
from intelshare.labels import TLP_1_IDS, TLP_IDS, Label, MarkingReader, Registry, stix_objects

_WORDS: Final = {name: word for ids in (TLP_IDS, TLP_1_IDS) for word, name in ids.items()}
_OF_THE_TEXT: Final = frozenset(("INPUT_INVALID", "TOO_LARGE", "MARKING_CONFLICT", "DUPLICATE_CONTROL"))
"""The codes for faults of the text; all others mean that a marking is unknown here."""


@dataclass(frozen=True, slots=True)
class DraftPart:
    """One future portion: text, or STIX objects, all with one label."""

    label: Label
    content: str


@dataclass(frozen=True, slots=True)
class Imported:
    """The parts of which an analyst may make a bulletin."""

    title: DraftPart | None
    texts: tuple[DraftPart, ...]
    objects: tuple[DraftPart, ...]
    """One bundle for each label, in the order of the text."""


def read_stix(text: str, table: MarkingTable, registry: Registry, at: Instant, *, source: str) -> Imported:
    """Return the parts of a bundle or object.

    Raises LabelError: MARKING_UNMAPPED (a marking that is unknown here, by name; or nothing is marked and the
    table has no row for that), MARKING_CONFLICT, and as ``labels.stix_objects``.
    """
    objects = stix_objects(text, source=source)
    definitions = {one["id"]: one for one in objects if one["type"] == "marking-definition"}
    subjects = [one for one in objects if one["type"] != "marking-definition"]
    if not subjects:
        raise LabelError("INPUT_INVALID", "there is no object in it", place=Place(source))
    reading = _Reading(definitions, table, registry, at, source)
    stated = [reading.labels(subject) for subject in subjects]
    everything = [label for labels in stated for label in labels.values()]
    rest = combine(everything, registry, at, source=source) if everything else table.unmarked
    labelled = []
    for subject, labels in zip(subjects, stated, strict=True):
        own = combine(labels.values(), registry, at, source=f"{source}: {subject['id']}") if labels else rest
        if own is None:
            raise _unmapped("nothing in it is marked", "[unmarked] says what that means", source)
        labelled.append((subject, labels, own))
    reports = [one for one in labelled if one[0]["type"] == "report"]
    return Imported(
        _title(reports),
        tuple(_texts(reports)),
        # A marking to which the table gives a meaning is no longer a term of use.
        tuple(_bundles(labelled, reading.without_rows(), registry)),
    )


@dataclass(frozen=True, slots=True)
class _Reading:
    definitions: Mapping[str, Json]
    table: MarkingTable
    registry: Registry
    at: Instant
    source: str

    def labels(self, subject: Json) -> dict[str, Label]:
        """Return the label of each selector, or nothing for an object without markings."""
        mapped: dict[str, list[Label]] = {}
        bare = dict(subject)
        refs = bare.get("object_marking_refs", [])
        if isinstance(refs, list):
            kept = [one for one in refs if not self._mapped(one, "", mapped)]
            bare["object_marking_refs"] = kept
        granular = bare.get("granular_markings", [])
        if isinstance(granular, list):
            bare["granular_markings"] = [
                one for one in granular if not (isinstance(one, Mapping) and self._mapped_part(one, mapped))
            ]
        said = self._said(bare)
        found: dict[str, Label] = {}
        # The whole comes first in both; if the table was involved, a portion is never below the whole.
        for selector in dict.fromkeys((*(("",) if "" in said or "" in mapped else ()), *said, *mapped)):
            labels = [*([said[selector]] if selector in said else []), *mapped.get(selector, ())]
            if selector and "" in found and (selector in mapped or "" in mapped):
                labels.append(found[""])
            where = f"{self.source}: {subject['id']}"
            found[selector] = combine(labels, self.registry, self.at, source=where)
        return found

    def _mapped_part(self, entry: Mapping[str, Any], mapped: dict[str, list[Label]]) -> bool:
        selectors = entry.get("selectors")
        if not isinstance(selectors, list) or not all(isinstance(one, str) for one in selectors):
            return False
        found = [self._mapped(entry.get("marking_ref"), one, mapped) for one in selectors]
        return bool(found) and all(found)

    def _mapped(self, name: object, selector: str, mapped: dict[str, list[Label]]) -> bool:
        """Note the table's label for a marking; return true if the core's reader need not see the marking."""
        if not isinstance(name, str):
            return False
        word = _WORDS.get(name)
        if word is not None:
            # The word stays: the reader sees it too.
            if (label := self.table.find("tlp", word)) is not None:
                mapped.setdefault(selector, []).append(label)
            return False
        label = self._row(name)
        if label is None:
            return False
        mapped.setdefault(selector, []).append(label)
        return True

    def without_rows(self) -> dict[str, Json]:
        """Return the definitions about which the table has no row."""
        return {name: one for name, one in self.definitions.items() if self._row(name) is None}

    def _row(self, name: str) -> Label | None:
        if (label := self.table.find("id", name)) is not None:
            return label
        inner = self.definitions.get(name, {}).get("definition")
        statement = inner.get("statement") if isinstance(inner, Mapping) else None
        return self.table.find("statement", statement) if isinstance(statement, str) else None

    def _said(self, subject: Json) -> dict[str, Label]:
        reader = MarkingReader(
            self.definitions.values(), self.registry, self.at, source=f"{self.source}: {subject['id']}"
        )
        try:
            return reader.read(subject)
        except LabelError as error:
            if error.code in _OF_THE_TEXT:
                raise
            named = " or ".join(_names(self.definitions, subject)) or "its marking"
            raise _unmapped(
                f"{subject['id']}: {named} means nothing here: {error.message}",
                "a [[marking]] with its id or statement says what it means",
                self.source,
            ) from None


def _names(definitions: Mapping[str, Json], subject: Json) -> Iterator[str]:
    """Yield the markings of an object that are neither TLP nor terms, as people know them."""
    granular = subject.get("granular_markings", [])
    refs = [
        *subject.get("object_marking_refs", []),
        *(one.get("marking_ref") for one in granular if isinstance(one, Mapping)),
    ]
    for name in dict.fromkeys(one for one in refs if isinstance(one, str) and one not in _WORDS):
        found = definitions.get(name, {})
        inner = found.get("definition")
        said = (inner.get("statement") if isinstance(inner, Mapping) else None) or found.get("name")
        yield f"{name} ({said[:80]!r})" if isinstance(said, str) else name


def _unmapped(message: str, what: str, source: str) -> LabelError:
    hint = f"{what}: a row of markings.toml (docs/gateways.md)"
    return LabelError("MARKING_UNMAPPED", message, place=Place(source), hint=hint)


_Labelled = tuple[Json, Mapping[str, Label], Label]


def _title(reports: Iterable[_Labelled]) -> DraftPart | None:
    for subject, labels, label in reports:
        name = subject.get("name")
        if isinstance(name, str) and name.strip():
            # A title must be one line.
            return DraftPart(labels.get("name", labels.get("", label)), " ".join(name.split()))
    return None


def _texts(reports: Iterable[_Labelled]) -> Iterator[DraftPart]:
    for subject, labels, label in reports:
        text = subject.get("description")
        if isinstance(text, str) and text.strip():
            yield DraftPart(labels.get("description", labels.get("", label)), text)


def _bundles(
    labelled: Iterable[_Labelled], definitions: Mapping[str, Json], registry: Registry
) -> Iterator[DraftPart]:
    """Yield the objects of each label, marked with it: a mapped marking would mean nothing to the next
    reader.
    """
    groups: dict[Label, list[Json]] = {}
    for subject, _, label in labelled:
        groups.setdefault(label, []).append(subject)
    for label, subjects in groups.items():
        marked = [
            mark_carried(
                Carried(one, label, terms_of(one, definitions, registry, source=one["id"])), registry
            )
            for one in subjects
        ]
        used = {one["id"]: one for each in marked for one in each.definitions}
        bundle = write_bundle_of((*used.values(), *(each.subject for each in marked)))
        yield DraftPart(label, json.dumps(bundle, ensure_ascii=False, separators=(",", ":")))
