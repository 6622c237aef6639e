"""The gateway's HTTP: checks who asks, how often, and for what. Everything else is in ``taxii`` and
``stock``.
"""

from __future__ import annotations

import asyncio
import binascii
import hmac
import logging
import time
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from intelshare.errors import IntelshareError
from intelshare.gateway.config import ConsumerSettings, GatewaySettings
from intelshare.gateway.shelf import BulletinKey
from intelshare.gateway.stock import Stock
from intelshare.gateway.taxii import (
    MAX_QUERY,
    PAGES,
    TAXII,
    Answer,
    Page,
    TaxiiError,
    Wanted,
    check_accept,
    check_range,
    choose,
    collection_body,
    error_answer,
    read_query,
)
from intelshare.interop import Json, write_hashes, write_manifest

ROOT: Final = "intelshare"
"""The only API root."""

_TRIES: Final = 4
"""The most times that a page is built again because the node has since said that the consumer may
have less.
"""

_log = logging.getLogger("intelshare.gateway")


@dataclass(slots=True)
class Bucket:
    """Limits the requests per minute, and as many at once."""

    most: int
    left: float = 0.0
    at: float = field(default=-1e9)

    def take(self, now: float) -> bool:
        """Take one request; return true if there was one left."""
        self.left = min(self.most, self.left + (now - self.at) * self.most / 60)
        self.at = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


class Web:
    """The ASGI application."""

    def __init__(self, settings: GatewaySettings, stock: Stock, url: str) -> None:
        self._settings, self._stock, self._url = settings, stock, url
        self._buckets = {one.name: Bucket(settings.limits.requests) for one in settings.consumers}
        self._strangers = Bucket(settings.limits.requests)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; its body is never read."""
        if scope["type"] != "http":
            raise RuntimeError(f"{scope['type']} is not served")
        request = Request(scope)
        answer = await self._answer(request)
        headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", **answer.headers}
        data = b"" if request.method == "HEAD" else answer.data
        await Response(data, answer.status, headers, answer.media)(scope, receive, send)

    async def _answer(self, request: Request) -> Answer:
        try:
            consumer = self._consumer(request)
            if not self._buckets[consumer.name].take(time.monotonic()):
                raise TaxiiError(429, "RATE", "too many requests in this minute")
            if not request.url.path.startswith("/misp/"):
                check_accept(request.headers.get("accept", ""))
            check_range(request.headers.get("range", ""))
            return await self._resource(consumer, request)
        except TaxiiError as error:
            return error_answer(error, _HEADERS.get(error.status))
        except IntelshareError as error:
            _log.warning("unavailable %s", error.code)
            return error_answer(TaxiiError(503, "NODE_UNREACHABLE", "the node does not answer"), _LATER)
        except Exception:
            _log.exception("defect")
            return error_answer(TaxiiError(500, "INTERNAL", "a defect: the gateway's log has the details"))

    def _consumer(self, request: Request) -> ConsumerSettings:
        """Return the caller: Bearer TOKEN, or Basic with the token as the password. Raises TaxiiError 401,
        429.
        """
        name, token = _credentials(request.headers.get("authorization", ""))
        given = sha256(token).hexdigest()
        found = None
        for one in self._settings.consumers:
            if hmac.compare_digest(one.token_sha256, given) and name in (None, one.name):
                found = one
        if found is not None:
            return found
        if not self._strangers.take(time.monotonic()):
            raise TaxiiError(429, "RATE", "too many refused logins")
        raise TaxiiError(401, "NOT_AUTHORISED", "a token for this gateway is required")

    async def _resource(self, consumer: ConsumerSettings, request: Request) -> Answer:
        path = [part for part in request.url.path.split("/") if part]
        if len(str(request.url.query)) > MAX_QUERY:
            raise TaxiiError(400, "TOO_LARGE", f"a query may have at most {MAX_QUERY} characters")
        if request.method not in ("GET", "HEAD"):
            raise _not_to_be_written(path, request)
        if path == ["taxii2"]:
            root = f"{self._url}/{ROOT}/"
            return Answer(200, {"title": "intelshare gateway", "default": root, "api_roots": [root]})
        if not self._stock.ready:
            raise TaxiiError(
                503, "NODE_UNREACHABLE", "the gateway has not received everything from its node yet"
            )
        match path:
            case ["intelshare"]:
                return Answer(200, {"title": "intelshare", "versions": [TAXII], "max_content_length": 1})
            case ["intelshare", "collections"]:
                found = await asyncio.to_thread(self._stock.collections, consumer.name)
                return Answer(200, {"collections": [collection_body(one) for one in found]})
            case ["intelshare", "collections", collection]:
                found = await asyncio.to_thread(self._stock.collections, consumer.name)
                for one in found:
                    if one.id == collection:
                        return Answer(200, collection_body(one))
            case ["intelshare", "collections", collection, ("objects" | "manifest") as what]:
                return await self._page(consumer, collection, what, self._wanted(request))
            case ["intelshare", "collections", collection, "objects", name]:
                return await self._one(consumer, collection, "objects", name, request)
            case ["intelshare", "collections", collection, "objects", name, "versions"]:
                return await self._one(consumer, collection, "versions", name, request)
            case ["misp", name]:
                return await asyncio.to_thread(self._misp, consumer.name, name)
        raise _absent()

    def _misp(self, consumer: str, name: str) -> Answer:
        """Return a file of the feed. Raises TaxiiError 404, 503; IntelshareError."""
        for _ in range(_TRIES):
            found = self._stock.events(consumer)
            if name not in _FEED:
                found = [one for one in found if f"{one[1]['Event']['uuid']}.json" == name]
            if not self._stock.confirm(consumer, [key for key, _ in found]):
                continue
            events = [event for _, event in found]
            _log.info("gave %s misp %d", consumer, len(events))
            if name in _FEED:
                return _FEED[name](events)
            if events:
                return Answer(200, events[0], media=_JSON)
            raise _absent()
        raise _changing()

    def _wanted(self, request: Request) -> Wanted:
        return read_query(request.query_params.multi_items(), self._settings.limits.page)

    async def _one(
        self, consumer: ConsumerSettings, collection: str, what: str, name: str, request: Request
    ) -> Answer:
        wanted = self._wanted(request)
        versions = frozenset(("all",)) if what == "versions" else wanted.versions
        only = Wanted(
            wanted.limit, wanted.after, frozenset((name,)), frozenset(), wanted.spec_versions, versions
        )
        answer = await self._page(consumer, collection, what, only)
        if not answer.body and not wanted.after:
            raise _absent()
        return answer

    async def _page(self, consumer: ConsumerSettings, collection: str, what: str, wanted: Wanted) -> Answer:
        page = await asyncio.to_thread(self._confirmed, consumer.name, collection, wanted)
        _log.info("gave %s %s %d", consumer.name, what, len(page.listed))
        return PAGES[what](page)

    def _confirmed(self, consumer: str, collection: str, wanted: Wanted) -> Page:
        """Return a page that the node lets the consumer have. Raises TaxiiError 404, 503; IntelshareError."""
        if collection not in [one.id for one in self._stock.collections(consumer)]:
            raise _absent()
        for _ in range(_TRIES):
            page = choose(self._stock.listed(consumer), collection, wanted, self._settings.limits.page_bytes)
            keys: list[BulletinKey] = [key for one in page.listed for key in one.keys]
            if self._stock.confirm(consumer, keys):
                return page
        raise _changing()


_JSON: Final = "application/json"
_FEED: Final[Mapping[str, Callable[[Sequence[Json]], Answer]]] = {
    "manifest.json": lambda events: Answer(200, write_manifest(events), media=_JSON),
    "hashes.csv": lambda events: Answer(200, {}, media="text/csv", text=write_hashes(events)),
}
"""The files of a feed that MISP fetches before its events."""
_LATER: Final[Mapping[str, str]] = {"Retry-After": "10"}
_HEADERS: Final[Mapping[int, Mapping[str, str]]] = {
    401: {"WWW-Authenticate": 'Basic realm="intelshare", charset="UTF-8"'},
    429: _LATER,
    503: _LATER,
}


def _credentials(text: str) -> tuple[str | None, bytes]:
    """Return the name, if one is given, and the token; if nothing fits, a token that matches none."""
    scheme, _, rest = text.strip().partition(" ")
    if scheme.lower() == "bearer":
        return None, rest.strip().encode("utf-8", "replace")
    if scheme.lower() == "basic":
        try:
            name, _, token = b64decode(rest.strip(), validate=True).partition(b":")
        except (binascii.Error, ValueError):
            return None, b""
        return name.decode("utf-8", "replace"), token
    return None, b""


def _not_to_be_written(path: list[str], request: Request) -> TaxiiError:
    if path[:2] != ["intelshare", "collections"]:
        return TaxiiError(405, "INPUT_INVALID", "only GET is supported")
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.method == "POST" and media != "application/taxii+json":
        return TaxiiError(415, "INPUT_INVALID", f"the content type of a request must be {TAXII}")
    return TaxiiError(403, "NOT_AUTHORISED", "collections are read-only; analysts send with intelshare send")


def _changing() -> TaxiiError:
    return TaxiiError(503, "RATE", "what this consumer may have is changing")


def _absent() -> TaxiiError:
    return TaxiiError(404, "NOT_FOUND", "this does not exist, or not for this consumer")
