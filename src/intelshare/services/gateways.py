"""The Gateways service: the requests of programs that hand received bulletins to this member's tools."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final

from intelshare.broker.kernel.actor import Actor, user_row_of
from intelshare.broker.kernel.node import Node
from intelshare.broker.lifecycle.attachments import file_of
from intelshare.broker.lifecycle.exporting import (
    MAX_CONSUMERS,
    MAX_ITEMS,
    Consumer,
    ExportCommand,
    ExportResult,
    NamedBulletin,
    NoteReadCommand,
    export_to,
    note_read,
)
from intelshare.broker.lifecycle.read import Shown
from intelshare.broker.lifecycle.relations import context_of
from intelshare.broker.queries.follow import Followed, FollowedPage, beginning_of_log, follow
from intelshare.broker.queries.watch import Cursor, cursor_text, parse_cursor
from intelshare.errors import DeliveryError
from intelshare.ids import ManifestDigest, MemberCode
from intelshare.instant import Instant
from intelshare.services.backend import Backend
from intelshare.services.rpc import PROGRAMS, Rpc, StepCall, StreamCall
from intelshare.services.shown import read_response
from intelshare.wire.v1 import user_pb2 as pb

METHOD: Final = "Gateways/Follow"

MAX_FOLLOWING: Final = 4
"""The most open streams of one gateway."""

BEAT: Final = 20.0
"""The seconds after which a stream sends its cursor although nothing happened."""


async def follow_received(
    backend: Backend, actor: Actor, request: pb.FollowRequest
) -> AsyncIterator[pb.FollowEvent]:
    """Yield what may be handed on from a position in the log onwards, for ever or until everything has been
    sent.
    """
    consumers = tuple([_consumer(one) for one in request.consumers])
    if len(consumers) > MAX_CONSUMERS:
        raise DeliveryError("TOO_LARGE", f"a gateway may have at most {MAX_CONSUMERS} consumers")
    with backend.open_call(METHOD, actor.user, MAX_FOLLOWING):
        if request.cursor:
            cursor = parse_cursor(backend.node, actor, request.cursor)
        else:
            cursor = await backend.query(lambda view: beginning_of_log(backend.node, view))
        async for event in _follow(backend, actor, consumers, cursor, once=request.once):
            yield event


async def _follow(
    backend: Backend, actor: Actor, consumers: Sequence[Consumer], cursor: Cursor, *, once: bool
) -> AsyncIterator[pb.FollowEvent]:
    with backend.committed() as written:
        while True:
            written.clear()
            page = await _page(backend, actor, consumers, cursor)
            fresh = [_slots(one.shown) for one in page.found if one.first and one.shown is not None]
            for first in range(0, len(fresh), MAX_ITEMS):
                command = NoteReadCommand(actor, tuple(fresh[first : first + MAX_ITEMS]))
                await backend.perform(note_read, command)
            for one in page.found:
                yield await _event(backend, actor, one)
            cursor = page.after
            # Sent whatever the page contained, so that the follower knows where to continue.
            yield _place(backend, actor, cursor, page.left_out)
            if page.more:
                await asyncio.sleep(0)
                continue
            if once:
                return
            try:
                async with asyncio.timeout(BEAT):
                    await written.wait()
            except TimeoutError:
                continue


async def _page(
    backend: Backend, actor: Actor, consumers: Sequence[Consumer], cursor: Cursor
) -> FollowedPage:
    return await backend.query(
        lambda view: follow(backend.node, view, actor, consumers, cursor, backend.now())
    )


def _slots(shown: Shown) -> tuple[ManifestDigest, tuple[int, ...]]:
    return shown.row.md, tuple([portion.slot for portion in shown.portions])


async def _event(backend: Backend, actor: Actor, one: Followed) -> pb.FollowEvent:
    event = pb.FollowEvent(cursor=cursor_text(backend.node, actor, one.after, backend.random), at=one.at)
    if one.shown is None:
        event.destroyed.CopyFrom(pb.NamedBulletin(originator=one.originator, bulletin=one.bulletin))
        event.cause = one.cause
        return event
    event.opened.CopyFrom(await _opened(backend, actor, one.shown, one.originator))
    event.slots.extend(portion.slot for portion in one.shown.portions)
    event.visible.extend(pb.Slots(slots=slots) for slots in one.visible)
    return event


async def _opened(backend: Backend, actor: Actor, shown: Shown, originator: MemberCode) -> pb.ReadResponse:
    md = shown.row.md
    context, files = await backend.query(
        lambda view: (
            context_of(backend.node, view, md, originator, user_row_of(view, actor), backend.now()),
            {one.slot: file_of(view, md, one.slot) for one in shown.portions},
        )
    )
    return read_response(shown, originator, context, files)


def _place(backend: Backend, actor: Actor, cursor: Cursor, left_out: int) -> pb.FollowEvent:
    return pb.FollowEvent(cursor=cursor_text(backend.node, actor, cursor, backend.random), left_out=left_out)


def _consumer(one: pb.Consumer) -> Consumer:
    return Consumer(one.name, one.clearance, one.nationality, tuple(one.categories))


def export_command(actor: Actor, request: pb.ExportRequest) -> ExportCommand:
    """Return a consumer and the bulletins that it is about to receive, as a command."""
    items = tuple([NamedBulletin(MemberCode(one.originator), one.bulletin) for one in request.bulletins])
    return ExportCommand(actor, _consumer(request.consumer), items)


def export_response(result: ExportResult, node: Node, now: Instant) -> pb.ExportResponse:
    """Return what the consumer may receive."""
    del node, now
    return pb.ExportResponse(slots=[pb.Slots(slots=slots) for slots in result.slots])


GATEWAYS: Final = (
    Rpc("Follow", PROGRAMS, StreamCall(follow_received)),
    Rpc("Export", PROGRAMS, StepCall(export_command, export_to, export_response)),
)
