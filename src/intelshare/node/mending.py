"""Records that were met damaged: told, mended where that needs nobody, and kept in mind for operators."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final

from intelshare.broker.kernel.tables import ACT, TRUST
from intelshare.broker.lifecycle.mend import (
    MAX_MENDED,
    MendCommand,
    Mended,
    MendResult,
    Outcome,
    Record,
    brought_by,
    mend,
)
from intelshare.broker.lifecycle.rebuild import DRIVING, damaged_in, rebuild
from intelshare.crypto.codec import encode
from intelshare.crypto.records import Trust, TrustType
from intelshare.engine.events import Committed
from intelshare.errors import RecordError
from intelshare.ids import MemberCode
from intelshare.node.events import Event
from intelshare.node.folder import Folder
from intelshare.ports import JOURNAL, Plan, Store, View
from intelshare.trust import read_member_file

if TYPE_CHECKING:
    from intelshare.node.links import Links
    from intelshare.node.runtime import Runtime

AGAIN: Final = 60.0
"""Seconds after which what could not be mended, or was asked for and has not come, is looked at again."""

CODE: Final = "RECORD_CORRUPT"


def record_of(error: RecordError) -> Record:
    """The record that an error names."""
    return Record(error.table, error.key)


class Mending:
    """Of one running node."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._later: dict[Record, float] = {}
        self.outcomes: Counter[tuple[str, str]] = Counter()
        """Damaged records and groups of the journal, by what became of them (``services.metrics.MENDED``)."""

    @property
    def withholds(self) -> bool:
        """True if releases must wait: a treaty act is damaged, and without it the law is not known."""
        return any(one.table == ACT.name for one in self._runtime.store.damage.known())

    async def look(self, links: Links) -> None:
        """Mend what is due. Raises StoreError."""
        now = time.monotonic()
        self._settle_groups()
        known = [record_of(error) for error in self._runtime.store.damage.known()]
        self._later = {record: at for record, at in self._later.items() if record in known}
        due = [record for record in known if self._later.get(record, now) <= now][:MAX_MENDED]
        if due:
            await self.mend(links, due)

    def _settle_groups(self) -> None:
        """Groups of the journal that were repaired, or set aside, as the store was opened."""
        runtime = self._runtime
        for error in runtime.store.damage.known():
            if error.table == JOURNAL:
                runtime.store.damage.forget(error.table, error.key)
                outcome = Outcome.WHOLE if len(error.key) == 1 else Outcome.DROPPED
                record = str(record_of(error))
                runtime.log.warning(Event.RECORD_MENDED, record=record, status=outcome.value, member="")
                self.outcomes[JOURNAL, outcome.value] += 1

    async def mend(self, links: Links, records: Sequence[Record]) -> tuple[Mended, ...]:
        """Mend these now; what became of each. Raises StoreError."""
        runtime = self._runtime
        node = runtime.node
        brought = await asyncio.to_thread(runtime.store.ask_now, lambda view: brought_by(node, view, records))
        done = await runtime.step(mend, MendCommand(tuple(records), brought))
        links.feed(Committed(done.part(lambda result: result.effects)))
        self.settled(done.value)
        return done.value.mended

    def settled(self, result: MendResult) -> None:
        """Remove mended and dropped records from the list of damaged ones."""
        runtime = self._runtime
        for one in result.mended:
            if one.outcome in (Outcome.STAYS, Outcome.ASKED):
                told = one.record in self._later
                self._later[one.record] = time.monotonic() + AGAIN
            else:
                told = False
                runtime.store.damage.forget(one.record.table, one.record.key)
            if not told:
                self.outcomes["record", one.outcome.value] += 1
                runtime.log.warning(
                    Event.RECORD_MENDED, record=str(one.record), status=one.outcome.value, member=one.member
                )


def rebuild_driving(store: Store) -> None:
    """Before a start goes on: what every step reads, and follows from other rows, is made again.

    What is not even that is left: the start then says which record it is. Raises StoreError.
    """
    for table in DRIVING:
        found = store.ask_now(partial(damaged_in, tables=(table,)))
        if found:
            # A loop of its own: whoever opens a folder has none to wait in.
            with ThreadPoolExecutor(1) as one:
                one.submit(asyncio.run, _made_again(store, found)).result()


async def _made_again(store: Store, found: Sequence[RecordError]) -> None:
    def again(view: View) -> Plan[None]:
        made = [rebuild(view, error.table, error.key) for error in found]
        return Plan(tuple([write for writes in made if writes is not None for write in writes]), None)

    await store.perform(again)


def known_documents(folder: Folder, member: MemberCode, store: Store) -> list[bytes]:
    """Every stored trust document. Of this member's own a damaged one is taken from the file beside the
    database; another member of whose roots one is damaged is not known until its file is imported again."""
    rows = store.ask_now(lambda view: view.find(TRUST, "key", limit=100_000))
    lost = {one.key[:2] for one in store.damage.known() if one.table == TRUST.name}
    without = {key[0] for key in lost if len(key) < 2 or key[1] == TrustType.ROOT} - {member}
    found = [row.record for row in rows if row.member not in without]
    if any(key[0] == member for key in lost if key) and folder.own_member.exists():
        own = read_member_file(folder.own_member.read_bytes(), folder.own_member.name)
        found += [encode(Trust, trust) for trust in (*own.roots, own.directory) if trust is not None]
    return found
