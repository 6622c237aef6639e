"""What travels on a link: statements of one signed batch for one peer, their answers, and the questions."""

from __future__ import annotations

from dataclasses import dataclass

from intelshare.audit.path import LogAsk, LogPath
from intelshare.crypto.records import Trust
from intelshare.ids import Digest, LeafId, MemberCode
from intelshare.instant import Instant
from intelshare.trust import DirectoriesHeld

SLICE = 1 << 16
"""Bytes of the pieces of a file in one message; of the last slice the rest."""

FRAMING = 320
"""Bytes of a statement in a frame besides its data, grant and bodies: nonce, proof, lengths."""


@dataclass(frozen=True, slots=True)
class Carried:
    """One statement with its payload; grant and bodies only of a release."""

    kind: int
    nonce: bytes
    data: bytes
    proof: bytes
    grant: bytes = b""
    bodies: tuple[bytes, ...] = ()

    @property
    def size(self) -> int:
        """About how many bytes it takes in a frame."""
        return FRAMING + len(self.data) + len(self.grant) + sum(map(len, self.bodies))


@dataclass(frozen=True, slots=True)
class Frame:
    """Self-contained for one peer: can be stored, resent, or carried in a file."""

    batch: bytes
    batch_key: bytes
    """Empty when no statement is a release."""
    statements: tuple[Carried, ...]


@dataclass(frozen=True, slots=True)
class Outbound:
    """A frame for a peer, with the digests of its statements in their order."""

    peer: MemberCode
    rank: int
    """Of its most urgent statement: 0 is FLASH."""
    frame: Frame
    leaves: tuple[LeafId, ...]


@dataclass(frozen=True, slots=True)
class Ack:
    """What became of one statement: committed (no code), or the code of its rejection."""

    digest: bytes
    code: str
    time: Instant


@dataclass(frozen=True, slots=True)
class Gap:
    """What is missing: numbers of a stream, both ends of a range included; or the peer's treaty acts."""

    origin: str
    incarnation: int
    missing: tuple[tuple[int, int], ...]
    acts: int = 0
    """From this number on. The other fields are then empty."""

    @staticmethod
    def of_acts(first: int) -> Gap:
        """The peer's treaty acts from this number on."""
        return Gap("", 0, (), first)


@dataclass(frozen=True, slots=True)
class Hello:
    """One message of the hello, still to be verified."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Acks:
    """What became of the statements of one frame."""

    acks: tuple[Ack, ...]


@dataclass(frozen=True, slots=True)
class SliceAsk:
    """A part of the pieces of a file is wanted: ``SLICE`` bytes, by their number from 0."""

    pieces: Digest
    """``crypto.pieces.pieces_id``."""
    number: int


@dataclass(frozen=True, slots=True)
class Slice:
    """The answer to one ``SliceAsk``; no data: not here, or not for this peer."""

    pieces: Digest
    number: int
    data: bytes


Message = Hello | Frame | Acks | Gap | LogAsk | LogPath | SliceAsk | Slice | DirectoriesHeld | Trust
"""What a peer may send."""


def rank(precedence: int) -> int:
    """The place of a precedence in every queue: 0 is FLASH, 3 is ROUTINE."""
    return 4 - precedence


def precedence_of(rank: int) -> int:
    """What ``rank`` was made of."""
    return 4 - rank
