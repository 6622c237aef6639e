"""The records of log entries as docs/format.md lists them ("Log"), for showing them to a reader."""

from __future__ import annotations

from typing import Annotated, Any, Final

from intelshare.crypto.codec import U8, U32, U63, Bytes32, Count, Text, decode, malformed, record
from intelshare.crypto.records import IncarnationId, Time

_DIGEST: Final = Bytes32


def _row(name: str, **layout: Any) -> Any:
    return record(
        type(name, (), {"__annotations__": layout, "__module__": __name__, "__doc__": "A log entry."})
    )


def _many(item: Any) -> Any:
    return Annotated[tuple[item, ...], Count()]


_CITATION: Final = _row("Cited", treaty=Text, text=_DIGEST, article=Text)
_REASON: Final = _row("Reason", code=Text, detail=Text, place=Text)
LoggedDecision: Final = _row(
    "LoggedDecision",
    outcome=U8, basis=Text, citations=_many(_CITATION), obligations=_many(Text), holds=_many(Text),
    reasons=_many(_REASON),
)  # fmt: skip

Decided: Final = _row(
    "Decided",
    md=_DIGEST, sender=Text, recipient=Text, at=Time,
    portions=Annotated[tuple[Bytes32, ...], Count(among=(16, 64, 256))],
)  # fmt: skip
Destroyed: Final = _row("Destroyed", member=Text, md=_DIGEST, leaf=_DIGEST, cause=Text)
HandOver: Final = _row(
    "HandOver",
    md=_DIGEST, recipient=Text, leaf=_DIGEST, incarnation=IncarnationId, sequence=U63, decision=_DIGEST,
)  # fmt: skip
Start: Final = _row("Start", version=Text, previous=IncarnationId, size=U63, root=_DIGEST)
Received: Final = _row("Received", member=Text, kind=U8, leaf=_DIGEST, subject=_DIGEST, codes=_many(Text))
ReceiptJoined: Final = _row("Receipt", member=Text, leaf=_DIGEST, of=_DIGEST, status=U8, codes=_many(Text))
Rejected: Final = _row("Rejected", member=Text, digest=_DIGEST, code=Text)
Witnessed: Final = _row(
    "Witnessed",
    member=Text, origin=Text, incarnation=IncarnationId, size=U63, root=_DIGEST, previous=IncarnationId,
    held=U63, forgot=U63, code=Text,
)  # fmt: skip

START: Final = 1
DECISION: Final = 3
RECEIVED: Final = 7
REJECTED: Final = 8
RECEIPT: Final = 9
WITNESSED: Final = 17

ENTRIES: Final[dict[int, tuple[str, Any]]] = {
    START: ("START", Start),
    2: ("SUBMIT", _row("Submit", md=_DIGEST, user=Text)),
    DECISION: (
        "DECISION",
        Decided,
    ),
    4: ("APPROVE", _row("Approve", md=_DIGEST, recipient=Text, user=Text, holds=_many(Text))),
    5: ("STOP", _row("Stop", md=_DIGEST, recipient=Text, cause=U8, codes=_many(Text))),
    6: (
        "HAND_OVER",
        HandOver,
    ),
    RECEIVED: ("RECEIVED", Received),
    REJECTED: ("REJECTED", Rejected),
    RECEIPT: ("RECEIPT", ReceiptJoined),
    10: ("READ", _row("Read", md=_DIGEST, user=Text, slots=_many(U32))),
    11: ("REGISTER", _row("Register", by=Text, user=Text, change=Text)),
    12: ("TRUST", _row("TrustTaken", member=Text, type=U8, version=U63, digest=_DIGEST)),
    13: (
        "TREATY_ACT",
        _row("TreatyAct", member=Text, n=U63, leaf=_DIGEST, treaty=Text, act=U8, since=Time, user=Text),
    ),
    14: ("RECALL", _row("Recall", md=_DIGEST, user=Text, reason=Text)),
    15: ("DESTROYED", Destroyed),
    16: (
        "CONSENT",
        _row("Consent", member=Text, md=_DIGEST, recipient=Text, slots=_many(U32), state=U8),
    ),
    WITNESSED: ("WITNESSED", Witnessed),
    18: ("DUTY", _row("Duty", md=_DIGEST, obligation=Text, user=Text)),
    19: ("POLICY", _row("Policy", digest=_DIGEST, count=U32)),
    20: ("SETTLED", _row("Settled", evidence=_DIGEST, member=Text, code=Text, user=Text)),
    21: ("EXCLUSION", _row("Exclusion", member=Text, how=U8, user=Text)),
    22: ("KEY", _row("Key", key=_DIGEST, use=U8, change=U8, at=Time, user=Text)),
    23: (
        "COURIER",
        _row("Courier", member=Text, way=U8, user=Text, digest=_DIGEST, size=U63, statements=U63, code=Text),
    ),
    24: ("EXPORT", _row("Export", md=_DIGEST, user=Text, consumer=Text, slots=_many(U32))),
    25: ("OPERATED", _row("Operated", act=U8, about=Text, reason=Text, user=Text)),
    26: ("REFUSE", _row("Refuse", md=_DIGEST, recipient=Text, user=Text, holds=_many(Text), reason=Text)),
    27: (
        "CERTIFICATE",
        _row(
            "CertificateChanged", certificate=_DIGEST, change=U8, holder=Text, serial=Text, until=Time,
            reason=Text, user=Text,
        ),
    ),
    28: ("BACKUP", _row("BackupMade", manifest=_DIGEST, incarnation=IncarnationId, size=U63, user=Text)),
}  # fmt: skip


def read_entry(kind: int, data: bytes) -> Any:
    """Return the record of an entry of this type. Raises EnvelopeError ENVELOPE_MALFORMED."""
    known = ENTRIES.get(kind)
    if known is None:
        raise malformed("Log entry", f"type {kind} does not exist")
    return decode(known[1], data)
