"""The guard of wall time (promise P10): what is believed, and from when on."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from intelshare.instant import DAY, HOUR, MINUTE, SECOND, Instant
from intelshare.node.clock import Clock

BEGIN = Instant(1_700_000_000 * SECOND)


@dataclass
class Machine:
    """Time that passes, and a wall clock that lies ``ahead``."""

    passed: int = 0
    ahead: int = 0

    def wall(self) -> Instant:
        return Instant(BEGIN + self.passed + self.ahead)

    def clock(self, latest: Instant = BEGIN) -> Clock:
        return Clock(latest, self.wall, lambda: self.passed, confirmed=latest)


@pytest.mark.parametrize("jump", [-HOUR, 2 * MINUTE, DAY, 400 * DAY])
def test_a_jump_is_not_believed_and_is_over_once_it_goes_back(jump: int) -> None:
    machine = Machine()
    clock = machine.clock()
    assert clock.read().believed
    machine.passed, machine.ahead = 14 * SECOND, jump
    read = clock.read()
    assert not read.believed
    assert (read.now, read.expected) == (machine.wall(), BEGIN + 14 * SECOND)
    assert read.until >= read.now + 9 * MINUTE
    machine.passed, machine.ahead = 28 * SECOND, 0
    assert clock.read().believed


def test_a_jump_that_stays_is_believed_after_ten_minutes_but_behind_the_mark_it_waits() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.ahead = DAY
    assert not clock.read().believed
    machine.passed = 11 * MINUTE
    assert clock.read().believed
    machine.ahead = 0
    assert not clock.read().believed
    machine.passed += 11 * MINUTE
    read = clock.read()
    assert not read.believed
    assert read.until == BEGIN + DAY + 11 * MINUTE - MINUTE == read.expected - MINUTE


def test_a_clock_that_goes_back_in_small_steps_is_noticed() -> None:
    machine = Machine()
    clock = machine.clock()
    assert clock.read().believed
    machine.ahead = -50 * SECOND
    assert clock.read().believed
    machine.ahead = -100 * SECOND
    assert not clock.read().believed


def test_what_an_operator_believes_is_believed() -> None:
    machine = Machine()
    clock = machine.clock(Instant(BEGIN + 400 * DAY))
    assert not clock.read().believed
    clock.believe()
    assert clock.read().believed
    machine.ahead = HOUR
    assert not clock.read().believed
    clock.believe()
    assert clock.read().believed


def test_a_start_after_a_time_that_nobody_confirmed_is_not_confirmed_by_it() -> None:
    machine = Machine(ahead=100 * DAY)
    wrong = Clock(machine.wall(), machine.wall, lambda: machine.passed, confirmed=BEGIN)
    assert (wrong.read().believed, wrong.read().confirmed) == (True, False)
    wrong.confirm()
    assert wrong.read().confirmed
