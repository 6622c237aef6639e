"""Withheld portions: counted over the decisions in force by recipient and reason, and case by case.

A count names members, codes and places in the law, never a bulletin. A reader gets the counts of bulletins
that it may see; somebody who oversees the node gets all counts and no case (attacks.md row 51).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from intelshare.audit.records import DecisionKept
from intelshare.broker.kernel.actor import Actor, user_row_of
from intelshare.broker.kernel.damage import damaged_records, every_row, noting_damage
from intelshare.broker.kernel.decide_pair import OUTCOMES, banner_of
from intelshare.broker.kernel.log import OpenedRows
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.pair_rows import logged_decision
from intelshare.broker.kernel.stored_bulletins import Written, may_see, read_written
from intelshare.broker.kernel.tables import BULLETIN, PAIR, BulletinRow, PairRow, UserRow
from intelshare.broker.queries.lists import title_of
from intelshare.errors import StoreError
from intelshare.ids import MemberCode
from intelshare.instant import EPOCH, Instant
from intelshare.policy import Outcome
from intelshare.ports import View

MAX_LOOKED: Final = 20_000
"""Bulletins of one answer."""

_DENIED: Final = OUTCOMES[Outcome.DENY]


@dataclass(frozen=True, slots=True)
class WithheldQuery:
    """A question: since when, and for the cases a recipient, a code (empty: any) and a limit."""

    since: Instant = EPOCH
    recipient: str = ""
    code: str = ""
    limit: int = 0


@dataclass(frozen=True, slots=True)
class WithheldCase:
    """One pair of which something is denied."""

    row: BulletinRow
    pair: PairRow
    codes: tuple[str, ...]
    banner: str
    title: str


@dataclass(slots=True)
class WithheldCount:
    """Portions that one code and place stand against, for one recipient."""

    bulletins: int = 0
    portions: int = 0
    newest: Instant = EPOCH


@dataclass(slots=True)
class Withheld:
    """``counts``: by recipient, code and place."""

    counts: dict[tuple[MemberCode, str, str], WithheldCount] = field(default_factory=dict)
    cases: list[WithheldCase] = field(default_factory=list)
    looked: int = 0
    truncated: bool = False
    damaged: tuple[str, ...] = ()
    """The damaged records that were left out (promise P13)."""


def withheld(
    node: Node, view: View, actor: Actor, wanted: WithheldQuery, now: Instant, *, all_counts: bool
) -> Withheld:
    """Look at the newest bulletins first. ``all_counts``: count every bulletin, and give no case.

    Raises DeliveryError NOT_AUTHORISED.
    """
    reader, found, log = user_row_of(view, actor), Withheld(), OpenedRows(node, view)
    damaged: list[StoreError] = []
    for row in every_row(view, BULLETIN, "newest", damaged):
        if row.created < wanted.since:
            break
        if found.looked >= MAX_LOOKED:
            found.truncated = True
            break
        found.looked += 1
        stored = view.find(PAIR, "key", row.md, damaged=damaged)
        pairs = [pair for pair in stored if pair.granted < pair.portions]
        with noting_damage(damaged):
            if pairs and all_counts:
                for pair in pairs:
                    _count(found, row, pair, logged_decision(node, view, pair, log))
            elif pairs:
                _seen(node, view, found, row, pairs, (reader, wanted, now, log))
    found.damaged = damaged_records(damaged)
    return found


def _seen(
    node: Node,
    view: View,
    found: Withheld,
    row: BulletinRow,
    pairs: Iterable[PairRow],
    asked: tuple[UserRow, WithheldQuery, Instant, OpenedRows],
) -> None:
    """Count what the reader may see, and keep the cases that are asked for."""
    reader, wanted, now, log = asked
    written = read_written(node, view, row)
    if not may_see(node, written, reader, now):
        return
    for pair in pairs:
        codes = _count(found, row, pair, logged_decision(node, view, pair, log))
        fitting = wanted.recipient in ("", pair.recipient) and (not wanted.code or wanted.code in codes)
        if codes and fitting and len(found.cases) < wanted.limit:
            found.cases.append(_case(node, view, written, pair, codes, now))


def _case(
    node: Node, view: View, written: Written, pair: PairRow, codes: tuple[str, ...], now: Instant
) -> WithheldCase:
    banner = banner_of(node, written.labels, node.member, now)
    return WithheldCase(written.row, pair, codes, banner, title_of(node, view, written))


def _count(found: Withheld, row: BulletinRow, pair: PairRow, decision: DecisionKept) -> tuple[str, ...]:
    """Count the reasons of one decision; their codes, each once."""
    said: dict[tuple[str, str], int] = {}
    for portion in decision.portions:
        made = portion.decision.value
        if made.outcome == _DENIED:
            # One portion counts once for a reason, however often the reason is given.
            for reason in {(reason.code, reason.place) for reason in made.reasons}:
                said[reason] = said.get(reason, 0) + 1
    for (code, place), portions in said.items():
        counted = found.counts.setdefault((pair.recipient, code, place), WithheldCount())
        counted.bulletins += 1
        counted.portions += portions
        counted.newest = max(counted.newest, row.created)
    return tuple(sorted({code for code, _ in said}))
