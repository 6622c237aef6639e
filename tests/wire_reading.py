"""The messages of a link, read by protobuf: a second reading beside the scan."""

from __future__ import annotations

from intelshare.audit.path import LogAsk, LogPath
from intelshare.broker.kernel.frame import Ack, Carried, Frame, Gap, Slice, SliceAsk
from intelshare.crypto.codec import decode
from intelshare.ids import Digest
from intelshare.instant import Instant
from intelshare.wire import Acks, Hello, Message
from intelshare.wire.v1 import peer_pb2 as pb


def by_protobuf(raw: bytes) -> Message:
    """The same message as protobuf's parser sees it."""
    message = pb.LinkMessage.FromString(raw)
    match message.WhichOneof("body"):
        case "frame":
            return Frame(
                message.frame.batch,
                message.frame.batch_key,
                tuple(
                    Carried(s.kind, s.nonce, s.data, s.proof, s.grant, tuple(s.bodies))
                    for s in message.frame.statements
                ),
            )
        case "acks":
            now = Instant(message.acks.time)
            return Acks(tuple(Ack(a.digest, a.code, now) for a in message.acks.acks))
        case "gaps":
            gaps = message.gaps
            missing = tuple((r.first, r.last) for r in gaps.missing)
            return Gap(gaps.origin, gaps.incarnation, missing, gaps.acts)
        case "log_ask":
            return decode(LogAsk, message.log_ask)
        case "log_path":
            return decode(LogPath, message.log_path)
        case "slice_ask":
            return SliceAsk(Digest(message.slice_ask.pieces), message.slice_ask.number)
        case "slice":
            return Slice(Digest(message.slice.pieces), message.slice.number, message.slice.data)
        case _:
            return Hello(message.hello)
