"""Limits how much of a stream may be in flight: one rule for both ends of every connection."""

from __future__ import annotations

from typing import Final

WINDOW: Final = 4 << 20
"""The bytes of one stream that a receiver holds before its program has asked for them: 50 MB/s over 80 ms."""

FLOW: Final[tuple[tuple[str, int], ...]] = (
    # Otherwise gRPC lets the window grow to 1 GiB while the receiver is slow. This was measured with a reader
    # of a large file on a busy machine, whose memory grew to the size of the file.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", WINDOW),
)
"""The options for gRPC."""
