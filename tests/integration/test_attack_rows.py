"""Attacks that only a real node with real sockets answers: rows 24, 72, 77, 80, 81 and 82."""

from __future__ import annotations

import asyncio
import gzip
import os
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from intelshare.crypto.x509 import CertifiedKey, issue_node, make_authority, to_pem
from intelshare.engine import ConnectionLimits, Reason
from intelshare.instant import HOUR, MINUTE, SECOND, Instant, to_datetime
from intelshare.patience import patient
from intelshare.wire import MAX_MESSAGE
from node_world import Site, code_of, introduce, make_site, now, until, word
from waits import LIMIT

LINK = "/intelshare.v1.Peer/Link"
WHOAMI = "/intelshare.v1.Bulletins/WhoAmI"
REFUSED = ("UNAVAILABLE", "UNAUTHENTICATED")


@pytest.fixture
async def sites(tmp_path: Path) -> AsyncIterator[tuple[Site, Site]]:
    """FRA runs and knows USA, which does not run any more; who proves nothing at FRA has 3 s."""
    limits = ConnectionLimits(prove=3 * SECOND)
    fra = await asyncio.to_thread(make_site, "FRA", tmp_path / "FRA", connections=limits)
    usa = await asyncio.to_thread(make_site, "USA", tmp_path / "USA")
    try:
        await fra.start()
        await usa.start()
        await introduce(fra, usa)
        await usa.stop()
        yield fra, usa
    finally:
        await fra.stop()
        await usa.stop()


def leaf_of(
    signer: CertifiedKey | None,
    uri: str,
    dns: str,
    *usages: x509.ObjectIdentifier,
    begins: int = -HOUR,
    ends: int = HOUR,
) -> CertifiedKey:
    """A leaf that no authority of ours would issue; ``signer`` None: by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer, by = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, dns)]), key
    if signer is not None:
        issuer = x509.load_der_x509_certificate(signer.certificate).subject
        loaded = serialization.load_pem_private_key(signer.key, None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)
        by = loaded
    at = now()
    names = [x509.UniformResourceIdentifier(uri), x509.DNSName(dns)]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]) if signer else issuer)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(to_datetime(Instant(at + begins)))
        .not_valid_after(to_datetime(Instant(at + ends)))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=True)
        .sign(by, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return CertifiedKey(certificate.public_bytes(serialization.Encoding.DER), private)


async def said(site: Site, leaf: CertifiedKey | None, message: bytes, **options: object) -> str:
    """The code with which a link ends after this message."""
    async with site.channel(leaf, site.running.peer_port) as channel:
        stream = channel.stream_stream(LINK)(**options)
        try:
            await stream.write(message)
            while await asyncio.wait_for(stream.read(), patient(LIMIT)) is not grpc.aio.EOF:
                pass
            return (await stream.code()).name
        except grpc.aio.AioRpcError as error:
            return code_of(error)


async def said_in_time(site: Site, leaf: CertifiedKey | None, message: bytes, **options: object) -> str:
    """The same; tried again where a busy machine took longer than a link has for its hello (RATE)."""
    code = "RATE"
    for _ in range(5):
        if (code := await said(site, leaf, message, **options)) != "RATE":
            break
    return code


CLIENT, SERVER = x509.ExtendedKeyUsageOID.CLIENT_AUTH, x509.ExtendedKeyUsageOID.SERVER_AUTH


async def test_row_24_the_peer_port_runs_no_call_of_a_leaf_that_tls_may_not_take(
    sites: tuple[Site, Site],
) -> None:
    fra, usa = sites
    theirs, node = usa.founded.node_authority, usa.founded.node
    names = (node.uri, node.dns)
    unknown = make_authority("USA nodes", now(), os.urandom)
    leaves = {
        "none": None,
        "expired": leaf_of(theirs, *names, CLIENT, SERVER, begins=-2 * HOUR, ends=-HOUR),
        "not yet valid": leaf_of(theirs, *names, CLIENT, SERVER, begins=30 * MINUTE),
        "by itself": leaf_of(None, *names, CLIENT, SERVER),
        "by an authority of nobody": issue_node(unknown, *names, now(), os.urandom),
        "for servers only": leaf_of(theirs, *names, SERVER),
    }
    before = fra.log.getvalue().count("call.refused")
    for what, leaf in leaves.items():
        assert await said(fra, leaf, b"\x0a\x00") in REFUSED, what
    assert fra.log.getvalue().count("call.refused") == before
    assert await said(fra, usa.founded.node_leaf, b"\x0a\x00") == "ENVELOPE_MALFORMED"


async def test_row_72_what_is_compressed_is_carried_as_it_is(sites: tuple[Site, Site]) -> None:
    """A gigabyte of zeros in a gzip in a gzip: nobody here unpacks it (`test_source.py` holds that)."""
    fra, usa = sites
    await usa.start()
    bomb = gzip.compress(gzip.compress(bytes(100 << 20), 1), 9)
    async with fra.client("a") as author:
        record = await author.upload(bomb)
        sent = await author.attach(["USA"], record, name="annex.gz")
    await until(lambda: _accepted(fra, sent.bulletin))

    async def whole() -> bytes:
        async with usa.client("a") as reader:
            try:
                return await reader.download(sent.bulletin)
            except grpc.aio.AioRpcError:
                return b""

    assert await until(whole) == bomb


async def _accepted(site: Site, bulletin: bytes) -> bool:
    return await word(site, bulletin, "USA") in ("accepted", "read")


async def test_rows_77_and_80_what_is_too_large_is_refused_before_and_after_it_is_unpacked(
    sites: tuple[Site, Site],
) -> None:
    """Just beyond a mebibyte by our code, far beyond it by gRPC, whose bound counts what is unpacked."""
    fra, usa = sites
    leaf = usa.founded.node_leaf
    assert await said_in_time(fra, leaf, bytes(MAX_MESSAGE + 1)) == "TOO_LARGE"
    assert await said_in_time(fra, leaf, bytes(8 * MAX_MESSAGE)) == "RESOURCE_EXHAUSTED", "plain"
    zeros = bytes(4 * MAX_MESSAGE)
    for how in (grpc.Compression.Gzip, grpc.Compression.Deflate):
        assert await said_in_time(fra, leaf, zeros, compression=how) == "RESOURCE_EXHAUSTED", how
        async with fra.channel(fra.leaf("a"), fra.running.user_port) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary(WHOAMI)(zeros, compression=how, timeout=patient(LIMIT))
        assert code_of(caught.value) == "RESOURCE_EXHAUSTED"
    assert await served(fra)


async def test_row_77_a_length_of_two_gibibytes_takes_no_memory(
    sites: tuple[Site, Site], tmp_path: Path
) -> None:
    """It is told before a byte of it has come, at either port, by who has genuine certificates."""
    fra, usa = sites
    assert await served(fra)
    before = _resident()
    told = PREFACE + frame(4, 0, 0, b"")
    told += frame(1, 4, 1, headers(LINK)) + frame(
        0, 0, 1, b"\x00" + (2**31 - 1).to_bytes(4, "big") + bytes(64)
    )
    for leaf, port in (
        (usa.founded.node_leaf, fra.running.peer_port),
        (fra.leaf("a"), fra.running.user_port),
    ):
        await asyncio.gather(*(_flood(fra, port, _client(fra, leaf, tmp_path), told) for _ in range(20)))
    assert _resident() - before < 10 << 20
    assert await served(fra)


async def served(site: Site) -> bool:
    """Whether an honest user is answered."""
    async with site.channel(site.leaf("a"), site.running.user_port) as channel:
        await channel.unary_unary(WHOAMI)(b"", timeout=patient(LIMIT))
    return True


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """A frame of HTTP/2 (RFC 9113)."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def headers(path: str) -> bytes:
    """Of a call (RFC 7541, literals that are not indexed)."""
    return b"".join(
        b"\x00" + b"".join(bytes((len(text),)) + text.encode() for text in pair)
        for pair in (
            (":method", "POST"), (":scheme", "https"), (":path", path), (":authority", "node"),
            ("content-type", "application/grpc"), ("te", "trailers"),
        )
    )  # fmt: skip


def reset_streams(count: int) -> bytes:
    """So many calls, each of them reset at once."""
    block = headers(WHOAMI)
    return b"".join(
        frame(1, 4, number, block) + frame(3, 0, number, (8).to_bytes(4, "big"))
        for number in range(1, 2 * count, 2)
    )


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_UNFINISHED = b"\x00\x01a\x01b"
"""A header line, of a block that never ends."""
FLOODS = {
    "pings": PREFACE + frame(4, 0, 0, b"") + frame(6, 0, 0, bytes(8)) * 20_000,
    "settings": PREFACE + frame(4, 0, 0, (3).to_bytes(2, "big") + (100).to_bytes(4, "big")) * 20_000,
    "resets": PREFACE + frame(4, 0, 0, b"") + reset_streams(10_000),
    "a call without an end": PREFACE + frame(4, 0, 0, b"") + reset_streams(1)[:-13],
    "a window of 0": PREFACE + frame(4, 0, 0, (4).to_bytes(2, "big") + bytes(4)),
    "headers without end": PREFACE
    + frame(4, 0, 0, b"")
    + frame(1, 0, 1, _UNFINISHED)
    + frame(9, 0, 1, _UNFINISHED) * 5_000,
}


async def test_rows_81_and_82_who_floods_below_any_call_is_cut_and_others_are_served(
    sites: tuple[Site, Site], tmp_path: Path
) -> None:
    """With genuine certificates: TLS ends well, and then comes no call, but frames of HTTP/2; all at once."""
    fra, usa = sites
    before = _resident()
    contexts = {
        "users": _client(fra, fra.leaf("a"), tmp_path),
        "peers": _client(fra, usa.founded.node_leaf, tmp_path),
    }
    ports = {"users": fra.running.user_port, "peers": fra.running.peer_port}
    floods = [_flood(fra, ports[name], contexts[name], sent) for name in ports for sent in FLOODS.values()]
    flooding = asyncio.gather(*floods)
    while not flooding.done():
        assert await served(fra)
        await asyncio.sleep(0.1)
    await flooding
    assert await served(fra)
    assert _resident() - before < 64 << 20
    for name in ports:
        gate = getattr(fra.running.ports, name).gate
        await until(lambda gate=gate: gate.connections.unknown == 0)
        assert set(gate.connections.ended) <= {Reason.UNPROVED}


async def _flood(site: Site, port: int, context: ssl.SSLContext, sent: bytes) -> None:
    """Send it, and read until the node cuts the connection off."""
    host = site.founded.node.dns
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=host)
    try:
        writer.write(sent)
        await asyncio.wait_for(writer.drain(), patient(LIMIT))
        while await asyncio.wait_for(reader.read(65536), patient(LIMIT)):
            pass
    except (ConnectionError, ssl.SSLError):
        pass
    finally:
        writer.close()


async def test_row_81_a_handshake_of_a_byte_at_a_time_ends_when_its_time_is_over(
    sites: tuple[Site, Site],
) -> None:
    fra, _ = sites
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="node")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    hello = outgoing.read()
    ended = fra.running.ports.peers.gate.connections.ended
    before = ended[Reason.UNPROVED]
    reader, writer = await asyncio.open_connection("127.0.0.1", fra.running.peer_port)
    try:
        for byte in hello:
            writer.write(bytes((byte,)))
            await asyncio.sleep(0.05)
            if reader.at_eof():
                break
        assert await asyncio.wait_for(reader.read(), patient(LIMIT)) == b""
    except ConnectionError:
        pass
    finally:
        writer.close()
    # The other site may have been cut too, on a busy machine.
    assert ended[Reason.UNPROVED] > before


def _client(site: Site, leaf: CertifiedKey, folder: Path) -> ssl.SSLContext:
    (folder / "flood.pem").write_bytes(to_pem((leaf.certificate,)))
    (folder / "flood.key").write_bytes(leaf.key)
    context = ssl.create_default_context(cadata=to_pem((site.founded.node_authority.certificate,)).decode())
    context.load_cert_chain(folder / "flood.pem", folder / "flood.key")
    context.set_alpn_protocols(["h2"])
    context.set_ecdh_curve("prime256v1")
    return context


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
