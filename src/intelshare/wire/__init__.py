"""The wire: generated messages, the strict scan of what a peer sends, and conversion to core values."""

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
from intelshare.wire.flow import FLOW
from intelshare.wire.scan import MAX_MESSAGE, MAX_STATEMENTS, read_message

__all__ = [
    "FLOW",
    "MAX_MESSAGE",
    "MAX_STATEMENTS",
    "Acks",
    "Hello",
    "Message",
    "acks_message",
    "ask_message",
    "frame_message",
    "gap_message",
    "hello_message",
    "link_message",
    "path_message",
    "read_message",
]
