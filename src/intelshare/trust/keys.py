"""Making keys, and deciding when they are due: the lifetimes of every use in one place.

A rotation has these steps: make the new key durable in the vault, sign and send the directory that names it,
and only then, when nothing sealed to the old key can still arrive, destroy the old key. This module says what
is due; the node does it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from intelshare.crypto.pae import key_id
from intelshare.crypto.records import KeyRecord, KeyUse
from intelshare.crypto.suites import Random, Suite
from intelshare.ids import KeyId, MemberCode, NodeUri
from intelshare.instant import DAY, MAX_AHEAD, MINUTE, NEVER, Instant
from intelshare.trust.documents import DirectoryDocument, Revocation, Revoked, Why

SEALING_PERIOD: Final = 7 * DAY
"""The time between two new sealing keys."""

SEALING_OVERLAP: Final = 7 * DAY
"""The time for which peers may still seal to the old key after that: a directory lives as long."""

SEALING_GRACE: Final = 14 * DAY
"""The time after *that* for which the old key can still open what is on its way, also by courier. Then it is
destroyed.
"""

SIGNING_PERIOD: Final = 180 * DAY
"""The time between two new signing keys, unless the settings say otherwise."""

SIGNING_LIFETIME: Final = 365 * DAY
SIGNING_OVERLAP: Final = 60 * DAY
"""The time for which a signing key outlives the making of its successor, so that every peer knows that one by
then.
"""

_PERIODIC: Final = frozenset((KeyUse.SEALING, KeyUse.SIGNING))
"""The uses of the keys that are made by schedule."""

_BACKDATE: Final = 5 * MINUTE
"""The time before its making from which a key is valid: peers' clocks may be behind by as much."""


@dataclass(frozen=True, slots=True)
class SecretKey:
    """A new key with its secret, on its way into a vault."""

    record: KeyRecord
    key_id: KeyId
    secret: bytes = field(repr=False)
    in_token: bool = False
    """True if the first half of it is in a token: ``secret`` is that of the second half alone."""


@dataclass(frozen=True, slots=True)
class Due:
    """The things that a node has to renew now."""

    directory: bool
    """True if more than half of the directory's life is over, or no peer accepts it yet: it was made while
    the clock was ahead.
    """
    sealing: bool
    """True if there is no sealing key, or the newest has been in use for a week or is of another suite."""
    signing: bool
    """True if the node has no signing key, or the newest ends within the overlap or is of another suite."""
    note: bool
    """True if the node has no unrevoked note key."""
    retired: tuple[KeyId, ...]
    """Sealing keys to which nothing can be sealed any more and under which nothing can arrive: their records
    are dropped.
    """


@dataclass(frozen=True, slots=True)
class Periods:
    """The intervals at which keys are made by schedule, in microseconds."""

    signing: int = SIGNING_PERIOD
    sealing: int = SEALING_PERIOD


USUAL: Final = Periods()

LONGEST: Final = Periods(SIGNING_LIFETIME - SIGNING_OVERLAP, SEALING_PERIOD)
"""The longest periods allowed: beyond them a key would end before its successor is known."""


def new_key(
    suite: Suite,
    use: KeyUse,
    member: MemberCode,
    at: Instant,
    random: Random,
    *,
    node: NodeUri | None = None,
    among: Iterable[KeyRecord] = (),
    first: bytes = b"",
) -> SecretKey:
    """Make a key of this use, valid from now. ``node`` is given for signing and note keys only.

    ``among`` are the keys that the directory already names. The new one begins after them, even if the clock
    was set back in between, because peers use this to tell which key is older, and the older one signs
    hellos. Directory and root keys have no end of their own: they count until a root no longer names them.
    Nor does a note key, which others have written into their settings: it counts until it is revoked.
    ``first``: the public key of the first half, if a token has that.
    """
    secret, public = _secret_and_public(suite, use, random, first)
    ends = {
        KeyUse.SIGNING: at + SIGNING_LIFETIME,
        KeyUse.SEALING: at + SEALING_PERIOD + SEALING_OVERLAP,
    }
    record = KeyRecord(
        suite=suite.number,
        member=member,
        node=node or NodeUri(""),
        use=use,
        public=public,
        not_before=max(
            [Instant(at - _BACKDATE), *[Instant(key.not_before + 1) for key in among if key.use is use]]
        ),
        not_after=Instant(ends.get(use, NEVER)),
    )
    return SecretKey(record, key_id(record), secret, in_token=bool(first))


def _secret_and_public(suite: Suite, use: KeyUse, random: Random, first: bytes) -> tuple[bytes, bytes]:
    if not first or suite.second is None:
        secret = suite.generate(use, random)
        return secret, suite.public_of(use, secret)
    secret = random(suite.second.secret)
    return secret, first + suite.second.public_of(secret)


def due(
    directory: DirectoryDocument, node: NodeUri, suite: int, at: Instant, periods: Periods = USUAL
) -> Due:
    """Return what the node of this directory (its own member's), whose keys are to be of ``suite``, has to
    renew at ``at``.
    """
    sealing = _own(directory, KeyUse.SEALING, "")
    signing = _own(directory, KeyUse.SIGNING, node)
    revoked = {row.subject for row in directory.revocations if row.what is Revoked.KEY}
    return Due(
        directory=at >= directory.issued + (directory.expires - directory.issued) // 2
        or _is_ahead(directory, at),
        sealing=_is_due(sealing, suite, at, periods.sealing, SEALING_OVERLAP, directory),
        signing=_is_due(signing, suite, at, periods.signing, SIGNING_OVERLAP, directory),
        note=all(key_id(key) in revoked for key in _own(directory, KeyUse.NOTE, node)),
        retired=spent(directory, sealing, at),
    )


def without_ahead(directory: DirectoryDocument, at: Instant) -> DirectoryDocument:
    """Return this directory without the keys that statements are sealed to or signed with and that count only
    later: a clock that was ahead has made them, nobody has used them, and others may be due instead. Keys
    are dated back, so the clock was further ahead than peers accept (``MAX_AHEAD``). A directory that was
    made since, for a key that was stolen or after a loss, still names them, and peers accept it. Ask only by
    a clock that is believed.
    """
    keys = [key for key in directory.keys if key.use not in _PERIODIC or key.not_before <= at]
    return directory if len(keys) == len(directory.keys) else replace(directory, keys=tuple(keys))


def _is_ahead(directory: DirectoryDocument, at: Instant) -> bool:
    return at < directory.issued - MAX_AHEAD


def spent(directory: DirectoryDocument, held: Iterable[KeyRecord], at: Instant | None) -> tuple[KeyId, ...]:
    """Return those of these keys (this member's) whose secrets are to be destroyed at ``at``, whether listed
    or not. None: the time may be wrong, and no key has ended by it.

    A compromised key goes at once; a sealing key when nothing can arrive under it or it is no longer listed;
    a signing or note key when it has ended. The records of signing and note keys stay listed, because what
    they signed is judged by them.
    """
    grace = {KeyUse.SEALING: SEALING_GRACE, KeyUse.SIGNING: 0, KeyUse.NOTE: 0}
    newest = max((key.not_before for key in _own(directory, KeyUse.SEALING, "")), default=Instant(0))

    def is_dropped(key: KeyRecord) -> bool:
        # A key newer than the listed ones was made by a node that was killed before it could publish it.
        return key.use is KeyUse.SEALING and key not in directory.keys and key.not_before < newest

    def has_ended(key: KeyRecord) -> bool:
        return at is not None and at >= ends(key, directory) + grace[key.use]

    return tuple(
        key_id(key)
        for key in held
        if key.use in grace and (is_compromised(key, directory) or is_dropped(key) or has_ended(key))
    )


def is_compromised(key: KeyRecord, directory: DirectoryDocument) -> bool:
    """Return True if this directory says that the key is compromised."""
    subject = key_id(key)
    return any(
        row.what is Revoked.KEY and row.subject == subject and row.compromised
        for row in directory.revocations
    )


def ends(key: KeyRecord, directory: DirectoryDocument) -> Instant:
    """Return the time from which a key of this directory no longer counts: its own end, or the one that a
    revocation sets.
    """
    subject = key_id(key)
    told = [
        Instant(0) if row.compromised else row.effective
        for row in directory.revocations
        if row.what is Revoked.KEY and row.subject == subject
    ]
    return min([key.not_after, *told])


def rotated_out(directory: DirectoryDocument, new: Iterable[KeyRecord], at: Instant) -> list[Revocation]:
    """Return the revocations of the keys that these new ones succeed: each counts until its overlap is over,
    no longer.

    A peer that was away meanwhile knows only the older key (``TrustView.hello_key``).
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
    """Return True if there is no key, or the newest is older than its period, ends within the overlap or is
    of another suite.
    """
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
