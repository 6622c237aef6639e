"""From one checkpoint of a node to a later one: the node's answer, and what a witness concludes from it.

A path leads backwards from the later checkpoint: through the first entry of each log to the end of the log
before it (START commits to that), until it reaches the log of the earlier checkpoint; there one consistency
proof gives the root that this log had at the earlier size. Nothing in a path is believed unless it hashes to
the root that the later checkpoint signs. So a path proves one of three things (docs/format.md, "Witnesses"):

    GREW        the later log only added to the earlier one
    FORGOT      a log in between ends before the earlier checkpoint: the node lost data and admits it
    REWRITTEN   at the earlier size the later log has another root: the same node signed both

This module is pure and needs no keys: the signatures of both checkpoints are checked where they arrive.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Final

from intelshare.audit.log import entry_hash
from intelshare.audit.proofs import MAX_PROOF, check_inclusion, fold, inconsistent
from intelshare.audit.records import EntryType, Start
from intelshare.crypto.codec import B32, U63, Bytes32, Count, decode, record
from intelshare.crypto.records import Cosigned, Evidence, IncarnationId, Node, Time
from intelshare.ids import Digest, Incarnation

MAX_HOPS: Final = 256
"""The restarts that one path can cover; a node that was started more often in between cannot be linked."""

Hashes = Annotated[tuple[Bytes32, ...], Count(0, MAX_PROOF + 1)]


@record
class LogAsk:
    """A request to show how the log at the later checkpoint follows from the earlier one. If the log is
    another node's, it asks the receiver to show that it has seen the later checkpoint.
    """

    origin: Node
    incarnation: IncarnationId
    size: U63
    until: IncarnationId
    until_size: U63


@record
class Hop:
    """Entry 0 of a log, opened, with its inclusion proof at the size that is known of that log."""

    at: Time
    salt: Bytes32
    record: B32
    proof: Hashes


@record
class LogPath:
    """The answer to a ``LogAsk``, which it repeats."""

    ask: LogAsk
    hops: Annotated[tuple[Hop, ...], Count(0, MAX_HOPS)]
    """The hops, the latest log first."""
    proof: Hashes
    """The proof for ``fold``, in the log of the earlier checkpoint."""
    signed: Annotated[tuple[Evidence, ...], Count(0, 1)]
    """The other node's checkpoint that was asked for."""


class Verdict(Enum):
    """The outcome that a path proves."""

    GREW = "grew"
    FORGOT = "forgot"
    REWRITTEN = "rewritten"


@dataclass(frozen=True, slots=True)
class PathVerdict:
    """The result of a path: the verdict, and the end of the earlier checkpoint's log as its node states
    it.
    """

    verdict: Verdict
    end: Cosigned
    """Where that log ends; size 0 if the whole log was forgotten."""
    forgot: int = 0
    """The number of entries forgotten."""


def check_path(earlier: Cosigned, later: Cosigned, path: LogPath) -> PathVerdict:
    """Return what the path from ``earlier`` to ``later`` proves. Raises TrustError LOG_INCONSISTENT if it
    proves nothing.
    """
    end = follow(later, path.hops, earlier.incarnation)
    if end.incarnation != earlier.incarnation or end.size < earlier.size:
        if end.incarnation == later.incarnation:
            raise inconsistent(f"no proof leads from size {earlier.size} to size {later.size}")
        known = end.size if end.incarnation == earlier.incarnation else 0
        return PathVerdict(Verdict.FORGOT, end, earlier.size - known)
    old, new = fold(earlier.size, end.size, path.proof)
    if new != end.root:
        raise inconsistent("the proof leads to a root other than the signed one")
    return PathVerdict(Verdict.GREW if old == earlier.root else Verdict.REWRITTEN, end)


def follow(later: Cosigned, hops: tuple[Hop, ...], wanted: int) -> Cosigned:
    """Return the end of the log ``wanted``, as the log of ``later`` commits to it through all these hops.

    If no log of that name precedes it, the path must lead to the very beginning (incarnation 0, size 0) or
    use as many hops as are allowed. Raises TrustError LOG_INCONSISTENT, EnvelopeError ENVELOPE_MALFORMED.
    """
    at = later
    for hop in hops:
        if at.incarnation in (wanted, 0):
            raise inconsistent("the path continues past its end")
        entry = entry_hash(EntryType.START, hop.at, hop.salt, hop.record)
        check_inclusion(entry, 0, at.size, hop.proof, at.root)
        start = decode(Start, hop.record)
        at = Cosigned(later.origin, start.previous, start.size, Digest(start.root))
    if at.incarnation not in (wanted, 0) and len(hops) < MAX_HOPS:
        raise inconsistent("the path ends before it reaches the log asked about")
    return at if at.incarnation == wanted else Cosigned(later.origin, Incarnation(0), 0, Digest(bytes(32)))
