"""Writes a bulletin about a disaster as an alert (OASIS, Common Alerting Protocol 1.2). Alerts are not read.

An alert that not everybody may have is Restricted, with the banner as its restriction.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC
from typing import Final
from xml.sax.saxutils import escape

from intelshare.crypto.records import PortionKind
from intelshare.errors import DeliveryError, Place
from intelshare.instant import NEVER, Instant, to_datetime
from intelshare.interop.values import Shared
from intelshare.labels import CLEAR, Label, Reference, Registry, format_banner, level_reference

CATEGORIES: Final = {"climate-disaster": ("Met", "Geo", "Rescue"), "health": ("Health",)}
"""The subject categories for which there are alerts, with the categories of CAP."""

_CERTAINTY: Final = {"1": "Observed", "2": "Likely", "3": "Possible", "4": "Unlikely", "5": "Unlikely"}
"""The certainty by the credibility in an Admiralty grade."""

_CONTROL: Final = dict.fromkeys(range(32)) | {9: " ", 10: "\n", 13: None, 0xFFFE: None, 0xFFFF: None}
"""The characters that an XML document must not contain."""


def write_cap(shared: Shared, registry: Registry, expires: Instant = NEVER) -> bytes:
    """Return the alert in UTF-8. Raises DeliveryError INPUT_INVALID for a bulletin of another category."""
    words = sorted({one.category for one in shared.portions} & CATEGORIES.keys())
    if not words:
        raise DeliveryError(
            "INPUT_INVALID",
            "a CAP alert is about a disaster or about health",
            place=Place(shared.bulletin),
            hint="bulletins of the categories " + ", ".join(sorted(CATEGORIES)) + " become alerts",
        )
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', '<alert xmlns="urn:oasis:names:tc:emergency:cap:1.2">']
    lines += [f"  {_element(name, text)}" for name, text in _head(shared, registry)]
    lines.append("  <info>")
    lines += [f"    {_element(name, text)}" for name, text in _info(shared, words, expires)]
    lines += ["  </info>", "</alert>", ""]
    return "\n".join(lines).encode("utf-8", "xmlcharrefreplace")


def is_public(label: Label, registry: Registry, at: Instant) -> bool:
    """Return true if anybody may have it: unclassified, without any list, control or stricter TLP word."""
    free = not (label.controls or label.releasable_to or label.displayable_to or label.fgi)
    low = label.level is None or level_reference(label, registry, at) == Reference.R0
    return free and low and label.tlp in (None, CLEAR) and (label.level is not None or label.tlp == CLEAR)


def cap_time(at: Instant) -> str:
    """Return a time as CAP writes it: to the second, and with an offset; a Z is not allowed."""
    return f"{to_datetime(at).astimezone(UTC):%Y-%m-%dT%H:%M:%S}+00:00"


def _head(shared: Shared, registry: Registry) -> Iterator[tuple[str, str]]:
    yield "identifier", f"intelshare.{shared.originator}.{shared.bulletin}"
    yield "sender", f"{shared.originator.lower()}.intelshare"
    yield "sent", cap_time(shared.created)
    yield "status", "Actual"
    yield "msgType", "Alert"
    if is_public(shared.banner, registry, shared.created):
        yield "scope", "Public"
    else:
        yield "scope", "Restricted"
        yield "restriction", format_banner(shared.banner, registry)


def _info(shared: Shared, words: list[str], expires: Instant) -> Iterator[tuple[str, str]]:
    for category in dict.fromkeys(one for word in words for one in CATEGORIES[word]):
        yield "category", category
    yield "event", ", ".join(words)
    yield "urgency", "Unknown"
    yield "severity", "Unknown"
    grades = [one.grade for one in shared.portions if one.grade]
    yield "certainty", _CERTAINTY.get(grades[0][1], "Unknown") if grades else "Unknown"
    if expires != NEVER:
        yield "expires", cap_time(expires)
    yield "senderName", shared.originator
    if shared.title is not None:
        yield "headline", shared.title.text
    texts = [one.text for one in shared.portions if one.kind == PortionKind.TEXT]
    if texts:
        yield "description", "\n\n".join(texts)


def _element(name: str, text: str) -> str:
    return f"<{name}>{escape(text.translate(_CONTROL))}</{name}>"
