"""Planted bugs at the receiving end: each takes the honest step and returns a dishonest one
(``bugs.BUGS``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.frame import Ack, Carried
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.tables import (
    BATCH,
    INBOX,
    INCOMING,
    PAIR,
    RECALLED,
    RECEIVED,
    STATEMENT,
    BatchRow,
    IncomingRow,
)
from intelshare.broker.kernel.transaction import ToSay, Transaction
from intelshare.broker.line.receive import Arrival, ReceiveResult
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.pae import sha256
from intelshare.crypto.records import Kind, Receipt, Release
from intelshare.delivery import Cause, Ranges
from intelshare.ids import Digest
from intelshare.instant import Instant
from intelshare.ports import Plan, Put, Random, Table, View, changed
from intelshare.sim.law import treaties
from intelshare.sim.seen import Seen
from intelshare.sim.steps import Step
from intelshare.statement import leaf_id

WINDOW = 4
"""The number of statements that a short memory keeps."""


def without(table: Table[Any]) -> Callable[[Step], Step]:
    """Plant: the step ignores a table."""

    def plant(step: Step) -> Step:
        def planted(node: Node, view: View, *event: Any) -> Plan[Any]:
            return step(node, Seen(view, table, _nothing), *event)

        return planted

    return plant


def _nothing(row: Any) -> None:
    del row


no_duplicate_check = without(RECEIVED)
forgets_recalls = without(RECALLED)
keeps_what_is_over = without(INBOX)


def short_memory(receive: Step) -> Step:
    """Plant: only the newest statements of a peer are recognised."""

    def planted(
        node: Node, view: View, arrival: Arrival, now: Instant, random: Random
    ) -> Plan[ReceiveResult]:
        kept = sorted(row.at for row in view.find(RECEIVED, "key", arrival.member, limit=1 << 30))[-WINDOW:]
        oldest = kept[0] if kept else 0
        seen = Seen(view, RECEIVED, lambda row: row if row.at > oldest else None)
        return receive(node, seen, arrival, now, random)

    return planted


def takes_cancelled(receive: Step) -> Step:
    """Plant: a cancelled number is accepted as if it had not been cancelled."""

    def planted(
        node: Node, view: View, arrival: Arrival, now: Instant, random: Random
    ) -> Plan[ReceiveResult]:
        seen = Seen(view, INCOMING, lambda row: changed(row, cancelled=b""))
        plan: Plan[ReceiveResult] = receive(node, seen, arrival, now, random)
        return replace(plan, writes=tuple(_kept(view, write) for write in plan.writes))

    def _kept(view: View, write: Any) -> Any:
        if write.table is not INCOMING or not isinstance(write, Put):
            return write
        row: IncomingRow = write.row
        before = view.get(INCOMING, row.origin, row.incarnation)
        ranges = Ranges.unpack(row.cancelled)
        for first, last in Ranges.unpack(before.cancelled).spans if before is not None else ():
            ranges = ranges.add(first, last)
        return Put(INCOMING, changed(row, cancelled=ranges.pack()))

    return planted


def accepts_what_was_recalled(receive: Step) -> Step:
    """Plant: a bulletin that arrives after its recall is accepted, whatever its number."""
    return takes_cancelled(without(RECALLED)(receive))


def skips_policy(receive: Step) -> Step:
    """Plant: the recipient accepts the sender's decision without applying its own law."""

    def planted(
        node: Node, view: View, arrival: Arrival, now: Instant, random: Random
    ) -> Plan[ReceiveResult]:
        lawless = replace(node, world=replace(node.world, overlays={}, treaties=treaties()))
        plan: Plan[ReceiveResult] = receive(lawless, view, arrival, now, random)
        after = plan.answer.effects.node
        if after is None:
            return plan
        world = replace(after.world, overlays=node.world.overlays)
        effects = replace(plan.answer.effects, node=replace(after, world=world))
        return replace(plan, answer=replace(plan.answer, effects=effects))

    return planted


def keeps_grants(receive: Step) -> Step:
    """Plant: the batch key and grant of an accepted release stay on disk."""

    def planted(
        node: Node, view: View, arrival: Arrival, now: Instant, random: Random
    ) -> Plan[ReceiveResult]:
        plan: Plan[ReceiveResult] = receive(node, view, arrival, now, random)
        kept = [carried.grant for carried in arrival.frame.statements if carried.grant]
        if not plan.answer.accepted:
            return plan
        rows = [BatchRow(Digest(sha256(raw)), raw) for raw in (arrival.frame.batch_key, *kept)]
        return replace(plan, writes=(*plan.writes, *(Put(BATCH, row) for row in rows)))

    return planted


def receipt_again(receive: Step) -> Step:
    """Plant: a known release is answered with a new receipt instead of the stored one."""

    def planted(
        node: Node, view: View, arrival: Arrival, now: Instant, random: Random
    ) -> Plan[ReceiveResult]:
        plan: Plan[ReceiveResult] = receive(node, view, arrival, now, random)
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

    return planted


def all_acknowledged(receive: Step) -> Step:
    """Plant: if one statement of a frame is rejected, the whole frame is acknowledged."""

    def planted(
        node: Node, view: View, arrival: Arrival, now: Instant, random: Random
    ) -> Plan[ReceiveResult]:
        plan: Plan[ReceiveResult] = receive(node, view, arrival, now, random)
        acks = tuple(replace(ack, code="") for ack in plan.answer.acks)
        return Plan(plan.writes, replace(plan.answer, acks=acks))

    return planted


def _deaf_to(wanted: Callable[[View, Carried], bool]) -> Callable[[Step], Step]:
    """Plant: some statements are acknowledged and then dropped."""

    def plant(receive: Step) -> Step:
        def planted(
            node: Node, view: View, arrival: Arrival, now: Instant, random: Random
        ) -> Plan[ReceiveResult]:
            heard: list[Carried] = []
            late: list[Ack] = []
            for carried in arrival.frame.statements:
                if wanted(view, carried):
                    late.append(Ack(leaf_id(Kind(carried.kind), carried.nonce, carried.data), "", now))
                else:
                    heard.append(carried)
            if not heard:
                return Plan((), ReceiveResult(tuple(late), False, (), 0, Effects(), {}))
            frame = replace(arrival.frame, statements=tuple(heard))
            plan: Plan[ReceiveResult] = receive(node, view, replace(arrival, frame=frame), now, random)
            return Plan(plan.writes, replace(plan.answer, acks=(*plan.answer.acks, *late)))

        return planted

    return plant


def _is_late(view: View, carried: Carried) -> bool:
    if carried.kind != Kind.RELEASE:
        return False
    release = decode(Release, carried.data)
    stream = view.get(INCOMING, release.origin, release.incarnation)
    return stream is not None and release.sequence < stream.last


def _is_after_stop(view: View, carried: Carried) -> bool:
    if carried.kind != Kind.RECEIPT:
        return False
    statement = view.get(STATEMENT, decode(Receipt, carried.data).leaf)
    pair = view.get(PAIR, statement.md, statement.peer) if statement is not None else None
    return pair is not None and pair.cause != Cause.NONE


late_is_known = _deaf_to(_is_late)
ignores_late_receipts = _deaf_to(_is_after_stop)


def asks_for_no_damaged(mend: Step) -> Step:
    """Plant: a damaged bulletin is forgotten, and nobody is asked for it."""

    def planted(node: Node, view: View, *event: Any) -> Plan[Any]:
        plan = mend(node, view, *event)
        kept = tuple([write for write in plan.writes if write.table is not INCOMING])
        effects = replace(plan.answer.effects, gaps=())
        return Plan(kept, replace(plan.answer, effects=effects))

    return planted
