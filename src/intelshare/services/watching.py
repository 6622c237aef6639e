"""Watch and search for analysts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from intelshare.broker.kernel.actor import Actor
from intelshare.broker.kernel.cursor import open_cursor, seal_cursor
from intelshare.broker.queries.lists import InboxQuery
from intelshare.broker.queries.search import (
    Match,
    SearchQuery,
    Where,
    place_bytes,
    search,
    search_place_of,
    words_of,
)
from intelshare.broker.queries.waiting import waiting_for
from intelshare.broker.queries.watch import (
    Cursor,
    Happened,
    Watched,
    cursor_text,
    end_of_log,
    parse_cursor,
    watch,
)
from intelshare.errors import DeliveryError
from intelshare.services.backend import Backend
from intelshare.services.shown import waiting_message
from intelshare.wire.v1 import user_pb2 as pb

METHOD: Final = "Bulletins/Watch"

MAX_WATCHES: Final = 8
"""The most open watches of one user."""

BEAT: Final = 20.0
"""The seconds after which a watch sends its cursor although nothing happened."""


async def watch_log(backend: Backend, actor: Actor, request: pb.WatchRequest) -> AsyncIterator[pb.WatchEvent]:
    """Yield what happens from a position in the log onwards, for ever or until everything has been sent."""
    with backend.open_call(METHOD, actor.user, MAX_WATCHES):
        if request.cursor:
            cursor = parse_cursor(backend.node, actor, request.cursor)
        else:
            cursor = await backend.query(lambda view: end_of_log(backend.node, view))
        async for event in _follow(backend, actor, cursor, once=request.once):
            yield event


async def _follow(
    backend: Backend, actor: Actor, cursor: Cursor, *, once: bool
) -> AsyncIterator[pb.WatchEvent]:
    loop = asyncio.get_running_loop()
    with backend.committed() as written:
        # Sent first, so that the watcher knows where to continue from the start.
        yield _place(backend, actor, cursor)
        beat = loop.time() + BEAT
        while True:
            written.clear()
            found = await _look(backend, actor, cursor)
            for happened in found.happened:
                yield _event(backend, actor, happened)
                beat = loop.time() + BEAT
            cursor = found.after
            if found.more:
                await asyncio.sleep(0)
                continue
            if once:
                yield _place(backend, actor, cursor)
                return
            try:
                async with asyncio.timeout_at(beat):
                    await written.wait()
            except TimeoutError:
                # By the clock alone, so that the timing reveals nothing that this user may not see.
                yield _place(backend, actor, cursor)
                beat = loop.time() + BEAT


async def _look(backend: Backend, actor: Actor, cursor: Cursor) -> Watched:
    return await backend.query(lambda view: watch(backend.node, view, actor, cursor, backend.now()))


def _place(backend: Backend, actor: Actor, cursor: Cursor) -> pb.WatchEvent:
    return pb.WatchEvent(cursor=cursor_text(backend.node, actor, cursor, backend.random))


def _event(backend: Backend, actor: Actor, happened: Happened) -> pb.WatchEvent:
    return pb.WatchEvent(
        what=happened.what,
        at=happened.at,
        cursor=cursor_text(backend.node, actor, happened.after, backend.random),
        bulletin=happened.bulletin,
        member=happened.member,
        codes=happened.codes,
        banner=happened.banner,
        title=happened.title,
        text=happened.text,
    )


async def search_bulletins(backend: Backend, actor: Actor, request: pb.SearchRequest) -> pb.SearchResponse:
    """Return one page; its end is sealed, because the caller may not be allowed to see the bulletin that it
    names.
    """
    try:
        where = Where(request.where)
    except ValueError as error:
        raise DeliveryError("INPUT_INVALID", str(error)) from None
    before = None
    if request.HasField("before"):
        before = search_place_of(open_cursor(backend.node, actor.user, "search", request.before.md))
    query = SearchQuery(actor, words_of(request.query), where, before)
    node, now = backend.node, backend.now()
    page = await backend.query(lambda view: search(node, view, query, now), slow=True)
    response = pb.SearchResponse(
        matches=[_match(match) for match in page.matches], looked=page.looked, damaged=page.damaged
    )
    if where is Where.INBOX and before is None:
        all_of = InboxQuery()
        waiting = await backend.query(lambda view: waiting_for(node, view, actor, all_of, now), slow=True)
        response.waiting.extend(waiting_message(waiting, all_of.limit))
    if page.before is not None:
        place = place_bytes(page.before)
        response.before.md = seal_cursor(backend.node, actor.user, "search", place, backend.random)
    return response


def _match(match: Match) -> pb.SearchMatch:
    return pb.SearchMatch(
        bulletin=match.bulletin,
        originator=match.member,
        at=match.at,
        banner=match.banner,
        title=match.title,
        excerpt=match.excerpt,
    )
