"""Backfill: what a treaty now allows a party is offered once, to who may see it, and nothing else is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from builders import NOW, Member, actor, draft, seeded, text, user
from intelshare.audit.records import Approve, DecisionKept, EntryType
from intelshare.broker.exchange.backfill import (
    MAX_ADDRESSED,
    MAX_LOOKED,
    BackfillResult,
    OfferQuery,
    Offers,
    backfill,
    find_offers,
)
from intelshare.broker.exchange.recall import RecallCommand, recall
from intelshare.broker.kernel.register import SetUserCommand, set_user
from intelshare.broker.kernel.tables import BULLETIN, PAIR, PORTION, UserRow
from intelshare.broker.lifecycle.holds import ApproveCommand, approve
from intelshare.errors import DeliveryError
from intelshare.ids import ManifestDigest, MemberCode
from intelshare.instant import EPOCH, HOUR, Instant
from intelshare.policy import ActKind
from line_world import (
    LATER,
    arrive,
    does,
    entries,
    everything,
    hand_over,
    met,
    refused,
    rows,
    said,
    send,
    tell,
    with_law,
)
from rotten_view import Rotten

KEN, USA = MemberCode("KEN"), MemberCode("USA")
LABEL = "//FRA DR//REL TO FRA, USA, KEN"


def warning(label: str = LABEL, content: str = "drought") -> Any:
    """To USA, in a category that KEN can have too."""
    return draft(text(label, content, category="climate-disaster"), to=["USA"])


def look(
    fra: Member, *, at: Instant = LATER, by: str = "r", since: Instant = EPOCH, **changes: Any
) -> Offers:
    wanted = replace(OfferQuery(actor("FRA", by), "demo-climate", KEN, since), **changes)
    found: Offers = fra.ask(find_offers, wanted, (), at)
    return found


def digests(found: Offers) -> list[ManifestDigest]:
    return [offer.written.row.md for offer in found.offers]


def offer(fra: Member, mds: Any, at: Instant = LATER) -> BackfillResult:
    wanted = OfferQuery(actor("FRA", "r"), "demo-climate", KEN)
    done: BackfillResult = fra.do(backfill, wanted, mds, at=at)
    return done


def test_after_an_accession_what_was_written_before_is_offered_and_accepted() -> None:
    members = met()
    fra, ken = members["FRA"], members["KEN"]
    tell(ken, does(ken, ActKind.WITHDRAW), fra)
    sent = send(fra, warning())
    assert digests(look(fra, at=Instant(NOW + 1))) == []
    tell(ken, does(ken, ActKind.RATIFY, at=Instant(NOW + 2)), fra, at=Instant(NOW + 2))
    before = everything(fra)
    found = look(fra)
    assert everything(fra) == before, "a look changes nothing"
    assert digests(found) == [sent.md]
    assert (found.offers[0].status, found.offers[0].pair.basis) == ("queued", "demo-climate")
    done = offer(fra, digests(found))
    assert done.effects.ready == {KEN}
    (frame,) = hand_over(fra, "KEN", at=LATER)
    assert said(arrive(ken, fra, frame.frame, at=LATER)) == [("ACCEPTED", ())]
    # Decided and logged, with who did it.
    assert entries(fra, EntryType.APPROVE, Approve) == [Approve(sent.md, KEN, user("FRA", "r"), ())]
    assert [e.recipient for e in entries(fra, EntryType.DECISION, DecisionKept)] == ["USA", "KEN"]
    assert digests(look(fra)) == []
    assert offer(fra, [sent.md]).offers == (), "once"


@pytest.mark.parametrize(
    "label",
    [
        pytest.param("//FRA DR//REL TO FRA, USA", id="not releasable to it"),
        pytest.param("//FRA SECRET//REL TO FRA, USA, KEN", id="above the ceiling"),
        pytest.param("//FRA NP", id="needs no treaty"),
    ],
)
def test_what_the_treaty_does_not_carry_is_not_offered(label: str) -> None:
    fra = met()["FRA"]
    sent = send(fra, warning(label))
    assert digests(look(fra)) == []
    assert offer(fra, [sent.md]).offers == ()
    assert [row.recipient for row in rows(fra, PAIR)] == ["USA"]


def test_of_a_bulletin_that_is_allowed_in_part_only_that_part_goes() -> None:
    members = met()
    fra, ken = members["FRA"], members["KEN"]
    item = warning()
    send(fra, replace(item, portions=(*item.portions, text("//FRA SECRET//REL TO FRA, USA", "source"))))
    found = look(fra)
    assert [(len(one.pair.granted), len(one.pair.portions)) for one in found.offers] == [(1, 2)]
    offer(fra, digests(found))
    (frame,) = hand_over(fra, "KEN", at=LATER)
    assert len(frame.frame.statements[0].bodies) == 1
    assert said(arrive(ken, fra, frame.frame, at=LATER)) == [("ACCEPTED", ())]


def test_what_was_addressed_recalled_superseded_or_is_over_is_not_offered() -> None:
    fra = met()["FRA"]
    send(fra, replace(warning(content="for KEN"), to=(USA, KEN)), "a")
    recalled = send(fra, warning(content="recalled"), "b")
    fra.do(recall, RecallCommand(actor("FRA", "a"), recalled.bulletin.hex(), "wrong"))
    old = send(fra, warning(content="old"), "c")
    new = send(fra, replace(warning(content="new"), supersedes=old.bulletin.hex()), "d")
    send(fra, replace(warning(content="over"), valid_until=Instant(NOW + HOUR // 2)), "e")
    send(fra, replace(warning(content="late"), deliver_by=Instant(NOW + HOUR // 2)), "f")
    assert digests(look(fra)) == [new.md]


def test_an_officer_is_offered_only_what_it_may_see() -> None:
    fra = met()["FRA"]
    sent = send(fra, warning())
    officer = UserRow(user("FRA", "r"), "r", "releasing-officer", "R0", "FRA", "*", 0)
    fra.do(set_user, SetUserCommand(user("FRA", "o"), officer))
    assert digests(look(fra)) == []
    assert offer(fra, [sent.md]).offers == ()


def test_a_hold_holds_what_is_backfilled_too() -> None:
    fra = met()["FRA"]
    send(fra, warning())
    with_law(fra, '[[hold]]\nid = "FRA-x"\nsource = "invented"\nwhen = { to = ["KEN"] }\n')
    found = look(fra)
    assert [one.status for one in found.offers] == ["held"]
    (offered,) = offer(fra, digests(found)).offers
    assert hand_over(fra, "KEN", at=LATER) == ()
    # Two people: whoever has addressed it does not close its hold.
    bulletin = offered.written.row.bulletin.hex()
    with pytest.raises(DeliveryError, match="somebody else"):
        fra.do(approve, ApproveCommand(actor("FRA", "r"), bulletin, MemberCode("KEN")))
    other = UserRow(user("FRA", "s"), "s", "releasing-officer", "R4", "FRA", "*", 0)
    fra.do(set_user, SetUserCommand(user("FRA", "o"), other))
    assert fra.do(approve, ApproveCommand(actor("FRA", "s"), bulletin, MemberCode("KEN"))) == "queued"
    assert hand_over(fra, "KEN", at=LATER)


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("NOT_AUTHORISED", {"actor": actor("FRA", "nobody")}),
        ("NOT_FOUND", {"treaty": "nothing"}),
        ("INPUT_INVALID", {"treaty": "gsa-fra-usa"}),
        ("UNKNOWN_MEMBER", {"to": MemberCode("NOR")}),
        ("UNKNOWN_MEMBER", {"to": MemberCode("FRA")}),
    ],
)
def test_who_may_not_or_asks_for_what_is_not_gets_a_code(code: str, changes: Any) -> None:
    fra = met()["FRA"]
    wanted = replace(OfferQuery(actor("FRA", "r"), "demo-climate", KEN), **changes)
    assert refused(fra, lambda: fra.ask(find_offers, wanted, (), LATER)).code == code
    assert refused(fra, lambda: fra.do(backfill, wanted, [])).code == code


def test_looking_and_addressing_are_bounded_and_nothing_is_left_out() -> None:
    fra = met()["FRA"]
    count = MAX_LOOKED + 3
    sent = {send(fra, warning(content=f"{n}"), f"k{n}", at=Instant(NOW + n)).md for n in range(count)}
    wanted = OfferQuery(actor("FRA", "r"), "demo-climate", KEN)
    first = look(fra)
    assert (len(first.offers), bool(first.after)) == (MAX_LOOKED, True)
    second: Offers = fra.ask(find_offers, wanted, first.after, LATER)
    assert (len(second.offers), second.after) == (3, ())
    found = digests(first) + digests(second)
    assert set(found) == sent
    assert len(found) == count
    since = look(fra, since=Instant(NOW + count - 2))
    assert (len(since.offers), since.after) == (2, ())
    assert refused(fra, lambda: offer(fra, found[: MAX_ADDRESSED + 1])).code == "TOO_LARGE"
    assert len(offer(fra, found[:MAX_ADDRESSED]).offers) == MAX_ADDRESSED


@pytest.mark.parametrize("table", [BULLETIN, PORTION], ids=lambda table: table.name)
def test_a_look_and_what_is_sent_go_on_without_a_damaged_record_and_name_it(table: Any) -> None:
    fra = met()["FRA"]
    bad, sound = [send(fra, warning(), f"k{n}", at=Instant(NOW + n)).md for n in range(2)]
    (key,) = [table.key_of(row) for row in rows(fra, table) if row.md == bad]
    wanted = OfferQuery(actor("FRA", "r"), "demo-climate", KEN)
    found = fra.store.ask_now(
        lambda view: find_offers(fra.node, Rotten(view, (table, key)), wanted, (), LATER)
    )
    assert (digests(found), len(found.damaged)) == ([sound], 1)
    done = fra.store.perform_now(
        lambda view: backfill(
            fra.node, Rotten(view, (table, key)), wanted, [bad, sound], LATER, seeded("damaged")
        )
    ).value
    assert ([one.written.row.md for one in done.offers], done.damaged) == ([sound], found.damaged)
