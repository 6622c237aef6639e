"""Who acts: a user of this member whose call was authorised. Steps and queries for users take one."""

from __future__ import annotations

from dataclasses import InitVar, dataclass
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
    """A user, in a role that may make the call that is carried out. Only authorisation makes one."""

    user: UserUri
    role: Role
    proof: InitVar[object]
    certificate: Digest = NO_DIGEST
    """With which the call came; empty: it came with none."""

    def __post_init__(self, proof: object) -> None:
        if proof is not _MADE_BY_AUTHORISATION:
            raise TypeError("only authorisation makes an Actor")


def authorised(user: UserUri, role: Role, certificate: Digest = NO_DIGEST) -> Actor:
    """For authorisation, and for drivers that have no calls; a test holds that nobody else imports it."""
    return Actor(user, role, _MADE_BY_AUTHORISATION, certificate)


def row_of(rows: Rows, actor: Actor) -> UserRow:
    """The actor's row of the register, as it is in this transaction.

    Raises DeliveryError NOT_AUTHORISED if the user was revoked, or its role changed, since the call was
    authorised.
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
    """The user's row. Raises DeliveryError NOT_AUTHORISED for an unknown or a revoked one."""
    return known_user(rows.get(USER, user))


def proofs(row: UserRow) -> frozenset[Digest]:
    """Digests of the certificates, the ticket's included, that prove now who this user is."""
    return frozenset((row.certificate, row.pending, row.ticket)) - {NO_DIGEST}


def superseded() -> DeliveryError:
    """For the certificate of a user that counted once, or never."""
    return DeliveryError(
        "NOT_AUTHORISED",
        "this certificate does not count: the register names another one, or none",
        hint="an operator gives a new one with `intelshare user renew`",
    )


def known_user(row: UserRow | None) -> UserRow:
    """The row of the register, if it lets its user in. Raises DeliveryError NOT_AUTHORISED."""
    if row is None or row.revoked:
        raise DeliveryError(
            "NOT_AUTHORISED",
            "this certificate belongs to no user of the register, or to one that was revoked",
            hint="an operator adds users: `intelshare user add`",
        )
    return row
