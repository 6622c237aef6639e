"""The threads, the loop and the folder behind ``engine.following``: a replica takes in what others commit.

The store calls ``Following.take_in`` in the writer's thread, after the rows are there and before the next
step (decision 67).
"""

from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

from intelshare.audit.path import LogAsk
from intelshare.broker.kernel.frame import Gap
from intelshare.broker.kernel.node import Node
from intelshare.broker.lifecycle.rebuild import is_damaged
from intelshare.broker.line.read_ahead import Ahead, handover_ahead, read_ahead
from intelshare.engine.actions import Claim, PassOn, RunStep
from intelshare.engine.events import Divided, Joined, PassedOn
from intelshare.engine.following import Learnt, learn, renewed, undone
from intelshare.engine.steps import Step
from intelshare.engine.values import Shares
from intelshare.errors import EnvelopeError, RecordError, StoreError
from intelshare.ids import MemberCode
from intelshare.instant import Instant
from intelshare.node.links import Links
from intelshare.node.mending import known_documents
from intelshare.node.policies import law_texts, world_of
from intelshare.node.replicas import shared
from intelshare.node.runtime import Runtime
from intelshare.ports import JOURNAL, Durable, View
from intelshare.wire import link_message, read_message

if TYPE_CHECKING:
    from intelshare.store.postgres.lease import Division
    from intelshare.store.postgres.together import Followed

_DAMAGED: Final = "damaged "
"""Before the name of a record that another replica has met damaged; no member has that name."""

_Met = tuple[str, tuple[int | str | bytes, ...], str]

_MOST: Final = 7_900
"""The bytes of what one process tells the others at once: PostgreSQL takes less than 8,000."""


def said_of(action: PassOn, now: Instant) -> str | None:
    """Return what is said to the other replicas: the member, and a message of its link in base64, if any.

    None: there is too much of it; it is asked for again at a hello.
    """
    message = b"" if action.message is None else link_message(action.message, now)
    said = f"{action.member} {b64encode(message).decode()}"
    return said if len(said) <= _MOST else None


def heard_of(said: str) -> PassedOn | None:
    """Return what another replica has said; None: it is of another version."""
    member, _, text = said.partition(" ")
    try:
        message = read_message(b64decode(text, validate=True)) if text else None
    except (ValueError, EnvelopeError):
        return None
    return PassedOn(MemberCode(member), message) if isinstance(message, Gap | LogAsk | None) else None


class Following:
    """Of one process."""

    def __init__(self, runtime: Runtime, links: Links) -> None:
        self._runtime = runtime
        self._links = links
        self._law = False
        self._meeting: asyncio.Future[None] | None = None
        self._reading: set[asyncio.Future[Ahead]] = set()
        runtime.renewed = self._renewed
        links.perform, links.claim, links.pass_on = self._perform, self._claim, self._pass_on

    def begin(self) -> None:
        """Follow the others from now on, and divide the links with them."""
        store = shared(self._runtime.store)
        store.together.followed, store.together.undone = self.take_in, self.undone
        store.together.divided = lambda *seen: self._runtime.later(self._divided, *seen)
        store.heard = lambda said: self._runtime.later(self._heard, said)
        self._links.feed(Joined())

    def take_in(self, groups: Followed) -> bool:
        """Called by the writer; returns true if trust, acts or law have changed."""
        runtime = self._runtime
        learnt = learn(runtime.node, groups)
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

    def _claim(self, action: Claim) -> None:
        from intelshare.store.postgres.together import Claim as StoredClaim

        claim = StoredClaim(
            frozenset(action.members), frozenset(action.hold), frozenset(action.call), action.part
        )
        shared(self._runtime.store).claim(claim)

    def _divided(self, division: Division, held: frozenset[str]) -> None:
        shares = Shares(
            division.session,
            division.leads,
            division.sessions,
            {MemberCode(member): session for member, session in division.holders.items()},
            frozenset(map(MemberCode, division.called)),
        )
        self._links.feed(Divided(shares, frozenset(map(MemberCode, held))))

    def _pass_on(self, action: PassOn) -> None:
        if (said := said_of(action, self._runtime.now())) is not None:
            shared(self._runtime.store).tell(said)

    def tell_damage(self) -> None:
        """Tell the one that leads which records were met damaged, in any thread: that one has them mended."""
        store = self._runtime.store
        for error in store.damage.known():
            if error.table == JOURNAL:
                continue
            if store.ask_now(partial(is_damaged, error=error)):
                told = msgspec.msgpack.encode((error.table, error.key, error.message))
                shared(store).tell(_DAMAGED + b64encode(told).decode())
            else:
                store.damage.forget(error.table, error.key)

    def _meets(self, said: str) -> None:
        """Note what another replica has met damaged, in any thread."""
        try:
            error = RecordError(*msgspec.msgpack.decode(b64decode(said), type=_Met))
        except (ValueError, msgspec.MsgspecError):
            return
        store = self._runtime.store
        with suppress(StoreError):
            if store.ask_now(partial(is_damaged, error=error)):
                store.damage.note(error)

    def _heard(self, said: str) -> None:
        if said.startswith(_DAMAGED):
            if self._runtime.leads:
                said = said.removeprefix(_DAMAGED)
                self._meeting = asyncio.get_running_loop().run_in_executor(None, self._meets, said)
        elif (event := heard_of(said)) is not None:
            self._links.feed(event)

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
