"""The steps of the broker by name, as the simulator calls them: what a planted bug replaces."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from intelshare.broker.exchange import consent
from intelshare.broker.exchange.backfill import backfill
from intelshare.broker.exchange.recall import recall
from intelshare.broker.kernel.register import adopt
from intelshare.broker.lifecycle.destroy import finish
from intelshare.broker.lifecycle.duties import meet_duty
from intelshare.broker.lifecycle.read import read
from intelshare.broker.lifecycle.review import review
from intelshare.broker.lifecycle.stop import expire
from intelshare.broker.line import hello
from intelshare.broker.line.handover import handover
from intelshare.broker.line.receive import receive
from intelshare.broker.line.resend import resend
from intelshare.broker.line.submit import approve, submit
from intelshare.broker.transparency import witness
from intelshare.broker.transparency.checkpoint import checkpoint
from intelshare.broker.treaty import act
from intelshare.ports import Plan

Step = Callable[..., Plan[Any]]
"""``step(node, view, *event, now, random) -> Plan``."""

Steps = Mapping[str, Step]


STEPS: Steps = {
    "begin": hello.start_incarnation,
    "submit": submit,
    "approve": approve,
    "handover": handover,
    "resend": resend,
    "receive": receive,
    "read": read,
    "meet": hello.accept_hello,
    "acknowledge": hello.acknowledge,
    "fill": hello.answer_gap,
    "expire": expire,
    "checkpoint": checkpoint,
    "prove": witness.prove,
    "ask_again": hello.ask_again,
    "review": review,
    "recall": recall,
    "finish": finish,
    "act": act.act,
    "resume": act.resume,
    "ask": consent.ask_consent,
    "answer": consent.answer_consent,
    "report": meet_duty,
    "backfill": backfill,
    "adopt": adopt,
    "announce": hello.announce,
}
