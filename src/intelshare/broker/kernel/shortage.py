"""A disk with little room left: what is still accepted then (promise P14).

FLASH, receipts, recalls and log entries go on from the reserve; every other bulletin waits where it is: at
its author, in the queue, or at the peer that sends it. This module alone decides who may go on.
"""

from __future__ import annotations

from dataclasses import dataclass

from intelshare.crypto.records import Precedence
from intelshare.errors import DeliveryError

RETRY_AFTER = 60
"""Seconds after which a refused caller should try again."""


@dataclass(frozen=True, slots=True)
class Shortage:
    """The disk space that the driver has observed, in bytes."""

    folder: str
    free: int
    need: int
    """The bytes that must be free before everything is accepted again."""


def goes_on(lacks: Shortage | None, precedence: int) -> bool:
    """Decide if a bulletin of this precedence may still be stored or handed over."""
    return lacks is None or precedence == Precedence.FLASH


def need_disk(lacks: Shortage | None, precedence: int) -> None:
    """Return if it may be stored. Raises DeliveryError DISK_FULL: nothing was done."""
    if lacks is not None and not goes_on(lacks, precedence):
        raise DeliveryError(
            "DISK_FULL",
            f"the disk of {lacks.folder} has {lacks.free >> 20} MiB free, "
            f"and {_mib(lacks.need)} MiB are needed: only FLASH is accepted",
            hint="nothing was stored; once an operator has freed space (df; without free files too: df -i), "
            "the node accepts everything again",
            retry_after=RETRY_AFTER,
        )


def _mib(count: int) -> int:
    return -(-count >> 20)
