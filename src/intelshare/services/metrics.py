"""The metrics of a running node, as samples: facts about the process, and one look at the store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from intelshare import __version__
from intelshare.broker.kernel.actor import Actor
from intelshare.broker.kernel.counters import QUEUE, Count, count_of, queue_of
from intelshare.broker.kernel.kept_rows import kept_by
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.queue_bounds import QueueBounds
from intelshare.broker.kernel.tables import CHECKPOINT, INCOMING, LOG_HEAD, PAIR, IncomingRow
from intelshare.broker.lifecycle.attachments import wanted_of
from intelshare.broker.lifecycle.hearing import unheard
from intelshare.broker.lifecycle.mend import RecordOutcome
from intelshare.broker.lifecycle.streams import is_frozen, missing
from intelshare.broker.queries.queues import Queue, queues
from intelshare.broker.transparency.checkpoint import own
from intelshare.broker.transparency.evidence import alarms
from intelshare.broker.transparency.known_checkpoints import SIGNED
from intelshare.crypto.records import KeyUse, Precedence
from intelshare.delivery import LinkWord, Stage
from intelshare.ids import MemberCode
from intelshare.instant import NEVER, SECOND, Instant
from intelshare.metrics import HEALTH, Metric, Sample
from intelshare.ports import EVERY_ROW, View
from intelshare.services.backend import Backend, Bounds, Counts, LinkFacts, NodeFacts
from intelshare.wire.v1 import user_pb2 as pb

MENDED: Final = (
    *(("record", outcome.value) for outcome in RecordOutcome),
    ("journal", RecordOutcome.WHOLE.value),
    ("journal", RecordOutcome.DROPPED.value),
)
"""Ends of a damaged record, and of a group of the journal, which is repaired or set aside."""


@dataclass(frozen=True, slots=True)
class Stored:
    """The result of one look at the store. Everything can be recomputed from rows (I10)."""

    queues: tuple[Queue, ...]
    waits: Mapping[MemberCode, Count]
    waits_all: Count
    open: Mapping[Stage, int]
    gaps: Mapping[MemberCode, int]
    frozen: Mapping[MemberCode, int]
    alarms: Mapping[tuple[str, str], int]
    wanted: Mapping[MemberCode, int]
    entries: int
    signed: int
    """The entries under this node's last checkpoint."""
    signed_at: Instant
    kept: Mapping[MemberCode, int]
    """Rows that a member has made this node keep."""
    theirs: Mapping[MemberCode, Instant]
    """When the newest checkpoint held of each member was made."""
    unheard: Mapping[MemberCode, Instant]
    """Since when bulletins of a member wait unread."""


def stored(node: Node, view: View) -> Stored:
    """Look at the store once."""
    others = sorted(set(node.trust.members) - {node.member})
    head, last = view.get(LOG_HEAD, node.incarnation), own(node, view)
    mine = last if last is not None and last.incarnation == node.incarnation else None
    incoming = {member: view.find(INCOMING, "member", member, limit=EVERY_ROW) for member in others}
    return Stored(
        queues(view, others),
        {member: count_of(view, queue_of(member)) for member in others},
        count_of(view, QUEUE),
        {stage: view.count(PAIR, "stage", stage, 1) for stage in Stage},
        {member: sum(map(_missing, rows)) for member, rows in incoming.items()},
        {member: sum(map(is_frozen, rows)) for member, rows in incoming.items()},
        Counter((row.member, row.code) for row in alarms(view)),
        {member: wanted_of(view, member) for member in others},
        head.size if head is not None else 0,
        mine.size if mine is not None else 0,
        last.at if last is not None else Instant(0),
        kept_by(view, others),
        dict(_their_checkpoints(node, view, others)),
        {row.member: row.until for row in unheard(view) if not row.allowed},
    )


async def collect(backend: Backend) -> list[Sample]:
    """Return all samples of this moment."""
    node = backend.node
    facts, counts = backend.facts(), await backend.counts()
    found = await backend.measure(lambda view: stored(node, view))
    now = backend.now()
    return [
        Sample(Metric.BUILD, (__version__, node.uri), 1),
        *_process(facts, counts),
        *_ports(facts),
        *_peers(backend, facts, now),
        *_bounds(backend.queue_bounds, facts.bounds),
        *_stored(found, now),
        *_trust(backend, facts, now),
        *_store(facts, len(backend.damaged())),
        *_files(facts, counts, found),
    ]


async def metrics(backend: Backend, _: Actor, __: pb.MetricsRequest) -> pb.MetricsResponse:
    """Return all of the node's measurements."""
    return pb.MetricsResponse(
        samples=[
            pb.MetricSample(
                name=sample.metric.value.name,
                labels=sample.labels,
                value=sample.value,
            )
            for sample in await backend.samples()
        ]
    )


def _process(facts: NodeFacts, counts: Counts) -> Iterator[Sample]:
    yield Sample(Metric.STARTED, (), facts.started / SECOND)
    yield Sample(Metric.SERVING, (), float(not facts.codes))
    for code in sorted({*HEALTH, *facts.codes, *facts.begun}):
        yield Sample(Metric.CODE, (code,), float(code in facts.codes))
        yield Sample(Metric.CODE_BEGUN, (code,), facts.begun.get(code, 0))
    yield Sample(Metric.LEADS, (), float(facts.leads))
    yield Sample(Metric.MEMORY, (), counts.memory)
    yield Sample(Metric.PROCESSOR, (), counts.processor)
    yield Sample(Metric.DESCRIPTORS, (), counts.descriptors)
    yield Sample(Metric.MOST_DESCRIPTORS, (), counts.most_descriptors)
    yield from (Sample(Metric.LINES, of, count) for of, count in sorted(counts.lines.items()))
    yield from (Sample(Metric.REFUSALS, of, count) for of, count in sorted(counts.refusals.items()))


def _ports(facts: NodeFacts) -> Iterator[Sample]:
    for port in facts.ports:
        yield Sample(Metric.CONNECTIONS, (port.name,), port.connections)
        yield Sample(Metric.MOST_CONNECTIONS, (port.name,), port.most)
        yield Sample(Metric.UNKNOWN, (port.name,), port.unknown)
        yield Sample(Metric.MOST_UNKNOWN, (port.name,), port.most_unknown)
        for reason, count in sorted(port.ended.items()):
            yield Sample(Metric.ENDED, (port.name, reason), count)


def _peers(backend: Backend, facts: NodeFacts, now: Instant) -> Iterator[Sample]:
    node = backend.node
    for member, held in sorted(node.trust.members.items()):
        if member == node.member or held.directory is None:
            continue
        links = [backend.link(listed.uri) for listed in held.directory.nodes]
        yield Sample(Metric.NODES, (member,), len(links))
        elsewhere = any(link.state is LinkWord.ELSEWHERE for link in links)
        yield Sample(Metric.LINKS_HERE, (member,), float(not elsewhere))
        if not elsewhere:
            yield from _links(member, links, facts.started, now)
        yield Sample(Metric.LEFT_OUT, (member,), float(member in node.trust.excluded))
        yield Sample(Metric.SHUT_OUT, (member,), float(member in facts.shut_out))
        for spent in backend.spent(member):
            yield Sample(Metric.SPENT, (member, spent.name), spent.refused)


def _links(member: MemberCode, links: list[LinkFacts], started: Instant, now: Instant) -> Iterator[Sample]:
    linked = [link for link in links if link.state is LinkWord.LINKED]
    yield Sample(Metric.LINKED, (member,), len(linked))
    if linked:
        yield Sample(Metric.LINKED_SINCE, (member,), _age(max(link.since for link in linked), now))
        offset = max((link.offset for link in linked), key=abs)
        yield Sample(Metric.OFFSET, (member,), offset / SECOND)
    seen = max((link.seen for link in links), default=Instant(0))
    yield Sample(Metric.UNSEEN, (member,), 0 if linked else _age(Instant(max(seen, started)), now))
    for code in sorted({link.error for link in links if link.error}):
        yield Sample(Metric.TROUBLE, (member, code), 1)


def _bounds(bounds: QueueBounds, more: Bounds) -> Iterator[Sample]:
    yield Sample(Metric.KEPT_LIMIT, (), bounds.kept)
    yield Sample(Metric.BOUND, (), bounds.rows)
    yield Sample(Metric.BOUND_BYTES, (), bounds.size)
    yield Sample(Metric.BOUND_ALL, (), bounds.all_rows)
    yield Sample(Metric.BOUND_ALL_BYTES, (), bounds.all_size)
    yield from (Sample(Metric.BUDGET, (budget,), most) for budget, most in more.budgets.items())
    yield Sample(Metric.LOW, (), more.low)
    yield Sample(Metric.RESERVE_LIMIT, (), more.reserve)


def _stored(found: Stored, now: Instant) -> Iterator[Sample]:
    for queue in found.queues:
        of = queue.member, Precedence(queue.precedence).name.lower()
        yield Sample(Metric.QUEUED, of, queue.queued)
        yield Sample(Metric.QUEUE_AGE, of, _age(queue.oldest_queued, now))
        yield Sample(Metric.SENT, of, queue.unacknowledged)
        yield Sample(Metric.SENT_BYTES, of, queue.bytes_unacknowledged)
        yield Sample(Metric.SENT_AGE, of, _age(queue.oldest_unacknowledged, now))
    for member, waits in found.waits.items():
        yield Sample(Metric.WAITS, (member,), waits.rows)
        yield Sample(Metric.WAITS_BYTES, (member,), waits.size)
    yield Sample(Metric.WAITS_ALL, (), found.waits_all.rows)
    yield Sample(Metric.WAITS_ALL_BYTES, (), found.waits_all.size)
    for stage, number in found.open.items():
        yield Sample(Metric.OPEN, (stage.name.lower(),), number)
    yield from _by_member(Metric.GAPS, found.gaps)
    yield from _by_member(Metric.KEPT, found.kept)
    yield from _by_member(Metric.FROZEN, found.frozen)
    yield from (Sample(Metric.ALARMS, of, count) for of, count in sorted(found.alarms.items()))
    yield from _by_member(Metric.WANTED, found.wanted)
    yield Sample(Metric.ENTRIES, (), found.entries)
    yield Sample(Metric.LAGGING, (), found.entries - found.signed)
    if found.signed_at:
        yield Sample(Metric.CHECKPOINT, (), _age(found.signed_at, now))
    for member, at in found.unheard.items():
        yield Sample(Metric.UNHEARD, (member,), _age(at, now))
    for member, at in found.theirs.items():
        yield Sample(Metric.THEIR_CHECKPOINT, (member,), _age(at, now))


def _trust(backend: Backend, facts: NodeFacts, now: Instant) -> Iterator[Sample]:
    yield Sample(Metric.CERTIFICATE, (), (facts.certificate_expires - now) / SECOND)
    yield Sample(Metric.CERTIFICATE_LIFE, (), (facts.certificate_expires - facts.certificate_begins) / SECOND)
    ends: dict[KeyUse, int] = {}
    for key in backend.held_keys():
        if not key.destroyed and key.record.not_after < NEVER:
            ends[key.record.use] = max(ends.get(key.record.use, 0), key.record.not_after)
    for use, end in sorted(ends.items()):
        yield Sample(Metric.KEY, (use.name.lower(),), (end - now) / SECOND)
    for member, held in sorted(backend.node.trust.members.items()):
        if held.directory is not None:
            yield Sample(Metric.DIRECTORY, (member,), (held.directory.expires - now) / SECOND)


def _store(facts: NodeFacts, damaged: int) -> Iterator[Sample]:
    yield Sample(Metric.COMMITS, (), facts.commits)
    yield Sample(Metric.STEPS, (), facts.steps)
    yield Sample(Metric.JOURNALLED, (), facts.store.journalled)
    yield Sample(Metric.MOVED, (), facts.store.flushed)
    yield Sample(Metric.WAITING, (), facts.store.waiting)
    yield Sample(Metric.WAITING_LIMIT, (), facts.store.most_waiting)
    yield Sample(Metric.STEPS_WAITING, (), facts.store.steps_waiting)
    if facts.store.followed is not None:
        yield Sample(Metric.FOLLOWED, (), facts.store.followed)
    yield Sample(Metric.DAMAGED, (), damaged)
    yield from (Sample(Metric.MENDED, of, facts.mended.get(of, 0)) for of in MENDED)


def _files(facts: NodeFacts, counts: Counts, found: Stored) -> Iterator[Sample]:
    yield from (Sample(Metric.FILE, (file,), size) for file, size in sorted(counts.files.items()))
    yield Sample(Metric.FREE, (), counts.free)
    yield Sample(Metric.SIZE, (), counts.size)
    yield Sample(Metric.RESERVE, (), counts.reserve)
    yield Sample(Metric.ATTACHMENTS, (), facts.files.held)
    yield Sample(Metric.ATTACHMENTS_LIMIT, (), facts.files.total)
    yield Sample(Metric.SHARE, (), facts.files.share)
    for member in found.wanted:
        yield Sample(Metric.THEIR_ATTACHMENTS, (member,), facts.files.of.get(member, 0))


def _by_member(metric: Metric, values: Mapping[MemberCode, int]) -> Iterator[Sample]:
    return (Sample(metric, (member,), value) for member, value in sorted(values.items()))


def _age(at: Instant, now: Instant) -> float:
    """Return the seconds since then, or 0 if there was nothing or the clock went back."""
    return max(0, now - at) / SECOND if at else 0.0


def _missing(row: IncomingRow) -> int:
    return sum(last - first + 1 for first, last in missing(row).spans)


def _their_checkpoints(
    node: Node, view: View, members: Iterable[MemberCode]
) -> Iterator[tuple[MemberCode, Instant]]:
    for member in members:
        directory = node.trust.members[member].directory
        rows = [
            row.at
            for listed in (directory.nodes if directory is not None else ())
            for state in SIGNED
            for row in view.find(CHECKPOINT, "state", listed.uri, state, limit=1)
        ]
        if rows:
            yield member, max(rows)
