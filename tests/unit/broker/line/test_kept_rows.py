"""A member that tries to fill another one's disk, slowly and within every budget, comes to a bound."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from builders import NOW
from intelshare.broker.kernel.counters import kept_of
from intelshare.broker.kernel.kept_rows import kept_by
from intelshare.broker.kernel.tables import EVIDENCE, INBOX, INCOMING, RECALLED
from intelshare.broker.lifecycle.rebuild import recount
from intelshare.broker.line.hello import accept_hello, make_hello
from intelshare.cli.policy.examine import examine
from intelshare.cli.shared.findings import WARNING, WRONG
from intelshare.crypto.records import Kind, Recall, StreamHead
from intelshare.envelope import stream_start
from intelshare.ids import Incarnation, ManifestDigest, MemberCode, ReleaseNumber
from intelshare.instant import Instant
from intelshare.trust import PeerHello
from intelshare.wire.v1 import user_pb2 as pb
from line_world import Forger, arrive, codes, log_of, met, rows, said, signed

FRA, USA = MemberCode("FRA"), MemberCode("USA")
MOST = 12


@pytest.fixture(name="members")
def _members() -> Any:
    found = met()
    usa = found["USA"]
    usa.node = replace(usa.node, queues=replace(usa.node.queues, kept=MOST))
    return found


def kept(members: Any) -> int:
    usa = members["USA"]
    found: dict[MemberCode, int] = usa.store.ask_now(lambda view: kept_by(view, [FRA]))
    return found.get(FRA, 0)


def attempts(members: Any) -> list[Any]:
    """One of each kind that stays, as often as it likes."""
    fra = members["FRA"]
    found = []
    for place in range(20):
        head = StreamHead(
            USA,
            Incarnation(1000 + place),
            Incarnation(0),
            ReleaseNumber(0),
            stream_start(fra.node.uri, Incarnation(1000 + place), USA),
            (),
        )
        for kind, record in (
            (Kind.RECALL, Recall(USA, ManifestDigest(bytes([place]) * 32), "never seen")),
            (Kind.STREAM_HEAD, head),
        ):
            found.append(signed(fra, kind, record, seed=f"{place}"))
        bad = signed(fra, Kind.RECALL, Recall(USA, ManifestDigest(bytes(32)), ""), seed=f"bad {place}")
        found.append(replace(bad, statements=(replace(bad.statements[0], nonce=bytes([place]) * 16),)))
    return found


def test_row_83_whatever_it_tries_no_more_stays_than_the_bound_and_honest_traffic_goes_on(
    members: Any,
) -> None:
    fra, usa = members["FRA"], members["USA"]
    before = len(log_of(usa))
    answered = [codes(arrive(usa, fra, frame)) for frame in attempts(members)]
    assert kept(members) == MOST
    assert len(rows(usa, RECALLED)) + len(rows(usa, INCOMING)) <= MOST + 1
    assert len(rows(usa, EVIDENCE)) <= MOST
    assert len(log_of(usa)) - before <= 2 * MOST
    assert answered[-3:-1] == [["RATE"], ["RATE"]]
    forger = Forger(members, to="USA", signer="FRA")
    assert said(arrive(usa, fra, forger.frame())) == [("ACCEPTED", ())]


def test_a_damaged_count_is_made_again_from_the_rows_that_are_there(members: Any) -> None:
    fra, usa = members["FRA"], members["USA"]
    began = usa.store.ask_now(lambda view: recount(view, kept_of(FRA))).rows - kept(members)
    for frame in attempts(members):
        arrive(usa, fra, frame)
    assert usa.store.ask_now(lambda view: recount(view, kept_of(FRA))).rows == kept(members) + began
    # A recall of what is held costs nothing the first time.
    forger = Forger(members, to="USA", signer="FRA")
    arrive(usa, fra, forger.frame())
    (held,) = rows(usa, INBOX)
    before = usa.store.ask_now(lambda view: recount(view, kept_of(FRA))).rows
    arrive(usa, fra, signed(fra, Kind.RECALL, Recall(USA, held.md, "wrong"), seed="held"))
    assert usa.store.ask_now(lambda view: recount(view, kept_of(FRA))).rows == before


def test_incarnations_of_hellos_are_counted_too(members: Any) -> None:
    fra, usa = members["FRA"], members["USA"]
    payload = fra.ask(make_hello, USA, NOW)
    for place in range(2 * MOST):
        one = Incarnation(5000 + place)
        head = StreamHead(
            USA, one, Incarnation(0), ReleaseNumber(0), stream_start(fra.node.uri, one, USA), ()
        )
        told = replace(payload, incarnation=one, heads=(head,))
        hello = PeerHello(FRA, fra.node.uri, fra.node.signer.key_id, told, 0)
        usa.do(accept_hello, hello, (), None, at=Instant(NOW + place))
    assert kept(members) == MOST
    assert len(rows(usa, INCOMING)) <= MOST + 1


def test_an_operator_is_told_before_the_bound_and_at_it() -> None:
    def found(count: int) -> list[Any]:
        status = pb.StatusResponse(kept=[pb.KeptRows(member="KEN", rows=count, most=100)])
        return [one.state for one in examine(status, NOW) if one.check == "kept KEN"]

    assert [found(count) for count in (79, 80, 100)] == [[], [WARNING], [WRONG]]
