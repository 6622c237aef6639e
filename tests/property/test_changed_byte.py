"""A changed byte is found by the checksum: any one, and never another."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from intelshare.crypto.aead import checksum
from intelshare.crypto.changed_byte import LONGEST, as_checked

_DATA = st.binary(max_size=300)


def changed(data: bytes, at: int, by: int) -> bytes:
    return data[:at] + bytes([data[at] ^ by]) + data[at + 1 :]


@given(st.binary(min_size=1, max_size=300), st.data(), st.integers(1, 255))
def test_any_changed_byte_of_the_data_is_undone(data: bytes, draw: st.DataObject, by: int) -> None:
    at = draw.draw(st.integers(0, len(data) - 1))
    assert as_checked(changed(data, at, by), checksum(data)) == data


@given(_DATA, st.integers(0, 15), st.integers(1, 255))
def test_a_changed_byte_of_the_checksum_leaves_the_data_as_it_is(data: bytes, at: int, by: int) -> None:
    assert as_checked(data, changed(checksum(data), at, by)) == data
    assert as_checked(data, checksum(data)) == data


@given(st.binary(min_size=2, max_size=300), st.data(), st.integers(1, 255), st.integers(1, 255))
def test_two_changed_bytes_are_not_guessed(data: bytes, draw: st.DataObject, one: int, other: int) -> None:
    whole = data + checksum(data)
    first, second = sorted(draw.draw(st.sets(st.integers(0, len(whole) - 1), min_size=2, max_size=2)))
    rotten = changed(changed(whole, first, one), second, other)
    found = as_checked(rotten[: len(data)], rotten[len(data) :])
    # Two bytes of the checksum are more than one as well.
    assert found is None


@given(_DATA, st.binary(max_size=20))
def test_what_belongs_to_another_checksum_is_never_made_up(data: bytes, kept: bytes) -> None:
    assert as_checked(data, kept) in (None, data)
    assert as_checked(data[:-1], checksum(data)) in (None, data[:-1])


def test_each_bit_of_a_large_record_is_found_and_a_larger_one_is_left_alone() -> None:
    data = bytes(range(256)) * (LONGEST // 256)
    for bit in range(0, 8 * LONGEST, 8 * LONGEST // 7):
        assert as_checked(changed(data, bit // 8, 1 << bit % 8), checksum(data)) == data
    longer = data + b"x"
    assert as_checked(changed(longer, 0, 1), checksum(longer)) is None
