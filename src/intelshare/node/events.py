"""What a node logs: one JSON object a line, event names and fields from closed lists.

Only ids, codes, counts and times are allowed: a field that is not listed is dropped, so that no text of a
bulletin, label or key can get into a log by mistake (invariant I15).
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, TextIO


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
    RESERVE_GIVEN_UP = "disk.reserve_given_up"
    RECORD_DAMAGED = "record.damaged"
    FILE_WAITS = "file.waits"
    STEP_FAILED = "step.failed"
    LINES_LEFT_OUT = "peer.lines_left_out"
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
        *("peer_port", "user_port", "metrics_port", "pid", "count", "size", "seconds", "clock_offset_us"),
    )
)


class Logger:
    """Writes to one stream, from any thread. (structlog would do; it costs 5 MiB, most of it for colours.)"""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._writing = threading.Lock()
        self.lines: Counter[tuple[str, str]] = Counter()
        """How many were written since the start, by event and level."""

    def info(self, event: Event, **fields: object) -> None:
        """What happens."""
        self._write("info", event, fields)

    def warning(self, event: Event, **fields: object) -> None:
        """What somebody should look at."""
        self._write("warning", event, fields)

    def error(self, event: Event, **fields: object) -> None:
        """What is wrong here."""
        self._write("error", event, fields)

    def critical(self, event: Event, **fields: object) -> None:
        """Why the process ends."""
        self._write("critical", event, fields)

    def _write(self, level: str, event: Event, fields: dict[str, object]) -> None:
        kept = {name: value for name, value in fields.items() if name in FIELDS}
        at = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        line = json.dumps({**kept, "event": event, "level": level, "timestamp": at}, default=repr)
        with self._writing:
            self.lines[event, level] += 1
            self._out.write(line + "\n")
            self._out.flush()


def make_logger(out: TextIO) -> Logger:
    """A logger that writes to this stream."""
    return Logger(out)
