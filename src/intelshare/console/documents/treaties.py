"""Treaties: a lane for each party, and the matrix of levels between members on a day, by files and acts.

The policy tools compute both here from the treaties of the node. A node does not tell its users the national
overlays, so the law of a member may forbid more for a real bulletin; the page says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from intelshare.builtin import extended_registry
from intelshare.cli.shared.law import act_of, every_act
from intelshare.cli.shared.times import moment
from intelshare.client import Client
from intelshare.console.documents.shown import cut, now
from intelshare.console.nodes import EVERYBODY, Nodes
from intelshare.instant import DAY, Instant
from intelshare.policy import (
    ANY_CATEGORY,
    Treaty,
    World,
    compile_world,
    parse_treaty,
    with_acts,
)
from intelshare.policy_tools import events, matrix, party_spans, state_at
from intelshare.wire.v1 import user_pb2 as pb

MAX_LANES: Final = 40
"""Parties of one treaty that are drawn, those with a node first."""
MAX_SIDE: Final = 16
"""Members of the matrix."""
MAX_TREATIES: Final = 64


def treaties(nodes: Nodes, asked: Mapping[str, str]) -> dict[str, Any]:
    """Return the treaties and the matrix of ``category`` at ``as_of``. Raises ConfigError INPUT_INVALID."""
    when = moment(asked.get("as_of", "")[:40] or None, "as_of")
    held, acts, own, known = nodes.ask(EVERYBODY, _held)
    registry = extended_registry(own)
    files = [parse_treaty(one.file, one.name, registry) for one in held if one.file]
    counting = [act_of(act) for act in acts if act.state == "counts"]
    live = with_acts(files, counting)
    parties = {party.member for one in live for party in one.parties}
    side = [code for code in known if code in parties][:MAX_SIDE]
    categories = sorted({word for one in live for p in one.provisions for word in p.categories})
    chosen = asked.get("category", "")[:64] or next(iter(categories), "")
    world = compile_world(registry, sorted({*known, *parties}), live)
    return {
        "as_of": _drawn(when),
        "now": _drawn(now()),
        "categories": [word for word in categories if word != ANY_CATEGORY],
        "category": chosen,
        "members": side,
        "cells": _cells(world, when, chosen, side),
        "treaties": [_treaty(one, when, known) for one in live[:MAX_TREATIES]],
        "unread": [one.id for one in held if not one.file],
    }


def _held(
    client: Client,
) -> tuple[Sequence[pb.TreatyState], Sequence[pb.ActEntry], dict[str, str], list[str]]:
    listed = client.treat("ListTreaties", pb.ListTreatiesRequest(files=True)).treaties
    acts = every_act(client)
    members = client.operate("ListMembers", pb.ListMembersRequest()).members
    return listed, acts, client.own_files(), [one.member for one in members]


def _cells(world: World, when: Instant, category: str, side: Sequence[str]) -> list[dict[str, Any]]:
    if not category:
        return []
    return [
        {
            "from": sender,
            "to": recipient,
            "level": None if level is None else level.name,
            "reference": None if level is None else level.reference.name,
        }
        for (sender, recipient), level in matrix(world, when, category, side).items()
    ]


def _treaty(treaty: Treaty, when: Instant, known: Sequence[str]) -> dict[str, Any]:
    dated = [event.at for event in events(treaty)] or [when]
    first, last = min(dated), max(*dated, now())
    margin = max((last - first) // 12, DAY)
    parties = sorted(treaty.parties, key=lambda party: (party.member not in known, party.member))
    return {
        "id": treaty.id,
        "title": cut(treaty.title),
        "kind": treaty.kind.value,
        "first": _drawn(first - margin),
        "last": _drawn(last + margin),
        "articles": [
            {
                "article": one.article,
                "categories": sorted(one.categories)[:MAX_LANES],
                "ceiling": getattr(one.ceiling, "name", str(one.ceiling)),
                "obligations": sorted(one.obligations),
            }
            for one in treaty.provisions
        ],
        "parties": len(parties),
        "lanes": [
            {
                "member": party.member,
                "known": party.member in known,
                "state": state_at(treaty, party, when),
                "spans": [
                    {"start": _drawn(one.start), "until": _drawn(one.until), "state": one.state}
                    for one in party_spans(treaty, party)
                ],
            }
            for party in parties[:MAX_LANES]
        ],
    }


_EARLIEST: Final = -62_135_596_800_000
_LATEST: Final = 253_402_300_799_000


def _drawn(instant: int) -> int:
    """Milliseconds, from the year 1 to the year 9999: what a date in a browser can be. May be before 1970."""
    return min(max(instant // 1000, _EARLIEST), _LATEST)
