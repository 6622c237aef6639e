"""Which peers are dialled: no more of one member than the bound, and none that is not listed any more."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from intelshare.engine import Limits
from intelshare.engine.dialling import Dialling
from intelshare.engine.dividing import Dividing
from intelshare.instant import HOUR, Instant
from intelshare.trust import TrustView
from trust_world import NOW, TestMember, member, view_of


def turn(trust: TrustView, fra: TestMember) -> Any:
    parts = SimpleNamespace(
        stopping=SimpleNamespace(begun=False), random=bytes, limits=Limits(), dividing=Dividing(leads=True)
    )
    node = SimpleNamespace(trust=trust, member=fra.code)
    return SimpleNamespace(now=SimpleNamespace(steady=Instant(0), wall=NOW), node=node, parts=parts)


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
