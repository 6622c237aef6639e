"""Room on the disk: when only what is urgent is taken, and who holds the reserve (P14, P17)."""

from __future__ import annotations

import pytest

from engine_world import Rig
from intelshare.engine import Limits, SpaceLimits
from intelshare.engine.actions import HoldReserve, RunChore, SetRoom
from intelshare.engine.events import ReserveHeld, Space, Started
from intelshare.engine.housekeeping import EVERY
from intelshare.engine.space import PAUSE
from intelshare.engine.values import Chore
from intelshare.instant import SECOND

BOUNDS = SpaceLimits(low=1000, reserve=100, give=50)
HELD = BOUNDS.reserve


@pytest.fixture(name="rig")
def _rig() -> Rig:
    return Rig(Limits(space=BOUNDS))


def room(rig: Rig, free: int, reserve: int = HELD) -> tuple[list[HoldReserve], SetRoom]:
    """What is asked of the reserve after a look, and what steps and health know then."""
    before = len(rig.seen)
    rig.feed(Space(free, reserve))
    new = rig.seen[before:]
    return [one for one in new if isinstance(one, HoldReserve)], [o for o in new if isinstance(o, SetRoom)][
        -1
    ]


def test_the_disk_is_looked_at_right_after_a_start_and_every_second(rig: Rig) -> None:
    rig.feed(Started())
    assert RunChore(Chore.SPACE) in rig.seen
    assert EVERY[Chore.SPACE] == SECOND


def test_with_room_everything_is_taken_and_a_missing_reserve_is_made_once(rig: Rig) -> None:
    assert room(rig, 5000) == ([], SetRoom())
    assert room(rig, 5000, reserve=0) == ([HoldReserve(True)], SetRoom())
    assert room(rig, 5000, reserve=0) == ([], SetRoom()), "it is being made"
    rig.feed(ReserveHeld(True))
    assert room(rig, 5000) == ([], SetRoom())


def test_with_little_room_only_what_is_urgent_is_taken_and_the_reserve_stays(rig: Rig) -> None:
    assert room(rig, 999) == ([], SetRoom(999, 1000))
    assert room(rig, 50) == ([], SetRoom(50, 1000))


def test_with_hardly_any_room_the_reserve_is_given_up_and_more_is_needed_then(rig: Rig) -> None:
    assert room(rig, 49) == ([HoldReserve(False)], SetRoom(49, 1000))
    assert room(rig, 140, reserve=0) == ([], SetRoom(140, 1100))
    assert room(rig, 0, reserve=0) == ([], SetRoom(0, 1100)), "there is nothing left to give"


def test_everything_is_taken_again_only_once_the_reserve_is_held(rig: Rig) -> None:
    room(rig, 0)
    rig.steady += PAUSE
    assert room(rig, 1099, reserve=0) == ([], SetRoom(1099, 1100))
    assert room(rig, 1100, reserve=0) == ([HoldReserve(True)], SetRoom(1100, 1100))
    rig.feed(ReserveHeld(True))
    assert rig.seen[-1] == SetRoom() or SetRoom() in rig.seen[-3:]
    assert room(rig, 1000) == ([], SetRoom())


def test_where_a_quota_hides_the_reserve_is_the_proof_that_there_is_room(rig: Rig) -> None:
    """A write found no room although the disk says that there is plenty."""
    assert room(rig, 0)[0] == [HoldReserve(False)]
    assert room(rig, 5000, reserve=0) == ([], SetRoom(5000, 1100)), "not before a pause is over"
    rig.steady += PAUSE
    assert room(rig, 5000, reserve=0)[0] == [HoldReserve(True)]
    rig.feed(ReserveHeld(False))
    assert room(rig, 5000, reserve=0) == ([], SetRoom(5000, 1100))
    rig.steady += PAUSE
    assert room(rig, 5000, reserve=0)[0] == [HoldReserve(True)]
    rig.feed(ReserveHeld(True))
    assert room(rig, 5000) == ([], SetRoom())


def test_a_start_that_finds_no_room_for_a_reserve_takes_only_what_is_urgent(rig: Rig) -> None:
    assert room(rig, 1050, reserve=0)[0] == [HoldReserve(True)]
    rig.feed(ReserveHeld(False))
    assert room(rig, 1050, reserve=0) == ([], SetRoom(1050, 1100))
