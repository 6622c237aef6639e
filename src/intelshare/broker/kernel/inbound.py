"""The state that the steps of receiving share: transaction, peer, and what its frame has brought."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from intelshare.broker.kernel.allowance import Allowance
from intelshare.broker.kernel.tables import ActRow, ReceivedRow
from intelshare.broker.kernel.transaction import Transaction
from intelshare.crypto.records import ReceiptStatus, ReleasePeek
from intelshare.envelope import Opener
from intelshare.ids import BulletinId, Incarnation, LeafId, ManifestDigest, MemberCode, NodeUri
from intelshare.instant import Instant
from intelshare.policy import PartyAct
from intelshare.statement import Statement, Verified


class Refusal(Exception):
    """A release that is authentic and for this member, but refused: a signed receipt carries the codes."""

    def __init__(self, codes: tuple[str, ...], peek: ReleasePeek, md: ManifestDigest | None = None) -> None:
        super().__init__(" ".join(codes))
        self.codes = codes[:32]
        self.peek = peek
        self.md = md


@dataclass(slots=True)
class Inbound:
    """One frame while it is being processed."""

    tx: Transaction
    member: MemberCode
    uri: NodeUri
    batch_key: bytes
    opener: Opener
    receipts: list[tuple[LeafId, ReceiptStatus, tuple[str, ...], int]] = field(default_factory=list)
    """(statement, status, codes, rank) of the receipts to sign after the whole frame."""
    unanswered: dict[LeafId, Callable[[Inbound, LeafId], ReceivedRow]] = field(default_factory=dict)
    """Statements whose row is made once the receipt that it names is signed."""
    numbers: dict[tuple[NodeUri, Incarnation, int], tuple[LeafId, LeafId]] = field(default_factory=dict)
    """(leaf, prev) of each release number that this frame has brought."""
    bulletins: dict[tuple[MemberCode, BulletinId], ManifestDigest] = field(default_factory=dict)
    """The bulletins that this frame has brought, by originator and id."""
    streams: set[tuple[NodeUri, Incarnation]] = field(default_factory=set)
    acts: dict[LeafId, ActRow] | None = None
    """All treaty acts of the peer, loaded once its frame has brought one."""
    counting: list[PartyAct] = field(default_factory=list)
    """The acts that came into force through this frame."""
    accepted: int = 0
    forgotten: Instant | None = None
    """When the earliest receipt was signed that answers a release which this node does not know."""
    clock: bool = True
    """True if this node's clock is believed."""
    allowance: Allowance = field(default_factory=Allowance)


def known_row(
    inbound: Inbound,
    verified: Verified | None,
    peek: ReleasePeek | None,
    *,
    statement: Statement | None = None,
    leaf: LeafId | None = None,
    batch: bytes = b"",
) -> ReceivedRow:
    """Return the row by which a statement is known for ever, and keep its batch record."""
    if verified is not None:
        statement, leaf, batch = verified.statement, verified.leaf, verified.batch.raw
    assert statement is not None  # noqa: S101 - one of both ways of calling it
    assert leaf is not None  # noqa: S101
    return ReceivedRow(
        inbound.member,
        leaf,
        statement.kind,
        statement.nonce,
        statement.data,
        statement.proof,
        inbound.tx.batch(batch),
        inbound.tx.now,
        "",
        LeafId(b""),
        peek.origin if peek is not None else inbound.uri,
        peek.incarnation if peek is not None else Incarnation(0),
        peek.sequence if peek is not None else 0,
        peek.prev if peek is not None else LeafId(b""),
    )
