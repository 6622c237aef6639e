"""The broker's steps by name, as the simulator calls them: a planted bug replaces some of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from intelshare.broker.exchange import consent
from intelshare.broker.exchange.backfill import backfill
from intelshare.broker.exchange.recall import recall
from intelshare.broker.kernel.documents import adopt
from intelshare.broker.lifecycle import operator_acts
from intelshare.broker.lifecycle.attachments import begin_upload, finish_upload, lost
from intelshare.broker.lifecycle.drop import drop
from intelshare.broker.lifecycle.duties import meet_duty
from intelshare.broker.lifecycle.exclude import exclude
from intelshare.broker.lifecycle.hearing import begin_hearing
from intelshare.broker.lifecycle.holds import approve, refuse
from intelshare.broker.lifecycle.read import read
from intelshare.broker.lifecycle.restored import forget_received
from intelshare.broker.line import hello
from intelshare.broker.line.submit import submit
from intelshare.broker.treaty import act
from intelshare.broker.treaty.policy_files import take_files
from intelshare.engine import steps as engine
from intelshare.ports import Plan

Step = Callable[..., Plan[Any]]
"""A step: ``step(node, view, *event, now, random) -> Plan``."""

Steps = Mapping[str, Step]


STEPS: Steps = {
    **engine.STEPS,
    "begin": hello.start_incarnation,
    "submit": submit,
    "begin_upload": begin_upload,
    "finish_upload": finish_upload,
    "lost": lost,
    "approve": approve,
    "refuse": refuse,
    "read": read,
    "ask_again": hello.ask_again,
    "forget_received": forget_received,
    "drop": drop,
    "begin_hearing": begin_hearing,
    "recall": recall,
    "act": act.act,
    "resume": act.resume,
    "ask": consent.ask_consent,
    "answer": consent.answer_consent,
    "report": meet_duty,
    "backfill": backfill,
    "exclude": exclude,
    "adopt": adopt,
    "announce": hello.announce,
    "take_files": take_files,
    "believe": operator_acts.believe_clock,
    "give_up": operator_acts.give_up,
}
"""The steps that the engine asks for, and those of users and starts."""
