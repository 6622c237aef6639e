"""What analysts watch and search, as the Bulletins service answers it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from typing import Final

from intelshare.broker.search import Match, Place, Query, Where, search, words_of
from intelshare.broker.watch import Happened, end_of_log, parse_cursor, watch
from intelshare.errors import DeliveryError
from intelshare.ids import UserUri
from intelshare.node.door import Answer, UserCaller
from intelshare.node.shell import Shell
from intelshare.wire.v1 import user_pb2 as pb

MAX_WATCHERS: Final = 8
"""Open watches of one user."""

BEAT: Final = 20.0
"""Seconds after which a watch says where it is although nothing happened."""


def watching(shell: Shell) -> Mapping[str, Answer]:
    """Method name -> answer."""
    open_watches: Counter[UserUri] = Counter()

    async def watch_(caller: UserCaller, request: pb.WatchRequest) -> AsyncIterator[pb.WatchEvent]:
        if open_watches[caller.user] >= MAX_WATCHERS:
            raise DeliveryError(
                "RATE", f"more than {MAX_WATCHERS} watches of one user", hint="end one of them"
            )
        open_watches[caller.user] += 1
        try:
            async for event in _follow(caller, request):
                yield event
        finally:
            open_watches[caller.user] -= 1

    async def _follow(caller: UserCaller, request: pb.WatchRequest) -> AsyncIterator[pb.WatchEvent]:
        query = shell.store.query
        if request.cursor:
            cursor = parse_cursor(request.cursor)
        else:
            cursor = query(lambda view: end_of_log(shell.node, view))
        with shell.listening() as written:
            # The watcher knows from the start where it would have to go on.
            yield pb.WatchEvent(cursor=str(cursor))
            while True:
                written.clear()
                found = query(
                    lambda view, at=cursor: watch(shell.node, view, caller.user, at, shell.now())  # type: ignore[misc]
                )
                for one in found.happened:
                    yield _event(one)
                moved, cursor = found.after != cursor, found.after
                if found.more:
                    await asyncio.sleep(0)
                    continue
                if request.once:
                    yield pb.WatchEvent(cursor=str(cursor))
                    return
                try:
                    await asyncio.wait_for(written.wait(), BEAT)
                except TimeoutError:
                    moved = True
                if moved and not found.happened:
                    yield pb.WatchEvent(cursor=str(cursor))

    async def search_(caller: UserCaller, request: pb.SearchRequest) -> pb.SearchResponse:
        try:
            where = Where(request.where)
        except ValueError as error:
            raise DeliveryError("INPUT_INVALID", str(error)) from None
        before = None
        if request.HasField("before"):
            before = Place(tuple(request.before.numbers), request.before.md)
        query = Query(caller.user, words_of(request.query), where, before)
        page = await asyncio.to_thread(
            shell.store.query, lambda view: search(shell.node, view, query, shell.now())
        )
        following = page.before
        return pb.SearchResponse(
            matches=[_match(match) for match in page.matches],
            before=pb.SearchPlace(numbers=following.numbers, md=following.md) if following else None,
            looked=page.looked,
        )

    return {"Watch": watch_, "Search": search_}


def _event(one: Happened) -> pb.WatchEvent:
    return pb.WatchEvent(
        what=one.what,
        at=one.at,
        cursor=str(one.after),
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
