"""A peer that starts again is told again what it acknowledged last: its disk may have lost that."""

from __future__ import annotations

import pytest

from builders import NOW, draft, text
from engine_world import Rig
from intelshare.broker.kernel.frame import Ack, Acks, Outbound
from intelshare.crypto.records import Kind
from intelshare.engine.acknowledged import KEPT, MAX_KEPT, Acknowledged
from intelshare.engine.events import Started
from intelshare.ids import LeafId, MemberCode
from intelshare.instant import SECOND, Instant
from line_world import hand_over, send

USA, KEN = MemberCode("USA"), MemberCode("KEN")


@pytest.fixture(name="rig")
def _rig() -> Rig:
    """A node whose receipt the peer has acknowledged."""
    rig = Rig()
    rig.feed(Started())
    link = rig.link()
    send(rig.members["USA"], draft(text("SECRET//REL TO USA, FRA"), to=["FRA"]))
    (outbound,) = hand_over(rig.members["USA"], "FRA")
    rig.say(link, outbound.frame)
    (receipt,) = _receipts(rig, link)
    rig.say(link, Acks((Ack(receipt, "", NOW),)))
    rig.drop(link)
    return rig


def test_a_peer_that_starts_again_is_told_again_what_it_acknowledged_last(rig: Rig) -> None:
    assert len(_receipts(rig, rig.link(incarnation=8))) == 1


def test_a_peer_that_has_not_started_again_is_not(rig: Rig) -> None:
    assert not _receipts(rig, rig.link())


def test_only_the_last_acknowledgements_of_each_peer_are_remembered() -> None:
    said = Acknowledged()
    for number in range(MAX_KEPT + 10):
        said.note(USA, LeafId(number.to_bytes(32)), Instant(SECOND))
    said.note(KEN, LeafId(b"k" * 32), Instant(SECOND))
    assert said.last(USA) == tuple([LeafId(n.to_bytes(32)) for n in range(10, MAX_KEPT + 10)])
    said.note(USA, LeafId(b"u" * 32), Instant(SECOND + KEPT + 1))
    assert said.last(USA) == (LeafId(b"u" * 32),)
    assert said.last(KEN) == (LeafId(b"k" * 32),)
    assert said.last(MemberCode("DEU")) == ()


def _receipts(rig: Rig, link: int) -> list[LeafId]:
    said = [one for one in rig.sent(link, Outbound) if one.frame.statements[0].kind == Kind.RECEIPT]
    return [leaf for one in said for leaf in one.leaves]
