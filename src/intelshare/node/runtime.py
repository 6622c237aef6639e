"""The state that all parts of a running node share: the value of the node, its store, its clock, its health.

Only this module carries out the broker's steps: in the store's writer, on the node as it is at that moment,
with the changed node swapped in right after the commit.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

from intelshare.audit.node_records import KeyChanged
from intelshare.broker.kernel.actor import known_user, subject_of
from intelshare.broker.kernel.effects import Effects, HasEffects
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.register import users
from intelshare.broker.kernel.shortage import Shortage
from intelshare.broker.kernel.tables import UserRow
from intelshare.broker.kernel.transaction import without_mark
from intelshare.broker.lifecycle.attachments import kept
from intelshare.engine import STEPS
from intelshare.engine.actions import RunStep
from intelshare.errors import PASSING, IntelshareError, PolicyFileError, RecordError, StoreError
from intelshare.ids import Incarnation, MemberCode, UserUri
from intelshare.instant import Instant
from intelshare.node.certificates import Certificates
from intelshare.node.clock import Clock
from intelshare.node.events import Event, Logger
from intelshare.node.folder import Folder
from intelshare.node.health import Health
from intelshare.node.mending import Mending
from intelshare.node.pieces import PieceFiles
from intelshare.node.settings import Settings
from intelshare.node.traces import Traces
from intelshare.ports import Durable, Plan, Random, Store, View
from intelshare.trust import Exclusion
from intelshare.vault import FileVault

A = TypeVar("A")

_TRY_AGAIN: Final = 0.5
"""Seconds until the database is tried again that could not be reached."""

_TRY_TOKEN: Final = 2.0
"""Seconds until a token is tried again that did not sign."""

MAX_TOLD: Final = 4096
"""Damaged records that are logged."""


class Runtime:
    """One running node, without its ports and links."""

    def __init__(
        self,
        folder: Folder,
        settings: Settings,
        store: Store,
        vault: FileVault,
        node: Node,
        clock: Clock,
        log: Logger,
        certificates: Certificates,
        *,
        leads: bool = True,
    ) -> None:
        self.folder = folder
        self.settings = settings
        self.store = store
        self.vault = vault
        self.node = node
        self.clock = clock
        self.log = log
        self.certificates = certificates
        """The node's certificates, and the authorities that it trusts."""
        self.random: Random = os.urandom
        self.mending = Mending(self)
        self.traces = Traces()
        """The spans that are sent to a collector, if any are."""
        self.started = clock.now()
        self.health = Health(log)
        self.failed: asyncio.Future[IntelshareError] = asyncio.get_running_loop().create_future()
        """Done when the process must stop answering and exit with a code other than 0."""
        self.law: Mapping[Path, bytes] = {}
        """The policy files as the start read them, until the log names them."""
        self.forgot: Instant | None = None
        """After a restore, or by an operator's decision: the time up to which the disk remembers; None once
        a directory is signed that skips the versions which may be forgotten.
        """
        self.renewing = asyncio.Lock()
        """Held by a renewal of the directory (``renewal``)."""
        self.changed_keys: list[KeyChanged] = []
        """The changes of keys in vault and directory that are not logged yet, nor taken by the node."""
        self.shut_out: tuple[MemberCode, ...] = ()
        """The members of which the TLS library cannot load an authority."""
        self.refusals: Counter[tuple[str, str]] = Counter()
        """Refused calls by caller (user, peer, unknown) and code."""
        self.may_log: Callable[[MemberCode], bool] = lambda _: True
        """Returns true if one more line about this member may be written."""
        self.on_trust: list[Callable[[], None]] = []
        """Called in the loop after the trust documents held have changed."""
        self.on_register: list[Callable[[UserUri], None]] = []
        """Called in the loop after a user's row has changed."""
        self.pieces = PieceFiles(
            folder.files,
            store.ask_now(kept) if leads else None,
            largest=settings.largest_file,
            total=settings.all_files,
            share=settings.peer_files,
            keep_free=settings.space.low,
        )
        """The attachments; closed by ``close``."""
        self.replica = ""
        """Its name among the replicas that share the folder; empty: it is none."""
        self.leads = leads
        """It has the links and the chores: of replicas that run together, one."""
        self.outdated = False
        """Another replica has changed trust, law or keys: the node is made again before the next step."""
        self.renewed: Callable[[Node, View], Node] = lambda node, _: node
        """Makes it again (``following``)."""
        self.on_step: list[Callable[[], None]] = []
        """Called in the loop before each step that is asked for."""
        self.on_full: list[Callable[[], None]] = []
        """Called in the loop when a write has found no room on the disk."""
        self.show_health: Callable[[], Awaitable[None]] = _nobody
        """Shows the health outside this process (``housekeeping``): before an operator's command is answered
        that may have changed it.
        """
        self._shortage: Shortage | None = None
        self._listening: set[asyncio.Event] = set()
        self._register = {row.user: row for row in store.ask_now(users)}
        self._subjects = {subject_of(row): row.user for row in self._register.values()}
        self._show_access()
        self._trying: asyncio.TimerHandle | None = None
        self._tried: asyncio.Task[None] | None = None
        self._trying_token: asyncio.Task[None] | None = None
        self._lacking: dict[str, set[str]] = {}
        self._loop = asyncio.get_running_loop()
        self._told: set[str] = set()
        store.damage.follow(self._met)
        vault.follow_token(lambda code: self.later(self._token_says, code))

    @property
    def incarnation(self) -> Incarnation:
        """Return the incarnation of this start."""
        return self.node.incarnation

    def close(self) -> None:
        """Close the store and the files. Idempotent."""
        if self._trying is not None:
            self._trying.cancel()
        if self._trying_token is not None:
            self._trying_token.cancel()
        self.store.close()
        self.pieces.close()
        self.traces.close()

    async def step(self, step: Callable[..., Plan[A]], *event: object, traced: str = "") -> Durable[A]:
        """Carry out ``step(node, view, *event, now, random)``. Raises what the step raises, and StoreError.

        ``traced``: the name of its span; empty: that of the function.
        A node in the answer's effects is swapped in before any later step.
        """

        def run(view: View) -> Plan[A]:
            if self.outdated:
                self._renew(view)
            if self.node.lacks is not self._shortage:
                # Only the writer's thread replaces the node.
                self.node = replace(self.node, lacks=self._shortage)
            reading = self.clock.read()
            if self.node.confirmed is not reading.confirmed:
                self.node = replace(self.node, confirmed=reading.confirmed)
            plan = step(self.node, view, *event, reading.now, self.random)
            if not reading.believed:
                plan = without_mark(plan, view, reading.expected)
            for record in plan.damaged:
                self._loop.call_soon_threadsafe(self._damaged, record)
            return plan

        for call in self.on_step:
            call()
        with self.traces.step(traced or getattr(step, "__name__", "step")):
            return await self._perform(run, self._follow)

    def perform(self, run: RunStep) -> Coroutine[Any, Any, Durable[Any]]:
        """Carry out a step of the engine. Raises as ``step``."""
        return self.step(STEPS[run.step], *run.event)

    def _renew(self, view: View) -> None:
        """In the writer's thread. What cannot be followed ends this replica, which starts again; without the
        law that is in force no step runs, until its files are there (P17).
        """
        before, self.outdated = self.node.trust, False
        try:
            self.node = self.renewed(self.node, view)
        except PolicyFileError:
            self.outdated = True
            raise
        except IntelshareError as error:
            self.outdated = True
            failure = StoreError("DATA_LOCKED", f"this replica cannot follow the others: {error}")
            self.later(self.noticed, failure)
            raise failure from None
        if self.node.trust is not before:
            self.later(self._trust_changed)

    def look_again(self) -> None:
        """Make the node again soon, if it is outdated, though no step waits."""
        if self.outdated and not self.failed.done():
            self._tried = self._loop.create_task(self._nothing())

    async def catch_up(self) -> None:
        """Make the node again now, if others have changed trust or law. Raises StoreError."""
        if self.outdated:
            await self.step(lambda *_: Plan((), None))

    async def _nothing(self) -> None:
        with contextlib.suppress(IntelshareError, RuntimeError):
            await self.step(lambda *_: Plan((), None))

    def later(self, call: Callable[..., object], *values: object) -> None:
        """Call this in the loop, from any thread."""
        with suppress(RuntimeError):  # the loop has ended: nobody is told any more
            self._loop.call_soon_threadsafe(call, *values)

    def written(self) -> None:
        """Tell those who listen that something was committed."""
        for written in self._listening:
            written.set()

    def user_row(self, user: UserUri) -> UserRow:
        """Return a user's current row in the register. Raises DeliveryError NOT_AUTHORISED.

        Every call asks, in the event loop: the register is in memory.
        """
        return known_user(self._register.get(user))

    def user_named(self, names: Iterable[str]) -> UserRow:
        """Return the row of the one user whom certificates of another authority name in this way.

        Raises DeliveryError NOT_AUTHORISED if there is none, or more than one.
        """
        found = {user for name in names if (user := self._subjects.get(name)) is not None}
        return self.user_row(found.pop()) if len(found) == 1 else known_user(None)

    def register_changed(self, row: UserRow) -> None:
        """Take note of a changed row, in the loop, after the commit and before the change is answered."""
        before = self._register.get(row.user)
        if before is not None:
            self._subjects.pop(subject_of(before), None)
        self._register[row.user] = row
        self._subjects[subject_of(row)] = row.user
        self._show_access()
        for call in self.on_register:
            call(row.user)

    def _show_access(self) -> None:
        """Show in health whether anybody waits to be confirmed after a loss."""
        waits = Exclusion.UNCONFIRMED in self.node.trust.excluded.values()
        waits |= any(row.waits and not row.revoked for row in self._register.values())
        (self.health.set if waits else self.health.clear)("ACCESS_WAITS")

    @contextmanager
    def listening(self) -> Iterator[asyncio.Event]:
        """Yield an event that is set after every commit of a step; a waiter clears it first."""
        written = asyncio.Event()
        self._listening.add(written)
        try:
            yield written
        finally:
            self._listening.remove(written)

    def _met(self, error: RecordError) -> None:
        """In any thread."""
        self.later(self._damaged, error.message)

    def _damaged(self, record: str) -> None:
        if record in self._told or len(self._told) >= MAX_TOLD:
            return
        self._told.add(record)
        self.log.error(Event.RECORD_DAMAGED, code="RECORD_CORRUPT", record=record)

    def _follow(self, answer: object) -> None:
        """Swap in the answer's node. Called by the writer, between a commit and the next step."""
        effects = getattr(answer, "effects", None)
        if not isinstance(effects, Effects) or effects.node is None:
            return
        changed = effects.node.trust is not self.node.trust
        self.node = effects.node
        if changed:
            self._loop.call_soon_threadsafe(self._trust_changed)

    def now(self) -> Instant:
        """Return the wall-clock time."""
        return self.clock.now()

    def noticed(self, error: BaseException) -> None:
        """Handle the consequences of an error for the whole node (promise P17)."""
        if not isinstance(error, StoreError):
            return
        if error.code in PASSING:
            self.lacks("database", error.code)
            self.found_full(error)
            if error.code == "STORE_UNAVAILABLE" and self._trying is None:
                self._trying = self._loop.call_later(_TRY_AGAIN, self._try_store)
        elif error.code in ("DISK_ERROR", "DATA_LOCKED", "STORE_FORGOT") and not self.failed.done():
            self.health.set(error.code)
            self.failed.set_result(error)

    def store_told(self, error: StoreError) -> None:
        """Handle what the store says of itself. What does not pass ends the node: all steps would fail."""
        self.noticed(error)
        if error.code not in PASSING and not self.failed.done():
            self.failed.set_result(error)

    def _try_store(self) -> None:
        """Try the database: a node that has nothing to do would not notice that it is back."""

        async def tried() -> None:
            with contextlib.suppress(IntelshareError, RuntimeError):
                await self._perform(lambda _: Plan((), None), lambda _: None)

        self._trying = None
        self._tried = self._loop.create_task(tried())

    def _token_says(self, code: str) -> None:
        """Show in health whether the token signs, and try it until it does: a node that has nothing to sign
        would not notice that it is back.
        """
        self.lacks("token", code)
        if code and (self._trying_token is None or self._trying_token.done()):
            self._trying_token = self._loop.create_task(self._try_token())

    async def _try_token(self) -> None:
        while "TOKEN_FAILED" in self.health.codes:
            await asyncio.sleep(_TRY_TOKEN)
            with contextlib.suppress(IntelshareError):
                await asyncio.to_thread(self.vault.try_token)

    def found_full(self, error: IntelshareError) -> None:
        """Note that a write has found no room: the engine gives up the reserve."""
        for call in self.on_full if error.code == "DISK_FULL" else ():
            call()

    def set_room(self, free: int, need: int) -> None:
        """While room is needed (bytes), accept only what is urgent, from the next step on."""
        self._shortage = Shortage(str(self.folder.root), free, need) if need else None
        self.lacks("space", "DISK_FULL" if need else "")

    def lacks(self, what: str, code: str = "") -> None:
        """Record what the machine lacks for a part of the node (a code of PASSING); no code: it lacks nothing
        any more.
        """
        if not code and not any(self._lacking.values()):
            return
        for known in PASSING:
            parts = self._lacking.setdefault(known, set())
            (parts.add if known == code else parts.discard)(what)
            (self.health.set if parts else self.health.clear)(known)

    async def _perform(self, step: Callable[[View], Plan[A]], then: Callable[[A], None]) -> Durable[A]:
        if self.failed.done():
            raise self.failed.result()
        try:
            durable = await self.store.perform(step, then)
        except StoreError as error:
            self.noticed(error)
            raise
        self.lacks("database")
        self.written()
        return durable

    def _trust_changed(self) -> None:
        self.log.info(Event.TRUST_CHANGED)
        self._show_access()
        for call in self.on_trust:
            call()


async def _nobody() -> None:
    """Until the node has started, nobody looks."""


def effects_of(led: HasEffects) -> Effects:
    """Return the effects, for ``Durable.part``."""
    return led.effects
