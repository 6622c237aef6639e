"""The hello of a new link over a gRPC stream, from both sides: three messages, each within the deadline."""

from __future__ import annotations

import asyncio
from typing import Final

import grpc

from intelshare.broker.line import hello
from intelshare.broker.line.hello import HelloResult
from intelshare.crypto.suites import Signer
from intelshare.errors import EnvelopeError
from intelshare.ids import MemberCode
from intelshare.node.link import Stream
from intelshare.node.runtime import Runtime
from intelshare.ports import Durable
from intelshare.trust import (
    Channel,
    HelloPayload,
    PeerHello,
    answer_hello,
    check_answer,
    check_confirmation,
    confirm_hello,
    open_hello,
)
from intelshare.wire import Hello, hello_message, read_message

DEADLINE: Final = 5.0
"""Seconds for a whole hello (promise P18)."""


async def greet_as_dialler(
    runtime: Runtime, stream: Stream, channel: Channel
) -> tuple[PeerHello, Durable[HelloResult]]:
    """Raises what trust/hello.py raises, EnvelopeError, TimeoutError."""
    async with asyncio.timeout(DEADLINE):
        opening, nonce = open_hello(runtime.random)
        await stream.write(hello_message(opening))
        view = runtime.node.trust
        peer, pending = check_answer(await _next(stream), channel, nonce, runtime.now(), view=view)
        # Their streams are known here before they can hand over the first release of one.
        met = await runtime.step(hello.accept_hello, peer)
        confirmation = confirm_hello(pending, _signer(runtime), _payload(runtime, peer.member))
        await stream.write(hello_message(confirmation))
        return peer, met


async def greet_as_acceptor(
    runtime: Runtime, stream: Stream, channel: Channel, member: MemberCode
) -> tuple[PeerHello, Durable[HelloResult]]:
    """Raises what trust/hello.py raises, EnvelopeError, TimeoutError."""
    async with asyncio.timeout(DEADLINE):
        first = await _next(stream)
        answer, pending = answer_hello(
            first, channel, _signer(runtime), _payload(runtime, member), random=runtime.random
        )
        await stream.write(hello_message(answer))
        peer = check_confirmation(await _next(stream), pending, runtime.now(), view=runtime.node.trust)
        return peer, await runtime.step(hello.accept_hello, peer)


async def _next(stream: Stream) -> bytes:
    raw = await stream.read()
    if raw is grpc.aio.EOF:
        raise EnvelopeError("ENVELOPE_MALFORMED", "the link ended within the hello")
    message = read_message(raw)
    if not isinstance(message, Hello):
        raise EnvelopeError("ENVELOPE_MALFORMED", "a link begins with a hello")
    return message.payload


def _payload(runtime: Runtime, member: MemberCode) -> HelloPayload:
    return runtime.store.ask_now(lambda view: hello.make_hello(runtime.node, view, member, runtime.now()))


def _signer(runtime: Runtime) -> Signer:
    node = runtime.node
    return runtime.vault.signer(node.trust.hello_key(node.uri, node.signer.suite.number, runtime.now()))
