"""The judge's answers: values that a command prints, and nothing that was not checked."""

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
    """The fingerprint of its root 1, to be compared."""
    confirmed: bool
    """True if the reader knows the member, by a member file or by its fingerprint."""
    directory: int
    """The version of the directory by which it was judged; 0 if there was none."""
    issued: Instant
    """The time when that directory was signed: later revocations are not known."""


@dataclass(frozen=True, slots=True)
class Witness:
    """Another member that signed what it saw, and the time that it states."""

    member: str
    node: str
    entries: int
    """The number of entries of the log that it saw."""
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
    """The entry's hash, over which the log is built."""
    opened: tuple[tuple[int, Any], ...]
    """For a decision: slot and decision of each portion that is shown."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """The facts that a proof of log entries shows."""

    node: str
    member: str
    fingerprint: str
    checkpoint: Cosigned
    signed_at: Instant
    revoked: bool
    """True if the key was revoked later, and the entries count because they were witnessed before."""
    witnesses: tuple[Witness, ...]
    entries: tuple[ProvenEntry, ...]
    members: tuple[Named, ...]
    """Every member on whose signature this rests, the log's own first."""

    @property
    def confirmed(self) -> bool:
        """Return True if the reader's copies confirmed all of them."""
        return all(one.confirmed for one in self.members)


@dataclass(frozen=True, slots=True)
class SeenBy:
    """The place where another member logged or cosigned a statement."""

    member: str
    at: Instant
    how: str


@dataclass(frozen=True, slots=True)
class Step:
    """One step that a reader wants to know: established, with the grounds; or not, with the reason."""

    established: bool
    what: str
    why: str
    at: Instant | None = None
    """The time when it was signed, as its signer states."""
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
    """The facts that evidence proves, and against whom."""

    member: str
    node: str
    fingerprint: str
    code: str
    what: str
    convicting: tuple[Convicting, ...]
    members: tuple[Named, ...]
    """Every member on whose signature this rests, the accused first."""

    @property
    def statements(self) -> tuple[tuple[str, Instant], ...]:
        """The kind of each convicting statement, and the time it states."""
        return tuple((one.kind, one.signed_at) for one in self.convicting)

    @property
    def confirmed(self) -> bool:
        """Return True if the reader's copies confirmed all of them."""
        return all(one.confirmed for one in self.members)
