"""For every record: what is encoded decodes to the same value, what is accepted encodes to the same bytes."""

from __future__ import annotations

from dataclasses import fields
from enum import IntEnum
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intelshare.crypto import records
from intelshare.crypto.codec import Count, Fixed, decode, encode
from intelshare.errors import EnvelopeError

RECORDS = [made for made in vars(records).values() if hasattr(made, "__record__")]
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
