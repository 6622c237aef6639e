"""Questions about this node's logs: answered one at a time, in the order in which they came.

An answer may read a whole log, in a thread, and remembers pages of its tree on the way. It is never
interrupted: if the link of a question has ended, its turn still lasts until its thread has returned, and only
then is the next asked.
"""

from __future__ import annotations

from collections import deque

from intelshare.audit.path import LogAsk, LogPath
from intelshare.engine.actions import AskLogs, RunQuery
from intelshare.engine.steps import Query
from intelshare.engine.turn import Turn
from intelshare.engine.values import LinkId
from intelshare.errors import IntelshareError


class Answers:
    """The questions of peers and users to one node."""

    def __init__(self) -> None:
        self._waiting: deque[RunQuery | AskLogs] = deque()
        self._running = 0

    def ask(self, turn: Turn, link: LinkId, ask: LogAsk) -> None:
        """Queue a peer's question how this node's log follows from what the peer holds of it."""
        self._waiting.append(RunQuery(Query.ANSWER, (ask,), link, beside=True))
        self._next(turn)

    def ask_for_user(self, turn: Turn, question: int) -> None:
        """Queue a user's question."""
        self._waiting.append(AskLogs(question))
        self._next(turn)

    def answered(self, turn: Turn, run: RunQuery, path: LogPath | IntelshareError | None) -> None:
        """Send the answer that a thread has returned. None: there is nothing to answer."""
        link = turn.parts.links.get(run.link)
        if link is not None and not isinstance(path, IntelshareError):
            link.answer(turn, run.event[0], path)
        self.over(turn)

    def over(self, turn: Turn) -> None:
        """Note that one question is over, and begin the next."""
        self._running -= 1
        self._next(turn)

    def dropped(self, link: LinkId) -> None:
        """Drop the questions of a link that has ended, except the one under way."""
        self._waiting = deque(
            one for one in self._waiting if not (isinstance(one, RunQuery) and one.link == link)
        )

    def _next(self, turn: Turn) -> None:
        while self._waiting and self._running < turn.parts.limits.answers:
            self._running += 1
            turn.do(self._waiting.popleft())
