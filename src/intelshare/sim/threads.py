"""A question that takes time: it runs in a thread, and gives control back before each page of a log that it
reads.

Only one thread runs at any time, and virtual time says which: a seed gives one trace.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from intelshare.broker.kernel.tables import LOG
from intelshare.ports import View


class _AbandonedError(BaseException):
    """The process is dead: its thread comes to its end."""


class Question:
    """One question over the rows of a process."""

    def __init__(self, ask: Callable[[View], Any], view: View) -> None:
        self.answer: Any = None
        self.error: Exception | None = None
        self.ended = False
        self._ask = ask
        self._view = _Pausing(view, self._pause)
        self._abandoned = False
        self._go, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def go_on(self) -> None:
        """Run to the next page, or to the end."""
        self._go.release()
        self._back.acquire()

    def abandon(self) -> None:
        """Nobody wants the answer any more."""
        if not self.ended:
            self._abandoned = True
            self.go_on()
        self._thread.join()

    def _pause(self) -> None:
        self._back.release()
        self._go.acquire()
        if self._abandoned:
            raise _AbandonedError

    def _run(self) -> None:
        self._go.acquire()
        try:
            if not self._abandoned:
                self.answer = self._ask(self._view)
        except _AbandonedError:
            pass
        except Exception as error:
            self.error = error
        finally:
            self.ended = True
            self._back.release()


class _Pausing:
    def __init__(self, view: View, pause: Callable[[], None]) -> None:
        self._view = view
        self._pause = pause
        self.get, self.count = view.get, view.count

    def get_many(self, table: Any, keys: Any) -> Any:
        """See ports.View."""
        return [self.get(table, *key) for key in keys]

    def find(self, table: Any, *args: Any, **kwargs: Any) -> Any:
        """See ports.View."""
        if table is LOG:
            self._pause()
        return self._view.find(table, *args, **kwargs)
