"""The codec has one encoding of each value and refuses everything else."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from typing import Annotated

import pytest

from intelshare.crypto.codec import U8, U16, Count, Text, decode, decode_prefix, encode, record
from intelshare.crypto.records import Portion, PortionKind, Receipt, ReceiptStatus
from intelshare.errors import EnvelopeError
from intelshare.ids import LeafId, MemberCode
from intelshare.instant import LATEST

PORTION = Portion(PortionKind.TEXT, "(U)", "climate", ("raw",), "B2", "text/plain", b"body")
RECEIPT = Receipt(MemberCode("FRA"), LeafId(bytes(32)), ReceiptStatus.REFUSED, ("EXPIRED",), LATEST)


@record
class Pair:
    number: U16
    words: Annotated[tuple[Text, ...], Count(1, 2)]
    small: Annotated[tuple[U8, ...], Count(among=(0, 300))]


def test_layout_is_byte_for_byte_the_table() -> None:
    pair = Pair(258, ("é",), ())
    assert encode(Pair, pair) == bytes.fromhex("0102 0001 0002 c3a9 0000")
    assert encode(Receipt, RECEIPT) == (
        b"\x00\x03FRA" + bytes(32) + b"\x02" + b"\x00\x01\x00\x07EXPIRED" + bytes.fromhex("0384440ccc735fff")
    )


@pytest.mark.parametrize(
    "wrong",
    [
        "",  # nothing
        "0102 0001 0002 c3a9 0000 00",  # trailing
        "0102 0001 0002 c3a9 00",  # cut
        "0102 0001 0003 c3a9 0000",  # text longer than what is there
        "0102 0001 0002 c328 0000",  # not UTF-8
        "0102 0001 0003 eda080 0000",  # a surrogate
        "0102 0001 0002 c0af 0000",  # overlong
        "0102 0000 0000",  # too few words
        "0102 0003 0000 0000 0000 0000",  # too many
        "0102 0001 0002 c3a9 0001 00",  # a count that does not exist
        "0102 0001 0002 c3a9 012c 00",  # a list that is cut off
    ],
)
def test_any_other_bytes_are_malformed(wrong: str) -> None:
    with pytest.raises(EnvelopeError) as caught:
        decode(Pair, bytes.fromhex(wrong))
    assert caught.value.code == "ENVELOPE_MALFORMED"


def test_every_cut_and_every_extension_is_malformed() -> None:
    raw = encode(Portion, PORTION)
    for spoilt in [raw[:n] for n in range(len(raw))] + [raw + b"\x00"]:
        with pytest.raises(EnvelopeError):
            decode(Portion, spoilt)


@pytest.mark.parametrize("value", [0, 6, 255])
def test_enum_value_that_does_not_exist_is_malformed(value: int) -> None:
    with pytest.raises(EnvelopeError):
        decode(Portion, bytes([value]) + encode(Portion, PORTION)[1:])


@pytest.mark.parametrize(
    "spoilt",
    [
        replace(PORTION, label="x" * 65536),
        replace(PORTION, label="\ud800"),
        replace(PORTION, flags=("f",) * 33),
        replace(PORTION, kind=9),  # type: ignore[arg-type]
        replace(PORTION, content=None),  # type: ignore[arg-type]
    ],
)
def test_value_that_the_layout_cannot_carry_is_not_encoded(spoilt: Portion) -> None:
    with pytest.raises(EnvelopeError) as caught:
        encode(Portion, spoilt)
    assert caught.value.code == "ENVELOPE_MALFORMED"


@pytest.mark.parametrize(
    "spoilt",
    [
        replace(RECEIPT, leaf=LeafId(bytes(31))),
        replace(RECEIPT, leaf=LeafId(bytes(33))),
        replace(RECEIPT, decided_at=-1),  # type: ignore[arg-type]
        replace(RECEIPT, decided_at=2**64),  # type: ignore[arg-type]
    ],
)
def test_bytes_or_number_of_a_wrong_size_are_never_padded_or_cut(spoilt: Receipt) -> None:
    with pytest.raises(EnvelopeError):
        encode(Receipt, spoilt)


def test_long_list_reads_like_a_short_one() -> None:
    pair = Pair(1, ("a", "b"), tuple(range(150)) * 2)
    assert decode(Pair, encode(Pair, pair)) == pair


def test_prefix_tells_where_the_record_ends() -> None:
    raw = encode(Portion, PORTION)
    assert decode_prefix(Portion, raw + b"more") == (PORTION, len(raw))


def test_records_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        PORTION.label = "(TS)"  # type: ignore[misc]
