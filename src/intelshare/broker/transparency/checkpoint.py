"""Checkpoints: size and root of this node's log, signed once for all peers; answers to what peers ask.

    checkpoint   signed and stored; the sidecar follows, and only then is it sent (c19)
    answer       how this node's log at one checkpoint follows from another, for a peer that holds the earlier

A checkpoint is due when the log has grown, or when other logs were seen that it does not list yet; never more
often than every ``EVERY``. Nothing that a checkpoint leads to at an honest peer makes that peer's log grow,
except for the first of a log: two idle nodes fall silent. A newer one replaces an older one that a peer has
not acknowledged: a path leads from whatever the peer holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from typing import Final

from intelshare.audit import LogHead, root
from intelshare.audit.path import MAX_HOPS, Hop, LogAsk, LogPath
from intelshare.audit.proofs import inconsistent
from intelshare.audit.records import Start
from intelshare.audit.tree import Fetch, Tree
from intelshare.audit.work import Work
from intelshare.broker.kernel.damage import unless_damaged
from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.log import hash_of, leaves, opened, opened_at
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.tables import (
    BATCH,
    CHECKPOINT,
    LOG_HEAD,
    PENDING,
    STATEMENT,
    CheckpointRow,
    LogHeadRow,
)
from intelshare.broker.kernel.transaction import Transaction
from intelshare.broker.transparency.known_checkpoints import CheckpointState, is_broken, place_of
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.pae import sha256
from intelshare.crypto.records import Checkpoint, Cosigned, Evidence, Kind
from intelshare.errors import CryptoError, StoreError, TrustError
from intelshare.ids import Digest, Incarnation, MemberCode, NodeUri
from intelshare.instant import SECOND, Instant
from intelshare.ports import Plan, Random, View
from intelshare.statement import leaf_id

EVERY: Final = 5 * SECOND

MAX_LOGS: Final = 64
"""The most closed logs whose last checkpoint is kept: ``audit verify`` compares them with it."""

RANK: Final = 3
"""The rank behind everything else."""


def due(node: Node, view: View, now: Instant) -> bool:
    """Return True if ``checkpoint`` has something new to report, and it is time to."""
    last = own(node, view)
    if last is not None and last.at <= now < last.at + EVERY:
        return False
    return _is_new(node, view, last)


def checkpoint(node: Node, view: View, now: Instant, random: Random) -> Plan[Effects]:
    """Sign the size of the log and the other logs that were seen; do nothing if that was reported before."""
    tx = Transaction(node, view, now, random)
    last = own(node, view)
    head = view.get(LOG_HEAD, node.incarnation)
    if head is None or not _is_new(node, view, last):
        return tx.plan(tx.effects())
    if last is not None:
        # From a member that was removed since too: it may come back.
        _take_back(tx, last, sorted(node.trust.members))
    logs = view.find(CHECKPOINT, "state", node.uri, CheckpointState.OWN)
    for old in [row for row in logs if row.incarnation == node.incarnation] + logs[MAX_LOGS:]:
        tx.delete(CHECKPOINT, old.origin, old.incarnation, old.size)
    said = Checkpoint(node.uri, node.incarnation, head.size, root_of(head), _cosigned(node, view))
    leaf = tx.say_to_all(node.trust.partners, Kind.CHECKPOINT, encode(Checkpoint, said), RANK)
    statement = tx.get(STATEMENT, leaf)
    assert statement is not None  # noqa: S101 - it was put just now
    batch = tx.get(BATCH, statement.batch)
    assert batch is not None  # noqa: S101
    signed = Evidence(Kind.CHECKPOINT, statement.nonce, statement.data, statement.proof, batch.record)
    tx.put(
        CHECKPOINT,
        CheckpointRow(
            node.uri, node.incarnation, head.size, said.root, node.member, CheckpointState.OWN, now,
            place_of(logs, node.incarnation, now), encode(Evidence, signed),
        ),
    )  # fmt: skip
    return tx.plan(tx.effects())


def own(node: Node, view: View) -> CheckpointRow | None:
    """Return this node's last checkpoint, of this incarnation if it has one: clocks jump."""
    present = view.find(CHECKPOINT, "key", node.uri, node.incarnation)
    rows = present or view.find(CHECKPOINT, "state", node.uri, CheckpointState.OWN, limit=1)
    return rows[0] if rows else None


def root_of(head: LogHeadRow) -> Digest:
    """Return the root of a stored log."""
    return Digest(root(LogHead(head.incarnation, head.size, head.frontier)))


def _is_new(node: Node, view: View, last: CheckpointRow | None) -> bool:
    head = view.get(LOG_HEAD, node.incarnation)
    if last is None or head is None or (last.incarnation, last.size) != (node.incarnation, head.size):
        return True
    return _cosigned_in(last.signed) != _cosigned(node, view)


@lru_cache(maxsize=8)
def _cosigned_in(signed: bytes) -> tuple[Cosigned, ...]:
    """Return what a checkpoint lists: once a second the same one is looked at."""
    return decode(Checkpoint, decode(Evidence, signed).data).cosigned


def _cosigned(node: Node, view: View) -> tuple[Cosigned, ...]:
    """Return the latest proved checkpoint of every peer node whose log has not contradicted itself."""
    found = []
    for uri in peer_nodes(node):
        rows = view.find(CHECKPOINT, "state", uri, CheckpointState.PROVED, limit=1)
        if rows and not is_broken(view, uri):
            found.append(Cosigned(uri, rows[0].incarnation, rows[0].size, rows[0].root))
    return tuple(found)


def peer_nodes(node: Node) -> Sequence[NodeUri]:
    """Return every node of every other member, in order."""
    return sorted(
        listed.uri
        for member, held in node.trust.members.items()
        if member != node.member and held.directory is not None
        for listed in held.directory.nodes
    )


def _take_back(tx: Transaction, old: CheckpointRow, peers: Sequence[MemberCode]) -> None:
    """Delete an older checkpoint, and stop sending it."""
    signed = decode(Evidence, old.signed)
    leaf = leaf_id(signed.kind, signed.nonce, signed.data)
    # It was signed alone: its batch has no other statement. A damaged one stops no later one.
    statement = unless_damaged(tx, partial(tx.get, STATEMENT, leaf))
    tx.delete(BATCH, statement.batch if statement is not None else Digest(sha256(signed.batch)))
    tx.delete(STATEMENT, leaf)
    for peer in peers:
        if tx.get(PENDING, leaf, peer) is not None:
            tx.end(peer, leaf)


def answer(node: Node, view: View, ask: LogAsk) -> Work[LogPath | None]:
    """Return the path that the asker may check. None: the later checkpoint is not known here (any more).

    If this node's log is damaged, the path proves nothing, and the asker will report it.
    """
    if ask.origin != node.uri:
        seen = view.get(CHECKPOINT, ask.origin, ask.until, ask.until_size)
        if seen is None or seen.state == CheckpointState.HEARD:
            return None
        return LogPath(ask, (), (), (decode(Evidence, seen.signed),))
    if not _holds(view, ask.until, ask.until_size):
        # What this node has forgotten is the earlier one, whatever its clock said when it was signed.
        if ask.incarnation == ask.until or not _holds(view, ask.incarnation, ask.size):
            return None
        ask = _turned(ask)
    try:
        return (yield from _path(node, view, (yield from _in_order(node, view, ask))))
    except (TrustError, CryptoError, StoreError):
        return LogPath(ask, (), (), ())


def _in_order(node: Node, view: View, ask: LogAsk) -> Work[LogAsk]:
    """Put the two logs of a question in order. The asker goes by the times of signing, but a clock may have
    gone back: only the logs can tell which of them came first.
    """
    first = view.get(LOG_HEAD, ask.incarnation)
    if ask.incarnation == ask.until or first is None or not 0 < ask.size <= first.size:
        return ask
    _, end = yield from hops_to(node, view, Incarnation(ask.until), ask.until_size, ask.incarnation)
    if end.incarnation == first.incarnation:
        return ask
    _, end = yield from hops_to(node, view, ask.incarnation, ask.size, ask.until)
    if end.incarnation != ask.until:
        return ask
    return _turned(ask)


def _turned(ask: LogAsk) -> LogAsk:
    return LogAsk(ask.origin, ask.until, ask.until_size, ask.incarnation, ask.size)


def _holds(view: View, incarnation: int, size: int) -> bool:
    """Return True if this node still has so many entries of its log."""
    head = view.get(LOG_HEAD, incarnation)
    return head is not None and 0 < size <= head.size


def _path(node: Node, view: View, ask: LogAsk) -> Work[LogPath]:
    hops, end = yield from hops_to(node, view, Incarnation(ask.until), ask.until_size, ask.incarnation)
    proof: list[bytes] = []
    if end.incarnation == ask.incarnation and 0 < ask.size <= end.size:
        tree = node.trees.setdefault(end.incarnation, Tree())
        proof = yield from tree.prefix(fetch_of(node, view, end.incarnation), ask.size, end.size)
    return LogPath(ask, tuple(hops), tuple(proof), ())


def hops_to(
    node: Node, view: View, incarnation: Incarnation, size: int, wanted: int
) -> Work[tuple[list[Hop], Cosigned]]:
    """Go from a log at a size back to log ``wanted``, or as far as possible; return hops and end of that log.

    Raises TrustError LOG_INCONSISTENT, CryptoError, StoreError RECORD_CORRUPT for a damaged log.
    """
    hops: list[Hop] = []
    end = Cosigned(node.uri, incarnation, size, Digest(bytes(32)))
    while end.incarnation not in (wanted, 0) and len(hops) < MAX_HOPS:
        yield
        first = opened_at(node, view, end.incarnation, 0)
        if first is None or not end.size:
            raise inconsistent("the first entry of a log is missing")
        tree = node.trees.setdefault(end.incarnation, Tree())
        proof = yield from tree.inclusion(fetch_of(node, view, end.incarnation), 0, end.size)
        hops.append(Hop(first.at, first.salt, first.record, tuple(proof)))
        start = decode(Start, first.record)
        end = Cosigned(node.uri, start.previous, start.size, Digest(start.root))
    return hops, end


def fetch_of(node: Node, view: View, incarnation: Incarnation) -> Fetch:
    """Return a reader of a log's hashes.

    Those of a closed log are computed from its entries: an edit shows.
    """
    closed = incarnation != node.incarnation

    def hashes(low: int, high: int) -> Iterator[bytes]:
        found: Iterator[tuple[int, bytes]]
        if closed:
            found = ((one.place, hash_of(one)) for one in opened(node, view, incarnation, low, high))
        else:
            found = leaves(view, incarnation, low, high)
        for expected, (place, entry) in enumerate(found, low):
            if place != expected:
                return
            yield entry

    def fetch(low: int, high: int) -> Work[list[bytes]]:
        yield
        return list(hashes(low, high))

    return fetch
