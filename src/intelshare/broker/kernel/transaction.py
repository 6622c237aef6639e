"""The one way to write: rows, log entries and signed statements are gathered into a plan.

A step creates a ``Transaction``, puts its rows into it, and returns ``plan(answer)``. Only here are log
entries numbered and hashed into the tree, statements signed together and queued for their peers, and secrets
sealed at rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from intelshare.audit import EntryType, LogHead, append, entry_hash
from intelshare.audit.path import LogAsk
from intelshare.audit.tree import Tree
from intelshare.broker.kernel.counters import LOG_BYTES, Count, count_of, counted
from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.frame import FRAMING, Carried, Frame, Gap, Outbound
from intelshare.broker.kernel.log import MAX_TOGETHER, OpenedEntry, make_row
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.tables import (
    BATCH,
    COUNTER,
    LOG,
    LOG_HEAD,
    NODE,
    PAIR,
    PENDING,
    STATEMENT,
    BatchRow,
    CounterRow,
    LogHeadRow,
    PendingRow,
    StatementRow,
)
from intelshare.crypto.codec import encode
from intelshare.crypto.draw import cut
from intelshare.crypto.pae import sha256
from intelshare.crypto.records import Kind
from intelshare.crypto.rest import open_at_rest, seal_at_rest
from intelshare.ids import Digest, Incarnation, KeyId, LeafId, ManifestDigest, MemberCode
from intelshare.instant import Instant
from intelshare.ports import Delete, Outrun, Plan, Put, Random, Row, Scalar, Table, View, changed
from intelshare.statement import MAX_LEAVES, NONCE_LENGTH, Leaf, leaf_id, leaf_ids, sign_batch, sign_many

A = TypeVar("A")
T = TypeVar("T")
R = TypeVar("R", bound=Row)

_DRAWN = 512
"""The random bytes drawn at a time, for salts and nonces."""


SELF = "self"
"""The key of the one row of NODE."""


@dataclass(frozen=True, slots=True)
class ToSay:
    """A statement for one peer that is still to be signed."""

    peer: MemberCode
    kind: Kind
    data: bytes
    rank: int


class Transaction:
    """The writes of one step. Reads by key see them; ``view.find`` does not.

    Every step changes counters, the end of the log and the highest time. One that runs ahead of its turn to
    write reads these unbound, and says what rests on them again in the turn (``_late``, decision 75).
    """

    def __init__(self, node: Node, view: View, now: Instant, random: Random) -> None:
        self.node = node
        self.view = view
        self.now = now
        self.random = random
        self._rows: dict[tuple[str, tuple[Scalar, ...]], Put | Delete] = {}
        self._known: dict[tuple[str, tuple[Scalar, ...]], Any] = {}
        self._entries: list[OpenedEntry] = []
        self._draw = cut(random, _DRAWN)
        self._head: LogHeadRow | None = None
        self._batches: dict[bytes, Digest] = {}
        self._queued = 0
        self._said: list[Outbound] = []
        self._ended: list[tuple[MemberCode, LeafId]] = []
        self._before = node
        self._unbound = view.unbound
        self._added: dict[str, Count] = {}
        """Of a step that runs ahead, what it adds to counters."""
        self._most: dict[str, Count] = {}
        """At which a counter may stand before such a step."""
        self.damaged: list[str] = []
        """Damaged records that were left out (``unless_damaged``)."""
        self.ready: set[MemberCode] = set()
        """Peers for which a pair has become ready."""
        self.marked = False
        """Keys were deleted: they must be shredded, and receipts signed for that."""
        self.mended = False
        """Damaged records have come back (``Effects.mended``)."""
        self.wanted: set[MemberCode] = set()
        """The members whose files are to be requested."""
        self.asks: list[tuple[MemberCode, LogAsk]] = []
        """The questions about logs to send to peers."""
        self.gaps: list[tuple[MemberCode, Gap]] = []
        """The requests to peers for what was lost here."""

    def get(self, table: Table[R], *key: Scalar) -> R | None:
        """Return the row with this key, as it will be after the commit."""
        at = table.name, key
        write = self._rows.get(at)
        if write is None:
            return self._known[at] if at in self._known else self.view.get(table, *key)
        return write.row if isinstance(write, Put) else None

    def look_ahead(self, table: Table[R], keys: Sequence[tuple[Scalar, ...]]) -> None:
        """Load these rows with one query; later calls of ``get`` for them need none."""
        found = self.get_many(table, keys)
        self._known.update({(table.name, key): row for key, row in zip(keys, found, strict=True)})

    def get_many(self, table: Table[R], keys: Sequence[tuple[Scalar, ...]]) -> list[R | None]:
        """Return what ``get`` returns for each key, with one query."""
        written = [self._rows.get((table.name, key)) for key in keys]
        asked = [key for key, write in zip(keys, written, strict=True) if write is None]
        stored: list[R | None] = self.view.get_many(table, asked)
        if len(asked) == len(keys):
            return stored
        rest = iter(stored)
        return [
            next(rest) if write is None else write.row if isinstance(write, Put) else None
            for write in written
        ]

    def put(self, table: Table[R], row: R) -> None:
        """Insert or replace a row."""
        self._rows[table.name, table.key_of(row)] = Put(table, row)

    def delete(self, table: Table[Any], *key: Scalar) -> None:
        """Delete the row with this key."""
        self._rows[table.name, key] = Delete(table, key)

    def put_into(self, table: Table[R]) -> list[R]:
        """Return the rows that were put into a table: ``view.find`` does not see them."""
        return [
            write.row
            for (name, _), write in self._rows.items()
            if name == table.name and isinstance(write, Put)
        ]

    def added(self, table: Table[Any]) -> int:
        """Return how many of the rows put into a table are not stored yet."""
        keys = [
            key for (name, key), write in self._rows.items() if name == table.name and isinstance(write, Put)
        ]
        return sum(self.view.get(table, *key) is None for key in keys)

    def some(self, table: Table[R], index: str, *prefix: Scalar, limit: int) -> list[R]:
        """Return rows as ``view.find`` does, for a step to which any of them will do: of one that runs ahead,
        those are left out that came a moment ago.
        """
        if self._unbound is None:
            return self.view.find(table, index, *prefix, limit=limit)
        found = self._unbound.find(table, index, *prefix, limit=limit)
        now = self.view.get_many(table, [table.key_of(row) for row in found])
        return [row for row, one in zip(found, now, strict=True) if row == one]

    def count(self, name: str, rows: int, size: int) -> None:
        """Add to a counter (``kernel.counters``). Reads of the counter see the change at once."""
        by = Count(rows, size)
        if self._unbound is None:
            self.put(COUNTER, counted(self.get(COUNTER, name), name, by))
            return
        self.put(COUNTER, counted(self._counter(name), name, by))
        before = self._added.get(name, Count())
        self._added[name] = Count(before.rows + rows, before.size + size)

    def count_of(self, name: str) -> Count:
        """Return the value of a counter, which does not bind the step: see ``keep_below``."""
        row = self._counter(name)
        return Count(row.rows, row.size) if row is not None else Count()

    def keep_below(self, name: str, most: Count) -> None:
        """Note that the step, which runs ahead, goes on because a counter is not above this: in the turn the
        same must hold.
        """
        by = self._added.get(name, Count())
        left = Count(most.rows - by.rows, most.size - by.size)
        known = self._most.get(name, left)
        self._most[name] = Count(min(known.rows, left.rows), min(known.size, left.size))

    @property
    def runs_ahead(self) -> bool:
        """The step runs ahead of the turn to write, in which some of it is said again (``View.unbound``)."""
        return self._unbound is not None

    def _counter(self, name: str) -> CounterRow | None:
        if self._unbound is None or (COUNTER.name, (name,)) in self._rows:
            return self.get(COUNTER, name)
        return self._unbound.get(COUNTER, name)

    def seal(self, table: str, row: bytes, slot: int, plaintext: bytes, beside: bytes = b"") -> bytes:
        """Seal at rest for this table, row and slot; it opens only with the bytes ``beside`` it."""
        return seal_at_rest(
            self.node.storage_key, self._draw(24), plaintext, table=table, row=row, slot=slot, beside=beside
        )

    def draw(self, count: int) -> bytes:
        """Return random bytes."""
        return self._draw(count)

    def log(self, kind: EntryType, record: Any) -> tuple[Digest, int]:
        """Append to this incarnation's log; return the entry's hash and index."""
        return self.log_encoded(kind, encode(record.__class__, record))

    def log_encoded(self, kind: EntryType, data: bytes, committed: bytes | None = None) -> tuple[Digest, int]:
        """Log a record that is already encoded. ``committed`` is as in ``audit.decided``."""
        head, salt = self._log_head(), self._draw(32)
        place = head.size + len(self._entries)
        entry = entry_hash(kind, self.now, salt, data if committed is None else committed)
        self._entries.append(OpenedEntry(head.incarnation, place, kind, self.now, entry, salt, data))
        return entry, place

    def say(self, statements: Sequence[ToSay]) -> list[Outbound]:
        """Sign statements in batches of at most 256 and queue them; return what to send to each peer."""
        return [
            outbound
            for start in range(0, len(statements), MAX_LEAVES)
            for outbound in self._sign(statements[start : start + MAX_LEAVES])
        ]

    def _sign(self, statements: Sequence[ToSay]) -> list[Outbound]:
        nonces = [self._draw(NONCE_LENGTH) for _ in statements]
        signed = sign_many(_leaves(statements, nonces), self.node.signer, self.now, self.random)
        batch = self.batch(signed.batch)
        by_peer: dict[MemberCode, list[tuple[int, LeafId, Carried]]] = {}
        for item, nonce, leaf, proof in zip(statements, nonces, signed.leaves, signed.proofs, strict=True):
            self.queue(
                StatementRow(
                    leaf, item.peer, item.kind, nonce, item.data, proof, batch, KeyId(b""), b"",
                    ManifestDigest(b""), b"", self.node.incarnation, 0,
                ),
                item.rank,
                FRAMING + len(item.data),
            )  # fmt: skip
            carried = Carried(item.kind, nonce, item.data, proof)
            by_peer.setdefault(item.peer, []).append((item.rank, leaf, carried))
        outbound = [
            Outbound(
                peer,
                min([rank for rank, _, _ in items]),
                Frame(signed.batch, b"", tuple([carried for _, _, carried in items])),
                tuple([leaf for _, leaf, _ in items]),
            )
            for peer, items in by_peer.items()
        ]
        self._said.extend(outbound)
        return outbound

    def sign_again(self, rows: Sequence[StatementRow], waiting: Sequence[PendingRow]) -> None:
        """Sign stored statements (at most 256) again at the present time: the same digests in another batch.

        ``waiting`` are those that peers have not acknowledged; they are sent at once.
        """
        signed = sign_many([row.leaf for row in rows], self.node.signer, self.now, self.random)
        batch = self.batch(signed.batch)
        carried: dict[LeafId, Carried] = {}
        for row, proof in zip(rows, signed.proofs, strict=True):
            self.put(STATEMENT, changed(row, proof=proof, batch=batch))
            carried[row.leaf] = Carried(Kind(row.kind), row.nonce, row.data, proof)
        for one in waiting:
            # Frames of the earlier batch that a link still holds must not leave any more.
            self._ended.append((one.peer, one.leaf))
            frame = Frame(signed.batch, b"", (carried[one.leaf],))
            self._said.append(Outbound(one.peer, one.rank, frame, (one.leaf,)))

    def say_to_all(self, peers: Iterable[MemberCode], kind: Kind, data: bytes, rank: int) -> LeafId:
        """Sign one statement and queue it for several peers: all get the same bytes, nonce and leaf."""
        signed = sign_batch(
            [Leaf(kind, self.random(NONCE_LENGTH), data)], self.node.signer, self.now, self.random
        )
        made, leaf = signed.statements[0], signed.leaves[0]
        row = StatementRow(
            leaf, MemberCode(""), kind, made.nonce, made.data, made.proof, self.batch(signed.batch),
            KeyId(b""), b"", ManifestDigest(b""), b"", self.node.incarnation, 0,
        )  # fmt: skip
        self.put(STATEMENT, row)
        frame = Frame(signed.batch, b"", (Carried(made.kind, made.nonce, made.data, made.proof),))
        for peer in sorted(peers):
            self._pend(row, peer, rank, FRAMING + len(data))
            self._said.append(Outbound(peer, rank, frame, (leaf,)))
        return leaf

    def end(self, peer: MemberCode, leaf: LeafId) -> None:
        """Stop sending a statement to this peer."""
        self.delete(PENDING, leaf, peer)
        self._ended.append((peer, leaf))

    def effects(self) -> Effects:
        """Return what must happen outside the store after the commit."""
        node = self.node if self.node is not self._before else None
        return Effects(
            tuple(self._said), tuple(self._ended), frozenset(self.ready), self.marked,
            frozenset(self.wanted), tuple(self.asks), tuple(self.gaps), node, self.mended,
        )  # fmt: skip

    def batch(self, record: bytes) -> Digest:
        """Keep a batch record; return its digest."""
        digest = self._batches.get(record)
        if digest is None:
            digest = self._batches[record] = Digest(sha256(record))
            self.put(BATCH, BatchRow(digest, record))
        return digest

    def queue(self, row: StatementRow, rank: int, size: int) -> None:
        """Keep a signed statement, and queue it as unacknowledged."""
        self.put(STATEMENT, row)
        self._pend(row, row.peer, rank, size)

    def queue_as_signed(self, row: StatementRow, peer: MemberCode, rank: int) -> None:
        """Queue a stored statement for a peer again, as it was signed, behind those of its rank.

        Only a release, whose number is cancelled if its signature does not count any more, is queued so; all
        else is queued by ``queue_again`` of the room ``lifecycle``.
        """
        self._pend(row, peer, rank, FRAMING + len(row.data) + len(row.grant))

    def _pend(self, row: StatementRow, peer: MemberCode, rank: int, size: int) -> None:
        # Statements queued by one step keep their order: otherwise a resent batch arrives shuffled and seems
        # to have gaps.
        self.put(PENDING, PendingRow(row.leaf, peer, rank, self.now + self._queued, size))
        self._queued += 1

    def plan(self, answer: A) -> Plan[A]:
        """Return everything that was put as one plan: the last of its commit if it changes the node."""
        if self._unbound is None:
            writes, late = self._whole(wrote=bool(self._rows)), None
        else:
            writes = self._bound()
            late = self._late if self._rows or self._entries else None
        return Plan(
            writes,
            answer,
            last=self.node is not self._before,
            damaged=tuple(self.damaged),
            late=late,
        )

    def _whole(self, *, wrote: bool) -> tuple[Put | Delete, ...]:
        """Return all writes, with the log and the highest time."""
        if self._entries:
            self._put_log()
        if wrote or self._rows:
            me = self.get(NODE, SELF)
            if me is not None and self.now > min(me.latest, me.written):
                latest, written = max(me.latest, self.now), max(me.written, self.now)
                confirmed = max(me.confirmed, self.now) if self.node.confirmed else me.confirmed
                self.put(NODE, changed(me, latest=latest, written=written, confirmed=confirmed))
        return tuple(self._rows.values())

    def _bound(self) -> tuple[Put | Delete, ...]:
        """Return the writes that rest on nothing unbound. Raises Outrun."""
        unbound, made = self._unbound, []
        for write in self._rows.values():
            if write.table is not COUNTER:
                made.append(write)
            elif unbound is None or not isinstance(write, Put) or not self._is_sum(unbound, write.row):
                raise Outrun
        return tuple(made)

    def _is_sum(self, unbound: View, row: CounterRow) -> bool:
        """Return true if this counter was added to, and not set."""
        by = self._added.get(row.name)
        return by is not None and row == counted(unbound.get(COUNTER, row.name), row.name, by)

    def _late(self, view: View) -> tuple[Put | Delete, ...]:
        """Return what a step that ran ahead says again in its turn. Raises Outrun if a bound is near."""
        for name, most in self._most.items():
            there = count_of(view, name)
            if there.rows > most.rows or there.size > most.size:
                raise Outrun
        again = Transaction(self.node, view, self.now, self.random)
        for name, by in self._added.items():
            again.count(name, *by)
        if (me := self._rows.get((NODE.name, (SELF,)))) is not None:
            again._rows[NODE.name, (SELF,)] = me
        if self._entries:
            began, later = self._log_head().size, again._log_head().size - self._log_head().size
            again._entries = [one._replace(place=one.place + later) for one in self._entries]
            for write in self._rows.values():
                if write.table is PAIR and isinstance(write, Put):
                    row = write.row
                    # Its decision is in one of these entries.
                    if row.decided_at >= began and row.decided_in == self.node.incarnation:
                        again.put(PAIR, changed(row, decided_at=row.decided_at + later))
        return again._whole(wrote=bool(self._rows))

    def _put_log(self) -> None:
        row, written = self._log_head(), self._entries
        for start in range(0, len(written), MAX_TOGETHER):
            together = written[start : start + MAX_TOGETHER]
            made = make_row(self.node.storage_key, self._draw(24), together)
            self.count(LOG_BYTES, len(together), len(made.entries) + len(made.sealed_entries))
            self.put(LOG, made)
        tree = self.node.trees.setdefault(row.incarnation, Tree())
        leaves = [one.leaf for one in written]
        head = append(LogHead(row.incarnation, row.size, row.frontier), leaves, tree.note)
        self.put(LOG_HEAD, LogHeadRow(row.incarnation, row.began, head.size, head.frontier))

    def begin_log(self, incarnation: Incarnation, before: LogHeadRow | None) -> None:
        """Start an empty log for a new incarnation; entry 0 must follow.

        It begins after the log ``before``, whatever the clock says: readers follow the logs in this order,
        and replicas have clocks of their own. Raises Outrun.
        """
        if self._unbound is not None:
            raise Outrun
        began = self.now if before is None else max(self.now, Instant(before.began + 1))
        self._head = LogHeadRow(incarnation, began, 0, b"")

    def _log_head(self) -> LogHeadRow:
        if self._head is None:
            head = (self._unbound or self.view).get(LOG_HEAD, self.node.incarnation)
            assert head is not None, "an incarnation begins with entry 0"  # noqa: S101
            self._head = head
        return self._head


def without_mark(plan: Plan[A], view: View, expected: Instant) -> Plan[A]:
    """Return the plan without a new highest time, for a step that ran while the clock was not believed.

    ``expected``: what the clock would say had it not jumped; it is the highest time of a node that has stored
    none yet.
    """
    late = plan.late
    return replace(
        plan,
        writes=_unmarked(plan.writes, view, expected),
        late=None if late is None else lambda now: _unmarked(late(now), now, expected),
    )


def _unmarked(writes: Sequence[Put | Delete], view: View, expected: Instant) -> tuple[Put | Delete, ...]:
    if not any(write.table is NODE for write in writes):
        return tuple(writes)
    before = view.get(NODE, SELF)
    highest = before.latest if before is not None else expected
    return tuple(
        [
            Put(NODE, changed(write.row, latest=min(highest, write.row.latest)))
            if isinstance(write, Put) and write.table is NODE
            else write
            for write in writes
        ]
    )


def _leaves(statements: Sequence[ToSay], nonces: Sequence[bytes]) -> list[LeafId]:
    if len({item.kind for item in statements}) == 1:
        return leaf_ids(statements[0].kind, nonces, [item.data for item in statements])
    return [leaf_id(item.kind, nonce, item.data) for item, nonce in zip(statements, nonces, strict=True)]


def open_secret(node: Node, table: str, row: bytes, slot: int, sealed: bytes, beside: bytes = b"") -> bytes:
    """Open what ``Transaction.seal`` sealed. Raises CryptoError OPEN_FAILED."""
    return open_at_rest(node.storage_key, sealed, table=table, row=row, slot=slot, beside=beside)
