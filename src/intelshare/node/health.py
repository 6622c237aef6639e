"""Tells whether the node serves: SERVING unless a code stands against it; health and status use the same
word.
"""

from __future__ import annotations

from collections import Counter

from grpc_health.v1 import health_pb2

from intelshare.errors import DeliveryError
from intelshare.node.events import Event, Logger

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Health:
    """The codes that prevent the node from serving (promise P17)."""

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._codes: set[str] = set()
        self.begun: Counter[str] = Counter()
        """The number of times that each code began to prevent serving."""

    @property
    def codes(self) -> tuple[str, ...]:
        """Return the codes that prevent serving, or none if the node serves."""
        return tuple(sorted(self._codes))

    @property
    def word(self) -> str:
        """Return SERVING or NOT_SERVING."""
        return "NOT_SERVING" if self._codes else "SERVING"

    def set(self, code: str) -> None:
        """Record that this code prevents serving."""
        if code not in self._codes:
            self._codes.add(code)
            self.begun[code] += 1
            self._log.warning(Event.NOT_SERVING, code=code)

    def clear(self, code: str) -> None:
        """Record that this code no longer prevents serving."""
        if code in self._codes:
            self._codes.remove(code)
            self._log.info(Event.SERVING, code=code)

    def check(self, request: health_pb2.HealthCheckRequest) -> health_pb2.HealthCheckResponse:
        """Answer gRPC's health check, for the whole node only. Raises DeliveryError NOT_FOUND for any other
        service.
        """
        if request.service:
            raise DeliveryError("NOT_FOUND", f"{request.service!r} has no separate health")
        return health_pb2.HealthCheckResponse(status=_NOT_SERVING if self._codes else _SERVING)
