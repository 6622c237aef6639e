"""Backfill: a party has acceded, and bulletins that the treaty now allows it are offered to it.

A releasing officer first looks (``find_offers``), then names the bulletins: each is decided again and becomes
a pair like any other, with its decision in the log. A bulletin is offered only if it was never addressed to
that member, is still valid, was neither recalled nor superseded, and the officer may see it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from intelshare.audit.records import Approve, EntryType
from intelshare.broker.kernel.actor import Actor, user_row_of
from intelshare.broker.kernel.damage import damaged_records, each_readable, next_rows, noting_damage
from intelshare.broker.kernel.decide_pair import PairDecision, decide_pair
from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.stored_bulletins import Written, may_see, read_written
from intelshare.broker.kernel.tables import BULLETIN, PAIR, RELATED, BulletinRow, UserRow
from intelshare.broker.kernel.transaction import Transaction
from intelshare.broker.lifecycle.add_recipient import add_recipient, addressed_by, facts_of_new, new_pair
from intelshare.broker.lifecycle.relations import Relation
from intelshare.delivery import PairStatus, status_of
from intelshare.errors import DeliveryError, StoreError
from intelshare.ids import ManifestDigest, MemberCode
from intelshare.instant import EPOCH, Instant
from intelshare.ports import Plan, Random, Scalar, View

MAX_LOOKED: Final = 256
"""The bulletins that one look goes through."""

MAX_ADDRESSED: Final = 64
"""The most bulletins that one step addresses."""


@dataclass(frozen=True, slots=True)
class OfferQuery:
    """An officer's offer: under which treaty, to whom, written since when."""

    actor: Actor
    treaty: str
    to: MemberCode
    since: Instant = EPOCH


@dataclass(frozen=True, slots=True)
class Offer:
    """A bulletin that the treaty allows now, and what that member would get of it."""

    written: Written
    pair: PairDecision

    @property
    def status(self) -> PairStatus:
        """The status with which the pair begins: queued or held."""
        return status_of(facts_of_new(self.pair))


@dataclass(frozen=True, slots=True)
class Offers:
    """Offers, newest first. ``after`` is empty once all were looked through."""

    offers: tuple[Offer, ...]
    after: tuple[Scalar, ...]
    damaged: tuple[str, ...]
    """The damaged records that were met: a bulletin with one is left out (promise P13)."""


@dataclass(frozen=True, slots=True)
class BackfillResult:
    """The offers that are on their way now. Others that were named can no longer be offered."""

    offers: tuple[Offer, ...]
    effects: Effects
    damaged: tuple[str, ...]
    """As in ``Offers``."""


def find_offers(
    node: Node, view: View, wanted: OfferQuery, after: tuple[Scalar, ...], now: Instant
) -> Offers:
    """Return the next bulletins that may be offered. Changes nothing.

    Raises DeliveryError NOT_AUTHORISED, NOT_FOUND (treaty), INPUT_INVALID (not a party), UNKNOWN_MEMBER.
    """
    officer = _check(node, view, wanted)
    damaged: list[StoreError] = []
    rows, more = next_rows(view, BULLETIN, "newest", after, MAX_LOOKED, damaged)
    young = [row for row in rows if row.created >= wanted.since]
    found = each_readable(young, lambda row: _offer(node, view, row, wanted, officer, now), damaged)
    place = (rows[-1].newest, rows[-1].md) if more and len(young) == len(rows) else ()
    return Offers(tuple(found), place, damaged_records(damaged))


def backfill(
    node: Node,
    view: View,
    wanted: OfferQuery,
    bulletins: Sequence[ManifestDigest],
    now: Instant,
    random: Random,
) -> Plan[BackfillResult]:
    """Address these bulletins (at most 64) to the member, all in one transaction.

    Each is decided again; any that may no longer be offered is left out. Raises as ``find_offers``, and
    TOO_LARGE.
    """
    officer = _check(node, view, wanted)
    if len(bulletins) > MAX_ADDRESSED:
        raise DeliveryError("TOO_LARGE", f"at most {MAX_ADDRESSED} bulletins at once, not {len(bulletins)}")
    tx = Transaction(node, view, now, random)
    offers, damaged = [], list[StoreError]()
    for md in dict.fromkeys(bulletins):
        offer = None
        with noting_damage(damaged):
            row = view.get(BULLETIN, md)
            offer = None if row is None else _offer(node, view, row, wanted, officer, now)
        if offer is None:
            continue
        stored = offer.written.row
        due = min(stored.expires, stored.deliver_by)
        # The entry says who addressed it; it closes no hold.
        tx.log(EntryType.APPROVE, Approve(md, wanted.to, officer.user, ()))
        marks = addressed_by(officer.user)
        if add_recipient(
            tx,
            new_pair(node, offer.pair),
            md,
            stored.precedence,
            due=due,
            size=offer.written.size,
            marks=marks,
        ).ready:
            tx.ready.add(wanted.to)
        offers.append(offer)
    return tx.plan(BackfillResult(tuple(offers), tx.effects(), damaged_records(damaged)))


def _check(node: Node, view: View, wanted: OfferQuery) -> UserRow:
    officer = user_row_of(view, wanted.actor)
    treaty = next((one for one in node.world.treaties if one.id == wanted.treaty), None)
    if treaty is None:
        known = ", ".join(one.id for one in node.world.treaties) or "none"
        raise DeliveryError(
            "NOT_FOUND", f"this node holds no treaty {wanted.treaty!r}", hint=f"it holds {known}"
        )
    if wanted.to not in node.world.members or wanted.to == node.member:
        raise DeliveryError(
            "UNKNOWN_MEMBER",
            f"{wanted.to!r} is not another member that this node knows",
            hint="`intelshare member list` shows them",
        )
    if all(party.member != wanted.to for party in treaty.parties):
        raise DeliveryError("INPUT_INVALID", f"{wanted.to} is not a party to {treaty.id}")
    return officer


def _offer(
    node: Node, view: View, row: BulletinRow, wanted: OfferQuery, officer: UserRow, now: Instant
) -> Offer | None:
    """Return the bulletin as an offer, or None if it may not be offered."""
    if row.recalled or now >= min(row.expires, row.deliver_by):
        return None
    if view.get(PAIR, row.md, wanted.to) is not None:
        return None
    if any(later.member == node.member for later in view.find(RELATED, "key", row.md, Relation.SUPERSEDES)):
        return None
    written = read_written(node, view, row)
    if written.purged or not may_see(node, written, officer, now):
        return None
    pair = decide_pair(node, written.decidable(), wanted.to, now, valid_until=row.expires)
    if all(granted.ruling.decision.basis != wanted.treaty for granted in pair.granted):
        return None
    return Offer(written, pair)
