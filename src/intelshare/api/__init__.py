"""The client library: what an analyst does at a node, from Python, with values in and out (docs/client.md).

    async with Client.from_profile() as client:
        sent = await client.send("A kit", to=["USA"], label="//FRA SECRET//REL TO FRA, USA", category="cyber")

``SyncClient`` is the same without ``await``. Both raise ``IntelshareError`` with a code and a hint. Beneath
stands ``intelshare.client``, which speaks the wire's messages.
"""

from __future__ import annotations

from intelshare.api.asynchronous import Client
from intelshare.api.sync import SyncClient
from intelshare.api.values import (
    Bulletin,
    Event,
    Explanation,
    InboxEntry,
    Listed,
    Me,
    OutboxEntry,
    Outcome,
    Pair,
    PairDecision,
    PortionDecision,
    PortionKind,
    Precedence,
    ReadPortion,
    Reason,
    RecallEffect,
    Receipt,
    SearchMatch,
    Sent,
    Text,
)
from intelshare.delivery import PairStatus
from intelshare.errors import IntelshareError
from intelshare.roles import Role

__all__ = [
    "Bulletin",
    "Client",
    "Event",
    "Explanation",
    "InboxEntry",
    "IntelshareError",
    "Listed",
    "Me",
    "OutboxEntry",
    "Outcome",
    "Pair",
    "PairDecision",
    "PairStatus",
    "PortionDecision",
    "PortionKind",
    "Precedence",
    "ReadPortion",
    "Reason",
    "RecallEffect",
    "Receipt",
    "Role",
    "SearchMatch",
    "Sent",
    "SyncClient",
    "Text",
]
