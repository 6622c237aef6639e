"""What the views show is what the node answers; who may not see something is not shown it."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest

from console_world import Desk, member
from intelshare.audit.log import leaf_hash, node_hash
from intelshare.broker.transparency.checkpoint import checkpoint
from intelshare.console.documents import DOCUMENTS
from intelshare.console.documents.now import Look
from intelshare.crypto.pae import Domain, pae
from intelshare.errors import IntelshareError
from intelshare.wire import MAX_LISTED


def show(view: str, desk: Desk | None = None, **asked: str) -> Any:
    return DOCUMENTS[view].make(desk or Desk(member()), asked)


def test_the_state_names_links_queues_the_log_and_what_was_withheld() -> None:
    state = Look(Desk(member())).state()
    assert (state["member"], state["down"]) == ("FRA", None)
    assert [(one["member"], one["state"]) for one in state["peers"]] == [
        ("KEN", "waiting"),
        ("USA", "waiting"),
    ]
    assert [(one["user"].rpartition("/")[2], one["role"]) for one in state["who"]] == [
        ("a", "analyst"),
        ("o", "operator"),
    ]
    assert {(one["member"], one["queued"]) for one in state["queues"]} == {("USA", 3), ("KEN", 2)}
    assert state["head"]["entries"] > 0
    assert [one["check"] for one in state["findings"] if one["state"] == "warning"]


def test_an_analyst_alone_sees_no_counts_of_others_and_an_operator_alone_no_bulletin() -> None:
    fra = member()
    state = Look(Desk(fra, ("a",))).state()
    assert (state["queues"], state["head"], state["log_size"]) == (None, None, 0)
    for view in ("flows", "audit"):
        with pytest.raises(IntelshareError, match="NOT_AUTHORISED"):
            show(view, Desk(fra, ("a",)))
    operator = Desk(fra, ("o",))
    for view in ("bulletins", "bulletin"):
        with pytest.raises(IntelshareError, match="NOT_AUTHORISED"):
            show(view, operator, **({"id": "0011"} if view == "bulletin" else {}))
    withheld = show("withheld", operator, recipient="KEN", code="EXCEEDS_CEILING")
    assert withheld["counts"]
    assert (withheld["cases"], withheld["reader"]) == ([], False)


def test_a_node_that_is_down_is_said_and_comes_back() -> None:
    desk = Desk(member())
    look = Look(desk)
    desk.down = True
    assert look.state() == {
        "down": {"code": "NODE_UNREACHABLE", "message": "nobody answers", "hint": "start it"}
    }
    desk.down = False
    assert look.state()["member"] == "FRA"


def test_withheld_counts_portions_names_the_rule_and_shows_the_cases() -> None:
    found = show("withheld", recipient="KEN", code="EXCEEDS_CEILING")
    (count,) = found["counts"]
    assert (count["recipient"], count["code"], count["portions"]) == ("KEN", "EXCEEDS_CEILING", 3)
    assert count["place"].startswith("demo-climate.toml:")
    assert found["codes"]["EXCEEDS_CEILING"]["rule"] == "9, the treaty test"
    assert sorted(one["granted"] for one in found["cases"]) == [0, 1]


def test_a_bulletin_shows_who_got_what_and_what_would_release_the_rest() -> None:
    desk = Desk(member())
    half = next(
        one
        for one in show("bulletins", desk)["entries"]
        if any(0 < pair["granted"] < pair["portions"] for pair in one["pairs"])
    )
    whole = show("bulletin", desk, id=half["bulletin"])
    ken, usa = whole["pairs"]
    assert [one["outcome"] for one in usa["why"]["portions"]] == ["allow", "allow"]
    allowed, denied = ken["why"]["portions"]
    assert (allowed["basis"], allowed["articles"]) == ("demo-climate", ["art. 2"])
    assert denied["reasons"][0]["code"] == "EXCEEDS_CEILING"
    assert "label" in [one["change"] for one in denied["changes"]]
    assert [one["category"] for one in whole["marks"]] == ["cyber", "cyber"]
    assert whole["damaged"] == 0
    calls = {name for channel in desk.channels.values() for name in channel.calls}
    assert "Read" not in calls


def test_words_find_a_bulletin() -> None:
    assert [one["title"] for one in show("bulletins", query="too high")["entries"]] == [""]
    assert show("bulletins", query="nothing of this kind") == {
        "entries": [],
        "more": False,
        "most": MAX_LISTED,
        "damaged": 0,
    }


def test_lanes_and_the_matrix_are_of_the_day_that_is_asked() -> None:
    desk = Desk(member())
    # Files of treaties come from the data folder, which this world does not have.
    found = show("treaties", desk)
    assert found["unread"] == ["demo-climate", "gsa-fra-usa"]
    assert found["treaties"] == []


def test_a_log_entry_and_its_path_give_the_signed_root() -> None:
    fra = member()
    fra.do(checkpoint)
    found = show("audit", Desk(fra))
    record, salt = bytes.fromhex(found["record"]), bytes.fromhex(found["salt"])
    parts = (bytes([found["type"]]), int(found["time"]).to_bytes(8), salt, record)
    here = leaf_hash(sha256(pae(Domain.LOG_ENTRY, *parts)).digest())
    place, last = found["index"], found["size"] - 1
    for sibling in map(bytes.fromhex, found["proof"]):
        if place % 2 or place == last:
            here = node_hash(sibling, here)
            while place and not place % 2:
                place, last = place // 2, last // 2
        else:
            here = node_hash(here, sibling)
        place, last = place // 2, last // 2
    assert (last, here.hex()) == (0, found["root"])


def test_members_have_ends_and_keys_ages_and_an_analyst_sees_no_keys() -> None:
    fra = member()
    found = show("members", Desk(fra))
    assert [one["member"] for one in found["members"]] == ["FRA", "KEN", "USA"]
    assert {one["use"] for one in found["keys"]} >= {"signing", "sealing"}
    assert [one["name"] for one in found["budgets"]] == ["evidence", "evidence"]
    assert show("members", Desk(fra, ("a",)))["keys"] is None


def test_flows_count_what_was_shared_under_which_article() -> None:
    found = show("flows")
    assert (found["member"], found["shared"], found["truncated"]) == ("FRA", [], False)
    assert found["bars"]["ways"] == []
