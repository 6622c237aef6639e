"""A bulletin names the one that it supersedes or answers only to those who have that one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from builders import NOW, Member, actor, draft, text, user
from intelshare.broker.kernel.node import Recent
from intelshare.broker.kernel.tables import INBOX, RELATED
from intelshare.broker.kernel.transaction import open_secret
from intelshare.broker.lifecycle.read import ReadCommand, read
from intelshare.broker.line.submit import SubmitCommand, dry_run
from intelshare.broker.queries.lists import InboxQuery, inbox, outbox
from intelshare.crypto.codec import decode
from intelshare.crypto.records import Claims
from intelshare.errors import DeliveryError
from line_world import LATER, TO_BOTH, TO_USA, arrive, everything, hand_over, met, rows, send

ANA = {code: actor(code, "a") for code in ("FRA", "USA", "KEN")}


@pytest.fixture
def members() -> Any:
    return met(["FRA", "USA", "KEN"])


def submitted(
    member: Member, key: str, label: str = TO_USA, to: tuple[str, ...] = ("USA",), **changes: Any
) -> str:
    return send(member, replace(draft(text(label, key), to=to), **changes), key).bulletin.hex()


def deliver(members: Any, *to: str, by: str = "FRA") -> None:
    for one in hand_over(members[by], *to):
        arrive(members[one.peer], members[by], one.frame)


def claims_at(member: Member, bulletin: str) -> Claims:
    (row,) = [row for row in rows(member, INBOX) if row.bulletin.hex() == bulletin]
    return decode(Claims, open_secret(member.node, INBOX.name, row.md, 0, row.sealed_claims))


def context_at(member: Member, bulletin: str, by: str = "a") -> Any:
    lines = member.ask(inbox, actor(member.node.member, by), InboxQuery(), LATER)[0]
    (line,) = [line for line in lines if line.row.bulletin.hex() == bulletin]
    return line.context


def test_the_superseded_bulletin_stays_readable_and_says_by_which(members: Any) -> None:
    fra, usa = members["FRA"], members["USA"]
    old = submitted(fra, "old")
    deliver(members, "USA")
    new = submitted(fra, "new", supersedes=old[:8])
    deliver(members, "USA")
    assert context_at(usa, old).superseded_by.hex() == new
    assert context_at(usa, new).supersedes.hex() == old
    assert usa.do(read, ReadCommand(ANA["USA"], old)).shown.portions
    (line,) = fra.ask(outbox, ANA["FRA"], old, 1, False, LATER)[0]
    assert line.context.superseded_by.hex() == new


def test_the_earlier_one_is_not_named_to_who_was_not_handed_it(members: Any) -> None:
    fra = members["FRA"]
    old = submitted(fra, "old")
    deliver(members, "USA")
    new = submitted(fra, "new", TO_BOTH, ("USA", "KEN"), supersedes=old)
    deliver(members, "USA", "KEN")
    assert len(claims_at(members["USA"], new).supersedes) == 1
    assert claims_at(members["KEN"], new).supersedes == ()
    assert rows(members["KEN"], RELATED) == []


def test_what_is_handed_over_together_is_named(members: Any) -> None:
    fra, usa = members["FRA"], members["USA"]
    old = submitted(fra, "old")
    new = submitted(fra, "new", supersedes=old)
    deliver(members, "USA")
    assert context_at(usa, old).superseded_by.hex() == new


def test_an_earlier_one_that_comes_later_is_superseded_at_once(members: Any) -> None:
    fra, usa = members["FRA"], members["USA"]
    old = submitted(fra, "old")
    (late,) = hand_over(fra, "USA")
    new = submitted(fra, "new", supersedes=old)
    deliver(members, "USA")
    arrive(usa, fra, late.frame)
    assert context_at(usa, old).superseded_by.hex() == new


def test_row_41_another_members_bulletin_is_not_superseded_by_whatever_a_peer_says(members: Any) -> None:
    fra, usa = members["FRA"], members["USA"]
    old = submitted(fra, "old")
    deliver(members, "USA")
    (row,) = rows(usa, INBOX)
    ken = members["KEN"]
    label = "//KEN RESTRICTED//REL TO KEN, USA"
    claiming = submitted(ken, "ken", label)
    _plant(ken, row.md)
    (frame,) = hand_over(ken, "USA")
    assert [ack.code for ack in arrive(usa, ken, frame.frame).acks] == [""]
    assert claims_at(usa, claiming).supersedes == (row.md,)
    assert context_at(usa, old).superseded_by == b""


def _plant(ken: Member, md: Any) -> None:
    """KEN claims to supersede a bulletin that is not its own, and to have handed it over."""
    from intelshare.broker.kernel.tables import BULLETIN, PAIR, RelatedRow
    from intelshare.broker.lifecycle.relations import Relation
    from intelshare.ports import Plan, Put, changed

    (own,) = rows(ken, BULLETIN)
    (pair,) = rows(ken, PAIR)
    related = RelatedRow(md, Relation.SUPERSEDES, own.md, ken.node.member)
    handed = changed(pair, md=md, leaf=b"x" * 32, ready=0, open=0)
    ken.store.perform_now(lambda _: Plan((Put(RELATED, related), Put(PAIR, handed)), None))
    ken.node = replace(ken.node, recent=Recent())


def test_row_41_an_own_user_cannot_supersede_what_another_member_wrote(members: Any) -> None:
    usa = members["USA"]
    old = submitted(members["FRA"], "old")
    deliver(members, "USA")
    before = everything(usa)
    for given, code in ((old, "RECALL_NOT_ORIGINATOR"), ("f" * 8, "NOT_FOUND")):
        item = replace(draft(text("//USA SECRET//REL TO FRA, USA"), to=["FRA"]), supersedes=given)
        with pytest.raises(DeliveryError) as caught:
            send(usa, item, given[:6])
        assert caught.value.code == code
        with pytest.raises(DeliveryError) as caught:
            usa.ask(dry_run, SubmitCommand(ANA["USA"], bytes(16), item), NOW)
        assert caught.value.code == code
    assert everything(usa) == before


def test_a_reply_names_the_received_bulletin_to_its_originator_only(members: Any) -> None:
    usa = members["USA"]
    asked = submitted(members["FRA"], "question")
    deliver(members, "USA")
    label = "//USA SECRET//REL TO FRA, USA"
    answer = submitted(usa, "answer", label, ("FRA",), in_reply_to=asked)
    deliver(members, "FRA", by="USA")
    fra = members["FRA"]
    assert [(reply.originator) for reply in claims_at(fra, answer).reply] == ["FRA"]
    assert context_at(fra, answer).reply_to.hex() == asked
    third = submitted(usa, "third", "//USA CONFIDENTIAL//REL TO USA, KEN", ("KEN",), in_reply_to=asked)
    deliver(members, "KEN", by="USA")
    assert not rows(members["KEN"], INBOX) or claims_at(members["KEN"], third).reply == ()


def test_row_51_a_reader_is_not_told_of_a_bulletin_above_its_clearance(members: Any) -> None:
    from intelshare.broker.kernel.register import SetUserCommand, set_user
    from intelshare.broker.kernel.tables import UserRow

    fra, usa = members["FRA"], members["USA"]
    row = UserRow(user("USA", "low"), "low", "analyst", "R2", "USA", "*", 0)
    usa.do(set_user, SetUserCommand(user("USA", "o"), row))
    old = submitted(fra, "old", "//FRA DIFFUSION RESTREINTE//REL TO FRA, USA")
    deliver(members, "USA")
    new = submitted(fra, "new", supersedes=old)
    deliver(members, "USA")
    assert context_at(usa, old, "a").superseded_by.hex() == new
    assert context_at(usa, old, "low").superseded_by == b""


def test_p2_the_same_key_with_another_relation_is_another_act(members: Any) -> None:
    fra = members["FRA"]
    old = submitted(fra, "old")
    first = send(fra, replace(draft(text(TO_USA), to=["USA"]), supersedes=old), "again")
    assert send(fra, replace(draft(text(TO_USA), to=["USA"]), supersedes=old), "again") == first
    with pytest.raises(DeliveryError) as caught:
        send(fra, draft(text(TO_USA), to=["USA"]), "again")
    assert caught.value.code == "ID_CONFLICT"
