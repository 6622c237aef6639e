"""Many receipts at once: the bytes that the codec would write, and the values that it would read.

    receipt     s to ‖ leaf ‖ u8 status ‖ u16 0 ‖ u64 decided-at           without codes: nearly all
                       `------------ one ``struct`` -----------'

Receipts with codes go through the codec. ``read_receipts`` can accept but not refuse, as ``verify_many``: a
None goes to ``Verified.read`` and the checks after it, whose errors say why.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from intelshare.crypto.codec import decode, encode
from intelshare.crypto.records import Kind, Receipt, ReceiptStatus
from intelshare.errors import EnvelopeError
from intelshare.ids import LeafId, MemberCode
from intelshare.instant import LATEST, Instant
from intelshare.statement.batch import VerifiedMany

_plain = struct.Struct(">32sBHQ")
_STATUSES: Final = {one.value: one for one in ReceiptStatus}


class Answer(NamedTuple):
    """The answer to one statement of the peer."""

    leaf: LeafId
    status: ReceiptStatus
    codes: tuple[str, ...] = ()


class ReceiptRow(NamedTuple):
    """A receipt that its signer really made, for this member."""

    leaf: LeafId
    """The leaf of the receipt."""
    of: LeafId
    """The leaf of the statement that it answers."""
    status: ReceiptStatus
    codes: tuple[str, ...]
    decided_at: Instant


def encode_receipts(to: MemberCode, answers: Sequence[Answer], at: Instant) -> list[bytes]:
    """Return the record of each answer, in order, to be signed (``sign_many``).

    Raises EnvelopeError ENVELOPE_MALFORMED for an answer that no receipt can carry.
    """
    head = encode(Receipt, Receipt(to, LeafId(bytes(32)), ReceiptStatus.ACCEPTED, (), at))[: -_plain.size]
    return [
        head + _plain.pack(leaf, status, 0, at)
        if not codes and len(leaf) == 32 and status in _STATUSES
        else encode(Receipt, Receipt(to, leaf, status, codes, at))
        for leaf, status, codes in answers
    ]


def read_receipts(verified: VerifiedMany, member: MemberCode) -> list[ReceiptRow | None]:
    """Return the receipts for this member among those that were proved, in order. Raises nothing."""
    if verified.kind is not Kind.RECEIPT:
        return [None] * len(verified.told)
    raw = member.encode()
    head = len(raw).to_bytes(2, "big") + raw
    start, size = len(head), len(head) + _plain.size
    rows: list[ReceiptRow | None] = []
    for leaf, told in zip(verified.leaves, verified.told, strict=True):
        data = told.data
        row = None
        if leaf is not None and data.startswith(head):
            of, status, codes, decided_at = _plain.unpack_from(data.ljust(size, b"\0"), start)
            if codes == 0 and len(data) == size and status in _STATUSES and decided_at <= LATEST:
                row = ReceiptRow(leaf, of, _STATUSES[status], (), decided_at)
            else:
                row = _with_codes(leaf, data)
        rows.append(row)
    return rows


def _with_codes(leaf: LeafId, data: bytes) -> ReceiptRow | None:
    try:
        read = decode(Receipt, data)
    except EnvelopeError:
        return None
    return ReceiptRow(leaf, read.leaf, read.status, read.codes, read.decided_at)
