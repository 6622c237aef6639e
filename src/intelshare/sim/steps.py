"""The steps of the broker by name, as the simulator calls them: what a planted bug replaces."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from intelshare.broker import act, consent, hello, witness
from intelshare.broker.backfill import backfill
from intelshare.broker.checkpoint import checkpoint
from intelshare.broker.destroy import finish
from intelshare.broker.duties import meet_duty
from intelshare.broker.end import expire
from intelshare.broker.handover import handover
from intelshare.broker.read import read
from intelshare.broker.recall import recall
from intelshare.broker.receive import receive
from intelshare.broker.register import adopt
from intelshare.broker.resend import resend
from intelshare.broker.review import review
from intelshare.broker.submit import approve, submit
from intelshare.ports import Plan

Step = Callable[..., Plan[Any]]
"""``step(node, view, *event, now, random) -> Plan``."""

Steps = Mapping[str, Step]


STEPS: Steps = {
    "begin": hello.begin,
    "submit": submit,
    "approve": approve,
    "handover": handover,
    "resend": resend,
    "receive": receive,
    "read": read,
    "meet": hello.meet,
    "acknowledge": hello.acknowledge,
    "fill": hello.fill,
    "expire": expire,
    "checkpoint": checkpoint,
    "prove": witness.prove,
    "ask_again": hello.ask_again,
    "review": review,
    "recall": recall,
    "finish": finish,
    "act": act.act,
    "resume": act.resume,
    "ask": consent.request,
    "answer": consent.answer,
    "report": meet_duty,
    "backfill": backfill,
    "adopt": adopt,
    "announce": hello.announce,
}
