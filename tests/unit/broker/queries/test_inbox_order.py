"""The inbox sorts what came in one frame: the most urgent first, then as the sender numbered (promise P6)."""

from __future__ import annotations

from builders import NOW, actor, draft, text
from intelshare.broker.line.handover import handover
from intelshare.broker.line.receive import Arrival, receive
from intelshare.broker.line.submit import SubmitCommand, submit
from intelshare.broker.queries.lists import InboxQuery, inbox
from intelshare.crypto.records import Precedence
from intelshare.ids import MemberCode
from intelshare.statement import MAX_LEAVES
from line_world import TO_USA, met


def test_what_came_in_one_instant_is_listed_by_precedence_and_number() -> None:
    members = met(["FRA", "USA"])
    fra, usa = members["FRA"], members["USA"]
    for place, precedence in enumerate([Precedence.ROUTINE, Precedence.ROUTINE, Precedence.FLASH]):
        item = draft(text(TO_USA, str(place)), to=["USA"], precedence=precedence)
        fra.do(submit, SubmitCommand(actor("FRA", "a"), bytes([place]) * 16, item), at=NOW + place)
    for said in fra.do(handover, {MemberCode("USA"): 1 << 20}, MAX_LEAVES):
        usa.do(receive, Arrival(fra.node.member, fra.node.uri, said.frame))
    lines, _ = usa.ask(inbox, actor("USA", "a"), InboxQuery(), NOW)
    assert [line.shown.portions[0].portion.content for line in lines] == [b"2", b"0", b"1"]
