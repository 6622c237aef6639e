"""Events of the watch for pages: with the title of the bulletin, and the recipients of a part of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from intelshare.client import Client
from intelshare.console.documents.shown import at, cut
from intelshare.errors import IntelshareError
from intelshare.wire.v1 import user_pb2 as pb

MAX_TOLD: Final = 32
"""Recipients of one bulletin that are told of one by one."""
MAX_TITLES: Final = 512
"""Bulletins whose titles are remembered."""


class Teller:
    """Adds the titles, which the node does not repeat: they are remembered from the submission."""

    def __init__(self) -> None:
        self._titles: dict[bytes, tuple[str, str]] = {}

    def told(self, client: Client, event: pb.WatchEvent, *, brief: bool) -> Iterator[dict[str, Any]]:
        """Yield the event; then, for a submitted bulletin, one event for each recipient of only a part of it.

        ``brief``: the event alone, for when very much happens at once.
        """
        entry = self._entry(client, event) if event.what == "submitted" and not brief else None
        if entry is not None:
            self._remember(entry)
        yield self._told(event, event.what, event.member, list(event.codes))
        for pair in list(entry.pairs)[:MAX_TOLD] if entry is not None else ():
            if 0 < pair.granted < pair.portions:
                yield self._told(event, "partly withheld", pair.recipient, list(pair.codes))

    def _entry(self, client: Client, event: pb.WatchEvent) -> pb.OutboxEntry | None:
        try:
            return next(iter(client.outbox(event.bulletin.hex()).entries), None)
        except IntelshareError:
            # It may be gone, or not for this user; the event itself was.
            return None

    def _remember(self, entry: pb.OutboxEntry) -> None:
        self._titles[entry.bulletin] = entry.title, entry.banner
        while len(self._titles) > MAX_TITLES:
            self._titles.pop(next(iter(self._titles)))

    def _told(self, event: pb.WatchEvent, what: str, member: str, codes: list[str]) -> dict[str, Any]:
        title, banner = self._titles.get(event.bulletin, ("", ""))
        return {
            "what": what,
            "at": at(event.at),
            "bulletin": event.bulletin.hex(),
            "member": member,
            "codes": codes,
            "banner": cut(event.banner or banner),
            "title": cut(event.title or title),
            "text": cut(event.text),
        }
