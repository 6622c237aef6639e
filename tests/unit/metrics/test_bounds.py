"""Every bound of a node has its metric, or a reason why it needs none: a new one has to be put here."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from intelshare.broker.kernel.queue_bounds import QueueBounds
from intelshare.engine import BUDGETS, ConnectionLimits, Limits, SpaceLimits
from intelshare.engine.connections import Reason
from intelshare.metrics import Metric
from intelshare.metrics.table import LABELS
from intelshare.node.settings import Settings
from intelshare.ports import Figures

IDENTITY = "says who the node is or where it listens: no bound"
DECISION = "a decision about lifetimes: what runs out has its own metric"
PACING = "paces work that has been accepted: what waits for it is in the metrics of queues"
HELLO = "a call beyond it ends with a code: see refusals and link errors"

MEASURED: dict[type[Any], dict[str, Metric | str]] = {
    Limits: {
        "hello": HELLO,
        "streams": HELLO,
        "at_work": PACING,
        "control": PACING,
        "files": Metric.WANTED,
        "slices": PACING,
        "slices_asked": HELLO,
        "releases": PACING,
        "answers": PACING,
        "dialled": Metric.NODES,
        "first_dial": PACING,
        "last_word": PACING,
        "hearing": Metric.UNHEARD,
        "learning": PACING,
        "space": Metric.LOW,
        "budgets": Metric.BUDGET,
    },
    SpaceLimits: {
        "low": Metric.LOW,
        "reserve": Metric.RESERVE_LIMIT,
        "give": Metric.RESERVE,
    },
    ConnectionLimits: {
        "connections": Metric.MOST_CONNECTIONS,
        "unknown": Metric.MOST_UNKNOWN,
        "of_address": Metric.ENDED,
        "of_one": Metric.ENDED,
        "each_second": Metric.ENDED,
        "prove": Metric.ENDED,
        "silence": Metric.ENDED,
    },
    QueueBounds: {
        "rows": Metric.BOUND,
        "size": Metric.BOUND_BYTES,
        "all_rows": Metric.BOUND_ALL,
        "all_size": Metric.BOUND_ALL_BYTES,
        "kept": Metric.KEPT_LIMIT,
    },
    Figures: {
        "journalled": Metric.JOURNALLED,
        "flushed": Metric.MOVED,
        "waiting": Metric.WAITING,
        "most_waiting": Metric.WAITING_LIMIT,
        "steps_waiting": Metric.STEPS_WAITING,
        "followed": Metric.FOLLOWED,
    },
    Settings: {
        **dict.fromkeys(("member", "node", "suite", "floor", "host", "advertise"), IDENTITY),
        **dict.fromkeys(("peer_port", "user_port", "metrics_host", "metrics_port"), IDENTITY),
        **dict.fromkeys(("allow_loopback_peers", "dial", "dial_member"), IDENTITY),
        **dict.fromkeys(("user_authority", "node_authority", "node_key"), IDENTITY),
        "node_certificate": Metric.CERTIFICATE,
        "largest_file": "a larger one is refused with TOO_LARGE: see refusals",
        "all_files": Metric.ATTACHMENTS_LIMIT,
        "peer_files": Metric.SHARE,
        "user_lifetime": DECISION,
        "node_lifetime": Metric.CERTIFICATE,
        "signing_period": Metric.KEY,
        "sealing_period": Metric.KEY,
        "connections": Metric.MOST_CONNECTIONS,
        "budgets": Metric.BUDGET,
        "space": Metric.LOW,
        "store": Metric.CODE_BEGUN,
        "token": Metric.CODE_BEGUN,
        "retention": DECISION,
        "queues": Metric.BOUND,
    },
}


@pytest.mark.parametrize("bounds", MEASURED, ids=lambda one: one.__name__)
def test_every_bound_has_its_metric_or_a_reason(bounds: type[Any]) -> None:
    assert {field.name for field in fields(bounds)} == set(MEASURED[bounds])


def test_budgets_and_reasons_of_the_gate_are_values_of_their_labels() -> None:
    for budget in BUDGETS:
        assert LABELS["budget"].fullmatch(budget)
    for reason in Reason:
        assert LABELS["reason"].fullmatch(reason)
