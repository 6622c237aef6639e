"""Turns errors into gRPC statuses: the code goes into the trailing metadata, the status comes from one closed
table.

A peer gets only the code. A user of this node also gets the message, place and hint, because these concern
the user's input. Nobody ever gets a stack trace.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NoReturn

import grpc
import msgspec

from intelshare.errors import IntelshareError, Place

CODE_KEY: Final = "intelshare-code"
RETRY_KEY: Final = "intelshare-retry-after"
"""The metadata key for the seconds after which it is worth trying again, if known."""

DETAIL_KEY: Final = "intelshare-detail-bin"
"""The metadata key for the JSON of ``Detail``, sent only to this node's users."""

_S = grpc.StatusCode
_CODES: Final[Mapping[grpc.StatusCode, str]] = {
    _S.UNAUTHENTICATED: "TRANSPORT_FLOOR PEER_IDENTITY_INVALID PEER_IDENTITY_MISMATCH PEER_REVOKED",
    _S.PERMISSION_DENIED: "NOT_AUTHORISED ACCESS_WAITS SIGNER_NOT_AUTHORISED RECALL_NOT_ORIGINATOR "
    "POLICY_DENIED",
    _S.NOT_FOUND: "NOT_FOUND CURSOR_UNKNOWN FILE_INCOMPLETE",
    _S.ALREADY_EXISTS: "ID_CONFLICT",
    _S.RESOURCE_EXHAUSTED: "TOO_LARGE RATE QUEUE_FULL DISK_FULL RESOURCES_SHORT",
    _S.ABORTED: "SEQUENCE_FORK INCARNATION_UNKNOWN VOIDED BULLETIN_EQUIVOCATION RECEIPT_UNKNOWN "
    "RECEIPT_CONFLICT CONSENT_UNKNOWN TWO_INSTANCES",
    _S.FAILED_PRECONDITION: "TRUST_FINGERPRINT TRUST_ROLLBACK TRUST_FORK TRUST_THRESHOLD TRUST_EXPIRED "
    "LOG_INCONSISTENT LOG_FORK MEMBER_SUSPENDED MEMBER_REMOVED MEMBER_UNCONFIRMED",
    _S.UNAVAILABLE: "CLOCK DISK_ERROR POLICY_UNAVAILABLE DRAINING NOT_LEADING STORE_UNAVAILABLE TOKEN_FAILED",
    _S.DEADLINE_EXCEEDED: "TIMED_OUT",
    _S.DATA_LOSS: "RECORD_CORRUPT KEYSTORE_CORRUPT",
}
STATUS: Final[Mapping[str, grpc.StatusCode]] = {
    code: status for status, codes in _CODES.items() for code in codes.split()
}
"""The status of each code; a code that is not here means wrong input: INVALID_ARGUMENT."""

INTERNAL: Final = "INTERNAL"
"""The code for a defect of ours; only the log has the details."""


class Detail(msgspec.Struct, frozen=True, omit_defaults=True):
    """The details that a user of this node gets besides the code."""

    message: str
    hint: str | None = None
    place: Place | None = None
    retry_after: int | None = None
    """The seconds after which it is worth trying again."""


def status_of(code: str) -> grpc.StatusCode:
    """Return the gRPC status for a code."""
    return _S.INTERNAL if code == INTERNAL else STATUS.get(code, _S.INVALID_ARGUMENT)


async def refuse(context: Any, error: IntelshareError, *, detailed: bool) -> NoReturn:
    """End the call with this error. ``detailed``: the caller is a user of this node."""
    metadata: list[tuple[str, str | bytes]] = [(CODE_KEY, error.code)]
    if error.retry_after is not None:
        metadata.append((RETRY_KEY, str(error.retry_after)))
    if detailed:
        detail = Detail(error.message[:2000], error.hint, error.place, error.retry_after)
        metadata.append((DETAIL_KEY, msgspec.json.encode(detail)))
    await context.abort(status_of(error.code), error.code, tuple(metadata))
    raise AssertionError("abort always raises")
