"""From one checkpoint of a node to a later one: what its node answers, and what a witness makes of it.

A path leads backwards from the later checkpoint: through the first entry of each log to the end of the log
before it (START commits to that), until the log of the earlier checkpoint; there one consistency proof gives
the root that this log had at the earlier size. Nothing of it is believed that does not hash to the root that
the later checkpoint signs. So a path says one of three things, and proves it (docs/format.md, "Witnesses"):

    GREW        the later log only added to the earlier one
    FORGOT      a log in between ends before the earlier checkpoint: memory was lost, and it says so
    REWRITTEN   at the earlier size the later log has another root: the same node signed both

Pure; needs no keys: who signed the two checkpoints is checked where they arrive.
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
"""Restarts that one path leads over; a node that was started more often since then cannot be linked."""

Hashes = Annotated[tuple[Bytes32, ...], Count(0, MAX_PROOF + 1)]


@record
class LogAsk:
    """Show how the log at the later checkpoint follows from the earlier. Of another node's log: show that
    you were shown the later checkpoint."""

    origin: Node
    incarnation: IncarnationId
    size: U63
    until: IncarnationId
    until_size: U63


@record
class Hop:
    """Entry 0 of a log, opened, and its inclusion proof at the size that is known of that log."""

    at: Time
    salt: Bytes32
    record: B32
    proof: Hashes


@record
class LogPath:
    """The answer to an ask, which stands in it again."""

    ask: LogAsk
    hops: Annotated[tuple[Hop, ...], Count(0, MAX_HOPS)]
    """The latest log first."""
    proof: Hashes
    """For ``fold``, in the log of the earlier checkpoint."""
    signed: Annotated[tuple[Evidence, ...], Count(0, 1)]
    """The checkpoint of another node that was asked for."""


class Verdict(Enum):
    """What a path proves."""

    GREW = "grew"
    FORGOT = "forgot"
    REWRITTEN = "rewritten"


@dataclass(frozen=True, slots=True)
class PathVerdict:
    """Where a path led: the verdict, and where the log of the earlier checkpoint ends for its node."""

    verdict: Verdict
    end: Cosigned
    """Of size 0 if that whole log was forgotten."""
    forgot: int = 0
    """Entries."""


def check_path(earlier: Cosigned, later: Cosigned, path: LogPath) -> PathVerdict:
    """What the path from ``earlier`` to ``later`` proves. Raises TrustError LOG_INCONSISTENT: nothing."""
    end = follow(later, path.hops, earlier.incarnation)
    if end.incarnation != earlier.incarnation or end.size < earlier.size:
        if end.incarnation == later.incarnation:
            raise inconsistent(f"no proof leads from size {earlier.size} to size {later.size}")
        known = end.size if end.incarnation == earlier.incarnation else 0
        return PathVerdict(Verdict.FORGOT, end, earlier.size - known)
    old, new = fold(earlier.size, end.size, path.proof)
    if new != end.root:
        raise inconsistent("the proof leads to another root than was signed")
    return PathVerdict(Verdict.GREW if old == earlier.root else Verdict.REWRITTEN, end)


def follow(later: Cosigned, hops: tuple[Hop, ...], wanted: int) -> Cosigned:
    """Where the log ``wanted`` ends, as the log of ``later`` commits to it over all these hops.

    If no log of that name is behind it, the beginning of all (incarnation 0, size 0), or as far as hops may
    lead. Raises TrustError LOG_INCONSISTENT, EnvelopeError ENVELOPE_MALFORMED.
    """
    at = later
    for hop in hops:
        if at.incarnation in (wanted, 0):
            raise inconsistent("the path leads on behind its end")
        entry = entry_hash(EntryType.START, hop.at, hop.salt, hop.record)
        check_inclusion(entry, 0, at.size, hop.proof, at.root)
        start = decode(Start, hop.record)
        at = Cosigned(later.origin, start.previous, start.size, Digest(start.root))
    if at.incarnation not in (wanted, 0) and len(hops) < MAX_HOPS:
        raise inconsistent("the path ends before it has led anywhere")
    return at if at.incarnation == wanted else Cosigned(later.origin, Incarnation(0), 0, Digest(bytes(32)))
