"""One row for every method of user.proto: who may call it, and how it is carried out.

Authorisation, dispatch and their tests follow from the rows. A method without one is not served.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.message import Message

from intelshare.broker.kernel.actor import Actor
from intelshare.broker.kernel.node import Node
from intelshare.errors import DeliveryError
from intelshare.ids import MemberCode
from intelshare.instant import EPOCH, LATEST, NEVER, Instant
from intelshare.ports import Plan, View
from intelshare.roles import Role
from intelshare.services.backend import Backend

WRITERS: Final = frozenset((Role.ANALYST, Role.RELEASING_OFFICER))
OFFICERS: Final = frozenset((Role.RELEASING_OFFICER,))
OPERATORS: Final = frozenset((Role.OPERATOR,))
ACTORS: Final = OFFICERS | OPERATORS
"""Who may make treaty acts."""
OVERSEERS: Final = frozenset((Role.OPERATOR, Role.AUDITOR))
"""Who sees how much there is; whoever reads bulletins sees only what it may read (attacks.md row 51)."""
EVERYBODY: Final = frozenset(Role)
PROGRAMS: Final = frozenset((Role.GATEWAY,))
"""What hands bulletins to tools of this member."""


@dataclass(frozen=True, slots=True)
class CallContext:
    """Who asks, and what the answer is made from."""

    node: Node
    view: View
    actor: Actor
    now: Instant


Query = Callable[[CallContext, Any], Message]
"""``query(context, request)``: reads only."""


@dataclass(frozen=True, slots=True)
class StepCall:
    """A method that is one step of the broker: message to command, command to result, result to message."""

    request: Callable[[Actor, Any], Any]
    """``request(actor, message)``: the step's command. Raises what is wrong with the message."""
    step: Callable[..., Plan[Any]]
    answer: Callable[[Any, Node, Instant], Message]
    wakes: Callable[[Any, Any], Iterable[MemberCode]] = lambda _, __: ()
    """``wakes(command, result)``: for whom something is ready now, besides what the result's effects say."""


@dataclass(frozen=True, slots=True)
class QueryCall:
    """A method that is one query."""

    query: Query
    slow: bool = False
    """It may read very much: nothing else waits for it."""


@dataclass(frozen=True, slots=True)
class AsyncCall:
    """A method that is more than one step or query."""

    run: Callable[[Backend, Actor, Any], Awaitable[Message]]


@dataclass(frozen=True, slots=True)
class StreamCall:
    """A method that answers with a stream; where the client streams too, the request is an iterator."""

    run: Callable[[Backend, Actor, Any], AsyncIterator[Message]]


@dataclass(frozen=True, slots=True)
class Rpc:
    """The row of one method."""

    method: str
    """Its name in user.proto."""
    roles: frozenset[Role]
    run: StepCall | QueryCall | AsyncCall | StreamCall
    by_ticket: bool = False
    """Whether the ticket of an enrolment lets its user make the call."""
    adds: bool = False
    """It brings in bulletins or files: refused while the node drains."""
    preview: Query | None = None
    """What is answered instead where the request says ``dry_run``: nothing is changed."""


def asked_time(value: int, *, without: Instant = EPOCH) -> Instant:
    """A time in a request; ``without``: what 0 stands for. Raises DeliveryError INPUT_INVALID after 9999."""
    if value > LATEST and value != NEVER:
        raise DeliveryError("INPUT_INVALID", "a time after the year 9999", hint="leave it out for no end")
    return Instant(value) if value else without
