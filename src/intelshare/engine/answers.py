"""Questions about this node's logs: answered one at a time, in the order in which they came.

An answer may read a whole log, in a thread, and remembers pages of its tree on the way. It is never
interrupted: a question whose link has ended keeps its turn until its thread has returned, and only then is
the next asked.
"""

from __future__ import annotations

from collections import deque

from intelshare.audit.path import LogAsk, LogPath
from intelshare.engine.steps import Query
from intelshare.engine.turn import Turn
from intelshare.engine.values import AskLogs, LinkId, RunQuery
from intelshare.errors import IntelshareError


class Answers:
    """Of one node, for peers and users alike."""

    def __init__(self) -> None:
        self._waiting: deque[RunQuery | AskLogs] = deque()
        self._running = 0

    def ask(self, turn: Turn, link: LinkId, ask: LogAsk) -> None:
        """A peer asks how this node's log follows from what it holds of it."""
        self._waiting.append(RunQuery(Query.ANSWER, (ask,), link, beside=True))
        self._next(turn)

    def ask_for_user(self, turn: Turn, question: int) -> None:
        """A user asks."""
        self._waiting.append(AskLogs(question))
        self._next(turn)

    def answered(self, turn: Turn, run: RunQuery, path: LogPath | IntelshareError | None) -> None:
        """A thread has returned. None: there is nothing to say to this question."""
        link = turn.parts.links.get(run.link)
        if link is not None and not isinstance(path, IntelshareError):
            link.answer(turn, run.event[0], path)
        self.over(turn)

    def over(self, turn: Turn) -> None:
        """One question is over."""
        self._running -= 1
        self._next(turn)

    def dropped(self, link: LinkId) -> None:
        """A link has ended: what it has asked and has had no turn is not answered any more."""
        self._waiting = deque(
            one for one in self._waiting if not (isinstance(one, RunQuery) and one.link == link)
        )

    def _next(self, turn: Turn) -> None:
        while self._waiting and self._running < turn.parts.limits.answers:
            self._running += 1
            turn.do(self._waiting.popleft())
