"""Writes the notices of an engine into the log of its node: which line each is, and how loud."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from intelshare.engine.actions import Tell
from intelshare.engine.values import Notice
from intelshare.node.events import Event as Logged
from intelshare.node.events import Logger

_LOGGED: Final[Mapping[Notice, tuple[str, Logged]]] = {
    Notice.LINK_CLOSED: ("info", Logged.LINK_CLOSED),
    Notice.DIAL_FAILED: ("info", Logged.DIAL_FAILED),
    Notice.PEER_FORGOT: ("warning", Logged.PEER_FORGOT),
    Notice.FORGOT: ("warning", Logged.FORGOT),
    Notice.HEARD: ("info", Logged.HEARD),
    Notice.ACTS_FORGOTTEN: ("warning", Logged.ACTS_FORGOTTEN),
    Notice.FRAME_REJECTED: ("warning", Logged.FRAME_REJECTED),
    Notice.REJECTED_BY_PEER: ("warning", Logged.REJECTED_BY_PEER),
    Notice.LEFT_OUT: ("warning", Logged.LINES_LEFT_OUT),
    Notice.FILE_WAITS: ("warning", Logged.FILE_WAITS),
    Notice.STEP_FAILED: ("error", Logged.STEP_FAILED),
}


def write_notice(log: Logger, tell: Tell) -> None:
    """Write a line of the log; one with a code is at least a warning."""
    level, event = _LOGGED[tell.notice]
    number = "size" if tell.notice is Notice.FRAME_REJECTED else "count"
    fields: dict[str, Any] = {"peer": tell.peer, "code": tell.code, number: tell.count}
    write = getattr(log, "warning" if tell.code and level == "info" else level)
    write(event, **{name: value for name, value in fields.items() if value})
