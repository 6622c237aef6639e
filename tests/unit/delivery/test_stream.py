"""Check 9 of attacks.md: numbers, neighbours and holes of an incoming stream."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intelshare.delivery import Incoming, NumberVerdict, Ranges, arrive
from intelshare.delivery.stream import MAX_RANGES
from intelshare.errors import DeliveryError
from intelshare.ids import LeafId

numbers = st.integers(0, 40)
spans = st.lists(st.tuples(numbers, numbers), max_size=12)


def leaf(number: int) -> LeafId:
    """Of release ``number`` of an honest stream; 0 is the stream's start."""
    return LeafId(number.to_bytes(32, "big"))


class Receiver:
    """Keeps what it takes, as the broker does."""

    def __init__(self) -> None:
        self.stream = Incoming(0, leaf(0))
        self.taken = {0: (leaf(0), LeafId(b""))}

    def take(self, number: int, own: LeafId | None = None, prev: LeafId | None = None) -> NumberVerdict:
        own, prev = own or leaf(number), prev or leaf(number - 1)
        judged, self.stream = arrive(self.stream, number, own, prev, self.taken.get)
        self.taken[number] = (own, prev)
        return judged


def code_of(receiver: Receiver, number: int, own: LeafId | None = None, prev: LeafId | None = None) -> str:
    before = receiver.stream
    with pytest.raises(DeliveryError) as caught:
        receiver.take(number, own, prev)
    assert receiver.stream == before
    return caught.value.code


@given(st.lists(st.tuples(st.booleans(), numbers, numbers), max_size=30))
def test_ranges_are_the_set_of_their_numbers_sorted_and_apart(steps: list[tuple[bool, int, int]]) -> None:
    ranges, model = Ranges(), set()
    for adds, first, last in steps:
        touched = set(range(first, last + 1))
        ranges = ranges.add(first, last) if adds else ranges.remove(first, last)
        model = model | touched if adds else model - touched
        assert {n for n in range(42) if n in ranges} == model
        assert all(low <= high for low, high in ranges.spans)
        gaps = zip(ranges.spans, ranges.spans[1:], strict=False)
        assert all(before[1] + 1 < after[0] for before, after in gaps)
    assert Ranges.unpack(ranges.pack()) == ranges


@given(st.permutations(range(1, 9)))
def test_any_order_of_arrival_is_accepted_at_once_and_leaves_no_hole(order: list[int]) -> None:
    receiver = Receiver()
    for place, number in enumerate(order, 1):
        assert receiver.take(number) is NumberVerdict.FITS
        missing = set(range(1, receiver.stream.last + 1)) - set(order[:place])
        assert {n for n in range(10) if n in receiver.stream.holes} == missing
    assert receiver.stream == Incoming(8, leaf(8))


def test_row_34_a_second_content_for_a_number_is_a_fork() -> None:
    receiver = Receiver()
    receiver.take(1)
    receiver.take(2)
    assert code_of(receiver, 2, own=leaf(99)) == "SEQUENCE_FORK"
    assert code_of(receiver, 1, own=leaf(99), prev=leaf(0)) == "SEQUENCE_FORK"


def test_row_34_a_successor_that_names_another_before_it_is_a_fork() -> None:
    receiver = Receiver()
    receiver.take(1)
    assert code_of(receiver, 2, prev=leaf(99)) == "SEQUENCE_FORK"


def test_row_34_a_late_number_that_its_successor_does_not_name_is_a_fork() -> None:
    receiver = Receiver()
    receiver.take(1)
    receiver.take(3)
    assert code_of(receiver, 2, own=leaf(99)) == "SEQUENCE_FORK"
    assert code_of(receiver, 2, prev=leaf(99)) == "SEQUENCE_FORK"
    assert receiver.take(2) is NumberVerdict.FITS


def test_the_first_number_names_the_start_of_its_stream_also_when_it_comes_late() -> None:
    receiver = Receiver()
    assert code_of(receiver, 1, prev=leaf(99)) == "SEQUENCE_FORK"
    receiver.take(2)
    assert code_of(receiver, 1, prev=leaf(99)) == "SEQUENCE_FORK"


def test_there_is_no_number_zero() -> None:
    assert code_of(Receiver(), 0, prev=leaf(7)) == "SEQUENCE_FORK"


def test_a_frozen_stream_takes_nothing() -> None:
    receiver = Receiver()
    receiver.stream = Incoming(0, leaf(0), frozen=True)
    assert code_of(receiver, 1) == "SEQUENCE_FORK"


def test_a_cancelled_number_is_void_whenever_it_comes() -> None:
    receiver = Receiver()
    receiver.stream = Incoming(0, leaf(0), cancelled=Ranges().add(2, 2))
    assert receiver.take(1) is NumberVerdict.FITS
    assert receiver.take(3) is NumberVerdict.FITS
    assert receiver.take(2) is NumberVerdict.VOIDED
    assert not receiver.stream.holes.spans


@pytest.mark.parametrize("descending", [False, True])
def test_a_peer_that_skips_numbers_on_purpose_gets_no_more_than_the_bound(descending: bool) -> None:
    receiver = Receiver()
    evens = list(range(2, 6 * MAX_RANGES, 2))
    if descending:
        evens.reverse()
    for number in evens[:MAX_RANGES]:
        receiver.take(number)
    assert [code_of(receiver, number) for number in evens[MAX_RANGES : MAX_RANGES + 3]] == ["RATE"] * 3
    assert len(receiver.stream.holes.spans) == MAX_RANGES
