"""I10: what the metrics say is what the rows say, counted by hand."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from builders import NOW, actor, draft, text, user
from intelshare.broker.kernel.pair_rows import facts_of
from intelshare.broker.kernel.tables import INCOMING, PAIR, PENDING, IncomingRow
from intelshare.broker.lifecycle.hearing import begin_hearing, heard
from intelshare.broker.lifecycle.operator_acts import ReleaseStreamCommand, release_stream
from intelshare.broker.queries.lists import holes
from intelshare.broker.transparency.checkpoint import checkpoint
from intelshare.crypto.records import Precedence
from intelshare.delivery import BestReceipt, Cause, Stage
from intelshare.engine import BUDGETS
from intelshare.engine.budgets import Passing
from intelshare.ids import Incarnation, LeafId, MemberCode, NodeUri
from intelshare.instant import SECOND, Instant
from intelshare.metrics import HEALTH, Metric
from intelshare.ports import Plan, Put
from intelshare.roles import Role
from intelshare.services.dispatch import answer
from intelshare.services.metrics import collect
from intelshare.services.table import SERVICES
from intelshare.wire.v1 import user_pb2 as pb
from line_world import TO_USA, hand_over, log_of, met, rows, send
from services_world import MemberBackend

LATER = Instant(NOW + 7 * SECOND)


def values(backend: MemberBackend) -> dict[tuple[Metric, tuple[str, ...]], float]:
    samples = asyncio.run(collect(backend))
    found = {(sample.metric, sample.labels): sample.value for sample in samples}
    assert len(found) == len(samples), "one sample twice"
    return found


def test_queues_are_what_the_rows_say() -> None:
    fra = met(("FRA", "USA", "KEN"))["FRA"]
    for number in range(3):
        send(fra, draft(text(TO_USA), to=["USA"]), key=f"sent {number}")
    hand_over(fra, "USA")
    for number in range(2):
        draft_ = draft(text(TO_USA), to=["USA"], precedence=Precedence.FLASH)
        send(fra, draft_, key=f"waits {number}")
    found = values(MemberBackend(fra, LATER))
    pairs, pending = rows(fra, PAIR), rows(fra, PENDING)
    open_ = [pair for pair in pairs if not pair.cause and pair.receipt == BestReceipt.NONE]
    assert len(open_) == 5
    stages = Counter(Stage(pair.stage) for pair in open_)
    for stage in Stage:
        assert found[Metric.OPEN, (stage.name.lower(),)] == stages[stage]
    assert found[Metric.WAITS, ("USA",)] == len(open_) == found[Metric.WAITS_ALL, ()]
    assert found[Metric.WAITS, ("KEN",)] == 0
    ready = [pair for pair in pairs if pair.ready]
    assert found[Metric.QUEUED, ("USA", "flash")] == len(ready) == 2
    assert found[Metric.QUEUE_AGE, ("USA", "flash")] == (LATER - min(pair.created for pair in ready)) / SECOND
    of_usa = [row for row in pending if row.peer == "USA"]
    assert found[Metric.SENT, ("USA", "routine")] == len([row for row in of_usa if row.rank == 3]) == 3
    assert found[Metric.SENT_BYTES, ("USA", "routine")] == sum(row.size for row in of_usa if row.rank == 3)
    assert all(facts_of(pair).cause is Cause.NONE for pair in open_)


def test_of_more_than_a_thousand_streams_of_a_member_each_is_counted_shown_and_released() -> None:
    usa = met(("FRA", "USA"))["USA"]
    origin, none = NodeUri("ish://FRA/node/1"), LeafId(bytes(32))
    streams = [
        IncomingRow(origin, Incarnation(number), MemberCode("FRA"), 1, none, b"", b"", 1, 3)
        for number in range(1, 1003)
    ]
    plan = Plan(tuple(Put(INCOMING, row) for row in streams), None)
    asyncio.run(usa.store.perform(lambda _: plan))
    backend = MemberBackend(usa, LATER)
    found = values(backend)
    assert found[Metric.FROZEN, ("FRA",)] == 1002
    assert found[Metric.GAPS, ("FRA",)] == 2 * 1002
    ask = SERVICES["Operations"]["Status"]
    operator = actor("USA", "o", Role.OPERATOR)
    said: Any = asyncio.run(answer(backend, ask, operator, pb.StatusRequest()))
    assert [one.frozen_streams for one in said.peers if one.member == "FRA"] == [1002]
    assert len(usa.store.ask_now(lambda view: holes(view, [MemberCode("FRA")]))) == 1002
    command = ReleaseStreamCommand(user("USA", "o"), MemberCode("FRA"), "cleared by phone")
    assert usa.do(release_stream, command).streams == 1002


def test_the_log_and_its_checkpoint_are_what_the_rows_say() -> None:
    fra = met(("FRA", "USA"))["FRA"]
    send(fra, draft(text(TO_USA), to=["USA"]))
    fra.do(checkpoint, at=NOW)
    send(fra, draft(text(TO_USA), to=["USA"]), key="another")
    found = values(MemberBackend(fra, LATER))
    assert found[Metric.CHECKPOINT, ()] == 7
    assert 0 < found[Metric.LAGGING, ()] < found[Metric.ENTRIES, ()]
    assert found[Metric.ENTRIES, ()] == len(log_of(fra))


def test_a_member_whose_bulletins_wait_unread_is_told_until_an_operator_allows_it() -> None:
    fra = met(("FRA", "USA", "KEN"))["FRA"]
    fra.do(begin_hearing, NOW, at=NOW)
    found = values(MemberBackend(fra, LATER))
    assert found[Metric.UNHEARD, ("USA",)] == found[Metric.UNHEARD, ("KEN",)] == 7
    fra.do(heard, [MemberCode("USA")], at=NOW)
    found = values(MemberBackend(fra, LATER))
    assert (Metric.UNHEARD, ("USA",)) not in found
    assert found[Metric.UNHEARD, ("KEN",)] == 7


def test_what_the_process_counts_is_told() -> None:
    found = values(MemberBackend(met(("FRA",))["FRA"]))
    assert found[Metric.BUDGET, ("links",)] == BUDGETS[Passing.LINKS].most
    assert (found[Metric.LOW, ()], found[Metric.RESERVE_LIMIT, ()], found[Metric.RESERVE, ()]) == (2, 3, 10)
    assert found[Metric.FOLLOWED, ()] == 0.5
    assert found[Metric.CODE_BEGUN, ("TOKEN_FAILED",)] == 0
    assert found[Metric.MENDED, ("journal", "dropped")] == 0


def test_every_metric_but_those_that_need_a_link_or_a_fault_is_there() -> None:
    fra = met(("FRA", "USA"))["FRA"]
    send(fra, draft(text(TO_USA), to=["USA"]))
    found = values(MemberBackend(fra))
    assert {code for metric, (*code,) in found if metric is Metric.CODE for code in code} >= set(HEALTH)
    missing = set(Metric) - {metric for metric, _ in found}
    assert missing == {
        Metric.CONNECTIONS, Metric.MOST_CONNECTIONS, Metric.UNKNOWN, Metric.MOST_UNKNOWN, Metric.ENDED,
        Metric.LINKED_SINCE, Metric.TROUBLE, Metric.OFFSET, Metric.ALARMS, Metric.CHECKPOINT,
        Metric.THEIR_CHECKPOINT, Metric.UNHEARD, Metric.COST,
    }  # fmt: skip
