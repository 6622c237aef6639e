"""What the services need of the running node, and nothing else of it; ``node.backend`` gives it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

from intelshare.broker.kernel.node import Node
from intelshare.errors import IntelshareError
from intelshare.ids import MemberCode, UserUri
from intelshare.instant import Instant
from intelshare.ports import Plan, Random, View

A = TypeVar("A")


class Backend(Protocol):
    """One running node, as its services see it."""

    random: Random

    @property
    def node(self) -> Node:
        """Keys, trust and world as they are now."""

    def now(self) -> Instant:
        """Wall time."""

    async def perform(self, step: Callable[..., Plan[A]], *event: object) -> A:
        """Carry out ``step(node, view, *event, now, random)`` and what it leads to; its durable answer.

        Raises what the step raises, and StoreError.
        """

    async def query(self, question: Callable[[View], A]) -> A:
        """Ask something of the committed rows. Raises what the question raises, and StoreError."""

    def wake(self, recipients: Iterable[MemberCode]) -> None:
        """Something is ready to be handed over to these members."""

    def refused(self, method: str, user: UserUri, error: IntelshareError) -> None:
        """A part of a call was refused: logged, and noticed, as the refusal of a whole call is."""
