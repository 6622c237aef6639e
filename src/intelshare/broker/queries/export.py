"""Export: one release with all that was signed and logged about it, for somebody who trusts neither side.

For the sender and for the recipient. Of the sender's log the decision is shown by its hash only: it would
tell what was withheld (docs/format.md, "Files for others").
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

from intelshare.audit.portable import (
    RELEASE_SCHEMA,
    Documents,
    ProvedHash,
    ReleaseFile,
    ShownPortion,
    wrap,
)
from intelshare.broker.kernel.actor import Actor, row_of
from intelshare.broker.kernel.decide_pair import banner_of
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.pair_rows import logged_decision
from intelshare.broker.kernel.portion_secrets import read_secret
from intelshare.broker.kernel.stored_bulletins import Written, find_bulletin, only_one
from intelshare.broker.kernel.tables import (
    BATCH,
    INBOX,
    PAIR,
    RECALLED,
    RECEIPT,
    RECEIVED,
    RELATED,
    STATEMENT,
    InboxRow,
    PairRow,
    ReceivedRow,
    StatementRow,
)
from intelshare.broker.kernel.transaction import open_secret
from intelshare.broker.lifecycle.read import received
from intelshare.broker.lifecycle.relations import Relation
from intelshare.broker.transparency.proving import ProofQuery, prove_place, show_about
from intelshare.crypto.aead import open_once
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.pae import sha256
from intelshare.crypto.records import Claims, Evidence, Granted, Kind, Recall, Receipt, Release, Reply
from intelshare.envelope import body_bound, body_key, grant_digest
from intelshare.errors import DeliveryError
from intelshare.ids import LeafId, ManifestDigest, MemberCode
from intelshare.instant import Instant
from intelshare.ports import View

MAX_SAID: Final = 4096
"""Statements to one peer that are looked through for those about a release."""

ALLOWED: Final = 1
"""The outcome of a portion that is granted, as logged."""


@dataclass(frozen=True, slots=True)
class ExportQuery:
    """Which release, by the beginning of its bulletin's id, and whether portions of it are shown."""

    bulletin: str
    recipient: str = ""
    """Of an own bulletin: whose release; may be left out if there is one."""
    content: bool = False
    slots: tuple[int, ...] = ()
    """Which portions; empty: all that were granted."""


def export_release(
    node: Node, view: View, actor: Actor, wanted: ExportQuery, documents: Documents, now: Instant
) -> ReleaseFile:
    """The file. Raises DeliveryError NOT_FOUND, NOT_AUTHORISED, INPUT_INVALID; TrustError."""
    user = row_of(view, actor)
    got = received(node, view, wanted.bulletin, user, now)
    if got and not wanted.recipient:
        if wanted.content:
            raise DeliveryError(
                "INPUT_INVALID",
                "only the sender exports content: reading it is logged, and exporting is not reading",
                hint="read it, and give the text beside the proof",
            )
        return _of_recipient(node, view, only_one(got, wanted.bulletin).row, documents)
    written = find_bulletin(node, view, wanted.bulletin, user, now)
    return _of_sender(node, view, written, _pair(view, written, wanted.recipient), wanted, documents)


def _pair(view: View, written: Written, recipient: str) -> PairRow:
    rows = [
        row
        for row in view.find(PAIR, "key", written.row.md)
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
    node: Node, view: View, written: Written, row: PairRow, wanted: ExportQuery, documents: Documents
) -> ReleaseFile:
    statement = view.get(STATEMENT, row.leaf)
    if statement is None:
        raise DeliveryError("NOT_FOUND", "the signed release is kept no longer")
    granted = [
        one for one in logged_decision(node, view, row).portions if one.decision.value.outcome == ALLOWED
    ]
    secrets = _secrets(node, view, written, [one.slot for one in granted])
    claims = _claims(node, view, written, row, decode(Release, statement.data), secrets)
    shown = [slot for slot in secrets if wanted.content and (not wanted.slots or slot in wanted.slots)]
    receipts = [
        _received(view, view.get(RECEIVED, one.member, one.leaf))
        for one in view.find(RECEIPT, "key", row.md, row.recipient, limit=MAX_SAID)
    ]
    recalls = [
        _said(view, one)
        for one in _told(view, row.recipient, Kind.RECALL)
        if decode(Recall, one.data).md == row.md
    ]
    return _file(
        node,
        view,
        row.leaf,
        _said(view, statement),
        (claims, sha256(b"".join(secrets.values()))) if claims is not None else None,
        [_portion(written, slot, secrets[slot]) for slot in shown] if claims is not None else [],
        prove_place(node, view, row.decided_in, row.decided_at) if claims is not None else None,
        [*receipts, *recalls],
        documents,
    )


def _of_recipient(node: Node, view: View, row: InboxRow, documents: Documents) -> ReleaseFile:
    claims = open_secret(node, INBOX.name, row.md, 0, row.sealed_claims)
    release = view.get(RECEIVED, row.sender, row.leaf)
    about = [
        _said(view, one)
        for one in _told(view, row.sender, Kind.RECEIPT)
        if decode(Receipt, one.data).leaf == row.leaf
    ]
    recalled = view.get(RECALLED, row.originator, row.md)
    if recalled is not None:
        about.append(_received(view, view.get(RECEIVED, row.originator, recalled.leaf)))
    return _file(
        node, view, row.leaf, _received(view, release), (claims, row.secrets), [], None, about, documents
    )


def _file(
    node: Node,
    view: View,
    leaf: LeafId,
    release: Evidence | None,
    claims: tuple[bytes, bytes] | None,
    portions: list[ShownPortion],
    decision: ProvedHash | None,
    about: Sequence[Evidence | None],
    documents: Documents,
) -> ReleaseFile:
    if release is None:
        raise DeliveryError("NOT_FOUND", "the signed release is kept no longer")
    return ReleaseFile(
        RELEASE_SCHEMA,
        wrap(Evidence, release),
        None if claims is None else b64encode(claims[0]).decode("ascii"),
        bytes(32).hex() if claims is None else claims[1].hex(),
        portions,
        decision,
        [wrap(Evidence, one) for one in about if one is not None],
        [show_about(node, view, ProofQuery(node.incarnation, 0, statement=leaf.hex()))],
        documents,
    )


def _secrets(node: Node, view: View, written: Written, slots: Sequence[int]) -> dict[int, bytes]:
    """Of the granted slots in their order; none once they are destroyed."""
    by_slot = {portion.slot: portion for portion in written.portions}
    try:
        return {slot: read_secret(node, view, by_slot[slot]) for slot in slots}
    except DeliveryError:
        return {}


def _claims(
    node: Node, view: View, written: Written, row: PairRow, release: Release, secrets: dict[int, bytes]
) -> bytes | None:
    """What the grant said, made again: a sender does not keep it. None if it cannot be made as it was."""
    labels = dict(zip([portion.slot for portion in written.portions], written.labels, strict=True))
    allowed = [one for one in logged_decision(node, view, row).portions if one.slot in secrets]
    granted = tuple(
        Granted(p.slot, p.decision.value.citations, p.decision.value.obligations) for p in allowed
    )
    if not granted:
        return None
    banner = banner_of(node, [labels[one.slot] for one in granted], node.member, row.changed)
    digest = sha256(b"".join(secrets.values()))
    related = view.find(RELATED, "md", row.md)
    supersedes = [(), tuple([one.of for one in related if one.relation == Relation.SUPERSEDES])]
    replies = [(), tuple([Reply(one.member, one.of) for one in related if one.relation == Relation.REPLY])]
    # Whether they were named depends on what the recipient had been handed then.
    for earlier, reply in product(supersedes, replies):
        made = Claims(written.row.manifest, row.recipient, granted, banner, earlier, reply, row.decision, ())
        data = encode(Claims, made)
        if grant_digest(data, digest) == release.grant_digest:
            return data
    return None


def _portion(written: Written, slot: int, secret: bytes) -> ShownPortion:
    (row,) = [portion for portion in written.portions if portion.slot == slot]
    md = ManifestDigest(written.row.md)
    padded = open_once(body_key(secret, md, slot), row.body, body_bound(md, slot), "a portion")
    return ShownPortion(slot, secret.hex(), b64encode(padded).decode("ascii"))


def _told(view: View, peer: MemberCode, kind: Kind) -> Iterator[StatementRow]:
    yield from view.find(STATEMENT, "number", peer, kind, limit=MAX_SAID)


def _said(view: View, row: StatementRow) -> Evidence | None:
    batch = view.get(BATCH, row.batch)
    return None if batch is None else Evidence(Kind(row.kind), row.nonce, row.data, row.proof, batch.record)


def _received(view: View, row: ReceivedRow | None) -> Evidence | None:
    batch = None if row is None else view.get(BATCH, row.batch)
    if row is None or batch is None:
        return None
    return Evidence(Kind(row.kind), row.nonce, row.data, row.proof, batch.record)
