"""Values of the client library: frozen dataclasses and enums, with times of the standard library in UTC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TypeVar, overload

from intelshare.delivery import PairStatus
from intelshare.roles import Role

R = TypeVar("R")


class Precedence(StrEnum):
    """Priority when bulletins have to queue."""

    ROUTINE = "ROUTINE"
    PRIORITY = "PRIORITY"
    IMMEDIATE = "IMMEDIATE"
    FLASH = "FLASH"


class PortionKind(StrEnum):
    """Kind of a portion."""

    TEXT = "TEXT"
    TITLE = "TITLE"
    FILE = "FILE"
    STIX = "STIX"
    ATTACHMENT = "ATTACHMENT"


class Outcome(StrEnum):
    """Outcome of the decision on one portion for one recipient."""

    ALLOW = "allow"
    HOLD = "hold"
    """It waits for a releasing officer."""
    DENY = "deny"


class RecallEffect(StrEnum):
    """Effect of a recall on one recipient."""

    STOPPED = "stopped"
    """It was not handed over, and will not be."""
    ASKED = "asked"
    """It was handed over: the recipient is asked to destroy it."""
    NONE = "none"
    """It had ended before, or is destroyed."""


@dataclass(frozen=True, slots=True)
class Listed(Sequence[R]):
    """A list of the node, and the damaged records that it left out."""

    entries: tuple[R, ...]
    damaged: tuple[str, ...] = ()
    """Records that are not as they were written, by table and key, at most 20: what belongs to them is
    missing. Empty: the list lacks nothing.
    """

    @overload
    def __getitem__(self, place: int) -> R: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[R, ...]: ...

    def __getitem__(self, place: int | slice) -> R | tuple[R, ...]:
        return self.entries[place]

    def __len__(self) -> int:
        return len(self.entries)


@dataclass(frozen=True, slots=True)
class Text:
    """A further text of a bulletin, with a label of its own."""

    text: str
    label: str


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a portion is withheld: a code, what it is about, and the file and line of the rule."""

    code: str
    detail: str = ""
    place: str = ""


@dataclass(frozen=True, slots=True)
class PortionDecision:
    """The decision on one portion; ``number`` counts from 1."""

    number: int
    outcome: Outcome
    basis: str
    """The treaty, or OWN_PRODUCT or UNRESTRICTED; empty where it is denied."""
    articles: tuple[str, ...] = ()
    obligations: tuple[str, ...] = ()
    reasons: tuple[Reason, ...] = ()
    holds: tuple[str, ...] = ()
    """The rules of national law that hold it."""


@dataclass(frozen=True, slots=True)
class PairDecision:
    """The decision for one recipient."""

    recipient: str
    status: PairStatus
    portions: tuple[PortionDecision, ...]
    codes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sent:
    """A bulletin that the node has stored; ``id`` is empty where it was only decided."""

    id: str
    banner: str
    pairs: tuple[PairDecision, ...]

    def to(self, recipient: str) -> PairDecision:
        """The decision for a recipient. Raises KeyError."""
        for pair in self.pairs:
            if pair.recipient == recipient:
                return pair
        raise KeyError(recipient)


@dataclass(frozen=True, slots=True)
class InboxEntry:
    """A received bulletin, as far as this user may see it."""

    id: str
    originator: str
    number: int
    """Of the release in the originator's stream."""
    precedence: Precedence
    received_at: datetime
    created_at: datetime
    banner: str
    title: str
    portions: int
    read: bool
    destroyed: str
    """RECALLED, EXPIRED or RETENTION; empty: it is here."""
    reason: str
    """Of a recall, as the originator gave it."""


@dataclass(frozen=True, slots=True)
class ReadPortion:
    """A portion that was opened; ``number`` counts from 1."""

    number: int
    kind: PortionKind
    label: str
    mark: str
    category: str
    flags: tuple[str, ...]
    grade: str
    media: str
    content: bytes = field(repr=False)
    """Empty for an attachment, which is fetched apart."""
    basis: str
    obligations: tuple[str, ...]

    @property
    def text(self) -> str:
        """The content as text; empty for what is none."""
        is_text = self.kind in (PortionKind.TEXT, PortionKind.TITLE)
        return self.content.decode("utf-8", "replace") if is_text else ""


@dataclass(frozen=True, slots=True)
class Bulletin:
    """A bulletin that was opened, which the node has logged."""

    id: str
    originator: str
    precedence: Precedence
    created_at: datetime
    received_at: datetime | None
    """None: your member wrote it."""
    valid_until: datetime | None
    banner: str
    portions: tuple[ReadPortion, ...]

    @property
    def text(self) -> str:
        """Its texts, without the title, in reading order."""
        return "\n\n".join(one.text for one in self.portions if one.kind is PortionKind.TEXT)


@dataclass(frozen=True, slots=True)
class Pair:
    """State of a bulletin with one recipient."""

    recipient: str
    status: PairStatus
    changed_at: datetime
    codes: tuple[str, ...]
    granted: int
    portions: int
    basis: str
    recall_requested: bool
    reason: str
    """The reason of the releasing officer who refused it; empty if nobody did."""


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """A bulletin of your member with the state of each recipient."""

    id: str
    precedence: Precedence
    created_at: datetime
    banner: str
    title: str
    author: str
    pairs: tuple[Pair, ...]
    recalled_at: datetime | None
    purged_at: datetime | None
    """When its content was purged after delivery; None: it is here."""
    damaged: tuple[str, ...] = ()
    """Of ``sent``: the damaged records of recipients that it lacks. ``outbox`` names those of the list."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """The decision of one pair, and the log entry that holds it."""

    decision: PairDecision
    decided_at: datetime
    log_index: int
    log_entry: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Receipt:
    """A signed receipt. ``flaw`` is the code of what is wrong with its signature; empty: nothing is."""

    recipient: str
    status: str
    codes: tuple[str, ...]
    decided_at: datetime
    received_at: datetime
    flaw: str


@dataclass(frozen=True, slots=True)
class SearchMatch:
    """A bulletin that holds all the words."""

    id: str
    originator: str
    at: datetime
    banner: str
    title: str
    excerpt: str


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened; ``cursor`` is where to go on after it."""

    what: str
    at: datetime
    cursor: str
    id: str
    """Of the bulletin; empty where it is about none."""
    member: str
    codes: tuple[str, ...]
    banner: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Me:
    """The user that this client is."""

    user: str
    member: str
    role: Role
    clearance: str
    nationality: str
    categories: tuple[str, ...]
    node: str
