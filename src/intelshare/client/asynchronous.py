"""The asynchronous connection of one person to their node, for programs that send a lot.

async with AsyncClient(find_profile(None, os.environ, Path.cwd())) as client:
    async for outcome in client.submit_many(requests): ...
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

import grpc
from google.protobuf.message import Message

from intelshare.client.attempts import NOT_HERE, PAUSE, SOON, Attempts
from intelshare.client.batch import (
    AsyncReading,
    DraftOutcome,
    in_groups_as_they_come,
    outcomes_in,
    unknown_outcome,
)
from intelshare.client.channel import (
    DEADLINE,
    credentials_of,
    error_of,
    in_some_order,
    next_first,
    options_of,
    target_of,
)
from intelshare.client.connection import as_dry_run
from intelshare.client.profile import Profile, address_of, read_credentials
from intelshare.errors import IntelshareError
from intelshare.patience import patient
from intelshare.wire.v1 import user_pb2 as pb
from intelshare.wire.v1 import user_pb2_grpc as services


class _Line:
    """A channel, and how many calls are made over it."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self.bulletins: Any = services.BulletinsStub(channel)
        self.calls = 0


class AsyncClient:
    """Create, use and close it in one event loop. Raises what ``Client`` raises."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._address = in_some_order(address_of(profile))
        self._former: list[_Line] = []
        self._line = self._opened()

    def _opened(self) -> _Line:
        return _Line(
            grpc.aio.secure_channel(
                target_of(self._address),
                credentials_of(read_credentials(self.profile)),
                options=options_of(self.profile),
            )
        )

    @asynccontextmanager
    async def _calling(self) -> AsyncIterator[Any]:
        """Yield the stub of the channel that is open now; it stays open until the end of the call."""
        line = self._line
        line.calls += 1
        try:
            yield line.bulletins
        finally:
            line.calls -= 1
            if not line.calls and line in self._former:
                self._former.remove(line)
                await line.channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        for line in (*self._former, self._line):
            await line.channel.close()

    async def _try_another(self) -> None:
        former, self._address = self._line, next_first(self._address)
        self._line = self._opened()
        if former.calls:
            self._former.append(former)  # others wait there for an answer
        else:
            await former.channel.close()

    async def ask(self, method: str, request: Message, *, deadline: float = DEADLINE) -> Any:
        """A call of the Bulletins service by its name (``"Inbox"``)."""
        for _ in range(self._address.count(",")):
            try:
                return await self._ask(method, request, deadline)
            except IntelshareError as error:
                if error.code not in NOT_HERE:
                    raise
            await self._try_another()
        return await self._ask(method, request, deadline)

    async def _ask(self, method: str, request: Message, deadline: float) -> Any:
        try:
            async with self._calling() as bulletins:
                return await getattr(bulletins, method)(request, timeout=patient(deadline))
        except grpc.RpcError as error:
            raise error_of(error, self.profile, self._address) from None

    async def submit(self, request: pb.SubmitRequest) -> pb.SubmitResponse:
        """As ``Client.submit``."""
        attempts = Attempts(self._address)
        while True:
            try:
                soon = SOON if attempts.several else DEADLINE
                await self.ask("WhoAmI", pb.WhoAmIRequest(), deadline=soon)
                attempts.sent = True
                answer: pb.SubmitResponse = await self.ask("Submit", request)
                return answer
            except IntelshareError as error:
                if (last := attempts.failed(error)) is not None:
                    raise last from None
            await asyncio.sleep(PAUSE)
            if attempts.stuck:
                await self._try_another()

    async def dry_run(self, request: pb.SubmitRequest) -> pb.SubmitResponse:
        """As ``Client.dry_run``."""
        answer: pb.SubmitResponse = await self.ask("DryRun", as_dry_run(request))
        return answer

    async def search(self, query: str, *, outbox: bool = False) -> AsyncIterator[pb.SearchResponse]:
        """As ``Client.search``."""
        where = pb.SEARCH_WHERE_OUTBOX if outbox else pb.SEARCH_WHERE_INBOX
        request = pb.SearchRequest(query=query, where=where)
        while True:
            page: pb.SearchResponse = await self.ask("Search", request)
            yield page
            if not page.HasField("before"):
                return
            request.before.CopyFrom(page.before)

    async def watch(self, cursor: str = "", *, once: bool = False) -> AsyncIterator[pb.WatchEvent]:
        """As ``Client.watch``."""
        async with self._calling() as bulletins:
            call = bulletins.Watch(pb.WatchRequest(cursor=cursor, once=once))
            try:
                async for event in call:
                    yield event
            except grpc.RpcError as error:
                raise error_of(error, self.profile, self._address) from None
            finally:
                call.cancel()

    async def submit_many(self, requests: AsyncIterable[pb.SubmitRequest]) -> AsyncIterator[DraftOutcome]:
        """Store and release bulletins over one call; yield each outcome, in order, once it is durable.

        Each of ``requests`` needs a ``key`` of its own. They may wait for earlier outcomes: those at hand are
        sent as soon as the next one has to be waited for. A draft that the node refuses is an outcome, and
        the others continue. Raises what ends the whole call: everything that was yielded before is durable,
        and sending the same requests again stores nothing twice. Raises DeliveryError OUTCOME_UNKNOWN if the
        call broke after it began. What ``requests`` raises is raised after the outcomes of everything before
        it.
        """
        reading = AsyncReading(in_groups_as_they_come(requests))
        async with self._calling() as bulletins:
            call = None
            try:
                # A node that cannot be reached is detected before the call whose loss would leave a doubt.
                await bulletins.WhoAmI(pb.WhoAmIRequest(), timeout=patient(DEADLINE))
                call = bulletins.SubmitMany(aiter(reading))
                async for message in call:
                    for outcome in outcomes_in(message):
                        yield outcome
            except grpc.RpcError as broken:
                error = error_of(broken, self.profile, self._address)
                raise (unknown_outcome(error, self._address) if call else None) or error from None
            finally:
                if call is not None:
                    call.cancel()
        reading.check()
