"""The running node as its services see it: the only module through which a service reaches the runtime and
the links.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from intelshare.broker.kernel.certificates import certificate_row
from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.queue_bounds import QueueBounds
from intelshare.broker.kernel.register import Credential
from intelshare.broker.kernel.tables import UserRow
from intelshare.broker.lifecycle.attachments import Upload
from intelshare.broker.lifecycle.mend import MAX_MENDED, Mended, MendResult, Record
from intelshare.broker.lifecycle.rebuild import still_damaged
from intelshare.broker.line.hello import announce, publish_root
from intelshare.crypto.codec import decode
from intelshare.crypto.records import Attachment, KeyRecord, KeyUse, Trust
from intelshare.crypto.suites import NoteKey
from intelshare.crypto.x509 import TICKET_LIFETIME, digest_of, issue_user, sign_user, to_pem, validity
from intelshare.engine import BUDGETS
from intelshare.engine.events import Committed, NodeChanged, RecordsMended
from intelshare.errors import DeliveryError, IntelshareError, RecordError, VaultError
from intelshare.ids import Digest, FilePlace, MemberCode, NodeUri, UserUri
from intelshare.instant import Instant
from intelshare.metrics import Sample
from intelshare.node.authorities import end_former_authorities, overlap_ends, succeed_authorities
from intelshare.node.counters import counts
from intelshare.node.courier import NodeCourier
from intelshare.node.drained import set_drained
from intelshare.node.events import Event
from intelshare.node.leaf import renew_leaf, sign_leaf
from intelshare.node.links import Links
from intelshare.node.metrics_port import Collector
from intelshare.node.renewal import KeyOrder, need_directory_key, renew
from intelshare.node.runtime import Runtime
from intelshare.ports import Plan, View
from intelshare.services import (
    DRAINING,
    Bounds,
    BundleTaken,
    BundleWritten,
    ClockReading,
    Counts,
    HeldKey,
    Issued,
    LinkFacts,
    NodeFacts,
    OwnCertificate,
    PortFacts,
    SpentBudget,
    Uploading,
    collect,
)
from intelshare.trust import Periods, Revocation, Revoked, RootDocument, Why, new_key
from intelshare.vault import USER_AUTHORITY

A = TypeVar("A")

_SLOW: Final = 4
"""The most slow questions of users that run at once, in threads that the node's internal work does
not use.
"""


class NodeBackend:
    """``services.backend.Backend`` on a runtime and its links; one for each node. What each method promises
    stands there alone.
    """

    def __init__(
        self,
        runtime: Runtime,
        links: Links,
        ports: Callable[[], Sequence[PortFacts]] = tuple,
        follow: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """``follow``: makes the ports use the current certificates."""
        self._runtime = runtime
        self._ports = ports
        self._follow = follow
        self._links = links
        self._courier = NodeCourier(runtime, links)
        self._open = Counter[tuple[str, UserUri]]()
        self._slow = ThreadPoolExecutor(_SLOW, "slow-queries")
        self._metrics = ThreadPoolExecutor(1, "metrics")
        self.random = runtime.random
        self.large_steps = asyncio.Lock()
        self._collector = Collector(lambda: collect(self))

    @property
    def node(self) -> Node:
        return self._runtime.node

    def now(self) -> Instant:
        return self._runtime.now()

    def read_clock(self) -> ClockReading:
        read = self._runtime.clock.read()
        return ClockReading(read.now, read.believed, read.expected, read.until, read.confirmed)

    def believe_clock(self) -> None:
        self._runtime.clock.believe()
        self._links.feed(NodeChanged())

    @property
    def serves(self) -> bool:
        return bool(self._ports())

    def damaged(self) -> tuple[Record, ...]:
        return self._runtime.mending.known()

    async def scrub(self) -> None:
        store = self._runtime.store

        def read_all() -> None:
            for error in store.scrub():
                if isinstance(error, RecordError) and store.ask_now(partial(still_damaged, error=error)):
                    store.damage.note(error)

        await asyncio.get_running_loop().run_in_executor(self._slow, read_all)

    async def mend(self, records: Sequence[Record]) -> tuple[Mended, ...]:
        done: list[Mended] = []
        for start in range(0, len(records), MAX_MENDED):
            done += await self._runtime.mending.mend(self._links, records[start : start + MAX_MENDED])
        return tuple(done)

    def mended(self, result: MendResult) -> None:
        self._links.feed(RecordsMended(result.mended))

    def clock_is_wrong(self) -> bool:
        return self._runtime.clock.wrong()

    async def perform(
        self, step: Callable[..., Plan[A]], *event: object, then: Callable[[A], None] | None = None
    ) -> A:
        # gRPC cancels a call whose caller has gone; the step is committed all the same.
        return await asyncio.shield(self._carry_out(step, event, then))

    async def _carry_out(
        self, step: Callable[..., Plan[A]], event: Sequence[object], then: Callable[[A], None] | None
    ) -> A:
        done = await self._runtime.step(step, *event)
        effects = getattr(done.value, "effects", None)
        if isinstance(effects, Effects):
            self._links.feed(Committed(done.part(lambda _: effects)))
        if then is not None:
            then(done.value)
        return done.value

    async def query(self, question: Callable[[View], A], *, slow: bool = False) -> A:
        if slow:  # it takes none of the store's readers
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._slow, self._runtime.store.ask_now, question)
        return await self._runtime.store.query(question)

    async def measure(self, question: Callable[[View], A]) -> A:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._metrics, self._runtime.store.ask_now, question)

    async def query_logs(self, question: Callable[[View], A]) -> A:
        return await self._links.over_logs(question)

    async def sign_log(self) -> None:
        await self._links.say_log()

    def wake(self, recipients: Iterable[MemberCode]) -> None:
        if members := tuple(recipients):
            self._links.wake(*members)

    def committed(self) -> AbstractContextManager[asyncio.Event]:
        return self._runtime.listening()

    @contextmanager
    def open_call(self, method: str, user: UserUri, most: int) -> Iterator[None]:
        key = method, user
        if self._open[key] >= most:
            raise DeliveryError(
                "RATE", f"more than {most} open calls of {method} for one user", hint="end one of them"
            )
        self._open[key] += 1
        try:
            yield
        finally:
            self._open[key] -= 1

    def upload(self, begun: Upload) -> AbstractAsyncContextManager[Uploading]:
        return self._runtime.pieces.upload(begun)

    def write_bundle(
        self, member: MemberCode, limit: int, by: UserUri
    ) -> AsyncIterator[bytes | BundleWritten]:
        return self._courier.write(member, limit, by)

    async def take_in_bundle(self, data: AsyncIterator[bytes], by: UserUri) -> BundleTaken:
        return await self._courier.take_in(data, by)

    def contents(self, place: FilePlace, record: Attachment) -> AsyncIterator[bytes]:
        return self._runtime.pieces.contents(place, record)

    def refused(self, method: str, user: UserUri, error: IntelshareError) -> None:
        self._runtime.refusals["user", error.code] += 1
        self._runtime.log.info(Event.CALL_REFUSED, code=error.code, method=method, user=user, peer=None)
        self._runtime.noticed(error)

    @property
    def key_periods(self) -> Periods:
        return self._runtime.settings.key_periods

    def held_keys(self) -> tuple[HeldKey, ...]:
        return tuple(HeldKey(one.key_id, one.record, one.retired) for one in self._runtime.vault.held_keys())

    async def renew_keys(
        self, by: UserUri, rotate: frozenset[KeyUse], revoke: tuple[Revocation, ...]
    ) -> None:
        await asyncio.shield(renew(self._runtime, order=KeyOrder(by, rotate, revoke)))
        await self.perform(announce, self._runtime.node.trust.partners)

    def make_directory_key(self) -> KeyRecord:
        runtime = self._runtime
        suite = runtime.node.suites[runtime.settings.suite]
        made = new_key(
            suite,
            KeyUse.DIRECTORY,
            runtime.node.member,
            self.now(),
            self.random,
            among=runtime.node.trust.members[runtime.node.member].root.directory,
        )
        runtime.vault.put([made])
        return made.record

    async def adopt_root(self, root: Trust) -> None:
        await asyncio.shield(self._adopt_root(root))

    async def _adopt_root(self, root: Trust) -> None:
        runtime = self._runtime
        # Check the root itself first: that error is reported before one about anything missing here.
        runtime.node.trust.with_document(root, self.now(), runtime.node.member)
        need_directory_key(runtime, decode(RootDocument, root.document))
        await self._carry_out(publish_root, (root,), None)
        # The old directory counts as expired if the root names another key.
        await self._tell_directory()

    def note_key(self) -> NoteKey:
        node = self.node
        for identity, _ in node.trust.note_keys(node.uri, self.now()):
            return self._runtime.vault.note_key(identity)
        raise VaultError(
            "NOT_FOUND",
            "this member's directory names no note key of this node",
            hint="the next start makes one and signs a directory that names it",
        )

    def facts(self) -> NodeFacts:
        runtime = self._runtime
        valid = validity(runtime.certificates.leaf.certificate)
        return NodeFacts(
            runtime.health.word,
            runtime.health.codes,
            runtime.started,
            runtime.store.steps,
            runtime.store.commits,
            valid.start,
            valid.end,
            runtime.store.figures(),
            runtime.pieces.facts(),
            tuple(self._ports()),
            runtime.shut_out,
            runtime.health.begun,
            runtime.mending.outcomes,
            runtime.leads,
            Bounds(
                {budget: rate.most for budget, rate in {**BUDGETS, **runtime.settings.budgets}.items()},
                runtime.settings.space.low,
                runtime.settings.space.reserve,
            ),
        )

    async def counts(self) -> Counts:
        runtime = self._runtime
        return await asyncio.to_thread(counts, runtime.folder, runtime.log.lines, runtime.refusals)

    async def samples(self) -> Sequence[Sample]:
        return await self._collector.samples()

    @property
    def queue_bounds(self) -> QueueBounds:
        return self._runtime.settings.queues

    def link(self, node: NodeUri) -> LinkFacts:
        state = self._links.state(node)
        return LinkFacts(
            state.state, state.error, state.since, state.offset, state.seen, state.forgot, state.peer_forgot
        )

    def spent(self, member: MemberCode) -> list[SpentBudget]:
        return [SpentBudget(one.budget, one.refused, again) for one, again in self._links.budgets(member)]

    def sign_user(self, user: UserUri, request: bytes) -> Issued:
        runtime = self._runtime
        if runtime.certificates.users_elsewhere:
            raise DeliveryError(
                "ISSUED_ELSEWHERE",
                "another authority issues the users' certificates",
                hint="renew it there: the register accepts it on first use",
            )
        authority, lifetime = runtime.vault.certified(USER_AUTHORITY), runtime.settings.user_lifetime
        made = sign_user(authority, user, request, self.now(), self.random, lifetime=lifetime)
        return self._issued(
            made, Credential(certificate=digest_of(made), issued=certificate_row(made, user)), to_pem((made,))
        )

    def make_ticket(self, user: UserUri) -> Issued:
        if self._runtime.certificates.users_elsewhere:
            return self._issued(b"", Credential(), b"")
        authority = self._runtime.vault.certified(USER_AUTHORITY)
        made = issue_user(authority, user, self.now(), self.random, lifetime=TICKET_LIFETIME)
        pem = to_pem((made.certificate,)) + made.key
        row = certificate_row(made.certificate, user)
        return self._issued(made.certificate, Credential(ticket=row.certificate, issued=row), pem)

    def _issued(self, certificate: bytes, credential: Credential, pem: bytes) -> Issued:
        runtime = self._runtime
        listed = runtime.node.trust.node(runtime.node.uri)
        return Issued(
            credential,
            pem,
            to_pem(runtime.node.trust.authorities(runtime.node.member)),
            listed[1].dns if listed is not None else "",
            validity(certificate).end if certificate else Instant(0),
        )

    async def renew_node(self, by: UserUri) -> None:
        runtime = self._runtime
        await self._renew_leaf(by)
        if runtime.certificates.node_elsewhere:
            runtime.certificates.follow(runtime.now())  # whoever renews is told what prevents it

    async def _renew_leaf(self, by: UserUri) -> None:
        await asyncio.shield(renew_leaf(self._runtime, at_once=True, by=by))
        await self._follow_ports()

    def own_certificates(self) -> list[OwnCertificate]:
        runtime = self._runtime
        certificates, until = runtime.certificates, overlap_ends(runtime)
        found = []
        for who, ders, elsewhere in (
            ("node", certificates.node_authorities(), certificates.node_elsewhere),
            ("user", certificates.user_authorities, certificates.users_elsewhere),
        ):
            for place, der in enumerate(ders):
                state = "elsewhere" if elsewhere else "believed" if place else "issues"
                ends = until if place and not elsewhere else Instant(0)
                found.append(OwnCertificate(der, f"{who} authority", state, ends))
        leaf, *bridge = certificates.chain
        found += [OwnCertificate(der, "bridge", "shown") for der in bridge]
        return [*found, OwnCertificate(leaf, "node", "counts")]

    async def sign_leaf(self, request: bytes, by: UserUri) -> tuple[bytes, bytes]:
        made = await sign_leaf(self._runtime, request, by)
        return made, to_pem((made, *self._runtime.certificates.chain[1:]))

    async def revoke_leaf(self, certificate: Digest, by: UserUri) -> None:
        runtime = self._runtime
        if certificate == digest_of(runtime.certificates.leaf.certificate):
            await self._renew_leaf(by)
        row = Revocation(Revoked.CERTIFICATE, certificate, Why.COMPROMISED, runtime.now())
        await self.renew_keys(by, frozenset(), (row,))

    async def succeed_authorities(self, by: UserUri) -> None:
        await asyncio.shield(self._succeed(by))

    async def _succeed(self, by: UserUri) -> None:
        await succeed_authorities(self._runtime, by)
        await self._tell_directory()

    async def end_former_authorities(self, by: UserUri) -> None:
        await asyncio.shield(self._end_former(by))

    async def _end_former(self, by: UserUri) -> None:
        await end_former_authorities(self._runtime, by)
        await self._tell_directory()

    async def _tell_directory(self) -> None:
        await renew(self._runtime)
        await self._carry_out(announce, (self._runtime.node.trust.partners,), None)
        await self._follow_ports()

    async def _follow_ports(self) -> None:
        if self._follow is not None:
            await self._follow()

    @property
    def replica(self) -> str:
        return self._runtime.replica

    @property
    def others_deliver(self) -> bool:
        return self._links.engine.others

    @property
    def draining(self) -> bool:
        return DRAINING in self._runtime.health.codes

    async def drain(self, *, on: bool) -> None:
        # In the folder before it is answered.
        runtime = self._runtime
        await asyncio.to_thread(set_drained, runtime.folder, runtime.replica, on=on)
        (runtime.health.set if on else runtime.health.clear)(DRAINING)

    def register_changed(self, row: UserRow) -> None:
        self._runtime.register_changed(row)

    async def treaty_texts(self) -> Mapping[str, str]:
        return await asyncio.to_thread(_texts, self._runtime.folder.treaties)


def _texts(folder: Path) -> dict[str, str]:
    found = {}
    for path in sorted(folder.glob("*.toml")):
        try:
            found[path.name] = path.read_text("utf-8")
        except (OSError, ValueError):
            continue
    return found
