"""Making keys, and when they are due: lifetimes of every use in one place.

Rotation is: new key durable in the vault, directory that names it signed, sent, and only then, when nothing
sealed to it can still arrive, the old key destroyed. Here is what is due; the node does it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from intelshare.crypto.pae import key_id
from intelshare.crypto.records import KeyRecord, KeyUse
from intelshare.crypto.suites import Random, Suite
from intelshare.ids import KeyId, MemberCode, NodeUri
from intelshare.instant import DAY, MINUTE, NEVER, Instant
from intelshare.trust.documents import DirectoryDocument, Revocation, Revoked, Why

SEALING_PERIOD: Final = 7 * DAY
"""How often a new sealing key is made."""

SEALING_OVERLAP: Final = 7 * DAY
"""How long after that the old one may still be sealed to: a directory lives as long."""

SEALING_GRACE: Final = 14 * DAY
"""How long after *that* it can still open what is on its way, by courier too. Then it is destroyed."""

SIGNING_PERIOD: Final = 180 * DAY
"""How often a new signing key is made, unless the settings say otherwise."""

SIGNING_LIFETIME: Final = 365 * DAY
SIGNING_OVERLAP: Final = 60 * DAY
"""So long a signing key lasts after its successor was made, so that every peer has met that by then."""

_BACKDATE: Final = 5 * MINUTE
"""A key is valid a little before it is made: peers' clocks may be behind by as much."""


@dataclass(frozen=True, slots=True)
class SecretKey:
    """A new key with its secret, on its way into a vault."""

    record: KeyRecord
    key_id: KeyId
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Due:
    """What a node has to renew now."""

    directory: bool
    """More than half of its life is over."""
    sealing: bool
    """The newest sealing key has been in use for a week or is of another suite, or there is none."""
    signing: bool
    """The newest signing key of the node ends within the overlap or is of another suite, or there is none."""
    note: bool
    """There is no note key of the node that is not revoked."""
    retired: tuple[KeyId, ...]
    """Sealing keys that nothing can still be sealed to or arrive under: their records are dropped."""


@dataclass(frozen=True, slots=True)
class Periods:
    """How often keys are made by schedule, in microseconds."""

    signing: int = SIGNING_PERIOD
    sealing: int = SEALING_PERIOD


USUAL: Final = Periods()

LONGEST: Final = Periods(SIGNING_LIFETIME - SIGNING_OVERLAP, SEALING_PERIOD)
"""Beyond it a key would end before its successor is known."""


def new_key(
    suite: Suite,
    use: KeyUse,
    member: MemberCode,
    at: Instant,
    random: Random,
    *,
    node: NodeUri | None = None,
    among: Iterable[KeyRecord] = (),
) -> SecretKey:
    """A key of this use, valid from now. ``node``: for signing keys only.

    ``among``: the keys that the directory names already. The new one begins after them, also where the clock
    was set back in between: peers tell by that which is the older, which signs hellos. Directory and root
    keys have no end of their own: they count until a root no longer names them; nor has a note key, which
    others have written into their settings: it counts until it is revoked.
    """
    secret = suite.generate(use, random)
    ends = {
        KeyUse.SIGNING: at + SIGNING_LIFETIME,
        KeyUse.SEALING: at + SEALING_PERIOD + SEALING_OVERLAP,
    }
    record = KeyRecord(
        suite=suite.number,
        member=member,
        node=node or NodeUri(""),
        use=use,
        public=suite.public_of(use, secret),
        not_before=max(
            [Instant(at - _BACKDATE), *[Instant(key.not_before + 1) for key in among if key.use is use]]
        ),
        not_after=Instant(ends.get(use, NEVER)),
    )
    return SecretKey(record, key_id(record), secret)


def due(
    directory: DirectoryDocument, node: NodeUri, suite: int, at: Instant, periods: Periods = USUAL
) -> Due:
    """What the node of this (own) directory, whose keys are to be of ``suite``, has to do at ``at``."""
    sealing = _own(directory, KeyUse.SEALING, "")
    signing = _own(directory, KeyUse.SIGNING, node)
    revoked = {row.subject for row in directory.revocations if row.what is Revoked.KEY}
    return Due(
        directory=at >= directory.issued + (directory.expires - directory.issued) // 2,
        sealing=_is_due(sealing, suite, at, periods.sealing, SEALING_OVERLAP, directory),
        signing=_is_due(signing, suite, at, periods.signing, SIGNING_OVERLAP, directory),
        note=all(key_id(key) in revoked for key in _own(directory, KeyUse.NOTE, node)),
        retired=spent(directory, sealing, at),
    )


def spent(directory: DirectoryDocument, held: Iterable[KeyRecord], at: Instant) -> tuple[KeyId, ...]:
    """Those of these (own) keys whose secrets are to be destroyed at ``at``, listed or not.

    A compromised one at once; a sealing key when nothing can arrive under it or it is listed no more, a
    signing or note key when it has ended. The records of the latter stay listed: what they signed is judged
    by them.
    """
    grace = {KeyUse.SEALING: SEALING_GRACE, KeyUse.SIGNING: 0, KeyUse.NOTE: 0}
    newest = max((key.not_before for key in _own(directory, KeyUse.SEALING, "")), default=Instant(0))

    def is_dropped(key: KeyRecord) -> bool:
        # A newer one than is listed was made by a node that was killed before it could say so.
        return key.use is KeyUse.SEALING and key not in directory.keys and key.not_before < newest

    return tuple(
        key_id(key)
        for key in held
        if key.use in grace
        and (is_compromised(key, directory) or is_dropped(key) or at >= ends(key, directory) + grace[key.use])
    )


def is_compromised(key: KeyRecord, directory: DirectoryDocument) -> bool:
    """Whether this directory says so."""
    subject = key_id(key)
    return any(
        row.what is Revoked.KEY and row.subject == subject and row.compromised
        for row in directory.revocations
    )


def ends(key: KeyRecord, directory: DirectoryDocument) -> Instant:
    """From when a key of this directory counts no more: its own end, or that which a revocation sets."""
    subject = key_id(key)
    told = [
        Instant(0) if row.compromised else row.effective
        for row in directory.revocations
        if row.what is Revoked.KEY and row.subject == subject
    ]
    return min([key.not_after, *told])


def rotated_out(directory: DirectoryDocument, new: Iterable[KeyRecord], at: Instant) -> list[Revocation]:
    """What is said of the keys that these new ones succeed: each counts until its overlap is over, no longer.

    A peer that was away meanwhile knows the older one alone (``TrustView.hello_key``).
    """
    overlap = {KeyUse.SIGNING: SIGNING_OVERLAP, KeyUse.SEALING: SEALING_OVERLAP}
    return [
        Revocation(Revoked.KEY, key_id(old), Why.ROTATED, Instant(at + overlap[made.use]))
        for made in new
        if made.use in overlap
        for old in _own(directory, made.use, made.node)
        if ends(old, directory) > at + overlap[made.use]
    ]


def _is_due(
    keys: Iterable[KeyRecord],
    suite: int,
    at: Instant,
    period: int,
    overlap: int,
    directory: DirectoryDocument,
) -> bool:
    """Whether the newest key is so old, ends within the overlap or is of another suite, or there is none."""
    newest = max(keys, key=lambda key: key.not_before, default=None)
    return (
        newest is None
        or newest.suite != suite
        or at >= newest.not_before + _BACKDATE + period
        or ends(newest, directory) <= at + overlap
    )


def _own(directory: DirectoryDocument, use: KeyUse, node: str) -> Iterable[KeyRecord]:
    return [
        key
        for key in directory.keys
        if key.member == directory.member and key.use is use and key.node == node
    ]
