"""Errors to gRPC and back: the code in the trailing metadata, the status from one closed table.

A peer gets the code and nothing else; an own user also the message, place and hint, because it is their own
input that is talked about. Nobody ever gets a stack trace.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NoReturn

import grpc
import msgspec

from intelshare.errors import IntelshareError, Place

CODE_KEY: Final = "intelshare-code"
RETRY_KEY: Final = "intelshare-retry-after"
"""Seconds after which the same is worth trying again, where that is known."""

DETAIL_KEY: Final = "intelshare-detail-bin"
"""JSON of ``Detail``, to own users only."""

_S = grpc.StatusCode
_CODES: Final[Mapping[grpc.StatusCode, str]] = {
    _S.UNAUTHENTICATED: "TRANSPORT_FLOOR PEER_IDENTITY_INVALID PEER_IDENTITY_MISMATCH PEER_REVOKED",
    _S.PERMISSION_DENIED: "NOT_AUTHORISED SIGNER_NOT_AUTHORISED RECALL_NOT_ORIGINATOR POLICY_DENIED",
    _S.NOT_FOUND: "NOT_FOUND CURSOR_UNKNOWN FILE_INCOMPLETE",
    _S.ALREADY_EXISTS: "ID_CONFLICT",
    _S.RESOURCE_EXHAUSTED: "TOO_LARGE RATE QUEUE_FULL DISK_FULL RESOURCES_SHORT",
    _S.ABORTED: "SEQUENCE_FORK INCARNATION_UNKNOWN VOIDED BULLETIN_EQUIVOCATION RECEIPT_UNKNOWN "
    "RECEIPT_CONFLICT CONSENT_UNKNOWN TWO_INSTANCES",
    _S.FAILED_PRECONDITION: "TRUST_FINGERPRINT TRUST_ROLLBACK TRUST_FORK TRUST_THRESHOLD TRUST_EXPIRED "
    "LOG_INCONSISTENT LOG_FORK MEMBER_SUSPENDED MEMBER_REMOVED",
    _S.UNAVAILABLE: "CLOCK DISK_ERROR POLICY_UNAVAILABLE DRAINING",
    _S.DATA_LOSS: "RECORD_CORRUPT KEYSTORE_CORRUPT",
}
STATUS: Final[Mapping[str, grpc.StatusCode]] = {
    code: status for status, codes in _CODES.items() for code in codes.split()
}
"""Every code that is not here is wrong input: INVALID_ARGUMENT."""

INTERNAL: Final = "INTERNAL"
"""What a caller hears of a defect of ours; the log has the rest."""


class Detail(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an own user is told besides the code."""

    message: str
    hint: str | None = None
    place: Place | None = None
    retry_after: int | None = None
    """Seconds after which the same is worth trying again."""


def status_of(code: str) -> grpc.StatusCode:
    """The gRPC status under which a code travels."""
    return _S.INTERNAL if code == INTERNAL else STATUS.get(code, _S.INVALID_ARGUMENT)


async def refuse(context: Any, error: IntelshareError, *, detailed: bool) -> NoReturn:
    """End the call with this error. ``detailed``: the caller is an own user."""
    metadata: list[tuple[str, str | bytes]] = [(CODE_KEY, error.code)]
    if error.retry_after is not None:
        metadata.append((RETRY_KEY, str(error.retry_after)))
    if detailed:
        detail = Detail(error.message[:2000], error.hint, error.place, error.retry_after)
        metadata.append((DETAIL_KEY, msgspec.json.encode(detail)))
    await context.abort(status_of(error.code), error.code, tuple(metadata))
    raise AssertionError("abort always raises")
