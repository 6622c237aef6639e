"""Proving: entries of the own log, opened, under its signed checkpoint: for whoever is to believe them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from intelshare.audit.path import Hop
from intelshare.audit.portable import PROOF_SCHEMA, Cosigning, Documents, ProofFile, ProvedEntry, plain, wrap
from intelshare.audit.records import RECORDS, EntryType
from intelshare.audit.tree import Tree
from intelshare.broker.kernel.log import OpenedEntry, opened, opened_at
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.stored_bulletins import id_range
from intelshare.broker.kernel.tables import (
    BULLETIN,
    CHECKPOINT,
    INBOX,
    LOG_HEAD,
    CheckpointRow,
)
from intelshare.broker.transparency.checkpoint import fetch_of, hops_to, own, peer_nodes
from intelshare.broker.transparency.known_checkpoints import CheckpointState
from intelshare.crypto.codec import decode
from intelshare.crypto.records import Checkpoint, Evidence
from intelshare.errors import DeliveryError, TrustError
from intelshare.ids import Incarnation
from intelshare.ports import View

MAX_ENTRIES: Final = 64
"""Entries that one file proves."""

_NAMED: Final = ("leaf", "of", "md", "subject", "digest")
"""Fields of records by which an entry is found."""


@dataclass(frozen=True, slots=True)
class ProofQuery:
    """One entry; or all about a bulletin or a statement, by the beginning of its id in hexadecimal."""

    incarnation: Incarnation
    index: int
    bulletin: str = ""
    statement: str = ""
    originator: str = ""
    """Who wrote the bulletin; empty: all bulletins of that id."""


def prove_entries(node: Node, view: View, wanted: ProofQuery, documents: Documents) -> ProofFile:
    """The file. Raises DeliveryError NOT_FOUND, TrustError LOG_INCONSISTENT for a damaged log."""
    last = own(node, view)
    if last is None or last.incarnation != node.incarnation:
        raise TrustError(
            "NOT_FOUND", "the log has no signed checkpoint yet", hint="try again in a few seconds"
        )
    rows = list(_found(node, view, wanted))
    if not rows:
        raise DeliveryError(
            "NOT_FOUND", "no log entry is about that", hint="`intelshare audit head` shows sizes"
        )
    entries = [_entry(node, view, last, row) for row in rows]
    return ProofFile(
        PROOF_SCHEMA,
        node.uri,
        wrap(Evidence, decode(Evidence, last.signed)),
        _cosigned(node, view, last),
        entries,
        documents,
    )


def signed_of_peers(node: Node, view: View) -> Sequence[tuple[CheckpointRow, Evidence]]:
    """The newest proved checkpoint of every peer node, as it was signed."""
    rows = [
        row
        for uri in peer_nodes(node)
        for row in view.find(CHECKPOINT, "state", uri, CheckpointState.PROVED, limit=1)
    ]
    return [(row, decode(Evidence, row.signed)) for row in rows]


def _cosigned(node: Node, view: View, last: CheckpointRow) -> list[Cosigning]:
    """Who has seen the present log, each with the proof that the checkpoint begins with what it saw."""
    found = []
    tree = node.trees.setdefault(last.incarnation, Tree())
    for _, signed in signed_of_peers(node, view):
        for seen in decode(Checkpoint, signed.data).cosigned:
            if (seen.origin, seen.incarnation) == (node.uri, last.incarnation) and seen.size <= last.size:
                proof = tree.prefix(fetch_of(node, view, last.incarnation), seen.size, last.size)
                found.append(Cosigning(wrap(Evidence, signed), [part.hex() for part in proof]))
    return found


def _entry(node: Node, view: View, last: CheckpointRow, row: OpenedEntry) -> ProvedEntry:
    hops, end = hops_to(node, view, last.incarnation, last.size, row.incarnation)
    if end.incarnation != row.incarnation or row.place >= end.size:
        raise TrustError("LOG_INCONSISTENT", f"no checkpoint leads to entry {row.place} of its log")
    tree = node.trees.setdefault(row.incarnation, Tree())
    proof = tree.inclusion(fetch_of(node, view, row.incarnation), row.place, end.size)
    return ProvedEntry(
        f"{row.incarnation:016x}",
        row.place,
        row.type,
        row.at,
        row.salt.hex(),
        row.record.hex(),
        [part.hex() for part in proof],
        [wrap(Hop, hop) for hop in hops],
        plain(_record(row)),
    )


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
        if any(name in names or (wanted.statement and name.startswith(wanted.statement)) for name in about):
            yield row
            count += 1
            if count >= MAX_ENTRIES:
                return


def all_entries(node: Node, view: View) -> Iterator[OpenedEntry]:
    """All entries of all own logs, the oldest log first."""
    for head in view.find(LOG_HEAD, "began", limit=100_000):
        yield from opened(node, view, head.incarnation)


def _bulletins(node: Node, view: View, wanted: ProofQuery) -> frozenset[str]:
    """The manifest digests of own and received bulletins whose id starts so, of all or of one originator."""
    low, high = id_range(wanted.bulletin)
    written = view.find(BULLETIN, "bulletin", after=(low,), limit=MAX_ENTRIES)
    received = view.find(INBOX, "id", after=(low,), limit=MAX_ENTRIES)
    found = [(row.bulletin, node.member, row.md) for row in written]
    found += [(row.bulletin, row.originator, row.md) for row in received]
    return frozenset(
        md.hex()
        for bulletin, originator, md in found
        if bulletin <= high and wanted.originator in ("", originator)
    )


def _record(row: OpenedEntry) -> Any:
    return decode(RECORDS[EntryType(row.type)], row.record)
