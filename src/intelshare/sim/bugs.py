"""Planted bugs: small interpositions between the simulator and the broker. They show that the checks see."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from intelshare.broker.effects import Effects
from intelshare.broker.frame import Ack, Carried, Outbound
from intelshare.broker.node import Node
from intelshare.broker.receive import Arrival, Taken
from intelshare.broker.tables import INCOMING, NODE, OUTGOING, PAIR, RECEIVED, STATEMENT
from intelshare.broker.transaction import SELF, ToSay, Transaction
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.records import Kind, Receipt, Release
from intelshare.instant import Instant
from intelshare.ports import Plan, Put, Random, View
from intelshare.sim.steps import STEPS, Step, Steps
from intelshare.statement import Leaf, leaf_id, sign_batch


def _honest(view: View, drawn: int) -> int:
    del view
    return drawn


@dataclass(frozen=True)
class Bug:
    """What is different from the honest node."""

    name: str = ""
    seen_by: tuple[str, ...] = ()
    """Invariants, of which one must fail."""
    steps: Steps = field(default_factory=lambda: STEPS)
    early: frozenset[str] = frozenset()
    """Steps whose answers leave before the fsync."""
    incarnation: Callable[[View, int], int] = _honest
    """(disk, drawn id) -> the id of the next incarnation."""


NONE = Bug()


class _Blind:
    """A view in which no statement of a peer was ever received."""

    def __init__(self, view: View) -> None:
        self._view = view

    def get(self, table: Any, *key: Any) -> Any:
        """Nothing of RECEIVED."""
        return None if table is RECEIVED else self._view.get(table, *key)

    def find(self, table: Any, *args: Any, **kwargs: Any) -> Any:
        """Nothing of RECEIVED."""
        return [] if table is RECEIVED else self._view.find(table, *args, **kwargs)

    def count(self, table: Any, *args: Any) -> int:
        """As it is."""
        return self._view.count(table, *args)


def _no_duplicate_check(receive: Step) -> Step:
    def step(node: Node, view: View, arrival: Arrival, now: Instant, random: Random) -> Plan[Taken]:
        return receive(node, _Blind(view), arrival, now, random)

    return step


def _sealed_again(resend: Step) -> Step:
    """What is sent again is signed again: under its number, but with another nonce."""

    def step(
        node: Node, view: View, peer: Any, busy: Any, room: int, now: Instant, random: Random
    ) -> Plan[tuple[tuple[Outbound, ...], bool]]:
        frames, more = resend(node, view, peer, busy, room, now, random).answer
        return Plan((), (tuple(_sign_again(node, frame, now, random) for frame in frames), more))

    return step


def _sign_again(node: Node, outbound: Outbound, now: Instant, random: Random) -> Outbound:
    if outbound.frame.statements[0].kind != Kind.RELEASE:
        return outbound
    leaves = [Leaf(Kind(c.kind), random(16), c.data) for c in outbound.frame.statements]
    signed = sign_batch(leaves, node.signer, now, random)
    statements = tuple(
        replace(carried, nonce=made.nonce, proof=made.proof)
        for carried, made in zip(outbound.frame.statements, signed.statements, strict=True)
    )
    return replace(
        outbound,
        frame=replace(outbound.frame, batch=signed.batch, statements=statements),
        leaves=signed.leaves,
    )


def _receipt_again(receive: Step) -> Step:
    """A known release is answered by a new receipt, not by the stored one."""

    def step(node: Node, view: View, arrival: Arrival, now: Instant, random: Random) -> Plan[Taken]:
        plan: Plan[Taken] = receive(node, view, arrival, now, random)
        said = []
        for ack in plan.answer.acks:
            known = view.get(RECEIVED, arrival.member, ack.digest)
            stored = view.get(STATEMENT, known.receipt) if known is not None and known.receipt else None
            if stored is not None:
                again = replace(decode(Receipt, stored.data), decided_at=now)
                said.append(ToSay(arrival.member, Kind.RECEIPT, encode(Receipt, again), 0))
        if not said:
            return plan
        tx = Transaction(node, view, now, random)
        effects = plan.answer.effects
        effects = replace(effects, outbound=(*effects.outbound, *tx.say(said)))
        writes = (*plan.writes, *tx.plan(None).writes)
        return Plan(writes, replace(plan.answer, effects=effects, again=False))

    return step


def _all_acknowledged(receive: Step) -> Step:
    """If one statement of a frame is rejected, the whole frame is acknowledged."""

    def step(node: Node, view: View, arrival: Arrival, now: Instant, random: Random) -> Plan[Taken]:
        plan: Plan[Taken] = receive(node, view, arrival, now, random)
        acks = tuple(replace(ack, code="") for ack in plan.answer.acks)
        return Plan(plan.writes, replace(plan.answer, acks=acks))

    return step


def _late_is_known(receive: Step) -> Step:
    """A number below the highest taken is believed to be known."""

    def step(node: Node, view: View, arrival: Arrival, now: Instant, random: Random) -> Plan[Taken]:
        late: list[Ack] = []
        kept: list[Carried] = []
        for carried in arrival.frame.statements:
            if carried.kind == Kind.RELEASE and _is_late(view, decode(Release, carried.data)):
                late.append(Ack(leaf_id(Kind.RELEASE, carried.nonce, carried.data), "", now))
            else:
                kept.append(carried)
        if not kept:
            return Plan((), Taken(tuple(late), False, (), 0, Effects()))
        frame = replace(arrival.frame, statements=tuple(kept))
        plan: Plan[Taken] = receive(node, view, replace(arrival, frame=frame), now, random)
        return Plan(plan.writes, replace(plan.answer, acks=(*plan.answer.acks, *late)))

    return step


def _is_late(view: View, release: Release) -> bool:
    stream = view.get(INCOMING, release.origin, release.incarnation)
    return stream is not None and release.sequence < stream.last


def _number_at_queueing(handover: Step) -> Step:
    """A number is given to what then does not go: it was given when the pair was queued."""

    def step(node: Node, view: View, rooms: Any, now: Instant, random: Random) -> Plan[tuple[Outbound, ...]]:
        plan: Plan[tuple[Outbound, ...]] = handover(node, view, rooms, now, random)
        puts = [write for write in plan.writes if isinstance(write, Put)]
        tips = {put.row.recipient: put.row for put in puts if put.table is OUTGOING}
        for put in puts:
            if put.table is PAIR and put.row.cause:
                peer = put.row.recipient
                tip = tips.get(peer) or view.get(OUTGOING, node.incarnation, peer)
                if tip is not None:
                    tips[peer] = replace(tip, last=tip.last + 1)
        return Plan((*plan.writes, *(Put(OUTGOING, row) for row in tips.values())), plan.answer)

    return step


def _counter(view: View, drawn: int) -> int:
    """One more than the incarnation in the database."""
    me = view.get(NODE, SELF)
    return me.incarnation + 1 if me is not None else drawn >> 1


def _with(name: str, wrap: Callable[[Step], Step]) -> Steps:
    return {**STEPS, name: wrap(STEPS[name])}


BUGS: Mapping[str, Bug] = {
    bug.name: bug
    for bug in (
        Bug("ok-before-fsync", ("I1",), early=frozenset(("submit",))),
        Bug("receipt-before-fsync", ("I2", "I3"), early=frozenset(("receive",))),
        Bug("no-duplicate-check", ("I2",), _with("receive", _no_duplicate_check)),
        Bug("sealed-again-on-retry", ("I5",), _with("resend", _sealed_again)),
        Bug("receipt-signed-again", ("I2",), _with("receive", _receipt_again)),
        Bug("incarnation-from-counter", ("I5",), incarnation=_counter),
        Bug("late-number-is-known", ("I9",), _with("receive", _late_is_known)),
        Bug("number-at-queueing", ("I5", "I9"), _with("handover", _number_at_queueing)),
        Bug("whole-batch-acknowledged", ("I3", "I9"), _with("receive", _all_acknowledged)),
    )
}
