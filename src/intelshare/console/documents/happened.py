"""One event of the watch, as pages are told it: with whom what was submitted is withheld from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from intelshare.client import Client
from intelshare.console.documents.shown import at, cut
from intelshare.errors import IntelshareError
from intelshare.wire.v1 import user_pb2 as pb

MAX_TOLD: Final = 32
"""Recipients of one bulletin that are told of one by one."""


def happened(client: Client, event: pb.WatchEvent, *, brief: bool) -> Iterator[dict[str, Any]]:
    """The event; then, of a bulletin that was submitted, whom it is withheld from, wholly or in part.

    ``brief``: the event alone, for when very much happens at once.
    """
    yield _told(event.what, event)
    if event.what != "submitted" or brief:
        return
    try:
        entries = client.outbox(event.bulletin.hex()).entries
    except IntelshareError:
        # It may be gone, or not for this user; the event itself was.
        return
    for pair in list(entries[0].pairs)[:MAX_TOLD] if entries else ():
        if pair.granted < pair.portions:
            yield _told("withheld" if not pair.granted else "partly withheld", event, pair, entries[0])


def _told(
    what: str, event: pb.WatchEvent, pair: pb.OutboxPair | None = None, entry: pb.OutboxEntry | None = None
) -> dict[str, Any]:
    return {
        "what": what,
        "at": at(event.at),
        "bulletin": event.bulletin.hex(),
        "member": event.member if pair is None else pair.recipient,
        "codes": list(event.codes if pair is None else pair.codes),
        "banner": cut(event.banner if entry is None else entry.banner),
        "title": cut(event.title if entry is None else entry.title),
        "text": cut(event.text),
    }
