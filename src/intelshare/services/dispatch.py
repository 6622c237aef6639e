"""Turns a request into its answer by the method's row: authorises the caller, then runs the step or query."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from google.protobuf.message import Message

from intelshare.broker.kernel.actor import NO_DIGEST, Actor, authorised
from intelshare.errors import TrustError
from intelshare.ids import Digest, UserUri
from intelshare.roles import Role
from intelshare.services.backend import Backend
from intelshare.services.rpc import (
    AsyncCall,
    CallContext,
    Query,
    QueryCall,
    Rpc,
    StepCall,
    StreamCall,
    check_not_drained,
)


def authorise(row: Rpc, user: UserUri, role: str, certificate: Digest = NO_DIGEST) -> Actor:
    """The actor, if the row lets this role call. Raises TrustError NOT_AUTHORISED.

    ``certificate``: the certificate of the call; none for the holder of the folder.
    """
    if role not in row.roles:
        raise TrustError(
            "NOT_AUTHORISED",
            f"the role {role} may not call {row.method}",
            hint="`intelshare whoami` shows your role; an operator changes it with `intelshare user change`",
        )
    return authorised(user, Role(role), certificate)


async def answer(backend: Backend, row: Rpc, actor: Actor, request: Any) -> Message:
    """Return the answer of a call that does not stream. Raises what the call raises."""
    run = row.run
    if row.adds:
        check_not_drained(backend)
    if row.preview is not None and request.dry_run:
        return await _ask(backend, row.preview, actor, request, slow=False)
    if isinstance(run, StepCall):
        return await _perform(backend, run, actor, request)
    if isinstance(run, QueryCall):
        return await _ask(backend, run.query, actor, request, slow=run.slow)
    if isinstance(run, AsyncCall):
        return await run.run(backend, actor, request)
    raise TypeError(f"{row.method} streams")


def stream(backend: Backend, row: Rpc, actor: Actor, request: Any) -> AsyncIterator[Message]:
    """Return the answers of a call that streams."""
    if not isinstance(row.run, StreamCall):
        raise TypeError(f"{row.method} does not stream")
    if row.adds:
        check_not_drained(backend)
    return row.run.run(backend, actor, request)


async def _perform(backend: Backend, run: StepCall, actor: Actor, request: Any) -> Message:
    command = run.request(actor, request)
    result = await backend.perform(
        run.step, command, then=lambda result: backend.wake(run.wakes(command, result))
    )
    return run.answer(result, backend.node, backend.now())


async def _ask(backend: Backend, query: Query, actor: Actor, request: Any, *, slow: bool) -> Message:
    return await backend.query(
        lambda view: query(CallContext(backend.node, view, actor, backend.now()), request), slow=slow
    )
