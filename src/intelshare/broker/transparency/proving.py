"""Proofs: opened entries of this node's log under its signed checkpoint, for anybody to verify."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from intelshare.audit.decided import committed, made_of, portion_salts
from intelshare.audit.exhibit import Exhibit
from intelshare.audit.path import Hop
from intelshare.audit.portable import (
    PROOF_SCHEMA,
    Cosigning,
    Documents,
    OpenedPortion,
    ProofFile,
    ProvedEntry,
    ShownLog,
    plain,
    wrap,
)
from intelshare.audit.records import STORED, DecisionKept, EntryType, LoggedPortion, Received, Witnessed
from intelshare.audit.tree import Tree
from intelshare.audit.work import finish
from intelshare.broker.kernel.log import OpenedEntry, logs, opened, opened_at
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.stored_bulletins import id_range
from intelshare.broker.kernel.tables import (
    BULLETIN,
    CHECKPOINT,
    INBOX,
    PAIR,
    CheckpointRow,
)
from intelshare.broker.transparency.checkpoint import fetch_of, hops_to, own, peer_nodes
from intelshare.broker.transparency.known_checkpoints import CheckpointState
from intelshare.crypto.codec import decode
from intelshare.crypto.records import Checkpoint, Evidence, Kind
from intelshare.errors import DeliveryError, TrustError
from intelshare.ids import Digest, Incarnation, LeafId, NodeUri
from intelshare.ports import View
from intelshare.statement import leaf_id

MAX_ENTRIES: Final = 64
"""The most entries that one file proves."""

_SEEING: Final = frozenset((EntryType.RECEIVED, EntryType.REJECTED, EntryType.WITNESSED))
"""The entries that record a statement seen of another member."""

_DENIED: Final = 3
"""The logged outcome of a portion that is withheld."""

_Shown = Callable[[LoggedPortion], bool]
"""Selects the portions of a decision that are opened."""

_NAMED: Final = ("leaf", "of", "md", "subject", "digest")
"""The fields of records by which an entry is found."""


@dataclass(frozen=True, slots=True)
class ProofQuery:
    """One entry; or all about a bulletin or a statement, by the start of its hexadecimal id."""

    incarnation: Incarnation
    index: int
    bulletin: str = ""
    statement: str = ""
    originator: str = ""
    """The member that wrote the bulletin; empty: all bulletins of that id."""
    recipient: str = ""
    """Restricts a bulletin's entries to those about this recipient or about all; empty: no restriction."""
    withheld: bool = False
    """True to show also the denied portions of a decision."""


def prove_entries(node: Node, view: View, wanted: ProofQuery, documents: Documents) -> ProofFile:
    """Return the proof file.

    Raises DeliveryError NOT_FOUND, TrustError LOG_INCONSISTENT for a damaged log.
    """
    log = show_about(node, view, wanted)
    return ProofFile(
        node=log.node,
        checkpoint=log.checkpoint,
        cosigned=log.cosigned,
        entries=log.entries,
        schema=PROOF_SCHEMA,
        documents=documents,
    )


def show_about(node: Node, view: View, wanted: ProofQuery) -> ShownLog:
    """Return this node's log entries about something. Raises as ``prove_entries``."""
    last = _signed(node, view)
    rows = list(_found(node, view, wanted))
    if not rows:
        raise DeliveryError("NOT_FOUND", "no log entry matches", hint="`intelshare audit head` shows sizes")
    return _show(node, view, last, rows, lambda one: wanted.withheld or one.decision.value.outcome != _DENIED)


def show_release(
    node: Node, view: View, leaf: LeafId, decided: tuple[Incarnation, int] | None, slots: Collection[int]
) -> ShownLog:
    """Return this node's log entries about a release, opening these slots of its decision.

    Raises as ``prove_entries``.
    """
    rows = list(_found(node, view, ProofQuery(node.incarnation, 0, statement=leaf.hex())))
    decision = None if decided is None else opened_at(node, view, *decided)
    rows = rows if decision is None else [decision, *rows]
    return _show(node, view, _signed(node, view), rows, lambda one: one.slot in slots)


def _signed(node: Node, view: View) -> CheckpointRow:
    last = own(node, view)
    if last is None or last.incarnation != node.incarnation:
        raise TrustError(
            "NOT_FOUND", "the log has no signed checkpoint yet", hint="try again in a few seconds"
        )
    return last


def show_seen(node: Node, view: View, exhibit: Exhibit) -> list[ShownLog]:
    """Return this node's log entries that name the statements of an exhibit: they say when it saw them.

    Empty if no such entry is under a signed checkpoint yet.
    """
    last = own(node, view)
    if last is None:
        return []
    leaves = {leaf_id(one.kind, one.nonce, one.data) for one in exhibit.statements}
    said = [decode(Checkpoint, one.data) for one in exhibit.statements if one.kind is Kind.CHECKPOINT]
    seen = {(one.origin, one.incarnation, one.size, one.root) for one in said}
    rows = [
        row
        for row in all_entries(node, view)
        if row.type in _SEEING
        and (row.incarnation != last.incarnation or row.place < last.size)
        and _names(_record(row), leaves, seen)
    ]
    return [_show(node, view, last, rows[:MAX_ENTRIES])] if rows else []


def _names(record: Any, leaves: set[LeafId], seen: set[tuple[NodeUri, Incarnation, int, Digest]]) -> bool:
    if isinstance(record, Witnessed):
        return (record.origin, record.incarnation, record.size, record.root) in seen
    return (record.leaf if isinstance(record, Received) else record.digest) in leaves


def _show(
    node: Node, view: View, last: CheckpointRow, rows: Sequence[OpenedEntry], shown: _Shown = lambda _: True
) -> ShownLog:
    return ShownLog(
        node.uri,
        wrap(Evidence, decode(Evidence, last.signed)),
        _cosigned(node, view, last),
        [_entry(node, view, last, row, shown) for row in rows],
    )


def signed_of_peers(node: Node, view: View) -> Sequence[tuple[CheckpointRow, Evidence]]:
    """Return the newest proved checkpoint of every peer node, as it was signed."""
    rows = [
        row
        for uri in peer_nodes(node)
        for row in view.find(CHECKPOINT, "state", uri, CheckpointState.PROVED, limit=1)
    ]
    return [(row, decode(Evidence, row.signed)) for row in rows]


def _cosigned(node: Node, view: View, last: CheckpointRow) -> list[Cosigning]:
    """Return the peers that have seen the log, with proofs that the checkpoint extends what they saw."""
    found = []
    tree = node.trees.setdefault(last.incarnation, Tree())
    for _, signed in signed_of_peers(node, view):
        for seen in decode(Checkpoint, signed.data).cosigned:
            if (seen.origin, seen.incarnation) == (node.uri, last.incarnation) and seen.size <= last.size:
                proof = finish(tree.prefix(fetch_of(node, view, last.incarnation), seen.size, last.size))
                found.append(Cosigning(wrap(Evidence, signed), [part.hex() for part in proof]))
    return found


def _entry(node: Node, view: View, last: CheckpointRow, row: OpenedEntry, shown: _Shown) -> ProvedEntry:
    proof, hops = _place(node, view, last, row.incarnation, row.place)
    record, says, opened = _record(row), plain(_record(row)), list[OpenedPortion]()
    if isinstance(record, DecisionKept):
        portions = [one for one in record.portions if shown(one)]
        salts = portion_salts(record.seed, record.portions)
        opened = [OpenedPortion(one.slot, salts[one.slot].hex(), one.decision.data.hex()) for one in portions]
        says = plain(made_of(record)) | {
            "portions": [{"slot": one.slot, "decision": plain(one.decision)} for one in portions]
        }
    return ProvedEntry(
        f"{row.incarnation:016x}",
        row.place,
        row.type,
        row.at,
        row.salt.hex(),
        committed(row.type, row.record).hex(),
        proof,
        hops,
        opened,
        says,
    )


def _place(
    node: Node, view: View, last: CheckpointRow, incarnation: Incarnation, place: int
) -> tuple[list[str], list[str]]:
    """Return the inclusion proof of an entry and the hops to its log, as files have them."""
    hops, end = finish(hops_to(node, view, last.incarnation, last.size, incarnation))
    if end.incarnation != incarnation or place >= end.size:
        raise TrustError("LOG_INCONSISTENT", f"no checkpoint leads to entry {place} of its log")
    tree = node.trees.setdefault(incarnation, Tree())
    proof = finish(tree.inclusion(fetch_of(node, view, incarnation), place, end.size))
    return [part.hex() for part in proof], [wrap(Hop, hop) for hop in hops]


def _found(node: Node, view: View, wanted: ProofQuery) -> Iterator[OpenedEntry]:
    if not wanted.bulletin and not wanted.statement:
        row = opened_at(node, view, wanted.incarnation, wanted.index)
        if row is not None:
            yield row
        return
    names = _bulletins(node, view, wanted) if wanted.bulletin else ()
    count = 0
    for row in all_entries(node, view):
        record = _record(row)
        about = [value.hex() for name in _NAMED if isinstance(value := getattr(record, name, None), bytes)]
        whose = getattr(record, "recipient", getattr(record, "member", wanted.recipient))
        if wanted.recipient not in ("", whose):
            continue
        if any(name in names or (wanted.statement and name.startswith(wanted.statement)) for name in about):
            yield row
            count += 1
            if count >= MAX_ENTRIES:
                return


def all_entries(node: Node, view: View) -> Iterator[OpenedEntry]:
    """Yield all entries of all logs of this node, oldest log first."""
    for head in logs(view):
        yield from opened(node, view, head.incarnation)


def _bulletins(node: Node, view: View, wanted: ProofQuery) -> frozenset[str]:
    """Return the digests of the manifests and releases of bulletins whose id starts so."""
    low, high = id_range(wanted.bulletin)
    written = view.find(BULLETIN, "bulletin", after=(low,), limit=MAX_ENTRIES)
    received = view.find(INBOX, "id", after=(low,), limit=MAX_ENTRIES)
    found = [(row.bulletin, node.member, row.md) for row in written]
    found += [(row.bulletin, row.originator, row.md) for row in received]
    named = {
        md for bulletin, originator, md in found if bulletin <= high and wanted.originator in ("", originator)
    }
    releases = [pair.leaf for md in named for pair in view.find(PAIR, "key", md) if pair.leaf]
    return frozenset(name.hex() for name in (*named, *releases))


def _record(row: OpenedEntry) -> Any:
    return decode(STORED[EntryType(row.type)], row.record)
