"""Turns a MISP event into parts of a draft: its reports and attributes as texts, by label.

Tags that are labels or TLP are taken as they are, others by the operator's table. A distribution that
restricts an event is a marking too, and so is a tag of a classification scheme: without a row in the table,
they are refused by name. An attribute has its event's label as well as any label of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NoReturn

from intelshare.errors import LabelError, Place
from intelshare.instant import Instant
from intelshare.interop.combine import combine
from intelshare.interop.marking_table import MarkingTable
from intelshare.interop.misp_out import LABEL_TAG
from intelshare.interop.stix_in import DraftPart, Imported
from intelshare.interop.values import Json
from intelshare.labels import MAX_STIX_BYTES, TLP_WORDS, Label, Registry, parse_label

MAX_ATTRIBUTES: Final = 20_000
_KEPT_WITHIN: Final = {
    "0": "your organisation only",
    "1": "this community only",
    "2": "connected communities",
    "4": "a sharing group",
}
_SCHEMES: Final = (
    "tlp:", "pap:", "intelshare:", "fr-classif:", "de-vs:", "euci:", "iep:", "iep2-policy:", "dcso-sharing:",
    "nato:classification", "dissemination", "classification", "statement://",
)  # fmt: skip
"""The beginnings of tags that restrict who may have something."""


def read_misp(text: str, table: MarkingTable, registry: Registry, at: Instant, *, source: str) -> Imported:
    """Return the parts of an event file.

    Raises LabelError INPUT_INVALID, TOO_LARGE (1 MiB, 20,000 attributes), MARKING_UNMAPPED, MARKING_CONFLICT.
    """
    event = _event(text, source)
    reading = _Reading(table, registry, at, source)
    own = [*reading.tags(event, "the event"), *reading.distribution(event, "the event")]
    label = combine(own, registry, at, source=source) if own else table.unmarked
    if label is None:
        _unmapped("the event has neither TLP nor another marking", "[unmarked] says what that means", source)
    info = event.get("info")
    title = DraftPart(label, " ".join(info.split())) if isinstance(info, str) and info.strip() else None
    texts = [
        DraftPart(label, one["content"])
        for one in _items(event, "EventReport", source)
        if isinstance(one.get("content"), str) and one["content"].strip()
    ]
    lines: dict[Label, list[str]] = {}
    for number, (one, where) in enumerate(_attributes(event, source)):
        if number >= MAX_ATTRIBUTES:
            raise LabelError("TOO_LARGE", f"more than {MAX_ATTRIBUTES} attributes", place=Place(source))
        markings = [label, *reading.tags(one, where), *reading.distribution(one, where)]
        lines.setdefault(combine(markings, registry, at, source=f"{source}: {where}"), []).append(_line(one))
    texts += [DraftPart(of, "\n".join(some)) for of, some in lines.items()]
    if not texts:
        texts = [DraftPart(label, title.content if title is not None else "(an event without content)")]
    return Imported(title, tuple(texts), ())


class _Reading:
    def __init__(self, table: MarkingTable, registry: Registry, at: Instant, source: str) -> None:
        self._table, self._registry, self._at, self._source = table, registry, at, source

    def tags(self, subject: Json, where: str) -> Iterator[Label]:
        """Yield the labels in the tags of an event or attribute."""
        for tag in _items(subject, "Tag", self._source):
            name = tag.get("name")
            if not isinstance(name, str):
                self._invalid(f"{where}: a tag has a name")
            found = self._tag(name, where)
            if found is not None:
                yield from found

    def _tag(self, name: str, where: str) -> list[Label] | None:
        mapped = self._table.find("tag", name)
        word = name[4:].upper() if name.lower().startswith("tlp:") else ""
        word = "CLEAR" if word == "WHITE" else word
        if word in TLP_WORDS:
            also = self._table.find("tlp", word)
            return [Label(tlp=word), *(one for one in (mapped, also) if one is not None)]
        if mapped is not None:
            return [mapped]
        if name.startswith(LABEL_TAG):
            try:
                return [parse_label(name.removeprefix(LABEL_TAG).strip('"'), self._registry, self._at)]
            except LabelError as error:
                _unmapped(
                    f"{where}: {name[:80]!r}: {error.message}", "a [[marking]] with tag = ...", self._source
                )
        if name.lower().startswith(_SCHEMES):
            _unmapped(
                f"{where}: the tag {name[:80]!r} means nothing here",
                "a [[marking]] with tag = ...",
                self._source,
            )
        return None

    def distribution(self, subject: Json, where: str) -> list[Label]:
        """Return the labels of the distribution; 3 (all communities) and 5 (as the event) have none."""
        value = str(subject.get("distribution", "5"))
        mapped = self._table.find("distribution", value)
        if mapped is not None:
            return [mapped]
        if value not in ("3", "5"):
            words = f"distribution {value[:20]} ({_KEPT_WITHIN.get(value, 'unknown')})"
            what = "a [[marking]] with distribution = ..."
            _unmapped(f"{where}: {words} means nothing here", what, self._source)
        return []

    def _invalid(self, message: str) -> NoReturn:
        raise LabelError("INPUT_INVALID", message, place=Place(self._source))


def _event(text: str, source: str) -> Json:
    if len(text) > MAX_STIX_BYTES:
        raise LabelError(
            "TOO_LARGE", f"an event may have at most {MAX_STIX_BYTES} bytes", place=Place(source)
        )
    try:
        document = json.loads(text)
    except RecursionError:
        raise LabelError("TOO_LARGE", "it is nested too deeply", place=Place(source)) from None
    except ValueError as error:
        raise LabelError("INPUT_INVALID", f"this is not JSON: {error}", place=Place(source)) from None
    event = document.get("Event") if isinstance(document, Mapping) else None
    if not isinstance(event, Mapping):
        raise LabelError("INPUT_INVALID", 'a MISP event is an object with "Event"', place=Place(source))
    return event


def _items(subject: Json, name: str, source: str) -> list[Json]:
    found = subject.get(name) or []
    if not isinstance(found, list) or not all(isinstance(one, Mapping) for one in found):
        raise LabelError("INPUT_INVALID", f"{name} is a list of objects", place=Place(source, field=name))
    return found


def _attributes(event: Json, source: str) -> Iterator[tuple[Json, str]]:
    """Yield the attributes of the event, then those of its objects."""
    groups: Iterable[Json] = [event, *_items(event, "Object", source)]
    for group in groups:
        for one in _items(group, "Attribute", source):
            yield one, f"attribute {str(one.get('uuid', ''))[:36]}"


def _line(one: Mapping[str, Any]) -> str:
    said = [str(one.get(name, "")).replace("\n", " ") for name in ("category", "type", "value", "comment")]
    return "  ".join(part for part in said if part)


def _unmapped(message: str, what: str, source: str) -> NoReturn:
    hint = f"{what}: a row of markings.toml (docs/gateways.md)"
    raise LabelError("MARKING_UNMAPPED", message, place=Place(source), hint=hint)
