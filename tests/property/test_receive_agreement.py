"""Frames are received by the loops as by the readable code: the same rows, acknowledgements and receipts.

Releases of all sorts, spoilt, left out, shuffled and brought twice; and their receipts. ``line_world.arrive``
compares each frame that arrives (``both_receives``), here as in every other test of the broker.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attacker import flip
from builders import Member, draft, text
from intelshare.broker.kernel.frame import Carried, Frame
from intelshare.broker.kernel.inbound import Inbound
from intelshare.broker.kernel.tables import INBOX, PAIR, RECEIVED
from intelshare.broker.line.receive import Arrival, Plain, open_plain, receive
from intelshare.crypto.records import Precedence
from intelshare.delivery import BestReceipt
from intelshare.ids import LeafId, MemberCode
from intelshare.instant import SECOND, Instant
from intelshare.sim.fake_suite import FAKE_SUITE
from line_world import NOW, TO_USA, arrive, codes, hand_over, met, rows, send

FRA, USA = MemberCode("FRA"), MemberCode("USA")
SPOILT = ("data", "nonce", "proof", "grant")


def bulletins(fra: Member) -> list[Any]:
    """Bulletins of several sorts to USA: plain ones, two portions, a reply, other labels and precedences."""
    first = send(fra, draft(text(TO_USA), to=["USA"]), "0")
    sorts = [
        draft(text(TO_USA, "one more"), to=["USA"]),
        draft(text(TO_USA, "one"), text("//FRA SECRET//REL TO USA, FRA", "two"), to=["USA"]),
        replace(draft(text(TO_USA), to=["USA"]), precedence=Precedence.FLASH),
        replace(draft(text(TO_USA), to=["USA"]), supersedes=first.bulletin.hex()),
        replace(draft(text(TO_USA), to=["USA"]), in_reply_to=first.bulletin.hex()),
        replace(draft(text(TO_USA), to=["USA"]), valid_until=Instant(NOW + 5 * SECOND)),
    ]
    return [first, *[send(fra, one, str(place)) for place, one in enumerate(sorts, 1)]]


@st.composite
def changes(draw: Any) -> list[tuple[int, str, int]]:
    """Which statements of a frame come, in which order, and what is spoilt of each (empty: nothing)."""
    places = draw(st.lists(st.integers(0, 6), min_size=1, max_size=9))
    return [
        (place, draw(st.sampled_from(("", "", "", *SPOILT))), draw(st.integers(0, 255))) for place in places
    ]


def changed(frame: Frame, how: list[tuple[int, str, int]]) -> Frame:
    """The frame as the attacker on the way has it."""
    statements = [
        _spoilt(frame.statements[place % len(frame.statements)], field, byte) for place, field, byte in how
    ]
    return replace(frame, statements=tuple(statements))


def _spoilt(carried: Carried, field: str, byte: int) -> Carried:
    value = getattr(carried, field, b"") if field else b""
    return replace(carried, **{field: flip(value, byte % len(value))}) if value else carried


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(changes(), changes(), changes(), st.sampled_from((0, 6)))
def test_frames_are_received_alike(
    first: list[Any], second: list[Any], receipts: list[Any], later: int
) -> None:
    members = met(("FRA", "USA"), suite=FAKE_SUITE)
    fra, usa = members["FRA"], members["USA"]
    sent = bulletins(fra)
    (outbound,) = hand_over(fra, "USA")
    assert len(outbound.leaves) == len(sent)
    at = Instant(NOW + later * SECOND)
    answers = [arrive(usa, fra, changed(outbound.frame, how), at) for how in (first, second)]
    for answer in answers:
        for back in answer.effects.outbound:
            arrive(fra, usa, changed(back.frame, receipts), at)
            arrive(fra, usa, back.frame, at)
    # Whatever came before, the honest frame heals it.
    healed = arrive(usa, fra, outbound.frame, at)
    assert not any(codes(healed))
    refused = 1 if later else 0
    assert len([row for row in rows(usa, RECEIVED) if not row.code]) >= len(sent) - refused
    assert len(rows(usa, INBOX)) >= len(sent) - refused


class Counted:
    """Plain statements, and how many were taken."""

    def __init__(self, plain: Plain | None, taken: list[LeafId]) -> None:
        assert plain is not None
        self.plain = plain
        self.taken = taken
        self.settle = plain.settle

    def take(self, place: int, carried: Carried) -> LeafId | None:
        leaf = self.plain.take(place, carried)
        self.taken += [leaf] if leaf is not None else []
        return leaf


def test_honest_frames_are_taken_by_the_loops_alone() -> None:
    """Else they could say nothing, and every comparison would hold."""
    members = met(("FRA", "USA"), suite=FAKE_SUITE)
    fra, usa = members["FRA"], members["USA"]
    sent = bulletins(fra)
    (outbound,) = hand_over(fra, "USA")
    taken: list[LeafId] = []

    def counting(inbound: Inbound, frame: Frame) -> Plain:
        return Counted(open_plain(inbound, frame), taken)

    step = partial(receive, open_plain=counting)
    answer = usa.do(step, Arrival(FRA, fra.node.uri, outbound.frame))
    assert (len(taken), answer.accepted) == (len(sent), len(sent))
    (back,) = answer.effects.outbound
    fra.do(step, Arrival(USA, usa.node.uri, back.frame))
    assert len(taken) == 2 * len(sent)
    assert {row.receipt for row in rows(fra, PAIR)} == {BestReceipt.ACCEPTED}
