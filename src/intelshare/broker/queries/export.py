"""Export: one release with all that was signed and logged about it, for somebody who trusts neither side.

Both the sender and the recipient can export, also after the recipient has destroyed it. Only the granted part
of the sender's decision is opened: the rest would tell what was withheld (docs/format.md, "Files for
others").

Readers export what they may see, and what they had opened before it was destroyed: after that no label is
left by which to judge who else might have. A bulletin that was destroyed unread is therefore exported,
without content, by a user who oversees the log and needs no clearance for that.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from intelshare.audit.portable import RELEASE_SCHEMA, Documents, ReleaseFile, ShownLog, ShownPortion, wrap
from intelshare.broker.kernel.actor import Actor, user_row_of
from intelshare.broker.kernel.kept_claims import Said, read_claims
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.portion_secrets import read_secret
from intelshare.broker.kernel.stored_bulletins import (
    MAX_ALIKE,
    find_bulletin,
    id_range,
    not_found,
    only_one,
)
from intelshare.broker.kernel.tables import (
    BATCH,
    BULLETIN,
    INBOX,
    PAIR,
    PORTION,
    RECALLED,
    RECEIPT,
    RECEIVED,
    STATEMENT,
    BulletinRow,
    InboxRow,
    PairRow,
    PortionRow,
    ReceivedRow,
    StatementRow,
    UserRow,
)
from intelshare.broker.kernel.transaction import open_secret
from intelshare.broker.lifecycle.read import Shown, destroyed_of, received
from intelshare.broker.transparency.proving import show_release
from intelshare.crypto.aead import open_once
from intelshare.crypto.codec import decode
from intelshare.crypto.records import Claims, Evidence, Kind, Recall, Receipt
from intelshare.envelope import body_bound, body_key
from intelshare.errors import DeliveryError, StoreError
from intelshare.ids import ManifestDigest, MemberCode
from intelshare.instant import Instant
from intelshare.instant import show as show_instant
from intelshare.ports import Row, Scalar, Table, View

R = TypeVar("R", bound=Row)

MAX_SAID: Final = 4096
"""The most statements to one peer that are searched for those about a release."""


@dataclass(frozen=True, slots=True)
class ExportQuery:
    """Selects a release by the start of its bulletin's id, and if its portions are shown."""

    bulletin: str
    recipient: str = ""
    """The recipient of a bulletin of this member; may be left out if there is only one."""
    content: bool = False
    slots: tuple[int, ...] = ()
    """The portions to show; empty: all that were granted and that the user may read."""
    originator: str = ""
    """The member that wrote the bulletin; empty: any, if only one has a bulletin with that id."""
    overseen: bool = False
    """True if the user oversees the log: any release, without content."""


def export_release(
    node: Node, view: View, actor: Actor, wanted: ExportQuery, documents: Documents, now: Instant
) -> ReleaseFile:
    """Return the release file. Raises DeliveryError NOT_FOUND, NOT_AUTHORISED, INPUT_INVALID; TrustError."""
    user = user_row_of(view, actor)
    if wanted.overseen:
        row = _any(node, view, wanted)
        if isinstance(row, InboxRow):
            return _of_recipient(node, view, row, None, wanted, documents)
        return _of_sender(node, view, _pair(view, row.md, wanted.recipient), wanted, documents)
    got = find_received(node, view, user, wanted, now)
    if got is not None:
        return _of_recipient(node, view, *got, wanted, documents)
    if wanted.originator not in ("", node.member):
        raise not_found(wanted.bulletin, wanted.originator)
    written = find_bulletin(node, view, wanted.bulletin, user, now)
    return _of_sender(node, view, _pair(view, written.row.md, wanted.recipient), wanted, documents)


def _any(node: Node, view: View, wanted: ExportQuery) -> InboxRow | BulletinRow:
    """Find the bulletin, whoever may read it. Raises DeliveryError NOT_FOUND, INPUT_INVALID."""
    low, high = id_range(wanted.bulletin)
    found: list[tuple[MemberCode, InboxRow | BulletinRow]] = []
    if not wanted.recipient:
        got = view.find(INBOX, "id", after=(low,), limit=MAX_ALIKE)
        found += [(row.originator, row) for row in got if row.bulletin <= high]
    own = view.find(BULLETIN, "bulletin", after=(low,), limit=MAX_ALIKE)
    found += [(node.member, row) for row in own if row.bulletin <= high]
    chosen = [one for one in found if wanted.originator in ("", one[0])]
    return only_one(chosen, wanted.bulletin, wanted.originator)


def find_received(
    node: Node, view: View, user: UserRow, wanted: ExportQuery, now: Instant
) -> tuple[InboxRow, Shown | None] | None:
    """Find the received bulletin, and what the user may read of it: None if it is destroyed.

    Returns None if a bulletin of this member is meant. Raises DeliveryError INPUT_INVALID.
    """
    if wanted.recipient:
        return None
    found: list[tuple[MemberCode, tuple[InboxRow, Shown | None]]] = [
        (originator, (shown.row, shown))
        for originator, shown in received(node, view, wanted.bulletin, user, now, wanted.originator)
    ]
    destroyed = destroyed_of(view, wanted.bulletin, user.user, wanted.originator)
    found += [(row.originator, (row, None)) for row in destroyed]
    return only_one(found, wanted.bulletin, wanted.originator) if found else None


def _pair(view: View, md: ManifestDigest, recipient: str) -> PairRow:
    rows = [
        row
        for row in _whole(view, PAIR, "key", md)
        if row.leaf and (not recipient or row.recipient == recipient)
    ]
    if len(rows) != 1:
        raise DeliveryError(
            "NOT_FOUND" if not rows else "INPUT_INVALID",
            "it was handed over to nobody" if not rows else "it was handed over to several members",
            hint="name the recipient with --to; `intelshare outbox` shows them",
        )
    return rows[0]


def _of_sender(
    node: Node, view: View, row: PairRow, wanted: ExportQuery, documents: Documents
) -> ReleaseFile:
    statement = view.get(STATEMENT, row.leaf)
    if statement is None:
        raise _kept_no_longer()
    said = read_claims(node, view, statement)
    slots = [one.slot for one in said.granted]
    receipts = [
        _received(view, view.get(RECEIVED, one.member, one.leaf))
        for one in _whole(view, RECEIPT, "key", row.md, row.recipient)
    ]
    recalls = [
        _said(view, one)
        for one in _told(view, row.recipient, Kind.RECALL)
        if decode(Recall, one.data).md == row.md
    ]
    return _file(
        _said(view, statement),
        said,
        _portions(node, view, row.md, _wanted(wanted, slots)),
        [*receipts, *recalls],
        show_release(node, view, row.leaf, said.decided, slots),
        documents,
    )


def _of_recipient(
    node: Node, view: View, row: InboxRow, readable: Shown | None, wanted: ExportQuery, documents: Documents
) -> ReleaseFile:
    claims = open_secret(node, INBOX.name, row.md, 0, row.sealed_claims)
    said = Said(claims, decode(Claims, claims).granted, row.secrets, None)
    slots = [portion.slot for portion in readable.portions] if readable is not None else []
    about = [
        _said(view, one)
        for one in _told(view, row.sender, Kind.RECEIPT)
        if decode(Receipt, one.data).leaf == row.leaf
    ]
    recalled = view.get(RECALLED, row.originator, row.md)
    if recalled is not None:
        about.append(_received(view, view.get(RECEIVED, row.originator, recalled.leaf)))
    return _file(
        _received(view, view.get(RECEIVED, row.sender, row.leaf)),
        said,
        _portions(node, view, row.md, _wanted(wanted, slots)),
        about,
        show_release(node, view, row.leaf, None, ()),
        documents,
    )


def _file(
    release: Evidence | None,
    said: Said,
    portions: list[ShownPortion],
    about: Sequence[Evidence | None],
    log: ShownLog,
    documents: Documents,
) -> ReleaseFile:
    if release is None:
        raise _kept_no_longer()
    return ReleaseFile(
        RELEASE_SCHEMA,
        wrap(Evidence, release),
        b64encode(said.claims).decode("ascii"),
        said.secrets.hex(),
        portions,
        [wrap(Evidence, one) for one in about if one is not None],
        [log],
        documents,
    )


def _wanted(wanted: ExportQuery, slots: Sequence[int]) -> Sequence[int]:
    """Return the slots whose content is shown. Raises DeliveryError NOT_FOUND for one that cannot be."""
    if not wanted.content:
        return ()
    missing = [slot for slot in wanted.slots if slot not in slots]
    if missing or not slots:
        known = ", ".join(str(slot) for slot in slots) or "none"
        raise DeliveryError(
            "NOT_FOUND",
            f"there is no content of slot {missing[0]} to show" if missing else "its content is destroyed",
            hint=f"you may show these slots: {known}",
        )
    return [slot for slot in slots if not wanted.slots or slot in wanted.slots]


def _portions(node: Node, view: View, md: ManifestDigest, slots: Collection[int]) -> list[ShownPortion]:
    """Return these portions, opened. Raises DeliveryError, StoreError for secrets that are destroyed."""
    rows: list[PortionRow] = _whole(view, PORTION, "key", md) if slots else []
    purged = [row.purged for row in rows if row.purged]
    if purged:
        raise DeliveryError(
            "NOT_FOUND",
            f"the content was purged at {show_instant(purged[0])}, after delivery",
            hint="export it without --content: that still proves the release and its receipts",
        )
    stored = {row.slot: row for row in rows}
    return [_portion(stored[slot], read_secret(node, view, stored[slot])) for slot in slots]


def _portion(row: PortionRow, secret: bytes) -> ShownPortion:
    md, slot = row.md, row.slot
    padded = open_once(body_key(secret, md, slot), row.body, body_bound(md, slot), "a portion")
    return ShownPortion(slot, secret.hex(), b64encode(padded).decode("ascii"))


def _kept_no_longer() -> DeliveryError:
    return DeliveryError("NOT_FOUND", "the signed release is no longer kept")


def _told(view: View, peer: MemberCode, kind: Kind) -> list[StatementRow]:
    return _whole(view, STATEMENT, "number", peer, kind)


def _whole(view: View, table: Table[R], index: str, *prefix: Scalar) -> list[R]:
    """Return these rows. A proof that lacks one in silence would say something else. Raises StoreError
    RECORD_CORRUPT for the first that is damaged.
    """
    damaged: list[StoreError] = []
    rows = view.find(table, index, *prefix, limit=MAX_SAID, damaged=damaged)
    if damaged:
        raise damaged[0]
    return rows


def _said(view: View, row: StatementRow) -> Evidence | None:
    batch = view.get(BATCH, row.batch)
    return None if batch is None else Evidence(Kind(row.kind), row.nonce, row.data, row.proof, batch.record)


def _received(view: View, row: ReceivedRow | None) -> Evidence | None:
    batch = None if row is None else view.get(BATCH, row.batch)
    if row is None or batch is None:
        return None
    return Evidence(Kind(row.kind), row.nonce, row.data, row.proof, batch.record)
