"""A member that operators leave out: nothing goes to it or comes from it, and all it sent stays."""

from __future__ import annotations

from typing import Any

import pytest

from builders import NOW, actor, draft, text
from intelshare.audit.records import EntryType
from intelshare.broker.kernel.frame import Gap
from intelshare.broker.kernel.tables import EXCLUSION, PAIR
from intelshare.broker.lifecycle.exclude import ExcludeCommand, exclude, exclusion_effect, exclusions
from intelshare.broker.lifecycle.review import review
from intelshare.broker.line.hello import answer_gap
from intelshare.broker.line.receive import Arrival, receive
from intelshare.broker.line.resend import resend
from intelshare.broker.queries.lists import outbox, why
from intelshare.delivery import PairStatus
from intelshare.errors import IntelshareError
from intelshare.ids import MemberCode
from intelshare.trust import Exclusion
from line_world import (
    ROOM,
    TO_BOTH,
    TO_USA,
    Member,
    arrive,
    hand_over,
    log_of,
    met,
    released,
    rows,
    say_hello,
    send,
)

USA = MemberCode("USA")


def leave_out(member: Member, how: Exclusion | None, code: str = "USA", *, again: bool = False) -> Any:
    return member.do(exclude, ExcludeCommand(actor(member.node.member, "o"), MemberCode(code), how, again))


def shown(member: Member, recipient: str = "USA") -> list[tuple[PairStatus, tuple[str, ...]]]:
    """What the outbox says of every pair of a recipient, the newest first."""
    lines, _ = member.ask(outbox, actor(member.node.member, "a"), "", 50, False, NOW)
    return [
        (pair.status, pair.codes) for line in lines for pair in line.pairs if pair.row.recipient == recipient
    ]


def code_of(do: Any) -> str:
    """The code with which it is refused."""
    with pytest.raises(IntelshareError) as raised:
        do()
    return raised.value.code


def through(member: Member) -> None:
    """Review until it is through, as the engine does."""
    after: Any = ()
    while True:
        after = member.do(review, after).after
        if not after:
            return


def test_what_waits_for_a_suspended_member_waits_and_says_why() -> None:
    members = met()
    fra = members["FRA"]
    send(fra, draft(text(TO_BOTH), to=["USA", "KEN"]))
    leave_out(fra, Exclusion.SUSPENDED)
    assert hand_over(fra, "USA") == ()
    assert [one.peer for one in hand_over(fra, "USA", "KEN")] == ["KEN"]
    through(fra)
    assert shown(fra) == [(PairStatus.QUEUED, ("MEMBER_SUSPENDED",))]
    assert shown(fra, "KEN") == [(PairStatus.SENT, ())]
    found = fra.ask(why, actor("FRA", "a"), _id_of(fra), USA, NOW)
    assert found.pair.codes == ("MEMBER_SUSPENDED",)


def test_what_is_written_for_a_suspended_member_queues_behind_the_rest() -> None:
    members = met()
    fra = members["FRA"]
    leave_out(fra, Exclusion.SUSPENDED)
    send(fra, draft(text(TO_USA), to=["USA"]), key="while it is suspended")
    assert shown(fra) == [(PairStatus.QUEUED, ("MEMBER_SUSPENDED",))]
    leave_out(fra, None)
    (outbound,) = hand_over(fra, "USA")
    assert arrive(members["USA"], fra, outbound.frame).accepted == 1


def test_after_a_resumption_the_same_bytes_go_and_nothing_twice() -> None:
    members = met()
    fra, usa = members["FRA"], members["USA"]
    lost = released(members)
    send(fra, draft(text(TO_USA), to=["USA"]), key="second")
    leave_out(fra, Exclusion.SUSPENDED)
    assert fra.do(resend, USA, (), ROOM) == ((), False)
    done = leave_out(fra, None)
    assert done.changed
    assert done.effects.ready == {USA}
    (again,), more = fra.do(resend, USA, (), ROOM)
    assert not more
    assert again.frame == lost
    assert arrive(usa, fra, lost).accepted == 1
    assert arrive(usa, fra, again.frame).accepted == 0
    (second,) = hand_over(fra, "USA")
    assert arrive(usa, fra, second.frame).accepted == 1


@pytest.mark.parametrize("how", Exclusion)
def test_nothing_is_taken_from_a_member_that_is_left_out(how: Exclusion) -> None:
    members = met()
    usa, fra = members["USA"], members["FRA"]
    frame = released(members)
    leave_out(usa, how, "FRA")
    before = usa.store.commits
    for ask in (
        lambda: usa.do(receive, Arrival(fra.node.member, fra.node.uri, frame)),
        lambda: usa.do(answer_gap, fra.node.member, Gap.of_acts(1)),
        lambda: say_hello(fra, usa),
    ):
        assert code_of(ask) == "PEER_REVOKED"
    assert usa.store.commits == before
    assert code_of(lambda: usa.node.trust.need_node(fra.node.uri, NOW)) == "PEER_REVOKED"


def test_what_waits_for_a_removed_member_ends_with_the_reason() -> None:
    members = met()
    fra = members["FRA"]
    released(members)
    send(fra, draft(text(TO_BOTH), to=["USA", "KEN"]), key="queued")
    assert fra.ask(exclusion_effect, USA).queued == 1
    leave_out(fra, Exclusion.REMOVED)
    through(fra)
    assert sorted(shown(fra)) == [
        (PairStatus.IN_DOUBT, ("MEMBER_REMOVED",)),
        (PairStatus.UNDELIVERABLE, ("MEMBER_REMOVED",)),
    ]
    assert shown(fra, "KEN") == [(PairStatus.QUEUED, ())]
    assert hand_over(fra, "USA") == ()
    assert code_of(lambda: send(fra, draft(text(TO_USA), to=["USA"]), key="third")) == "UNKNOWN_MEMBER"


def test_the_end_of_a_long_queue_comes_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("intelshare.broker.lifecycle.review.MAX_REVIEWED", 2)
    members = met(("FRA", "USA"))
    fra = members["FRA"]
    for number in range(3):
        send(fra, draft(text(TO_USA), to=["USA"]), key=f"n{number}")
    leave_out(fra, Exclusion.REMOVED)
    assert fra.do(review, ()).after, "nothing is on the way, and what waits comes next"
    through(fra)
    assert {status for status, _ in shown(fra)} == {PairStatus.UNDELIVERABLE}
    stored = rows(fra, PAIR)
    through(fra)
    assert rows(fra, PAIR) == stored


def test_what_a_removed_member_sent_stays_and_its_keys_still_prove_it() -> None:
    members = met()
    usa, fra = members["USA"], members["FRA"]
    arrive(usa, fra, released(members))
    key = fra.node.signer.key_id
    leave_out(usa, Exclusion.REMOVED, "FRA")
    assert usa.node.trust.key_record(key) is not None
    assert "FRA" in usa.node.trust.members
    assert "FRA" not in usa.node.world.members
    assert "FRA" not in usa.node.trust.partners
    assert "FRA" not in usa.node.trust.all_authorities()


def test_only_an_import_brings_a_removed_member_back() -> None:
    members = met()
    fra = members["FRA"]
    leave_out(fra, Exclusion.REMOVED)
    for how in (None, Exclusion.SUSPENDED):
        assert code_of(lambda how=how: leave_out(fra, how)) == "MEMBER_REMOVED"
    assert leave_out(fra, None, again=True).changed
    assert "USA" in fra.node.trust.partners
    send(fra, draft(text(TO_USA), to=["USA"]), key="anew")
    (outbound,) = hand_over(fra, "USA")
    assert arrive(members["USA"], fra, outbound.frame).accepted == 1


def test_it_is_logged_stored_and_done_once() -> None:
    members = met()
    fra = members["FRA"]
    assert leave_out(fra, Exclusion.SUSPENDED).changed
    assert not leave_out(fra, Exclusion.SUSPENDED).changed
    (row,) = rows(fra, EXCLUSION)
    assert (row.member, row.how, row.by) == ("USA", Exclusion.SUSPENDED, actor("FRA", "o").user)
    assert fra.store.ask_now(exclusions) == {"USA": Exclusion.SUSPENDED}
    assert leave_out(fra, None).changed
    assert not leave_out(fra, None).changed
    assert rows(fra, EXCLUSION) == []
    assert log_of(fra).count(EntryType.EXCLUSION) == 2


def test_a_member_cannot_leave_out_itself_nor_whom_it_does_not_know() -> None:
    fra = met()["FRA"]
    assert code_of(lambda: leave_out(fra, Exclusion.SUSPENDED, "FRA")) == "INPUT_INVALID"
    assert code_of(lambda: leave_out(fra, Exclusion.REMOVED, "NOR")) == "NOT_FOUND"


def _id_of(member: Member) -> str:
    lines, _ = member.ask(outbox, actor(member.node.member, "a"), "", 1, False, NOW)
    return str(lines[0].row.bulletin.hex())
