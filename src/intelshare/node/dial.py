"""Opens one outgoing connection to a peer node: to an address in its signed directory, under its member's
CAs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import grpc

from intelshare.crypto.x509 import inspect, to_pem
from intelshare.errors import DeliveryError
from intelshare.ids import MemberCode
from intelshare.node.resolve import Resolver
from intelshare.node.runtime import Runtime
from intelshare.node.streams import Call
from intelshare.trust import Channel, DirectoryNode
from intelshare.wire import FLOW, MAX_MESSAGE

METHOD: Final = "/intelshare.v1.Peer/Link"

SLACK: Final = 64 * 1024
"""The bytes above 1 MiB that gRPC lets through, so that the scan, not the transport, answers TOO_LARGE."""

KEEPALIVE: Final[tuple[tuple[str, int], ...]] = (
    ("grpc.keepalive_time_ms", 15_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # A ping has a time limit of its own: without this one, the node that was dialled noticed a line that
    # carries nothing after 80 s.
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
)


@asynccontextmanager
async def dial(
    runtime: Runtime, resolver: Resolver, member: MemberCode, node: DirectoryNode
) -> AsyncIterator[tuple[Call, Channel]]:
    """Open a stream to this node; yield it with the channel to which the hello is bound. Closed at the end,
    even if cancelled.

    Raises DeliveryError ADDRESS_FORBIDDEN, OSError if no name resolves, grpc.aio.AioRpcError later.
    """
    trust = runtime.node.trust
    leaf, chain = runtime.certificates.leaf, runtime.certificates.chain
    credentials = grpc.ssl_channel_credentials(to_pem(trust.authorities(member)), leaf.key, to_pem(chain))
    options: list[tuple[str, Any]] = [
        *KEEPALIVE,
        *FLOW,
        ("grpc.default_authority", node.dns),
        ("grpc.max_receive_message_length", MAX_MESSAGE + SLACK),
        ("grpc.max_send_message_length", -1),
        # Each link has a separate connection: a renewed leaf certificate must not find the old one in a pool.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_http_proxy", 0),
        ("grpc.enable_retries", 0),
    ]
    failed: Exception = OSError("no endpoint")
    for endpoint in node.endpoints:
        try:
            target = await resolver.target(member, endpoint)
        except (OSError, DeliveryError) as error:
            failed = error
            continue
        channel = grpc.aio.secure_channel(target, credentials, options=options)
        call = channel.stream_stream(METHOD)()
        try:
            try:
                await call.wait_for_connection()
            except grpc.aio.AioRpcError as error:
                failed = error
                continue
            yield call, Channel(runtime.node.uri, node.uri, inspect(leaf.certificate).digest)
            return
        finally:
            call.cancel()
            await channel.close()
    raise failed
