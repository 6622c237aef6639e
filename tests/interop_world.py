"""Bulletins for programs of other kinds, made by hand, and what the validators of those programs say."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from typing import Any

from intelshare.builtin import builtin_registry
from intelshare.crypto.records import PortionKind
from intelshare.instant import parse
from intelshare.interop import Shared, SharedPortion, write_bundle_of
from intelshare.labels import parse_label, rollup

REGISTRY = builtin_registry()
AT = parse("2026-03-01T12:00:00Z")
SECRET = "//FRA SECRET//REL TO FRA, USA"
RESTRICTED = "//FRA DIFFUSION RESTREINTE//REL TO FRA, USA"
INDICATOR = {
    "type": "indicator",
    "spec_version": "2.1",
    "id": "indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f",
    "created": "2026-02-01T00:00:00.000Z",
    "modified": "2026-02-01T00:00:00.000Z",
    "name": "kit",
    "indicator_types": ["malicious-activity"],
    "pattern": "[ipv4-addr:value = '198.51.100.3']",
    "pattern_type": "stix",
    "valid_from": "2026-02-01T00:00:00Z",
}


def portion(
    label: str = SECRET,
    content: str | bytes = "The dam at Lokoja",
    kind: PortionKind = PortionKind.TEXT,
    **given: Any,
) -> SharedPortion:
    data = content.encode() if isinstance(content, str) else content
    usual: dict[str, Any] = {"category": "cyber", "flags": (), "grade": "", "media": "text/plain"}
    return SharedPortion(kind=kind, label=parse_label(label, REGISTRY), content=data, **usual | given)


def bulletin(*portions: SharedPortion, originator: str = "FRA", number: int = 7) -> Shared:
    banner = rollup(originator, AT, [one.label for one in portions], REGISTRY)
    return Shared(f"{number:032x}", originator, AT, banner, portions)


def stix_portion(*objects: Any, label: str = SECRET) -> SharedPortion:
    text = json.dumps({"type": "bundle", "id": "bundle--1", "objects": objects})
    return portion(label, text, PortionKind.STIX, media="application/stix+json;version=2.1")


def complaints(objects: Iterable[Any]) -> list[str]:
    """What stix2-validator says is wrong with a bundle of these objects."""
    import stix2validator

    # The validator speaks to whoever listens to the root logger.
    logging.getLogger("stix2validator").setLevel(logging.CRITICAL)
    text = json.dumps(write_bundle_of(list(objects)))
    options = stix2validator.ValidationOptions(version="2.1", silent=True)
    found = stix2validator.validate_string(text, options)
    return [str(error) for one in found.object_results for error in one.errors] if not found.is_valid else []
