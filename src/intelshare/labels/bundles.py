"""Read labels from a STIX 2.1 text (a bundle or one object), and write a bundle that states one label."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn
from uuid import NAMESPACE_URL, uuid5

from intelshare.errors import LabelError, Place
from intelshare.instant import Instant
from intelshare.labels.formats import format_banner
from intelshare.labels.label import Label
from intelshare.labels.registry import Registry
from intelshare.labels.stix import MarkingReader, Object, definitions_of

MAX_STIX_BYTES = 1 << 20
MAX_STIX_OBJECTS = 1 << 16
"""The most objects in a text, nested ones included; a real text of 1 MiB has a quarter of that."""


class Found(NamedTuple):
    """A label, the id of the object that has it, and the selector (``WHOLE`` for the object itself)."""

    subject: str
    selector: str
    label: Label


def write_bundle(label: Label, registry: Registry) -> Object:
    """Return a bundle of the marking definitions that together state the label; it is the same for the same
    label.

    Raises LabelError as ``definitions_of`` does.
    """
    definitions = definitions_of(label, registry)
    name = uuid5(NAMESPACE_URL, f"urn:intelshare:label-bundle:{format_banner(label, registry)}")
    return {"type": "bundle", "id": f"bundle--{name}", "objects": list(definitions)}


def read_bundle(
    text: str,
    registry: Registry,
    at: Instant | None = None,
    *,
    source: str = "label",
) -> tuple[Found, ...]:
    """Return the labels of every marked object in the order of the text, the whole object before its
    portions.

    A text of marking definitions alone states one label: the one they form together. Raises LabelError:
    TOO_LARGE (1 MiB, or endless nesting), INPUT_INVALID (invalid JSON, a repeated key, no STIX objects, no
    markings), and as ``read_markings``.
    """
    objects = _objects(_json(text, source), source)
    definitions = [each for each in objects if each.get("type") == "marking-definition"]
    subjects: list[Object] = [each for each in objects if each.get("type") != "marking-definition"]
    if not subjects:
        subjects = [{"id": "", "object_marking_refs": [each.get("id") for each in definitions]}]
    reader = MarkingReader(definitions, registry, at, source=source)
    found = [
        Found(str(subject.get("id", "")), selector, label)
        for subject in subjects
        for selector, label in reader.read(subject).items()
    ]
    if not found:
        raise LabelError("INPUT_INVALID", "it has no markings", place=Place(source))
    return tuple(found)


def labels_within(
    text: str, registry: Registry, at: Instant | None = None, *, source: str = "content"
) -> frozenset[Label]:
    """Return every label in a STIX text, including those of marking definitions; empty if nothing is marked.

    Raises LabelError as ``read_bundle`` does, and INPUT_INVALID for an object without type and id.
    """
    objects = stix_objects(text, source=source)
    definitions = [each for each in objects if each["type"] == "marking-definition"]
    reader = MarkingReader(definitions, registry, at, source=source)
    return frozenset(label for each in objects for label in reader.read(each).values())


def stix_objects(text: str, *, source: str = "content") -> list[Object]:
    """Return the objects of a STIX text (a bundle or one object), each with a type and an id.

    Raises LabelError TOO_LARGE (1 MiB, or endless nesting), INPUT_INVALID (invalid JSON, a repeated key, not
    STIX).
    """
    objects = _objects(_json(text, source), source)
    for number, each in enumerate(objects):
        if not isinstance(each.get("type"), str) or not isinstance(each.get("id"), str):
            place = Place(source, field=f"objects[{number}]")
            raise LabelError("INPUT_INVALID", "a STIX object must have a type and an id", place=place)
    return objects


def _objects(document: object, source: str) -> list[Object]:
    if not isinstance(document, Mapping) or not isinstance(document.get("type"), str):
        raise LabelError("INPUT_INVALID", "a STIX object or bundle is expected", place=Place(source))
    if document["type"] != "bundle":
        return [document]
    objects = document.get("objects")
    if not isinstance(objects, list) or not all(isinstance(each, Mapping) for each in objects):
        raise LabelError(
            "INPUT_INVALID", "a list of objects is expected", place=Place(source, field="objects")
        )
    return objects


def _json(text: str, source: str) -> object:
    if len(text) > MAX_STIX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_STIX_BYTES:
        raise LabelError(
            "TOO_LARGE", f"a STIX text may have at most {MAX_STIX_BYTES} bytes", place=Place(source)
        )
    # Objects cost more to read than characters, so the bound on the size of the text is not enough.
    if text.count("{") > MAX_STIX_OBJECTS:
        raise LabelError("TOO_LARGE", f"more than {MAX_STIX_OBJECTS} JSON objects", place=Place(source))
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        lines = text.split("\n")
        place = Place(source, error.lineno, error.colno, excerpt=lines[error.lineno - 1].rstrip("\r"))
        raise LabelError("INPUT_INVALID", f"this is not valid JSON: {error.msg}", place=place) from None
    except ValueError as error:
        raise LabelError("INPUT_INVALID", f"this is not valid JSON: {error}", place=Place(source)) from None
    except RecursionError:
        raise LabelError("TOO_LARGE", "it is nested too deeply", place=Place(source)) from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse an object with a repeated key, because two readers could use different ones."""
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} is repeated")
    return made


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a number")
