"""Every record that is signed or sealed, as its table in docs/format.md ("Records").

The order and types of fields are the format: a change here makes a new format version. Bounds that need more
than the record itself (a slot within the manifest, a release of at most 1,000 bytes) are checked where it is
opened.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final

from intelshare.crypto.codec import (
    B16,
    B32,
    COUNTER,
    END,
    TEXT,
    TIME,
    U16,
    U32,
    U63,
    Bytes16,
    Bytes32,
    Count,
    Fixed,
    Text,
    Word,
    only,
    record,
)
from intelshare.ids import (
    BulletinId,
    Digest,
    Incarnation,
    KeyId,
    LeafId,
    ManifestDigest,
    MemberCode,
    NodeUri,
    ReleaseNumber,
)
from intelshare.instant import Instant

_32: Final = Fixed("32s", 32)

PROOF_LENGTH: Final = 1 + 8 * 32
"""The length of a proof: one byte of position and the eight siblings from the leaf upwards."""

SLOT_COUNTS: Final = (16, 64, 256)
"""The number of commitments that a manifest may hold: up to 16 portions, its length reveals nothing about
their number.
"""

MAX_PIECES: Final = 2049
"""The number of pieces of a file of 2 GiB."""

Member = Annotated[MemberCode, TEXT]
Node = Annotated[NodeUri, TEXT]
Time = Annotated[Instant, TIME]
End = Annotated[Instant, END]
"""The end of something, half open: a time, or NEVER."""
KeyRef = Annotated[KeyId, _32]
Leaf32 = Annotated[LeafId, _32]
Md32 = Annotated[ManifestDigest, _32]
Digest32 = Annotated[Digest, _32]
IncarnationId = Annotated[Incarnation, Fixed("Q")]
"""A random number that uses all 64 bits."""
Number = Annotated[ReleaseNumber, COUNTER]
Proof = Annotated[bytes, Fixed(f"{PROOF_LENGTH}s", PROOF_LENGTH)]


class KeyUse(IntEnum):
    SIGNING = 1
    DIRECTORY = 2
    ROOT = 3
    SEALING = 4
    NOTE = 5
    """For notes in the formats of other systems; never signs a statement (``audit.notes``)."""


class PortionKind(IntEnum):
    TEXT = 1
    TITLE = 2
    FILE = 3
    STIX = 4
    ATTACHMENT = 5
    """A file that travels in pieces; the content is an ``Attachment``."""


class Precedence(IntEnum):
    ROUTINE = 1
    PRIORITY = 2
    IMMEDIATE = 3
    FLASH = 4


class Kind(IntEnum):
    """The kind of a statement; it is hashed into the statement's leaf, so that none can pass for another
    kind.
    """

    RELEASE = 1
    RECEIPT = 2
    RECALL = 3
    STREAM_HEAD = 4
    CONSENT = 5
    TREATY_ACT = 6
    TRUST = 7
    CHECKPOINT = 8


class ReceiptStatus(IntEnum):
    ACCEPTED = 1
    REFUSED = 2
    READ = 3
    DESTROYED = 4


class Act(IntEnum):
    RATIFY = 1
    RESERVE = 2
    SUSPEND = 3
    GIVE_NOTICE = 4
    WITHDRAW = 5
    REINSTATE = 6


class TrustType(IntEnum):
    ROOT = 1
    DIRECTORY = 2


@record
class KeyRecord:
    """One public key with its purpose and validity; its id is a digest of all of this (``key_id``)."""

    suite: U16
    member: Member
    node: Node
    """The node that signs with it; empty for a sealing key, which is the member's."""
    use: KeyUse
    public: B16
    """One string of fixed length per (suite, use): ``Suite.public_length``."""
    not_before: Time
    not_after: End
    """Half open: at this instant the key is no longer valid."""


@record
class Portion:
    """One portion as its recipient sees it, with the label on which the recipient's own policy decides
    again.
    """

    kind: PortionKind
    label: Text
    category: Text
    flags: Annotated[tuple[Text, ...], Count(0, 32)]
    grade: Text
    media: Text
    content: B32


@record
class Attachment:
    """The content of a portion of kind ATTACHMENT: the key to a file's pieces, and their digests."""

    size: U63
    """The size of the file in bytes."""
    key: Bytes32
    header: Annotated[bytes, Fixed("24s", 24)]
    pieces: Annotated[tuple[Bytes32, ...], Count(1, MAX_PIECES)]
    """H of each encrypted piece."""


@record
class Manifest:
    """Commitments to all portions of a bulletin, the same for every recipient."""

    version: Annotated[int, only(1, "H")]
    bulletin: Annotated[BulletinId, Fixed("16s", 16)]
    originator: Member
    created: Time
    precedence: Precedence
    expires: End
    commitments: Annotated[tuple[Bytes32, ...], Count(among=SLOT_COUNTS)]
    """The commitments by slot: portions are in random slots, and all other slots hold random bytes."""


@record
class Citation:
    """The article of a treaty text on which a grant stands."""

    treaty: Text
    text: Digest32
    article: Text


@record
class Granted:
    """One slot that the recipient may open, the grounds for it, and the recipient's obligations."""

    slot: U32
    citations: Annotated[tuple[Citation, ...], Count()]
    obligations: Annotated[tuple[Text, ...], Count()]


@record
class Reply:
    """The bulletin that this one answers; named only to members that received that bulletin."""

    originator: Member
    md: Md32


@record
class Evidence:
    """Another statement carried whole, provable by itself (a consent inside a grant)."""

    kind: Kind
    nonce: Bytes16
    data: B16
    proof: Proof
    batch: B16


@record
class Claims:
    """The explanation of its grant to one recipient; it stays provable after the secrets are destroyed."""

    manifest: B16
    recipient: Member
    granted: Annotated[tuple[Granted, ...], Count(1, 256)]
    """The granted slots, in reading order."""
    banner: Text
    supersedes: Annotated[tuple[Md32, ...], Count(0, 1)]
    reply: Annotated[tuple[Reply, ...], Count(0, 1)]
    decision: Digest32
    """The salted log-entry hash of this pair's decision, written before the grant."""
    consents: Annotated[tuple[Evidence, ...], Count()]


@record
class Release:
    """The originator's statement to one recipient: "this, to you, as number so-and-so"."""

    origin: Node
    incarnation: IncarnationId
    recipient: Member
    sequence: Number
    prev: Leaf32
    """The leaf id of the release before; for number 1, ``stream_start``."""
    precedence: Precedence
    deliver_by: End
    kem: KeyRef
    grant_digest: Digest32
    sealed: Digest32


@record
class ReleasePeek:
    """The start of a release, read by itself to learn whom a release is for before its rest is judged."""

    origin: Node
    incarnation: IncarnationId
    recipient: Member
    sequence: Number
    prev: Leaf32


@record
class Batch:
    """A signed batch: the root of a tree of statements."""

    suite: U16
    key: KeyRef
    root: Bytes32
    signed_at: Time
    signature: B16


@record
class Receipt:
    """A recipient's signed answer to one release."""

    to: Member
    leaf: Leaf32
    status: ReceiptStatus
    codes: Annotated[tuple[Word, ...], Count(0, 32)]
    decided_at: Time


@record
class Recall:
    """The originator recalls a bulletin."""

    to: Member
    md: Md32
    reason: Text


@record
class Cancelled:
    """Numbers that will never be used, both ends included."""

    first: Number
    last: Number


@record
class StreamHead:
    """The present end of a stream, and proof that its incarnation exists."""

    to: Member
    incarnation: IncarnationId
    previous: IncarnationId
    """The incarnation before; 0 if there was none."""
    last: Number
    """The last number sent; 0 if nothing was sent yet."""
    head: Leaf32
    """The leaf id of number ``last``; ``stream_start`` when that is 0."""
    cancelled: Annotated[tuple[Cancelled, ...], Count()]
    """All numbers cancelled so far."""


@record
class Consent:
    """The originator allows a forwarder to hand some slots to one more recipient."""

    to: Member
    md: Md32
    slots: Annotated[tuple[U32, ...], Count()]
    recipient: Member
    until: End
    question: Annotated[tuple[Leaf32, ...], Count(0, 1)] = ()
    """If this answers a question: the statement that asked."""


@record
class Reservation:
    """An exception that a member makes from a treaty: towards whom and for how long. An empty list means
    all.
    """

    categories: Annotated[tuple[Text, ...], Count()]
    level: Text
    counterparties: Annotated[tuple[Member, ...], Count()]
    start: Time
    until: End


@record
class TreatyAct:
    """One numbered act of a member about one treaty text."""

    member: Member
    n: U63
    previous: Leaf32
    """The leaf id of act ``n - 1``; zeros for the first."""
    treaty: Text
    text: Digest32
    act: Act
    effective: Time
    reservation: Annotated[tuple[Reservation, ...], Count(0, 1)]


@record
class Cosigned:
    """A checkpoint of another log that this log's node has seen and found consistent."""

    origin: Node
    incarnation: IncarnationId
    size: U63
    root: Digest32


@record
class Checkpoint:
    """The size and root of a node's log, with the checkpoints of others that it witnesses."""

    origin: Node
    incarnation: IncarnationId
    size: U63
    root: Digest32
    cosigned: Annotated[tuple[Cosigned, ...], Count()]


@record
class DocumentSignature:
    """One key's signature over a trust document."""

    key: KeyRef
    signature: B16


@record
class Trust:
    """A root or directory document, which proves itself by the signatures it carries."""

    type: TrustType
    document: B32
    signatures: Annotated[tuple[DocumentSignature, ...], Count()]
