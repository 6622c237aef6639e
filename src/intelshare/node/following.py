"""A replica takes in what the others have committed: the node's value, the register, who waits and is served.

The store calls ``Following.take_in`` in the writer's thread, after the rows are there and before the next
step (decision 67). Everybody follows trust, law and users. The one who leads has the links besides, so it is
told of pairs and statements that other replicas made ready or stopped.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from intelshare.broker.kernel.documents import documents, remembered
from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.node import Node, with_acts, with_files, with_trust
from intelshare.broker.kernel.tables import (
    ACT,
    EXCLUSION,
    FILE,
    INBOX,
    LAW,
    PAIR,
    PENDING,
    TRUST,
    USER,
    UserRow,
)
from intelshare.broker.lifecycle.destroy import Gone
from intelshare.broker.lifecycle.exclude import exclusions
from intelshare.broker.line.read_ahead import Ahead, handover_ahead, read_ahead
from intelshare.broker.treaty.act import counting
from intelshare.crypto.pae import sha256
from intelshare.crypto.suites import SUITES
from intelshare.engine.actions import RunStep
from intelshare.engine.events import Committed, QueuedAgain, Ready
from intelshare.engine.steps import Step
from intelshare.errors import StoreError
from intelshare.ids import LeafId, ManifestDigest, MemberCode
from intelshare.node.links import Links
from intelshare.node.policies import law_texts, world_of
from intelshare.node.runtime import Runtime
from intelshare.ports import Durable, View
from intelshare.trust import TrustView

if TYPE_CHECKING:
    from intelshare.store.postgres.together import Followed


@dataclass(frozen=True, slots=True)
class _Told:
    """Told to the loop: the changes that concern it."""

    users: tuple[UserRow, ...]
    node: bool
    """Trust, acts or law have changed."""
    ready: frozenset[MemberCode] = frozenset()
    queued: frozenset[MemberCode] = frozenset()
    effects: Durable[Effects] | None = None


class Following:
    """Of one process."""

    def __init__(self, runtime: Runtime, links: Links) -> None:
        """Raises OSError if the vault cannot be read."""
        self._runtime = runtime
        self._links = links
        self._vault = self._digest()
        self._law = False
        self._reading: set[asyncio.Future[Ahead]] = set()
        runtime.renewed = self._renewed
        links.perform = self._perform

    def take_in(self, groups: Followed) -> None:
        """Called by the writer."""
        runtime = self._runtime
        for md, recipient in groups.keys(PAIR):
            # Whoever changes it after it was stored hands it over, or stops it.
            if isinstance(md, bytes):
                runtime.node.recent.done(ManifestDigest(md), MemberCode(str(recipient)))
        law = groups.touch(LAW)
        changed = law or groups.touch(TRUST, ACT, EXCLUSION)
        if changed:
            self._law |= law
            runtime.outdated = True
        users = tuple(groups.rows(USER))
        runtime.later(
            self._tell, self._of_links(groups, users, changed) if runtime.leads else _Told(users, changed)
        )

    @staticmethod
    def _of_links(groups: Followed, users: tuple[UserRow, ...], changed: bool) -> _Told:
        gone = groups.gone(PENDING)
        put = set(groups.keys(PENDING)).difference(gone)
        return _Told(
            users,
            changed,
            ready=frozenset(row.recipient for row in groups.rows(PAIR) if row.ready),
            queued=frozenset(MemberCode(str(peer)) for _, peer in put),
            effects=groups.durable(
                Effects(
                    ended=tuple(
                        (MemberCode(str(peer)), LeafId(leaf))
                        for leaf, peer in gone
                        if isinstance(leaf, bytes)
                    ),
                    marked=any(row.gone == Gone.MARKED for row in groups.rows(INBOX)),
                    wanted=frozenset(row.member for row in groups.rows(FILE) if row.member),
                )
            ),
        )

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
        """Called by the writer after steps that were not committed: what they noted of the log's tree may be
        appended by another replica, with other content.
        """
        self._runtime.node.trees.clear()

    def _tell(self, told: _Told) -> None:
        """In the loop."""
        runtime = self._runtime
        for row in told.users:
            runtime.register_changed(row)
        if told.node:
            runtime.look_again()
        runtime.written()
        if told.effects is not None:
            self._links.feed(Committed(told.effects))
            for member in sorted(told.queued):
                self._links.feed(QueuedAgain(member))
            if told.ready:
                self._links.feed(Ready(tuple(sorted(told.ready))))

    def _renewed(self, node: Node, view: View) -> Node:
        """Return the node as it is by the rows. Raises StoreError, TrustError, PolicyFileError."""
        runtime, law = self._runtime, self._law
        self.check_vault()
        trust = TrustView.load(node.member, documents(view), SUITES, exclusions(view), remembered(view))
        if law:
            texts = law_texts(runtime.folder)
            node = with_files(node, world_of(texts, runtime.settings))
            runtime.law, self._law = texts, False
        return with_acts(with_trust(node, trust), counting(view))

    def check_vault(self) -> None:
        """Raises StoreError DATA_LOCKED if other keys are in the vault than this process has opened."""
        if self._digest() != self._vault:
            raise StoreError(
                "DATA_LOCKED",
                "the vault has other keys since this replica opened it",
                hint="it stops; its service manager starts it again",
            )

    def _digest(self) -> bytes:
        return sha256(self._runtime.folder.vault.read_bytes())
