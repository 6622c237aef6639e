"""The threads, the loop and the folder behind ``engine.following``: a replica takes in what others commit.

The store calls ``Following.take_in`` in the writer's thread, after the rows are there and before the next
step (decision 67).
"""

from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

from intelshare.audit.path import LogAsk
from intelshare.broker.kernel.frame import Gap
from intelshare.broker.kernel.node import Node
from intelshare.broker.lifecycle.rebuild import still_damaged
from intelshare.broker.line.read_ahead import handover_ahead, read_ahead
from intelshare.broker.line.receive import Arrival
from intelshare.crypto.records import Kind
from intelshare.engine.actions import Claim, PassOn, RunStep
from intelshare.engine.events import Divided, Joined, PassedOn
from intelshare.engine.following import Learnt, learn_groups, renewed, undone, with_keys
from intelshare.engine.steps import Step
from intelshare.engine.values import Shares
from intelshare.errors import EnvelopeError, PolicyFileError, RecordError, StoreError
from intelshare.ids import MemberCode
from intelshare.instant import Instant
from intelshare.node.links import Links
from intelshare.node.mending import known_documents, record_of
from intelshare.node.policies import UNAVAILABLE, check_in_force, law_files, law_texts, world_of
from intelshare.node.replicas import shared
from intelshare.node.runtime import Runtime
from intelshare.ports import JOURNAL, Durable, View
from intelshare.wire import link_message, read_message

if TYPE_CHECKING:
    from intelshare.store.postgres.lease import Division
    from intelshare.store.postgres.together import Followed

_DAMAGED: Final = "damaged "
"""Before the name of a record that another replica has met damaged; no member has that name."""

_TIME: Final = "@"
"""Before the time of a member; it is not in base64, so older versions do not read it as a message."""

PATIENCE: Final = 0.05
"""Seconds for which a step waits at most for another one to share its commit."""

_Met = tuple[str, tuple[Any, ...], str, str]  # msgspec takes no union of texts and bytes

_MOST: Final = 7_900
"""The bytes of what one process tells the others at once: PostgreSQL takes less than 8,000."""


def said_of(action: PassOn, now: Instant) -> str | None:
    """Return what is said to the other replicas: the member, and a message of its link in base64, or its time
    behind an @, if any.

    None: there is too much of it; it is asked for again at a hello.
    """
    if isinstance(action.message, int):
        return f"{action.member} {_TIME}{action.message}"
    message = b"" if action.message is None else link_message(action.message, now)
    said = f"{action.member} {b64encode(message).decode()}"
    return said if len(said) <= _MOST else None


def heard_of(said: str) -> PassedOn | None:
    """Return what another replica has said; None: it is of another version."""
    member, _, text = said.partition(" ")
    try:
        if text.startswith(_TIME):
            return PassedOn(MemberCode(member), Instant(int(text.removeprefix(_TIME))))
        message = read_message(b64decode(text, validate=True)) if text else None
    except (ValueError, EnvelopeError):
        return None
    return PassedOn(MemberCode(member), message) if isinstance(message, Gap | LogAsk | None) else None


def _answers(arrival: Arrival) -> bool:
    return all(carried.kind == Kind.RECEIPT for carried in arrival.frame.statements)


class Following:
    """Of one process."""

    def __init__(self, runtime: Runtime, links: Links) -> None:
        self._runtime = runtime
        self._links = links
        self._law = False
        """The policy files are to be read before the next step, and to be those in force."""
        self._meeting: asyncio.Future[None] | None = None
        self._reading: set[asyncio.Future[Any]] = set()
        self._alone: dict[asyncio.Future[None], RunStep] = {}
        """The steps that wait for another one, in order."""
        runtime.on_step.append(self._together)
        runtime.renewed = self._renewed
        links.perform, links.claim, links.pass_on = self._perform, self._claim, self._pass_on

    def begin(self) -> None:
        """Follow the others from now on, and divide the links with them."""
        self._law = not self._runtime.leads
        store = shared(self._runtime.store)
        store.together.followed, store.together.undone = self.take_in, self.undone
        store.together.divided = lambda *seen: self._runtime.later(self._divided, *seen)
        store.heard = lambda said: self._runtime.later(self._heard, said)
        self._links.feed(Joined())

    def take_in(self, groups: Followed) -> bool:
        """Called by the writer; returns true if trust, acts or law have changed."""
        runtime = self._runtime
        learnt = learn_groups(runtime.node, groups)
        self._law |= learnt.law
        runtime.outdated |= learnt.outdated
        runtime.later(self._tell, learnt)
        return learnt.outdated

    async def _perform(self, run: RunStep) -> Durable[Any]:
        """Carry out a step of the engine. What a hand-over needs of others is read before it has the turn.

        All follow each commit, so an acknowledgement, for which nobody waits, shares the commit of another
        step, and receipts that of a hand-over that is about to come.
        """
        if run.step is Step.HANDOVER:
            return await self._hand_over(*run.event)
        if run.step is Step.ACKNOWLEDGE or (run.step is Step.RECEIVE and self._may_wait(run)):
            await self._company(run)
        return await self._runtime.perform(run)

    async def _hand_over(self, rooms: Mapping[MemberCode, int], most: int) -> Durable[Any]:
        runtime, store = self._runtime, self._runtime.store
        node, now = runtime.node, runtime.now()
        reading = asyncio.ensure_future(store.query(lambda view: read_ahead(node, view, rooms, most, now)))
        self._reading.add(reading)
        try:
            ahead = await reading
        finally:
            self._reading.discard(reading)
        return await runtime.step(handover_ahead, rooms, most, ahead, traced=Step.HANDOVER.value)

    def _may_wait(self, run: RunStep) -> bool:
        """Return true for receipts before a hand-over, and for what follows them on their link."""
        if any(before.step is run.step and before.link == run.link for before in self._alone.values()):
            return True
        return bool(self._reading) and _answers(*run.event)

    async def _company(self, run: RunStep) -> None:
        loop = asyncio.get_running_loop()
        another: asyncio.Future[None] = loop.create_future()
        self._alone[another] = run
        patience = loop.call_later(PATIENCE, self._together)
        try:
            await another
        finally:
            patience.cancel()
            del self._alone[another]

    def _together(self) -> None:
        """Let go on what waits for another step, in its order."""
        for one in self._alone:
            if not one.done():
                one.set_result(None)

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
            if store.ask_now(partial(still_damaged, error=error)):
                told = msgspec.msgpack.encode((error.table, error.key, error.message, record_of(error).page))
                shared(store).tell(_DAMAGED + b64encode(told).decode())
            else:
                store.damage.forget(error.table, error.key)

    def _meets(self, said: str) -> None:
        """Note what another replica has met damaged, in any thread."""
        try:
            table, key, message, page = msgspec.msgpack.decode(b64decode(said), type=_Met)
        except (ValueError, msgspec.MsgspecError):
            return
        if not all(isinstance(one, int | str | bytes) for one in key):
            return
        error = RecordError(table, key, message, page=bool(page))
        error.hint = page or error.hint
        store = self._runtime.store
        with suppress(StoreError):
            if store.ask_now(partial(still_damaged, error=error)):
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
        self._together()
        await asyncio.gather(*self._reading, *self._alone, return_exceptions=True)

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
        """Return the node as it is by the rows, the vault, and the policy files that the rows name.

        Raises StoreError, TrustError, VaultError; PolicyFileError if the folder has other files, or they do
        not load.
        """
        runtime, law = self._runtime, self._law
        runtime.vault.follow()
        documents = known_documents(runtime.folder, node.member, view, runtime.store.damage)
        if not law:
            return with_keys(renewed(node, view, documents, None), runtime.vault, runtime.now())
        try:
            texts = law_texts(runtime.folder)
            world = world_of(texts, runtime.settings)
            check_in_force(law_files(texts, world, runtime.settings), view)
        except PolicyFileError:
            runtime.later(runtime.health.set, UNAVAILABLE)
            raise
        node = renewed(node, view, documents, world)
        runtime.law, self._law = texts, False
        runtime.later(runtime.health.clear, UNAVAILABLE)
        return with_keys(node, runtime.vault, runtime.now())
