"""The steps and queries of the broker that the engine asks for, by name: the table that drivers look up.

A driver may run ``table[name](node, view, *event, now, random)`` for a step, and ``table[name](node, view,
*event, now)`` for a query; the simulator plants bugs by replacing rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

from intelshare.broker.kernel.frame import Gap
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.tables import PAIR
from intelshare.broker.lifecycle import (
    anew,
    attachments,
    destroy,
    hearing,
    mend,
    purge,
    review,
    serving,
    stop,
)
from intelshare.broker.lifecycle.attachments import Kept
from intelshare.broker.line import courier, hand_back, hello
from intelshare.broker.line.handover import first_ready, handover
from intelshare.broker.line.receive import receive
from intelshare.broker.line.resend import first_pending, resend, resend_after, resend_but_releases
from intelshare.broker.transparency import checkpoint, directories, witness
from intelshare.broker.treaty import act
from intelshare.errors import StoreError
from intelshare.ids import Digest, MemberCode
from intelshare.instant import Instant
from intelshare.ports import Plan, View


class Step(StrEnum):
    """A step: it answers with a plan, and leads to ``Effects``."""

    HANDOVER = "handover"
    RESEND = "resend"
    RESEND_BUT_RELEASES = "resend_but_releases"
    RESEND_AFTER = "resend_after"
    ACCEPT_HELLO = "accept_hello"
    RECEIVE = "receive"
    ACKNOWLEDGE = "acknowledge"
    ANSWER_GAP = "answer_gap"
    HAND_BACK = "hand_back"
    PROVE = "prove"
    JUDGE_DIRECTORY = "judge_directory"
    EXPIRE = "expire"
    PURGE = "purge"
    REVIEW = "review"
    CHECKPOINT = "checkpoint"
    FINISH = "finish"
    ARRIVED = "arrived"
    LEARN = "learn"
    ANSWER_GAP_LATE = "answer_gap_late"
    OWE = "owe"
    WRITTEN = "written"
    TAKEN_IN = "taken_in"
    SIGN_ANEW = "sign_anew"
    BACK_SINCE = "back_since"
    HEARD = "heard"
    MEND = "mend"


class Query(StrEnum):
    """A query of the committed rows."""

    GREET = "greet"
    """This node's payload of a hello."""
    FRESH_FIRST = "fresh_first"
    """Tells if the most urgent ready pair goes before what is to be sent again."""
    QUEUED = "queued"
    """The number of pairs that wait for a member."""
    STILL_MISSING = "still_missing"
    """The gaps that are still open in the streams that were asked about."""
    ACTS_FORGOTTEN = "acts_forgotten"
    """The number of acts that a peer asks for and this node no longer has."""
    ANSWER = "answer"
    """The path by which this node's log follows from what a peer holds of it."""
    ANYTHING_OVER = "anything_over"
    SIGNED_AHEAD = "signed_ahead"
    """Tells if something may have been signed ahead of the clock as it is now."""
    ANYTHING_TO_PURGE = "anything_to_purge"
    CHECKPOINT_DUE = "checkpoint_due"
    MARKED = "marked"
    """The bulletins and files that were marked and are not destroyed yet."""
    FIRST_WANTED = "first_wanted"
    """The file of a member that is to be fetched first."""
    WANTED_BY_ID = "wanted_by_id"
    """The file of a member with these pieces, if it is wanted."""
    FILES_FOR = "files_for"
    """The files that a bundle to a member may carry."""
    SERVES = "serves"
    """The file whose pieces a peer asks for, if it may have it."""
    OWED = "owed"
    """The answers and questions that a bundle to a member must carry."""
    GAPS = "gaps"
    """The gaps in a member's streams and acts."""
    FRESH_BEFORE = "fresh_before"
    """As FRESH_FIRST, where much of what was signed is already in the bundle."""
    LEFT = "left"
    """The pairs, statements and files that wait for a member."""
    UNHEARD = "unheard"
    """The members that are waited for since the disk forgot."""
    BROUGHT = "brought"
    """The bulletins that damaged records belong to, by the log."""


STEPS: Final[Mapping[str, Callable[..., Plan[Any]]]] = {
    Step.HANDOVER: handover,
    Step.RESEND: resend,
    Step.RESEND_BUT_RELEASES: resend_but_releases,
    Step.RESEND_AFTER: resend_after,
    Step.ACCEPT_HELLO: hello.accept_hello,
    Step.RECEIVE: receive,
    Step.ACKNOWLEDGE: hello.acknowledge,
    Step.ANSWER_GAP: hello.answer_gap,
    Step.HAND_BACK: hand_back.hand_back,
    Step.PROVE: witness.prove,
    Step.JUDGE_DIRECTORY: directories.judge_directory,
    Step.EXPIRE: stop.expire,
    Step.PURGE: purge.purge,
    Step.REVIEW: review.review,
    Step.CHECKPOINT: checkpoint.checkpoint,
    Step.FINISH: destroy.finish,
    Step.ARRIVED: attachments.arrived,
    Step.LEARN: courier.learn,
    Step.ANSWER_GAP_LATE: courier.answer_gap_late,
    Step.OWE: courier.owe,
    Step.WRITTEN: courier.written,
    Step.TAKEN_IN: courier.taken_in,
    Step.SIGN_ANEW: anew.sign_anew,
    Step.BACK_SINCE: hand_back.back_since,
    Step.HEARD: hearing.heard,
    Step.MEND: mend.mend,
}


def _fresh_first(node: Node, view: View, member: MemberCode, now: Instant) -> bool:
    del node, now
    ready, pending = first_ready(view, member), first_pending(view, member)
    return ready is not None and (pending is None or ready < pending.rank)


def _queued(node: Node, view: View, member: MemberCode, now: Instant) -> int:
    del node, now
    return view.count(PAIR, "ready", member, 1)


def _still_missing(
    node: Node, view: View, member: MemberCode, streams: Sequence[tuple[str, int]], now: Instant
) -> tuple[Gap, ...]:
    del node, now
    found = [hello.still_missing(view, member, origin, incarnation) for origin, incarnation in streams]
    return tuple([gap for gap in found if gap is not None])


def _serves(node: Node, view: View, member: MemberCode, pieces: Digest, now: Instant) -> Kept | None:
    try:
        return serving.serves(node, view, member, pieces, now)
    except StoreError:
        # A damaged record affects this file, not the link.
        return None


QUERIES: Final[Mapping[Query, Callable[..., Any]]] = {
    Query.GREET: hello.make_hello,
    Query.FRESH_FIRST: _fresh_first,
    Query.QUEUED: _queued,
    Query.STILL_MISSING: _still_missing,
    Query.ACTS_FORGOTTEN: lambda node, view, first, _: act.forgotten(node, view, first),
    Query.ANSWER: lambda node, view, ask, _: checkpoint.answer(node, view, ask),
    Query.ANYTHING_TO_PURGE: purge.anything_to_purge,
    Query.ANYTHING_OVER: lambda _, view, now: stop.anything_over(view, now),
    Query.SIGNED_AHEAD: lambda _, view, now: anew.signed_ahead(view, now),
    Query.CHECKPOINT_DUE: checkpoint.due,
    Query.MARKED: lambda _, view, __: destroy.marked(view),
    Query.FIRST_WANTED: attachments.first_wanted,
    Query.WANTED_BY_ID: attachments.wanted_by_id,
    Query.FILES_FOR: lambda _, view, member, asked, __: courier.files_for(view, member, asked),
    Query.SERVES: _serves,
    Query.OWED: lambda _, view, member, now: courier.owed(view, member, now),
    Query.GAPS: lambda _, view, member, __: courier.gaps_of(view, member),
    Query.FRESH_BEFORE: lambda _, view, member, taken, after, __: courier.fresh_before(
        view, member, taken, after
    ),
    Query.LEFT: lambda _, view, member, __: courier.left(view, member),
    Query.UNHEARD: lambda _, view, __: hearing.unheard(view),
    Query.BROUGHT: lambda node, view, records, _: mend.brought_by(node, view, records),
}
