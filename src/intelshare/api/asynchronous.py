"""The client library: one person at their node, from an event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from intelshare.api import calls
from intelshare.api.calls import Call
from intelshare.api.sending import profile_of, submitting
from intelshare.api.values import (
    Bulletin,
    Event,
    Explanation,
    InboxEntry,
    Listed,
    Me,
    OutboxEntry,
    Precedence,
    RecallEffect,
    Receipt,
    SearchMatch,
    Sent,
    Text,
)
from intelshare.client import AsyncClient as WireClient
from intelshare.client import Profile
from intelshare.delivery import PairStatus

R = TypeVar("R")


class Client:
    """One person at their node. Methods raise ``IntelshareError`` with the code and hint of the node.

    Made, used and closed in one event loop.
    """

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._wire = WireClient(profile)

    @classmethod
    def from_profile(cls, folder: str | Path | None = None) -> Self:
        """The client of a profile folder, or of the profile that holds here, as commands find it."""
        return cls(profile_of(folder))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Give the connection back."""
        await self._wire.close()

    async def send(
        self,
        text: str,
        *,
        to: Iterable[str],
        label: str,
        category: str,
        title: str = "",
        title_label: str = "",
        more: Sequence[Text] = (),
        precedence: Precedence = Precedence.ROUTINE,
        grade: str = "",
        flags: Sequence[str] = (),
        valid_until: datetime | None = None,
        supersedes: str = "",
        in_reply_to: str = "",
        from_bulletin: str = "",
        key: bytes | None = None,
    ) -> Sent:
        """Send a bulletin: returns once it is durable, with what was decided for each recipient.

        ``label`` is that of the text, and of the title unless it has its own; ``more`` are further texts.
        What may not go to a recipient is withheld, and the answer says why; it does not raise. ``key`` asks
        for an answer that was lost (the hint of OUTCOME_UNKNOWN has it).
        """
        request = calls.submission(
            text,
            to=to,
            label=label,
            category=category,
            title=title,
            title_label=title_label,
            more=more,
            precedence=precedence,
            grade=grade,
            flags=flags,
            valid_until=valid_until,
            supersedes=supersedes,
            in_reply_to=in_reply_to,
            from_bulletin=from_bulletin,
        )
        with submitting(self.profile, request, key) as under_way:
            answer = await self._wire.submit(request)
            under_way.bulletin = answer.bulletin
        return calls.sent_of(answer)

    async def decide(
        self,
        text: str,
        *,
        to: Iterable[str],
        label: str,
        category: str,
        flags: Sequence[str] = (),
        more: Sequence[Text] = (),
    ) -> Sent:
        """Decide as ``send`` would, now. Nothing is stored."""
        request = calls.submission(text, to=to, label=label, category=category, flags=flags, more=more)
        return calls.sent_of(await self._wire.dry_run(request))

    async def inbox(
        self,
        *,
        unread: bool = False,
        sender: str = "",
        category: str = "",
        since: datetime | None = None,
        limit: int = 50,
    ) -> Listed[InboxEntry]:
        """Received bulletins that this user may see, newest first."""
        asked = calls.inbox(unread=unread, sender=sender, category=category, since=since, limit=limit)
        return await self._run(asked)

    async def read(self, bulletin: str, *, originator: str = "") -> Bulletin:
        """Open a bulletin, received or your member's, by the beginning of its id; the node logs that."""
        return await self._run(calls.read(bulletin, originator=originator))

    async def outbox(self, *, held: bool = False, limit: int = 50) -> Listed[OutboxEntry]:
        """Bulletins of your member, newest first."""
        return await self._run(calls.outbox(held=held, limit=limit))

    async def sent(self, bulletin: str) -> OutboxEntry:
        """One bulletin of your member. Raises IntelshareError NOT_FOUND."""
        return await self._run(calls.sent(bulletin))

    async def why(self, bulletin: str, recipient: str) -> Explanation:
        """The decision for a recipient, rule by rule."""
        return await self._run(calls.why(bulletin, recipient))

    async def approve(self, bulletin: str, recipient: str, *, shown: Explanation | None = None) -> PairStatus:
        """Release what is held for a recipient, as a releasing officer.

        ``shown``: what ``why`` said; IntelshareError ID_CONFLICT if it was decided again since.
        """
        return await self._run(calls.approve(bulletin, recipient, shown))

    async def refuse(self, bulletin: str, recipient: str, reason: str) -> PairStatus:
        """End what is held for a recipient, for good; the author reads the reason."""
        return await self._run(calls.refuse(bulletin, recipient, reason))

    async def recall(self, bulletin: str, reason: str, *, dry_run: bool = False) -> dict[str, RecallEffect]:
        """Take a bulletin back; what that does, or would do, for each recipient. They read the reason."""
        return await self._run(calls.recall(bulletin, reason, dry_run=dry_run))

    async def receipts(self, bulletin: str) -> Listed[Receipt]:
        """Signed receipts, oldest first. The node checks each signature again."""
        return await self._run(calls.receipts(bulletin))

    async def whoami(self) -> Me:
        """Ask the node which user this client is."""
        return await self._run(calls.whoami())

    async def search(
        self, *words: str, sent: bool = False, damaged: set[str] | None = None
    ) -> AsyncIterator[SearchMatch]:
        """Find bulletins that hold all the words, newest first, received ones or your member's.

        ``damaged`` collects the damaged records because of which bulletins were left out.
        """
        async for page in self._wire.search(" ".join(words), outbox=sent):
            for one in calls.matches_of(page, damaged):
                yield one

    async def watch(self, cursor: str = "", *, once: bool = False) -> AsyncIterator[Event]:
        """Follow events from ``cursor`` on (empty: from now on), for ever; ``once``: until all are told.

        Go on with the cursor of the last event that you have dealt with: nothing is missed or told twice.
        """
        async for event in self._wire.watch(cursor, once=once):
            if event.what:
                yield calls.event_of(event)

    async def _run(self, asked: Call[R]) -> R:
        return asked.read(await self._wire.ask(asked.method, asked.request))
