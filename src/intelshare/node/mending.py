"""Records that were met damaged: told, mended where that needs nobody, and kept in mind for operators."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final

from intelshare.audit.work import finish
from intelshare.broker.kernel.documents import REVOKED
from intelshare.broker.kernel.tables import ACT, TRUST
from intelshare.broker.lifecycle.mend import (
    WAITING,
    MendCommand,
    Mended,
    Record,
    RecordOutcome,
    brought_by,
    mend,
)
from intelshare.broker.lifecycle.rebuild import DRIVING, damaged_in, rebuild
from intelshare.crypto.codec import encode
from intelshare.crypto.records import Trust, TrustType
from intelshare.engine.events import RecordsMended
from intelshare.errors import IntelshareError, RecordError
from intelshare.ids import MemberCode
from intelshare.node.events import Event
from intelshare.node.folder import Folder
from intelshare.ports import EVERY_ROW, JOURNAL, PAGE, Damaged, Plan, Store, View
from intelshare.trust import read_member_file

if TYPE_CHECKING:
    from intelshare.node.links import Links
    from intelshare.node.runtime import Runtime

CODE: Final = "RECORD_CORRUPT"


def record_of(error: RecordError) -> Record:
    """The record that an error names."""
    return Record(error.table, error.key, error.repaired, (error.page and error.hint) or "")


class Mending:
    """Of one running node: the engine says when, and what is due (``engine.mending``)."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.outcomes: Counter[tuple[str, str]] = Counter()
        """Damaged records and groups of the journal, by what became of them (``services.metrics.MENDED``)."""

    @property
    def withholds(self) -> bool:
        """True if releases must wait: a treaty act is damaged, and without it the law is not known."""
        return any(one.table == ACT.name and not one.repaired for one in self._runtime.store.damage.known())

    def known(self) -> tuple[Record, ...]:
        """The damaged records that are not settled. Groups of the journal are settled here."""
        self._settle_groups()
        return tuple(map(record_of, self._runtime.store.damage.known()))

    def _settle_groups(self) -> None:
        """Groups of the journal, and a page, that were repaired or set aside as the store was opened."""
        for error in self._runtime.store.damage.known():
            if error.table == PAGE:
                self._note("record", Mended(record_of(error), RecordOutcome.WHOLE))
            if error.table == JOURNAL:
                outcome = RecordOutcome.WHOLE if len(error.key) == 1 else RecordOutcome.DROPPED
                self._note(JOURNAL, Mended(record_of(error), outcome))

    async def mend(self, links: Links, records: Sequence[Record]) -> tuple[Mended, ...]:
        """Mend these now, for an operator; what became of each. Raises StoreError."""
        runtime = self._runtime
        node = runtime.node
        brought = await asyncio.to_thread(
            runtime.store.ask_now, lambda view: finish(brought_by(node, view, records))
        )
        done = await links.act(mend, MendCommand(tuple(records), brought))
        links.feed(RecordsMended(done.value.mended))
        return done.value.mended

    def note(self, mended: Sequence[Mended]) -> None:
        """Log what became of damaged records."""
        for one in mended:
            self._note("record", one)

    def _note(self, kind: str, one: Mended) -> None:
        # What a commit has written or deleted the store has forgotten already; the rest it had brought back.
        if one.outcome not in WAITING:
            self._runtime.store.damage.forget(one.record.table, one.record.key)
        self.outcomes[kind, one.outcome.value] += 1
        self._runtime.log.warning(
            Event.RECORD_MENDED, record=str(one.record), status=one.outcome.value, member=one.member
        )


def rebuild_driving(store: Store) -> None:
    """Before a start goes on: what every step reads, and follows from other rows, is made again.

    What is not even that is left: the start then says which record it is. All stay known until they are
    written again, so that the running node names each in its log. Raises StoreError.
    """
    for table in DRIVING:
        found = store.ask_now(partial(damaged_in, tables=(table,)))
        if found:
            # A loop of its own: whoever opens a folder has none to wait in.
            with ThreadPoolExecutor(1) as one:
                one.submit(asyncio.run, _made_again(store, found)).result()
            for error in found:
                store.damage.note(error)


async def _made_again(store: Store, found: Sequence[RecordError]) -> None:
    def again(view: View) -> Plan[None]:
        made = [rebuild(view, error.table, error.key) for error in found]
        return Plan(tuple([write for writes in made if writes is not None for write in writes]), None)

    await store.perform(again)


def known_documents(folder: Folder, member: MemberCode, view: View, damage: Damaged) -> list[bytes]:
    """Every stored trust document, and this member's own in the file beside the database, which may be
    damaged or have forgotten the newest. Another member of whose roots one is damaged, or both rows that say
    what it has revoked, is not known until its file is imported again.
    """
    found = [row for row in view.find(TRUST, "key", limit=EVERY_ROW) if row.type != REVOKED]
    lost = {one.key[:2] for one in damage.known() if one.table == TRUST.name and not one.repaired}
    without = {key[0] for key in lost if len(key) < 2 or key[1] == TrustType.ROOT}
    without |= {key[0] for key in lost if {(key[0], REVOKED), (key[0], TrustType.DIRECTORY)} <= lost}
    stored = [row.record for row in found if row.member not in without - {member}]
    # What is stored comes last: it is what counts where both have a document.
    return _beside(folder, member) + stored


def _beside(folder: Folder, member: MemberCode) -> list[bytes]:
    """The documents in this member's own file; nothing if it cannot be read."""
    try:
        own = read_member_file(folder.own_member.read_bytes(), folder.own_member.name)
    except (OSError, IntelshareError):
        return []
    if own.member != member:
        return []
    documents = (*own.roots, *own.former, own.directory)
    return [encode(Trust, trust) for trust in documents if trust is not None]
