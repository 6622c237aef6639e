"""Tells every open page the events and the state of the node, with one watch and one look for all pages.

At most ``KEPT`` events wait for a page; if there were more, the page is told and asks for its document again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final

from intelshare.client import Client
from intelshare.console.documents.happened import Teller
from intelshare.console.nodes import READERS, Nodes
from intelshare.errors import IntelshareError

KEPT: Final = 128
"""Events that wait for one page, and that a new page is told of the past."""
MAX_PAGES: Final = 32
LOOK: Final = 1.0
"""Seconds between two looks at the node's state."""
CLOSE: Final = 0.0005
"""Seconds between two events below which the console is behind, and tells each more briefly."""
BEAT: Final = 15.0
"""Seconds after which a page is told something although nothing happened, so that it sees a dead console."""

_log = logging.getLogger("intelshare.console")
Event = tuple[str, str]
"""Name and JSON of a server-sent event."""


class _Page:
    def __init__(self) -> None:
        self.waiting: deque[Event] = deque(maxlen=KEPT)
        self.written = asyncio.Event()
        self.missed = False


class Feed:
    """The events of one console. ``look`` returns the state; it is called only while a page is open."""

    def __init__(self, nodes: Nodes, look: Callable[[], dict[str, Any]]) -> None:
        self._nodes, self._look = nodes, look
        self._pages: set[_Page] = set()
        self._past: deque[Event] = deque(maxlen=KEPT)
        self._state = ""
        self._cursor = ""
        self._teller = Teller()
        self._ended = threading.Event()
        self._opened = asyncio.Event()

    async def run(self) -> None:
        """Watch and look until cancelled."""
        watcher = threading.Thread(
            target=self._watch, args=(asyncio.get_running_loop(),), name="console-watch", daemon=True
        )
        watcher.start()
        try:
            while True:
                await self._opened.wait()
                state = await asyncio.to_thread(self._looked)
                if state != self._state:
                    self._state = state
                    self._tell(("state", state))
                await asyncio.sleep(LOOK)
        finally:
            self._ended.set()

    async def events(self) -> AsyncIterator[str]:
        """Yield the stream of one page as ``text/event-stream``."""
        with self._page() as page:
            yield "retry: 1000\n\n"
            while True:
                try:
                    async with asyncio.timeout(BEAT):
                        await page.written.wait()
                except TimeoutError:
                    yield ": nothing happened\n\n"
                page.written.clear()
                while page.waiting:
                    if page.missed:
                        page.missed = False
                        yield "event: missed\ndata: {}\n\n"
                    name, data = page.waiting.popleft()
                    yield f"event: {name}\ndata: {data}\n\n"

    @property
    def full(self) -> bool:
        """True if another page would be too many."""
        return len(self._pages) >= MAX_PAGES

    def _looked(self) -> str:
        """Return the state as JSON; after a defect, which is logged, the state before."""
        try:
            return json.dumps(self._look())
        except Exception:
            _log.exception("defect")
            return self._state

    @contextlib.contextmanager
    def _page(self) -> Iterator[_Page]:
        page = _Page()
        page.waiting.extend((("past", f"[{','.join(data for _, data in self._past)}]"),))
        if self._state:
            page.waiting.append(("state", self._state))
        page.written.set()
        self._pages.add(page)
        self._opened.set()
        try:
            yield page
        finally:
            self._pages.discard(page)
            if not self._pages:
                self._opened.clear()

    def _tell(self, event: Event) -> None:
        for page in self._pages:
            page.missed |= len(page.waiting) == KEPT
            page.waiting.append(event)
            page.written.set()

    def _told(self, document: dict[str, Any]) -> None:
        event = ("happened", json.dumps(document))
        self._past.append(event)
        self._tell(event)

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Watch from the place of the last event on, so that nothing is missed while the node is down."""
        while not self._ended.is_set():
            try:
                if self._nodes.may(READERS):
                    self._nodes.ask(READERS, lambda client: self._follow(client, loop))
            except IntelshareError as error:
                if error.code in ("CURSOR_UNKNOWN", "INPUT_INVALID"):
                    self._cursor = ""
                _log.info("watch %s", error.code)
            except RuntimeError:
                # The loop is closed: the console has ended.
                return
            self._ended.wait(LOOK)

    def _follow(self, client: Client, loop: asyncio.AbstractEventLoop) -> None:
        latest = 0.0
        for event in client.watch(self._cursor):
            if self._ended.is_set():
                return
            if event.what:
                # When very much happens at once, only what the event itself says is told.
                behind = time.monotonic() - latest < CLOSE
                for document in self._teller.told(client, event, brief=behind):
                    loop.call_soon_threadsafe(self._told, document)
                latest = time.monotonic()
            self._cursor = event.cursor
