"""Writes a bulletin as a MISP event, and events as a feed (MISP core format: manifest.json, events,
hashes.csv).

The distribution is always 0, "your organisation only": the node decides who else may have it. Texts and
attributes carry their labels as marks and tags; the event has the label of the whole.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC
from hashlib import md5, sha256
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from intelshare.crypto.records import PortionKind
from intelshare.instant import SECOND, to_datetime
from intelshare.interop.values import Json, Shared, SharedPortion
from intelshare.labels import Label, Registry, format_banner, format_portion, stix_objects

_EVENTS: Final = uuid5(NAMESPACE_URL, "urn:intelshare:misp")
LABEL_TAG: Final = "intelshare:label="
"""The tag that contains a whole label, in quotes."""

_OBSERVABLES: Final = {
    "ipv4-addr:value": "ip-dst",
    "ipv6-addr:value": "ip-dst",
    "domain-name:value": "domain",
    "url:value": "url",
    "email-addr:value": "email-src",
    "file:name": "filename",
    "file:hashes.MD5": "md5",
    "file:hashes.'SHA-1'": "sha1",
    "file:hashes.'SHA-256'": "sha256",
}
"""The types of MISP by the paths of STIX patterns."""
_PATTERN: Final = re.compile(r"\[([a-z0-9-]{1,40}:[A-Za-z0-9_.'-]{1,60}) {0,4}= {0,4}'([^'\\]{1,2000})'\]")
_ANY_PATTERN: Final = "stix2-pattern"


def event_uuid(originator: str, bulletin: str) -> str:
    """Return the UUID of the event that stands for a bulletin; it is the same in every export."""
    return str(uuid5(_EVENTS, f"{originator}/{bulletin}"))


def write_event(shared: Shared, registry: Registry) -> Json:
    """Return the event file. Raises LabelError for a STIX portion that is not STIX."""
    uuid, title = event_uuid(shared.originator, shared.bulletin), shared.title
    stamp = str(shared.created // SECOND)
    texts = [one for one in shared.portions if one.kind == PortionKind.TEXT]
    return {
        "Event": {
            "uuid": uuid,
            "info": f"Bulletin {shared.bulletin[:8]}" if title is None else title.text,
            "date": f"{to_datetime(shared.created).astimezone(UTC):%Y-%m-%d}",
            "timestamp": stamp,
            "publish_timestamp": stamp,
            "published": True,
            "analysis": "2",
            "threat_level_id": "4",
            "distribution": "0",
            "Orgc": organisation(shared.originator),
            "Tag": [*tags(shared.banner, registry), *_about(shared.portions)],
            "Attribute": list(_attributes(shared, uuid, stamp, registry)),
            "EventReport": [_report(one, uuid, stamp, registry) for one in texts],
        }
    }


def organisation(member: str) -> Json:
    """Return the organisation that stands for a member."""
    return {"name": member, "uuid": str(uuid5(_EVENTS, f"member/{member}"))}


def tags(label: Label, registry: Registry) -> list[Json]:
    """Return a label as tags: the whole label, and its TLP word in MISP's taxonomy."""
    found: list[Json] = [{"name": f'{LABEL_TAG}"{format_banner(label, registry)}"'}]
    if label.tlp is not None:
        found.append({"name": f"tlp:{label.tlp.lower()}"})
    return found


def write_manifest(events: Iterable[Json]) -> dict[str, Any]:
    """Return the feed's manifest.json: for each event, what MISP reads before it fetches the event."""
    kept = ("Orgc", "Tag", "info", "date", "analysis", "threat_level_id", "timestamp", "publish_timestamp")
    return {one["Event"]["uuid"]: {name: one["Event"][name] for name in kept} for one in events}


def write_hashes(events: Iterable[Json]) -> str:
    """Return the feed's hashes.csv: the MD5 of each value, with which MISP correlates, and its event."""
    lines = [
        f"{md5(part.encode(), usedforsecurity=False).hexdigest()},{one['Event']['uuid']}"
        for one in events
        for attribute in one["Event"]["Attribute"]
        for part in attribute["value"].split("|")
    ]
    return "".join(f"{line}\n" for line in lines)


def _about(portions: Iterable[SharedPortion]) -> Iterator[Json]:
    words = [one.category for one in portions if one.category]
    for grade in (one.grade for one in portions if one.grade):
        words.append(f'admiralty-scale:source-reliability="{grade[0].lower()}"')
        words.append(f'admiralty-scale:information-credibility="{grade[1]}"')
    yield from ({"name": word} for word in dict.fromkeys(words))


def _report(portion: SharedPortion, event: str, stamp: str, registry: Registry) -> Json:
    mark = format_portion(portion.label, registry)
    return {
        "uuid": _inner_uuid(event, "report", portion.text),
        "name": mark,
        "content": f"{mark} {portion.text}",
        "distribution": "5",
        "timestamp": stamp,
    }


def _attributes(shared: Shared, event: str, stamp: str, registry: Registry) -> Iterator[Json]:
    for portion in shared.portions:
        for kind, value, data in _values(portion):
            yield {
                "uuid": _inner_uuid(event, kind, f"{format_banner(portion.label, registry)} {value}"),
                "type": kind,
                "category": "External analysis" if kind == "attachment" else "Network activity",
                "value": value,
                "to_ids": kind not in ("attachment", _ANY_PATTERN),
                "distribution": "5",
                "timestamp": stamp,
                "Tag": tags(portion.label, registry),
                **data,
            }


def _values(portion: SharedPortion) -> Iterator[tuple[str, str, Mapping[str, str]]]:
    if portion.kind == PortionKind.FILE:
        name = portion.media.partition("name=")[2] or f"{sha256(portion.content).hexdigest()[:16]}.bin"
        yield "attachment", name, {"data": b64encode(portion.content).decode("ascii")}
    if portion.kind != PortionKind.STIX:
        return
    for subject in stix_objects(portion.text):
        pattern = subject.get("pattern")
        if (
            subject["type"] == "indicator"
            and isinstance(pattern, str)
            and subject.get("pattern_type") == "stix"
        ):
            found = _PATTERN.fullmatch(pattern.strip())
            if found is not None and found[1] in _OBSERVABLES:
                yield _OBSERVABLES[found[1]], found[2], {}
            else:
                yield _ANY_PATTERN, pattern, {}


def _inner_uuid(event: str, kind: str, value: str) -> str:
    return str(uuid5(_EVENTS, f"{event}/{kind}/{value}"))
