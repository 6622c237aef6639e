"""What a node says of itself: each thing that can be wrong is named, with its code and what to do."""

from __future__ import annotations

from typing import Any

import pytest

from intelshare.cli.operator import doctor
from intelshare.cli.policy.examine import examine
from intelshare.cli.shared.findings import drain_finding
from intelshare.instant import DAY, MINUTE, Instant
from intelshare.wire.v1 import user_pb2 as pb

NOW = Instant(1_800_000_000_000_000)
GOOD = {"directory_expires": NOW + 6 * DAY, "certificate_expires": NOW + 6 * DAY}


def peer(**changes: Any) -> pb.PeerStatus:
    return pb.PeerStatus(
        **{"member": "USA", "state": "linked", "directory_expires": NOW + 6 * DAY, **changes}
    )


def found(*peers: pb.PeerStatus, **status: Any) -> dict[str, tuple[str, str]]:
    answer = pb.StatusResponse(**{**GOOD, **status}, peers=peers or (peer(),))
    return {one.check: (one.state, one.code) for one in examine(answer, NOW)}


def test_a_good_node_is_good() -> None:
    assert {state for state, _ in found().values()} == {"ok"}


@pytest.mark.parametrize(
    ("status", "check", "state", "code"),
    [
        ({"codes": ["CLOCK"]}, "clock", "wrong", "CLOCK"),
        ({"clock": pb.ClockState(now=NOW, believed=True), "started_at": NOW - DAY}, "clock", "warning", ""),
        ({"codes": ["POLICY_UNAVAILABLE"]}, "node", "wrong", "POLICY_UNAVAILABLE"),
        ({"codes": ["DRAINING"]}, "node", "warning", "DRAINING"),
        ({"directory_expires": NOW}, "directory", "wrong", "TRUST_EXPIRED"),
        ({"directory_expires": NOW + DAY}, "directory", "warning", ""),
        ({"certificate_expires": NOW + DAY}, "node certificate", "warning", ""),
        (
            {"alarms": [pb.Alarm(evidence=bytes(32), member="USA", code="LOG_FORK", what="two roots")]},
            "alarm 00000000",
            "wrong",
            "LOG_FORK",
        ),
        (
            {"budgets": [pb.SpentBudget(member="USA", name="evidence", refused=3, again=MINUTE)]},
            "budget USA",
            "warning",
            "RATE",
        ),
    ],
)
def test_what_stands_against_the_node(status: dict[str, Any], check: str, state: str, code: str) -> None:
    assert found(**status)[check] == (state, code)


@pytest.mark.parametrize(
    ("changes", "check", "state", "code"),
    [
        ({"state": "expired"}, "link USA", "wrong", "TRUST_EXPIRED"),
        ({"directory_expires": NOW - 1}, "link USA", "wrong", "TRUST_EXPIRED"),
        ({"state": "suspended"}, "link USA", "warning", "MEMBER_SUSPENDED"),
        ({"state": "removed", "directory_expires": 0}, "link USA", "ok", "MEMBER_REMOVED"),
        ({"state": "waiting", "last_error": "TLS_REFUSED"}, "link USA", "warning", "TLS_REFUSED"),
        ({"clock_offset": 6 * MINUTE}, "clock USA", "wrong", "CLOCK_SKEW"),
        ({"clock_offset": -MINUTE}, "clock USA", "warning", "CLOCK_SKEW"),
    ],
)
def test_what_stands_against_a_link(changes: dict[str, Any], check: str, state: str, code: str) -> None:
    assert found(peer(**changes))[check] == (state, code)


def test_whatever_is_not_good_has_a_remedy() -> None:
    bad = pb.StatusResponse(
        codes=["CLOCK"], directory_expires=NOW + DAY, certificate_expires=NOW, peers=[peer(state="dialling")]
    )
    assert all(one.remedy for one in examine(bad, NOW) if one.state != "ok")
    assert all(one.remedy for one in examine(pb.StatusResponse(), NOW) if one.state != "ok")


def test_a_node_that_refuses_our_certificate_may_have_removed_this_member() -> None:
    answer = pb.StatusResponse(**GOOD, peers=[peer(state="waiting", last_error="TLS_REFUSED")])
    (link,) = [one for one in examine(answer, NOW) if one.check == "link USA"]
    assert (link.state, link.code) == ("warning", "TLS_REFUSED")
    assert "removed this member" in link.remedy
    assert "user renew" not in link.remedy


def test_a_node_that_does_not_answer_is_not_mistaken_for_our_own() -> None:
    answer = pb.StatusResponse(**GOOD, peers=[peer(state="waiting", last_error="NODE_UNREACHABLE")])
    (link,) = [one for one in examine(answer, NOW) if one.check == "link USA"]
    assert "its node" in link.remedy
    assert "profile" not in link.remedy


def test_a_drain_is_rated_once_as_a_warning_that_names_the_replica() -> None:
    answer = pb.StatusResponse(**GOOD, codes=["DRAINING"], replica="b")
    nodes = [one for one in examine(answer, NOW) if one.code == "DRAINING"]
    process = drain_finding("process", "b runs, NOT_SERVING", "b")
    assert doctor._once([*nodes, process]) == [process]
    assert doctor._once(nodes) == nodes
    assert [(one.state, "--undo --replica b" in one.remedy) for one in nodes] == [("warning", True)]
