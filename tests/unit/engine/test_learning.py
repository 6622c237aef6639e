"""What a replica learns from what the others have committed, and what it leaves to the one that leads."""

from __future__ import annotations

from typing import Any

import pytest

from builders import NOW, actor, draft, seeded, text
from intelshare.broker.exchange.recall import RecallCommand, recall
from intelshare.broker.kernel.effects import Effects
from intelshare.broker.line.submit import SubmitCommand, submit
from intelshare.engine.events import Committed, Event, NodeChanged, QueuedAgain, Ready, TimerDue
from intelshare.engine.following import is_for, learn
from intelshare.ids import MemberCode
from intelshare.ports import Plan, durable_after_commit
from intelshare.sim.turns import Group
from intelshare.sim.written import Written
from line_world import TO_USA, hand_over, met, send
from piece_files import portion, uploaded

USA = MemberCode("USA")


def after(plan: Plan[Any]) -> Written:
    """What another replica has committed."""
    return Written([Group([plan])])


def effects_of(events: tuple[Event, ...]) -> Effects:
    (committed,) = [event for event in events if isinstance(event, Committed)]
    return committed.effects.value


def recalled(member: Any, name: str) -> Plan[Any]:
    command = RecallCommand(actor("FRA", "a"), name, "wrong")
    plan: Plan[Any] = member.store.ask_now(
        lambda view: recall(member.node, view, command, NOW, seeded("recall"))
    )
    return plan


def test_who_leads_hears_of_files_that_another_replica_has_marked_for_removal() -> None:
    """A recall marks the files of this member's bulletin: only the one that leads removes their pieces."""
    fra = met()["FRA"]
    record, _ = uploaded(fra, b"an annex")
    name = send(fra, draft(portion(record), to=["USA"])).bulletin.hex()
    assert effects_of(learn(fra.node, after(recalled(fra, name)), leads=True).events).marked


def test_who_leads_hears_of_pairs_of_statements_and_of_what_must_not_be_sent_again() -> None:
    fra = met()["FRA"]
    command = SubmitCommand(actor("FRA", "a"), b"key".ljust(16, b"."), draft(text(TO_USA), to=["USA"]))
    plan = fra.store.ask_now(lambda view: submit(fra.node, view, command, NOW, seeded("submit")))
    assert Ready((USA,)) in learn(fra.node, after(plan), leads=True).events
    name = fra.do(submit, command).bulletin.hex()
    hand_over(fra, "USA")
    plan = recalled(fra, name)
    events = learn(fra.node, after(plan), leads=True).events
    assert set(effects_of(events).ended) == set(plan.answer.effects.ended)
    assert QueuedAgain(USA) in events


def test_who_does_not_lead_is_told_of_nothing_to_send_and_keeps_its_engine_to_itself() -> None:
    fra = met()["FRA"]
    name = send(fra, draft(text(TO_USA), to=["USA"])).bulletin.hex()
    learnt = learn(fra.node, after(recalled(fra, name)), leads=False)
    assert learnt.events == ()
    for event in (Committed(durable_after_commit(Effects())), Ready((USA,)), QueuedAgain(USA)):
        assert is_for(event, leads=True)
        assert not is_for(event, leads=False)
    for event in (TimerDue(), NodeChanged()):
        assert is_for(event, leads=False)


@pytest.mark.parametrize("leads", [True, False])
def test_everybody_forgets_what_is_remembered_of_a_pair_that_another_has_changed(leads: bool) -> None:
    fra = met()["FRA"]
    stored = send(fra, draft(text(TO_USA), to=["USA"]))
    learn(fra.node, after(Plan((), None)), leads=leads)
    assert fra.node.recent.remembered() == (stored.md,)
    learn(fra.node, after(recalled(fra, stored.bulletin.hex())), leads=leads)
    assert fra.node.recent.remembered() == ()
