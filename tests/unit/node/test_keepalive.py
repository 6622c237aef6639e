"""A line that carries nothing is noticed in time by both ends (F4)."""

from __future__ import annotations

from intelshare.node.dial import KEEPALIVE

NOTICED = 30_000
"""Milliseconds in which both have to notice (promises, section 5)."""


def test_either_end_asks_and_gives_up_within_30_seconds() -> None:
    """gRPC gives the ping of a server a minute, whatever ``keepalive_timeout`` says."""
    options = dict(KEEPALIVE)
    late = max(options["grpc.keepalive_timeout_ms"], options["grpc.http2.ping_timeout_ms"])
    assert options["grpc.keepalive_time_ms"] + late < NOTICED
    assert options["grpc.keepalive_permit_without_calls"] == 1
    assert options["grpc.http2.max_pings_without_data"] == 0
