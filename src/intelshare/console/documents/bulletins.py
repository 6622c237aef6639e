"""Sent bulletins, and the way of one: portions, decisions, receipts. No content is opened.

Reading is an act: the log records the reader, and the originator gets a receipt. A page that refreshes by
itself must not act, so `intelshare read` shows texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from intelshare.cli.shared.tables import precedence
from intelshare.client import Client
from intelshare.console.documents.shown import at, cut, number
from intelshare.console.nodes import READERS, Nodes
from intelshare.errors import DeliveryError, IntelshareError
from intelshare.wire import MAX_LISTED
from intelshare.wire.v1 import user_pb2 as pb

DEFAULT_LISTED: Final = 50
MAX_SEARCHED: Final = 20
"""Pages of a search that one answer may take."""
MAX_PAIRS: Final = 48
"""Recipients of one bulletin whose decisions are shown."""


def bulletins(nodes: Nodes, asked: Mapping[str, str]) -> dict[str, Any]:
    """The newest that the user may see, or those that hold all words of ``query``; at ``most`` so many."""
    limit, query = number(asked, "limit", DEFAULT_LISTED, MAX_LISTED), asked.get("query", "").strip()
    if query:
        return {**nodes.ask(READERS, lambda client: _searched(client, query, limit)), "most": MAX_LISTED}
    found = nodes.ask(READERS, lambda client: client.outbox(limit=limit))
    entries = [_line(one) for one in found.entries]
    return {
        "entries": entries,
        "more": len(entries) == limit,
        "most": MAX_LISTED,
        "damaged": len(found.damaged),
    }


def _searched(client: Client, query: str, limit: int) -> dict[str, Any]:
    found: list[dict[str, Any]] = []
    damaged: set[str] = set()
    whole = False
    for number_, page in enumerate(client.search(query, outbox=True), 1):
        damaged.update(page.damaged)
        for match in page.matches:
            if len(found) < limit:
                listed = client.outbox(match.bulletin.hex())
                damaged.update(listed.damaged)
                found += [_line(one) for one in listed.entries]
        whole = not page.HasField("before")
        if number_ == MAX_SEARCHED or len(found) >= limit:
            break
    return {"entries": found, "more": not whole, "damaged": len(damaged)}


def _line(entry: pb.OutboxEntry) -> dict[str, Any]:
    return {
        "bulletin": entry.bulletin.hex(),
        "precedence": precedence(entry.precedence),
        "created_at": at(entry.created_at),
        "banner": cut(entry.banner),
        "title": cut(entry.title),
        "author": entry.author,
        "recalled_at": at(entry.recalled_at),
        "purged_at": at(entry.purged_at),
        "pairs": [_pair(pair) for pair in list(entry.pairs)[:MAX_PAIRS]],
        "recipients": len(entry.pairs),
    }


def _pair(pair: pb.OutboxPair) -> dict[str, Any]:
    return {
        "recipient": pair.recipient,
        "word": pair.word,
        "changed_at": at(pair.changed_at),
        "codes": list(pair.codes),
        "granted": pair.granted,
        "portions": pair.portions,
        "basis": pair.basis,
        "took_ms": pair.took // 1000 if pair.took else None,
    }


def bulletin(nodes: Nodes, asked: Mapping[str, str]) -> dict[str, Any]:
    """One of this member's bulletins, whole. Raises DeliveryError NOT_FOUND, INPUT_INVALID."""
    name = asked.get("id", "")
    if not name:
        raise DeliveryError("INPUT_INVALID", "which bulletin: id")
    return nodes.ask(READERS, lambda client: _whole(client, name))


def _whole(client: Client, name: str) -> dict[str, Any]:
    found = client.outbox(name)
    if not found.entries:
        raise DeliveryError("NOT_FOUND", "your member sent no bulletin with such an id")
    entry, shown = found.entries[0], _line(found.entries[0])
    signed = client.receipts(entry.bulletin.hex())
    for pair in shown["pairs"]:
        pair["receipts"] = _receipts(signed.receipts, pair["recipient"])
        pair["why"] = _why(client, entry.bulletin.hex(), pair["recipient"])
    marks: list[dict[str, str]] = []
    for pair in shown["pairs"]:
        marks = marks or pair["why"]["marks"]
    return {
        **shown,
        "marks": marks,
        "reply_to": entry.reply_to.hex(),
        "supersedes": entry.supersedes.hex(),
        "damaged": len({*found.damaged, *signed.damaged}),
    }


def _receipts(receipts: Iterable[pb.SignedReceipt], recipient: str) -> list[dict[str, Any]]:
    return [
        {
            "status": one.status,
            "codes": list(one.codes),
            "decided_at": at(one.decided_at),
            "received_at": at(one.received_at),
            "digest": one.digest.hex(),
            "flaw": one.flaw,
        }
        for one in receipts
        if one.recipient == recipient
    ]


def _why(client: Client, name: str, recipient: str) -> dict[str, Any]:
    try:
        found = client.why(name, recipient, changes=True)
    except IntelshareError as error:
        # One record that is damaged hides no other recipient.
        return {"flaw": error.code, "marks": [], "portions": [], "decided_at": None, "log_index": None}
    return {
        "flaw": "",
        "decided_at": at(found.decided_at),
        "log_index": found.log_index,
        "marks": [
            {"mark": cut(mark), "category": category}
            for mark, category in zip(found.marks, found.categories, strict=True)
        ],
        "portions": [_decided(one, found.changes) for one in found.decision.portions],
    }


def _decided(portion: pb.PortionDecision, changes: Iterable[pb.ReleasingChange]) -> dict[str, Any]:
    return {
        "position": portion.position,
        "outcome": portion.outcome,
        "basis": portion.basis,
        "articles": list(portion.articles),
        "obligations": list(portion.obligations),
        "holds": list(portion.holds),
        "reasons": [
            {"code": one.code, "detail": cut(one.detail), "place": one.place} for one in portion.reasons
        ],
        "changes": [
            {"change": one.change, "to": cut(one.to), "basis": one.basis, "articles": list(one.articles)}
            for one in changes
            if one.position == portion.position
        ],
    }
