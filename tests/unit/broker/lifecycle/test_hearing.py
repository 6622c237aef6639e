"""After the disk forgot, what each member sent waits by itself until that member was heard."""

from __future__ import annotations

from typing import Any

import pytest

from builders import NOW, actor, draft, text, user
from intelshare.audit.node_records import Operated, OperatorAct
from intelshare.audit.records import EntryType
from intelshare.broker.kernel.documents import admit
from intelshare.broker.kernel.register import SetUserCommand, set_user
from intelshare.broker.kernel.tables import INBOX, UserRow
from intelshare.broker.lifecycle.hearing import begin_hearing, heard, unheard
from intelshare.broker.lifecycle.operator_acts import AllowReadingCommand, allow_reading
from intelshare.broker.lifecycle.read import ReadCommand, read
from intelshare.broker.line.receive import Arrival, receive
from intelshare.broker.queries import lists
from intelshare.errors import DeliveryError
from intelshare.ids import MemberCode
from intelshare.instant import SECOND, Instant
from line_world import LATER, arrive, entries, hand_over, met, refused, rows, send

KEN, USA = MemberCode("KEN"), MemberCode("USA")
OF_KEN = "//KEN RESTRICTED//REL TO KEN, FRA"
OF_USA = "//USA SECRET//REL TO USA, FRA"


@pytest.fixture(name="fra")
def _fra() -> Any:
    """FRA holds a bulletin of USA and one of KEN, and then its disk forgets."""
    members = met()
    for sender, label in (("USA", OF_USA), ("KEN", OF_KEN)):
        send(members[sender], draft(text(label, f"text of {sender}"), to=["FRA"]))
        arrive(members["FRA"], members[sender], hand_over(members[sender], "FRA")[0].frame)
    fra = members["FRA"]
    assert inbox(fra) == ["KEN", "USA"]
    fra.do(begin_hearing, NOW, at=LATER)
    return fra


def inbox(fra: Any) -> list[str]:
    found, _ = fra.ask(lists.inbox, actor("FRA", "a"), lists.InboxQuery(), LATER)
    return sorted(line.row.originator for line in found)


def opened(fra: Any, originator: str, by: str = "a") -> str:
    (md,) = [row.bulletin.hex() for row in rows(fra, INBOX) if row.originator == originator]
    command = ReadCommand(actor("FRA", by), md, originator)
    portion = fra.do(read, command, at=LATER).shown.portions[0].portion
    return str(portion.content.decode())


def allow(fra: Any, member: MemberCode, reason: str = "no recall, by phone") -> Any:
    return fra.do(allow_reading, AllowReadingCommand(user("FRA", "operator"), member, reason), at=LATER)


def test_what_came_while_the_clock_was_ahead_waits_too(fra: Any) -> None:
    fra.do(heard, [KEN, USA], at=LATER)
    assert inbox(fra) == ["KEN", "USA"]
    fra.do(begin_hearing, NOW, at=Instant(NOW - SECOND))
    assert inbox(fra) == []


def test_a_start_that_is_done_again_remembers_no_later_than_the_one_that_ended_early(fra: Any) -> None:
    assert fra.do(begin_hearing, LATER, at=LATER) == NOW
    fra.do(heard, [KEN, USA], at=LATER)
    assert fra.do(begin_hearing, LATER, at=LATER) == LATER


def test_what_every_member_sent_waits_and_the_reader_is_told_for_whom(fra: Any) -> None:
    assert inbox(fra) == []
    for member in ("KEN", "USA"):
        error = refused(fra, lambda member=member: opened(fra, member))  # type: ignore[misc]
        assert error.code == "READING_WAITS"
        assert member in error.message


def test_who_may_not_see_a_bulletin_is_not_told_that_it_waits(fra: Any) -> None:
    row = UserRow(user("FRA", "low"), "low", "analyst", "R0", "FRA", "*", 0)
    fra.do(set_user, SetUserCommand(user("FRA", "operator"), row))
    assert refused(fra, lambda: opened(fra, "USA", "low")).code == "NOT_FOUND"


def test_a_member_that_was_heard_is_waited_for_no_longer_and_the_others_are(fra: Any) -> None:
    assert fra.do(heard, [USA, USA], at=LATER) >= 1
    assert opened(fra, "USA") == "text of USA"
    assert inbox(fra) == ["USA"]
    assert [row.member for row in fra.store.ask_now(unheard)] == [KEN]
    assert fra.do(heard, [USA], at=LATER) == 0


def test_an_operator_allows_one_member_with_a_reason_that_the_log_keeps(fra: Any) -> None:
    for reason in ("", " "):
        with pytest.raises(DeliveryError, match="a reason"):
            allow(fra, USA, reason)
    allow(fra, USA)
    assert inbox(fra) == ["USA"]
    (noted,) = entries(fra, EntryType.OPERATED, Operated)
    assert (noted.act, noted.about, noted.reason) == (
        OperatorAct.READING_ALLOWED,
        "USA",
        "no recall, by phone",
    )
    with pytest.raises(DeliveryError, match="nothing of USA waits"):
        allow(fra, USA)
    # It is still asked for what it received of this node.
    assert [row.member for row in fra.store.ask_now(unheard)] == [KEN, USA]


def test_what_a_bundle_brings_after_the_loss_waits_until_its_member_was_heard() -> None:
    """The bundle may be older than a recall that the disk has forgotten."""
    members = met()
    fra, usa = members["FRA"], members["USA"]
    fra.do(begin_hearing, NOW, at=NOW)
    after = Instant(NOW + SECOND)
    send(usa, draft(text(OF_USA, "old"), to=["FRA"]), at=after)
    frame = hand_over(usa, "FRA", at=after)[0].frame
    fra.do(receive, Arrival(USA, usa.node.uri, frame, bundle=True), at=after)
    with pytest.raises(DeliveryError, match="READING_WAITS"):
        opened(fra, "USA")
    fra.do(heard, [USA], at=LATER)
    assert opened(fra, "USA") == "old"


def test_what_comes_after_the_loss_is_read_at_once() -> None:
    members = met()
    fra = members["FRA"]
    fra.do(begin_hearing, NOW, at=NOW)
    after = Instant(NOW + SECOND)
    send(members["USA"], draft(text(OF_USA, "new"), to=["FRA"]), at=after)
    arrive(fra, members["USA"], hand_over(members["USA"], "FRA", at=after)[0].frame, at=after)
    assert opened(fra, "USA") == "new"


def test_a_second_loss_asks_from_the_first_and_waits_from_the_second(fra: Any) -> None:
    allow(fra, USA)
    later = Instant(LATER + SECOND)
    fra.do(begin_hearing, LATER, at=later)
    waits = fra.store.ask_now(unheard)
    assert {(row.since, row.until, row.allowed) for row in waits} == {(NOW, later, 0)}


def take_in(fra: Any) -> list[tuple[MemberCode, Instant, Instant]]:
    """FRA imports the file of USA; who is waited for then, since when, and until when."""
    held = met()["USA"].node.trust.members[USA]
    fra.do(admit, held.roots, held.directory_signed, held.fingerprint, at=LATER)
    return [(row.member, row.since, row.until) for row in fra.store.ask_now(unheard)]


def test_who_is_admitted_after_a_loss_is_waited_for_like_those_that_were_known() -> None:
    fra = met(("FRA",))["FRA"]
    for since in (LATER, NOW, LATER):
        fra.do(begin_hearing, since, at=LATER)
    assert fra.store.ask_now(unheard) == []
    with pytest.raises(DeliveryError, match="nothing of  waits"):
        allow(fra, MemberCode(""))
    assert take_in(fra) == [(USA, NOW, LATER)]
    fra.do(heard, [USA], at=LATER)
    assert take_in(fra) == [], "a newer file of a member that was heard changes nothing"


def test_who_is_admitted_at_a_node_that_forgot_nothing_is_not_waited_for() -> None:
    assert take_in(met(("FRA",))["FRA"]) == []
