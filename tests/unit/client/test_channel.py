"""What a client says when a node, or nobody, ends its connection: by the moment at which it ended."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509

from intelshare.client import Client, Credentials, Profile
from intelshare.errors import IntelshareError
from other_authority import Leaf, authority, issue

NAME = "node.example"
SETTINGS = b"\0\0\0\4\0\0\0\0\0"
ACKNOWLEDGED = b"\0\0\0\4\1\0\0\0\0"
"""An empty SETTINGS frame (RFC 9113, section 6.5), with which a connection is established, and its answer."""

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of a socket whose end is a reset, not an orderly close."""


@contextmanager
def node(leaf: Leaf, folder: Path, *, established: bool, reset: bool) -> Iterator[int]:
    """A server that ends every connection after its handshake, or once it has been established."""
    (folder / "node.pem").write_bytes(leaf.certificate + leaf.key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "node.pem")
    context.set_alpn_protocols(["h2"])

    def serve(listening: socket.socket) -> None:
        while True:
            try:
                connection = context.wrap_socket(listening.accept()[0], server_side=True)
            except ssl.SSLError:
                continue
            except OSError:
                return
            with connection:
                got = connection.recv(65536)
                if established:
                    connection.sendall(SETTINGS)
                while established and ACKNOWLEDGED not in got:
                    got += connection.recv(65536)
                if reset:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = threading.Thread(target=serve, args=(listening,))
        serving.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            serving.join()


@pytest.mark.parametrize("reset", [True, False])
@pytest.mark.parametrize(("established", "code"), [(False, "TLS_REFUSED"), (True, "NODE_UNREACHABLE")])
def test_a_connection_that_ends_before_it_is_established_was_refused(
    tmp_path: Path, established: bool, reset: bool, code: str
) -> None:
    ca = authority("another authority")
    leaf = issue(ca, [x509.DNSName(NAME)], server=True)
    with node(leaf, tmp_path, established=established, reset=reset) as port:
        assert refusal(port, Credentials(leaf.certificate, ca.pem, leaf.key), tmp_path) == code


def test_where_nobody_listens_no_node_answers(tmp_path: Path) -> None:
    ca = authority("another authority")
    leaf = issue(ca, [x509.DNSName(NAME)])
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    assert refusal(port, Credentials(leaf.certificate, ca.pem, leaf.key), tmp_path) == "NODE_UNREACHABLE"


def refusal(port: int, credentials: Credentials, folder: Path) -> str:
    profile = Profile(folder, "FRA", "a", f"127.0.0.1:{port}", "", NAME)
    with Client(profile, credentials=credentials) as client, pytest.raises(IntelshareError) as refused:
        client.status()
    return refused.value.code
