"""Draw what goes wrong with the replicas of members, and what operators do with the rows of a node."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random as Stream
from typing import Final

from intelshare.instant import SECOND
from intelshare.sim.plan import MEMBERS, Fault, Knobs

AMNESIA: Final = frozenset(("restore", "lie", "put-back", "backup"))
"""The faults after which a disk has forgotten something."""

_TROUBLES = ("kill", "kill", "freeze", "stuck", "line", "doubt", "slow")
"""The troubles of a replica (``replicated.TROUBLES``) besides "drain"."""


def troubles(chance: Stream, knobs: Knobs) -> list[Fault]:
    """Draw what goes wrong with the replicas of each member that has some, and with its database."""
    drawn = []
    for node in knobs.together.split():
        for _ in range(chance.choice((0, 2, 4, 8, 12))):
            window, at = chance.choice(_TROUBLES), chance.randrange(knobs.lasts)
            number = chance.choice((0, *range(knobs.replicas + 1)))
            lasts = chance.choice((200_000, SECOND, 4 * SECOND, 7 * SECOND, 15 * SECOND))
            if window == "stuck":
                # Shorter, and the server does not end its session.
                lasts = chance.choice((4 * SECOND, 13 * SECOND, 15 * SECOND))
            keep = chance.choice((0, 1))
            drawn.append(Fault("replica", node, at=at, lasts=lasts, number=number, window=window, keep=keep))
        for _ in range(chance.choice((0, 0, 1, 2))):
            at, lasts = chance.randrange(knobs.lasts), chance.choice((200_000, 2 * SECOND, 8 * SECOND))
            drawn.append(Fault("store", node, at=at, lasts=lasts, keep=chance.choice((0, 1))))
    return drawn


def drained(chance: Stream, knobs: Knobs) -> list[Fault]:
    """Draw which replicas are stopped in order, and started again."""
    return [
        Fault(
            "replica",
            node,
            at=chance.randrange(knobs.lasts),
            lasts=chance.choice((200_000, SECOND, 7 * SECOND)),
            number=chance.choice((0, *range(knobs.replicas + 1))),
            window="drain",
        )
        for node in knobs.together.split()
        for _ in range(chance.choice((0, 0, 1, 2)))
    ]


def older(chance: Stream) -> str:
    """Draw what the version lacks in which replicas begin: in a third of the plans with some."""
    return chance.choice(("", "", "", "", "links", "schema"))


def upgrades(chance: Stream, knobs: Knobs) -> list[Fault]:
    """Draw which replicas are upgraded, one after the other; in some plans not all of them."""
    drawn = []
    for node in knobs.together.split() if knobs.older else ():
        at = chance.randrange(knobs.lasts // 2)
        for number in chance.sample(range(1, knobs.replicas + 1), chance.choice((1, knobs.replicas))):
            lasts = chance.choice((200_000, SECOND))
            drawn.append(Fault("replica", node, at=at, lasts=lasts, number=number, window="upgrade"))
            at += chance.choice((100_000, SECOND, 5 * SECOND))
    return drawn


def moves(chance: Stream, knobs: Knobs, faults: Sequence[Fault]) -> list[Fault]:
    """Draw moves of one member's rows, to the other store and back. What was taken of a disk before a move
    cannot come back alone after it, so no disk that forgets is moved.
    """
    if chance.random() >= 0.12 or knobs.calm:
        return []
    forgetful = {fault.node for fault in faults if fault.kind in AMNESIA}
    able = [one for one in MEMBERS[: knobs.members] if one not in forgetful and one != knobs.hostile]
    if not able:
        return []
    node = chance.choice(able)
    return [
        Fault("move", node, at=chance.randrange(knobs.lasts), number=chance.choice((0, 0, 0, 1, 3, 8)))
        for _ in range(chance.choice((1, 2, 2, 3)))
    ]
