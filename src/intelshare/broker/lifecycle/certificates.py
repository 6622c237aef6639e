"""Certificates of this node's authorities: noted when they are issued, revoked with a reason.

note_certificates    what an authority has issued to a node; authorities that came or went
revoke_certificate   one certificate counts no more: of a user in the register, of a node in the directory
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from intelshare.audit.node_records import CertificateChange, CertificateChanged, Register
from intelshare.audit.records import EntryType
from intelshare.broker.kernel.actor import NO_DIGEST
from intelshare.broker.kernel.certificates import keep_certificate
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.register import without_certificates
from intelshare.broker.kernel.tables import CERTIFICATE, USER, CertificateRow, UserRow
from intelshare.broker.kernel.transaction import Transaction
from intelshare.broker.lifecycle.destroy import MAX_REASON
from intelshare.errors import DeliveryError
from intelshare.ids import Digest, UserUri
from intelshare.instant import Instant
from intelshare.ports import EVERY_ROW, Plan, Random, View, changed


def note_certificates(
    node: Node,
    view: View,
    issued: Sequence[CertificateRow],
    changes: Sequence[CertificateChanged],
    now: Instant,
    random: Random,
) -> Plan[None]:
    """Keep the rows of what was issued, and log what has changed."""
    tx = Transaction(node, view, now, random)
    for row in issued:
        keep_certificate(tx, row)
    for change in changes:
        tx.log(EntryType.CERTIFICATE, change)
    return tx.plan(None)


@dataclass(frozen=True, slots=True)
class RevokeCertificateCommand:
    """A certificate is to count no more; ``by`` is who says so, and why."""

    by: UserUri
    certificate: Digest
    reason: str


def revoke_certificate(
    node: Node, view: View, event: RevokeCertificateCommand, now: Instant, random: Random
) -> Plan[UserRow | None]:
    """The row of the user to whom nothing else gives access now; None if it is a node's, or counted already
    no more.

    Raises DeliveryError NOT_FOUND, INPUT_INVALID.
    """
    row = view.get(CERTIFICATE, event.certificate)
    if row is None:
        raise unknown_certificate()
    if not event.reason.strip() or len(event.reason) > MAX_REASON:
        raise DeliveryError("INPUT_INVALID", f"a reason has 1 to {MAX_REASON} characters")
    tx = Transaction(node, view, now, random)
    tx.put(CERTIFICATE, changed(row, revoked=row.revoked or now, reason=row.reason or event.reason))
    until = min(row.end, now)
    tx.log(
        EntryType.CERTIFICATE,
        CertificateChanged(
            row.certificate,
            CertificateChange.REVOKED,
            row.holder,
            row.serial,
            until,
            event.reason,
            event.by,
        ),
    )
    user = view.get(USER, UserUri(row.holder))
    after = _without(user, row.certificate, now) if user is not None else None
    if after is not None:
        tx.log(EntryType.REGISTER, Register(event.by, after.user, f"revoked {row.certificate.hex()}"))
        tx.put(USER, after)
    return tx.plan(after)


def _without(user: UserRow, certificate: Digest, now: Instant) -> UserRow | None:
    """The user's row in which that certificate lets nobody in; None if it did not before."""
    if certificate in (user.certificate, user.pending):
        # What was asked for with a stolen one is the thief's too.
        return without_certificates(user, now)
    return changed(user, ticket=NO_DIGEST) if certificate == user.ticket else None


def find_certificate(view: View, serial: str) -> CertificateRow:
    """The one whose serial number begins so, in hexadecimal. Raises DeliveryError NOT_FOUND."""
    wanted = serial.lower().replace(":", "")
    found = [row for row in all_certificates(view) if wanted and row.serial.startswith(wanted)]
    if len(found) > 1:
        raise DeliveryError(
            "NOT_FOUND", f"{len(found)} serial numbers begin with {wanted}", hint="name more digits"
        )
    if not found:
        raise unknown_certificate()
    return found[0]


def all_certificates(view: View) -> list[CertificateRow]:
    """Every certificate that is noted."""
    return view.find(CERTIFICATE, "key", limit=EVERY_ROW)


def unknown_certificate() -> DeliveryError:
    """NOT_FOUND with one wording for all."""
    return DeliveryError(
        "NOT_FOUND",
        "this node has issued no such certificate, or it ended long ago",
        hint="`intelshare pki show --all` lists serial numbers",
    )
