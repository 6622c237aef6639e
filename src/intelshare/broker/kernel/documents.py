"""The trust documents that this node holds, and the keys that it signs and opens with."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from intelshare.audit.node_records import KeyChanged, TrustAccepted
from intelshare.audit.records import EntryType
from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.node import Node, with_trust
from intelshare.broker.kernel.tables import TRUST, TrustRow
from intelshare.broker.kernel.transaction import Transaction
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.pae import sha256
from intelshare.crypto.records import Trust, TrustType
from intelshare.crypto.suites import Signer
from intelshare.envelope import SealingKeyHeld
from intelshare.ids import Digest, KeyId, MemberCode
from intelshare.instant import Instant
from intelshare.ports import Plan, Random, View
from intelshare.trust import Change, MemberTrust, Revocation, Revocations


def admit(
    node: Node,
    view: View,
    roots: Sequence[Trust],
    directory: Trust | None,
    fingerprint: str,
    now: Instant,
    random: Random,
) -> Plan[Effects]:
    """Admit a member on first contact, by a fingerprint that two people compared.

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
    """Store an accepted document: all roots, but only the newest directory, with what is remembered of those
    before it.
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
    _keep_directory(tx, held)
    tx.log(EntryType.TRUST, TrustAccepted(member, trust.type, version, Digest(sha256(record))))


def _keep_directory(tx: Transaction, held: MemberTrust) -> None:
    """Store the directory held in the place of others: a root too may change what is remembered beside it."""
    member, kind = held.member, TrustType.DIRECTORY
    stored = [*tx.view.find(TRUST, "key", member, kind), *tx.put_into(TRUST)]
    for old in stored:
        if (old.member, old.type) == (member, kind):
            tx.delete(TRUST, member, kind, old.version)
    row = directory_row(held)
    if row is not None:
        tx.put(TRUST, row)


def directory_row(held: MemberTrust) -> TrustRow | None:
    """Return the row of the directory held of a member, with what is remembered of those before it."""
    if held.directory is None or held.directory_signed is None:
        return None
    revoked = encode(Revocations, Revocations(held.remembered)) if held.remembered else b""
    record = encode(Trust, held.directory_signed)
    return TrustRow(held.member, TrustType.DIRECTORY, held.directory.version, record, revoked)


def documents(view: View) -> list[bytes]:
    """Return every stored trust document, in the form that ``TrustView.load`` takes."""
    return [row.record for row in view.find(TRUST, "key", limit=100_000)]


def remembered(view: View) -> dict[MemberCode, tuple[Revocation, ...]]:
    """Return what each member has revoked in earlier directories, for ``TrustView.load``."""
    return {
        row.member: decode(Revocations, row.remembered).rows
        for row in view.find(TRUST, "key", limit=100_000)
        if row.remembered
    }
