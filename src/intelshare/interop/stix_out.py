"""Writes a bulletin as STIX 2.1: a report with its markings, and the objects in its portions.

The report's name is the title, its description the first text, each with its label as a granular marking;
each further text is a separate report, because importers drop notes. Ids are derived from the bulletin, so
that all its exports are equal. A label that a marking cannot express exactly is marked higher, never lower.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from hashlib import sha256
from typing import Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

from intelshare.crypto.records import PortionKind
from intelshare.instant import Instant, to_datetime
from intelshare.interop.combine import combine
from intelshare.interop.values import Json, Shared, SharedPortion
from intelshare.labels import WHOLE, Label, Marked, MarkingReader, Registry, mark, stix_objects

_REPORTS: Final = uuid5(NAMESPACE_URL, "urn:intelshare:bulletin")
_MEMBERS: Final = uuid5(NAMESPACE_URL, "urn:intelshare:member")
_TERMS: Final = uuid5(NAMESPACE_URL, "urn:intelshare:terms")
_BUNDLES: Final = uuid5(NAMESPACE_URL, "urn:intelshare:bundle")
_MEMBER_SINCE: Final = "2026-01-01T00:00:00.000Z"
"""One id stands for one object for ever: the identity of a member is the same, whoever writes it and when."""

_CONFIDENCE: Final = {"1": 90, "2": 70, "3": 50, "4": 30, "5": 10}
"""Admiralty credibility on the scale of STIX (2.1, appendix A); 6 cannot be assessed, and has no number."""

_MARKINGS: Final = ("object_marking_refs", "granular_markings")


def report_id(originator: str, bulletin: str) -> str:
    """Return the id of the report that stands for a bulletin; it is the same in every export."""
    return f"report--{uuid5(_REPORTS, f'{originator}/{bulletin}')}"


def identity_of(member: str) -> Json:
    """Return the identity that stands for a member."""
    return {
        "type": "identity",
        "spec_version": "2.1",
        "id": f"identity--{uuid5(_MEMBERS, member)}",
        "created": _MEMBER_SINCE,
        "modified": _MEMBER_SINCE,
        "name": member,
        "identity_class": "organization",
    }


def stix_time(at: Instant) -> str:
    """Return a time as STIX writes it, to the millisecond."""
    moment = to_datetime(at).astimezone(UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"


def write_report(shared: Shared, registry: Registry) -> tuple[Json, ...]:
    """Return the objects of a bulletin: marking definitions, the identity of its originator, then what is
    marked.

    The last one is the report. An object in several portions appears once, with the label that covers all of
    theirs. Raises LabelError for content or labels that the node would not have accepted.
    """
    objects: dict[str, Carried] = {}
    for found in _contents(shared, registry):
        known = objects.get(found.subject["id"])
        objects[found.subject["id"]] = found if known is None else _both(known, found, shared, registry)
    marked = [mark_carried(one, registry) for one in objects.values()]
    marked.append(_report(shared, list(objects), registry))
    definitions = {each["id"]: each for one in marked for each in one.definitions}
    return (
        *(definitions[name] for name in sorted(definitions)),
        identity_of(shared.originator),
        *(one.subject for one in marked),
    )


def write_bundle_of(objects: Iterable[Json]) -> Json:
    """Return the bundle of these objects; its id is derived from them."""
    kept = list(objects)
    names = "\n".join(f"{one['id']} {one.get('modified', '')}" for one in kept)
    return {"type": "bundle", "id": f"bundle--{uuid5(_BUNDLES, names)}", "objects": kept}


@dataclass(frozen=True, slots=True)
class Carried:
    """A foreign object, the label for all of it, and the terms of use with which it came."""

    subject: Json
    label: Label
    terms: tuple[Json, ...] = ()


def mark_carried(one: Carried, registry: Registry) -> Marked:
    """Return the object with its label and its terms, and no other marking."""
    bare = {name: value for name, value in one.subject.items() if name not in _MARKINGS}
    marked = mark(bare, {WHOLE: one.label}, registry)
    refs = [*marked.subject["object_marking_refs"], *(each["id"] for each in one.terms)]
    return Marked({**marked.subject, "object_marking_refs": refs}, (*marked.definitions, *one.terms))


def terms_of(
    subject: Json, definitions: Mapping[str, Json], registry: Registry, *, source: str
) -> tuple[Json, ...]:
    """Return the terms of use among an object's markings. Raises LabelError as ``labels.MarkingReader``."""
    reader = MarkingReader(definitions.values(), registry, source=source)
    return tuple([_terms(text) for text in reader.terms(subject)])


def _terms(text: str) -> Json:
    """Return the definition of these terms, with an id derived from them: any other id could be somebody
    else's.
    """
    return {
        "type": "marking-definition",
        "spec_version": "2.1",
        "id": f"marking-definition--{uuid5(_TERMS, text)}",
        "created": _MEMBER_SINCE,
        "definition_type": "statement",
        "definition": {"statement": text},
    }


def is_ours(subject: Json) -> bool:
    """Return true if the object is always the same: the identity of a member, or a definition."""
    if subject["type"] == "marking-definition":
        return True
    return subject["type"] == "identity" and subject == identity_of(str(subject.get("name")))


def _both(one: Carried, other: Carried, shared: Shared, registry: Registry) -> Carried:
    """Return one object for two portions that contain it."""
    label = combine((one.label, other.label), registry, shared.created, source=shared.bulletin)
    terms = {each["id"]: each for each in (*one.terms, *other.terms)}
    return Carried(other.subject, label, tuple(terms.values()))


def _contents(shared: Shared, registry: Registry) -> Iterator[Carried]:
    """Yield what the portions contain besides the title and the first text."""
    texts = [one for one in shared.portions if one.kind == PortionKind.TEXT]
    for number, portion in enumerate(texts[1:], 2):
        yield Carried(_text_report(shared, portion, number), portion.label)
    for portion in shared.portions:
        if portion.kind == PortionKind.FILE:
            yield Carried(_artifact(shared, portion), portion.label)
        elif portion.kind == PortionKind.STIX:
            yield from _inner(portion, identity_of(shared.originator)["id"], registry)


def _inner(portion: SharedPortion, author: str, registry: Registry) -> Iterator[Carried]:
    """Yield the objects of a STIX portion. The portion's label covers theirs (``labels.check_stix``)."""
    objects = stix_objects(portion.text)
    definitions = {one["id"]: one for one in objects if one["type"] == "marking-definition"}
    for subject in objects:
        # An object with the id of a member's identity must be that identity, or it is dropped.
        if subject["type"] != "marking-definition" and subject["id"] != author:
            terms = terms_of(subject, definitions, registry, source="STIX portion")
            yield Carried(subject, portion.label, terms)


def _report(shared: Shared, refs: Sequence[str], registry: Registry) -> Marked:
    title = shared.title
    text = next((one for one in shared.portions if one.kind == PortionKind.TEXT), None)
    subject = _bare_report(shared, report_id(shared.originator, shared.bulletin), refs)
    subject["name"] = f"Bulletin {shared.bulletin[:8]}" if title is None else title.text
    if text is not None:
        subject["description"] = text.text
    subject |= _about(shared.portions)
    labels = {WHOLE: shared.banner}
    for selector, portion in (("name", title), ("description", text)):
        if portion is not None and (label := _beside(shared.banner, portion.label)) is not None:
            labels[selector] = label
    return mark(subject, labels, registry)


def _beside(whole: Label, label: Label) -> Label | None:
    """Return the label that a portion's marking states beside that of the whole, or None if the whole's
    applies.
    """
    stated = replace(label, tlp=label.tlp or whole.tlp)
    return None if stated.level is None and whole.level is not None else stated


def _about(portions: Sequence[SharedPortion]) -> dict[str, Any]:
    """Return categories, flags and grade as labels, in the words of MISP's taxonomy where it has them."""
    words = [word for one in portions for word in (one.category, *one.flags) if word]
    grades = sorted({one.grade for one in portions if one.grade})
    for grade in grades:
        words.append(f'admiralty-scale:source-reliability="{grade[0].lower()}"')
        words.append(f'admiralty-scale:information-credibility="{grade[1]}"')
    about: dict[str, Any] = {"labels": list(dict.fromkeys(words))} if words else {}
    if len(grades) == 1 and grades[0][1] in _CONFIDENCE:
        about["confidence"] = _CONFIDENCE[grades[0][1]]
    return about


def _text_report(shared: Shared, portion: SharedPortion, number: int) -> Json:
    subject = _bare_report(shared, f"report--{_content_id(shared, portion)}", ())
    return {
        **subject,
        "name": f"Bulletin {shared.bulletin[:8]}, text {number}",
        "description": portion.text,
        **_about([portion]),
    }


def _bare_report(shared: Shared, name: str, refs: Sequence[str]) -> dict[str, Any]:
    at, author = stix_time(shared.created), identity_of(shared.originator)["id"]
    return {
        "type": "report",
        "spec_version": "2.1",
        "id": name,
        "created_by_ref": author,
        "created": at,
        "modified": at,
        "published": at,
        "object_refs": list(dict.fromkeys((author, *refs))),
    }


def _artifact(shared: Shared, portion: SharedPortion) -> Json:
    return {
        "type": "artifact",
        "spec_version": "2.1",
        "id": f"artifact--{_content_id(shared, portion)}",
        "mime_type": portion.media.partition(";")[0].strip() or "application/octet-stream",
        "payload_bin": b64encode(portion.content).decode("ascii"),
    }


def _content_id(shared: Shared, portion: SharedPortion) -> UUID:
    """Return an id by content: two readers may see different portions, and one portion under different
    numbers.
    """
    digest = sha256(portion.media.encode() + b"\x00" + portion.content).hexdigest()
    return uuid5(_REPORTS, f"{shared.originator}/{shared.bulletin}/{portion.kind:d}/{digest}")
