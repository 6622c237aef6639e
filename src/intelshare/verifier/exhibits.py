"""Contradictions between two statements of one node, found from their bytes alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Annotated

from intelshare.crypto.codec import B32, U63, Count, Text, decode, decode_prefix, record
from intelshare.crypto.records import (
    Checkpoint,
    Cosigned,
    Evidence,
    IncarnationId,
    Kind,
    ReleasePeek,
    StreamHead,
    TreatyAct,
)
from intelshare.errors import IntelshareError, TrustError
from intelshare.verifier.logs import Hop, ProofHashes, follow
from intelshare.verifier.merkle import both_roots
from intelshare.verifier.statements import Said, checkpoint_of, position


@record
class LogAsk:
    """The two checkpoints between which a path leads."""

    origin: Text
    incarnation: IncarnationId
    size: U63
    until: IncarnationId
    until_size: U63


@record
class LogPath:
    """The proof of how a later checkpoint follows from an earlier one."""

    ask: LogAsk
    hops: Annotated[tuple[Hop, ...], Count(0, 256)]
    proof: ProofHashes
    signed: Annotated[tuple[Evidence, ...], Count(0, 1)]


@record
class Exhibit:
    """Signed statements, and the material that shows that they contradict each other."""

    statements: Annotated[tuple[Evidence, ...], Count(0, 8)]
    paths: Annotated[tuple[LogPath, ...], Count(0, 2)]
    raw: B32


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Two statements of one node that cannot both be honest."""

    code: str
    what: str
    statements: tuple[Said, Said]


def contradiction(said: Sequence[Said], paths: Sequence[LogPath]) -> Contradiction | None:
    """Return the first pair, in the order of the exhibit, in which one node contradicts itself; None if there
    is none.

    Pairs signed by different nodes are passed over. Raises EnvelopeError ENVELOPE_MALFORMED for anything that
    cannot be read.
    """
    for one, other in permutations(said, 2):
        if (one.member.code, one.node) != (other.member.code, other.node):
            continue
        found = _judge(one, other, said, paths)
        if found is not None:
            return Contradiction(*found, (one, other))
    return None


def _judge(one: Said, other: Said, said: Sequence[Said], paths: Sequence[LogPath]) -> tuple[str, str] | None:
    match one.kind, other.kind:
        case Kind.CHECKPOINT, Kind.CHECKPOINT:
            return _logs(one, other, said, paths)
        case Kind.RELEASE, Kind.RELEASE:
            what = _numbers(one, other)
        case Kind.STREAM_HEAD, Kind.RELEASE:
            what = _head(one, other)
        case Kind.TREATY_ACT, Kind.TREATY_ACT:
            what = _acts(one, other)
        case _:
            return None
    return None if what is None else ("SEQUENCE_FORK", what)


def _logs(one: Said, other: Said, said: Sequence[Said], paths: Sequence[LogPath]) -> tuple[str, str] | None:
    first, second = checkpoint_of(one), checkpoint_of(other)
    if (first.incarnation, first.size) == (second.incarnation, second.size):
        if first.root == second.root:
            return None
        return "LOG_FORK", f"two logs of {first.size} entries under one name"
    if _earlier_root(first, second, paths) in (None, first.root):
        return None
    sizes = [
        held.size
        for held in _checkpoints(said, one)
        if held.incarnation == first.incarnation and _earlier_root(held, second, paths) == held.root
    ]
    return "LOG_INCONSISTENT", _rewritten(max(sizes, default=0), first.size)


def _checkpoints(said: Sequence[Said], of: Said) -> list[Checkpoint]:
    """Return the checkpoints of the same node."""
    return [checkpoint_of(each) for each in said if each.kind is Kind.CHECKPOINT and each.node == of.node]


def _earlier_root(first: Checkpoint, second: Checkpoint, paths: Sequence[LogPath]) -> bytes | None:
    """Return the root that the later checkpoint's log had at the earlier size; None if no path proves one."""
    for path in paths:
        ask = path.ask
        if (ask.incarnation, ask.size, ask.until, ask.until_size) == (
            first.incarnation, first.size, second.incarnation, second.size,
        ):  # fmt: skip
            return _along(position(first), position(second), path)
    return None


def _along(first: Cosigned, second: Cosigned, path: LogPath) -> bytes | None:
    try:
        end = follow(second, path.hops, first.incarnation)
        if end is None or end.size < first.size:
            # The node lost data, and the later log admits it: this is not a fork.
            return None
        old, new = both_roots(first.size, end.size, path.proof)
    except IntelshareError:
        return None
    return old if new == end.root else None


def _rewritten(holds: int, size: int) -> str:
    if size - holds == 1:
        return f"history rewritten at entry {holds}"
    return f"history rewritten at entry {holds} or after it, before entry {size}"


def _numbers(one: Said, other: Said) -> str | None:
    first, second = _start(one), _start(other)
    if (first.incarnation, first.recipient) != (second.incarnation, second.recipient):
        return None
    if first.sequence == second.sequence and one.leaf != other.leaf:
        return f"two releases have number {first.sequence}"
    if first.sequence + 1 == second.sequence and second.prev != one.leaf:
        return f"number {second.sequence} names another number {first.sequence}"
    return None


def _head(one: Said, other: Said) -> str | None:
    head, release = decode(StreamHead, one.evidence.data), _start(other)
    named = (head.incarnation, head.to, head.last)
    if named != (release.incarnation, release.recipient, release.sequence) or head.head == other.leaf:
        return None
    return f"its head names another number {head.last}"


def _acts(one: Said, other: Said) -> str | None:
    first, second = decode(TreatyAct, one.evidence.data), decode(TreatyAct, other.evidence.data)
    if not first.member == second.member == one.member.code:
        raise foreign()
    if first.n == second.n and one.evidence.data != other.evidence.data:
        return f"two treaty acts {first.n}"
    if first.n + 1 == second.n and second.previous != one.leaf:
        return f"treaty act {second.n} names another act {first.n}"
    return None


def _start(said: Said) -> ReleasePeek:
    """Return the number and predecessor of a release; the rest may be anything. Its origin must be the
    signer's node.
    """
    start = decode_prefix(ReleasePeek, said.evidence.data)[0]
    if start.origin != said.node:
        raise foreign()
    return start


def foreign() -> TrustError:
    """Return EVIDENCE_INCONCLUSIVE for a statement that speaks for a node other than its signer."""
    return TrustError(
        "EVIDENCE_INCONCLUSIVE", "a statement speaks for a node other than the one that signed it"
    )
