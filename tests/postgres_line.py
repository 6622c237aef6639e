"""A line between a node and its PostgreSQL that stalls or is cut, one way or both."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

SOCKET = ".s.PGSQL.5432"
"""The name of a server's socket in its folder."""


class Line:
    """Carries sessions from a socket in one folder to the server in another; a thread for each.

    What it holds back it has taken from the sender, who learns nothing of it: no timeout of TCP sees that.
    """

    def __init__(self, folder: Path, server: Path) -> None:
        self.folder, self._server = folder, server
        self._there, self._back = threading.Event(), threading.Event()
        self._there.set()
        self._back.set()
        self._open: set[socket.socket] = set()
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(folder / SOCKET))
        self._listening.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """How the server is reached over it."""
        return f"postgresql://postgres@/postgres?host={self.folder}"

    def close(self) -> None:
        """End it and all that it carries."""
        self._listening.close()
        self.cut()

    def cut(self) -> None:
        """End every session, at both ends."""
        for one in list(self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def stalled(self, *, there: bool = True, back: bool = True) -> Iterator[None]:
        """Nothing passes to the server, or from it; afterwards all of it does, late."""
        if there:
            self._there.clear()
        if back:
            self._back.clear()
        try:
            yield
        finally:
            self._there.set()
            self._back.set()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(self._server / SOCKET))
                self._open |= {client, server}
                for source, target, may in ((client, server, self._there), (server, client, self._back)):
                    threading.Thread(target=self._carry, args=(source, target, may), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, may: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                may.wait()
                target.sendall(data)
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._open.discard(source)
