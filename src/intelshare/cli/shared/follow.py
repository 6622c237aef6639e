"""Follows the node's events as they happen, across restarts of the node."""

from __future__ import annotations

import contextlib
import queue
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from intelshare.cli.shared.options import keep_fresh
from intelshare.cli.shared.output import Out
from intelshare.errors import PASSING, IntelshareError

if TYPE_CHECKING:
    from intelshare.client import Client
    from intelshare.wire.v1 import user_pb2 as pb


_PAUSES = (0.5, 1, 2, 5, 10)
"""The seconds between attempts while the node does not answer; the last value repeats."""

_ENDED = frozenset(("NOT_AUTHORISED", "TLS_REFUSED", "PEER_IDENTITY_MISMATCH", "NODE_UNREACHABLE"))

_GONE = PASSING | {"NODE_UNREACHABLE", "TIMED_OUT"}


def following(client: Client, cursor: str, out: Out, *, once: bool = False) -> Iterator[pb.WatchEvent]:
    """Yield events for ever, across restarts of the node. Raises IntelshareError for errors that waiting
    cannot cure.
    """
    failures, refused = 0, False
    while True:
        try:
            for event in client.watch(cursor, once=once):
                failures, refused, cursor = 0, False, event.cursor
                yield event
                if not once and keep_fresh(client.profile) and client.reconnect():
                    break
            if once:
                return
        except IntelshareError as error:
            # Another command may have renewed the certificate, which invalidated the one of this connection.
            if error.code in _ENDED and not once and client.reconnect():
                continue
            # A node that ends just then cannot be told from one that refuses the certificate.
            again, refused = refused, error.code == "TLS_REFUSED"
            if once or (again and refused) or error.code not in _GONE | {"TLS_REFUSED"}:
                raise
            if failures == 0:
                out.note(f"the node does not answer ({error.code}); waiting")
            time.sleep(_PAUSES[min(failures, len(_PAUSES) - 1)])
            failures += 1
            client.try_another()


def show_event(event: pb.WatchEvent, out: Out) -> None:
    """Show one event as a line, for people or as JSON."""
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


@contextlib.contextmanager
def saving(write: Callable[[str], None]) -> Iterator[Callable[[str], None]]:
    """Yield a function that has a cursor written; at the end the last one is.

    A write waits for the disk, twice, and events do not wait for it: of those that come meanwhile the newest
    is written next. Raises what ``write`` raises, at the end.
    """
    newest: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def work() -> None:
        while (cursor := newest.get()) is not None:
            newer = newest.get() if not newest.empty() else ""
            while newer:
                cursor, newer = newer, newest.get() if not newest.empty() else ""
            write(cursor)
            if newer is None:
                return

    with ThreadPoolExecutor(1) as one:
        worker = one.submit(work)
        try:
            yield newest.put
        finally:
            newest.put(None)
            worker.result()


def cursor_now(client: Client) -> str:
    """Return the cursor at which a watch that starts now begins. Take it before asking for a list, so that
    nothing between the two is missed.
    """
    return next(event.cursor for event in client.watch(once=True))


def follow(client: Client, out: Out, cursor: str, wanted: Callable[[pb.WatchEvent], bool]) -> None:
    """Show the wanted events that happen after a list was shown, until Ctrl-C."""
    for event in following(client, cursor, out):
        if event.what and wanted(event):
            show_event(event, out)
