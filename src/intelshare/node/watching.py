"""What analysts watch and search, as the Bulletins service answers it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Final

from intelshare.broker.kernel.cursor import open_cursor, seal_cursor
from intelshare.broker.queries.search import (
    Match,
    SearchQuery,
    Where,
    place_bytes,
    place_of,
    search,
    words_of,
)
from intelshare.broker.queries.watch import (
    Cursor,
    Happened,
    cursor_text,
    end_of_log,
    parse_cursor,
    watch,
)
from intelshare.errors import DeliveryError
from intelshare.node.authn import UserCaller
from intelshare.node.rpc_gateway import Answer
from intelshare.node.runtime import Runtime
from intelshare.services.open_calls import OpenCalls
from intelshare.wire.v1 import user_pb2 as pb

MAX_WATCHERS: Final = 8
"""Open watches of one user."""

BEAT: Final = 20.0
"""Seconds after which a watch says where it is although nothing happened."""


def watching(runtime: Runtime) -> Mapping[str, Answer]:
    """Method name -> answer."""
    open_watches = OpenCalls(MAX_WATCHERS, "watches")

    async def watch_(caller: UserCaller, request: pb.WatchRequest) -> AsyncIterator[pb.WatchEvent]:
        with open_watches.one_of(caller.user):
            async for event in _follow(caller, request):
                yield event

    async def _follow(caller: UserCaller, request: pb.WatchRequest) -> AsyncIterator[pb.WatchEvent]:
        query, loop = runtime.store.ask_now, asyncio.get_running_loop()

        def told(at: Cursor) -> str:
            return cursor_text(runtime.node, caller.user, at, runtime.random)

        if request.cursor:
            cursor = parse_cursor(runtime.node, caller.user, request.cursor)
        else:
            cursor = query(lambda view: end_of_log(runtime.node, view))
        with runtime.listening() as written:
            # The watcher knows from the start where it would have to go on.
            yield pb.WatchEvent(cursor=told(cursor))
            beat = loop.time() + BEAT
            while True:
                written.clear()
                found = query(
                    lambda view, at=cursor: watch(runtime.node, view, caller.user, at, runtime.now())  # type: ignore[misc]
                )
                for one in found.happened:
                    yield _event(one, told(one.after))
                    beat = loop.time() + BEAT
                cursor = found.after
                if found.more:
                    await asyncio.sleep(0)
                    continue
                if request.once:
                    yield pb.WatchEvent(cursor=told(cursor))
                    return
                try:
                    async with asyncio.timeout_at(beat):
                        await written.wait()
                except TimeoutError:
                    # By the clock alone: what this user may not see does not show in when it is told.
                    yield pb.WatchEvent(cursor=told(cursor))
                    beat = loop.time() + BEAT

    async def search_(caller: UserCaller, request: pb.SearchRequest) -> pb.SearchResponse:
        try:
            where = Where(request.where)
        except ValueError as error:
            raise DeliveryError("INPUT_INVALID", str(error)) from None
        before = None
        if request.HasField("before"):
            before = place_of(open_cursor(runtime.node, caller.user, "search", request.before.md))
        query = SearchQuery(caller.user, words_of(request.query), where, before)
        page = await asyncio.to_thread(
            runtime.store.ask_now, lambda view: search(runtime.node, view, query, runtime.now())
        )
        following = pb.SearchPlace()
        if page.before is not None:
            place = place_bytes(page.before)
            following.md = seal_cursor(runtime.node, caller.user, "search", place, runtime.random)
        return pb.SearchResponse(
            matches=[_match(match) for match in page.matches],
            before=following if following.md else None,
            looked=page.looked,
        )

    return {"Watch": watch_, "Search": search_}


def _event(one: Happened, cursor: str) -> pb.WatchEvent:
    return pb.WatchEvent(
        what=one.what,
        at=one.at,
        cursor=cursor,
        bulletin=one.bulletin,
        member=one.member,
        codes=one.codes,
        banner=one.banner,
        title=one.title,
        text=one.text,
    )


def _match(one: Match) -> pb.SearchMatch:
    return pb.SearchMatch(
        bulletin=one.bulletin,
        originator=one.member,
        at=one.at,
        banner=one.banner,
        title=one.title,
        excerpt=one.excerpt,
    )
