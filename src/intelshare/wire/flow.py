"""How much of a stream may be on its way: one rule for both ends of every connection."""

from __future__ import annotations

from typing import Final

WINDOW: Final = 4 << 20
"""Bytes that a receiver holds of one stream before its program has asked for them: 50 MB/s over 80 ms."""

FLOW: Final[tuple[tuple[str, int], ...]] = (
    # Else gRPC lets the window grow to 1 GiB while the receiver is slow: measured with a reader of a large
    # file on a busy machine, whose memory grew to the size of the file.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", WINDOW),
)
"""Options of gRPC."""
