"""A balancer of TCP connections, as it may stand before replicas: each goes to the next address."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from collections.abc import Iterator, Sequence


@contextlib.contextmanager
def balancer(ports: Sequence[int]) -> Iterator[int]:
    """The port of one that leads to these ports of this machine in turn."""
    listening = socket.create_server(("127.0.0.1", 0))
    open_ = [listening]

    def lead(source: socket.socket, to: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                to.sendall(data)
        for one in (source, to):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def accept() -> None:
        with contextlib.suppress(OSError):
            for port in itertools.cycle(ports):
                came, _ = listening.accept()
                behind = socket.create_connection(("127.0.0.1", port))
                open_.extend((came, behind))
                for way in ((came, behind), (behind, came)):
                    threading.Thread(target=lead, args=way, daemon=True).start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield int(listening.getsockname()[1])
    finally:
        for one in open_:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        accepting.join()
