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
from intelshare.trust.documents import DirectoryDocument, Revoked

SEALING_PERIOD: Final = 7 * DAY
"""How often a new sealing key is made."""

SEALING_OVERLAP: Final = 7 * DAY
"""How long after that the old one may still be sealed to: a directory lives as long."""

SEALING_GRACE: Final = 14 * DAY
"""How long after *that* it can still open what is on its way, by courier too. Then it is destroyed."""

SIGNING_LIFETIME: Final = 365 * DAY
SIGNING_OVERLAP: Final = 60 * DAY
"""A successor is made so long before a signing key ends, so that every peer has met it by then."""

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
    """Sealing keys that nothing can still be sealed to or arrive under: destroy them, drop their records."""


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


def due(directory: DirectoryDocument, node: NodeUri, suite: int, at: Instant) -> Due:
    """What the node of this (own) directory, whose keys are to be of ``suite``, has to do at ``at``."""
    sealing = _own(directory, KeyUse.SEALING, "")
    signing = _own(directory, KeyUse.SIGNING, node)
    revoked = {row.subject for row in directory.revocations if row.what is Revoked.KEY}
    return Due(
        directory=at >= directory.issued + (directory.expires - directory.issued) // 2,
        sealing=_lasts(sealing, suite) <= at + SEALING_OVERLAP,
        signing=_lasts(signing, suite) <= at + SIGNING_OVERLAP,
        note=all(key_id(key) in revoked for key in _own(directory, KeyUse.NOTE, node)),
        retired=tuple(key_id(key) for key in sealing if at >= key.not_after + SEALING_GRACE),
    )


def _lasts(keys: Iterable[KeyRecord], suite: int) -> int:
    """When the newest of these keys ends; 0 if it is of another suite, for then a new one is due."""
    newest = max(keys, key=lambda key: key.not_before, default=None)
    return newest.not_after if newest is not None and newest.suite == suite else 0


def _own(directory: DirectoryDocument, use: KeyUse, node: str) -> Iterable[KeyRecord]:
    return [
        key
        for key in directory.keys
        if key.member == directory.member and key.use is use and key.node == node
    ]
