"""The questions and answers of the policy: requests, decisions, and every reason code."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from intelshare.errors import Place
from intelshare.instant import Instant
from intelshare.labels import Label

OWN_PRODUCT = "OWN_PRODUCT"
UNRESTRICTED = "UNRESTRICTED"


class Outcome(Enum):
    """The outcome of a decision. A hold is an allow that waits for a releasing officer."""

    ALLOW = "allow"
    HOLD = "hold"
    DENY = "deny"


class Code(Enum):
    """The reason for a denial. The set is closed and stable; ``decide`` lists the codes in the order of its
    rules.
    """

    # Members are singletons, and Enum's own hash is a Python call on the hot path.
    __hash__ = object.__hash__

    BULLETIN_RECALLED = "BULLETIN_RECALLED"
    BULLETIN_EXPIRED = "BULLETIN_EXPIRED"
    UNKNOWN_MEMBER = "UNKNOWN_MEMBER"
    UNKNOWN_LEVEL = "UNKNOWN_LEVEL"
    UNKNOWN_CONTROL = "UNKNOWN_CONTROL"
    NATIONAL_LAW_FORBIDS = "NATIONAL_LAW_FORBIDS"
    NOFORN = "NOFORN"
    NOT_RELEASABLE_TO = "NOT_RELEASABLE_TO"
    RELEASABILITY_NOT_STATED = "RELEASABILITY_NOT_STATED"
    TLP_RED_NOT_NAMED = "TLP_RED_NOT_NAMED"
    CONSENT_REQUIRED = "CONSENT_REQUIRED"
    NO_TREATY = "NO_TREATY"
    # How far a treaty got, the furthest last: the order decides which one is reported.
    NOT_RATIFIED = "NOT_RATIFIED"
    NOT_YET_IN_FORCE = "NOT_YET_IN_FORCE"
    SUSPENDED = "SUSPENDED"
    WITHDRAWN = "WITHDRAWN"
    TERMINATED = "TERMINATED"
    TEXT_MISMATCH = "TEXT_MISMATCH"
    OUT_OF_SCOPE = "OUT_OF_SCOPE"
    PROVISION_SUNSET = "PROVISION_SUNSET"
    NO_EQUIVALENCE = "NO_EQUIVALENCE"
    EXCEEDS_CEILING = "EXCEEDS_CEILING"
    RESERVATION = "RESERVATION"
    RECIPIENT_LAW_FORBIDS = "RECIPIENT_LAW_FORBIDS"
    # About a reader at the recipient.
    CLEARANCE_INSUFFICIENT = "CLEARANCE_INSUFFICIENT"
    NEED_TO_KNOW = "NEED_TO_KNOW"
    EYES_ONLY_NATIONALITY = "EYES_ONLY_NATIONALITY"


@dataclass(frozen=True, slots=True)
class Request:
    """The question whether a portion may go from ``sender`` to ``recipient`` at ``at``."""

    label: Label
    category: str
    at: Instant
    sender: str
    recipient: str
    originator: str | None = None
    """The member that first sent the bulletin; the sender if None. A state's label overrules it."""
    flags: frozenset[str] = frozenset()
    consents: frozenset[str] = frozenset()
    """The members, by name, for which every other owner of the information (the originator, and the states
    that FGI names) has consented at ``at``; the sender itself need not consent.
    """
    approvals: frozenset[str] = frozenset()
    """The ids of hold rows that a releasing officer has approved."""
    released: bool = False
    """True if the question is about a signed release, which is itself the approval of every hold row."""
    recalled: bool = False
    valid_until: Instant | None = None


@dataclass(frozen=True, slots=True)
class Reason:
    """One rule that denies: its code, the particulars in words, and the file and line that state it."""

    code: Code
    detail: str = ""
    place: Place | None = None
    rules: tuple[str, ...] = ()
    """The ids of the overlay rows that matched."""
    treaty: str | None = None
    """The treaty that came nearest to permitting, with its article if one was reached."""


@dataclass(frozen=True, slots=True)
class Citation:
    """An article that permits, with the hash of its treaty's text."""

    treaty: str
    text: str
    article: str

    @property
    def digest(self) -> bytes:
        """The 32 bytes of ``text``, as a grant carries them. Raises ValueError if it is not a SHA-256."""
        prefix, _, digits = self.text.partition(":")
        value = bytes.fromhex(digits)
        if prefix != "sha256" or len(value) != 32:
            raise ValueError(f"{self.text!r} is not a sha256 text hash")
        return value


@dataclass(frozen=True, slots=True)
class Finding:
    """The point at which one treaty stopped, or (``code`` None) the fact that it permits."""

    treaty: str
    code: Code | None
    article: str | None = None
    detail: str = ""
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to a request. ``reasons`` are in rule order, the primary one first; empty unless denied.

    ``basis``, ``citations`` and ``obligations`` (sorted) belong to an allow or a hold, and ``holds`` are the
    ids of the open rows of a hold; ``findings`` covers every treaty that was considered, the furthest first.
    """

    outcome: Outcome
    originator: str
    reasons: tuple[Reason, ...] = ()
    basis: str | None = None
    citations: tuple[Citation, ...] = ()
    obligations: tuple[str, ...] = ()
    holds: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def codes(self) -> tuple[str, ...]:
        """The reason codes as words, in rule order."""
        return tuple(reason.code.value for reason in self.reasons)
