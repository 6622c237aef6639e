"""The services of one member over the real steps, without a node: ``services.backend.Backend`` for tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from builders import NOW, Member, seeded
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.queue_bounds import QueueBounds
from intelshare.broker.kernel.register import Credential
from intelshare.broker.kernel.tables import UserRow
from intelshare.broker.lifecycle.attachments import Upload
from intelshare.broker.lifecycle.mend import Mended, MendResult, Record, RecordOutcome
from intelshare.crypto.pae import sha256
from intelshare.crypto.pieces import PieceCipher
from intelshare.crypto.records import Attachment, KeyRecord, KeyUse, Trust
from intelshare.crypto.suites import SUITE_1, NoteKey, load_note_key
from intelshare.delivery import LinkWord
from intelshare.engine import BUDGETS
from intelshare.errors import DeliveryError, IntelshareError
from intelshare.ids import Digest, FilePlace, MemberCode, NodeUri, UserUri
from intelshare.instant import DAY, SECOND, Instant
from intelshare.metrics import Sample
from intelshare.ports import Figures
from intelshare.services.backend import (
    Bounds,
    BundleTaken,
    BundleWritten,
    ClockReading,
    Counts,
    FileFacts,
    HeldKey,
    Issued,
    LinkFacts,
    NodeFacts,
    OwnCertificate,
    SpentBudget,
    Uploading,
)
from intelshare.services.metrics import collect
from intelshare.trust import Periods, Revocation, new_key


class InMemory:
    """A file of one piece on its way in."""

    def __init__(self, begun: Upload) -> None:
        self.held = 0
        self._begun = begun
        self._content = b""

    @property
    def pieces(self) -> tuple[bytes, ...]:
        cipher = PieceCipher(self._begun.key, self._begun.header)
        return (sha256(cipher.seal(self._content, last=True)),)

    async def add(self, data: bytes) -> None:
        self._content += data


class MemberBackend:
    """Carries out what services ask for, on a member of ``builders``."""

    def __init__(self, member: Member, at: Instant = NOW) -> None:
        self.member = member
        self.at = at
        self.random = seeded("services")
        self.large_steps = asyncio.Lock()
        self.woken: list[MemberCode] = []
        self.refusals: list[str] = []
        self.wrong_clock = False
        self.rotten: tuple[Record, ...] = ()
        self.serves = True
        self.draining = False
        self.others_deliver = False
        self.replica = ""
        self.orders: list[Any] = []
        self.linked = LinkFacts(LinkWord.WAITING, "", Instant(0), 0)

    @property
    def node(self) -> Node:
        return self.member.node

    def now(self) -> Instant:
        return self.at

    async def drain(self, *, on: bool) -> None:
        self.draining = on
        self.orders.append("drained" if on else "accepts again")

    def read_clock(self) -> ClockReading:
        expected = Instant(self.at + DAY) if self.wrong_clock else self.at
        return ClockReading(self.at, not self.wrong_clock, expected, expected)

    def believe_clock(self) -> None:
        self.wrong_clock = False

    def damaged(self) -> tuple[Record, ...]:
        return self.rotten

    async def scrub(self) -> None:
        self.rotten = (Record("reader", (UserUri("somebody"), bytes(32))),)

    async def mend(self, records: Sequence[Record]) -> tuple[Mended, ...]:
        return tuple(
            Mended(record, RecordOutcome.WHOLE)
            if record.repaired
            else Mended(record, RecordOutcome.ASKED, "USA")
            for record in records
        )

    def mended(self, result: MendResult) -> None:
        self.rotten = ()

    def clock_is_wrong(self) -> bool:
        return self.wrong_clock

    async def perform(
        self, step: Callable[..., Any], *event: object, then: Callable[[Any], None] | None = None
    ) -> Any:
        answer = self.member.do(step, *event, at=self.at)
        if then is not None:
            then(answer)
        return answer

    async def query(self, question: Callable[[Any], Any], *, slow: bool = False) -> Any:
        del slow
        return self.member.store.ask_now(question)

    async def measure(self, question: Callable[[Any], Any]) -> Any:
        return self.member.store.ask_now(question)

    async def query_logs(self, question: Callable[[Any], Any]) -> Any:
        return self.member.store.ask_now(question)

    async def sign_log(self) -> None:
        return None

    def wake(self, recipients: Iterable[MemberCode]) -> None:
        self.woken += recipients

    @contextmanager
    def committed(self) -> Iterator[asyncio.Event]:
        yield asyncio.Event()

    @contextmanager
    def open_call(self, method: str, user: UserUri, most: int) -> Iterator[None]:
        del method, user, most
        yield

    @asynccontextmanager
    async def upload(self, begun: Upload) -> AsyncIterator[Uploading]:
        yield InMemory(begun)

    async def write_bundle(
        self, member: MemberCode, limit: int, by: UserUri
    ) -> AsyncIterator[bytes | BundleWritten]:
        del by
        yield BundleWritten(
            member, 0, 0, 0, 0, b"", 0, 0, "", more=limit > 0, files_wanted=0, files=0, files_left=0
        )

    async def take_in_bundle(self, data: AsyncIterator[bytes], by: UserUri) -> BundleTaken:
        del by
        size = sum([len(part) async for part in data])
        node = self.node
        return BundleTaken(node.member, node.uri, self.now(), 0, 0, 0, {}, {}, b"", size, "", 0, 0)

    async def contents(self, place: FilePlace, record: Attachment) -> AsyncIterator[bytes]:
        del place, record
        for part in ():
            yield part

    def refused(self, method: str, user: UserUri, error: IntelshareError) -> None:
        del method, user
        self.refusals.append(error.code)

    @property
    def key_periods(self) -> Periods:
        return Periods()

    def held_keys(self) -> tuple[HeldKey, ...]:
        records = self.node.trust.records()
        return tuple(
            HeldKey(key, record, False) for key, record in records if record.member == self.node.member
        )

    async def renew_keys(
        self, by: UserUri, rotate: frozenset[KeyUse], revoke: tuple[Revocation, ...]
    ) -> None:
        self.orders.append((by, rotate, revoke))

    def make_directory_key(self) -> KeyRecord:
        return new_key(SUITE_1, KeyUse.DIRECTORY, self.node.member, self.now(), seeded("directory")).record

    async def adopt_root(self, root: Trust) -> None:
        self.orders.append(root)

    def note_key(self) -> NoteKey:
        made = new_key(SUITE_1, KeyUse.NOTE, self.node.member, self.now(), seeded("note"), node=self.node.uri)
        return load_note_key(made.record, made.secret)

    def facts(self) -> NodeFacts:
        return NodeFacts(
            "SERVING",
            (),
            NOW,
            1,
            1,
            Instant(NOW - 1),
            Instant(NOW + 1),
            Figures(3, 2, 1, followed=0.5),
            FileFacts(0, 1, 1, {}),
            bounds=Bounds({budget: rate.most for budget, rate in BUDGETS.items()}, 2, 3),
        )

    async def counts(self) -> Counts:
        return Counts(
            {("node.started", "info"): 1}, {("user", "RATE"): 2}, 3, 4.0, 5, 6, {"wal": 7}, 8, 9, 10
        )

    async def samples(self) -> list[Sample]:
        return await collect(self)

    @property
    def queue_bounds(self) -> QueueBounds:
        return QueueBounds()

    def link(self, node: NodeUri) -> LinkFacts:
        del node
        return self.linked

    def spent(self, member: MemberCode) -> list[SpentBudget]:
        return [SpentBudget("evidence", 3, SECOND)] if member != self.node.member else []

    def sign_user(self, user: UserUri, request: bytes) -> Issued:
        del user
        credential = Credential(certificate=Digest(sha256(request)))
        return Issued(credential, b"certificate", b"authority", "node", Instant(NOW + 1))

    def make_ticket(self, user: UserUri) -> Issued:
        credential = Credential(ticket=Digest(sha256(user.encode())))
        return Issued(credential, b"ticket", b"authority", "node", Instant(NOW + 1))

    def own_certificates(self) -> list[OwnCertificate]:
        return []

    async def sign_leaf(self, request: bytes, by: UserUri) -> tuple[bytes, bytes]:
        raise DeliveryError("ISSUED_ELSEWHERE", "this backend has no authority")

    async def revoke_leaf(self, certificate: Digest, by: UserUri) -> None:
        self.orders.append(("revoke_leaf", certificate, by))

    async def succeed_authorities(self, by: UserUri) -> None:
        self.orders.append(("succeed_authorities", by))

    async def end_former_authorities(self, by: UserUri) -> None:
        self.orders.append(("end_former_authorities", by))

    async def renew_node(self, by: UserUri) -> None:
        return None

    def register_changed(self, row: UserRow) -> None:
        return None

    async def treaty_texts(self) -> Mapping[str, str]:
        return {}
