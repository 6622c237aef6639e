"""Builds the answers of TAXII 2.1: selects from a consumer's list what is asked for, and writes it (OASIS,
TAXII 2.1).

Pure. docs/gateways.md describes what real clients do beyond the standard.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from intelshare.errors import IntelshareError
from intelshare.gateway.shelf import Collection, Listed
from intelshare.instant import EPOCH, Instant, parse, to_datetime

TAXII: Final = "application/taxii+json;version=2.1"
STIX: Final = "application/stix+json;version=2.1"
_ACCEPTED: Final = frozenset(("*/*", "application/*", "application/taxii+json"))
MAX_QUERY: Final = 4096
"""The most characters of a query."""
MAX_VALUES: Final = 256
"""The most values of one filter."""


class TaxiiError(IntelshareError):
    """The error that ends a request; ``status`` is the HTTP status."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(code, message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Wanted:
    """The query of a request."""

    limit: int
    after: Instant = EPOCH
    """Only objects added later are wanted: the later of ``added_after`` and ``next``; some clients
    give both.
    """
    ids: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    spec_versions: frozenset[str] = frozenset()
    versions: frozenset[str] = frozenset(("last",))


@dataclass(frozen=True, slots=True)
class Page:
    """Objects by date, and whether there are more."""

    listed: Sequence[Listed]
    more: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, a body, and headers besides the media type."""

    status: int
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)
    media: str = TAXII
    text: str | None = None
    """A text to send instead of a body."""

    @property
    def data(self) -> bytes:
        """Return the body, in ASCII."""
        if self.text is not None:
            return self.text.encode("ascii")
        return json.dumps(self.body, separators=(",", ":")).encode("ascii")


def check_accept(text: str) -> None:
    """Raise TaxiiError 406 for a client that does not accept TAXII 2.1. Without the header, it accepts
    anything.
    """
    for part in text.split(","):
        media, *parameters = [one.strip().lower() for one in part.split(";")]
        version = next((one for one in parameters if one.startswith("version=")), "version=2.1")
        if (media in _ACCEPTED or not text) and version.replace('"', "") == "version=2.1":
            return
    raise TaxiiError(406, "NOT_ACCEPTABLE", f"this server sends {TAXII}")


def check_range(text: str) -> None:
    """Raise TaxiiError 416 for the ranges of TAXII 2.0; any other unit is ignored, as HTTP requires."""
    if text.strip().lower().startswith("items"):
        raise TaxiiError(416, "RANGE_NOT_SATISFIABLE", "TAXII 2.1 pages by limit and next")


def read_query(query: Sequence[tuple[str, str]], most: int) -> Wanted:
    """Return what a query asks for. Raises TaxiiError 400."""
    known: dict[str, str] = {}
    for name, value in query:
        if name in known:
            raise TaxiiError(400, "INPUT_INVALID", f"{name[:40]!r} stands twice")
        known[name] = value
    return Wanted(
        limit=min(_limit(known.get("limit")) or most, most),
        after=max(_time(known.get("added_after")), _place(known.get("next"))),
        ids=_values(known.get("match[id]")),
        types=_values(known.get("match[type]")),
        spec_versions=_values(known.get("match[spec_version]")),
        versions=_values(known.get("match[version]")) or frozenset(("last",)),
    )


def choose(listed: Iterable[Listed], collection: str, wanted: Wanted, most_bytes: int) -> Page:
    """Return the page of a consumer's list."""
    within = [
        one
        for one in listed
        if collection in one.collections
        and (not wanted.ids or one.id in wanted.ids)
        and (not wanted.types or one.body["type"] in wanted.types)
        and (not wanted.spec_versions or spec_version(one) in wanted.spec_versions)
    ]
    chosen = [one for one in _of_versions(within, wanted.versions) if one.added > wanted.after]
    kept: list[Listed] = []
    size = 0
    for one in chosen[: wanted.limit]:
        size += len(json.dumps(one.body))
        if kept and size > most_bytes:
            break
        kept.append(one)
    return Page(kept, len(kept) < len(chosen))


def objects_answer(page: Page) -> Answer:
    """Return an envelope, which is empty if there are no objects."""
    body: dict[str, Any] = {"objects": [one.body for one in page.listed]} if page.listed else {}
    return _paged(page, body)


def manifest_answer(page: Page) -> Answer:
    """Return the manifest: which objects there are, without their content."""
    records = [
        {
            "id": one.id,
            "date_added": taxii_time(one.added),
            "version": one.version or taxii_time(one.added),
            "media_type": STIX,
        }
        for one in page.listed
    ]
    return _paged(page, {"objects": records} if records else {})


def versions_answer(page: Page) -> Answer:
    """Return the versions of one object."""
    versions = [one.version or taxii_time(one.added) for one in page.listed]
    return _paged(page, {"versions": versions} if versions else {})


def _paged(page: Page, body: dict[str, Any]) -> Answer:
    headers = {}
    if page.more:
        body |= {"more": True, "next": _token(page.listed[-1].added)}
    if page.listed:
        headers = {
            "X-TAXII-Date-Added-First": taxii_time(page.listed[0].added),
            "X-TAXII-Date-Added-Last": taxii_time(page.listed[-1].added),
        }
    return Answer(200, body, headers)


def collection_body(one: Collection) -> dict[str, Any]:
    """Return a collection as a resource, which can be read and never written."""
    return {"id": one.id, "title": one.title, "can_read": True, "can_write": False, "media_types": [STIX]}


def error_answer(error: TaxiiError, headers: Mapping[str, str] | None = None) -> Answer:
    """Return an error message; it has the media type of every answer, or discovery would break in some
    clients.
    """
    body = {
        "title": error.message,
        "error_code": error.code,
        "http_status": str(error.status),
    }
    return Answer(error.status, body, headers or {})


def taxii_time(at: Instant) -> str:
    """Return a time with exactly six digits after the point."""
    return f"{to_datetime(at):%Y-%m-%dT%H:%M:%S.%f}Z"


def spec_version(one: Listed) -> str:
    """Return the version of STIX: an observable without one is of 2.1; in 2.0 observables only exist inside
    others.
    """
    said = one.body.get("spec_version")
    return said if isinstance(said, str) else "2.0" if one.version else "2.1"


def _of_versions(listed: Sequence[Listed], wanted: frozenset[str]) -> list[Listed]:
    if "all" in wanted:
        return list(listed)
    by_id: dict[str, list[Listed]] = {}
    for one in listed:
        by_id.setdefault(one.id, []).append(one)
    kept = set()
    for versions in by_id.values():
        ordered = sorted(versions, key=_version)
        kept |= {id(one) for one in ordered if _time_or_none(one.version) in _times(wanted)}
        kept |= {id(ordered[0])} if "first" in wanted else set()
        kept |= {id(ordered[-1])} if "last" in wanted else set()
    return [one for one in listed if id(one) in kept]


def _version(one: Listed) -> tuple[Instant, Instant]:
    return _time_or_none(one.version) or one.added, one.added


def _times(wanted: frozenset[str]) -> set[Instant]:
    return {_time(one) for one in wanted if one not in ("first", "last", "all")}


def _time_or_none(text: str) -> Instant | None:
    try:
        return parse(text) if text else None
    except ValueError:
        return None


def _limit(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) < 1:
        raise TaxiiError(400, "INPUT_INVALID", "limit must be a number from 1")
    return int(text)


def _time(text: str | None) -> Instant:
    if text is None:
        return Instant(0)
    found = _time_or_none(text)
    if found is None:
        raise TaxiiError(400, "INPUT_INVALID", "must be a time such as 2026-03-01T12:00:00.000000Z")
    return found


def _token(added: Instant) -> str:
    return urlsafe_b64encode(added.to_bytes(8, "big")).decode("ascii").rstrip("=")


def _place(text: str | None) -> Instant:
    if text is None:
        return Instant(0)
    try:
        data = urlsafe_b64decode(text + "=" * (-len(text) % 4)) if text.isascii() and len(text) < 32 else b""
    except ValueError:
        data = b""
    if len(data) != 8:
        raise TaxiiError(400, "INPUT_INVALID", "next must be the value from the previous page")
    return Instant(int.from_bytes(data, "big"))


def _values(text: str | None) -> frozenset[str]:
    values = frozenset(text.split(",")) - {""} if text is not None else frozenset()
    if len(values) > MAX_VALUES:
        raise TaxiiError(400, "TOO_LARGE", f"a filter may have at most {MAX_VALUES} values")
    return values


PAGES: Final[Mapping[str, Callable[[Page], Answer]]] = {
    "objects": objects_answer,
    "manifest": manifest_answer,
    "versions": versions_answer,
}
"""The functions by the last word of the address."""
