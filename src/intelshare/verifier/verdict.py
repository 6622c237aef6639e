"""What the judge says: values that a command prints, and nothing that was not checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from intelshare.crypto.records import Cosigned
from intelshare.instant import Instant


@dataclass(frozen=True, slots=True)
class Named:
    """A member on whose signature the verdict rests, and why its key is believed."""

    member: str
    fingerprint: str
    """Of its root 1, to be compared."""
    confirmed: bool
    """Whether the reader knows it, by its own member file or by its fingerprint."""
    directory: int
    """Version of the directory by which it was judged; 0: none."""
    issued: Instant
    """When that directory was signed: what was revoked later is not known."""


@dataclass(frozen=True, slots=True)
class Witness:
    """Another member that signed what it saw, and when it says that it did."""

    member: str
    node: str
    entries: int
    """How much of the log it saw."""
    signed_at: Instant
    confirmed: bool
    """As in ``Named``."""


@dataclass(frozen=True, slots=True)
class ProvenEntry:
    """An entry that is in the log."""

    incarnation: int
    index: int
    type: str
    at: Instant
    says: dict[str, Any]
    record: Any
    hash: bytes
    """What the log is over."""
    opened: tuple[tuple[int, Any], ...]
    """Of a decision: slot and decision of each portion that is shown."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a proof of log entries shows."""

    node: str
    member: str
    fingerprint: str
    checkpoint: Cosigned
    signed_at: Instant
    revoked: bool
    """Whether the key was revoked later: the entries count because they were witnessed before."""
    witnesses: tuple[Witness, ...]
    entries: tuple[ProvenEntry, ...]
    members: tuple[Named, ...]
    """Everybody on whose signature this rests, the log's own member first."""

    @property
    def confirmed(self) -> bool:
        """Whether the reader's copies confirmed all of them."""
        return all(one.confirmed for one in self.members)


@dataclass(frozen=True, slots=True)
class SeenBy:
    """Where a statement stands that another member logged or cosigned."""

    member: str
    at: Instant
    how: str


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that a reader wants to know: established, by what; or not, and why not."""

    established: bool
    what: str
    why: str
    at: Instant | None = None
    """When it was signed, by its signer's own word."""
    seen: tuple[SeenBy, ...] = ()


@dataclass(frozen=True, slots=True)
class Convicting:
    """One of the two statements that contradict each other."""

    kind: str
    signed_at: Instant
    revoked: bool
    seen: tuple[SeenBy, ...]


@dataclass(frozen=True, slots=True)
class Proven:
    """What evidence proves, against whom."""

    member: str
    node: str
    fingerprint: str
    code: str
    what: str
    convicting: tuple[Convicting, ...]
    members: tuple[Named, ...]
    """Everybody on whose signature this rests, the accused first."""

    @property
    def statements(self) -> tuple[tuple[str, Instant], ...]:
        """Kind of each convicting statement, and when it says that it was signed."""
        return tuple((one.kind, one.signed_at) for one in self.convicting)

    @property
    def confirmed(self) -> bool:
        """Whether the reader's copies confirmed all of them."""
        return all(one.confirmed for one in self.members)
