"""The steps of the broker by name, as the simulator calls them: what a planted bug replaces."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from intelshare.broker import hello
from intelshare.broker.destroy import finish
from intelshare.broker.end import expire
from intelshare.broker.frame import Outbound
from intelshare.broker.handover import handover, resend
from intelshare.broker.node import Node
from intelshare.broker.read import read
from intelshare.broker.receive import receive
from intelshare.broker.submit import approve, submit
from intelshare.ids import LeafId, MemberCode
from intelshare.instant import Instant
from intelshare.ports import Plan, Random, View

Step = Callable[..., Plan[Any]]
"""``step(node, view, *event, now, random) -> Plan``."""

Steps = Mapping[str, Step]


def _stored(
    node: Node,
    view: View,
    peer: MemberCode,
    busy: Collection[LeafId],
    room: int,
    now: Instant,
    random: Random,
) -> Plan[tuple[tuple[Outbound, ...], bool]]:
    """``resend`` takes its turn among the commits, so that what it finds is durable when it leaves."""
    del now, random
    return Plan((), resend(node, view, peer, busy, room))


STEPS: Steps = {
    "begin": hello.begin,
    "submit": submit,
    "approve": approve,
    "handover": handover,
    "resend": _stored,
    "receive": receive,
    "read": read,
    "meet": hello.meet,
    "acknowledge": hello.acknowledge,
    "fill": hello.fill,
    "expire": expire,
    "ask_again": hello.ask_again,
    "finish": finish,
}
