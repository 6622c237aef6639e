"""The gateway of both ports: every call is authenticated, authorised, answered, and its error has a code.

Nothing of a request is parsed before its caller was identified (check 1 of attacks.md) and the table of
``authorisation`` lets it through. A method without a row is not served at all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, NoReturn

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from intelshare.errors import IntelshareError, StoreError, TrustError
from intelshare.node.authn import Caller, Context, Identify, PeerCaller, UserCaller
from intelshare.node.authorisation import MAY_CALL, check_may_call
from intelshare.node.events import Event
from intelshare.node.refusal import INTERNAL, refuse
from intelshare.node.runtime import Runtime

Answer = Callable[[Any, Any], Any]
"""``answer(caller, request)``: awaitable. Where user.proto says that the node streams, it is an async
iterator, and where the client streams too, so is ``request``."""


def unary_handlers(
    runtime: Runtime, service: ServiceDescriptor, answers: Mapping[str, Answer], identify: Identify
) -> grpc.GenericRpcHandler:
    """Handlers for the methods of a service that have an answer; the others are not served."""
    handlers = {}
    for method in service.methods:
        if method.name not in answers:
            continue
        name = f"/{service.full_name}/{method.name}"
        request, answer = GetMessageClass(method.input_type), answers[method.name]
        make, serving = _SHAPES[method.client_streaming, method.server_streaming]
        serve = serving(runtime, name, request, answer, identify)
        handlers[method.name] = make(serve, request_deserializer=None, response_serializer=_serialise)
    return grpc.method_handlers_generic_handler(service.full_name, handlers)


def _unary(
    runtime: Runtime, method: str, request_type: type[Message], answer: Any, identify: Identify
) -> Callable[[bytes, Context], Awaitable[Message]]:
    _need_row(method)

    async def serve(raw: bytes, context: Context) -> Message:
        async with _admitted(runtime, method, context, identify) as caller:
            answered: Message = await answer(caller, request_type.FromString(raw))
            return answered
        raise AssertionError("turned away")

    return serve


def _streamed(
    runtime: Runtime, method: str, request_type: type[Message], answer: Any, identify: Identify
) -> Callable[[bytes, Context], Awaitable[None]]:
    _need_row(method)

    async def serve(raw: bytes, context: Context) -> None:
        async with _admitted(runtime, method, context, identify) as caller:
            async for message in answer(caller, request_type.FromString(raw)):
                await context.write(message)
                # A role that was taken away, or a certificate that ended, ends the stream (F16).
                check_may_call(method, identify(context).role)

    return serve


def _both_ways(
    runtime: Runtime, method: str, request_type: type[Message], answer: Any, identify: Identify
) -> Callable[[object, Context], Awaitable[None]]:
    _need_row(method)

    async def requests(context: Context) -> AsyncIterator[Message]:
        while (raw := await context.read()) is not grpc.aio.EOF:
            yield request_type.FromString(raw)

    async def serve(_: object, context: Context) -> None:
        async with _admitted(runtime, method, context, identify) as caller:
            async for message in answer(caller, requests(context)):
                await context.write(message)
                check_may_call(method, identify(context).role)

    return serve


_SHAPES: Final = {
    (False, False): (grpc.unary_unary_rpc_method_handler, _unary),
    (False, True): (grpc.unary_stream_rpc_method_handler, _streamed),
    (True, True): (grpc.stream_stream_rpc_method_handler, _both_ways),
}
"""By (the client streams, the node streams): gRPC's handler, and ours."""


@asynccontextmanager
async def _admitted(
    runtime: Runtime, method: str, context: Context, identify: Identify
) -> AsyncIterator[Caller]:
    """Who calls, if the table lets it. What goes wrong inside ends the call with its code."""
    caller: Caller | None = None
    try:
        caller = identify(context)
        check_may_call(method, caller.role)
        yield caller
    except DecodeError:
        await turn_away(runtime, context, caller, method, _unreadable())
    except IntelshareError as error:
        await turn_away(runtime, context, caller, method, error)
    except Exception as defect:
        runtime.log.error(Event.DEFECT, method=method, exception=type(defect).__name__)
        await turn_away(runtime, context, caller, method, _defect(), cause=defect)


def stream_handler(
    runtime: Runtime,
    method: str,
    serve_stream: Callable[[PeerCaller, Context], Awaitable[None]],
    identify: Identify,
) -> grpc.GenericRpcHandler:
    """Handler for the peer link: raw bytes both ways."""
    _need_row(method)

    async def serve(_: object, context: Context) -> None:
        caller: Caller | None = None
        try:
            caller = identify(context)
            check_may_call(method, caller.role)
            assert isinstance(caller, PeerCaller)  # noqa: S101 - only peer_identity is used on this port
            await serve_stream(caller, context)
        except IntelshareError as error:
            await turn_away(runtime, context, caller, method, error)

    service, _, name = method[1:].partition("/")
    handler = grpc.stream_stream_rpc_method_handler(serve, None, None)
    return grpc.method_handlers_generic_handler(service, {name: handler})


async def turn_away(
    runtime: Runtime,
    context: Context,
    caller: Caller | None,
    method: str,
    error: IntelshareError,
    *,
    cause: BaseException | None = None,
) -> NoReturn:
    """Log the refusal and end the call with its code; details go to own users only."""
    runtime.log.info(
        Event.CALL_REFUSED,
        code=error.code,
        method=method,
        user=caller.user if isinstance(caller, UserCaller) else None,
        peer=caller.node if isinstance(caller, PeerCaller) else None,
    )
    runtime.noticed(cause if isinstance(cause, StoreError) else error)
    await refuse(context, error, detailed=isinstance(caller, UserCaller))


def _need_row(method: str) -> None:
    if method not in MAY_CALL:
        raise LookupError(f"{method} has no row in the authorisation table")


def _serialise(message: Message) -> bytes:
    return message.SerializeToString()


def _unreadable() -> IntelshareError:
    return TrustError("INPUT_INVALID", "the request cannot be read", hint="client and node differ in version")


def _defect() -> IntelshareError:
    return TrustError(
        INTERNAL, "the node failed at this request", hint="its log says where; please report it"
    )
