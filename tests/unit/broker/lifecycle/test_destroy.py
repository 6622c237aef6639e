"""What is over is destroyed by itself, in two commits with the shredding between, and never comes back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from builders import NOW, actor, draft, seeded, text
from intelshare.audit.records import EntryType
from intelshare.broker.kernel.tables import BULLETIN, INBOX, PORTION, RECEIVED, SECRET
from intelshare.broker.kernel.transaction import open_secret
from intelshare.broker.lifecycle.destroy import Gone, due_of, finish, marked
from intelshare.broker.lifecycle.read import ReadCommand, read
from intelshare.broker.lifecycle.stop import anything_over, expire
from intelshare.broker.queries.lists import InboxQuery, inbox, outbox
from intelshare.crypto.codec import decode
from intelshare.crypto.pae import sha256
from intelshare.crypto.records import Claims, Release
from intelshare.envelope.construct import grant_digest
from intelshare.errors import DeliveryError
from intelshare.instant import DAY, HOUR, NEVER, Instant
from intelshare.ports import Plan, Put
from line_world import TO_USA, Forger, arrive, hand_over, log_of, met, rows, said, send, with_law
from rotten_view import Rotten

END = Instant(NOW + HOUR)
RETAIN = """
[[oblige]]
id = "USA-retention"
source = "invented for this test"
obligation = "retention-30d"
when = { categories = ["*"] }
"""


@pytest.fixture
def members() -> Any:
    return met(["FRA", "USA"])


def delivered(members: Any, **changes: Any) -> str:
    sent = send(members["FRA"], replace(draft(text(TO_USA), to=["USA"]), **changes))
    for one in hand_over(members["FRA"], "USA"):
        for back in arrive(members["USA"], members["FRA"], one.frame).effects.outbound:
            arrive(members["FRA"], members["USA"], back.frame)
    return sent.bulletin.hex()


def opens(member: Any, bulletin: str, at: Instant = NOW) -> bool:
    try:
        member.do(read, ReadCommand(actor(member.node.member, "a"), bulletin), at=at)
    except DeliveryError as error:
        return error.code != "NOT_FOUND"
    return True


def test_what_is_over_is_destroyed_beside_a_damaged_bulletin_of_this_member_that_came_back(
    members: Any,
) -> None:
    """The step failed, and nothing was destroyed any more."""
    fra, usa = members["FRA"], members["USA"]
    delivered(members, valid_until=END)
    (row,) = rows(usa, INBOX)
    fra.store.apply(Plan((Put(INBOX, row),), None))
    place = BULLETIN, (row.md,)
    fra.store.perform_now(lambda view: expire(fra.node, Rotten(view, place), END, seeded("expire")))
    assert [one.gone for one in rows(fra, INBOX)] == [Gone.MARKED]
    assert all(any(one.sealed) for one in rows(fra, SECRET)), "it is still this member's"


def test_a_bulletin_past_its_valid_until_is_destroyed_by_itself_and_signed_for(members: Any) -> None:
    fra, usa = members["FRA"], members["USA"]
    bulletin = delivered(members, valid_until=END)
    assert not usa.store.ask_now(lambda view: anything_over(view, Instant(END - 1)))
    assert usa.store.ask_now(lambda view: anything_over(view, END))
    (before,) = rows(usa, SECRET)
    assert usa.do(expire, at=END).marked
    assert rows(usa, SECRET) == [before._replace(sealed=bytes(len(before.sealed)))], (
        "a row of another size moves"
    )
    assert rows(usa, PORTION) == []
    assert EntryType.DESTROYED not in log_of(usa)
    done = usa.do(finish, usa.store.ask_now(marked), at=END)
    assert not usa.store.ask_now(lambda view: anything_over(view, Instant(END + DAY)))
    for one in done.outbound:
        arrive(fra, usa, one.frame, at=END)
    (line,) = fra.ask(outbox, actor("FRA", "a"), bulletin, 1, False, END)[0]
    assert (line.pairs[0].status, line.pairs[0].row.codes) == ("destroyed", "EXPIRED")


def test_p10_what_expired_stays_gone_when_the_clock_goes_back(members: Any) -> None:
    usa = members["USA"]
    bulletin = delivered(members, valid_until=END)
    assert opens(usa, bulletin)
    usa.do(expire, at=END)
    assert not opens(usa, bulletin, NOW)
    usa.do(finish, usa.store.ask_now(marked), at=NOW)
    assert not opens(usa, bulletin, NOW)


def test_p10_the_same_bulletin_under_another_number_is_refused_after_it_was_destroyed(members: Any) -> None:
    usa, forger = members["USA"], Forger(members)
    first, again = (forger.frame(bulletin_seed="one", expires=END) for _ in range(2))
    arrive(usa, members["FRA"], first)
    usa.do(expire, at=END)
    usa.do(finish, usa.store.ask_now(marked), at=END)
    assert said(arrive(usa, members["FRA"], again, at=NOW)) == [("REFUSED", ("EXPIRED",))]
    assert rows(usa, PORTION) == []


def test_a_retention_obligation_of_the_own_law_ends_by_itself(members: Any) -> None:
    usa = members["USA"]
    with_law(members["FRA"], RETAIN.replace("USA-", "FRA-"))
    bulletin = delivered(members)
    end = Instant(NOW + 30 * DAY)
    assert opens(usa, bulletin, Instant(end - 1))
    assert not opens(usa, bulletin, end)
    usa.do(expire, at=end)
    (row,) = rows(usa, INBOX)
    assert (row.cause, row.due) == ("RETENTION", end)


@pytest.mark.parametrize(
    ("words", "due"),
    [
        ([], NEVER),
        (["attribution", "retention", "retention-d", "retention-30", "retention--1d", "retention-٣d"], NEVER),
        (["retention-30d"], NOW + 30 * DAY),
        (["retention-365d", "retention-30d", "no-onward-release"], NOW + 30 * DAY),
        (["retention-999999d"], NOW + 999999 * DAY),
        (["retention-0d"], NOW),
    ],
)
def test_the_soonest_retention_counts_and_other_words_say_nothing_about_time(
    words: list[str], due: int
) -> None:
    assert due_of(NEVER, NOW, words) == due
    assert due_of(END, NOW, words) == min(END, due)


def test_c16_a_crash_before_the_signature_is_finished_at_the_next_start_and_the_receipt_is_one(
    members: Any,
) -> None:
    usa = members["USA"]
    delivered(members, valid_until=END)
    usa.do(expire, at=END)
    left = usa.store.ask_now(marked)
    assert len(left.bulletins) == 1
    # The process ends here. The next one asks the same question, shreds, and signs.
    done = usa.do(finish, usa.store.ask_now(marked), at=END)
    assert len(done.outbound) == 1
    assert not usa.store.ask_now(marked)
    assert usa.do(finish, left, at=END).outbound == ()
    assert log_of(usa).count(EntryType.DESTROYED) == 1


def test_only_what_was_marked_before_the_shredding_is_signed_for(members: Any) -> None:
    usa = members["USA"]
    delivered(members, valid_until=END)
    before = usa.store.ask_now(marked)
    usa.do(expire, at=END)
    assert usa.do(finish, before, at=END).outbound == ()
    assert [row.gone for row in rows(usa, INBOX)] == [1]


def test_after_destruction_the_claims_and_the_digest_of_the_secrets_still_prove_what_was_granted(
    members: Any,
) -> None:
    usa = members["USA"]
    delivered(members, valid_until=END)
    usa.do(expire, at=END)
    (row,) = rows(usa, INBOX)
    (release,) = [decode(Release, r.data) for r in rows(usa, RECEIVED) if r.leaf == row.leaf]
    claims = open_secret(usa.node, INBOX.name, row.md, 0, row.sealed_claims)
    assert grant_digest(claims, row.secrets) == release.grant_digest
    assert decode(Claims, claims).recipient == "USA"
    assert sha256(b"") != row.secrets


def test_who_had_opened_it_sees_that_it_was_destroyed_and_nobody_else_sees_anything(members: Any) -> None:
    usa = members["USA"]
    bulletin = delivered(members, valid_until=END)
    assert opens(usa, bulletin)
    usa.do(expire, at=END)
    (line,) = usa.ask(inbox, actor("USA", "a"), InboxQuery(), END)[0]
    assert (line.shown, line.row.cause) == (None, "EXPIRED")
    assert usa.ask(inbox, actor("USA", "r"), InboxQuery(), END)[0] == []
    with pytest.raises(DeliveryError, match="destroyed here: EXPIRED"):
        usa.do(read, ReadCommand(actor("USA", "a"), bulletin), at=END)
    with pytest.raises(DeliveryError, match="there is no bulletin"):
        usa.do(read, ReadCommand(actor("USA", "r"), bulletin), at=END)
