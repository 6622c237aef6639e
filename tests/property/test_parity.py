"""The parity of a record: what it brings back, and what it leaves alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from intelshare.store.parity import BLOCK, LANES, parity_of, repaired

_RECORDS = st.binary(min_size=1, max_size=4 * BLOCK * LANES)


@given(_RECORDS, st.sampled_from((2, LANES)), st.data())
def test_any_stretch_of_a_sector_or_a_page_comes_back(record: bytes, lanes: int, data: st.DataObject) -> None:
    parity = parity_of(record, lanes)
    at = data.draw(st.integers(0, len(record) - 1))
    size = data.draw(st.integers(1, BLOCK * (lanes - 1)))
    rotten = bytearray(record)
    rotten[at : at + size] = bytes([byte ^ 0x5A for byte in rotten[at : at + size]])
    assert repaired(bytes(rotten), parity, lanes) == record


@given(_RECORDS)
def test_parity_is_bounded_and_leaves_a_whole_record_alone(record: bytes) -> None:
    parity = parity_of(record)
    assert len(parity) <= BLOCK * LANES + 4 * (len(record) // BLOCK + 1)
    assert repaired(record, parity) is None


@given(st.integers(LANES + 1, 4 * LANES).map(lambda count: bytes(BLOCK * count)))
def test_more_than_a_stretch_is_not_guessed(record: bytes) -> None:
    rotten = bytes([byte ^ 1 for byte in record])
    assert repaired(rotten, parity_of(record)) is None


@given(_RECORDS, st.binary(max_size=3 * BLOCK * LANES))
def test_a_parity_of_something_else_never_raises(record: bytes, parity: bytes) -> None:
    assert repaired(record, parity) != record
