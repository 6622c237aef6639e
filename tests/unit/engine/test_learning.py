"""What a replica learns from what the others have committed."""

from __future__ import annotations

from typing import Any

from builders import NOW, actor, draft, seeded, text
from intelshare.broker.exchange.recall import RecallCommand, recall
from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.frame import Gap
from intelshare.broker.kernel.tables import INCOMING, PENDING, STATEMENT, IncomingRow
from intelshare.broker.kernel.transaction import Transaction
from intelshare.broker.line.submit import SubmitCommand, submit
from intelshare.delivery import Ranges
from intelshare.engine.events import Committed, Event, Lacking, QueuedAgain, Ready
from intelshare.engine.following import learn_groups
from intelshare.ids import Incarnation, LeafId, MemberCode, NodeUri
from intelshare.instant import Instant
from intelshare.ports import Plan, Put, changed
from intelshare.sim.turns import TurnGroup
from intelshare.sim.written import Written
from line_world import TO_USA, hand_over, met, send
from piece_files import portion, uploaded

USA = MemberCode("USA")


def after(plan: Plan[Any]) -> Written:
    """What another replica has committed."""
    return Written([TurnGroup([plan])])


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
    assert effects_of(learn_groups(fra.node, after(recalled(fra, name))).events).marked


def test_who_has_the_link_asks_for_what_another_replica_has_found_missing() -> None:
    """That one may have ended before it could ask."""
    usa = met()["USA"]
    row = IncomingRow(NodeUri("intelshare://fra/node/one"), Incarnation(7), MemberCode("FRA"), 3, LeafId(b""),
                      Ranges().add(2, 2).pack(), b"", 0, 0)  # fmt: skip
    events = learn_groups(usa.node, after(Plan((Put(INCOMING, row),), None))).events
    assert events == (Lacking(((MemberCode("FRA"), Gap(row.origin, row.incarnation, ((2, 2),))),)),)
    whole = changed(row, holes=b"")
    assert learn_groups(usa.node, after(Plan((Put(INCOMING, whole),), None))).events == ()


def test_who_has_the_link_hears_of_pairs_of_statements_and_of_what_must_not_be_sent_again() -> None:
    fra = met()["FRA"]
    command = SubmitCommand(actor("FRA", "a"), b"key".ljust(16, b"."), draft(text(TO_USA), to=["USA"]))
    plan = fra.store.ask_now(lambda view: submit(fra.node, view, command, NOW, seeded("submit")))
    assert Ready((USA,)) in learn_groups(fra.node, after(plan)).events
    name = fra.do(submit, command).bulletin.hex()
    hand_over(fra, "USA")
    plan = recalled(fra, name)
    events = learn_groups(fra.node, after(plan)).events
    assert set(effects_of(events).ended) == set(plan.answer.effects.ended)
    assert QueuedAgain(USA) in events


def test_what_waits_and_is_signed_again_is_withdrawn_and_loaded_in_its_place() -> None:
    """A key was revoked: the one that leads signs again, and the links are other replicas'."""
    fra = met()["FRA"]
    send(fra, draft(text(TO_USA), to=["USA"]))
    (sent,) = hand_over(fra, "USA")
    (leaf,) = sent.leaves

    def again(node: Any, view: Any, now: Instant, random: Any) -> Plan[Effects]:
        tx = Transaction(node, view, now, random)
        waits = [row for row in view.find(PENDING, "peer", "USA") if row.leaf == leaf]
        tx.sign_again([view.get(STATEMENT, leaf)], waits)
        return tx.plan(tx.effects())

    events = learn_groups(
        fra.node, after(fra.store.ask_now(lambda view: again(fra.node, view, NOW, seeded("a"))))
    ).events
    assert (USA, leaf) in effects_of(events).ended
    assert QueuedAgain(USA) in events


def test_everybody_forgets_what_is_remembered_of_a_pair_that_another_has_changed() -> None:
    fra = met()["FRA"]
    stored = send(fra, draft(text(TO_USA), to=["USA"]))
    learn_groups(fra.node, after(Plan((), None)))
    assert fra.node.recent.remembered() == (stored.md,)
    learn_groups(fra.node, after(recalled(fra, stored.bulletin.hex())))
    assert fra.node.recent.remembered() == ()
