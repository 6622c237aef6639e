"""The trust documents that this node holds, and the keys that it signs and opens with."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

from intelshare.audit.node_records import KeyChanged, TrustAccepted
from intelshare.audit.records import EntryType
from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.node import Node, with_trust
from intelshare.broker.kernel.tables import TRUST, UNHEARD, UNKNOWN, TrustRow, UnheardRow
from intelshare.broker.kernel.transaction import Transaction
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.pae import sha256
from intelshare.crypto.records import Trust, TrustType
from intelshare.crypto.suites import Signer
from intelshare.envelope import SealingKeyHeld
from intelshare.errors import RecordError, StoreError
from intelshare.ids import Digest, KeyId, MemberCode
from intelshare.instant import Instant
from intelshare.ports import EVERY_ROW, Plan, Random, Scalar, View
from intelshare.trust import Change, MemberTrust, Revocation, Revocations

REVOKED: Final = 3
"""The type of the row that keeps what a member has revoked; the others are those of ``TrustType``."""


def admit(
    node: Node,
    view: View,
    roots: Sequence[Trust],
    directory: Trust | None,
    fingerprint: str,
    now: Instant,
    random: Random,
) -> Plan[Effects]:
    """Admit a member on first contact, by a fingerprint that two people compared. If the disk has forgotten
    something, it may have forgotten this member: it is waited for like those that were known.

    Raises TrustError (trust/rules.py).
    """
    change = node.trust.with_member(roots, fingerprint)
    changes = [(trust, change) for trust in roots]
    if directory is not None:
        change = change.view.with_document(directory, now)
        changes.append((directory, change))
    tx = Transaction(node, view, now, random)
    for trust, after in changes:
        keep_document(tx, change.member, trust, after)
    lost = view.get(UNHEARD, UNKNOWN) if change.member not in node.trust.members else None
    if lost is not None:
        tx.put(UNHEARD, UnheardRow(change.member, lost.since, max(now, lost.until), 0))
    tx.node = with_trust(node, change.view)
    return tx.plan(tx.effects())


def adopt(node: Node, view: View, trust: Trust, now: Instant, random: Random) -> Plan[Effects]:
    """Accept a trust document of this member. Raises TrustError (trust/rules.py)."""
    change = node.trust.with_document(trust, now)
    tx = Transaction(node, view, now, random)
    if change.changed:
        keep_document(tx, change.member, trust, change)
        tx.node = with_trust(node, change.view)
    return tx.plan(tx.effects())


def take_keys(
    node: Node,
    view: View,
    sealing: Mapping[KeyId, SealingKeyHeld],
    retired: Collection[KeyId],
    signer: Signer,
    changes: Sequence[KeyChanged],
    now: Instant,
    random: Random,
) -> Plan[Effects]:
    """Switch to the keys that the vault holds after a rotation, and log what changed."""
    tx = Transaction(node, view, now, random)
    for change in changes:
        tx.log(EntryType.KEY, change)
    tx.node = replace(node, sealing=sealing, retired=frozenset(retired), signer=signer)
    return tx.plan(tx.effects())


def keep_document(tx: Transaction, member: MemberCode, trust: Trust, change: Change) -> None:
    """Store an accepted document: all roots, but of directories the newest and those whose keys it leaves
    out, with what is remembered of all before it.
    """
    held = change.view.members[member]
    version = held.directory.version if held.directory is not None else 0
    record = encode(Trust, trust)
    if trust.type is TrustType.ROOT:
        version = 1 + next(
            (place for place, root in enumerate(held.roots) if root.document == trust.document),
            len(held.roots),
        )
        tx.put(TRUST, TrustRow(member, trust.type, version, record))
    keep_directories(tx, held)
    tx.log(EntryType.TRUST, TrustAccepted(member, trust.type, version, Digest(sha256(record))))


def keep_directories(tx: Transaction, held: MemberTrust) -> None:
    """Store the directories held in the place of others: a root too may change what is remembered."""
    rows = {TRUST.key_of(row): row for row in directory_rows(held)}
    damaged: list[StoreError] = []
    stored = tx.view.find(TRUST, "key", held.member, limit=EVERY_ROW, damaged=damaged)
    for old in (*stored, *tx.put_into(TRUST)):
        if old.member == held.member and old.type != TrustType.ROOT and TRUST.key_of(old) not in rows:
            tx.delete(TRUST, *TRUST.key_of(old))
    newest = max([row.version for row in stored if row.type == TrustType.DIRECTORY], default=0)
    for error in damaged:
        # The one that was held is replaced. One from before it listed keys that this member's file has.
        if isinstance(error, RecordError) and error.key not in rows and _is_later(error.key, newest):
            tx.delete(TRUST, *error.key)
    for row in rows.values():
        tx.put(TRUST, row)


def _is_later(key: tuple[Scalar, ...], version: int) -> bool:
    """Return True for the key of a directory after this one."""
    return key[1:2] == (TrustType.DIRECTORY,) and key[2:] > (version,)


def directory_rows(held: MemberTrust) -> list[TrustRow]:
    """Return the rows of the directories held of a member, with what is remembered of those before them.

    What counts as revoked stands in two rows: one that is damaged brings no revoked key back.
    """
    rows = []
    if held.directory is not None and held.directory_signed is not None:
        revoked = encode(Revocations, Revocations(held.remembered)) if held.remembered else b""
        record = encode(Trust, held.directory_signed)
        rows.append(TrustRow(held.member, TrustType.DIRECTORY, held.directory.version, record, revoked))
    for one in held.former:
        record = encode(Trust, one.signed)
        rows.append(TrustRow(held.member, TrustType.DIRECTORY, one.directory.version, record))
    if held.lasting_revocations:
        record = encode(Revocations, Revocations(held.lasting_revocations))
        rows.append(TrustRow(held.member, REVOKED, 1, record))
    return rows


def documents(view: View) -> list[bytes]:
    """Return every stored trust document, in the form that ``TrustView.load`` takes."""
    return [row.record for row in view.find(TRUST, "key", limit=EVERY_ROW) if row.type != REVOKED]


def remembered(view: View) -> dict[MemberCode, tuple[Revocation, ...]]:
    """Return what each member has revoked in earlier directories, for ``TrustView.load``."""
    found: dict[MemberCode, tuple[Revocation, ...]] = {}
    for row in view.find(TRUST, "key", limit=EVERY_ROW):
        kept = row.record if row.type == REVOKED else row.remembered
        if kept:
            found[row.member] = found.get(row.member, ()) + decode(Revocations, kept).rows
    return found
