"""The running node as its services see it: the only place where a service reaches runtime and links."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.node import Node
from intelshare.engine.values import Committed
from intelshare.errors import IntelshareError
from intelshare.ids import MemberCode, UserUri
from intelshare.instant import Instant
from intelshare.node.events import Event
from intelshare.node.links import Links
from intelshare.node.runtime import Runtime
from intelshare.ports import Plan, View

A = TypeVar("A")


class NodeBackend:
    """``services.backend.Backend`` over a runtime and its links."""

    def __init__(self, runtime: Runtime, links: Links) -> None:
        self._runtime = runtime
        self._links = links
        self.random = runtime.random

    @property
    def node(self) -> Node:
        """Keys, trust and world as they are now."""
        return self._runtime.node

    def now(self) -> Instant:
        """Wall time."""
        return self._runtime.now()

    async def perform(self, step: Callable[..., Plan[A]], *event: object) -> A:
        """Carry out a step and what it leads to; its durable answer."""
        done = await self._runtime.step(step, *event)
        effects = getattr(done.value, "effects", None)
        if isinstance(effects, Effects):
            self._links.feed(Committed(done.part(lambda _: effects)))
        return done.value

    async def query(self, question: Callable[[View], A]) -> A:
        """Ask something of the committed rows."""
        return self._runtime.store.ask_now(question)

    def wake(self, recipients: Iterable[MemberCode]) -> None:
        """Something is ready to be handed over to these members."""
        self._links.wake(*recipients)

    def refused(self, method: str, user: UserUri, error: IntelshareError) -> None:
        """Log and notice the refusal of a part of a call."""
        self._runtime.log.info(Event.CALL_REFUSED, code=error.code, method=method, user=user, peer=None)
        self._runtime.noticed(error)
