"""Logs what a node does: events from a closed list, each with the fields that its row allows.

Only ids, codes, counts and times are allowed. A field that is not listed is dropped, and so is a value that
is neither a number nor a short line, so that no text of a bulletin, label or key can get into a log by
mistake (invariant I15). ``tests/unit/node/test_events.py`` compares every call in the source with the table.
"""

from __future__ import annotations

import io
import json
import os
import threading
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Final, TextIO

from intelshare.errors import ConfigError, Place


class Event(StrEnum):
    """All events that are logged."""

    STARTED = "node.started"
    STANDBY = "node.standby"
    WAITS = "node.waits"
    TAKING_OVER = "node.taking_over"
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
    RECEIVED_FORGOTTEN = "node.received_forgotten"
    HEARD = "node.heard"
    DIAL_FAILED = "link.dial_failed"
    RESERVE_GIVEN_UP = "disk.reserve_given_up"
    RECORD_DAMAGED = "record.damaged"
    RECORD_MENDED = "record.mended"
    VAULT_MENDED = "vault.mended"
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
    LOG_REOPENED = "log.reopened"
    NO_METRICS = "metrics.off"
    NO_PEER_PORT = "peers.off"
    NO_TRACES = "traces.off"
    LIBRARY_WARNED = "library.warned"


class Level(StrEnum):
    """The importance of a line, the lowest first."""

    INFO = "info"
    """A normal event."""
    WARNING = "warning"
    """Something that an operator should check."""
    ERROR = "error"
    """A fault in this node."""
    CRITICAL = "critical"
    """The reason why the process ends."""


class Form(StrEnum):
    """The format of a line."""

    JSON = "json"
    """One object per line, for log collectors."""
    TEXT = "text"
    """Time, level, event, and the fields as name=value, for people."""


FIELDS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        event: frozenset(fields.split())
        for event, fields in {
            Event.STARTED: "node peer_port user_port metrics_port incarnation pid version",
            Event.STANDBY: "replica pid version",
            Event.WAITS: "replica code others",
            Event.TAKING_OVER: "replica",
            Event.STOPPING: "",
            Event.STOPPED: "",
            Event.FATAL: "code",
            Event.DEFECT: "exception method",
            Event.SERVING: "code",
            Event.NOT_SERVING: "code",
            Event.CALL_REFUSED: "code method user peer",
            Event.LINK_OPENED: "peer role clock_offset_us",
            Event.LINK_CLOSED: "peer code count",
            Event.PEER_FORGOT: "peer code count",
            Event.ACTS_FORGOTTEN: "peer code count",
            Event.FORGOT: "peer code count",
            Event.DIAL_FAILED: "peer code count",
            Event.RECORD_DAMAGED: "code record",
            Event.RECORD_MENDED: "record status member",
            Event.VAULT_MENDED: "path",
            Event.FILE_WAITS: "peer code count",
            Event.STEP_FAILED: "peer code count",
            Event.LINES_LEFT_OUT: "member peer code count",
            Event.REJECTED_BY_PEER: "peer code count",
            Event.FRAME_REJECTED: "peer code size",
            Event.DIRECTORY_RENEWED: "",
            Event.LEAF_RENEWED: "",
            Event.RENEWAL_FAILED: "code",
            Event.SHUT_OUT: "member",
            Event.TRUST_CHANGED: "",
            Event.POLICY_LOADED: "count",
            Event.POLICY_CHANGED: "path status",
            Event.POLICY_FAILED: "code path",
            Event.LOG_REOPENED: "",
            Event.NO_METRICS: "code",
            Event.NO_PEER_PORT: "code",
            Event.NO_TRACES: "code",
            Event.LIBRARY_WARNED: "source",
            Event.RESERVE_GIVEN_UP: "code",
            Event.RECEIVED_FORGOTTEN: "count",
            Event.HEARD: "peer code",
        }.items()
    }
)
"""The fields that each event may have besides its name, its level and the time."""

_NOTHING: Final[frozenset[str]] = frozenset()

LOST: Final = "log.lost"

LONGEST: Final = 200
"""The most characters of a value; a longer one is truncated."""

_ORDER: Final = tuple(Level)


class Logger:
    """Writes to one stream or file, from any thread. (structlog would do, but costs 5 MiB, most of it for
    colours.) A line that cannot be written is counted and lost: a full disk or a closed pipe does not end the
    node.
    """

    def __init__(
        self,
        out: TextIO | None = None,
        *,
        file: Path | None = None,
        level: Level = Level.INFO,
        form: Form = Form.JSON,
    ) -> None:
        """Write to ``file`` if there is one, otherwise to ``out``. Raises ConfigError LOG_FILE."""
        self._file = file
        self._out = _opened(file) if file is not None else out if out is not None else io.StringIO()
        self._least = _ORDER.index(level)
        self._form = form
        self._writing = threading.Lock()
        self.lines: Counter[tuple[str, str]] = Counter()
        """The lines since the start, by event and level; under ``LOST``, those that could not be written."""

    def info(self, event: Event, **fields: object) -> None:
        """Log a normal event."""
        self._write(Level.INFO, event, fields)

    def warning(self, event: Event, **fields: object) -> None:
        """Log something that an operator should check."""
        self._write(Level.WARNING, event, fields)

    def error(self, event: Event, **fields: object) -> None:
        """Log a fault in this node."""
        self._write(Level.ERROR, event, fields)

    def critical(self, event: Event, **fields: object) -> None:
        """Log the reason why the process ends."""
        self._write(Level.CRITICAL, event, fields)

    def reopen(self) -> None:
        """Continue in a new file of the same name, after the old one was moved away. Does nothing without a
        file.

        If the new file cannot be opened, the old one stays in use.
        """
        if self._file is None:
            return
        try:
            opened = _opened(self._file)
        except ConfigError:
            self._lose()
            return
        with self._writing:
            self._out.close()
            self._out = opened
        self.info(Event.LOG_REOPENED)

    def _write(self, level: Level, event: Event, fields: dict[str, object]) -> None:
        with self._writing:
            self.lines[event, level] += 1
            if _ORDER.index(level) < self._least:
                return
            said = {name: value for name, value in fields.items() if name in FIELDS.get(event, _NOTHING)}
            plain = {name: _plain(value) for name, value in said.items()}
            at = datetime.now(UTC).isoformat().replace("+00:00", "Z")
            line = _FORMS[self._form](at, level, event, plain)
            try:
                self._out.write(line + "\n")
                self._out.flush()
            except OSError:
                self._lose()

    def _lose(self) -> None:
        self.lines[LOST, Level.ERROR] += 1


def make_logger(out: TextIO) -> Logger:
    """Return a logger that writes to this stream."""
    return Logger(out)


def _plain(value: object) -> str | int | float | None:
    """Return a number, or one short line; for anything else, only the name of its type."""
    if value is None or isinstance(value, int | float) or type(value) is str:
        return "".join(ch for ch in value if ch.isprintable())[:LONGEST] if isinstance(value, str) else value
    return str(value) if isinstance(value, StrEnum) else type(value).__name__


def _json(at: str, level: Level, event: Event, fields: dict[str, str | int | float | None]) -> str:
    return json.dumps({**fields, "event": event, "level": level, "timestamp": at})


def _text(at: str, level: Level, event: Event, fields: dict[str, str | int | float | None]) -> str:
    said = " ".join(f"{name}={value}" for name, value in fields.items() if value not in (None, ""))
    return f"{at} {level:<8} {event} {said}".rstrip()


_FORMS: Final = {Form.JSON: _json, Form.TEXT: _text}


def _opened(path: Path) -> TextIO:
    """Open a log file for appending, readable by nobody else. Raises ConfigError LOG_FILE."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.fdopen(os.open(path, flags, 0o600), "a", encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            "LOG_FILE",
            f"the log cannot be written there: {error.strerror}",
            place=Place(str(path)),
            hint="name a file in a folder that the node may write to; it must not be a link",
        ) from None
