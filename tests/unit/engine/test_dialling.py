"""Which peers are dialled: no more of one member than the bound, and none that is not listed any more."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from intelshare.delivery.retry import FIRST
from intelshare.engine import Limits
from intelshare.engine.dialling import Dialling
from intelshare.engine.dividing import Dividing
from intelshare.engine.greeting import LinkState
from intelshare.engine.peer_link import PeerLink
from intelshare.engine.values import LinkId
from intelshare.ids import NodeUri
from intelshare.instant import HOUR, MINUTE, Instant
from intelshare.trust import TrustView
from intelshare.trust.documents import Endpoint
from trust_world import NOW, TestMember, member, view_of


class Links:
    """The links of one engine: the one that was dialled last, and the one that is open."""

    def __init__(self) -> None:
        self.open: PeerLink | None = None
        self.dialled: PeerLink | None = None
        self.made = 0

    def new(self) -> LinkId:
        self.made += 1
        return LinkId(self.made)

    def add(self, link: PeerLink) -> None:
        self.dialled = link

    def to(self, _: object) -> PeerLink | None:
        return self.open


def turn(trust: TrustView, fra: TestMember) -> Any:
    parts = SimpleNamespace(
        stopping=SimpleNamespace(begun=False),
        random=lambda count: b"\xff" * count,
        limits=Limits(),
        dividing=Dividing(leads=True),
        links=Links(),
    )
    node = SimpleNamespace(trust=trust, member=fra.code)
    now = SimpleNamespace(steady=Instant(0), wall=NOW)
    return SimpleNamespace(now=now, node=node, parts=parts, do=lambda _: None)


def reachable(fra: TestMember, usa: TestMember) -> tuple[NodeUri, Any]:
    """A node of USA whose address is known, and FRA's turn."""
    node = replace(usa.directory.nodes[0], endpoints=(Endpoint("usa.example", 8443),))
    there = usa.renewed(Instant(NOW + HOUR), nodes=(node,))
    return node.uri, turn(view_of(fra, usa).with_document(there, Instant(NOW + HOUR)).view, fra)


def test_a_directory_of_many_nodes_costs_the_bound_and_a_shorter_one_less() -> None:
    fra, usa, ken = member("FRA"), member("USA"), member("KEN")
    one = usa.directory.nodes[0]
    many = (one, *(replace(one, uri=f"{one.uri}{n}", dns=f"n{n}.{one.dns}") for n in range(40)))
    view = view_of(fra, usa, ken)
    dialling = Dialling(lambda _: True)
    wide = view.with_document(usa.renewed(Instant(NOW + HOUR), nodes=many), Instant(NOW + HOUR)).view
    dialling.begin(turn(wide, fra))
    assert len(dialling._peers) == Limits().dialled + 1, "USA's bound, and KEN's one node"
    dialling.look_for_peers(turn(view, fra))
    assert set(dialling._peers) == {one.uri, ken.directory.nodes[0].uri}


def test_links_that_end_as_soon_as_they_are_open_lengthen_the_pause_whoever_dials_them() -> None:
    fra, usa = member("FRA"), member("USA")
    uri, at = reachable(fra, usa)
    dialling, links = Dialling(lambda _: True), at.parts.links
    dialling.begin(at)
    pauses = []
    for tried in range(12):
        due = dialling.next_at(at)
        assert due is not None
        pauses.append(due - at.now.steady)
        at.now.steady = due
        dialling.tick(at)
        link = links.dialled
        if tried % 2:  # the peer's call came first
            dialling.ended(at, link, "RATE")
            link = PeerLink(links.new(), usa.code, uri, at.now.steady, Limits(), dialled=False)
        link.state, link.opened_at = LinkState.OPEN, at.now.steady
        dialling.opened(uri)
        dialling.ended(at, link, "RATE")
    assert max(pauses) > 32 * FIRST


@pytest.mark.parametrize("dialled", [True, False])
def test_another_link_that_fails_beside_an_open_one_delays_no_dial(dialled: bool) -> None:
    fra, usa = member("FRA"), member("USA")
    uri, at = reachable(fra, usa)
    dialling, links = Dialling(lambda _: True), at.parts.links
    dialling.begin(at)

    def dial() -> PeerLink:
        due = dialling.next_at(at)
        assert due is not None
        at.now.steady = due
        dialling.tick(at)
        made: PeerLink = links.dialled
        return made

    def called() -> PeerLink:
        return PeerLink(links.new(), usa.code, uri, at.now.steady, Limits(), dialled=False)

    for _ in range(8):  # the pause is long by now
        dialling.ended(at, dial(), "UNREACHABLE")
    beside = dial() if dialled else called()
    links.open = called()
    links.open.state, links.open.opened_at = LinkState.OPEN, at.now.steady
    dialling.opened(uri)
    dialling.ended(at, beside, "RATE")
    assert dialling.next_at(at) is None
    at.now.steady = Instant(at.now.steady + MINUTE)
    ended, links.open = links.open, None
    dialling.ended(at, ended, "")
    due = dialling.next_at(at)
    assert due is not None
    assert due <= at.now.steady + FIRST
