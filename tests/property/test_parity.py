"""The parity of a record: what it brings back, and what it leaves alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from intelshare.store.parity import BLOCK, LANES, MOST, folded, parity_of, repaired, unfolded

_RECORDS = st.binary(min_size=1, max_size=4 * BLOCK * LANES)


@given(_RECORDS, st.data())
def test_any_stretch_of_a_page_comes_back(record: bytes, data: st.DataObject) -> None:
    parity = parity_of(record)
    at = data.draw(st.integers(0, len(record) - 1))
    size = data.draw(st.integers(1, BLOCK * (LANES - 1)))
    rotten = bytearray(record)
    rotten[at : at + size] = bytes([byte ^ 0x5A for byte in rotten[at : at + size]])
    assert repaired(bytes(rotten), parity) == record


@given(_RECORDS, st.sampled_from((2, 3)), st.data())
def test_a_bad_sector_is_one_of_the_places_that_are_tried(
    record: bytes, lanes: int, data: st.DataObject
) -> None:
    parity = folded(record, lanes)
    assert len(parity) <= lanes * BLOCK
    at = data.draw(st.integers(0, len(record) - 1))
    size = data.draw(st.integers(1, BLOCK * (lanes - 1)))
    rotten = bytearray(record)
    rotten[at : at + size] = bytes([byte ^ 0x5A for byte in rotten[at : at + size]])
    tried = list(unfolded(bytes(rotten), parity, lanes))
    assert record in tried
    assert len(tried) <= len(record) // BLOCK + 1 <= MOST
    assert list(unfolded(record, parity, lanes)) == []
    assert list(unfolded(record + b"x" * BLOCK * lanes, parity[:-1], lanes)) == []


def test_a_large_record_has_longer_blocks_and_as_few_places() -> None:
    record = bytes(range(256)) * 4096
    parity = folded(record, 2)
    assert len(parity) == 2 * len(record) // MOST
    rotten = record[:700_001] + bytes(8192) + record[708_193:]
    tried = unfolded(rotten, parity, 2)
    assert sum(one == record for one in tried) == 1


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
