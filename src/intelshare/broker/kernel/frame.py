"""The messages of a link: statements of one signed batch for one peer, their answers, and the questions."""

from __future__ import annotations

from dataclasses import dataclass

from intelshare.audit.path import LogAsk, LogPath
from intelshare.crypto.records import Trust
from intelshare.ids import Digest, LeafId, MemberCode
from intelshare.instant import Instant
from intelshare.trust import DirectoriesHeld

SLICE = 1 << 16
"""The bytes of a file's pieces that one message carries; the last slice carries the rest."""

FRAMING = 320
"""The bytes that a statement takes in a frame besides its data, grant and bodies: nonce, proof, lengths."""


@dataclass(frozen=True, slots=True)
class Carried:
    """One statement with its payload; only a release has a grant and bodies."""

    kind: int
    nonce: bytes
    data: bytes
    proof: bytes
    grant: bytes = b""
    bodies: tuple[bytes, ...] = ()

    @property
    def size(self) -> int:
        """The approximate number of bytes that it takes in a frame."""
        return FRAMING + len(self.data) + len(self.grant) + sum(map(len, self.bodies))


@dataclass(frozen=True, slots=True)
class Frame:
    """Statements for one peer that are self-contained: they can be stored, resent, or carried in a file."""

    batch: bytes
    batch_key: bytes
    """Empty if no statement is a release."""
    statements: tuple[Carried, ...]


@dataclass(frozen=True, slots=True)
class Outbound:
    """A frame for a peer, with the digests of its statements in order."""

    peer: MemberCode
    rank: int
    """The rank of its most urgent statement: 0 is FLASH."""
    frame: Frame
    leaves: tuple[LeafId, ...]


@dataclass(frozen=True, slots=True)
class Ack:
    """The outcome of one statement: committed (no code), or the code of its rejection."""

    digest: bytes
    code: str
    time: Instant


@dataclass(frozen=True, slots=True)
class Gap:
    """Missing numbers of a stream (ranges include both ends), or missing treaty acts of the peer."""

    origin: str
    incarnation: int
    missing: tuple[tuple[int, int], ...]
    acts: int = 0
    """The first missing number of an act; the other fields are then empty."""

    @staticmethod
    def of_acts(first: int) -> Gap:
        """Return the gap of the peer's treaty acts from this number on."""
        return Gap("", 0, (), first)


@dataclass(frozen=True, slots=True)
class Hello:
    """One message of the hello, not verified yet."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Acks:
    """The outcomes of the statements of one frame."""

    acks: tuple[Ack, ...]


@dataclass(frozen=True, slots=True)
class SliceAsk:
    """A request for one slice of a file's pieces: ``SLICE`` bytes, numbered from 0."""

    pieces: Digest
    """``crypto.pieces.pieces_id``."""
    number: int


@dataclass(frozen=True, slots=True)
class Slice:
    """The answer to one ``SliceAsk``. Without data: the slice is not here, or not for this peer."""

    pieces: Digest
    number: int
    data: bytes


Message = Hello | Frame | Acks | Gap | LogAsk | LogPath | SliceAsk | Slice | DirectoriesHeld | Trust
"""Everything that a peer may send."""


def rank(precedence: int) -> int:
    """Return the place of a precedence in every queue: 0 is FLASH, 3 is ROUTINE."""
    return 4 - precedence


def precedence_of(rank: int) -> int:
    """Return the precedence of a rank."""
    return 4 - rank
