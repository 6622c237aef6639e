"""Backpressure (promise P14): bounds on the queue of each recipient and of all, and what is refused first.

    precedence   share of each bound that it may fill   asked again after
    ----------   ------------------------------------   -----------------
    ROUTINE      70 %                                   60 s
    PRIORITY     80 %                                   30 s
    IMMEDIATE    90 %                                   10 s
    FLASH        100 %                                  5 s

So the last tenth of every queue is reserved for FLASH. What was accepted is never dropped to make room. The
counters are updated with each pair (``kernel.counters``): a check costs the same however long the queue is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from intelshare.broker.kernel.counters import QUEUE, Count, queue_of
from intelshare.crypto.records import Precedence
from intelshare.errors import DeliveryError
from intelshare.ids import MemberCode

if TYPE_CHECKING:
    from intelshare.broker.kernel.transaction import Transaction


@dataclass(frozen=True, slots=True)
class QueueBounds:
    """Bounds on open pairs (``PairRow.open``), and on the bytes of their bodies."""

    rows: int = 200_000
    """The most open pairs for one recipient."""
    size: int = 8 << 30
    all_rows: int = 1_000_000
    """The most open pairs for all recipients together."""
    all_size: int = 32 << 30
    kept: int = 500_000
    """Rows that one member, by its own will alone, may make this node keep for ever (decision 56)."""


class Share(NamedTuple):
    """The share of the queue that a precedence may fill."""

    percent: int
    retry_after: int
    """Seconds after which a refused caller should try again."""


SHARES: Final[Mapping[Precedence, Share]] = {
    Precedence.ROUTINE: Share(70, 60),
    Precedence.PRIORITY: Share(80, 30),
    Precedence.IMMEDIATE: Share(90, 10),
    Precedence.FLASH: Share(100, 5),
}


def need_room(
    tx: Transaction, bounds: QueueBounds, wanted: Mapping[MemberCode, int], precedence: Precedence
) -> None:
    """Return if all of it may be queued. ``wanted`` maps each recipient to the bytes of its bodies.

    Raises DeliveryError QUEUE_FULL, with the seconds after which to try again.
    """
    percent = SHARES[precedence].percent
    for name, counter, bound, more in _compared(bounds, wanted):
        waits = tx.count_of(counter)
        for unit, there, most, added in (
            ("bulletins", waits.rows, bound.rows, more.rows),
            ("bytes", waits.size, bound.size, more.size),
        ):
            if added and there + added > most * percent // 100:
                raise _full(name, f"{there} {unit}", f"{most} {unit}", precedence)
        if tx.runs_ahead:
            left = Count(bound.rows * percent // 100 - more.rows, bound.size * percent // 100 - more.size)
            tx.keep_below(counter, left)


def _compared(
    bounds: QueueBounds, wanted: Mapping[MemberCode, int]
) -> Iterator[tuple[str, str, Count, Count]]:
    one, all_ = Count(bounds.rows, bounds.size), Count(bounds.all_rows, bounds.all_size)
    for member, size in wanted.items():
        yield member, queue_of(member), one, Count(1, size)
    yield "all recipients together", QUEUE, all_, Count(len(wanted), sum(wanted.values()))


def _full(name: str, there: str, most: str, precedence: Precedence) -> DeliveryError:
    share = SHARES[precedence]
    return DeliveryError(
        "QUEUE_FULL",
        f"{there} are waiting for {name}; {precedence.name} may fill {share.percent} % of {most}",
        hint="nothing was stored; an operator sees what waits with `intelshare node queues`, and sets the "
        "bounds in [queues] of node.toml",
        retry_after=share.retry_after,
    )
