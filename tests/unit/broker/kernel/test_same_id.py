"""A bulletin is known by (originator, id): a member that uses the id of another one's hides nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from builders import NOW, actor, draft, seeded, text
from consent_world import OF_KEN, pass_on, received_from
from intelshare.broker.exchange.consent import (
    AnswerConsentCommand,
    AskConsentCommand,
    answer_consent,
    ask_consent,
)
from intelshare.broker.kernel.tables import CONSENT, DUTY, INBOX, RELATED
from intelshare.broker.lifecycle.duties import MeetDutyCommand, meet_duty
from intelshare.broker.lifecycle.read import ReadCommand, read
from intelshare.broker.lifecycle.relations import Relation
from intelshare.broker.line.submit import SubmitCommand, submit
from intelshare.errors import DeliveryError
from intelshare.ids import MemberCode
from intelshare.instant import NEVER
from line_world import arrive, hand_over, met, rows, send, with_law

LABELS = {
    "FRA": "//FRA DIFFUSION RESTREINTE//REL TO FRA, USA, KEN",
    "KEN": "//KEN RESTRICTED//REL TO KEN, FRA, USA",
}
LAW = '[[oblige]]\nid = "{}-x"\nsource = "invented"\nobligation = "report-use-7d"\nwhen = {{}}\n'


@pytest.fixture(name="members")
def _members() -> Any:
    return met()


def drawing(bulletin: bytes) -> Callable[[int], bytes]:
    """The randomness of a member that has changed its node: the id is another bulletin's."""
    base, pending = seeded("another"), [bulletin]

    def random(count: int) -> bytes:
        # The first bytes drawn are the id.
        return (pending.pop() + base(count))[:count] if pending else base(count)

    return random


def same_id(members: Any, to: str, of: tuple[str, str], label: dict[str, str]) -> str:
    """A bulletin from each of two originators, of one id, both held by ``to``."""
    bulletin = bytes(send(members[of[0]], draft(text(label[of[0]], of[0]), to=[to])).bulletin)
    second = members[of[1]]
    command = SubmitCommand(actor(of[1], "a"), b"k" * 16, draft(text(label[of[1]], of[1]), to=[to]))
    stored = second.store.perform_now(
        lambda view: submit(second.node, view, command, NOW, drawing(bulletin))
    ).value
    assert stored.bulletin == bulletin
    for sender in of:
        for out in hand_over(members[sender], to):
            assert not any(ack.code for ack in arrive(members[to], members[sender], out.frame).acks)
    assert sorted(row.originator for row in rows(members[to], INBOX)) == sorted(of)
    return bulletin.hex()


def ambiguous(act: Callable[[], Any]) -> DeliveryError:
    with pytest.raises(DeliveryError) as raised:
        act()
    assert raised.value.code == "INPUT_INVALID"
    return raised.value


def test_each_of_two_bulletins_of_one_id_is_read_by_its_originator(members: Any) -> None:
    usa = members["USA"]
    bulletin = same_id(members, "USA", ("FRA", "KEN"), LABELS)
    for originator in ("FRA", "KEN"):
        shown = usa.do(read, ReadCommand(actor("USA", "a"), bulletin, originator)).shown
        assert (shown.row.originator, shown.portions[0].portion.content) == (originator, originator.encode())


def test_a_whole_id_of_two_originators_asks_for_the_originator_and_for_nothing_else(members: Any) -> None:
    bulletin = same_id(members, "USA", ("FRA", "KEN"), LABELS)
    error = ambiguous(lambda: members["USA"].do(read, ReadCommand(actor("USA", "a"), bulletin)))
    assert "FRA, KEN" in error.message
    assert error.hint == "name the originator with --from"
    error = ambiguous(lambda: members["USA"].do(read, ReadCommand(actor("USA", "a"), bulletin[:8])))
    assert error.hint == "give more digits of the id, or name the originator with --from"


def test_an_originator_that_sent_no_such_bulletin_is_not_found(members: Any) -> None:
    bulletin = same_id(members, "USA", ("FRA", "KEN"), LABELS)
    with pytest.raises(DeliveryError, match=f"no bulletin {bulletin} from USA") as raised:
        members["USA"].do(read, ReadCommand(actor("USA", "a"), bulletin, "USA"))
    assert raised.value.code == "NOT_FOUND"


def test_many_bulletins_that_start_alike_do_not_hide_one_of_another_originator(
    members: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bulletin = same_id(members, "USA", ("FRA", "KEN"), LABELS)
    # As if so many that start alike had come from KEN that the look-up ends before FRA's.
    monkeypatch.setattr("intelshare.broker.lifecycle.read.MAX_ALIKE", 1)
    for originator in ("FRA", "KEN"):
        shown = members["USA"].do(read, ReadCommand(actor("USA", "a"), bulletin[:4], originator)).shown
        assert shown.row.originator == originator


def test_a_reply_names_the_bulletin_of_the_originator_that_was_said(members: Any) -> None:
    usa = members["USA"]
    bulletin = same_id(members, "USA", ("FRA", "KEN"), LABELS)
    reply = draft(text("//USA UNCLASSIFIED", "reply"), to=["FRA"])
    error = ambiguous(lambda: send(usa, replace(reply, in_reply_to=bulletin), "none"))
    assert "FRA, KEN" in error.message
    assert "--from" in (error.hint or "")
    for originator in ("FRA", "KEN"):
        given = replace(reply, in_reply_to=bulletin, in_reply_to_from=originator)
        sent = send(usa, given, originator)
        (row,) = [row for row in rows(usa, RELATED) if row.md == sent.md]
        (inbox,) = [row for row in rows(usa, INBOX) if row.originator == originator]
        assert (row.of, row.relation, row.member) == (inbox.md, Relation.REPLY, originator)


def test_a_reply_to_an_own_bulletin_of_the_same_id_names_the_own_one(members: Any) -> None:
    fra, ken = members["FRA"], members["KEN"]
    bulletin = bytes(send(fra, draft(text(LABELS["FRA"]), to=["KEN"])).bulletin)
    for out in hand_over(fra, "KEN"):
        arrive(ken, fra, out.frame)
    command = SubmitCommand(actor("KEN", "a"), b"k" * 16, draft(text(LABELS["KEN"]), to=["FRA"]))
    ken.store.perform_now(lambda view: submit(ken.node, view, command, NOW, drawing(bulletin)))
    given = draft(text(LABELS["KEN"], "more"), to=["FRA"])
    ambiguous(lambda: send(ken, replace(given, in_reply_to=bulletin.hex()), "none"))
    sent = send(ken, replace(given, in_reply_to=bulletin.hex(), in_reply_to_from="KEN"), "own")
    (row,) = [row for row in rows(ken, RELATED) if row.md == sent.md]
    assert row.member == "KEN"


def test_an_originator_without_a_bulletin_is_refused(members: Any) -> None:
    given = replace(draft(text(LABELS["FRA"]), to=["USA"]), in_reply_to_from="USA")
    with pytest.raises(DeliveryError, match="but no bulletin") as raised:
        send(members["FRA"], given)
    assert raised.value.code == "INPUT_INVALID"


def asked_by(members: Any, sender: str, bulletin: str, recipient: str) -> Iterator[Any]:
    command = AskConsentCommand(actor(sender, "a"), bulletin, MemberCode(recipient), NEVER)
    effects = members[sender].do(ask_consent, command).effects
    for out in hand_over(members[sender], "KEN"):
        yield arrive(members["KEN"], members[sender], out.frame)
    for out in effects.outbound:
        yield arrive(members["KEN"], members[sender], out.frame)


def test_consent_is_answered_for_the_bulletin_of_the_originator_that_was_said(members: Any) -> None:
    """FRA and USA each hold a portion of KEN, ask KEN for the other, and have used one id."""
    ken, answers = members["KEN"], {"FRA": "USA", "USA": "FRA"}
    bulletin = bytes(pass_on(members, draft(text(OF_KEN), to=["USA"])).bulletin)
    usa = members["USA"]
    command = SubmitCommand(
        actor("USA", "a"),
        b"k" * 16,
        replace(draft(text(OF_KEN), to=["FRA"]), from_bulletin=received_from(members, to="USA")),
    )
    usa.store.perform_now(lambda view: submit(usa.node, view, command, NOW, drawing(bulletin)))
    for sender, recipient in answers.items():
        for taken in asked_by(members, sender, bulletin.hex(), recipient):
            assert not any(ack.code for ack in taken.acks)
    officer = actor("KEN", "r")
    given = AnswerConsentCommand(officer, bulletin.hex(), MemberCode("USA"), True, NEVER)
    assert "FRA, USA" in ambiguous(lambda: ken.do(answer_consent, given)).message
    for sender, recipient in answers.items():
        (line,) = ken.do(
            answer_consent, replace(given, recipient=MemberCode(recipient), originator=sender)
        ).lines
        (row,) = [row for row in rows(ken, INBOX) if row.originator == sender]
        assert (line.row.md, line.row.member) == (row.md, sender)
    assert {row.state for row in rows(ken, CONSENT)} == {2}


def test_an_obligation_is_met_for_the_bulletin_of_the_originator_that_was_said(members: Any) -> None:
    usa = members["USA"]
    for code in ("FRA", "KEN"):
        with_law(members[code], LAW.format(code))
    bulletin = same_id(members, "USA", ("FRA", "KEN"), LABELS)
    command = MeetDutyCommand(actor("USA", "a"), bulletin, "report-use-7d")
    assert "FRA, KEN" in ambiguous(lambda: usa.do(meet_duty, command)).message
    usa.do(meet_duty, replace(command, originator="KEN"))
    done = {row.md for row in rows(usa, DUTY) if row.done}
    assert done == {row.md for row in rows(usa, INBOX) if row.originator == "KEN"}
