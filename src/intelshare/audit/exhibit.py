"""Evidence: signed statements that contradict each other, as they are kept and handed to third parties.

``contradiction`` finds what is wrong with them from their bytes alone, so that a person who checks an exhibit
need not believe the person who made it. The caller checks first that each statement is signed by the node it
speaks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Annotated, Final

from intelshare.audit.path import LogPath, Verdict, check_path
from intelshare.crypto.codec import B32, Count, decode, decode_prefix, record
from intelshare.crypto.records import Checkpoint, Cosigned, Evidence, Kind, ReleasePeek, StreamHead, TreatyAct
from intelshare.errors import IntelshareError
from intelshare.ids import LeafId
from intelshare.statement import leaf_id
from intelshare.trust import DirectoryDocument, ForkedDirectories

MAX_STATEMENTS: Final = 8


@record
class Exhibit:
    """Signed statements, and the material that shows that they contradict each other."""

    statements: Annotated[tuple[Evidence, ...], Count(0, MAX_STATEMENTS)]
    """The statements, the earlier one first."""
    paths: Annotated[tuple[LogPath, ...], Count(0, 2)]
    """Paths between the statements that are checkpoints: one that shows the rewriting, one that shows how far
    the log still holds.
    """
    raw: B32
    """The beginning of input that could not be read as a statement; or a note; or ``ForkedDirectories``."""


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A proof, found in an exhibit, against the node that signed."""

    code: str
    """LOG_FORK, LOG_INCONSISTENT or SEQUENCE_FORK."""
    node: str
    what: str


def position(checkpoint: Checkpoint | Cosigned) -> Cosigned:
    """Return the log, size and root of a checkpoint, without the cosigned states of other logs."""
    return Cosigned(checkpoint.origin, checkpoint.incarnation, checkpoint.size, checkpoint.root)


def contradiction(exhibit: Exhibit) -> Contradiction | None:
    """Return the first contradiction between any two of the statements, or None if they are consistent.

    Raises EnvelopeError ENVELOPE_MALFORMED for a statement that cannot be read.
    """
    for one, other in combinations(exhibit.statements, 2):
        found = _contradict(one, other, exhibit)
        if found is not None:
            return found
    return None


def _contradict(one: Evidence, other: Evidence, exhibit: Exhibit) -> Contradiction | None:
    kinds = (one.kind, other.kind)
    if kinds == (Kind.CHECKPOINT, Kind.CHECKPOINT):
        return _of_logs(decode(Checkpoint, one.data), decode(Checkpoint, other.data), exhibit)
    if kinds == (Kind.RELEASE, Kind.RELEASE):
        return _of_numbers(one, other) or _of_numbers(other, one)
    if kinds == (Kind.TREATY_ACT, Kind.TREATY_ACT):
        first, second = decode(TreatyAct, one.data), decode(TreatyAct, other.data)
        if (first.member, first.n) == (second.member, second.n) and one.data != other.data:
            return Contradiction("SEQUENCE_FORK", first.member, f"two treaty acts {first.n}")
        if first.member == second.member and first.n + 1 == second.n and second.previous != _leaf(one):
            what = f"treaty act {second.n} names another act {first.n}"
            return Contradiction("SEQUENCE_FORK", first.member, what)
    if set(kinds) == {Kind.STREAM_HEAD, Kind.RELEASE}:
        head, release = (one, other) if one.kind is Kind.STREAM_HEAD else (other, one)
        return _of_head(decode(StreamHead, head.data), release)
    return None


def _of_logs(one: Checkpoint, other: Checkpoint, exhibit: Exhibit) -> Contradiction | None:
    if one.origin != other.origin:
        return None
    if (one.incarnation, one.size) == (other.incarnation, other.size):
        if one.root == other.root:
            return None
        return Contradiction("LOG_FORK", one.origin, f"two logs of {one.size} entries under one name")
    if led(one, other, exhibit) is not Verdict.REWRITTEN:
        return None
    checkpoints = [
        decode(Checkpoint, said.data) for said in exhibit.statements if said.kind is Kind.CHECKPOINT
    ]
    same = [held for held in checkpoints if held.incarnation == one.incarnation]
    holds = max((held.size for held in same if led(held, other, exhibit) is Verdict.GREW), default=0)
    return Contradiction("LOG_INCONSISTENT", one.origin, rewritten(holds, one.size))


def led(one: Checkpoint, other: Checkpoint, exhibit: Exhibit) -> Verdict | None:
    """Return what the path between these two checkpoints proves, if the exhibit has such a path."""
    for path in exhibit.paths:
        ask = path.ask
        if (one.incarnation, one.size, other.incarnation, other.size) == (
            ask.incarnation, ask.size, ask.until, ask.until_size,
        ):  # fmt: skip
            try:
                return check_path(position(one), position(other), path).verdict
            except IntelshareError:
                return None
    return None


def rewritten(holds: int, size: int) -> str:
    """Say where a log was rewritten, as precisely as the checkpoints held can tell."""
    if size - holds == 1:
        return f"history rewritten at entry {holds}"
    return f"history rewritten at entry {holds} or after it, before entry {size}"


def _of_numbers(one: Evidence, other: Evidence) -> Contradiction | None:
    first, second = _start(one), _start(other)
    stream = (first.origin, first.incarnation, first.recipient)
    if stream != (second.origin, second.incarnation, second.recipient):
        return None
    leaf = _leaf(one)
    if first.sequence == second.sequence and leaf != _leaf(other):
        return Contradiction("SEQUENCE_FORK", first.origin, f"two releases have number {first.sequence}")
    if first.sequence + 1 == second.sequence and second.prev != leaf:
        what = f"number {second.sequence} names another number {first.sequence}"
        return Contradiction("SEQUENCE_FORK", first.origin, what)
    return None


def _of_head(head: StreamHead, signed: Evidence) -> Contradiction | None:
    release = _start(signed)
    stream = (release.incarnation, release.recipient, release.sequence)
    if stream != (head.incarnation, head.to, head.last) or head.head == _leaf(signed):
        return None
    return Contradiction("SEQUENCE_FORK", release.origin, f"its head names another number {head.last}")


def _start(signed: Evidence) -> ReleasePeek:
    """Return the number and predecessor of a release; the rest of its bytes may be anything."""
    return decode_prefix(ReleasePeek, signed.data)[0]


def _leaf(signed: Evidence) -> LeafId:
    return leaf_id(signed.kind, signed.nonce, signed.data)


def exhibit_of(
    statements: Sequence[Evidence], paths: Sequence[LogPath | None] = (), raw: bytes = b""
) -> Exhibit:
    """Make an exhibit of at most 8 statements."""
    return Exhibit(tuple(statements[:MAX_STATEMENTS]), tuple(path for path in paths if path is not None), raw)


def describe(code: str, exhibit: Exhibit) -> str:
    """Describe an exhibit to an operator in one line."""
    if code == "TRUST_FORK":
        version = decode(DirectoryDocument, decode(ForkedDirectories, exhibit.raw).first.document).version
        return f"two directories {version}"
    known = contradiction(exhibit)
    if known is not None:
        return known.what
    checkpoints = [
        decode(Checkpoint, said.data) for said in exhibit.statements if said.kind is Kind.CHECKPOINT
    ]
    if code == "LOG_FORK":
        return exhibit.raw.decode("utf-8", "replace")
    if code == "LOG_FORGOT":
        if len(checkpoints) == 2 and exhibit.paths:
            found = check_path(position(checkpoints[0]), position(checkpoints[1]), exhibit.paths[0])
            return f"new incarnation, forgot {found.forgot} entries"
        return exhibit.raw.decode("utf-8", "replace")
    if len(checkpoints) == 2:
        return f"no proof that its log still begins with the {checkpoints[0].size} entries seen before"
    return "statements that contradict each other"
