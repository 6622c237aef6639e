"""Who gets through the two doors of a real node: attacks.md rows 22-28 and 95, the authorisation table."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2

from intelshare.crypto.x509 import CertifiedKey, issue_node, issue_user, make_authority, to_pem
from intelshare.engine import Limits
from intelshare.errors import TrustError
from intelshare.instant import HOUR, MINUTE, Instant
from intelshare.node.authn import peer_identity, user_identity
from intelshare.patience import patient
from intelshare.services.table import SERVICES
from intelshare.trust import open_hello
from intelshare.wire import hello_message, read_message
from intelshare.wire.v1 import user_pb2 as pb
from node_world import ROLES as USERS
from node_world import Site, code_of, introduce, make_site, now
from waits import LIMIT

LINK = "/intelshare.v1.Peer/Link"
REFUSED = ("UNAVAILABLE", "UNAUTHENTICATED")

USER_METHODS = {
    f"/{service.full_name}/{method.name}": (
        GetMessageClass(method.input_type),
        GetMessageClass(method.output_type),
    )
    for service in pb.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}


@pytest.fixture
async def sites(tmp_path: Path) -> AsyncIterator[tuple[Site, Site]]:
    """FRA knows USA and runs; USA does not run any more."""
    fra, usa = [
        await asyncio.to_thread(make_site, code, tmp_path / code, dial=False) for code in ("FRA", "USA")
    ]
    try:
        await fra.start()
        await usa.start()
        await introduce(fra, usa)
        await usa.stop()
        yield fra, usa
    finally:
        await fra.stop()


async def call(site: Site, leaf: CertifiedKey | None, method: str, request: Any = None) -> str:
    """The code with which a call on the user port ends; empty if it is answered."""
    request_type, _ = USER_METHODS[method]
    asked = (request or request_type()).SerializeToString()
    async with site.channel(leaf, site.running.user_port) as channel:
        try:
            if method.endswith("/SubmitMany"):
                await channel.stream_stream(method)(iter((asked,)), timeout=patient(LIMIT)).read()
            elif method.endswith("/Watch"):
                # It goes on until somebody ends it.
                await channel.unary_stream(method)(asked, timeout=patient(LIMIT)).read()
            else:
                await channel.unary_unary(method)(asked, timeout=patient(LIMIT))
        except grpc.aio.AioRpcError as error:
            return code_of(error)
    return ""


async def link(site: Site, leaf: CertifiedKey, *messages: bytes) -> str:
    """The code with which a link ends after these messages; an answered hello is "hello"."""
    async with site.channel(leaf, site.running.peer_port) as channel:
        stream = channel.stream_stream(LINK)()
        try:
            for message in messages:
                await stream.write(message)
            raw = await asyncio.wait_for(stream.read(), patient(LIMIT))
            if raw is grpc.aio.EOF:
                return (await stream.code()).name
            read_message(raw)
            return "hello"
        except grpc.aio.AioRpcError as error:
            return code_of(error)


async def test_a_method_without_a_row_is_not_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is served is what has a row; that every method has one is tested in ``test_services``."""
    fra = await asyncio.to_thread(make_site, "FRA", tmp_path / "FRA")
    without = {name: rows for name, rows in SERVICES.items() if name != "Operations"}
    without["Operations"] = {"ListUsers": SERVICES["Operations"]["ListUsers"]}
    monkeypatch.setattr("intelshare.node.servers.SERVICES", without)
    try:
        await fra.start()
        assert await call(fra, fra.leaf("o"), "/intelshare.v1.Operations/ListUsers") == ""
        assert await call(fra, fra.leaf("o"), "/intelshare.v1.Operations/Status") == "UNIMPLEMENTED"
    finally:
        await fra.stop()


async def test_each_role_may_call_what_the_table_says_and_nothing_else(sites: tuple[Site, Site]) -> None:
    fra, _ = sites
    for name, role in USERS.items():
        leaf = fra.leaf(name)
        for method in USER_METHODS:
            code = await call(fra, leaf, method)
            service, _, name_ = method.rpartition(".")[2].partition("/")
            roles = SERVICES[service][name_].roles
            assert (code == "NOT_AUTHORISED") == (role not in roles), (role, method, code)


@pytest.mark.parametrize(
    "leaf",
    [
        pytest.param(lambda _fra, _usa: None, id="anonymous"),
        pytest.param(lambda _fra, usa: usa.leaf("a"), id="user of another member"),
        pytest.param(lambda fra, _usa: fra.founded.node_leaf, id="own node"),
        pytest.param(lambda _fra, usa: usa.founded.node_leaf, id="peer node"),
        pytest.param(lambda fra, _usa: expired(fra), id="expired"),
        pytest.param(lambda fra, _usa: early(fra), id="not yet valid"),
        pytest.param(lambda fra, _usa: unknown_authority(fra), id="unknown authority"),
    ],
)
async def test_tls_refuses_on_the_user_port_and_no_rpc_runs(
    sites: tuple[Site, Site], leaf: Callable[[Site, Site], CertifiedKey | None]
) -> None:
    fra, usa = sites
    for method in ("/intelshare.v1.Bulletins/WhoAmI", "/intelshare.v1.Operations/Status"):
        assert await call(fra, leaf(fra, usa), method) in REFUSED
    assert "call.refused" not in fra.log.getvalue()


async def test_a_certificate_that_names_no_user_of_the_register_may_call_nothing(
    sites: tuple[Site, Site],
) -> None:
    fra, _ = sites
    node_uri = issue_user(fra.founded.user_authority, fra.founded.node.uri, now(), os.urandom)
    for leaf in (fra.leaf("nobody"), node_uri):
        for method in USER_METHODS:
            assert await call(fra, leaf, method) == "NOT_AUTHORISED", method


async def test_a_revoked_user_may_call_nothing_from_the_next_call_on(sites: tuple[Site, Site]) -> None:
    fra, _ = sites
    leaf = fra.leaf("a")
    assert await call(fra, leaf, "/intelshare.v1.Bulletins/WhoAmI") == ""
    async with fra.client("o") as operator:
        await operator.operations.RevokeUser(pb.RevokeUserRequest(name="a"))
    for method in USER_METHODS:
        assert await call(fra, leaf, method) == "NOT_AUTHORISED", method


@pytest.mark.parametrize("name", ["", "../x", "a/b", "M.Durand", ".x", "x" * 65, "a\u202eb", "a b"])
async def test_an_unsafe_user_name_is_refused(sites: tuple[Site, Site], name: str) -> None:
    fra, _ = sites
    request = pb.AddUserRequest(user=pb.NewUser(name=name, role="analyst"))
    assert await call(fra, fra.leaf("o"), "/intelshare.v1.Operations/AddUser", request) == "UNSAFE_NAME"


async def test_health_answers_those_who_are_known_and_tells_others_nothing(sites: tuple[Site, Site]) -> None:
    fra, usa = sites
    method = "/grpc.health.v1.Health/Check"
    ask = health_pb2.HealthCheckRequest().SerializeToString()
    for leaf, port in (
        (fra.leaf("a"), fra.running.user_port),
        (usa.founded.node_leaf, fra.running.peer_port),
    ):
        async with fra.channel(leaf, port) as channel:
            raw = await channel.unary_unary(method)(ask, timeout=patient(LIMIT))
        assert health_pb2.HealthCheckResponse.FromString(raw).status == health_pb2.HealthCheckResponse.SERVING
    for leaf_, port in (
        (None, fra.running.user_port),
        (None, fra.running.peer_port),
        (fra.leaf("nobody"), fra.running.user_port),
    ):
        async with fra.channel(leaf_, port) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary(method)(ask, timeout=patient(LIMIT))
        assert code_of(caught.value) in (*REFUSED, "NOT_AUTHORISED")


async def test_the_peer_port_takes_only_nodes_of_a_directory_under_their_own_authority(
    sites: tuple[Site, Site],
) -> None:
    fra, usa = sites
    ours, theirs = fra.founded.node_authority, usa.founded.node_authority
    node = usa.founded.node
    hello = hello_message(open_hello(os.urandom)[0])
    assert await link(fra, usa.founded.node_leaf, hello) == "hello"
    # Row 22: FRA's authority vouches for a node of USA; TLS lets it pass.
    vouched = issue_node(ours, node.uri, node.dns, now(), os.urandom)
    assert await link(fra, vouched, hello) == "PEER_IDENTITY_MISMATCH"
    # Rows 25, 26: in no directory, in another case, a user's URI.
    for uri in (node.uri + "/", node.uri.upper(), node.uri + "%2f", usa.user_uri("a")):
        stranger = issue_node(theirs, uri, node.dns, now(), os.urandom)
        assert await link(fra, stranger, hello) == "PEER_IDENTITY_INVALID", uri
    # Row 26: a user's certificate on the peer port.
    assert await link(fra, usa.leaf("a"), hello) in REFUSED
    assert await link(fra, fra.leaf("a"), hello) in REFUSED


async def test_a_hello_of_another_connection_or_of_nobody_is_refused(sites: tuple[Site, Site]) -> None:
    fra, usa = sites
    leaf = usa.founded.node_leaf
    opening = hello_message(open_hello(os.urandom)[0])
    assert await link(fra, leaf, hello_message(b"nonsense")) == "ENVELOPE_MALFORMED"
    assert await link(fra, leaf, b"\x12\x00") == "ENVELOPE_MALFORMED"
    # Row 95: what FRA said comes back to it, as if we had said it.
    async with fra.channel(leaf, fra.running.peer_port) as channel:
        stream = channel.stream_stream(LINK)()
        await stream.write(opening)
        await stream.write(await stream.read())
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stream.read()
    # The nonce of another side is in it: found out before the key is looked at.
    assert code_of(caught.value) in ("PEER_IDENTITY_MISMATCH", "SIGNATURE_INVALID")


async def test_a_link_without_a_hello_is_cut(
    sites: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    fra, usa = sites
    await fra.stop()
    monkeypatch.setattr("intelshare.engine.engine.Limits", partial(Limits, hello=300_000))
    await fra.start()
    assert await link(fra, usa.founded.node_leaf) == "RATE"


@pytest.mark.parametrize(
    ("version", "group"), [(b"TLSv1.2", b"X25519MLKEM768"), (b"TLSv1.3", b"X25519"), (b"", b"")]
)
@pytest.mark.parametrize("identity", [peer_identity, user_identity])
def test_below_the_floor_no_port_takes_anybody(identity: Any, version: bytes, group: bytes) -> None:
    tls = {"ssl_tls_version": [version], "ssl_negotiated_key_exchange_group": [group]}
    context = SimpleNamespace(auth_context=lambda: tls)
    with pytest.raises(TrustError) as caught:
        identity(None, None)(context)
    assert caught.value.code == "TRANSPORT_FLOOR"


@pytest.mark.parametrize("old", [{"maximum": ssl.TLSVersion.TLSv1_2}, {}], ids=["TLS 1.2", "no hybrid group"])
@pytest.mark.parametrize("port", ["user_port", "peer_port"])
async def test_a_genuine_certificate_below_the_floor_is_turned_away(
    sites: tuple[Site, Site], tmp_path: Path, port: str, old: dict[str, ssl.TLSVersion]
) -> None:
    """Row 28, on real sockets: Python's own TLS offers no hybrid group."""
    fra, usa = sites
    leaf = fra.leaf("a") if port == "user_port" else usa.founded.node_leaf
    files = tmp_path / "certificate.pem", tmp_path / "key.pem"
    files[0].write_bytes(to_pem((leaf.certificate,)))
    files[1].write_bytes(leaf.key)
    context = ssl.create_default_context(
        cadata=to_pem((fra.founded.node_authority.certificate,)).decode(),
    )
    context.load_cert_chain(*files)
    context.set_alpn_protocols(["h2"])
    context.set_ecdh_curve("prime256v1")
    context.maximum_version = old.get("maximum", ssl.TLSVersion.TLSv1_3)
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", getattr(fra.running, port), ssl=context, server_hostname=fra.founded.node.dns
    )
    try:
        writer.write(call_over_http2("/grpc.health.v1.Health/Check"))
        said = b""
        while b"TRANSPORT_FLOOR" not in said and (more := await reader.read(4096)):
            said += more
        assert b"TRANSPORT_FLOOR" in said
    finally:
        writer.close()


def call_over_http2(path: str) -> bytes:
    """A gRPC call with an empty message, as bytes: RFC 9113 frames, RFC 7541 literals without an index."""

    def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
        return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload

    def literal(name: str, value: str) -> bytes:
        return b"\x00" + b"".join(bytes((len(text),)) + text.encode() for text in (name, value))

    headers = {":method": "POST", ":scheme": "https", ":path": path, ":authority": "node"}
    headers |= {"content-type": "application/grpc", "te": "trailers"}
    block = b"".join(literal(name, value) for name, value in headers.items())
    return (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        + frame(4, 0, 0, b"")
        + frame(1, 4, 1, block)
        + frame(0, 1, 1, bytes(5))
    )


def expired(site: Site) -> CertifiedKey:
    at = Instant(now() - 2 * HOUR)
    return issue_user(site.founded.user_authority, site.user_uri("a"), at, os.urandom, lifetime=HOUR)


def early(site: Site) -> CertifiedKey:
    at = Instant(now() + 30 * MINUTE)
    return issue_user(site.founded.user_authority, site.user_uri("a"), at, os.urandom)


def unknown_authority(site: Site) -> CertifiedKey:
    authority = make_authority("FRA users", now(), os.urandom)
    return issue_user(authority, site.user_uri("a"), now(), os.urandom)
