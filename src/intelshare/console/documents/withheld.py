"""Withheld portions by recipient and reason, and the cases of one of these numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from intelshare.cli.shared.codes import catalogue
from intelshare.console.documents.shown import at, cut, number, since
from intelshare.console.nodes import EVERYBODY, OVERSEERS, READERS, Nodes
from intelshare.policy import Code
from intelshare.policy_tools import rule_of
from intelshare.wire import MAX_LISTED

DEFAULT_CASES: Final = 50


def withheld(nodes: Nodes, asked: Mapping[str, str]) -> dict[str, Any]:
    """Return all counts to somebody who oversees the node, otherwise the reader's; cases to a reader."""
    start, limit = since(asked), number(asked, "limit", DEFAULT_CASES, MAX_LISTED)
    recipient, code = asked.get("recipient", "")[:16], asked.get("code", "")[:48]
    counting = OVERSEERS if nodes.may(OVERSEERS) else EVERYBODY
    found = nodes.ask(counting, lambda client: client.withheld(since=start))
    wanted, reader = bool(recipient or code), nodes.may(READERS)
    cases = (
        nodes.ask(
            READERS,
            lambda client: client.withheld(since=start, recipient=recipient, code=code, limit=limit),
        ).cases
        if wanted and reader
        else ()
    )
    return {
        "counts": [
            {
                "recipient": one.recipient,
                "code": one.code,
                "place": one.place,
                "bulletins": one.bulletins,
                "portions": one.portions,
                "newest_at": at(one.newest_at),
            }
            for one in found.counts
        ],
        "codes": {one.code: _meaning(one.code) for one in found.counts},
        "looked": found.looked,
        "damaged": len(found.damaged),
        "truncated": found.truncated,
        "whose": "all" if counting is OVERSEERS else "yours",
        "reader": reader,
        "most": MAX_LISTED,
        "cases": [
            {
                "bulletin": one.bulletin.hex(),
                "recipient": one.recipient,
                "created_at": at(one.created_at),
                "banner": cut(one.banner),
                "title": cut(one.title),
                "codes": list(one.codes),
                "granted": one.granted,
                "portions": one.portions,
            }
            for one in cases
        ],
    }


def _meaning(code: str) -> dict[str, str]:
    known = catalogue().get(code)
    rule = rule_of(Code(code)) if code in {one.value for one in Code} else ""
    return {"rule": rule, "means": known.means if known is not None else ""}
