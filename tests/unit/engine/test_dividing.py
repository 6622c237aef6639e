"""Links divided among replicas: each member is held by one, shares are equal, and as few move as can be."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intelshare.audit.path import LogAsk
from intelshare.broker.kernel.frame import Gap
from intelshare.engine.actions import Claim, PassOn
from intelshare.engine.dividing import CALLS, KEPT, ORPHAN, Dividing
from intelshare.engine.events import Divided
from intelshare.engine.values import Now, Shares
from intelshare.ids import Incarnation, MemberCode, NodeUri
from intelshare.instant import SECOND, Instant

MEMBERS = tuple(MemberCode(code) for code in ("BEL", "CAN", "DEU", "KEN", "NOR", "USA"))
USA = MemberCode("USA")


@dataclass
class One:
    """A replica: its engine's part, and what it has claimed last."""

    number: int
    part: Dividing
    claim: Claim | None = None
    stopping: bool = False
    believed: bool = True
    passed: list[PassOn] = field(default_factory=list)
    looked: list[MemberCode] = field(default_factory=list)
    """Members of whose files it was asked whether any are wanted."""


class Database:
    """The locks of all sessions, and a clock."""

    def __init__(self, members: tuple[MemberCode, ...] = MEMBERS) -> None:
        self.members = members
        self.now = 0
        self.links: dict[MemberCode, int] = {}
        self.calls: set[MemberCode] = set()
        self.all: dict[int, One] = {}
        self.parts: set[int] = set()
        self.not_dialled: set[MemberCode] = set()
        self.wanted: set[MemberCode] = set()
        """Members whose files the one that leads wants."""
        self.moves = 0
        self._last = 0

    @property
    def leader(self) -> One | None:
        return next((one for one in self.all.values() if one.part.leads), None)

    def join(self) -> One:
        self._last += 1
        one = self.all[self._last] = One(self._last, Dividing(leads=self.leader is None))
        one.part.join(self._turn(one))
        self.look(one)
        return one

    def die(self, one: One) -> None:
        """Its session has ended; another one leads at once."""
        del self.all[one.number]
        self.parts.discard(one.number)
        self.links = {member: who for member, who in self.links.items() if who != one.number}
        if one.part.leads:
            self.calls = set()
            for next_ in list(self.all.values())[:1]:
                next_.part.leads = True

    def look(self, one: One) -> None:
        """Carry out its claim, and tell it what all hold."""
        claim = one.claim
        assert claim is not None
        (self.parts.add if claim.part else self.parts.discard)(one.number)
        mine = {member for member, who in self.links.items() if who == one.number}
        for member in mine - claim.hold:
            del self.links[member]
        for member in sorted(claim.hold - mine):
            self.moves += self.links.setdefault(member, one.number) == one.number
        if one.part.leads:
            self.calls = set(claim.call)
        held = frozenset(member for member, who in self.links.items() if who == one.number)
        leader = self.leader.number if self.leader is not None else 0
        shares = Shares(
            one.number, leader, tuple(sorted(self.parts)), dict(self.links), frozenset(self.calls)
        )
        one.part.divided(self._turn(one), Divided(shares, held))

    def settle(self, looks: int = 12) -> None:
        for _ in range(looks):
            self.now += SECOND // 2
            for one in list(self.all.values()):
                self.look(one)

    def call(self, member: MemberCode) -> None:
        """A member calls the port of the one that leads, which another replica's link would have answered."""
        leader = self.leader
        assert leader is not None
        if leader.part.elsewhere(member):
            leader.part.refused(self._turn(leader), member)

    def counts(self) -> list[int]:
        return sorted(sum(who == one for who in self.links.values()) for one in self.all)

    def _turn(self, one: One) -> Any:
        def do(action: Any) -> None:
            if isinstance(action, Claim):
                one.claim = action
            else:
                one.passed.append(action)

        parts = SimpleNamespace(
            links=SimpleNamespace(all=list),
            dialling=SimpleNamespace(
                may_dial=lambda _, member: member not in self.not_dialled, divided=lambda _: None
            ),
            fetching=SimpleNamespace(
                wants=lambda: frozenset(self.wanted), look=lambda _, members: one.looked.extend(members)
            ),
            stopping=SimpleNamespace(begun=one.stopping),
        )
        trust = SimpleNamespace(partners=self.members, excluded={})
        return SimpleNamespace(
            parts=parts,
            node=SimpleNamespace(trust=trust),
            now=Now(Instant(self.now), Instant(self.now), one.believed),
            do=do,
        )


def test_a_node_that_runs_alone_has_all_links_and_claims_nothing() -> None:
    part = Dividing(leads=True)
    assert part.has(USA)
    assert not part.elsewhere(USA)
    assert part.held == ()


@pytest.mark.parametrize(("replicas", "counts"), [(1, [6]), (2, [3, 3]), (3, [2, 2, 2]), (4, [1, 1, 2, 2])])
def test_replicas_that_join_get_equal_shares(replicas: int, counts: list[int]) -> None:
    database = Database()
    for _ in range(replicas):
        database.join()
        database.settle()
    assert database.counts() == counts
    assert set(database.links) == set(MEMBERS)
    assert {one.part.others for one in database.all.values()} == {replicas > 1}


def test_of_those_that_are_held_only_as_many_move_as_must() -> None:
    database = Database()
    first = database.join()
    database.settle()
    database.join()
    database.settle()
    assert database.moves == 6 + 3
    third = database.join()
    database.settle()
    assert database.moves == 6 + 3 + 2
    database.die(third)
    database.settle()
    assert database.moves == 6 + 3 + 2 + 2
    database.die(first)
    database.settle()
    assert database.moves == 6 + 3 + 2 + 2 + 3
    assert database.counts() == [6]
    assert not any(one.part.others for one in database.all.values()), "it is left alone"


def test_what_this_node_does_not_dial_is_held_by_the_one_that_leads() -> None:
    """Only it has the port for peers."""
    database = Database()
    database.not_dialled = {MemberCode("BEL"), USA, MemberCode("CAN"), MemberCode("DEU")}
    leader = database.join()
    database.join()
    database.settle()
    assert {one for one, who in database.links.items() if who == leader.number} == database.not_dialled
    database.die(leader)
    database.settle()
    assert database.counts() == [6]


def test_a_member_whose_files_are_wanted_comes_to_the_one_that_leads_and_goes_a_minute_later() -> None:
    database = Database()
    leader, other = database.join(), database.join()
    database.settle()
    member = next(one for one, who in database.links.items() if who == other.number)
    moves = database.moves
    database.wanted = {member}
    database.settle()
    assert database.links[member] == leader.number
    database.wanted = set()
    database.settle()
    assert database.links[member] == leader.number
    assert database.counts() == [2, 4], "no other member moves for it"
    database.settle(looks=130)
    assert database.counts() == [3, 3]
    assert database.moves == moves + 2


def test_files_are_looked_for_of_each_member_that_another_replica_takes_or_that_comes_back_to_it() -> None:
    """A member may go to another replica before the one that leads ever had a link to it."""
    database = Database()
    leader, other = database.join(), database.join()
    database.settle()
    elsewhere = sorted(one for one, who in database.links.items() if who == other.number)
    assert sorted(leader.looked) == elsewhere
    database.members = tuple(one for one in MEMBERS if one != elsewhere[0])
    database.settle()
    leader.looked.clear()
    database.members = MEMBERS
    database.settle()
    assert database.links[elsewhere[0]] == other.number
    assert leader.looked == [elsewhere[0]]


def test_a_member_that_calls_and_whose_holder_cannot_dial_it_comes_to_the_one_that_leads() -> None:
    database = Database()
    leader, other = database.join(), database.join()
    database.settle()
    member = next(one for one, who in database.links.items() if who == other.number)
    database.call(member)
    database.settle(2)
    assert database.links[member] == other.number, "a call at the moment of a move says nothing"
    database.now += CALLS
    database.call(member)
    database.settle(4)
    assert database.links[member] == leader.number
    database.settle(2 * 55)
    assert database.links[member] == leader.number
    database.settle(2 * 10)
    assert database.counts() == [3, 3], "it is tried again"
    assert database.links[member] == other.number
    for _ in range(3):
        database.now += CALLS // 2
        database.call(member)
    database.settle(2 * 90)
    assert database.links[member] == leader.number, "for twice as long"


def test_what_nobody_takes_is_taken_by_the_one_that_leads() -> None:
    """A replica that is frozen takes part and takes nothing."""
    database = Database()
    leader, frozen = database.join(), database.join()
    database.settle()
    theirs = [one for one, who in database.links.items() if who == frozen.number]
    for member in theirs:
        del database.links[member]
    for _ in range(3 + 2 * ORPHAN // SECOND):
        database.now += SECOND // 2
        database.look(leader)
    assert set(database.links.values()) == {leader.number}
    assert len(database.links) == 6
    database.now += KEPT
    database.settle()
    assert database.counts() == [3, 3]


def test_a_replica_that_stops_gives_all_up_and_the_others_take_it() -> None:
    database = Database()
    leader, other = database.join(), database.join()
    database.settle()
    other.stopping = True
    other.part.leave(database._turn(other))
    database.look(other)
    assert set(database.links.values()) == {leader.number}
    database.settle()
    assert database.counts() == [0, 6]


def test_a_replica_whose_clock_is_not_believed_gives_all_up_unless_it_leads() -> None:
    """It could release nothing; operators confirm the clock of the one that leads."""
    database = Database()
    leader, other = database.join(), database.join()
    leader.believed = other.believed = False
    database.settle()
    assert set(database.links.values()) == {leader.number}
    assert len(database.links) == 6
    other.believed = True
    database.settle()
    assert database.counts() == [3, 3]


def test_beside_a_leader_that_divides_nothing_nobody_has_links() -> None:
    """It is of an older version, and has all of them without a lock."""
    database = Database()
    leader, other = database.join(), database.join()
    database.settle()
    database.parts.discard(leader.number)
    database.links = {one: who for one, who in database.links.items() if who != leader.number}
    for _ in range(4):
        database.now += SECOND // 2
        database.look(other)
    assert not database.links


def test_what_a_step_asks_of_a_member_that_another_one_has_is_passed_on() -> None:
    database = Database()
    one = database.join()
    for message in (
        Gap(NodeUri("node"), 1, ((1, 2),)),
        LogAsk(NodeUri("node"), Incarnation(1), 1, Incarnation(1), 2),
    ):
        one.part.pass_on(database._turn(one), USA, message)
        assert one.passed.pop() == PassOn(USA, message)


@given(st.lists(st.sampled_from(("join", "die", "die", "look", "look", "look")), max_size=40), st.data())
@settings(max_examples=60)
def test_whatever_happens_each_member_has_one_holder_in_the_end(
    happens: list[str], data: st.DataObject
) -> None:
    database = Database()
    database.join()
    for what in happens:
        one = data.draw(st.sampled_from(sorted(database.all.values(), key=lambda one: one.number)))
        database.now += SECOND // 4
        if what == "join" and len(database.all) < 5:
            database.join()
        elif what == "die" and len(database.all) > 1:
            database.die(one)
        elif what == "look":
            database.look(one)
    database.settle(2 * 2 * KEPT // SECOND)
    assert set(database.links) == set(MEMBERS)
    counts = database.counts()
    assert max(counts) - min(counts) <= 1
    moves = database.moves
    database.settle()
    assert database.moves == moves
