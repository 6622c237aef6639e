"""Listens in a thread for what other processes say at their commits, by NOTIFY."""

from __future__ import annotations

import contextlib
import select
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from intelshare.store.postgres.connection import connect
from intelshare.store.server import Server

_RETRY: Final = 1.0
"""Seconds between two attempts to listen."""


class Listener:
    """Notes in a thread that others have committed. ``close`` it."""

    def __init__(self, server: Server, folder: Path, name: str, told: Callable[[int, str], None]) -> None:
        """``told``: called with the server's number of the session that has committed, and what it says
        besides.
        """
        self._server, self._folder, self._name, self._told = server, folder, name, told
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="store-listener", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.is_set():
            with contextlib.suppress(Exception):  # without it the store looks by itself, only later
                self._listen()
            self._ended.wait(_RETRY)

    def _listen(self) -> None:
        connection = connect(self._server, self._folder, self._name, writes=False)
        try:
            connection.raw.execute(f'LISTEN "intelshare.{self._server.schema}"'.encode())
            pg, waits = connection.raw.pgconn, select.poll()
            waits.register(pg.socket, select.POLLIN)
            while not self._ended.is_set():
                # Without psycopg's own iterator, which takes longer: every commit of all comes here.
                while (said := pg.notifies()) is not None:
                    self._told(said.be_pid, said.extra.decode())
                if waits.poll(_RETRY * 1000):
                    pg.consume_input()
        finally:
            connection.close()

    def close(self) -> None:
        """End within a second."""
        self._ended.set()
