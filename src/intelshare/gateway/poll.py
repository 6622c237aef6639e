"""Poll: turns what is new at a TAXII server or a MISP feed into drafts for an analyst. It sends nothing.

It contacts only the hosts in its file: no redirect is followed, and no address from an answer is fetched.
Refused entries are named, and the entries after them are still read.
"""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit
from uuid import UUID

from intelshare.errors import DeliveryError, IntelshareError, Place
from intelshare.gateway.config import is_loopback
from intelshare.instant import Instant
from intelshare.interop import Imported, MarkingTable, read_misp, read_stix
from intelshare.labels import Registry
from intelshare.private_files import read_trusted
from intelshare.toml import Table, read_table

MAX_SOURCES: Final = 32
MAX_ANSWER: Final = 16 << 20
"""The most bytes of one answer."""
MAX_DEFINITIONS: Final = 200
"""The marking definitions of one source that are remembered."""
MAX_PAGES: Final = 1000
"""The most pages, or events, of one source in one run; the next run continues."""
PAGE: Final = 50
"""The objects asked for at once: one draft."""
TIMEOUT: Final = 30.0
TAXII: Final = "application/taxii+json;version=2.1"
_KINDS: Final = ("taxii", "misp")


@dataclass(frozen=True, slots=True)
class PollSource:
    """One collection or feed."""

    name: str
    kind: str
    url: str
    """The address of the collection (taxii), or of the folder of the feed (misp), without a slash at
    its end.
    """
    user: str
    token: Path | None
    category: str


@dataclass(frozen=True, slots=True)
class Polled:
    """The result of one page or event: parts of a draft, or why there is none."""

    name: str
    """The name of the draft's folder, unique in its source."""
    draft: Imported | None
    error: IntelshareError | None
    state: Mapping[str, Any]
    """Where the next run begins once this is done."""


def parse_sources(text: str, name: str, here: Path) -> tuple[PollSource, ...]:
    """Return the sources in a file. Raises PolicyFileError with the place of what is wrong."""
    top = read_table(text, name)
    found: list[PollSource] = []
    for row in top.tables("source"):
        found.append(
            PollSource(
                name=_name(row, [one.name for one in found]),
                kind=row.choice("kind", str, _KINDS),
                url=_url(row),
                user=row.text_or("user", ""),
                token=here / row.text("token_file") if row.has("token_file") else None,
                category=row.text("category"),
            )
        )
        row.close()
    if not 1 <= len(found) <= MAX_SOURCES:
        top.fail("FIELD_RANGE", f"there must be 1 to {MAX_SOURCES} sources: [[source]]")
    top.close()
    return tuple(found)


def _name(row: Table, known: list[str]) -> str:
    name = row.text("name")
    if not name.isascii() or not name.replace("-", "").isalnum() or len(name) > 64 or name in known:
        row.fail("FIELD_RANGE", "the name must be unique, and have only letters, digits and hyphens", "name")
    return name


def _url(row: Table) -> str:
    text = row.text("url")
    parts = urlsplit(text)
    clear = parts.scheme == "http" and is_loopback(parts.hostname or "")
    if not parts.hostname or (parts.scheme != "https" and not clear) or parts.query or parts.username:
        row.fail("FIELD_RANGE", "must be https://HOST/PATH; http is allowed only on this machine", "url")
    return text.rstrip("/")


def poll(
    source: PollSource, state: Mapping[str, Any], table: MarkingTable, registry: Registry, at: Instant
) -> Iterator[Polled]:
    """Yield what is new since ``state``. Raises DeliveryError for a source that does not answer properly."""
    if source.kind == "taxii":
        yield from _taxii(source, state, table, registry, at)
    else:
        yield from _misp(source, dict(state), table, registry, at)


def _taxii(
    source: PollSource, state: Mapping[str, Any], table: MarkingTable, registry: Registry, at: Instant
) -> Iterator[Polled]:
    after = str(state.get("after", ""))
    # A definition comes once, before what it marks, and possibly on an earlier page.
    definitions: dict[str, Any] = dict(state.get("definitions", {}))
    for _ in range(MAX_PAGES):
        query = f"?limit={PAGE}" + (f"&added_after={quote(after)}" if after else "")
        body, headers = _get(source, f"{source.url}/objects/{query}", TAXII)
        objects = body.get("objects") or []
        last = headers.get("X-TAXII-Date-Added-Last", "")
        if not objects:
            return
        if not last or last == after:
            raise _odd(source, "it does not say when the last object was added")
        after = last
        subjects = [one for one in objects if not _is_definition(one)]
        definitions |= {str(one.get("id")): one for one in objects if _is_definition(one)}
        if len(definitions) > MAX_DEFINITIONS:
            raise _odd(source, f"more than {MAX_DEFINITIONS} marking definitions")
        if subjects:
            bundle = {"type": "bundle", "id": "bundle--0", "objects": [*definitions.values(), *subjects]}
            now = {"after": after, "definitions": definitions}
            yield _read(read_stix, json.dumps(bundle), after, now, (source, table, registry, at))
        if not body.get("more"):
            return


def _is_definition(one: object) -> bool:
    return isinstance(one, Mapping) and one.get("type") == "marking-definition"


def _misp(
    source: PollSource, seen: dict[str, Any], table: MarkingTable, registry: Registry, at: Instant
) -> Iterator[Polled]:
    manifest, _ = _get(source, f"{source.url}/manifest.json", "application/json")
    count = 0
    for name, about in manifest.items():
        stamp = str(about.get("timestamp", "")) if isinstance(about, Mapping) else ""
        # Only a UUID becomes part of an address.
        if _uuid(name) is None or seen.get(name) == stamp or (count := count + 1) > MAX_PAGES:
            continue
        event, _ = _get(source, f"{source.url}/{_uuid(name)}.json", "application/json")
        seen = {**seen, name: stamp}
        yield _read(read_misp, json.dumps(event), f"{name}-{stamp}", seen, (source, table, registry, at))


def _read(
    read: Any,
    text: str,
    name: str,
    state: Mapping[str, Any],
    given: tuple[PollSource, MarkingTable, Registry, Instant],
) -> Polled:
    source, table, registry, at = given
    folder = "".join(letter if letter.isalnum() else "-" for letter in name)[:120]
    try:
        return Polled(folder, read(text, table, registry, at, source=f"{source.name} {name}"), None, state)
    except IntelshareError as error:
        return Polled(folder, None, error, state)


def _uuid(text: str) -> str | None:
    try:
        return str(UUID(text))
    except ValueError:
        return None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _get(source: PollSource, url: str, accept: str) -> tuple[dict[str, Any], Mapping[str, str]]:
    """Return a JSON object and the headers. Raises DeliveryError POLL_FAILED."""
    headers = {"Accept": accept, "User-Agent": "intelshare"}
    if source.token is not None:
        token = read_trusted(source.token, secret=True).decode("utf-8").strip()
        basic = b64encode(f"{source.user}:{token}".encode()).decode("ascii")
        headers["Authorization"] = f"Basic {basic}" if source.user else f"Bearer {token}"
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=ssl.create_default_context()),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
        _NoRedirect(),
    ):
        opener.add_handler(handler)
    try:
        with opener.open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT) as answer:  # noqa: S310
            data = answer.read(MAX_ANSWER + 1)
            found = dict(answer.headers.items())
    except (OSError, ValueError) as error:
        status = error.code if isinstance(error, urllib.error.HTTPError) else type(error).__name__
        raise _odd(source, f"it did not answer: {status}") from None
    if len(data) > MAX_ANSWER:
        raise _odd(source, f"an answer has more than {MAX_ANSWER >> 20} MiB")
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise _odd(source, "the answer is not a JSON object")
    return body, {name.title(): value for name, value in found.items()} | found


def _odd(source: PollSource, message: str) -> DeliveryError:
    hint = "check the address and the token; earlier drafts are kept"
    return DeliveryError("POLL_FAILED", message, place=Place(source.name), hint=hint)
