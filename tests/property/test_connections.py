"""A port keeps its bounds whatever comes, and turns nobody out who has proved who they are."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intelshare.engine import ConnectionLimits, Connections, Reason
from intelshare.instant import SECOND, Instant

LIMITS = ConnectionLimits(
    connections=8, unknown=4, of_address=5, of_one=3, each_second=2, prove=10 * SECOND, silence=30 * SECOND
)
PLACES = [
    ip_address(text) for text in ("192.0.2.1", "192.0.2.2", "::ffff:192.0.2.1", "2001:db8::1", "2001:db8::2")
]


def came(port: Connections, address: str, at: int = 0) -> int:
    answer = port.arrive(ip_address(address), Instant(at))
    assert not isinstance(answer, Reason), answer
    return answer[0]


@given(
    st.lists(
        st.tuples(st.sampled_from(PLACES), st.integers(0, SECOND), st.sampled_from("apphle")), max_size=60
    )
)
def test_the_bounds_hold_and_a_stranger_never_ends_a_proved_one(story: list[Any]) -> None:
    port, now = Connections(LIMITS), Instant(0)
    inside: dict[int, Any] = {}
    proved: dict[int, str] = {}
    for place, passed, what in story:
        now = Instant(now + passed)
        number = next(iter(inside), 0)
        match what:
            case "a" | "p":
                answer = port.arrive(place, now)
                if isinstance(answer, Reason):
                    continue
                number, ending = answer
                assert not set(ending) & set(proved)
                for one in ending:
                    del inside[one]
                inside[number] = place
                if what == "p":
                    proved[number] = str(place)
                    for one in port.proved(number, str(place)):
                        assert proved.pop(one) == str(place)
                        del inside[one]
            case "h":
                port.heard(number, now)
            case "l" if inside:
                port.end(number)
                del inside[number]
                proved.pop(number, None)
            case "e":
                for one, reason in port.due(now):
                    assert (reason is Reason.UNPROVED) <= (one not in proved)
                    del inside[one]
                    proved.pop(one, None)
        assert port.open == len(inside) <= LIMITS.connections
        assert port.unknown == len(set(inside) - set(proved)) <= LIMITS.unknown
        assert all(list(proved.values()).count(who) <= LIMITS.of_one for who in proved.values())


def test_strangers_make_room_for_one_another_and_for_no_stranger_a_member() -> None:
    port = Connections(LIMITS)
    first = came(port, "192.0.2.1")
    port.proved(first, "FRA")
    crowd = [came(port, "198.51.100.1", n * SECOND) for n in range(3)]
    lone = came(port, "203.0.113.1", 3 * SECOND)
    # The fifth stranger ends the oldest of the address that has most of them, not the lone one.
    answer = port.arrive(ip_address("203.0.113.2"), Instant(4 * SECOND))
    assert not isinstance(answer, Reason)
    assert answer[1] == (crowd[0],)
    assert port.ended == {Reason.CROWDED_OUT: 1}
    assert lone != crowd[0] != first


def test_a_port_that_is_full_of_members_turns_a_stranger_away() -> None:
    port = Connections(LIMITS)
    for n in range(8):
        port.proved(came(port, f"192.0.2.{n}"), f"member {n}")
    assert port.arrive(ip_address("198.51.100.1"), Instant(0)) is Reason.FULL


def test_pace_is_for_those_that_prove_nothing() -> None:
    port = Connections(LIMITS)
    for _ in range(20):
        number = came(port, "192.0.2.1")
        port.proved(number, "FRA")
        port.end(number)
    for _ in range(4):
        port.end(came(port, "192.0.2.1"))
    assert port.arrive(ip_address("192.0.2.1"), Instant(0)) is Reason.PACE
    assert port.arrive(ip_address("192.0.2.1"), Instant(SECOND // 4)) is Reason.PACE
    came(port, "192.0.2.1", SECOND)


@pytest.mark.parametrize("address", ["2001:db8:0:1::1", "::ffff:192.0.2.1"])
def test_one_network_of_ipv6_is_one_address_and_a_mapped_one_is_its_ipv4(address: str) -> None:
    port = Connections(ConnectionLimits(of_address=1))
    came(port, address)
    other = {"2001:db8:0:1::1": "2001:db8:0:1:ffff::9", "::ffff:192.0.2.1": "192.0.2.1"}[address]
    assert port.arrive(ip_address(other), Instant(0)) is Reason.OF_ADDRESS


def test_who_proves_nothing_in_time_or_says_nothing_for_long_ends() -> None:
    port = Connections(LIMITS)
    stranger, silent, alive = (came(port, f"192.0.2.{n}") for n in range(3))
    port.proved(silent, "FRA")
    port.proved(alive, "USA")
    assert port.due(Instant(10 * SECOND - 1)) == ()
    assert port.due(Instant(10 * SECOND)) == ((stranger, Reason.UNPROVED),)
    port.heard(alive, Instant(20 * SECOND))
    assert port.due(Instant(30 * SECOND)) == ((silent, Reason.SILENT),)
    assert port.open == 1


def test_a_further_connection_of_one_ends_its_oldest() -> None:
    port = Connections(LIMITS)
    mine = [came(port, f"192.0.2.{n}") for n in range(4)]
    ended = [port.proved(number, "FRA") for number in mine]
    assert ended == [(), (), (), (mine[0],)]
