"""The Courier service: streams the bytes of bundles that cross an air gap, in both directions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Final

from intelshare.broker.kernel.actor import Actor
from intelshare.broker.queries.waiting import waiting_of
from intelshare.errors import DeliveryError
from intelshare.ids import MemberCode
from intelshare.services.backend import Backend
from intelshare.services.rpc import OPERATORS, Rpc, StreamCall
from intelshare.wire.v1 import user_pb2 as pb

LIMIT: Final = 64 << 20
"""The approximate bytes of statements and files in a bundle, by default."""

MOST: Final = 1 << 30
"""The highest limit that may be requested."""

MAX_CALLS: Final = 2
"""The most open calls of one user, for each method."""

MAX_DATA: Final = 1 << 18
"""The most bytes of a bundle in one answer."""


async def export(
    backend: Backend, actor: Actor, request: pb.CourierExportRequest
) -> AsyncIterator[pb.CourierExportResponse]:
    """Write what waits for a member into a bundle."""
    if request.limit > MOST:
        raise DeliveryError("INPUT_INVALID", f"a bundle may have at most {MOST} bytes", hint="export twice")
    with backend.open_call("Courier/Export", actor.user, MAX_CALLS):
        async for part in backend.write_bundle(
            MemberCode(request.member), request.limit or LIMIT, actor.user
        ):
            if isinstance(part, bytes):
                for start in range(0, len(part), MAX_DATA):
                    yield pb.CourierExportResponse(data=part[start : start + MAX_DATA])
                continue
            yield pb.CourierExportResponse(
                bundle=pb.CourierBundle(
                    member=part.member,
                    releases=part.releases,
                    others=part.others,
                    acknowledgements=part.acknowledgements,
                    requests=part.requests,
                    sha256=part.digest,
                    size=part.size,
                    queued=part.queued,
                    code=part.code,
                    more=part.more,
                    files_wanted=part.files_wanted,
                    files=part.files,
                    files_left=part.files_left,
                )
            )


async def import_(
    backend: Backend, actor: Actor, messages: AsyncIterator[pb.CourierImportRequest]
) -> AsyncIterator[pb.CourierImportResponse]:
    """Import a member's bundle."""

    async def data() -> AsyncIterator[bytes]:
        async for message in messages:
            yield message.data

    with backend.open_call("Courier/Import", actor.user, MAX_CALLS):
        taken = await backend.take_in_bundle(data(), actor.user)
        waiting = await backend.query(lambda view: waiting_of(view, taken.member, backend.now()), slow=True)
        yield pb.CourierImportResponse(
            member=taken.member,
            node=taken.node,
            signed_at=taken.signed_at,
            accepted=taken.accepted,
            statements=taken.statements,
            acknowledgements=taken.acknowledgements,
            rejected=_rejections(taken.rejected),
            rejected_there=_rejections(taken.rejected_there),
            sha256=taken.digest,
            size=taken.size,
            code=taken.code,
            files_wanted=taken.files_wanted,
            files=taken.files,
            reading_waits=waiting,
        )


def _rejections(counts: Mapping[str, int]) -> list[pb.CourierRejection]:
    return [pb.CourierRejection(code=code, count=count) for code, count in sorted(counts.items())]


COURIER: Final = (
    Rpc("Export", OPERATORS, StreamCall(export)),
    Rpc("Import", OPERATORS, StreamCall(import_)),
)
