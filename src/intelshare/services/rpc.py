"""Defines the row of each method of user.proto: who may call it, and how it is carried out.

Authorisation, dispatch and their tests follow from the rows. A method without a row is not served.
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
"""The roles that may make treaty acts."""
OVERSEERS: Final = frozenset((Role.OPERATOR, Role.AUDITOR))
"""The roles that may see amounts; a reader of bulletins sees only what it may read (attacks.md row 51)."""
EVERYBODY: Final = frozenset(Role)
PROGRAMS: Final = frozenset((Role.GATEWAY,))
"""The roles of programs that hand bulletins to this member's tools."""


DRAINING: Final = "DRAINING"
"""The code for refusing new bulletins while the node drains."""


@dataclass(frozen=True, slots=True)
class CallContext:
    """The caller of a method, and the data from which its answer is made."""

    node: Node
    view: View
    actor: Actor
    now: Instant


Query = Callable[[CallContext, Any], Message]
"""A function ``query(context, request)`` that only reads."""


@dataclass(frozen=True, slots=True)
class StepCall:
    """A method that is one step of the broker: message to command, command to result, result to message."""

    request: Callable[[Actor, Any], Any]
    """``request(actor, message)`` returns the step's command. It raises if something is wrong with the
    message.
    """
    step: Callable[..., Plan[Any]]
    answer: Callable[[Any, Node, Instant], Message]
    wakes: Callable[[Any, Any], Iterable[MemberCode]] = lambda _, __: ()
    """``wakes(command, result)`` returns the members for which something is ready now, besides those in the
    result's effects.
    """


@dataclass(frozen=True, slots=True)
class QueryCall:
    """A method that is one query."""

    query: Query
    slow: bool = False
    """True if it may read a great deal: nothing else waits for it."""


@dataclass(frozen=True, slots=True)
class AsyncCall:
    """A method that is more than one step or query."""

    run: Callable[[Backend, Actor, Any], Awaitable[Message]]


@dataclass(frozen=True, slots=True)
class StreamCall:
    """A method that answers with a stream; if the client streams too, the request is an iterator."""

    run: Callable[[Backend, Actor, Any], AsyncIterator[Message]]


@dataclass(frozen=True, slots=True)
class Rpc:
    """The row of one method."""

    method: str
    """The method's name in user.proto."""
    roles: frozenset[Role]
    run: StepCall | QueryCall | AsyncCall | StreamCall
    by_ticket: bool = False
    """True if an enrolment ticket is enough for its user to make the call."""
    adds: bool = False
    """True if it brings in bulletins or files: it is refused while the node drains."""
    makes_keys: bool = False
    """True if it makes signing keys: it works on the folder of a stopped node whose keys have all ended, and
    before the first start of a restored one.
    """
    preview: Query | None = None
    """The query that answers instead if the request says ``dry_run``: nothing is changed."""


def asked_time(value: int, *, without: Instant = EPOCH) -> Instant:
    """Return a time in a request, or ``without`` for 0. Raises DeliveryError INPUT_INVALID after the year
    9999.
    """
    if value > LATEST and value != NEVER:
        raise DeliveryError("INPUT_INVALID", "the time is after the year 9999", hint="omit it for no end")
    return Instant(value) if value else without


def need_clock(backend: Backend, what: str) -> None:
    """Check before something is made that bears the time. Raises DeliveryError CLOCK if that is not
    believed.
    """
    if backend.clock_is_wrong():
        raise DeliveryError("CLOCK", f"the clock is not believed: {what} would bear a wrong time")


def check_not_drained(backend: Backend) -> None:
    """Return if new bulletins are accepted: a stream asks again as it goes on. Raises DeliveryError
    DRAINING.
    """
    if backend.draining:
        raise DeliveryError(
            DRAINING,
            "the node is being drained: it accepts no new bulletins; what it has not answered is not stored",
            hint="send it again later, under the same key; an operator can run `intelshare node drain "
            "--undo`",
        )
