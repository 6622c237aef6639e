"""The one exception tree. Every error says what was wrong, where, and what to do next.

A denial by policy is never an exception: it is a ``Decision`` with reasons. The codes are a closed,
stable vocabulary (docs/codes in ``intelshare errors``); they are what tests and machines hold on to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PASSING: Final = frozenset(("DISK_FULL", "RESOURCES_SHORT"))
"""Codes of what the machine lacks for now: nothing changed, and the same is tried again by itself."""

PEER_CODES: Final = frozenset((
    "TRANSPORT_FLOOR", "PEER_IDENTITY_INVALID", "PEER_IDENTITY_MISMATCH", "PEER_REVOKED", "NOT_AUTHORISED",
    "SIGNER_NOT_AUTHORISED", "RECALL_NOT_ORIGINATOR", "POLICY_DENIED", "NOT_FOUND", "ENVELOPE_MALFORMED",
    "WRONG_RECIPIENT", "SUITE_UNKNOWN", "SUITE_BELOW_FLOOR", "SIGNER_UNKNOWN", "SIGNER_NOT_VALID",
    "SIGNER_REVOKED", "SIGNATURE_INVALID", "BATCH_PROOF_INVALID", "SEALED_HASH_MISMATCH", "KEM_KEY_UNKNOWN",
    "KEM_KEY_RETIRED", "OPEN_FAILED", "MANIFEST_MISMATCH", "COMMITMENT_MISMATCH", "BANNER_MISMATCH",
    "TREATY_MISMATCH", "LABEL_INVALID", "CLOCK_SKEW", "EXPIRED", "RECALLED", "RETENTION", "WHOLE",
    "INPUT_INVALID", "MARKING_CONFLICT", "FOREIGN_LABEL", "PARTY_UNKNOWN", "TOO_LARGE", "RATE",
    "QUEUE_FULL", "DISK_FULL", "RESOURCES_SHORT", "SEQUENCE_FORK", "INCARNATION_UNKNOWN", "VOIDED",
    "BULLETIN_EQUIVOCATION", "RECEIPT_UNKNOWN", "RECEIPT_CONFLICT", "DUPLICATE", "TRUST_FINGERPRINT",
    "TRUST_ROLLBACK", "TRUST_FORK", "TRUST_THRESHOLD", "TRUST_EXPIRED", "LOG_INCONSISTENT", "LOG_FORK",
    "LOG_FORGOT", "CLOCK", "DISK_ERROR", "POLICY_UNAVAILABLE", "RECORD_CORRUPT", "INTERNAL",
    "BULLETIN_RECALLED", "BULLETIN_EXPIRED", "NATIONAL_LAW_FORBIDS", "NOFORN", "NOT_RELEASABLE_TO",
    "RELEASABILITY_NOT_STATED", "TWO_INSTANCES", "TLP_RED_NOT_NAMED", "CONSENT_REQUIRED",
    "CONSENT_UNKNOWN", "NO_TREATY",
    "NOT_RATIFIED", "NOT_YET_IN_FORCE", "SUSPENDED", "WITHDRAWN", "TERMINATED", "TEXT_MISMATCH",
    "OUT_OF_SCOPE", "PROVISION_SUNSET", "NO_EQUIVALENCE", "EXCEEDS_CEILING", "RESERVATION",
    "RECIPIENT_LAW_FORBIDS", "CLEARANCE_INSUFFICIENT", "NEED_TO_KNOW", "EYES_ONLY_NATIONALITY",
))  # fmt: skip
"""What a peer may answer with, in acknowledgements, receipts and the end of a call."""

UNKNOWN: Final = "UNKNOWN"
"""What is shown, logged and kept of any other answer."""


def code_of_peer(text: str) -> str:
    """The code that a peer names, if there is such a one; UNKNOWN for whatever else it wrote."""
    return text if text in PEER_CODES else UNKNOWN


@dataclass(frozen=True)
class Place:
    """Where an error is: a file, an argument or a record; line and column count from 1."""

    source: str
    line: int | None = None
    column: int | None = None
    field: str | None = None
    excerpt: str | None = None
    """The line of the source that is wrong, for a caret under ``column``."""
    width: int = 1
    """How many characters the caret underlines."""


class IntelshareError(Exception):
    """Base of all errors that a user can meet.

    ``code`` is a stable word in CAPITALS; ``message`` says what was wrong; ``place`` where;
    ``hint`` what to do next; ``retry_after`` after how many seconds the same is worth trying again.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        place: Place | None = None,
        hint: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.place = place
        self.hint = hint
        self.retry_after = retry_after


class LabelError(IntelshareError):
    """A label text that cannot be read or may not be written (docs/policy-guide.md)."""


class PolicyFileError(IntelshareError):
    """A treaty, overlay or registry file that cannot be used."""


class CryptoError(IntelshareError):
    """A signature, key or ciphertext that does not hold."""


class TrustError(IntelshareError):
    """A root, directory, certificate or hello that does not hold."""


class EnvelopeError(IntelshareError):
    """A statement, grant or body that does not hold."""


class DeliveryError(IntelshareError):
    """A submission, hand-over or stream that cannot go on as asked."""


class StoreError(IntelshareError):
    """The store cannot be opened, read or written."""


class VaultError(IntelshareError):
    """The vault cannot be opened or lacks a key."""


class ConfigError(IntelshareError):
    """A configuration, command line or environment that cannot be used."""
