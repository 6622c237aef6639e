"""The part of the running node that the services need; ``node.backend`` implements it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.queue_bounds import QueueBounds
from intelshare.broker.kernel.register import Credential
from intelshare.broker.kernel.tables import UserRow
from intelshare.broker.lifecycle.attachments import Upload
from intelshare.broker.lifecycle.mend import Mended, MendResult, Record
from intelshare.crypto.records import Attachment, KeyRecord, KeyUse, Trust
from intelshare.crypto.suites import NoteKey
from intelshare.delivery import LinkWord
from intelshare.errors import IntelshareError
from intelshare.ids import Digest, FilePlace, KeyId, MemberCode, NodeUri, UserUri
from intelshare.instant import EPOCH, Instant
from intelshare.metrics import Sample
from intelshare.ports import Figures, Plan, Random, View
from intelshare.trust import Periods, Revocation

A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class PortFacts:
    """The connections of one port."""

    name: str
    """The name of the port in node.toml."""
    port: int
    connections: int
    most: int
    unknown: int
    """The connections that have not proved their identity yet."""
    most_unknown: int
    ended: Mapping[str, int]
    """The connections refused or closed since the start, by reason."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """The space that attachments take beside the store, in bytes."""

    held: int
    total: int
    """The limit for all of them together."""
    share: int
    """The limit for those of one peer."""
    of: Mapping[MemberCode, int]
    """The space taken by each peer's attachments; the empty code stands for those sent by this node's
    users.
    """


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds that node.toml sets, besides those of queues, ports and attachments."""

    budgets: Mapping[str, int]
    """The most that one member may spend at once, by budget."""
    low: int
    """The free bytes of the disk below which only what is urgent is accepted."""
    reserve: int
    """The bytes that are held in reserve."""


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """The facts that the process knows about itself."""

    health: str
    """SERVING or NOT_SERVING."""
    codes: tuple[str, ...]
    """The reasons for NOT_SERVING, as codes."""
    started: Instant
    steps: int
    """The steps that the store has carried out since the start."""
    commits: int
    certificate_begins: Instant
    certificate_expires: Instant
    store: Figures
    files: FileFacts
    ports: tuple[PortFacts, ...] = ()
    shut_out: tuple[MemberCode, ...] = ()
    """The members of which the TLS library cannot load an authority."""
    begun: Mapping[str, int] = field(default_factory=dict)
    """The number of times that each code began to prevent serving."""
    mended: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """Damaged records and groups of the journal, by what became of them (``metrics.MENDED``)."""
    leads: bool = True
    """True if this process has the links and does the chores; of replicas that run together, one."""
    bounds: Bounds = field(default_factory=lambda: Bounds({}, 0, 0))


@dataclass(frozen=True, slots=True)
class Counts:
    """The counts of the process since its start, and the system's figures about it. Sizes are in bytes."""

    lines: Mapping[tuple[str, str], int]
    """Log lines by event and level."""
    refusals: Mapping[tuple[str, str], int]
    """Refused calls by caller (user, peer, unknown) and code."""
    memory: int
    processor: float
    """The processor time in seconds."""
    descriptors: int
    most_descriptors: int
    files: Mapping[str, int]
    """The sizes of the store's files by name: ``database``, ``wal``."""
    free: int
    """The free space on the file system of the data folder."""
    size: int
    reserve: int
    """The size of the reserve; 0: it was given up."""


@dataclass(frozen=True, slots=True)
class ClockReading:
    """The reading of the clock, and whether it is believed."""

    now: Instant
    believed: bool
    expected: Instant
    """The earliest time that it should show; ``now`` if it is believed."""
    until: Instant
    """The reading at which this clock will be believed if it continues to run."""
    confirmed: bool = True
    """True if what ends by time may be destroyed."""


@dataclass(frozen=True, slots=True)
class LinkFacts:
    """The state of the connection to a peer node."""

    state: LinkWord
    error: str
    """The code of the last error."""
    since: Instant
    offset: int
    """Its clock minus this one, in microseconds."""
    seen: Instant = EPOCH
    """When the last link to it ended; 0 if there has been none since the start."""
    forgot: int = 0
    """Entries of this node's log that the peer holds and this node forgot, according to the open link."""
    peer_forgot: int = 0
    """Numbers that the peer had given and forgot."""


@dataclass(frozen=True, slots=True)
class SpentBudget:
    """A peer's budget that has been exceeded since the start."""

    name: str
    """The name of the budget in node.toml."""
    refused: int
    """The requests that came while the budget was spent."""
    again: int
    """The microseconds until the budget is open again; 0 if it is open."""


@dataclass(frozen=True, slots=True)
class Issued:
    """The credentials issued to a user: the certificate asked for, or a ticket for fetching one; nothing if
    another authority issues certificates.
    """

    credential: Credential
    """The credential as it is recorded in the register."""
    pem: bytes
    """The certificate; for a ticket, also its key."""
    node_authority: bytes
    """The PEM certificate of the authority by which the user verifies the node."""
    server_name: str
    """The DNS name in the node's certificate."""
    expires: Instant


@dataclass(frozen=True, slots=True)
class OwnCertificate:
    """A certificate of the node itself, or of an authority that it believes."""

    certificate: bytes
    """DER."""
    use: str
    """For people: "node authority"."""
    state: str
    until: Instant = EPOCH
    """When it is believed no longer though it has not ended; 0: until its end."""


@dataclass(frozen=True, slots=True)
class HeldKey:
    """A key of the vault."""

    key: KeyId
    record: KeyRecord
    destroyed: bool
    """True if the secret has been destroyed; the id is kept."""


@dataclass(frozen=True, slots=True)
class BundleWritten:
    """The contents of a courier bundle that was written."""

    member: MemberCode
    releases: int
    others: int
    acknowledgements: int
    requests: int
    digest: bytes
    size: int
    queued: int
    """The pairs that still wait for hand-over."""
    code: str
    """The reason why they wait, if it is not the limit."""
    more: bool
    files_wanted: int
    files: int
    """The attachments that are in it to their end."""
    files_left: int
    """Those that found no room, or not for all of them."""


@dataclass(frozen=True, slots=True)
class BundleTaken:
    """The result of importing a courier bundle."""

    member: MemberCode
    node: NodeUri
    signed_at: Instant
    accepted: int
    statements: int
    acknowledgements: int
    rejected: Mapping[str, int]
    """The rejected statements by code."""
    rejected_there: Mapping[str, int]
    digest: bytes
    size: int
    code: str
    """The reason why it ended early; empty if it did not."""
    files_wanted: int
    files: int
    """The attachments that are whole since."""


class Uploading(Protocol):
    """A file that a user is uploading."""

    @property
    def held(self) -> int:
        """Return how many bytes of the file are durable."""

    @property
    def pieces(self) -> tuple[bytes, ...]:
        """Return the hashes of all pieces. Raises DeliveryError INPUT_INVALID if the file is shorter than
        announced.
        """

    async def add(self, data: bytes) -> None:
        """Add data to the file. Raises DeliveryError INPUT_INVALID if it becomes longer than announced,
        StoreError.
        """


class Backend(Protocol):
    """One running node, as its services see it."""

    random: Random
    large_steps: asyncio.Lock
    """Held while a step with many drafts runs: hand-over gets its turn between two such steps."""

    @property
    def node(self) -> Node:
        """Return the node's current keys, trust and world."""

    @property
    def key_periods(self) -> Periods:
        """Return how often keys are replaced by schedule."""

    def now(self) -> Instant:
        """Return the wall-clock time."""

    def read_clock(self) -> ClockReading:
        """Return the reading of the clock, and whether it is believed."""

    def believe_clock(self) -> None:
        """Believe the current time from now on. Called once that decision is durable."""

    @property
    def serves(self) -> bool:
        """Return false on the folder of a node that does not run: it meets no record by itself, and asks no
        peer.
        """

    def damaged(self) -> tuple[Record, ...]:
        """Records that were met damaged and are not settled."""

    async def scrub(self) -> None:
        """Read every record: what is damaged is known then. Raises StoreError."""

    async def mend(self, records: Sequence[Record]) -> tuple[Mended, ...]:
        """Make these again, or ask peers for them, if that can be. Raises StoreError."""

    def mended(self, result: MendResult) -> None:
        """Remove dropped records from the list of damaged ones, after that is durable."""

    def clock_is_wrong(self) -> bool:
        """Return true if nothing may be signed now because the clock was set back."""

    async def perform(
        self, step: Callable[..., Plan[A]], *event: object, then: Callable[[A], None] | None = None
    ) -> A:
        """Carry out ``step(node, view, *event, now, random)`` and its effects; return its durable answer.

        ``then`` is called with the answer once that is durable. A step that has begun is completed, including
        ``then``, even if the caller has gone. Raises what the step raises, and StoreError.
        """

    async def query(self, question: Callable[[View], A], *, slow: bool = False) -> A:
        """Answer a question from the committed rows. Raises what the question raises, and StoreError.

        ``slow``: the question may read a great deal, and nothing else waits for it.
        """

    async def measure(self, question: Callable[[View], A]) -> A:
        """Answer a question as ``query``, one at a time, with no question of a user before it: who watches a
        busy node needs its metrics.
        """

    async def query_logs(self, question: Callable[[View], A]) -> A:
        """Answer a question that extends the trees of this node's logs; only one such question runs at a
        time.
        """

    async def sign_log(self) -> None:
        """Sign the current state of the log, and tell the peers. Raises StoreError."""

    def wake(self, recipients: Iterable[MemberCode]) -> None:
        """Start handing over whatever is ready for these members."""

    def committed(self) -> AbstractContextManager[asyncio.Event]:
        """Return an event that is set after every commit; a waiter clears it before it looks."""

    def open_call(self, method: str, user: UserUri, most: int) -> AbstractContextManager[None]:
        """Count one more open call of a user for as long as the call lasts. Raises DeliveryError RATE beyond
        ``most``.
        """

    def upload(self, begun: Upload) -> AbstractAsyncContextManager[Uploading]:
        """Receive a file, or resume receiving it.

        Raises DeliveryError RATE (it is already being sent), TOO_LARGE, StoreError DISK_FULL, DISK_ERROR.
        """

    def write_bundle(
        self, member: MemberCode, limit: int, by: UserUri
    ) -> AsyncIterator[bytes | BundleWritten]:
        """Yield the bytes of a courier bundle, then a summary of its contents.

        Raises TrustError TRUST_FINGERPRINT, PEER_REVOKED, CryptoError KEM_KEY_UNKNOWN, StoreError.
        """

    async def take_in_bundle(self, data: AsyncIterator[bytes], by: UserUri) -> BundleTaken:
        """Import a courier bundle. Raises as ``envelope.bundle`` and ``trust.courier`` do, StoreError."""

    def contents(self, place: FilePlace, record: Attachment) -> AsyncIterator[bytes]:
        """Yield the content of a file in parts: all of it, or CryptoError COMMITMENT_MISMATCH,
        OPEN_FAILED.
        """

    def refused(self, method: str, user: UserUri, error: IntelshareError) -> None:
        """Log and count the refusal of a part of a call in the same way as that of a whole call."""

    def held_keys(self) -> tuple[HeldKey, ...]:
        """Return every key of the vault, without its secret."""

    async def renew_keys(
        self, by: UserUri, rotate: frozenset[KeyUse], revoke: tuple[Revocation, ...]
    ) -> None:
        """Make new keys, revoke keys, destroy expired ones, and tell every peer.

        Raises VaultError, StoreError.
        """

    def make_directory_key(self) -> KeyRecord:
        """Make a directory key in the vault, for a root that will name it. Raises VaultError, StoreError."""

    async def adopt_root(self, root: Trust) -> None:
        """Adopt this member's next root, sign the directory under it, and tell every member.

        Raises TrustError (trust/rules.py), VaultError NOT_FOUND if no directory key that it names is here.
        """

    def note_key(self) -> NoteKey:
        """Return the key that signs notes in the node's name. Raises VaultError NOT_FOUND."""

    def facts(self) -> NodeFacts:
        """Return what the process knows about itself."""

    async def counts(self) -> Counts:
        """Return what the process has counted. Asks the system, in a thread."""

    async def samples(self) -> Sequence[Sample]:
        """Return all measurements, which may be a little old. Raises StoreError."""

    @property
    def queue_bounds(self) -> QueueBounds:
        """Return the bounds on what may wait."""

    def link(self, node: NodeUri) -> LinkFacts:
        """Return the state of the connection to a peer node."""

    def spent(self, member: MemberCode) -> Sequence[SpentBudget]:
        """Return the budgets that a peer has exceeded."""

    def sign_user(self, user: UserUri, request: bytes) -> Issued:
        """Return a certificate for the key in this PKCS #10 request (DER).

        Raises TrustError INPUT_INVALID, DeliveryError ISSUED_ELSEWHERE.
        """

    def make_ticket(self, user: UserUri) -> Issued:
        """Return a ticket with which the user fetches a first certificate, or none if another authority
        issues them.
        """

    async def renew_node(self, by: UserUri) -> None:
        """Make a new certificate for the node, or read again what another authority has issued, and use it at
        its ports at once.

        Raises VaultError, StoreError; ConfigError CERTIFICATE_UNUSABLE, NOT_FOUND, UNSAFE_FILE.
        """

    def own_certificates(self) -> Sequence[OwnCertificate]:
        """The authorities that are believed here, the bridge between two of them, and the node's own."""

    async def sign_leaf(self, request: bytes, by: UserUri) -> tuple[bytes, bytes]:
        """A certificate (DER) of this node for the key that a PKCS #10 request (DER) names; and the same as
        PEM, with what is shown beside it.

        Raises TrustError INPUT_INVALID, DeliveryError ISSUED_ELSEWHERE, StoreError.
        """

    async def revoke_leaf(self, certificate: Digest, by: UserUri) -> None:
        """Tell every peer that a certificate of this node counts no more; the node's present one has a
        successor first. Raises VaultError, StoreError."""

    async def succeed_authorities(self, by: UserUri) -> None:
        """New authorities issue from now on, and every peer is told. Raises DeliveryError ISSUED_ELSEWHERE,
        ID_CONFLICT, VaultError, StoreError."""

    async def end_former_authorities(self, by: UserUri) -> None:
        """The former authorities are believed no longer. Raises DeliveryError NOT_FOUND, VaultError,
        StoreError."""

    @property
    def replica(self) -> str:
        """Return the name of this process among the replicas of its node; empty: it has none."""

    @property
    def others_deliver(self) -> bool:
        """Return true if other replicas hand over what waits when this one ends."""

    @property
    def draining(self) -> bool:
        """Return true if no new bulletins are accepted."""

    async def drain(self, *, on: bool) -> None:
        """Stop accepting bulletins, or accept them again, whatever restarts are between. Raises
        StoreError.
        """

    def register_changed(self, row: UserRow) -> None:
        """Take note that the register now has this row: the user's next call is authorised by it."""

    async def treaty_texts(self) -> Mapping[str, str]:
        """Return the treaty files in the node's folder that can be read, as they are now, by name."""
