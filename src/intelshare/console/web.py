"""The HTTP of the console: only GET, only from this machine, the same headers in every answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from intelshare.console.documents import DOCUMENTS, Kept
from intelshare.console.feed import Feed
from intelshare.console.guard import HEADERS, MAX_QUERY, Guard
from intelshare.console.nodes import Nodes
from intelshare.console.pages import Served
from intelshare.errors import DeliveryError, IntelshareError

AT_ONCE: Final = 8
"""Documents that are made at the same time."""

_log = logging.getLogger("intelshare.console")

_STATUS: Final[Mapping[str, int]] = {
    "CONSOLE_TOKEN": 401,
    "CONSOLE_HOST": 403,
    "CONSOLE_ORIGIN": 403,
    "INPUT_INVALID": 400,
    "NOT_AUTHORISED": 403,
    "NOT_FOUND": 404,
    "RATE": 429,
    "TOO_LARGE": 413,
}
"""Any other code: the node does not answer as it should, 503."""


class Web:
    """The ASGI application."""

    def __init__(self, guard: Guard, nodes: Nodes, feed: Feed, pages: Mapping[str, Served]) -> None:
        self._guard, self._feed, self._pages = guard, feed, pages
        self._kept = Kept(nodes)
        self._room = asyncio.Semaphore(AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; nothing of its body is read."""
        if scope["type"] != "http":
            raise RuntimeError(f"{scope['type']} is not served")
        answer = await self._answer(Request(scope))
        answer.headers.update(HEADERS)
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        try:
            return await self._resource(request)
        except IntelshareError as error:
            return _refused(error, _STATUS.get(error.code, HTTPStatus.SERVICE_UNAVAILABLE))
        except Exception:
            _log.exception("defect")
            return _refused(
                DeliveryError("INTERNAL", "a defect: the terminal says more"),
                HTTPStatus.INTERNAL_SERVER_ERROR,
            )

    async def _resource(self, request: Request) -> Response:
        self._guard.check_place(request.headers)
        if request.method != "GET":
            error = DeliveryError("INPUT_INVALID", "the console is only read: GET")
            return _refused(error, HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": "GET"})
        path, query = request.url.path, request.query_params
        if len(request.url.query) > MAX_QUERY:
            raise DeliveryError("TOO_LARGE", f"a query has at most {MAX_QUERY} characters")
        try:
            if path == "/" and "token" in query:
                entered = self._guard.enter(query["token"])
                return Response(status_code=303, headers={"Location": "/", "Set-Cookie": entered})
            self._guard.check_session(request.cookies)
        except DeliveryError:
            if path != "/":
                raise
            # A person reads this one.
            return Response(_ENTRY, 401, media_type="text/plain")
        if path in self._pages:
            page = self._pages[path]
            return Response(page.data, media_type=page.media)
        if path == "/events":
            if self._feed.full:
                raise DeliveryError("RATE", "too many pages are open")
            return StreamingResponse(self._feed.events(), media_type="text/event-stream")
        view = path.removeprefix("/data/")
        if not path.startswith("/data/") or view not in DOCUMENTS:
            raise DeliveryError("NOT_FOUND", "the console has no such page")
        asked = dict(query.items())
        async with self._room:
            return Response(
                await asyncio.to_thread(self._kept.document, view, asked), media_type="application/json"
            )


_ENTRY: Final = (
    "intelshare console\n\nThis browser has not been let in. Open the address that `intelshare console`\n"
    "printed; each opens the console once. Press Enter in that terminal for another one.\n"
)


def _refused(error: IntelshareError, status: int, headers: Mapping[str, str] | None = None) -> Response:
    body: dict[str, Any] = {"code": error.code, "message": error.message, "hint": error.hint or ""}
    return JSONResponse(body, status, headers)
