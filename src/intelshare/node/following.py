"""The threads, the loop and the folder behind ``engine.following``: a replica takes in what others commit.

The store calls ``Following.take_in`` in the writer's thread, after the rows are there and before the next
step (decision 67).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from intelshare.broker.kernel.node import Node
from intelshare.broker.line.read_ahead import Ahead, handover_ahead, read_ahead
from intelshare.engine.actions import RunStep
from intelshare.engine.following import Learnt, learn, renewed, undone
from intelshare.engine.steps import Step
from intelshare.errors import StoreError
from intelshare.node.links import Links
from intelshare.node.mending import known_documents
from intelshare.node.policies import law_texts, world_of
from intelshare.node.runtime import Runtime
from intelshare.ports import Durable, View

if TYPE_CHECKING:
    from intelshare.store.postgres.together import Followed


class Following:
    """Of one process."""

    def __init__(self, runtime: Runtime, links: Links) -> None:
        self._runtime = runtime
        self._links = links
        self._law = False
        self._reading: set[asyncio.Future[Ahead]] = set()
        runtime.renewed = self._renewed
        links.perform = self._perform

    def take_in(self, groups: Followed) -> bool:
        """Called by the writer; returns true if trust, acts or law have changed."""
        runtime = self._runtime
        learnt = learn(runtime.node, groups, leads=runtime.leads)
        self._law |= learnt.law
        runtime.outdated |= learnt.outdated
        runtime.later(self._tell, learnt)
        return learnt.outdated

    async def _perform(self, run: RunStep) -> Durable[Any]:
        """Carry out a step of the engine. What a hand-over needs of others is read before it has the turn."""
        runtime, store = self._runtime, self._runtime.store
        if run.step is not Step.HANDOVER:
            return await runtime.perform(run)
        rooms, most = run.event
        node, now = runtime.node, runtime.now()
        reading = asyncio.ensure_future(store.query(lambda view: read_ahead(node, view, rooms, most, now)))
        self._reading.add(reading)
        try:
            ahead = await reading
        finally:
            self._reading.discard(reading)
        return await runtime.step(handover_ahead, rooms, most, ahead, traced=run.step.value)

    async def settle(self) -> None:
        """Wait until every step that was asked for is in the store's queue."""
        await asyncio.gather(*self._reading, return_exceptions=True)

    def undone(self) -> None:
        """Called by the writer after steps that were not committed."""
        undone(self._runtime.node)

    def _tell(self, learnt: Learnt) -> None:
        """In the loop."""
        runtime = self._runtime
        for row in learnt.users:
            runtime.register_changed(row)
        if learnt.outdated:
            runtime.look_again()
        runtime.written()
        for event in learnt.events:
            self._links.feed(event)

    def _renewed(self, node: Node, view: View) -> Node:
        """Return the node as it is by the rows. Raises StoreError, TrustError, PolicyFileError."""
        runtime, law = self._runtime, self._law
        self.check_vault()
        documents = known_documents(runtime.folder, node.member, view, runtime.store.damage)
        texts = law_texts(runtime.folder) if law else None
        node = renewed(
            node, view, documents, world_of(texts, runtime.settings) if texts is not None else None
        )
        if texts is not None:
            runtime.law, self._law = texts, False
        return node

    def check_vault(self) -> None:
        """Raises StoreError DATA_LOCKED if the vault is not as this process has read or written it."""
        if not self._runtime.vault.is_current():
            raise StoreError(
                "DATA_LOCKED",
                "the vault has other keys since this replica opened it",
                hint="it stops; its service manager starts it again",
            )
