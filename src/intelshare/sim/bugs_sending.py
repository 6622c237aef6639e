"""Planted bugs at the sending end and at a start: each takes the honest step and returns a dishonest one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.frame import Ack, Gap, Outbound
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.queue_bounds import QueueBounds
from intelshare.broker.kernel.tables import (
    BULLETIN,
    FILE,
    LOG_HEAD,
    NODE,
    OUTGOING,
    PAIR,
    PENDING,
    PORTION,
    STATEMENT,
    SUBMISSION,
)
from intelshare.broker.kernel.transaction import SELF, Transaction
from intelshare.broker.lifecycle.review import ReviewResult
from intelshare.crypto.records import Kind
from intelshare.delivery import BestReceipt
from intelshare.errors import DeliveryError
from intelshare.ids import Incarnation, MemberCode
from intelshare.instant import Instant
from intelshare.ports import Delete, Plan, Put, Random, View, changed
from intelshare.sim.law import law
from intelshare.sim.seen import Seen
from intelshare.sim.steps import Step
from intelshare.sim.world import user
from intelshare.statement import Leaf, sign_batch


def _as_filed(node: Node) -> Node:
    """Return the node in the world without acts, in which everything was queued."""
    return replace(node, world=law(node.member, tuple(sorted(node.world.members))))


def decides_once(step: Step) -> Step:
    """Plant: a pair that was decided when it was queued is not decided again."""

    def planted(node: Node, view: View, *event: Any) -> Plan[Any]:
        return step(_as_filed(node), view, *event)

    return planted


def reviews_nothing(review: Step) -> Step:
    """Plant: a change of the world stops nothing that is on its way."""
    del review

    def planted(*event: Any) -> Plan[ReviewResult]:
        del event
        return Plan((), ReviewResult((), Effects()))

    return planted


def keeps_files(recall: Step) -> Step:
    """Plant: a recall leaves the files where they are."""

    def planted(*event: Any) -> Plan[Any]:
        plan = recall(*event)
        return replace(plan, writes=tuple(write for write in plan.writes if write.table is not FILE))

    return planted


def sealed_again(resend: Step) -> Step:
    """Plant: a release that is sent again is signed again, under its number but with another nonce."""

    def planted(
        node: Node, view: View, peer: Any, busy: Any, room: int, now: Instant, random: Random
    ) -> Plan[tuple[tuple[Outbound, ...], bool]]:
        frames, more = resend(node, view, peer, busy, room, now, random).answer
        return Plan((), (tuple(_sign_again(node, frame, now, random) for frame in frames), more))

    return planted


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


def drops_when_full(submit: Step) -> Step:
    """Plant: a submission that finds no room is answered with OK, and nothing is stored."""

    def planted(node: Node, view: View, *event: Any) -> Plan[Any]:
        try:
            return submit(node, view, *event)
        except DeliveryError as error:
            if error.code != "QUEUE_FULL":
                raise
        return replace(submit(replace(node, queues=QueueBounds()), view, *event), writes=())

    return planted


def number_at_queueing(handover: Step) -> Step:
    """Plant: a pair that is then stopped keeps a number, as if it had been numbered when it was queued."""

    def planted(node: Node, view: View, *event: Any) -> Plan[tuple[Outbound, ...]]:
        plan: Plan[tuple[Outbound, ...]] = handover(node, view, *event)
        puts = [write for write in plan.writes if isinstance(write, Put)]
        tips = {put.row.recipient: put.row for put in puts if put.table is OUTGOING}
        for put in puts:
            if put.table is PAIR and put.row.cause:
                peer = put.row.recipient
                tip = tips.get(peer) or view.get(OUTGOING, node.incarnation, peer)
                if tip is not None:
                    tips[peer] = changed(tip, last=tip.last + 1)
        return Plan((*plan.writes, *(Put(OUTGOING, row) for row in tips.values())), plan.answer)

    return planted


def cancels_nothing(step: Step) -> Step:
    """Plant: a release that is stopped on its way is not cancelled in its stream, and no head says so."""

    def planted(node: Node, view: View, *event: Any) -> Plan[Any]:
        plan = step(node, view, *event)
        heads = {
            write.row.leaf
            for write in plan.writes
            if isinstance(write, Put) and write.table is STATEMENT and write.row.kind == Kind.STREAM_HEAD
        }

        def stays(write: Any) -> bool:
            return not isinstance(write, Put) or not (
                write.table is OUTGOING or (write.table in (STATEMENT, PENDING) and write.row.leaf in heads)
            )

        effects = plan.answer.effects
        said = tuple(one for one in effects.outbound if not heads.intersection(one.leaves))
        changed = replace(effects, outbound=said)
        answer = changed if effects is plan.answer else replace(plan.answer, effects=changed)
        return Plan(tuple(write for write in plan.writes if stays(write)), answer)

    return planted


def purges_on_acknowledgement(acknowledge: Step) -> Step:
    """Plant: the content is purged once its frame is acknowledged, without the recipient's receipt."""

    def planted(
        node: Node, view: View, peer: MemberCode, acks: Sequence[Ack], now: Instant, random: Random
    ) -> Plan[Any]:
        plan = acknowledge(node, view, peer, acks, now, random)
        gone = []
        for ack in acks:
            said = view.get(STATEMENT, ack.digest)
            pair = view.get(PAIR, said.md, peer) if said is not None and said.md else None
            if pair is not None and pair.receipt == BestReceipt.NONE:
                gone += [
                    Put(PORTION, changed(row, body=b"", purged=now))
                    for row in view.find(PORTION, "key", pair.md)
                ]
        return replace(plan, writes=(*plan.writes, *gone))

    return planted


def log_goes_on(begin: Step) -> Step:
    """Plant: a start continues the log of the start before."""

    def planted(node: Node, view: View, now: Instant, random: Random) -> Plan[Incarnation]:
        if view.get(LOG_HEAD, node.incarnation) is not None:
            return Plan((), node.incarnation)
        plan: Plan[Incarnation] = begin(node, view, now, random)
        return plan

    return planted


def same_incarnation(view: View, drawn: int) -> int:
    """Return the incarnation in the database again."""
    me = view.get(NODE, SELF)
    return me.incarnation if me is not None else drawn


def counted_incarnation(view: View, drawn: int) -> int:
    """Return one more than the incarnation in the database."""
    me = view.get(NODE, SELF)
    return me.incarnation + 1 if me is not None else drawn >> 1


def takes_any_content(submit: Step) -> Step:
    """Plant: a key that is known is answered with OK, whatever comes under it."""

    def planted(node: Node, view: View, *event: Any) -> Plan[Any]:
        try:
            return submit(node, view, *event)
        except DeliveryError as error:
            if error.code != "ID_CONFLICT":
                raise
        return replace(submit(node, Seen(view, SUBMISSION, lambda _: None), *event), writes=())

    return planted


def approves_own(approve: Step) -> Step:
    """Plant: whoever wrote a held bulletin may release it."""

    def planted(node: Node, view: View, *event: Any) -> Plan[Any]:
        other = user(node.member, "b")
        return approve(node, Seen(view, BULLETIN, lambda row: changed(row, author=other)), *event)

    return planted


def ignores_holds(handover: Step) -> Step:
    """Plant: only a submission holds; what is to be held since then goes."""

    def planted(node: Node, view: View, *event: Any) -> Plan[Any]:
        free = {member: replace(overlay, hold=()) for member, overlay in node.world.overlays.items()}
        return handover(replace(node, world=replace(node.world, overlays=free)), view, *event)

    return planted


def answers_anybody(answer_gap: Step) -> Step:
    """Plant: whoever asks for numbers gets those of all streams of that incarnation."""

    def planted(
        node: Node, view: View, peer: MemberCode, gap: Gap, now: Instant, random: Random
    ) -> Plan[bool]:
        plan: Plan[bool] = answer_gap(node, view, peer, gap, now, random)
        tx = Transaction(node, view, now, random)
        others = [member for member in node.trust.partners if member != peer]
        for member in others if gap.origin == node.uri else ():
            for row in view.find(STATEMENT, "number", member, Kind.RELEASE, gap.incarnation):
                if any(first <= row.sequence <= last for first, last in gap.missing):
                    tx.queue_as_signed(row, peer, 0)
        writes = tx.plan(None).writes
        return Plan((*plan.writes, *writes), plan.answer or bool(writes))

    return planted


def forgets_its_recalls(begin: Step) -> Step:
    """Plant: a recall that nobody has acknowledged is forgotten at the next start."""

    def planted(node: Node, view: View, now: Instant, random: Random) -> Plan[Any]:
        plan = begin(node, view, now, random)
        gone = []
        for row in view.find(PENDING, "key", limit=1 << 30):
            said = view.get(STATEMENT, row.leaf)
            if said is not None and said.kind == Kind.RECALL:
                gone.append(Delete(PENDING, (row.leaf, row.peer)))
        return replace(plan, writes=(*plan.writes, *gone))

    return planted


class _Releases:
    """A view that knows no other statements of this node than its releases."""

    unbound: View | None = None
    """See ports.View."""

    def __init__(self, view: View) -> None:
        self._view = view
        self.get_many, self.find, self.count = view.get_many, view.find, view.count

    def get(self, table: Any, *key: Any) -> Any:
        """See ports.View."""
        row = self._view.get(table, *key)
        return None if table is STATEMENT and row is not None and row.kind != Kind.RELEASE else row


def leaves_stolen_signatures(sign_anew: Step) -> Step:
    """Plant: of what a stolen key had signed only releases go again; receipts stay as they were."""

    def planted(node: Node, view: View, *event: Any) -> Plan[Any]:
        return sign_anew(node, _Releases(view), *event)

    return planted


def moves_nothing_pending(pages: Iterator[Plan[None]]) -> Iterator[Plan[None]]:
    """Leave behind what waits to be acknowledged."""
    return (page for page in pages if all(write.table is not PENDING for write in page.writes))
