"""The one exception tree. Every error says what was wrong, where, and what to do next.

A denial by policy is never an exception: it is a ``Decision`` with reasons. The codes are a closed, stable
vocabulary (``intelshare errors`` lists them); tests and programs rely on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PASSING: Final = frozenset(("DISK_FULL", "RESOURCES_SHORT", "STORE_UNAVAILABLE", "TOKEN_FAILED"))
"""The codes for what the machine lacks for now: nothing changed, and the same is retried by itself."""

PEER_CODES: Final = frozenset((
    "TRANSPORT_FLOOR", "PEER_IDENTITY_INVALID", "PEER_IDENTITY_MISMATCH", "PEER_REVOKED", "NOT_AUTHORISED",
    "SIGNER_NOT_AUTHORISED", "RECALL_NOT_ORIGINATOR", "POLICY_DENIED", "NOT_FOUND", "ENVELOPE_MALFORMED",
    "WRONG_RECIPIENT", "SUITE_UNKNOWN", "SUITE_BELOW_FLOOR", "SIGNER_UNKNOWN", "SIGNER_NOT_VALID",
    "SIGNER_REVOKED", "SIGNATURE_INVALID", "BATCH_PROOF_INVALID", "SEALED_HASH_MISMATCH", "KEM_KEY_UNKNOWN",
    "KEM_KEY_RETIRED", "OPEN_FAILED", "MANIFEST_MISMATCH", "COMMITMENT_MISMATCH", "BANNER_MISMATCH",
    "TREATY_MISMATCH", "LABEL_INVALID", "CLOCK_SKEW", "EXPIRED", "RECALLED", "RETENTION", "WHOLE",
    "INPUT_INVALID", "MARKING_CONFLICT", "FOREIGN_LABEL", "PARTY_UNKNOWN", "TOO_LARGE", "RATE",
    "QUEUE_FULL", "DISK_FULL", "RESOURCES_SHORT", "STORE_UNAVAILABLE",
    "SEQUENCE_FORK", "INCARNATION_UNKNOWN", "VOIDED",
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
"""The codes with which a peer may answer, in acknowledgements, receipts and the end of a call."""

UNKNOWN: Final = "UNKNOWN"
"""The code that is shown, logged and kept in place of any other answer."""


def code_of_peer(text: str) -> str:
    """Return the code that a peer names if it is one of these, and UNKNOWN for anything else."""
    return text if text in PEER_CODES else UNKNOWN


@dataclass(frozen=True)
class Place:
    """The place of an error: a file, an argument or a record; line and column count from 1."""

    source: str
    line: int | None = None
    column: int | None = None
    field: str | None = None
    excerpt: str | None = None
    """The faulty line of the source, for a caret under ``column``."""
    width: int = 1
    """The number of characters that the caret underlines."""


class IntelshareError(Exception):
    """The base of all errors that a user can meet.

    ``code`` is a stable word in CAPITALS; ``message`` says what was wrong; ``place`` where; ``hint`` what to
    do next; ``retry_after`` the seconds after which it is worth trying the same again.
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
    """A signature, key or ciphertext that is not valid."""


class TrustError(IntelshareError):
    """A root, directory, certificate or hello that is not valid."""


class EnvelopeError(IntelshareError):
    """A statement, grant or body that is not valid."""


class DeliveryError(IntelshareError):
    """A submission, hand-over or stream that cannot go on as asked."""


class StoreError(IntelshareError):
    """The store cannot be opened, read or written."""

    page = False
    """True if a page of the database cannot be read."""


class PageError(StoreError):
    """Damage in what leads to rows of SQLite, of no known record: a start may put it right."""

    page = True


REPAIRED: Final = "nothing is lost: a running node writes it again, `intelshare node repair --scrub` at once"
"""The hint of a record that was brought back."""

UNREAD: Final = (
    "start the node again: it looks for one changed byte, and puts it right; if it stays: restore the folder "
    "from a backup: intelshare node restore BACKUP FOLDER --replace"
)
"""The hint of a page of SQLite that cannot be read."""


class RecordError(StoreError):
    """A stored record that is not as it was written: RECORD_CORRUPT.

    ``repaired``: it was brought back, and is served; where it stands it has yet to be written again.
    ``page``: a page of the database cannot be read; then ``key`` is as much of a key as is known.
    """

    def __init__(
        self,
        table: str,
        key: tuple[int | str | bytes, ...],
        message: str,
        *,
        repaired: bool = False,
        page: bool = False,
    ) -> None:
        lost = "it is not served; `intelshare node repair --scrub` says what can be done about it"
        super().__init__("RECORD_CORRUPT", message, hint=REPAIRED if repaired else UNREAD if page else lost)
        self.table = table
        self.key = key
        self.repaired = repaired
        self.page = page


class VaultError(IntelshareError):
    """The vault cannot be opened or lacks a key."""


class ConfigError(IntelshareError):
    """A configuration, command line or environment that cannot be used."""
