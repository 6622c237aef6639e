"""The wire: generated messages, the strict scan of what a peer sends, and conversion to core values.

The parts that only a node needs are imported on first use. A command needs only the generated messages, and
would otherwise wait for everything that a frame can contain.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from intelshare.wire.bounds import MAX_DRAFT_BYTES, MAX_DRAFTS, MAX_LISTED
from intelshare.wire.enums import enum_word, kind_value, precedence_value
from intelshare.wire.flow import FLOW
from intelshare.wire.refused import refused_in_tls

if TYPE_CHECKING:
    from intelshare.broker.kernel.frame import Acks, Hello, Message
    from intelshare.wire.conversion import (
        acks_message,
        ask_message,
        frame_message,
        gap_message,
        hello_message,
        link_message,
        path_message,
    )
    from intelshare.wire.scan import MAX_MESSAGE, MAX_STATEMENTS, read_message

__all__ = [
    "FLOW",
    "MAX_DRAFTS",
    "MAX_DRAFT_BYTES",
    "MAX_LISTED",
    "MAX_MESSAGE",
    "MAX_STATEMENTS",
    "Acks",
    "Hello",
    "Message",
    "acks_message",
    "ask_message",
    "enum_word",
    "frame_message",
    "gap_message",
    "hello_message",
    "kind_value",
    "link_message",
    "path_message",
    "precedence_value",
    "read_message",
    "refused_in_tls",
]

_LAZY = dict.fromkeys(("Acks", "Hello", "Message"), "broker.kernel.frame") | {
    "MAX_MESSAGE": "wire.scan",
    "MAX_STATEMENTS": "wire.scan",
    "acks_message": "wire.conversion",
    "ask_message": "wire.conversion",
    "frame_message": "wire.conversion",
    "gap_message": "wire.conversion",
    "hello_message": "wire.conversion",
    "link_message": "wire.conversion",
    "path_message": "wire.conversion",
    "read_message": "wire.scan",
}
"""The module of each name."""


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f"intelshare.{_LAZY[name]}"), name)
    raise AttributeError(name)
