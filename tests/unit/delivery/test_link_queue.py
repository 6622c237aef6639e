"""What one link holds: a window, and what is to be tried again."""

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intelshare.delivery import LinkQueue
from intelshare.delivery.link import MAX_WINDOW, MIN_WINDOW
from intelshare.ids import LeafId
from intelshare.instant import MINUTE, SECOND, Instant

NOW = Instant(1_800_000_000 * SECOND)
LEAF = LeafId(b"\x01" * 32)


def most(count):
    """Random bytes that make every delay the longest."""
    return (SECOND // 2).to_bytes(count, "big")


def rejected():
    queue = LinkQueue()
    queue.sent([(LEAF, 100)], NOW)
    queue.more = False
    queue.rejected(LEAF, NOW, most)
    return queue


def test_a_rejected_statement_is_tried_again_when_it_is_due():
    queue = rejected()
    due = queue.due(NOW)
    assert due == NOW + SECOND // 2
    assert LEAF in queue.busy(NOW)
    assert not queue.more
    assert queue.due(due) is None
    assert queue.more
    assert LEAF not in queue.busy(due)


def test_what_was_settled_elsewhere_meanwhile_is_asked_for_once_and_not_for_ever():
    queue = rejected()
    later = Instant(NOW + MINUTE)
    queue.due(later)
    queue.more = False  # the store was asked, and has it no longer
    assert queue.due(later) is None
    assert not queue.more


def test_each_rejection_waits_longer_than_the_one_before():
    queue, now, waits = rejected(), NOW, []
    for _ in range(3):
        now = Instant(queue.due(now))
        queue.due(now)
        queue.sent([(LEAF, 100)], NOW)
        queue.rejected(LEAF, now, lambda count: b"\x00" * (count - 4) + b"\xff" * 4)
        waits.append(queue.due(now) - now)
    assert waits[0] < waits[1] < waits[2]


def test_codes_for_what_was_never_sent_cost_nothing():
    queue = LinkQueue(more=False)
    for number in range(1000):
        queue.rejected(LeafId(number.to_bytes(32, "big")), NOW, most)
    assert queue.due(NOW) is None
    assert not queue.busy(NOW)


def test_the_window_starts_at_four_small_frames_and_closes_when_nobody_answers():
    queue = LinkQueue()
    assert queue.room() == MIN_WINDOW
    queue.sent([(LEAF, MIN_WINDOW)], NOW)
    assert queue.room() == 0
    assert queue.unacknowledged == 1


def test_what_is_sent_again_counts_once():
    queue = LinkQueue()
    queue.sent([(LEAF, 100)], NOW)
    queue.sent([(LEAF, 100)], NOW)
    assert queue.room() == MIN_WINDOW - 100
    queue.acknowledged(LEAF, NOW)
    queue.acknowledged(LEAF, NOW)
    assert queue.unacknowledged == 0
    assert queue.room() >= MIN_WINDOW


@given(st.lists(st.tuples(st.sampled_from(["sent", "acknowledged", "rejected"]), st.integers(0, 9))))
def test_the_window_is_within_its_bounds_and_counts_what_is_on_the_way(steps):
    queue, flying, now = LinkQueue(), {}, NOW
    for step, number in steps:
        leaf, size, now = LeafId(bytes([number]) * 32), 200_000 * number, Instant(now + SECOND // 8)
        if step == "sent":
            queue.sent([(leaf, size)], now)
            flying[leaf] = size
        elif step == "acknowledged":
            queue.acknowledged(leaf, now)
            flying.pop(leaf, None)
        else:
            queue.rejected(leaf, now, most)
            flying.pop(leaf, None)
        assert queue.unacknowledged == len(flying)
        assert MIN_WINDOW <= queue.room() + sum(flying.values()) <= MAX_WINDOW
        assert flying.keys() <= queue.busy(now)


def test_the_window_widens_with_what_flows_and_narrows_when_it_stops():
    queue, now = LinkQueue(), NOW
    for number in range(40):
        now = Instant(now + SECOND // 200)
        leaf = LeafId(number.to_bytes(32, "big"))
        queue.sent([(leaf, 100_000)], now)
        queue.acknowledged(leaf, now)
    assert queue.room() == MAX_WINDOW
    for number in range(3):
        now = Instant(now + SECOND)
        leaf = LeafId(number.to_bytes(32, "big"))
        queue.sent([(leaf, 10)], now)
        queue.acknowledged(leaf, now)
    assert queue.room() == MIN_WINDOW


@pytest.mark.parametrize("trip", [2, 20, 300], ids=lambda trip: f"{trip} ms there and back")
def test_what_is_on_the_way_fills_the_path_and_is_little_more(trip):
    """A peer that commits 3 kB a millisecond is kept busy; FLASH waits for a quarter of a second and one and
    a half trips."""
    size, queue, flying, number, done = 3_000, LinkQueue(), deque(), 0, 0
    for millisecond in range(6_000):
        now = Instant(NOW + millisecond * SECOND // 1000)
        while queue.room() > 0:
            leaf = LeafId(number.to_bytes(32, "big"))
            number += 1
            queue.sent([(leaf, size)], now)
            flying.append((millisecond + trip, leaf))
        if flying and flying[0][0] <= millisecond:
            queue.acknowledged(flying.popleft()[1], now)
            done += millisecond >= 3_000
    assert done > 2_900
    assert len(flying) < 260 + 1.6 * trip


@pytest.mark.parametrize("rate", [250, 1_250], ids=lambda rate: f"{rate * 8 // 1000} Mbit/s")
def test_a_slow_line_is_never_filled_with_more_than_the_smallest_window_or_a_quarter_of_a_second(rate):
    """A line that is full makes every trip long: what is on the way must not grow with the trips (F6)."""
    size, queue, flying, number, free = 2_500, LinkQueue(), deque(), 0, 0.0
    most_, done = 0, 0
    queue.sent([(LEAF, 300)], NOW)  # a link begins with a checkpoint
    queue.acknowledged(LEAF, Instant(NOW + SECOND // 50))
    for millisecond in range(20, 120_000):
        now = Instant(NOW + millisecond * SECOND // 1000)
        if queue.room() > 0:
            frame = []
            while queue.room() > 0 and len(frame) < 128:
                leaf = LeafId(number.to_bytes(32, "big"))
                number += 1
                queue.sent([(leaf, size)], now)
                frame.append(leaf)
            free = max(free, millisecond) + len(frame) * size / rate
            flying.append((free + 20, frame))  # a frame is acknowledged as a whole
        while flying and flying[0][0] <= millisecond:
            for leaf in flying.popleft()[1]:
                queue.acknowledged(leaf, now)
                done += size
        most_ = max(most_, queue.unacknowledged * size)
    assert most_ <= max(MIN_WINDOW, 0.3 * SECOND / 1000 * rate) + size
    assert done > 0.95 * 120_000 * rate
