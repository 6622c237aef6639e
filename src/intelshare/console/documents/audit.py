"""An entry of the log with its path to the signed root: everything that a browser needs to compute it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from intelshare.audit.notes import read_head, read_note
from intelshare.audit.records import EntryType
from intelshare.client import Client
from intelshare.console.documents.shown import at, number
from intelshare.console.nodes import OVERSEERS, Nodes
from intelshare.errors import DeliveryError
from intelshare.wire.v1 import user_pb2 as pb

MAX_INDEX: Final = 2**53 - 1

_HEAD: Final = 41
"""Bytes of type, time and salt before the record (docs/format.md, "Log")."""


def entry(nodes: Nodes, asked: Mapping[str, str]) -> dict[str, Any]:
    """Return the entry at ``index``, or the last signed entry. Raises DeliveryError NOT_FOUND."""
    index = number(asked, "index", -1, MAX_INDEX)
    return nodes.ask(OVERSEERS, lambda client: _proved(client, index))


def _proved(client: Client, index: int) -> dict[str, Any]:
    if index < 0:
        shown = client.operate("ShowLog", pb.ShowLogRequest())
        if not shown.size:
            raise DeliveryError("NOT_FOUND", "nothing of this log is signed yet")
        index = shown.size - 1
    found = client.operate("ProveNote", pb.ProveNoteRequest(index=index))
    head = read_head(read_note(found.note).text)
    data = found.preimage
    return {
        "index": index,
        "size": head.size,
        "root": head.root.hex(),
        "origin": head.origin,
        "note": found.note,
        "type": data[0],
        "type_name": EntryType(data[0]).name if data[0] in set(EntryType) else str(data[0]),
        "at": at(int.from_bytes(data[1:9])),
        "salt": data[9:_HEAD].hex(),
        "record": data[_HEAD:].hex(),
        "time": str(int.from_bytes(data[1:9])),
        "proof": [part.hex() for part in found.proof],
    }
