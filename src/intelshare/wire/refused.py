"""Tells by gRPC's words whether the other end refused a connection in TLS: for clients and peers."""

from __future__ import annotations

from typing import Final

_TLS: Final = ("certificate", "verification", "ssl", "unwrap failed")
_NEVER: Final = "failed to connect"
_ENDED: Final = ("socket closed", "connection reset", "broken pipe")
_TOO_EARLY: Final = ("handshake read failed", "handshake write failed", "failed to connect to remote host")
"""Words of gRPC about TLS, about a connection that was never established, about its end, and about an end
before the node has seen our certificate. "Unwrap failed": an alert came after the handshake.
"""


def refused_in_tls(details: str) -> str:
    """Return how the TLS handshake failed, or nothing if it did not.

    A server that rejects our certificate ends the connection after the handshake (TLS 1.3, RFC 8446 section
    4.4.2), before it is established: in order, or by a reset if it had not read everything. gRPC's sends no
    alert, so one that ends in these milliseconds looks the same; one that has ended before does not.
    """
    told = details.lower()
    if any(word in told for word in _TLS):
        return "one side does not accept the other's certificate"
    ended = _NEVER in told and any(word in told for word in _ENDED)
    if ended and not any(word in told for word in _TOO_EARLY):
        return "the node does not accept the certificate, or ended at this very moment: then try again"
    return ""
