"""What a node logs: one JSON object a line, event names and fields from closed lists.

Only ids, codes, counts and times are allowed: a field that is not listed is dropped, so that no text of a
bulletin, label or key can get into a log by mistake (invariant I15).
"""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from enum import StrEnum
from typing import Any, Final, TextIO

import structlog


class Event(StrEnum):
    """Everything that is logged."""

    STARTED = "node.started"
    STOPPING = "node.stopping"
    STOPPED = "node.stopped"
    FATAL = "node.fatal"
    DEFECT = "node.defect"
    SERVING = "health.serving"
    NOT_SERVING = "health.not_serving"
    CALL_REFUSED = "call.refused"
    LINK_OPENED = "link.opened"
    LINK_CLOSED = "link.closed"
    PEER_FORGOT = "link.peer_forgot"
    ACTS_FORGOTTEN = "link.acts_forgotten"
    FORGOT = "link.forgot"
    DIAL_FAILED = "link.dial_failed"
    RECORD_DAMAGED = "record.damaged"
    FILE_WAITS = "file.waits"
    STEP_FAILED = "step.failed"
    REJECTED_BY_PEER = "statement.rejected_by_peer"
    FRAME_REJECTED = "frame.rejected"
    DIRECTORY_RENEWED = "trust.directory_renewed"
    LEAF_RENEWED = "trust.leaf_renewed"
    RENEWAL_FAILED = "trust.renewal_failed"
    SHUT_OUT = "trust.shut_out"
    TRUST_CHANGED = "trust.changed"
    POLICY_LOADED = "policy.loaded"
    POLICY_CHANGED = "policy.changed"
    POLICY_FAILED = "policy.failed"


FIELDS: Final = frozenset(
    (
        *("event", "level", "timestamp", "member", "node", "peer", "user", "role", "method"),
        *(
            "code",
            "codes",
            "status",
            "reason",
            "exception",
            "version",
            "incarnation",
            "digest",
            "path",
            "record",
        ),
        *("peer_port", "user_port", "pid", "count", "size", "seconds", "clock_offset_us"),
    )
)

Logger = structlog.typing.FilteringBoundLogger


def make_logger(out: TextIO) -> Logger:
    """A logger that writes to this stream."""
    logger: Logger = structlog.wrap_logger(
        structlog.WriteLogger(out),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _allowed,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )
    return logger


def _allowed(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {name: value for name, value in event.items() if name in FIELDS}
