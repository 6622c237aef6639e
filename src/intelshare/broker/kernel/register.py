"""Who may do what at this node, and whom it knows: changes of the user register and of trust.

Rows of the register never cross the border; changes are logged and hold at once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from intelshare.audit.records import EntryType, Register, TrustAccepted
from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.node import Node, with_trust
from intelshare.broker.kernel.tables import TRUST, USER, TrustRow, UserRow
from intelshare.broker.kernel.transaction import Transaction
from intelshare.broker.kernel.words import check_words
from intelshare.crypto.codec import encode
from intelshare.crypto.pae import sha256
from intelshare.crypto.records import Trust, TrustType
from intelshare.crypto.suites import Signer
from intelshare.envelope import SealingKeyHeld
from intelshare.errors import DeliveryError
from intelshare.ids import Digest, KeyId, MemberCode, UserUri
from intelshare.instant import Instant
from intelshare.labels import WordKind
from intelshare.policy import ANY_CATEGORY
from intelshare.ports import Plan, Random, View, changed
from intelshare.roles import Role
from intelshare.trust import Change


@dataclass(frozen=True, slots=True)
class SetUserCommand:
    """Add a user or change its row; ``by`` is who does it."""

    by: UserUri
    user: UserRow


def set_user(node: Node, view: View, event: SetUserCommand, now: Instant, random: Random) -> Plan[UserRow]:
    """Write a register row. Raises DeliveryError INPUT_INVALID (clearance), WORD_UNKNOWN."""
    row = event.user
    if row.role not in frozenset(Role):
        raise DeliveryError("INPUT_INVALID", f"{row.role!r} is no role", hint="one of " + ", ".join(Role))
    registry = node.world.registry
    levels = {f"R{n}" for n in range(5)}
    known = row.clearance in levels or registry.ladder(node.member).read(row.clearance, now) is not None
    if row.clearance and not known:
        raise DeliveryError(
            "INPUT_INVALID",
            f"{row.clearance!r} is no level of {node.member}",
            hint="a level of your own ladder, or R0 to R4",
        )
    if row.nationality and not registry.is_state(row.nationality):
        raise DeliveryError(
            "INPUT_INVALID", f"{row.nationality!r} is no state", hint="ISO 3166-1 alpha-3, as FRA"
        )
    if not row.revoked:
        # Whoever is revoked may hold a category whose time is over.
        check_words(
            node, WordKind.CATEGORY, [word for word in row.categories.split() if word != ANY_CATEGORY]
        )
    tx = Transaction(node, view, now, random)
    change = "revoked" if row.revoked else f"{row.role} {row.clearance} {row.nationality} {row.categories}"
    tx.log(EntryType.REGISTER, Register(event.by, row.user, change))
    tx.put(USER, row)
    return tx.plan(row)


def revoke_user(
    node: Node, view: View, by: UserUri, user: UserUri, now: Instant, random: Random
) -> Plan[UserRow]:
    """Take a user's access away, at once. Raises DeliveryError NOT_FOUND."""
    row = view.get(USER, user)
    if row is None:
        raise DeliveryError("NOT_FOUND", "there is no such user", hint="`intelshare user list`")
    return set_user(node, view, SetUserCommand(by, changed(row, revoked=1)), now, random)


def users(view: View) -> list[UserRow]:
    """All users, by URI."""
    return view.find(USER, "key", limit=1_000_000)


def admit(
    node: Node,
    view: View,
    roots: Sequence[Trust],
    directory: Trust | None,
    fingerprint: str,
    now: Instant,
    random: Random,
) -> Plan[Effects]:
    """First contact with a member, by a fingerprint that two people compared.

    Raises TrustError (trust/rules.py).
    """
    change = node.trust.with_member(roots, fingerprint)
    changes = [(trust, change) for trust in roots]
    if directory is not None:
        change = change.view.with_document(directory, now)
        changes.append((directory, change))
    tx = Transaction(node, view, now, random)
    for trust, _ in changes:
        keep_document(tx, change.member, trust, change)
    tx.node = with_trust(node, change.view)
    return tx.plan(tx.effects())


def adopt(node: Node, view: View, trust: Trust, now: Instant, random: Random) -> Plan[Effects]:
    """Take in an own document. Raises TrustError (trust/rules.py)."""
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
    now: Instant,
    random: Random,
) -> Plan[Effects]:
    """Go on with other keys: those that the vault holds after a rotation."""
    tx = Transaction(node, view, now, random)
    tx.node = replace(node, sealing=sealing, retired=frozenset(retired), signer=signer)
    return tx.plan(tx.effects())


def keep_document(tx: Transaction, member: MemberCode, trust: Trust, change: Change) -> None:
    """Store an accepted document: roots all, of directories the newest only."""
    held = change.view.members[member]
    if trust.type is TrustType.DIRECTORY:
        version = held.directory.version if held.directory is not None else 0
        for old in tx.view.find(TRUST, "key", member, trust.type):
            tx.delete(TRUST, member, trust.type, old.version)
    else:
        version = 1 + next(
            (place for place, root in enumerate(held.roots) if root.document == trust.document),
            len(held.roots),
        )
    record = encode(Trust, trust)
    tx.put(TRUST, TrustRow(member, trust.type, version, record))
    tx.log(EntryType.TRUST, TrustAccepted(member, trust.type, version, Digest(sha256(record))))


def documents(view: View) -> list[bytes]:
    """Every stored trust document, as ``TrustView.load`` takes them."""
    return [row.record for row in view.find(TRUST, "key", limit=100_000)]
