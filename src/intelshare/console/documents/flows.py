"""Flows: the compliance report as counts by sender, article and recipient, and over time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from intelshare.audit.report import Report
from intelshare.console.documents.shown import at, since
from intelshare.console.nodes import OVERSEERS, Nodes
from intelshare.instant import HOUR, MINUTE
from intelshare.wire.v1 import user_pb2 as pb

MAX_ROWS: Final = 400
BARS: Final = 48
"""Stretches of time in which releases are counted."""


def flows(nodes: Nodes, asked: Mapping[str, str]) -> dict[str, Any]:
    """Of the last ``hours``, or of all time."""
    request = pb.ReportRequest(since=since(asked))
    file = nodes.ask(OVERSEERS, lambda client: client.operate("Report", request))
    report = msgspec.json.decode(file.text, type=Report)
    shared = sorted(report.shared, key=lambda one: -one.portions)
    stopped = sorted(report.stopped, key=lambda one: -one.bulletins)
    return {
        "member": report.member,
        "since": at(report.since),
        "until": at(report.made),
        "truncated": report.truncated or len(shared) > MAX_ROWS,
        "damaged": len(report.damaged),
        "shared": [
            {
                "from": one.sender,
                "to": one.recipient,
                "treaty": one.treaty,
                "article": one.article,
                "category": one.category,
                "level": one.level,
                "bulletins": one.bulletins,
                "portions": one.portions,
            }
            for one in shared[:MAX_ROWS]
        ],
        "stopped": [
            {
                "from": one.sender,
                "to": one.recipient,
                "word": one.word,
                "code": one.code,
                "bulletins": one.bulletins,
            }
            for one in stopped[:MAX_ROWS]
        ],
        "bars": _bars(report),
        "missing": len(report.missing),
        "overdue": len(report.overdue),
    }


def _bars(report: Report) -> dict[str, Any]:
    """Releases by way and stretch of time; the stretches cover what is there, and a minute at least each."""
    times = [one.at for one in report.releases]
    if not times:
        return {"start": None, "width": None, "ways": []}
    start, end = min(times), max(times) + 1
    width = max(-(-(end - start) // BARS), MINUTE if end - start < 2 * HOUR else HOUR // 4)
    counts = Counter((one.sender, one.recipient, (one.at - start) // width) for one in report.releases)
    ways = sorted({(sender, recipient) for sender, recipient, _ in counts})
    return {
        "start": start // 1000,
        "width": width // 1000,
        "ways": [
            {
                "from": sender,
                "to": recipient,
                "counts": [counts[sender, recipient, place] for place in range((end - start) // width + 1)],
            }
            for sender, recipient in ways[:MAX_ROWS]
        ],
    }
