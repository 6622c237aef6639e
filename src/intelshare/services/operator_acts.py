"""Operations that an operator decides: the clock."""

from __future__ import annotations

from typing import Final

from intelshare.broker.kernel.actor import Actor
from intelshare.broker.lifecycle.operator_acts import BelieveCommand, believe_clock
from intelshare.services.backend import Backend
from intelshare.services.rpc import OPERATORS, AsyncCall, Rpc
from intelshare.wire.v1 import user_pb2 as pb


def clock_state(backend: Backend) -> pb.ClockState:
    """Return the reading of the clock, and whether it is believed."""
    read = backend.read_clock()
    return pb.ClockState(now=read.now, believed=read.believed, expected=read.expected, until=read.until)


async def clock(backend: Backend, actor: Actor, request: pb.ClockRequest) -> pb.ClockResponse:
    """Show the clock; or believe it, if linked peers agree or a reason is given."""
    before, reason = clock_state(backend), request.reason
    if not request.believe or before.believed:
        return pb.ClockResponse(clock=before)
    links = [
        (member, backend.link(listed.uri))
        for member, held in sorted(backend.node.trust.members.items())
        if member != backend.node.member and held.directory is not None
        for listed in held.directory.nodes
    ]
    offsets = tuple((member, link.offset) for member, link in links if link.state == "linked")
    command = BelieveCommand(actor.user, backend.read_clock().expected, offsets, reason)
    agreed = await backend.perform(believe_clock, command, then=lambda _: backend.believe_clock())
    return pb.ClockResponse(clock=clock_state(backend), agreed=agreed)


OPERATOR_ACTS: Final = (Rpc("Clock", OPERATORS, AsyncCall(clock)),)
