"""The gateway of both ports: every call is authenticated, authorised and answered, and every error has a
code.

Nothing in a request is parsed before its caller is identified (check 1 of attacks.md) and the method's row
lets it through. A method without a row is not served at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from intelshare.broker.kernel.actor import Actor
from intelshare.broker.kernel.register import count_certificate
from intelshare.errors import DeliveryError, IntelshareError, StoreError, TrustError
from intelshare.ids import UserUri
from intelshare.node.authn import Caller, Context, Identify, PeerCaller, UserCaller
from intelshare.node.events import Event
from intelshare.node.refusal import INTERNAL, refuse
from intelshare.node.running import read_running
from intelshare.node.runtime import Runtime
from intelshare.services import BESIDE, OPERATORS, Backend, Rpc, dispatch

_PERIOD: Final = 0.025
"""The period of answers in seconds, longer than it takes to open the largest bulletin."""

UNREAD: Final = 120.0
"""The seconds for which a stream waits for a client that does not read (promise P18)."""

Serve = Callable[[Any, Context], Awaitable[Any]]
"""A handler for ``grpc.aio``: takes the raw request, unless the client streams; returns or writes
messages.
"""


class UserGateway:
    """The methods that the user port serves: those that have a row."""

    def __init__(
        self, runtime: Runtime, backend: Backend, identify: Identify, again: Identify | None = None
    ) -> None:
        """``again`` identifies the caller of a call that goes on, if not ``identify`` does."""
        self._runtime = runtime
        self._backend = backend
        self._identify = identify
        self._again = again or identify
        self._streams: dict[UserUri, set[_Stream]] = {}
        """The open calls that stream, by caller."""
        runtime.on_register.append(self._register_changed)

    def handler(self, service: ServiceDescriptor, rows: Mapping[str, Rpc]) -> grpc.GenericRpcHandler:
        """Return the handler of one service. Methods without a row are not served."""
        handlers = {
            method.name: self._method(method, rows[method.name])
            for method in service.methods
            if method.name in rows
        }
        return grpc.method_handlers_generic_handler(service.full_name, handlers)

    def _method(self, method: MethodDescriptor, row: Rpc) -> grpc.RpcMethodHandler:
        name = f"/{method.containing_service.full_name}/{method.name}"
        request_type = GetMessageClass(method.input_type)
        make, serving = _SHAPES[method.client_streaming, method.server_streaming]
        serve = serving(self, name, row, request_type)
        return make(serve, request_deserializer=None, response_serializer=_serialise)

    def authorise(self, row: Rpc, context: Context) -> Actor:
        """Return the caller of a call that goes on, if the row still allows it. Raises TrustError,
        DeliveryError NOT_AUTHORISED.
        """
        return self._authorised(row, self._again(context))

    async def _admit(self, row: Rpc, context: Context) -> Actor:
        """Authorise at the beginning of a call: a certificate used for the first time durably replaces the
        earlier ones.
        """
        caller = self._identify(context)
        actor = self._authorised(row, caller)
        if not self._runtime.leads and row not in BESIDE:
            raise _not_leading(self._runtime)
        if isinstance(caller, UserCaller) and caller.pending:
            then = self._backend.register_changed
            counted = caller.user, caller.certificate, caller.issued
            await self._backend.perform(count_certificate, *counted, then=then)
        return actor

    def _authorised(self, row: Rpc, caller: Caller) -> Actor:
        if not isinstance(caller, UserCaller):
            raise TrustError("NOT_AUTHORISED", f"only users may call {row.method}")
        if not row.by_ticket:
            _no_ticket(caller)
        return dispatch.authorise(row, caller.user, caller.role, caller.certificate)

    def unary(self, name: str, row: Rpc, request_type: type[Message]) -> Serve:
        """Return a handler for one request and one answer."""

        async def serve(raw: bytes, context: Context) -> Message:
            async with _refusing(self._runtime, name, context, self._identify):
                actor = await self._admit(row, context)
                answer = await dispatch.answer(self._backend, row, actor, request_type.FromString(raw))
                if row.roles == OPERATORS:
                    await self._runtime.show_health()
                return answer
            raise AssertionError("turned away")

        return serve

    def streamed(self, name: str, row: Rpc, request_type: type[Message]) -> Serve:
        """Return a handler for one request and many answers."""

        async def serve(raw: bytes, context: Context) -> None:
            async with _refusing(self._runtime, name, context, self._identify):
                actor = await self._admit(row, context)
                await self._answer(row, actor, request_type.FromString(raw), context)

        return serve

    def both_ways(self, name: str, row: Rpc, request_type: type[Message]) -> Serve:
        """Return a handler for many requests and many answers."""

        async def requests(context: Context) -> AsyncIterator[Message]:
            while (raw := await context.read()) is not grpc.aio.EOF:
                yield request_type.FromString(raw)

        async def serve(_: object, context: Context) -> None:
            async with _refusing(self._runtime, name, context, self._identify):
                await self._answer(row, await self._admit(row, context), requests(context), context)

        return serve

    async def _answer(self, row: Rpc, actor: Actor, request: Any, context: Context) -> None:
        with self._ending(row, actor, context):
            async for message in dispatch.stream(self._backend, row, actor, request):
                # A revoked role, or a certificate that has ended, ends the stream.
                self.authorise(row, context)
                try:
                    async with asyncio.timeout(UNREAD):
                        await context.write(message)
                except TimeoutError:
                    raise DeliveryError(
                        "TIMED_OUT",
                        f"the client has read nothing for {UNREAD:g} s",
                        hint="continue from the last cursor",
                    ) from None

    @contextmanager
    def _ending(self, row: Rpc, actor: Actor, context: Context) -> Iterator[None]:
        """End the call inside, even while it waits, as soon as its caller may no longer make it."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a call runs in a task")
        stream = _Stream(task, lambda: self.authorise(row, context))
        mine = self._streams.setdefault(actor.user, set())
        mine.add(stream)
        try:
            yield
        except asyncio.CancelledError:
            if stream.refused is None:
                raise
            task.uncancel()
            raise stream.refused from None
        finally:
            mine.discard(stream)
            if not mine:
                self._streams.pop(actor.user, None)

    def _register_changed(self, user: UserUri) -> None:
        for stream in self._streams.get(user, ()):
            stream.check()


@dataclass(eq=False, slots=True)
class _Stream:
    """A streaming call while it is open."""

    task: asyncio.Task[Any]
    authorise: Callable[[], object]
    refused: IntelshareError | None = None

    def check(self) -> None:
        """End the call if its caller may no longer make it."""
        try:
            self.authorise()
        except IntelshareError as error:
            if self.refused is None:
                self.refused = error
                self.task.cancel()


_SHAPES: Final = {
    (False, False): (grpc.unary_unary_rpc_method_handler, UserGateway.unary),
    (False, True): (grpc.unary_stream_rpc_method_handler, UserGateway.streamed),
    (True, True): (grpc.stream_stream_rpc_method_handler, UserGateway.both_ways),
}
"""gRPC's handler and ours, by (the client streams, the node streams)."""


def peer_handler(
    runtime: Runtime,
    method: str,
    serve_stream: Callable[[PeerCaller, Context], Awaitable[None]],
    identify: Identify,
) -> grpc.GenericRpcHandler:
    """Return the handler for the peer link: raw bytes in both directions, for callers identified as peers."""

    async def serve(_: object, context: Context) -> None:
        async with _refusing(runtime, method, context, identify) as caller:
            if not isinstance(caller, PeerCaller):
                raise TrustError("NOT_AUTHORISED", f"only peers may call {method}")
            await serve_stream(caller, context)

    service, _, name = method[1:].partition("/")
    handler = grpc.stream_stream_rpc_method_handler(serve, None, None)
    return grpc.method_handlers_generic_handler(service, {name: handler})


def health_handler(runtime: Runtime, identify: Identify) -> grpc.GenericRpcHandler:
    """Return the handler of gRPC's health service, for everybody who is identified on the port."""
    from grpc_health.v1 import health_pb2

    service = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name

    async def serve(raw: bytes, context: Context) -> Message:
        async with _refusing(runtime, f"/{service}/Check", context, identify) as caller:
            _no_ticket(caller)
            checked: Message = runtime.health.check(health_pb2.HealthCheckRequest.FromString(raw))
            return checked
        raise AssertionError("turned away")

    handler = grpc.unary_unary_rpc_method_handler(serve, None, _serialise)
    return grpc.method_handlers_generic_handler(service, {"Check": handler})


def _no_ticket(caller: Caller) -> None:
    if isinstance(caller, UserCaller) and caller.ticket:
        raise TrustError(
            "NOT_AUTHORISED",
            "the ticket of an enrolment can only be used to fetch a certificate",
            hint="`intelshare enrol FILE` makes a profile with it",
        )


@asynccontextmanager
async def _refusing(
    runtime: Runtime, method: str, context: Context, identify: Identify
) -> AsyncIterator[Caller]:
    """Yield the caller. Errors inside end the call with their code."""
    with runtime.traces.call(method) as outcome:
        caller: Caller | None = None
        came = asyncio.get_running_loop().time()
        try:
            caller = identify(context)
            yield caller
        except DecodeError:
            outcome.code = _unreadable().code
            await turn_away(runtime, context, caller, method, _unreadable())
        except IntelshareError as error:
            outcome.code = error.code
            if error.code == "NOT_FOUND":
                await _even_out(came)
            await turn_away(runtime, context, caller, method, error)
        except Exception as defect:
            outcome.code = _defect().code
            runtime.log.error(Event.DEFECT, method=method, exception=type(defect).__name__)
            await turn_away(runtime, context, caller, method, _defect(), cause=defect)


async def _even_out(came: float) -> None:
    """Wait until a whole number of periods has passed since the call came.

    Finding that something does not exist takes less time than finding that the reader may not see it, because
    that must be opened first. With this wait, the time of the answer does not tell whether anything was
    opened (attacks.md row 52).
    """
    passed = asyncio.get_running_loop().time() - came
    await asyncio.sleep(_PERIOD - passed % _PERIOD)


async def turn_away(
    runtime: Runtime,
    context: Context,
    caller: Caller | None,
    method: str,
    error: IntelshareError,
    *,
    cause: BaseException | None = None,
) -> NoReturn:
    """Log the refusal and end the call with its code; only users of this member get details."""
    peer = caller if isinstance(caller, PeerCaller) else None
    runtime.refusals[_word(caller), error.code] += 1
    if peer is None or runtime.may_log(peer.member):
        runtime.log.info(
            Event.CALL_REFUSED,
            code=error.code,
            method=method,
            user=caller.user if isinstance(caller, UserCaller) else None,
            peer=peer.node if peer is not None else None,
        )
    runtime.noticed(cause if isinstance(cause, StoreError) else error)
    await refuse(context, error, detailed=isinstance(caller, UserCaller))


def _word(caller: Caller | None) -> str:
    if caller is None:
        return "unknown"
    return "user" if isinstance(caller, UserCaller) else "peer"


def _serialise(message: Message) -> bytes:
    return message.SerializeToString()


def _not_leading(runtime: Runtime) -> IntelshareError:
    leader = read_running(runtime.folder)
    where = f"{leader.replica or 'the one'} at {leader.users_at}" if leader else "another one"
    return DeliveryError(
        "NOT_LEADING",
        f"replica {runtime.replica} serves bulletins; this is for the replica that leads",
        hint=f"ask {where}; `intelshare node replicas` shows which one leads",
        retry_after=1,
    )


def _unreadable() -> IntelshareError:
    return DeliveryError(
        "INPUT_INVALID", "the request cannot be read", hint="client and node may have different versions"
    )


def _defect() -> IntelshareError:
    return TrustError(
        INTERNAL, "the node failed on this request", hint="its log shows where; please report it"
    )
