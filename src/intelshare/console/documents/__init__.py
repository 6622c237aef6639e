"""The documents of the views: bounded JSON from the client's answers, kept for a moment for all pages.

shown      times, ids and words as documents have them
now        the state that every page is told; findings as `doctor` has them
happened   one event of the watch
flows      portions by sender, article and recipient
withheld   withheld portions by recipient and reason, and the cases
treaties   the lives of parties, and the matrix of a day
bulletins  sent bulletins, and the way of one
audit      one entry of the log with its path to the signed root
members    known members, keys, certificates, budgets
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from intelshare.console.documents.audit import entry
from intelshare.console.documents.bulletins import bulletin, bulletins
from intelshare.console.documents.flows import flows
from intelshare.console.documents.members import members
from intelshare.console.documents.treaties import treaties
from intelshare.console.documents.withheld import withheld
from intelshare.console.nodes import Nodes
from intelshare.errors import DeliveryError

Asked = Mapping[str, str]
"""The query of a request."""

MAX_DOCUMENT: Final = 4 << 20
"""Bytes of one document."""
MAX_KEPT: Final = 64
"""Documents that are kept at once."""


@dataclass(frozen=True, slots=True)
class Document:
    """One view: the function that makes its document, the words of its query, the seconds that it is kept."""

    make: Callable[[Nodes, Asked], dict[str, Any]]
    words: frozenset[str]
    seconds: float


DOCUMENTS: Final[Mapping[str, Document]] = {
    "flows": Document(flows, frozenset(("hours",)), 5),
    "withheld": Document(withheld, frozenset(("hours", "recipient", "code", "limit")), 5),
    "treaties": Document(treaties, frozenset(("as_of", "category")), 2),
    "bulletins": Document(bulletins, frozenset(("query", "limit")), 1),
    "bulletin": Document(bulletin, frozenset(("id",)), 1),
    "audit": Document(entry, frozenset(("index",)), 2),
    "members": Document(members, frozenset(), 2),
}
"""By the last part of the path."""


@dataclass(slots=True)
class _Slot:
    lock: threading.Lock = field(default_factory=threading.Lock)
    until: float = 0.0
    data: bytes = b""


class Kept:
    """Documents as bytes. Pages that ask for the same at the same time cost the node one answer."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self._lock = threading.Lock()
        self._slots: dict[tuple[str, frozenset[tuple[str, str]]], _Slot] = {}

    def document(self, view: str, asked: Asked) -> bytes:
        """Return a document as JSON. Raises DeliveryError INPUT_INVALID, TOO_LARGE; errors of the client."""
        kind = DOCUMENTS[view]
        unknown = sorted(set(asked) - kind.words)
        if unknown:
            raise DeliveryError("INPUT_INVALID", f"{view} is not asked by {unknown[0][:40]!r}")
        slot = self._slot((view, frozenset(asked.items())))
        with slot.lock:
            began = time.monotonic()
            if began >= slot.until:
                data = json.dumps(kind.make(self._nodes, asked), ensure_ascii=False).encode(
                    "utf-8", "replace"
                )
                if len(data) > MAX_DOCUMENT:
                    raise DeliveryError("TOO_LARGE", f"the document has more than {MAX_DOCUMENT >> 20} MiB")
                made = time.monotonic()
                # The longer it takes to make, the longer it is kept.
                slot.data, slot.until = data, made + max(kind.seconds, 5 * (made - began))
            return slot.data

    def _slot(self, key: tuple[str, frozenset[tuple[str, str]]]) -> _Slot:
        with self._lock:
            slot = self._slots.pop(key, None) or _Slot()
            # The one asked for last stands last.
            self._slots[key] = slot
            while len(self._slots) > MAX_KEPT:
                self._slots.pop(next(iter(self._slots)))
            return slot
