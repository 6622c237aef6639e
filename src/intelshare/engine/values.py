"""The values that the input and output of an engine share (``events``, ``actions``).

A driver calls ``Engine.handle(event, node, now)`` and carries out the actions in order. Nothing here does
anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, NewType

from intelshare.delivery import LinkWord
from intelshare.ids import MemberCode
from intelshare.instant import EPOCH, Instant

LinkId = NewType("LinkId", int)
"""One connection, from the first dial or call to its end. A number is never used again."""


class Now(NamedTuple):
    """The time at which a driver hands over an event. One is made for each event."""

    wall: Instant
    """Wall time, for signatures and for the validity of certificates and treaties. It may jump."""
    steady: Instant
    """A clock that never jumps; only differences mean something. All waiting is measured on it."""
    believed: bool = True
    """True if wall time may be believed (promise P10)."""
    confirmed: bool = True
    """True if what ends by wall time may be destroyed: since the start, or since it jumped, linked peers have
    agreed with it or an operator has believed it.
    """


class Notice(StrEnum):
    """A line that a driver writes into its log."""

    LINK_CLOSED = "link closed"
    DIAL_FAILED = "dial failed"
    PEER_FORGOT = "the peer forgot numbers that it gave"
    FORGOT = "this node forgot entries that the peer holds"
    HEARD = "the peer was heard after this node forgot"
    ACTS_FORGOTTEN = "the peer asks for acts that this node no longer has"
    FRAME_REJECTED = "a message could not be read"
    REJECTED_BY_PEER = "the peer rejected a statement"
    LEFT_OUT = "lines about a peer were left out"
    FILE_WAITS = "a file could not be fetched, and is tried again"
    STEP_FAILED = "a step failed, and is tried again"


class Chore(StrEnum):
    """A task that a driver does by itself when the engine says that it is time."""

    SHOW = "show"
    """Write where the node is found, and if it serves."""
    POLICY = "policy"
    """Check if a policy file has changed."""
    RENEW = "renew"
    """Renew what is due: certificates, keys, the directory."""
    SPACE = "space"
    """Check how much room the disk has; then ``Space``."""
    MEND = "mend"
    """Say which records were found damaged: ``DamageFound``."""
    TELL = "tell"
    """Say what the sidecar covers that another replica writes: ``Covered``; tell that one of damage."""


@dataclass(frozen=True, slots=True)
class Shares:
    """The members that replicas of one node hold, as their database says: each is named by its session."""

    replica: int
    """This one."""
    leads: int
    """The one that leads; 0: none does."""
    replicas: tuple[int, ...]
    """Those that take part."""
    holders: Mapping[MemberCode, int]
    """The one that has the links with a member; members that are missing are free."""
    called: frozenset[MemberCode] = frozenset()
    """The members that the one that leads asks for."""


@dataclass(frozen=True, slots=True)
class LinkReport:
    """The state of the link to a peer node."""

    state: LinkWord
    error: str = ""
    """The last code."""
    since: Instant = EPOCH
    """The wall time at which the link was opened; 0: there is none."""
    offset: int = 0
    """Its clock minus this one, in microseconds."""
    unacknowledged: int = 0
    """The statements that were sent and are not acknowledged."""
    seen: Instant = EPOCH
    """The wall time at which the last link to it ended; 0: none has since the start."""
    forgot: int = 0
    """Entries of this node's log that the peer holds and this node forgot, according to the peer's hello."""
    peer_forgot: int = 0
    """Numbers that the peer had given and forgot."""
