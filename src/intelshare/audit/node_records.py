"""The contents of log entries about the node itself: its users, members, keys, certificates and operators.

``records`` has those about bulletins, and the table of all.
"""

from __future__ import annotations

from enum import IntEnum

from intelshare.crypto.codec import U8, U32, U63, Text, record
from intelshare.crypto.records import Digest32, IncarnationId, Member, Time


@record
class Register:
    """The user register was changed."""

    by: Text
    user: Text
    change: Text


@record
class TrustAccepted:
    """A root or directory was accepted."""

    member: Member
    type: U8
    version: U63
    digest: Digest32


@record
class PolicyRead:
    """The policy files on which decisions rest from here on: logged at a start, and when they have
    changed.
    """

    digest: Digest32
    """SHA-256 over the names and contents of the files, in the order of names."""
    count: U32


@record
class ExclusionSet:
    """An operator has suspended, removed or readmitted a member; or it waits since a loss of memory."""

    member: Member
    how: U8
    """The state: 1 suspended, 2 removed, 3 waits for an operator's word, 0 none of them."""
    user: Text
    """The operator; empty: the start of the node."""


class KeyChange(IntEnum):
    """A change to one of this member's keys."""

    MADE = 1
    ROTATED = 2
    COMPROMISED = 3
    DESTROYED = 4


@record
class KeyChanged:
    """One of this member's keys was made, succeeded or reported compromised, or its secret was destroyed."""

    key: Digest32
    use: U8
    change: U8
    """A ``KeyChange``."""
    at: Time
    """The time from which the change holds."""
    user: Text
    """The user who asked for it; empty if the change was due."""


class CourierWay(IntEnum):
    """The direction in which a bundle travelled."""

    WRITTEN = 1
    TAKEN_IN = 2


@record
class Courier:
    """A bundle for a member was written, or a member's bundle was imported."""

    member: Member
    way: U8
    """A ``CourierWay``."""
    user: Text
    digest: Digest32
    """SHA-256 of the file, up to the point that was reached."""
    size: U63
    statements: U63
    code: Text
    """Empty if the bundle was complete; otherwise the code of why it ended early."""


@record
class BackupMade:
    """A backup of this node's data folder was made (decision 47)."""

    manifest: Digest32
    """SHA-256 of its manifest, which has the digest of every file."""
    incarnation: IncarnationId
    size: U63
    """The log that it contains, and how many entries of it."""
    user: Text


class OperatorAct(IntEnum):
    """A decision of an operator."""

    CLOCK_BELIEVED = 1
    RECORD_DROPPED = 2
    STREAM_RELEASED = 3
    GIVEN_UP = 4
    READING_ALLOWED = 5
    ACCESS_CONFIRMED = 6


@record
class Operated:
    """An operator made a decision that the node must not make by itself."""

    act: U8
    """An ``OperatorAct``."""
    about: Text
    """The subject of the decision: ids, codes and times."""
    reason: Text
    """The reason in the operator's words; empty if none was asked for."""
    user: Text


class CertificateChange(IntEnum):
    """The ways in which a certificate of this member changes."""

    ISSUED = 1
    REVOKED = 2
    AUTHORITY_MADE = 3
    AUTHORITY_ENDED = 4
    """It is no longer trusted: only its successor is."""


@record
class CertificateChanged:
    """A certificate of a node was issued, one of a node or user revoked, an authority succeeded."""

    certificate: Digest32
    """SHA-256 of the DER."""
    change: U8
    """A ``CertificateChange``."""
    holder: Text
    """The URI that it names; for an authority, its subject."""
    serial: Text
    """In hexadecimal."""
    until: Time
    """The time at which it ends, or has ended."""
    reason: Text
    """The operator's reason; empty if none was asked for."""
    user: Text
    """The user who asked for it; empty if it was due."""
