"""The user register: who may do what at this node.

Its rows never cross the border; changes are logged and take effect at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from intelshare.audit.node_records import Register
from intelshare.audit.records import EntryType
from intelshare.broker.kernel.actor import NO_DIGEST, known_user, proofs, subject_of, superseded
from intelshare.broker.kernel.certificates import keep_certificate
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.tables import USER, CertificateRow, UserRow
from intelshare.broker.kernel.transaction import Transaction
from intelshare.broker.kernel.words import check_words
from intelshare.crypto.x509 import BACKDATE, NAME_KINDS
from intelshare.errors import DeliveryError
from intelshare.ids import Digest, UserUri
from intelshare.instant import Instant
from intelshare.labels import WordKind
from intelshare.policy import ANY_CATEGORY
from intelshare.ports import EVERY_ROW, Plan, Random, View, changed
from intelshare.roles import Role


@dataclass(frozen=True, slots=True)
class Credential:
    """The digest of a user's new certificate or ticket; neither if another authority issues them."""

    certificate: Digest = NO_DIGEST
    ticket: Digest = NO_DIGEST
    issued: CertificateRow | None = None
    """The row of the certificate, or of the ticket's."""


@dataclass(frozen=True, slots=True)
class SetUserCommand:
    """Add a user or change a user's row; ``by`` is the operator who does it."""

    by: UserUri
    user: UserRow
    issued: CertificateRow | None = None
    """The row of the certificate that the user gets."""


def set_user(node: Node, view: View, event: SetUserCommand, now: Instant, random: Random) -> Plan[UserRow]:
    """Write a register row. Raises DeliveryError INPUT_INVALID (role, clearance, state), WORD_UNKNOWN."""
    row = event.user
    if row.role not in frozenset(Role):
        raise DeliveryError(
            "INPUT_INVALID", f"{row.role!r} is not a role", hint="use one of " + ", ".join(Role)
        )
    # A revoked user may have a category whose time is over.
    check_rights(node, row.clearance, row.nationality, () if row.revoked else row.categories.split(), now)
    tx = Transaction(node, view, now, random)
    change = "revoked" if row.revoked else f"{row.role} {row.clearance} {row.nationality} {row.categories}"
    if row.person and not row.revoked:
        change += f" person {row.person}"
    tx.log(EntryType.REGISTER, Register(event.by, row.user, change))
    tx.put(USER, row)
    if event.issued is not None:
        keep_certificate(tx, event.issued)
    return tx.plan(row)


def check_rights(
    node: Node, clearance: str, nationality: str, categories: Iterable[str], now: Instant
) -> None:
    """Check that a reader's rights are known here. Raises DeliveryError INPUT_INVALID, WORD_UNKNOWN."""
    registry = node.world.registry
    levels = {f"R{n}" for n in range(5)}
    known = clearance in levels or registry.ladder(node.member).read(clearance, now) is not None
    if clearance and not known:
        raise DeliveryError(
            "INPUT_INVALID",
            f"{clearance!r} is not a level of {node.member}",
            hint="use a level of your ladder, or R0 to R4",
        )
    if nationality and not registry.is_state(nationality):
        raise DeliveryError(
            "INPUT_INVALID",
            f"{nationality!r} is not a state",
            hint="use an ISO 3166-1 alpha-3 code, such as FRA",
        )
    check_words(node, WordKind.CATEGORY, [word for word in categories if word != ANY_CATEGORY])


def add_user(node: Node, view: View, event: SetUserCommand, now: Instant, random: Random) -> Plan[UserRow]:
    """Write the row of a new user. Raises what ``set_user`` raises, and DeliveryError ID_CONFLICT.

    A name stands for one person for ever: this overwrites nobody and restores nobody who was revoked.
    """
    _check_subject(view, event.user)
    known = view.get(USER, event.user.user)
    if known is not None:
        raise DeliveryError(
            "ID_CONFLICT",
            f"{known.name} was revoked" if known.revoked else f"there is a user {known.name} already",
            hint=f"`intelshare user restore {known.name}` lets the same person in again"
            if known.revoked
            else f"`intelshare user change {known.name}` changes the row, `user renew` the certificate",
        )
    return set_user(node, view, event, now, random)


def change_user(node: Node, view: View, event: SetUserCommand, now: Instant, random: Random) -> Plan[UserRow]:
    """Change a user's rights; certificates stay. Raises what ``set_user`` raises, and NOT_FOUND."""
    row = _need(view, event.user.user)
    _check_subject(view, event.user)
    wanted = changed(
        event.user,
        certificate=row.certificate,
        pending=row.pending,
        ticket=row.ticket,
        issued=row.issued,
        waits=row.waits,
    )
    return set_user(node, view, SetUserCommand(event.by, wanted), now, random)


@dataclass(frozen=True, slots=True)
class RenewUserCommand:
    """Replace all that lets a user connect by a new credential; ``by`` is the operator who orders it."""

    by: UserUri
    user: UserUri
    credential: Credential
    restore: bool = False
    """True to restore a user who was revoked."""


def renew_user(
    node: Node, view: View, event: RenewUserCommand, now: Instant, random: Random
) -> Plan[UserRow]:
    """Replace a user's credential; earlier certificates end at once. Who waited after a loss is confirmed.

    Raises DeliveryError NOT_FOUND, ID_CONFLICT.
    """
    row = _need(view, event.user, revoked=event.restore)
    if event.restore and not row.revoked:
        raise DeliveryError(
            "ID_CONFLICT",
            f"{row.name} was not revoked",
            hint="give a new certificate with `intelshare user renew`",
        )
    given = event.credential
    after = changed(
        without_certificates(row, now),
        revoked=0,
        certificate=given.certificate,
        ticket=given.ticket,
        waits=0,
    )
    return _credential(node, view, event.by, after, given, now, random)


@dataclass(frozen=True, slots=True)
class RenewOwnCommand:
    """A user has asked for a certificate; ``proof`` is the certificate or ticket that proves who they are."""

    user: UserUri
    proof: Digest
    credential: Credential
    """The certificate that was issued."""


def renew_own(node: Node, view: View, event: RenewOwnCommand, now: Instant, random: Random) -> Plan[UserRow]:
    """Note an issued certificate.

    The old proof stays valid until the new one is first used: the answer may be lost. Raises DeliveryError
    NOT_AUTHORISED if the proof is no longer valid.
    """
    row = known_user(view.get(USER, event.user))
    if event.proof not in proofs(row):
        raise superseded()
    after = changed(row, pending=event.credential.certificate)
    return _credential(node, view, event.user, after, event.credential, now, random)


def count_certificate(
    node: Node,
    view: View,
    user: UserUri,
    certificate: Digest,
    issued: Instant,
    now: Instant,
    random: Random,
) -> Plan[UserRow]:
    """Accept the first use of the certificate that was issued last: from now on it alone counts.

    ``issued`` is the start of validity of a certificate of another authority, which does not report what it
    issues; otherwise 0. Raises DeliveryError NOT_AUTHORISED if another certificate was issued since.
    """
    row = known_user(view.get(USER, user))
    tx = Transaction(node, view, now, random)
    if certificate == row.certificate:
        return tx.plan(row)
    if certificate != row.pending and issued <= row.issued:
        raise superseded()
    after = changed(
        row,
        certificate=certificate,
        pending=NO_DIGEST,
        ticket=NO_DIGEST,
        issued=max(issued, row.issued),
    )
    tx.log(EntryType.REGISTER, Register(user, user, f"counts certificate {certificate.hex()}"))
    tx.put(USER, after)
    return tx.plan(after)


def _credential(
    node: Node, view: View, by: UserUri, row: UserRow, given: Credential, now: Instant, random: Random
) -> Plan[UserRow]:
    tx = Transaction(node, view, now, random)
    what = "awaits a certificate of another authority"
    for kind, digest in (("certificate", given.certificate), ("ticket", given.ticket)):
        if digest:
            what = f"{kind} {digest.hex()}"
    tx.log(EntryType.REGISTER, Register(by, row.user, what))
    tx.put(USER, row)
    if given.issued is not None:
        keep_certificate(tx, given.issued)
    return tx.plan(row)


def revoke_user(
    node: Node, view: View, by: UserUri, user: UserUri, now: Instant, random: Random
) -> Plan[UserRow]:
    """Revoke a user's access at once, and all the user's certificates. Raises DeliveryError NOT_FOUND."""
    row = changed(without_certificates(_need(view, user, revoked=True), now), revoked=1)
    return set_user(node, view, SetUserCommand(by, row), now, random)


def without_certificates(row: UserRow, now: Instant) -> UserRow:
    """Remove the user's certificates.

    Those of another authority that were valid before now never count again.
    """
    issued = max(row.issued, Instant(now - BACKDATE))
    return changed(row, certificate=NO_DIGEST, pending=NO_DIGEST, ticket=NO_DIGEST, issued=issued)


def _check_subject(view: View, row: UserRow) -> None:
    """Check that no other user has this name in certificates.

    Raises DeliveryError INPUT_INVALID, ID_CONFLICT.
    """
    kind, _, name = row.subject.partition(":")
    if row.subject and not (kind in NAME_KINDS and name):
        raise DeliveryError(
            "INPUT_INVALID",
            f"{row.subject!r} is not a name in the form that certificates use",
            hint="start it with its kind: " + ", ".join(f"{kind}:" for kind in NAME_KINDS),
        )
    for other in users(view):
        if other.user != row.user and subject_of(other) == subject_of(row):
            raise DeliveryError(
                "ID_CONFLICT",
                f"{subject_of(row)} is already the name of {other.name}",
                hint="see `intelshare user list`",
            )


def _need(view: View, user: UserUri, *, revoked: bool = False) -> UserRow:
    """Return the row of a user; of a revoked one only if ``revoked``. Raises DeliveryError NOT_FOUND."""
    row = view.get(USER, user)
    if row is None or (row.revoked and not revoked):
        raise DeliveryError(
            "NOT_FOUND",
            "there is no such user" if row is None else f"{row.name} was revoked",
            hint="`intelshare user list` shows the register"
            if row is None
            else f"`intelshare user restore {row.name}` lets that user in again",
        )
    return row


def users(view: View) -> list[UserRow]:
    """Return all users, ordered by URI."""
    return view.find(USER, "key", limit=EVERY_ROW)
