"""Holds: a second person releases or refuses, and the author reads why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from builders import NOW, actor, draft, text, user
from intelshare.audit.records import EntryType
from intelshare.broker.kernel.register import SetUserCommand, change_user
from intelshare.broker.kernel.tables import BULLETIN, CONSENT, PAIR, REFUSAL, USER
from intelshare.broker.lifecycle.holds import HOLD_REFUSED, ApproveCommand, RefuseCommand, approve, refuse
from intelshare.broker.queries.lists import outbox, why
from intelshare.delivery import Stage
from intelshare.ids import Digest, MemberCode
from intelshare.ports import changed
from line_world import TO_USA, hand_over, log_of, met, pair_of, refused, rows, send, with_law, world_with

HOLD = '[[hold]]\nid = "source"\nwhen = { flags = ["source-identity"] }\nsource = "invented"\n'
HELD = text(TO_USA, flags=("source-identity",))
USA = MemberCode("USA")


@pytest.fixture(name="fra")
def _fra() -> Any:
    fra = met()["FRA"]
    with_law(fra, HOLD)
    return fra


def held(fra: Any, by: str = "a") -> str:
    """The id of a bulletin that is held for USA."""
    bulletin: str = send(fra, draft(HELD, to=["USA"]), by=by).bulletin.hex()
    return bulletin


def refuse_as(fra: Any, name: str, bulletin: str, reason: str = "name the source first") -> str:
    word: str = fra.do(refuse, RefuseCommand(actor("FRA", name), bulletin, USA, reason))
    return word


def called(fra: Any, name: str, person: str) -> None:
    """The register says who a user is."""
    row = fra.ask(lambda _, view: view.get(USER, user("FRA", name)))
    fra.do(change_user, SetUserCommand(user("FRA", "o"), changed(row, person=person)))


def test_a_refused_pair_is_withheld_for_good_and_its_author_reads_who_and_why(fra: Any) -> None:
    bulletin = held(fra)
    assert refuse_as(fra, "r", bulletin) == "withheld"
    assert log_of(fra)[-2:] == [EntryType.REFUSE, EntryType.STOP]
    lines, _ = fra.ask(outbox, actor("FRA", "a"), bulletin, 10, False, NOW)
    (pair,) = lines[0].pairs
    assert (pair.status, pair.codes) == ("withheld", (HOLD_REFUSED,))
    assert (pair.refusal.user, pair.refusal.reason) == (user("FRA", "r"), "name the source first")
    assert not hand_over(fra, "USA")
    assert refused(fra, lambda: refuse_as(fra, "r", bulletin)).code == "INPUT_INVALID"
    late = ApproveCommand(actor("FRA", "r"), bulletin, USA)
    assert refused(fra, lambda: fra.do(approve, late)).code == "INPUT_INVALID"
    assert pair_of(fra, "USA").open == 0
    assert rows(fra, CONSENT) == []


def test_the_reason_is_stored_sealed(fra: Any) -> None:
    refuse_as(fra, "r", held(fra))
    (row,) = rows(fra, REFUSAL)
    assert b"source" not in row.sealed_reason


@pytest.mark.parametrize(
    ("reason", "code"), [("", "INPUT_INVALID"), (" ", "INPUT_INVALID"), ("x" * 9999, "TOO_LARGE")]
)
def test_a_refusal_needs_a_reason_of_bounded_length(fra: Any, reason: str, code: str) -> None:
    bulletin = held(fra)
    assert refused(fra, lambda: refuse_as(fra, "r", bulletin, reason)).code == code


def test_two_names_of_one_person_are_not_two_persons(fra: Any) -> None:
    bulletin = held(fra, by="a")
    called(fra, "a", "P-17")
    called(fra, "r", "p-17")
    command = ApproveCommand(actor("FRA", "r"), bulletin, USA)
    assert refused(fra, lambda: fra.do(approve, command)).code == "NOT_AUTHORISED"
    assert refused(fra, lambda: refuse_as(fra, "r", bulletin)).code == "NOT_AUTHORISED"
    called(fra, "r", "P-18")
    assert fra.do(approve, command) == "queued"


def test_a_second_name_that_says_whose_it_is_is_the_first(fra: Any) -> None:
    bulletin = held(fra, by="a")
    called(fra, "r", "a")
    command = ApproveCommand(actor("FRA", "r"), bulletin, USA)
    assert refused(fra, lambda: fra.do(approve, command)).code == "NOT_AUTHORISED"


def test_what_the_law_has_come_to_deny_is_not_released_and_stays_held_until_the_law_allows_it(
    fra: Any,
) -> None:
    command, allowed = ApproveCommand(actor("FRA", "r"), held(fra), USA), fra.node
    fra.node = replace(fra.node, world=world_with(fra.node, HOLD, without=["gsa-fra-usa"]))
    error = refused(fra, lambda: fra.do(approve, command))
    assert (error.code, "EXCEEDS_CEILING" in error.message) == ("POLICY_DENIED", True)
    assert pair_of(fra, "USA").stage == Stage.HELD
    fra.node = allowed
    assert fra.do(approve, command) == "queued"


def test_who_approves_approves_the_decision_that_was_shown(fra: Any) -> None:
    bulletin = held(fra)
    other = ApproveCommand(actor("FRA", "r"), bulletin, USA, Digest(bytes(32)))
    assert refused(fra, lambda: fra.do(approve, other)).code == "ID_CONFLICT"
    shown = fra.ask(why, actor("FRA", "r"), bulletin, USA, NOW)
    assert shown.entry == rows(fra, PAIR)[0].decision
    assert fra.do(approve, ApproveCommand(actor("FRA", "r"), bulletin, USA, shown.entry)) == "queued"
    assert len(rows(fra, BULLETIN)) == 1
