"""Who confirms a clock: of the linked members more than not, whichever replica has their links."""

from __future__ import annotations

import pytest

from builders import NOW
from engine_world import Rig
from intelshare.engine.actions import ConfirmClock, PassOn
from intelshare.engine.events import Divided, Joined, PassedOn, Started
from intelshare.engine.housekeeping import EVERY, TIME, TOLD
from intelshare.engine.values import Shares
from intelshare.ids import MemberCode
from intelshare.instant import HOUR, SECOND, Instant

USA, KEN = MemberCode("USA"), MemberCode("KEN")


@pytest.fixture(name="rig")
def _rig() -> Rig:
    rig = Rig()
    rig.confirmed = False
    rig.feed(Started())
    return rig


def told(rig: Rig, member: MemberCode, ahead: int = 0) -> None:
    """Another replica tells the time of a member that it is linked with."""
    rig.feed(PassedOn(member, Instant(NOW + rig.steady + ahead)))


def is_confirmed(rig: Rig) -> bool:
    rig.wait(2 * SECOND)
    return bool(rig.actions(ConfirmClock))


def test_one_that_leads_and_has_no_link_is_confirmed_by_members_that_another_replica_has(rig: Rig) -> None:
    assert not is_confirmed(rig)
    told(rig, USA)
    assert is_confirmed(rig)


def test_a_member_whose_clock_differs_does_not_confirm_it_elsewhere_either(rig: Rig) -> None:
    told(rig, USA, ahead=HOUR)
    assert not is_confirmed(rig)
    told(rig, KEN)
    assert not is_confirmed(rig), "one to one"


def test_a_time_that_nobody_tells_again_counts_no_more(rig: Rig) -> None:
    rig.believed = False
    told(rig, USA)
    rig.wait(TOLD + SECOND)
    rig.believed = True
    assert not is_confirmed(rig)


def test_a_link_counts_in_place_of_what_was_told_before(rig: Rig) -> None:
    told(rig, USA, ahead=HOUR)
    assert not is_confirmed(rig)
    rig.link("USA")
    assert is_confirmed(rig)


def test_the_others_are_told_the_time_of_each_linked_member_whatever_this_clock_shows(rig: Rig) -> None:
    rig.feed(Joined())
    rig.link("USA")
    rig.wait(EVERY[TIME])
    assert not rig.actions(PassOn), "there are no others"
    rig.feed(Divided(Shares(1, 1, (1, 2), {USA: 1}, frozenset()), frozenset((USA,))))
    rig.ahead = HOUR
    rig.wait(EVERY[TIME])
    (said,) = rig.actions(PassOn)
    assert said.member == USA
    assert isinstance(said.message, int)
    assert abs(said.message - NOW - rig.steady) < EVERY[TIME] + SECOND
