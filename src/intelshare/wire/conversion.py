"""Turns core values into the bytes of one link message, each at most 1 MiB if its parts keep their bounds.

Frames are written by hand: that is 2 µs for a statement instead of 7 through protobuf objects, on the path
that every release takes. A test holds that protobuf reads the same and writes the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from intelshare.audit.path import LogAsk, LogPath
from intelshare.broker.kernel.frame import Ack, Acks, Frame, Gap, Hello, Outbound, Slice, SliceAsk
from intelshare.crypto.codec import encode
from intelshare.crypto.records import Trust
from intelshare.instant import Instant
from intelshare.trust import DirectoriesHeld
from intelshare.wire.v1 import peer_pb2 as pb

_FRAME: Final = b"\x12"
_BATCH: Final = b"\x0a"
_BATCH_KEY: Final = b"\x12"
_STATEMENT: Final = b"\x1a"
_KIND: Final = b"\x08"
_NONCE: Final = b"\x12"
_DATA: Final = b"\x1a"
_PROOF: Final = b"\x22"
_GRANT: Final = b"\x2a"
_BODY: Final = b"\x32"


def link_message(
    message: Hello | Acks | Gap | LogAsk | LogPath | SliceAsk | Slice | DirectoriesHeld | Trust | Outbound,
    now: Instant,
) -> bytes:
    """Return the bytes of anything that goes over a link, at this node's clock."""
    match message:
        case Outbound():
            return frame_message(message.frame)
        case Acks():
            return acks_message(message.acks, now)
        case Gap():
            return gap_message(message)
        case Hello():
            return hello_message(message.payload)
        case LogAsk():
            return ask_message(message)
        case LogPath():
            return path_message(message)
        case SliceAsk():
            return slice_ask_message(message)
        case Slice():
            return slice_message(message)
        case DirectoriesHeld():
            return pb.LinkMessage(directories=encode(DirectoriesHeld, message)).SerializeToString()
        case Trust():
            return pb.LinkMessage(directory=encode(Trust, message)).SerializeToString()


def frame_message(frame: Frame) -> bytes:
    """Return the link message of one frame."""
    parts = _field(_BATCH, frame.batch) + _field(_BATCH_KEY, frame.batch_key)
    for said in frame.statements:
        own = [
            _KIND, _length(said.kind),
            _NONCE, _length(len(said.nonce)), said.nonce,
            _DATA, _length(len(said.data)), said.data,
            _PROOF, _length(len(said.proof)), said.proof,
        ]  # fmt: skip
        own += _field(_GRANT, said.grant)
        for body in said.bodies:
            own += (_BODY, _length(len(body)), body)
        parts += (_STATEMENT, _length(sum(map(len, own))), *own)
    return b"".join((_FRAME, _length(sum(map(len, parts))), *parts))


def hello_message(payload: bytes) -> bytes:
    """Return the link message of one hello."""
    return pb.LinkMessage(hello=payload).SerializeToString()


def acks_message(acks: Sequence[Ack], now: Instant) -> bytes:
    """Return the link message with the answers to one frame, at this node's clock."""
    return pb.LinkMessage(
        acks=pb.Acks(time=now, acks=[pb.Ack(digest=ack.digest, code=ack.code) for ack in acks])
    ).SerializeToString()


def gap_message(gap: Gap) -> bytes:
    """Return the link message that asks for numbers of a peer's stream, or for its acts."""
    return pb.LinkMessage(
        gaps=pb.GapRequest(
            origin=gap.origin,
            incarnation=gap.incarnation,
            missing=[pb.Range(first=first, last=last) for first, last in gap.missing],
            acts=gap.acts,
        )
    ).SerializeToString()


def ask_message(ask: LogAsk) -> bytes:
    """Return the link message that asks how a log extends what is held of it."""
    return pb.LinkMessage(log_ask=encode(LogAsk, ask)).SerializeToString()


def path_message(path: LogPath) -> bytes:
    """Return the link message that answers this."""
    return pb.LinkMessage(log_path=encode(LogPath, path)).SerializeToString()


def slice_ask_message(ask: SliceAsk) -> bytes:
    """Return the link message that asks for a part of a file."""
    return pb.LinkMessage(slice_ask=pb.SliceAsk(pieces=ask.pieces, number=ask.number)).SerializeToString()


def slice_message(part: Slice) -> bytes:
    """Return the link message with that part."""
    return pb.LinkMessage(
        slice=pb.Slice(pieces=part.pieces, number=part.number, data=part.data)
    ).SerializeToString()


def _field(tag: bytes, value: bytes) -> list[bytes]:
    return [tag, _length(len(value)), value] if value else []


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


_SHORT: Final = tuple([_varint(number) for number in range(4096)])


def _length(number: int) -> bytes:
    return _SHORT[number] if number < len(_SHORT) else _varint(number)
