"""Events of the node as they happen, over its restarts."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from intelshare.cli.shared.options import keep_fresh
from intelshare.cli.shared.output import Out
from intelshare.errors import IntelshareError

if TYPE_CHECKING:
    from intelshare.client import Client
    from intelshare.wire.v1 import user_pb2 as pb


_PAUSES = (0.5, 1, 2, 5, 10)
"""Seconds between attempts when the node does not answer; then every 10."""

_ENDED = frozenset(("NOT_AUTHORISED", "TLS_REFUSED", "PEER_IDENTITY_MISMATCH", "NODE_UNREACHABLE"))

_GONE = frozenset(("NODE_UNREACHABLE", "TIMED_OUT"))


def following(client: Client, cursor: str, out: Out, *, once: bool = False) -> Iterator[pb.WatchEvent]:
    """Events for ever, over restarts of the node. Raises IntelshareError for what waiting does not heal."""
    failures = 0
    while True:
        try:
            for event in client.watch(cursor, once=once):
                failures, cursor = 0, event.cursor
                yield event
                if not once and keep_fresh(client.profile) and client.reconnect():
                    break
            if once:
                return
        except IntelshareError as error:
            # Another command may have renewed the certificate, which ended the one of this connection.
            if error.code in _ENDED and not once and client.reconnect():
                continue
            if error.code not in _GONE or once:
                raise
            if failures == 0:
                out.note(f"the node does not answer ({error.code}); waiting for it")
            time.sleep(_PAUSES[min(failures, len(_PAUSES) - 1)])
            failures += 1


def show_event(event: pb.WatchEvent, out: Out) -> None:
    """One event as a line, for people or as JSON."""
    from intelshare.cli.shared.plain import plain
    from intelshare.cli.shared.tables import short_id, short_time

    if out.json:
        out.event("event", plain(event))
    else:
        words = (
            short_time(event.at),
            f"{event.what:<12}",
            short_id(event.bulletin) if event.bulletin else "",
            event.member,
            " ".join(event.codes),
            event.banner,
            event.title or event.text,
        )
        out.line("  ".join(word for word in words if word))
        sys.stdout.flush()


def cursor_now(client: Client) -> str:
    """Where a watch that begins now begins: to be taken before a list is asked for, so that nothing is missed
    between the two."""
    return next(event.cursor for event in client.watch(once=True))


def follow(client: Client, out: Out, cursor: str, wanted: Callable[[pb.WatchEvent], bool]) -> None:
    """After a list: what happens on, until Ctrl-C. ``wanted`` chooses."""
    for event in following(client, cursor, out):
        if event.what and wanted(event):
            show_event(event, out)
