"""The state for every page: links, queues, the last checkpoint, withheld portions, alarms.

It contains no time that changes by itself, so an idle node sends nothing to its pages.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

from intelshare.builtin import builtin_registry
from intelshare.cli.policy.examine import examine
from intelshare.cli.shared.findings import OK
from intelshare.cli.shared.tables import precedence
from intelshare.console.documents.shown import at, cut, now
from intelshare.console.nodes import EVERYBODY, OVERSEERS, Nodes
from intelshare.errors import IntelshareError
from intelshare.instant import HOUR, SECOND
from intelshare.wire.v1 import user_pb2 as pb

MAX_MEMBERS: Final = 256
MAX_FINDINGS: Final = 100
SLOWLY: Final = 5.0
"""Seconds between two looks at what the node has to count."""


class Look:
    """Looks at the node at a bounded cost: counts are taken every few seconds, not at every look."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self._counted: dict[str, Any] = {}
        self._until = 0.0

    def state(self) -> dict[str, Any]:
        """Return the state, or the reason if the node does not answer."""
        try:
            status = self._nodes.ask(EVERYBODY, lambda client: client.status())
            if time.monotonic() >= self._until:
                began = time.monotonic()
                self._counted = self._count()
                # The more there is to count, the less often.
                self._until = time.monotonic() + max(SLOWLY, 20 * (time.monotonic() - began))
            return {"down": None, "who": self._who(), **_of_status(status), **self._counted}
        except IntelshareError as error:
            self._until = 0.0
            return {"down": {"code": error.code, "message": error.message, "hint": error.hint or ""}}

    def _who(self) -> list[dict[str, Any]]:
        return [
            {
                "user": one.user,
                "role": one.role,
                "clearance": one.clearance,
                "categories": list(one.categories),
            }
            for one in self._nodes.who()
        ]

    def _count(self) -> dict[str, Any]:
        since = now() - HOUR
        roles = OVERSEERS if self._nodes.may(OVERSEERS) else EVERYBODY
        held = self._nodes.ask(roles, lambda client: client.withheld(since=since))
        found: dict[str, Any] = {"withheld": _withheld(held.counts), "queues": None, "head": None}
        if roles is OVERSEERS:
            waiting = self._nodes.ask(roles, lambda client: client.operate("Queues", pb.QueuesRequest()))
            head = self._nodes.ask(roles, lambda client: client.operate("Head", pb.HeadRequest()))
            found |= {"queues": _queues(waiting.queues), "head": _head(head)}
        return found


def _of_status(status: pb.StatusResponse) -> dict[str, Any]:
    registry = builtin_registry()
    # A clock that moves is no news; the examination reads it only where it is not believed.
    found = [one for one in examine(status, now()) if one.state != OK]
    return {
        "member": status.member,
        "node": status.node,
        "version": status.version,
        "health": status.health,
        "codes": list(status.codes),
        "started_at": at(status.started_at),
        "peers": [
            {
                "member": peer.member,
                "node": peer.node,
                "state": peer.state,
                "organisation": registry.is_organisation(peer.member),
                "since": at(peer.since),
                "queued": peer.queued,
                "unacknowledged": peer.unacknowledged,
                "error": peer.last_error,
            }
            for peer in list(status.peers)[:MAX_MEMBERS]
        ],
        "organisation": registry.is_organisation(status.member),
        "log_size": status.log_size,
        "alarms": [
            {
                "member": alarm.member,
                "code": alarm.code,
                "what": cut(alarm.what),
                "first_at": at(alarm.first_at),
                "evidence": alarm.evidence.hex(),
            }
            for alarm in list(status.alarms)[:MAX_FINDINGS]
        ],
        "findings": [
            {"state": one.state, "check": one.check, "found": cut(one.found), "next": cut(one.remedy)}
            for one in found[:MAX_FINDINGS]
        ],
    }


def _withheld(counts: Iterable[pb.WithheldCount]) -> list[dict[str, Any]]:
    by: dict[tuple[str, str], int] = {}
    for one in counts:
        by[one.recipient, one.code] = by.get((one.recipient, one.code), 0) + one.portions
    return [
        {"recipient": recipient, "code": code, "portions": portions}
        for (recipient, code), portions in sorted(by.items())
    ]


def _queues(queues: Iterable[pb.Queue]) -> list[dict[str, Any]]:
    return [
        {
            "member": one.member,
            "precedence": precedence(one.precedence),
            "queued": one.queued,
            "oldest": at(one.oldest_queued),
            "unacknowledged": one.unacknowledged,
        }
        for one in queues
        if one.queued or one.unacknowledged
    ]


def _head(head: pb.HeadResponse) -> Mapping[str, Any]:
    return {
        "entries": head.entries,
        "size": head.size,
        "root": head.root.hex(),
        "signed_at": at(head.signed_at),
        "witnesses": [
            {"member": one.member, "size": one.size, "signed_at": at(one.signed_at - one.signed_at % SECOND)}
            for one in head.witnesses
        ],
    }
