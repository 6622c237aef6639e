"""The asyncio driver of the courier scripts (``engine.courier``): writes messages into a bundle, and reads
them from one.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Generator
from functools import partial
from typing import Any, TypeVar

from intelshare.audit.work import finish
from intelshare.broker.lifecycle.stop import anything_over
from intelshare.engine import QUERIES, STEPS, Now
from intelshare.engine.actions import OpenPieces, ReadSlice, RunQuery, RunStep, WritePiece
from intelshare.engine.courier import Doing, Packed, Spend, TakenIn, WriteMessage, led_by, log_written, pack
from intelshare.engine.steps import Query
from intelshare.envelope.bundle import BundleReader, BundleWriter
from intelshare.errors import CryptoError, EnvelopeError, IntelshareError
from intelshare.ids import Digest, MemberCode, UserUri
from intelshare.node.links import Links
from intelshare.node.runtime import Runtime
from intelshare.ports import View
from intelshare.services import BundleTaken, BundleWritten
from intelshare.trust.courier import BundleHead, bundle_key, check_head, own_documents, sign_head
from intelshare.wire import link_message, read_message

T = TypeVar("T")


class NodeCourier:
    """Writes and imports the bundles of one running node."""

    def __init__(self, runtime: Runtime, links: Links) -> None:
        self._runtime = runtime
        self._links = links

    async def write(
        self, member: MemberCode, limit: int, by: UserUri
    ) -> AsyncIterator[bytes | BundleWritten]:
        """Yield the bytes of a bundle, then a summary of its contents. Raises TrustError, CryptoError,
        StoreError.
        """
        runtime = self._runtime
        node, at = runtime.node, runtime.now()
        writer = BundleWriter(member, bundle_key(node.trust, member, at), node.suites, runtime.random)
        hashed, size = hashlib.sha256(), 0

        def out(data: bytes) -> bytes:
            nonlocal size
            hashed.update(data)
            size += len(data)
            return data

        hello = await self._query(RunQuery(Query.GREET, (member,)))
        signer = runtime.vault.signer(node.trust.hello_key(node.uri, member, at))
        head = sign_head(
            writer.prefix, node.uri, own_documents(node.trust), BundleHead(member, hello), signer
        )
        yield out(writer.prefix + writer.add(head))
        covers = partial(self._links.engine.covers, node.incarnation)
        script = pack(member, limit, self._may_release, covers)
        answer: Any = None
        while True:
            try:
                doing = script.send(answer)
            except StopIteration as end:
                packed: Packed = end.value
                break
            answer = None
            if not isinstance(doing, WriteMessage):
                answer = await self._do(doing, member)
            elif chunks := writer.add(link_message(doing.message, runtime.now())):
                yield out(chunks)
        last = out(writer.finish())
        await self._do(log_written(by, member, packed, Digest(hashed.digest()), size), member)
        yield last
        yield BundleWritten(
            member,
            packed.releases,
            packed.others,
            packed.acks,
            packed.requests,
            hashed.digest(),
            size,
            packed.left.queued,
            self._why(member, packed),
            packed.more,
            packed.left.files,
            packed.files,
            packed.files_left,
        )

    async def take_in(self, data: AsyncIterator[bytes], by: UserUri) -> BundleTaken:
        """Import a bundle. If it ends early after its head was read, the result says why; before that, this
        raises.
        """
        node = self._runtime.node
        reader = BundleReader(node.member, node.sealing, node.suites)
        hashed, size, code = hashlib.sha256(), 0, ""
        taken: TakenIn | None = None
        try:
            async for part in data:
                hashed.update(part)
                size += len(part)
                for message in reader.feed(part):
                    taken = await self._take(taken, message, reader.prefix)
            for message in reader.finish():
                taken = await self._take(taken, message, reader.prefix)
        except (EnvelopeError, CryptoError) as error:
            if taken is None:
                raise
            code = error.code
        if taken is None:
            raise EnvelopeError("ENVELOPE_MALFORMED", "the bundle is empty: it does not even name its writer")
        said = taken.said
        await self._do(taken.log(by, Digest(hashed.digest()), size, code), taken.member)
        left = await self._query(RunQuery(Query.LEFT, (taken.member,)))
        return BundleTaken(
            taken.member,
            said.peer.node,
            said.signed_at,
            taken.accepted,
            taken.statements,
            taken.acks,
            taken.rejected,
            taken.rejected_there,
            hashed.digest(),
            size,
            code,
            left.files,
            taken.files,
        )

    async def _take(self, taken: TakenIn | None, message: bytes, prefix: bytes) -> TakenIn:
        runtime, engine = self._runtime, self._links.engine
        if taken is None:
            taken = TakenIn(check_head(message, prefix, runtime.now(), view=runtime.node.trust))
            script = taken.begin(engine.allowed(taken.member, self._links.steady()))
        else:
            allowed = engine.allowed(taken.member, self._links.steady())
            script = taken.take(read_message(message), allowed, believed=not runtime.clock.wrong())
        await self._drive(script, taken.member)
        return taken

    async def _drive(self, script: Generator[Doing, Any, T], member: MemberCode) -> T:
        answer: Any = None
        while True:
            try:
                doing = script.send(answer)
            except StopIteration as end:
                result: T = end.value
                return result
            answer = await self._do(doing, member)

    async def _do(self, doing: Doing, member: MemberCode) -> Any:
        if isinstance(doing, RunStep):
            # The caller may be gone: the step is committed, and its effects are carried out all the same.
            return await asyncio.shield(self._step(doing))
        if isinstance(doing, RunQuery):
            return await self._query(doing)
        if isinstance(doing, Spend):
            self._links.engine.kept(member, doing.spent, self._links.steady())
        if isinstance(doing, ReadSlice):
            return await self._runtime.pieces.read(doing.place, doing.start, doing.length)
        if isinstance(doing, OpenPieces):
            opened = self._runtime.pieces.open(doing.place, doing.member, doing.size, doing.pieces)
            return await self._or_error(opened)
        if isinstance(doing, WritePiece):
            written = self._runtime.pieces.write(doing.place, doing.number, doing.parts, doing.expected)
            return await self._or_error(written)
        return None

    async def _or_error(self, work: Awaitable[T]) -> T | IntelshareError:
        try:
            return await self._links.noticing_room(work)
        except IntelshareError as error:
            return error

    async def _step(self, run: RunStep) -> Any:
        done = await self._runtime.step(STEPS[run.step], *run.event)
        for event in led_by(run, done):
            self._links.feed(event)
        return done

    async def _query(self, run: RunQuery) -> Any:
        runtime = self._runtime

        def question(view: View) -> Any:
            return QUERIES[run.query](runtime.node, view, *run.event, runtime.now())

        if run.beside:
            return await self._links.over_logs(lambda view: finish(question(view)))
        return await runtime.store.query(question)

    def _may_release(self) -> bool:
        runtime = self._runtime
        read = runtime.clock.read()
        now = Now(read.now, self._links.steady(), read.believed, read.confirmed)
        return self._links.engine.may_release(now) and not self._clock_holds()

    def _clock_holds(self) -> bool:
        """Return True if the clock is not believed, or is not confirmed and a hand-over would end by it what
        may not be over.
        """
        read = self._runtime.clock.read()
        over = not read.confirmed and self._runtime.store.ask_now(lambda view: anything_over(view, read.now))
        return over or not read.believed

    def _why(self, member: MemberCode, packed: Packed) -> str:
        """Return the reason why pairs wait, if it is not the limit."""
        runtime = self._runtime
        if packed.releases_wait:
            return "CLOCK" if self._clock_holds() else "POLICY_UNAVAILABLE"
        if packed.left.queued and not packed.more:
            try:
                runtime.node.trust.sealing_key(member, runtime.node.signer.suite.number, runtime.now())
            except IntelshareError as error:
                return error.code
        return ""
