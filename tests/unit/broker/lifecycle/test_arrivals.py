"""By which releases a bulletin came; whoever forgets it forgets all of them."""

from __future__ import annotations

from typing import Any

import pytest

from builders import draft, text
from intelshare.audit.work import finish
from intelshare.broker.kernel.tables import INBOX, PENDING, RECEIVED, SECRET, STATEMENT
from intelshare.broker.lifecycle.anew import sign_anew
from intelshare.broker.lifecycle.arrivals import came_again
from intelshare.broker.lifecycle.restored import forget_received
from intelshare.broker.line.hello import answer_gap
from intelshare.broker.line.resend import resend
from intelshare.crypto.records import Kind
from intelshare.ids import ManifestDigest, MemberCode
from intelshare.ports import Plan, Put, changed
from line_world import ROOM, TO_USA, arrive, hand_over, met, pair_of, released, rows, say_hello, send, stolen

USA = MemberCode("USA")


@pytest.fixture(name="members")
def _members() -> Any:
    """USA has one bulletin of FRA under two numbers: it was signed anew, because a key was stolen, while the
    first receipt was on its way.
    """
    members = met(("FRA", "USA"))
    fra, usa = members["FRA"], members["USA"]
    arrive(usa, fra, released(members))
    stolen(members)
    (head,) = fra.do(sign_anew, ()).effects.outbound
    arrive(usa, fra, head.frame)
    (anew,) = hand_over(fra, "USA")
    for receipt in arrive(usa, fra, anew.frame).effects.outbound:
        arrive(fra, usa, receipt.frame)
    return members


def again(member: Any) -> Any:
    """What came more than once: bulletin -> releases."""
    found = member.store.ask_now(lambda view: finish(came_again(member.node, view)))
    return {md: set(releases) for md, releases in found.items()}


def releases(member: Any) -> set[tuple[str, bytes]]:
    return {(one.member, one.leaf) for one in rows(member, RECEIVED) if one.kind == Kind.RELEASE}


def without_keys(member: Any) -> None:
    """Its rows as a backup has them."""
    erased = [Put(SECRET, changed(one, sealed=bytes(len(one.sealed)))) for one in rows(member, SECRET)]
    member.store.perform_now(lambda _: Plan(tuple(erased), None))


def test_only_what_came_under_two_numbers_came_again(members: Any) -> None:
    fra, usa = members["FRA"], members["USA"]
    (row,) = rows(usa, INBOX)
    twice = releases(usa)
    assert len(twice) == 2
    send(fra, draft(text(TO_USA, "once"), to=["USA"]), key="once")
    arrive(usa, fra, hand_over(fra, "USA")[0].frame)
    assert again(usa) == {row.md: twice}
    assert again(fra) == {}


def test_what_a_backup_has_no_key_for_comes_again_under_the_number_that_its_sender_counts(
    members: Any,
) -> None:
    fra, usa = members["FRA"], members["USA"]
    (row,) = rows(usa, INBOX)
    known = again(usa)
    without_keys(usa)
    assert usa.do(forget_received, ManifestDigest(b""), known).count == 1
    assert (rows(usa, INBOX), releases(usa)) == ([], set())
    for gap in say_hello(fra, usa).gaps:
        fra.do(answer_gap, USA, gap)
    for outbound in fra.do(resend, USA, frozenset(), ROOM)[0]:
        arrive(usa, fra, outbound.frame)
    (back,) = rows(usa, INBOX)
    assert (back.md, back.leaf) == (row.md, pair_of(fra).leaf)


def test_a_receipt_that_waits_for_what_is_forgotten_does_not_leave() -> None:
    """It would say ACCEPTED of a bulletin that is not here, and that may be refused when it comes again."""
    members = met(("FRA", "USA"))
    fra, usa = members["FRA"], members["USA"]
    arrive(usa, fra, released(members))
    (waits,) = (one.leaf for one in rows(usa, PENDING))
    without_keys(usa)
    forgotten = usa.do(forget_received, ManifestDigest(b""), {})
    assert (forgotten.count, rows(usa, PENDING)) == (1, [])
    assert rows(usa, STATEMENT)[-1].leaf == waits, "what was signed is kept"
