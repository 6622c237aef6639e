"""For every record: what is encoded decodes to the same value, what is accepted encodes to the same bytes."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from enum import IntEnum
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intelshare.audit import exhibit, path
from intelshare.audit import records as logged
from intelshare.broker.kernel import kept_claims
from intelshare.bulletin import draft
from intelshare.crypto import records
from intelshare.crypto.codec import Count, Encoded, Fixed, decode, encode, encoded
from intelshare.errors import EnvelopeError
from intelshare.instant import Instant, show
from intelshare.trust import documents, forks, hello
from intelshare.vault import format as vault

ROOMS = (records, logged, path, exhibit, documents, forks, hello, vault, kept_claims, draft)
RECORDS = sorted(
    {made for room in ROOMS for made in vars(room).values() if hasattr(made, "__record__")},
    key=lambda made: (made.__module__, made.__name__),
)
"""Every record that is signed, sealed, logged, stored or shown to others."""

BAD = (2**53 + 2**62, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1)
MARK = 7_777_777_777_777_777
"""In every range, and nowhere else in a record that was made at random."""
BITS = {"B": 8, "H": 16, "I": 32, "Q": 64}
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Values of an annotation, read independently of the codec's own reading."""
    bounds = Count()
    if get_origin(hint) is Annotated:
        hint, *marks = get_args(hint)
        for mark in marks:
            if isinstance(mark, Count):
                bounds = mark
            if isinstance(mark, Fixed):
                return fixed(mark)
    if get_origin(hint) is tuple:
        return lists(values(get_args(hint)[0]), bounds)
    hint = getattr(hint, "__supertype__", hint)
    if get_origin(hint) is Encoded:
        inner = get_args(hint)[0]
        return instances(inner).map(lambda value: encoded(inner, value))
    if hint is str:
        return TEXT
    if hint is bytes:
        return st.binary(max_size=300)
    if issubclass(hint, IntEnum):
        return st.sampled_from(hint)
    return instances(hint)


def fixed(mark: Fixed) -> st.SearchStrategy[Any]:
    if mark.table is not None:
        return st.sampled_from(sorted(mark.table))
    if mark.range is not None:
        inside = st.integers(0, mark.range.most) | st.just(mark.range.most)
        return inside if mark.range.also is None else inside | st.just(mark.range.also)
    if mark.length:
        return st.binary(min_size=mark.length, max_size=mark.length)
    return st.integers(0, 2 ** BITS[mark.format] - 1)


def lists(item: st.SearchStrategy[Any], bounds: Count) -> st.SearchStrategy[Any]:
    if bounds.among is not None:
        sixteen = st.binary(min_size=512, max_size=512)
        return sixteen.map(lambda raw: tuple(raw[i : i + 32] for i in range(0, 512, 32)))
    return st.lists(item, min_size=bounds.least, max_size=min(bounds.most, bounds.least + 2)).map(tuple)


def instances(cls: type) -> st.SearchStrategy[Any]:
    hints = get_type_hints(cls, include_extras=True)
    return st.builds(cls, **{f.name: values(hints[f.name]) for f in fields(cls)})


def accepts_canonically(cls: type, raw: bytes) -> None:
    """Refuses with its one code and no other error, or reads a value that encodes to the same bytes."""
    try:
        read = decode(cls, raw)
    except EnvelopeError as error:
        if error.code != "ENVELOPE_MALFORMED":
            raise
        return
    assert encode(cls, read) == raw


@pytest.mark.parametrize("cls", RECORDS, ids=lambda cls: cls.__name__)
def test_what_is_encoded_decodes_to_the_same_value(cls: type) -> None:
    @settings(max_examples=30, deadline=None)
    @given(instances(cls))
    def holds(value: Any) -> None:
        assert decode(cls, encode(cls, value)) == value

    holds()


@pytest.mark.parametrize("cls", RECORDS, ids=lambda cls: cls.__name__)
def test_accepted_bytes_encode_to_the_same_bytes_and_others_are_malformed(cls: type) -> None:
    @settings(max_examples=40, deadline=None)
    @given(instances(cls), st.data())
    def holds(value: Any, data: st.DataObject) -> None:
        raw = bytearray(encode(cls, value))
        for _ in range(data.draw(st.integers(1, 3))):
            raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
        accepts_canonically(cls, bytes(raw))

    holds()


@given(st.binary(max_size=400))
def test_no_bytes_at_all_raise_anything_else(raw: bytes) -> None:
    for cls in RECORDS:
        accepts_canonically(cls, raw)


def ranged(cls: type) -> list[tuple[str, Fixed]]:
    """The fields of a record that have a range, with their codecs."""
    hints = get_type_hints(cls, include_extras=True)
    marks = [(f.name, mark) for f in fields(cls) for mark in get_args(hints[f.name])[1:]]
    return [(name, mark) for name, mark in marks if isinstance(mark, Fixed) and mark.range is not None]


OF_RANGE = [(cls, name, mark) for cls in RECORDS for name, mark in ranged(cls)]


@pytest.mark.parametrize(
    ("cls", "name", "mark"), OF_RANGE, ids=lambda one: getattr(one, "__name__", str(one))
)
def test_a_number_out_of_its_range_is_refused_with_the_name_of_its_field(
    cls: type, name: str, mark: Fixed
) -> None:
    @settings(max_examples=5, deadline=None)
    @given(instances(cls))
    def holds(value: Any) -> None:
        marked = replace(value, **{name: MARK})
        raw = encode(cls, marked)
        for number in BAD:
            if number in mark.range:  # type: ignore[operator]
                continue
            bad = raw.replace(MARK.to_bytes(8, "big"), number.to_bytes(8, "big"), 1)
            with pytest.raises(EnvelopeError, match=rf"ENVELOPE_MALFORMED.*\b{name} is {number}"):
                decode(cls, bad)
            with pytest.raises(EnvelopeError, match=rf"ENVELOPE_MALFORMED.*\b{name}\b"):
                encode(cls, replace(value, **{name: number}))
        with pytest.raises(EnvelopeError, match=rf"ENVELOPE_MALFORMED.*\b{name}\b"):
            encode(cls, replace(value, **{name: -1}))

    holds()


def numbers(value: Any) -> list[int]:
    """Every number in a record."""
    if isinstance(value, Encoded):
        return numbers(value.value)
    if is_dataclass(value):
        return [number for f in fields(value) for number in numbers(getattr(value, f.name))]
    if isinstance(value, tuple):
        return [number for item in value for number in numbers(item)]
    return [value] if isinstance(value, int) else []


@pytest.mark.parametrize("cls", RECORDS, ids=lambda cls: cls.__name__)
def test_whatever_is_accepted_can_be_shown(cls: type) -> None:
    @settings(max_examples=10, deadline=None)
    @given(instances(cls))
    def holds(value: Any) -> None:
        for number in numbers(decode(cls, encode(cls, value))):
            assert show(Instant(number))

    holds()


@given(st.integers())
def test_any_number_at_all_is_shown_as_a_time(number: int) -> None:
    assert show(Instant(number))


@pytest.mark.parametrize(
    ("kind", "name", "cut"),
    [
        (records.Receipt, "status", 35 + 2),
        (records.Receipt, "codes", 38),
        (records.Recall, "reason", 40),
        (records.StreamHead, "cancelled", 5 + 56),
    ],
)
def test_what_is_cut_off_is_refused_with_the_name_of_its_field(kind: type, name: str, cut: int) -> None:
    values = {
        records.Receipt: records.Receipt("FRA", bytes(32), records.ReceiptStatus.READ, (), 1),
        records.Recall: records.Recall("FRA", bytes(32), "why"),
        records.StreamHead: records.StreamHead("FRA", 1, 0, 1, bytes(32), ()),
    }
    raw = encode(kind, values[kind])
    with pytest.raises(EnvelopeError, match=name):
        decode(kind, raw[:cut])
