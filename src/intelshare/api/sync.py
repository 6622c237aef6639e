"""The client library without ``await``: see ``intelshare.api.asynchronous``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
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
from intelshare.client import Client as WireClient
from intelshare.client import Profile
from intelshare.delivery import PairStatus

R = TypeVar("R")


class SyncClient:
    """One person at their node. Methods raise ``IntelshareError`` with the code and hint of the node."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._wire = WireClient(profile)

    @classmethod
    def from_profile(cls, folder: str | Path | None = None) -> Self:
        """The client of a profile folder, or of the profile that holds here, as commands find it."""
        return cls(profile_of(folder))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connection back."""
        self._wire.close()

    def send(
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
            answer = self._wire.submit(request)
            under_way.bulletin = answer.bulletin
        return calls.sent_of(answer)

    def decide(
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
        return calls.sent_of(self._wire.dry_run(request))

    def inbox(
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
        return self._run(asked)

    def read(self, bulletin: str, *, originator: str = "") -> Bulletin:
        """Open a bulletin, received or your member's, by the beginning of its id; the node logs that."""
        return self._run(calls.read(bulletin, originator=originator))

    def outbox(self, *, held: bool = False, limit: int = 50) -> Listed[OutboxEntry]:
        """Bulletins of your member, newest first."""
        return self._run(calls.outbox(held=held, limit=limit))

    def sent(self, bulletin: str) -> OutboxEntry:
        """One bulletin of your member. Raises IntelshareError NOT_FOUND."""
        return self._run(calls.sent(bulletin))

    def why(self, bulletin: str, recipient: str) -> Explanation:
        """The decision for a recipient, rule by rule."""
        return self._run(calls.why(bulletin, recipient))

    def approve(self, bulletin: str, recipient: str, *, shown: Explanation | None = None) -> PairStatus:
        """Release what is held for a recipient, as a releasing officer.

        ``shown``: what ``why`` said; IntelshareError ID_CONFLICT if it was decided again since.
        """
        return self._run(calls.approve(bulletin, recipient, shown))

    def refuse(self, bulletin: str, recipient: str, reason: str) -> PairStatus:
        """End what is held for a recipient, for good; the author reads the reason."""
        return self._run(calls.refuse(bulletin, recipient, reason))

    def recall(self, bulletin: str, reason: str, *, dry_run: bool = False) -> dict[str, RecallEffect]:
        """Take a bulletin back; what that does, or would do, for each recipient. They read the reason."""
        return self._run(calls.recall(bulletin, reason, dry_run=dry_run))

    def receipts(self, bulletin: str) -> Listed[Receipt]:
        """Signed receipts, oldest first. The node checks each signature again."""
        return self._run(calls.receipts(bulletin))

    def whoami(self) -> Me:
        """Ask the node which user this client is."""
        return self._run(calls.whoami())

    def search(
        self, *words: str, sent: bool = False, damaged: set[str] | None = None
    ) -> Iterator[SearchMatch]:
        """Find bulletins that hold all the words, newest first, received ones or your member's.

        ``damaged`` collects the damaged records because of which bulletins were left out.
        """
        for page in self._wire.search(" ".join(words), outbox=sent):
            yield from calls.matches_of(page, damaged)

    def watch(self, cursor: str = "", *, once: bool = False) -> Iterator[Event]:
        """Follow events from ``cursor`` on (empty: from now on), for ever; ``once``: until all are told.

        Go on with the cursor of the last event that you have dealt with: nothing is missed or told twice.
        """
        for event in self._wire.watch(cursor, once=once):
            if event.what:
                yield calls.event_of(event)

    def _run(self, asked: Call[R]) -> R:
        return asked.read(self._wire.ask(asked.method, asked.request))
