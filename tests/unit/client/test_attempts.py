"""A submission is made again under its key while a replica answers, and never told as not stored."""

from __future__ import annotations

import random

import pytest

from intelshare.client.attempts import TIMES, Attempts, elsewhere
from intelshare.client.channel import in_some_order, next_first, target_of
from intelshare.errors import ConfigError, DeliveryError, IntelshareError

ONE, THREE = "127.0.0.1:1", "127.0.0.1:1,127.0.0.1:2,127.0.0.1:3"
GONE = ConfigError("NODE_UNREACHABLE", "no node answers")
LATE = ConfigError("TIMED_OUT", "the node did not answer in time")
BUSY = DeliveryError("STORE_UNAVAILABLE", "the database is away")
DENIED = DeliveryError("NOT_AUTHORISED", "not for this role")
DOUBT = DeliveryError("OUTCOME_UNKNOWN", "the database went away while it committed")
BESIDE = DeliveryError("NOT_LEADING", "this is for the replica that leads")


def played(address: str, *errors: tuple[IntelshareError, bool]) -> str:
    """The code that ends it, or how many attempts have failed; each error with whether the call was made."""
    attempts = Attempts(address)
    for error, sent in errors:
        attempts.sent = attempts.sent or sent
        if (last := attempts.failed(error)) is not None:
            return last.code
    return str(len(errors))


@pytest.mark.parametrize(
    ("address", "errors", "ends"),
    [
        (ONE, [(GONE, False)], "NODE_UNREACHABLE"),
        (THREE, [(GONE, False)], "1"),
        (THREE, [(GONE, False)] * TIMES, "NODE_UNREACHABLE"),
        (THREE, [(LATE, False)], "1"),
        (ONE, [(LATE, False)], "TIMED_OUT"),
        (ONE, [(BUSY, True)], "STORE_UNAVAILABLE"),
        (THREE, [(BUSY, True)], "1"),
        (THREE, [(BUSY, True)] * TIMES, "STORE_UNAVAILABLE"),
        (THREE, [(DENIED, True)], "NOT_AUTHORISED"),
        (ONE, [(GONE, True)], "1"),
        (ONE, [(DOUBT, True)], "1"),
        (ONE, [(DOUBT, True)] * TIMES, "OUTCOME_UNKNOWN"),
        (ONE, [(LATE, True)], "OUTCOME_UNKNOWN"),
        (THREE, [(LATE, True)], "1"),
        # After a lost answer nothing but an answer to the key says what became of it.
        (ONE, [(GONE, True), (GONE, False), (BUSY, True)], "3"),
        (ONE, [(GONE, True), (GONE, False), (BUSY, True), (BUSY, True)], "OUTCOME_UNKNOWN"),
        (THREE, [(LATE, True)] * TIMES, "OUTCOME_UNKNOWN"),
    ],
)
def test_a_submission_ends_with_what_is_known_of_it(
    address: str, errors: list[tuple[IntelshareError, bool]], ends: str
) -> None:
    assert played(address, *errors) == ends


def test_who_is_there_and_says_nothing_is_left_for_another_replica() -> None:
    several, alone = Attempts(THREE), Attempts(ONE)
    assert (several.failed(LATE), several.stuck) == (None, True)
    assert (several.failed(GONE), several.stuck) == (None, False)
    assert (alone.failed(LATE), alone.stuck) == (LATE, False)


def test_all_addresses_of_a_list_are_dialled_in_an_order_that_is_not_the_same_for_all() -> None:
    assert target_of("node.example:7444") == in_some_order("node.example:7444") == "node.example:7444"
    seen = set()
    for seed in range(20):
        random.seed(seed)
        seen.add(in_some_order(" 127.0.0.1:1, 127.0.0.1:2"))
    assert {target_of(one) for one in seen} == {
        "ipv4:127.0.0.1:1,127.0.0.1:2",
        "ipv4:127.0.0.1:2,127.0.0.1:1",
    }
    assert [next_first(one) for one in (ONE, THREE)] == [ONE, "127.0.0.1:2,127.0.0.1:3,127.0.0.1:1"]


def test_addresses_of_both_families_stand_in_one_list_and_an_unknown_name_hides_none() -> None:
    scheme, _, places = target_of("[::1]:1,127.0.0.1:2,nobody.invalid:3").partition(":")
    assert (scheme, set(places.split(","))) == ("ipv6", {"[::1]:1", "[::ffff:127.0.0.1]:2"})
    assert target_of("nobody.invalid:3,nowhere.invalid:4") in ("nobody.invalid:3", "nowhere.invalid:4")


@pytest.mark.parametrize(
    ("said", "ends", "moved"),
    [
        ([None], "", 0),
        ([DENIED], "NOT_AUTHORISED", 0),
        ([GONE], "NODE_UNREACHABLE", 0),
        ([BESIDE, BUSY, None], "", 2),
        ([BESIDE, DENIED], "NOT_AUTHORISED", 1),
        ([BESIDE, BESIDE, BUSY], "STORE_UNAVAILABLE", 2),
    ],
)
def test_what_a_replica_leaves_undone_is_asked_of_each_once(
    said: list[IntelshareError | None], ends: str, moved: int
) -> None:
    left, tried = iter(said), list[int]()

    def call() -> str:
        if (error := next(left)) is not None:
            raise error
        return ""

    def outcome(address: str) -> str:
        try:
            return elsewhere(call, address, lambda: tried.append(1))
        except IntelshareError as error:
            return error.code

    assert (outcome(THREE), len(tried)) == (ends, moved)
    left = iter([BESIDE])
    assert (outcome(ONE), len(tried)) == ("NOT_LEADING", moved), (
        "with one address there is nobody else to ask"
    )
