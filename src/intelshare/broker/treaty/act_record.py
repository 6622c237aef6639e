"""A treaty act as it is signed, and as policy takes it: the same whether made now or read at a start."""

from __future__ import annotations

from typing import Final

from intelshare.broker.kernel.tables import ActRow
from intelshare.crypto.codec import decode, malformed
from intelshare.crypto.records import Act, TreatyAct
from intelshare.crypto.records import Reservation as Signed
from intelshare.ids import Digest, LeafId, MemberCode
from intelshare.instant import NEVER, Instant
from intelshare.labels import BEGINNING, Interval
from intelshare.policy import ActKind, PartyAct, Reservation

FIRST: Final = LeafId(bytes(32))
"""The act that the first act names as the one before it."""


def check(said: TreatyAct) -> None:
    """Check the rules for every act, whoever signed it. Raises EnvelopeError ENVELOPE_MALFORMED."""
    wanted = {Act.RESERVE: (1,), Act.REINSTATE: (0, 1)}.get(said.act, (0,))
    if len(said.reservation) not in wanted:
        raise malformed("TreatyAct", "a reservation is missing, or there is one where none belongs")
    if not said.n > 0 or (said.n == 1) != (said.previous == FIRST):
        raise malformed("TreatyAct", "the first act has none before it, and every other act has one")


def value_of(row: ActRow) -> PartyAct:
    """Return the act as the world is compiled from it."""
    said = decode(TreatyAct, row.data)
    reservation = next((_reservation(given) for given in said.reservation), None)
    text = f"sha256:{said.text.hex()}"
    kind = ActKind(said.act)
    return PartyAct(row.member, row.n, said.treaty, text, kind, row.at, row.since, reservation)


def record_of(said: PartyAct, previous: LeafId) -> TreatyAct:
    """Return the act to be signed, after ``previous``."""
    given = said.reservation
    signed = () if given is None else (_signed(given),)
    text = Digest(bytes.fromhex(said.text.removeprefix("sha256:")))
    return TreatyAct(
        MemberCode(said.member), said.n, previous, said.treaty, text, Act(said.kind), said.since, signed
    )


def _reservation(given: Signed) -> Reservation:
    return Reservation(
        frozenset(given.categories) or None,
        given.level or None,
        frozenset(given.counterparties) or None,
        Interval(given.start or BEGINNING, given.until),
    )


def _signed(given: Reservation) -> Signed:
    start, until = given.during
    return Signed(
        tuple(sorted(given.categories or ())),
        given.level_at_least or "",
        tuple(MemberCode(code) for code in sorted(given.counterparties or ())),
        Instant(max(start, 0)),
        min(until, NEVER),
    )
