"""The actor of an authorised call: a user of this member. Steps and queries for users take one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import InitVar, dataclass
from enum import Enum, auto
from typing import Final

from intelshare.broker.kernel.tables import USER, UserRow
from intelshare.errors import DeliveryError
from intelshare.ids import Digest, UserUri
from intelshare.ports import Rows
from intelshare.roles import Role

_MADE_BY_AUTHORISATION = object()

NO_DIGEST: Final = Digest(b"")


@dataclass(frozen=True, slots=True)
class Actor:
    """A user in a role that may make this call. Only authorisation creates one."""

    user: UserUri
    role: Role
    proof: InitVar[object]
    certificate: Digest = NO_DIGEST
    """The certificate with which the call was made; empty if there was none."""

    def __post_init__(self, proof: object) -> None:
        if proof is not _MADE_BY_AUTHORISATION:
            raise TypeError("only authorisation makes an Actor")


def authorised(user: UserUri, role: Role, certificate: Digest = NO_DIGEST) -> Actor:
    """Create an actor. Only authorisation, and drivers without calls, may use this; a test enforces it."""
    return Actor(user, role, _MADE_BY_AUTHORISATION, certificate)


def user_row_of(rows: Rows, actor: Actor) -> UserRow:
    """Return the actor's row of the register, as this transaction sees it.

    Raises DeliveryError NOT_AUTHORISED if the user was revoked, or the user's role changed, since the call
    was authorised.
    """
    row = need_user(rows, actor.user)
    if row.role != actor.role:
        raise DeliveryError(
            "NOT_AUTHORISED",
            f"your role is {row.role} now, and was {actor.role} when you asked",
            hint="ask again; `intelshare whoami` shows your role",
        )
    return row


def need_user(rows: Rows, user: UserUri) -> UserRow:
    """Return the user's row. Raises DeliveryError NOT_AUTHORISED if the user is unknown or revoked."""
    return known_user(rows.get(USER, user))


class Proof(Enum):
    """The means by which users prove who they are."""

    CERTIFICATE = auto()
    PENDING = auto()
    """The certificate that was issued last and has not been used yet."""
    TICKET = auto()
    """The ticket of an enrolment."""


def proofs(row: UserRow) -> Mapping[Digest, Proof]:
    """Return what proves this user's identity now, by the digest of each proof."""
    known = {row.ticket: Proof.TICKET, row.pending: Proof.PENDING, row.certificate: Proof.CERTIFICATE}
    return {digest: proof for digest, proof in known.items() if digest}


def is_same_person(one: UserRow | None, other: UserRow | None) -> bool:
    """Return True unless the register says that these users are two persons. Unknown users may be one."""
    return one is None or other is None or _person(one) == _person(other)


def _person(row: UserRow) -> str:
    return (row.person or row.name).casefold()


def subject_of(row: UserRow) -> str:
    """Return the name by which certificates of another authority identify the user."""
    return row.subject or f"uri:{row.user}"


def superseded() -> DeliveryError:
    """Return the error for a certificate of a known user that is not, or no longer, valid here."""
    return DeliveryError(
        "NOT_AUTHORISED",
        "this certificate is not accepted: the register names another one, or none",
        hint="ask an operator for a new one: `intelshare user renew`",
    )


def known_user(row: UserRow | None) -> UserRow:
    """Return the register row if its user may connect. Raises DeliveryError NOT_AUTHORISED, ACCESS_WAITS."""
    if row is None or row.revoked:
        raise DeliveryError(
            "NOT_AUTHORISED",
            "this certificate belongs to no user of the register, or to one that was revoked",
            hint="an operator adds users: `intelshare user add`",
        )
    if row.waits:
        raise DeliveryError(
            "ACCESS_WAITS",
            "this node lost memory, and its operators have not confirmed yet who may use it",
            hint="an operator lets users in again: `intelshare node confirm-access`",
        )
    return row
