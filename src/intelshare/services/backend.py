"""What the services need of the running node, and nothing else of it; ``node.backend`` gives it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.queue_bounds import QueueBounds
from intelshare.broker.kernel.register import Credential
from intelshare.broker.kernel.tables import UserRow
from intelshare.broker.lifecycle.attachments import Upload
from intelshare.crypto.records import Attachment, KeyRecord, KeyUse, Trust
from intelshare.crypto.suites import NoteKey
from intelshare.errors import IntelshareError
from intelshare.ids import FilePlace, KeyId, MemberCode, NodeUri, UserUri
from intelshare.instant import EPOCH, Instant
from intelshare.metrics import Sample
from intelshare.ports import Figures, Plan, Random, View
from intelshare.trust import Periods, Revocation

A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class PortFacts:
    """The connections of one port."""

    name: str
    """As in node.toml."""
    port: int
    connections: int
    most: int
    unknown: int
    """Of the connections, those that have not proved who they are."""
    ended: Mapping[str, int]
    """Turned away or ended since the start, by reason."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """The room that attachments take beside the store, in bytes."""

    held: int
    total: int
    """All of them may take so much together."""
    share: int
    """And those of one peer so much."""
    of: Mapping[MemberCode, int]
    """What those of each peer take; empty code: what own users have sent."""


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What the process knows of itself."""

    health: str
    """SERVING or NOT_SERVING."""
    codes: tuple[str, ...]
    """Why not."""
    started: Instant
    steps: int
    """Carried out by the store since the start."""
    commits: int
    certificate_expires: Instant
    store: Figures
    files: FileFacts
    ports: tuple[PortFacts, ...] = ()
    shut_out: tuple[MemberCode, ...] = ()
    """Members of whose authorities the TLS library does not load one."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What the process has counted since its start, and what the system says of it. Sizes in bytes."""

    lines: Mapping[tuple[str, str], int]
    """Lines of the log, by event and level."""
    refusals: Mapping[tuple[str, str], int]
    """Calls that were refused, by who called (user, peer, unknown) and code."""
    memory: int
    processor: float
    """Seconds."""
    descriptors: int
    most_descriptors: int
    files: Mapping[str, int]
    """Of the store, by word: ``database``, ``wal``."""
    free: int
    """On the file system of the data folder."""
    size: int


@dataclass(frozen=True, slots=True)
class ClockReading:
    """What the clock says, and what of it is believed."""

    now: Instant
    believed: bool
    expected: Instant
    """What it should say at least; ``now`` if it is believed."""
    until: Instant
    """When, by this clock, it is believed if it goes on as it does."""


@dataclass(frozen=True, slots=True)
class LinkFacts:
    """The way to a peer node."""

    state: str
    """linked, dialling or waiting."""
    error: str
    """The last code."""
    since: Instant
    offset: int
    """Its clock minus this one, in microseconds."""
    seen: Instant = EPOCH
    """When a link to it ended last; 0: none has since the start."""


@dataclass(frozen=True, slots=True)
class SpentBudget:
    """A budget of a peer that was spent since the start."""

    name: str
    """As in node.toml."""
    refused: int
    """How often something came while it was spent."""
    again: int
    """Microseconds until it takes something again; 0: it does."""


@dataclass(frozen=True, slots=True)
class Issued:
    """What a user comes in with: the certificate asked for, or a ticket to ask for one; nothing where another
    authority issues."""

    credential: Credential
    """As the register names it."""
    pem: bytes
    """The certificate; of a ticket also its key."""
    node_authority: bytes
    """PEM: by what the user knows the node."""
    server_name: str
    """The DNS name in the node's certificate."""
    expires: Instant


@dataclass(frozen=True, slots=True)
class HeldKey:
    """A key of the vault."""

    key: KeyId
    record: KeyRecord
    destroyed: bool
    """Its secret is gone; the id is kept."""


@dataclass(frozen=True, slots=True)
class BundleWritten:
    """What is in a courier bundle."""

    member: MemberCode
    releases: int
    others: int
    acknowledgements: int
    requests: int
    digest: bytes
    size: int
    queued: int
    """Pairs that still wait for hand-over."""
    code: str
    """Why, if not for the limit."""
    more: bool
    files_wanted: int


@dataclass(frozen=True, slots=True)
class BundleTaken:
    """What came of a courier bundle."""

    member: MemberCode
    node: NodeUri
    signed_at: Instant
    accepted: int
    statements: int
    acknowledgements: int
    rejected: Mapping[str, int]
    """By code."""
    rejected_there: Mapping[str, int]
    digest: bytes
    size: int
    code: str
    """Why it ended early; empty: it did not."""
    files_wanted: int


class Uploading(Protocol):
    """A file that a user sends."""

    @property
    def held(self) -> int:
        """Bytes of the file that are durable."""

    @property
    def pieces(self) -> tuple[bytes, ...]:
        """The hashes of all pieces. Raises DeliveryError INPUT_INVALID if the file was shorter than said."""

    async def add(self, data: bytes) -> None:
        """More of the file. Raises DeliveryError INPUT_INVALID for more than was said, StoreError."""


class Backend(Protocol):
    """One running node, as its services see it."""

    random: Random
    large_steps: asyncio.Lock
    """Held by whoever runs a step of many drafts: hand-over takes its turn between two of them."""

    @property
    def node(self) -> Node:
        """Keys, trust and world as they are now."""

    @property
    def key_periods(self) -> Periods:
        """How often keys are made by schedule."""

    def now(self) -> Instant:
        """Wall time."""

    def read_clock(self) -> ClockReading:
        """What the clock says, and what of it is believed."""

    def believe_clock(self) -> None:
        """The present time is believed from now on: called after that is durable."""

    def clock_is_wrong(self) -> bool:
        """Whether nothing may be signed now, because the clock was set back."""

    async def perform(
        self, step: Callable[..., Plan[A]], *event: object, then: Callable[[A], None] | None = None
    ) -> A:
        """Carry out ``step(node, view, *event, now, random)`` and what it leads to; its durable answer.

        ``then`` is called with the answer once it is durable. What was begun comes to its end, ``then``
        included, also if the caller has gone meanwhile. Raises what the step raises, and StoreError.
        """

    async def query(self, question: Callable[[View], A], *, slow: bool = False) -> A:
        """Ask something of the committed rows. Raises what the question raises, and StoreError.

        ``slow``: it may read very much, and nothing else waits for it.
        """

    async def query_logs(self, question: Callable[[View], A]) -> A:
        """Ask something that grows trees of this node's logs: one at a time."""

    async def sign_log(self) -> None:
        """Sign where the log stands, and tell the peers. Raises StoreError."""

    def wake(self, recipients: Iterable[MemberCode]) -> None:
        """Something is ready to be handed over to these members."""

    def committed(self) -> AbstractContextManager[asyncio.Event]:
        """An event that is set after every commit; whoever waits for it clears it first."""

    def open_call(self, method: str, user: UserUri, most: int) -> AbstractContextManager[None]:
        """Count one more open call of a user while it lasts. Raises DeliveryError RATE beyond ``most``."""

    def upload(self, begun: Upload) -> AbstractAsyncContextManager[Uploading]:
        """Take in a file, or go on with it.

        Raises DeliveryError RATE (it is being sent already), TOO_LARGE, StoreError DISK_FULL, DISK_ERROR.
        """

    def write_bundle(
        self, member: MemberCode, limit: int, by: UserUri
    ) -> AsyncIterator[bytes | BundleWritten]:
        """The bytes of a courier bundle, then what is in it.

        Raises TrustError TRUST_FINGERPRINT, PEER_REVOKED, CryptoError KEM_KEY_UNKNOWN, StoreError.
        """

    async def take_in_bundle(self, data: AsyncIterator[bytes], by: UserUri) -> BundleTaken:
        """Take in a courier bundle. Raises as ``envelope.bundle`` and ``trust.courier`` do, StoreError."""

    def contents(self, place: FilePlace, record: Attachment) -> AsyncIterator[bytes]:
        """What a file holds, part by part; all of it, or CryptoError COMMITMENT_MISMATCH, OPEN_FAILED."""

    def refused(self, method: str, user: UserUri, error: IntelshareError) -> None:
        """A part of a call was refused: logged, and noticed, as the refusal of a whole call is."""

    def held_keys(self) -> tuple[HeldKey, ...]:
        """Every key of the vault, without its secret."""

    async def renew_keys(
        self, by: UserUri, rotate: frozenset[KeyUse], revoke: tuple[Revocation, ...]
    ) -> None:
        """Make new keys, say what counts no more, destroy what is over, and tell every peer.

        Raises VaultError, StoreError.
        """

    def make_directory_key(self) -> KeyRecord:
        """A new directory key in the vault, for a root that is to name it. Raises VaultError, StoreError."""

    async def adopt_root(self, root: Trust) -> None:
        """Take in the own next root, sign the directory by it, and tell every member.

        Raises TrustError (trust/rules.py), VaultError NOT_FOUND: no directory key that it names is here.
        """

    def note_key(self) -> NoteKey:
        """Signs notes in the name of the node. Raises VaultError NOT_FOUND."""

    def facts(self) -> NodeFacts:
        """What the process knows of itself."""

    async def counts(self) -> Counts:
        """What the process has counted. Asks the system, in a thread."""

    async def samples(self) -> Sequence[Sample]:
        """Everything that is measured, as of now or a little while ago. Raises StoreError."""

    @property
    def queue_bounds(self) -> QueueBounds:
        """How much may wait."""

    def link(self, node: NodeUri) -> LinkFacts:
        """The way to a peer node."""

    def spent(self, member: MemberCode) -> Sequence[SpentBudget]:
        """The budgets that a peer has spent."""

    def sign_user(self, user: UserUri, request: bytes) -> Issued:
        """A certificate of the key that this PKCS #10 request (DER) names.

        Raises TrustError INPUT_INVALID, DeliveryError ISSUED_ELSEWHERE.
        """

    def make_ticket(self, user: UserUri) -> Issued:
        """A ticket with which the user fetches a first certificate; none where another authority issues."""

    async def renew_node(self) -> None:
        """A new certificate for the node, and at its ports at once. Raises VaultError, StoreError."""

    @property
    def draining(self) -> bool:
        """Whether no more bulletins are taken."""

    def drain(self, *, on: bool) -> None:
        """Take no more bulletins from now on, or take them again. Not kept over a start."""

    def register_changed(self, row: UserRow) -> None:
        """The register has this row now: the next call of this user is judged by it."""

    async def treaty_texts(self) -> Mapping[str, str]:
        """The treaty files of the node's folder, by name, as they are now."""
