"""Complaints of libraries and of Python itself, as events of the node's log.

They would stand among its lines as plain text, with the text of an exception that may name anything. Only
who complains and the kind of exception is logged (invariant I15).
"""

from __future__ import annotations

import logging
import sys
import threading

from intelshare.node.events import Event, Logger


class _Handler(logging.Handler):
    def __init__(self, log: Logger) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        kind = record.exc_info[0] if record.exc_info else None
        if kind is not None:
            self._log.error(Event.DEFECT, method=record.name, exception=kind.__name__)
        else:
            self._log.warning(Event.LIBRARY_WARNED, source=record.name)


def catch_stray_lines(log: Logger) -> None:
    """From now on, for the whole process: what ``logging``, ``warnings``, and threads and callbacks that fail
    would print is an event of this log.
    """
    logging.getLogger().addHandler(_Handler(log))
    logging.captureWarnings(capture=True)

    def failed(kind: type[BaseException], where: str) -> None:
        log.error(Event.DEFECT, method=where, exception=kind.__name__)

    sys.excepthook = lambda kind, _, __: failed(kind, "main")
    threading.excepthook = lambda args: failed(args.exc_type, "thread")
    sys.unraisablehook = lambda args: failed(args.exc_type, "unraisable")
