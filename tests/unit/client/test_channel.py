"""What a client says when a node, or nobody, ends its connection: by the moment at which it ended."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum, auto
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


class Ends(Enum):
    """The moment at which a server ends each of its connections."""

    AT_ONCE = auto()
    IN_THE_HANDSHAKE = auto()
    """It has read what the client says first."""
    AFTER_THE_HANDSHAKE = auto()
    """Of the client: it knows its certificate then."""
    ESTABLISHED = auto()


@contextmanager
def node(leaf: Leaf, folder: Path, ends: Ends, *, reset: bool, only: bytes = b"") -> Iterator[int]:
    """A server that ends every connection at that moment. ``only``: the authority whose certificates it
    takes; others get an alert.
    """
    (folder / "node.pem").write_bytes(leaf.certificate + leaf.key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "node.pem")
    context.set_alpn_protocols(["h2"])
    if only:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=only.decode())

    def serve_one(connection: socket.socket) -> None:
        if ends is Ends.IN_THE_HANDSHAKE:
            connection.recv(65536)
        if ends in (Ends.AT_ONCE, Ends.IN_THE_HANDSHAKE):
            end(connection)
            return
        with context.wrap_socket(connection, server_side=True) as secure:
            got = secure.recv(65536)
            if ends is Ends.ESTABLISHED:
                secure.sendall(SETTINGS)
            while ends is Ends.ESTABLISHED and ACKNOWLEDGED not in got:
                got += secure.recv(65536)
            end(secure)

    def end(connection: socket.socket) -> None:
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        connection.close()

    def serve(listening: socket.socket) -> None:
        while True:
            try:
                connection = listening.accept()[0]
            except OSError:
                return
            with suppress(OSError), connection:
                serve_one(connection)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = threading.Thread(target=serve, args=(listening,))
        serving.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            serving.join()


@pytest.mark.parametrize("reset", [True, False])
@pytest.mark.parametrize("ends", Ends)
def test_only_a_connection_that_ends_once_the_node_knows_our_certificate_may_have_been_refused(
    tmp_path: Path, ends: Ends, reset: bool
) -> None:
    """A node that was killed in the middle of a handshake was said to refuse the certificate."""
    ca = authority("another authority")
    leaf = issue(ca, [x509.DNSName(NAME)], server=True)
    code = "TLS_REFUSED" if ends is Ends.AFTER_THE_HANDSHAKE else "NODE_UNREACHABLE"
    with node(leaf, tmp_path, ends, reset=reset) as port:
        error = refusal(port, Credentials(leaf.certificate, ca.pem, leaf.key), tmp_path)
    assert error.code == code
    assert ("try again" in error.message) == (code == "TLS_REFUSED"), "it may have ended in that moment"


def test_a_server_that_says_why_it_refuses_a_certificate_is_believed(tmp_path: Path) -> None:
    """Such as a proxy before the node: gRPC itself sends no alert. It was said that no node answers."""
    ca, other = authority("another authority"), authority("a third one")
    leaf, ours = issue(ca, [x509.DNSName(NAME)], server=True), issue(other, [x509.DNSName(NAME)])
    with node(leaf, tmp_path, Ends.ESTABLISHED, reset=False, only=ca.pem) as port:
        error = refusal(port, Credentials(ours.certificate, ca.pem, ours.key), tmp_path)
    assert (error.code, "try again" in error.message) == ("TLS_REFUSED", False)


def test_where_nobody_listens_no_node_answers(tmp_path: Path) -> None:
    ca = authority("another authority")
    leaf = issue(ca, [x509.DNSName(NAME)])
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    error = refusal(port, Credentials(leaf.certificate, ca.pem, leaf.key), tmp_path)
    assert error.code == "NODE_UNREACHABLE"


def refusal(port: int, credentials: Credentials, folder: Path) -> IntelshareError:
    profile = Profile(folder, "FRA", "a", f"127.0.0.1:{port}", "", NAME)
    with Client(profile, credentials=credentials) as client, pytest.raises(IntelshareError) as refused:
        client.status()
    return refused.value
