"""What is handed in under another state's label comes from there: no slip skips the treaty test."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from builders import NOW, Member, actor, draft, text
from consent_world import OF_KEN, pass_on
from intelshare.broker.exchange.recall import RecallCommand, recall
from intelshare.broker.kernel.tables import INBOX, PAIR
from intelshare.broker.line.submit import SubmitCommand, dry_run
from intelshare.crypto.records import PortionKind
from intelshare.errors import IntelshareError
from line_world import TO_USA, arrive, everything, hand_over, met, refused, rows, send

SLIP = "SECRET//REL TO USA, FRA"
ORIGINAL = "SECRET//REL TO USA, FRA"


@pytest.fixture
def members() -> Any:
    return met(["FRA", "USA", "KEN"])


def error_of(fra: Member, *portions: Any, to: tuple[str, ...] = ("USA",), **changes: Any) -> IntelshareError:
    given = replace(draft(*portions, to=to), **changes)
    before = everything(fra)
    error = refused(fra, lambda: send(fra, given))
    again = refused(fra, lambda: fra.ask(dry_run, SubmitCommand(actor("FRA", "a"), bytes(16), given), NOW))
    assert everything(fra) == before
    assert (again.code, again.message) == (error.code, error.message)
    return error


@pytest.mark.parametrize("code", ["USA", "KEN"])
@pytest.mark.parametrize("other", [False, True])
def test_a_label_of_the_recipient_is_refused_at_the_node(members: Any, code: str, other: bool) -> None:
    head = "SECRET" if code == "USA" else f"//{code} RESTRICTED"
    portions = [text(TO_USA)] if other else []
    error = error_of(members["FRA"], *portions, text(f"{head}//REL TO {code}, FRA"), to=("USA", "KEN"))
    assert error.code == "FOREIGN_LABEL"
    assert f"portion {len(portions) + 1}" in str(error.place)
    assert "//FRA" in error.hint


def test_the_hint_is_the_own_label_that_was_meant(members: Any) -> None:
    assert "write //FRA SECRET//REL TO FRA, USA;" in error_of(members["FRA"], text(SLIP)).hint


def test_the_hint_names_the_level_as_the_own_ladder_calls_it(members: Any) -> None:
    fra = members["FRA"]
    hint = error_of(fra, text("UNCLASSIFIED")).hint
    meant = hint.removeprefix("write ").partition(";")[0]
    assert meant == "//FRA NON PROTEGE//REL TO FRA, USA"
    send(fra, draft(text(meant), to=["USA"]), "meant")


def test_a_title_is_a_portion_too_and_unclassified_is_a_level_of_the_united_states(members: Any) -> None:
    title = text("UNCLASSIFIED", kind=PortionKind.TITLE)
    assert error_of(members["FRA"], title, text(TO_USA)).code == "FOREIGN_LABEL"


def test_a_joint_label_is_the_own_one_of_each_owner(members: Any) -> None:
    fra = members["FRA"]
    send(fra, draft(text("//JOINT SECRET FRA USA//REL TO USA, FRA"), to=["USA"]), "joint")
    error = error_of(fra, text("//JOINT SECRET KEN USA//REL TO USA, FRA, KEN"))
    assert error.code == "FOREIGN_LABEL"


def test_another_recipient_needs_the_owners_consent(members: Any) -> None:
    answer = pass_on(members, draft(text(OF_KEN), to=["USA"]))
    (pair,) = answer.pairs
    (portion,) = pair.portions
    assert "CONSENT_REQUIRED" in [reason.code for reason in portion.decision.value.reasons]


def arrived(members: Any, sender: str, label: str) -> str:
    """The id of a bulletin that FRA has from this sender."""
    bulletin = send(members[sender], draft(text(label), to=["FRA"])).bulletin.hex()
    for one in hand_over(members[sender], "FRA"):
        arrive(members["FRA"], members[sender], one.frame)
    assert any(row.bulletin.hex() == bulletin for row in rows(members["FRA"], INBOX))
    return str(bulletin)


def test_what_came_from_there_goes_back_when_its_bulletin_is_named(members: Any) -> None:
    fra, bulletin = members["FRA"], arrived(members, "USA", ORIGINAL)
    answer = send(fra, replace(draft(text(SLIP), to=["USA"]), from_bulletin=bulletin[:8]))
    assert [pair.word for pair in answer.pairs] == ["queued"]


def test_a_bulletin_of_somebody_else_or_of_nobody_does_not_help(members: Any) -> None:
    fra, bulletin = members["FRA"], arrived(members, "KEN", "//KEN RESTRICTED//REL TO KEN, FRA")
    error = error_of(fra, text(SLIP), from_bulletin=bulletin)
    assert (error.code, error.hint) == (
        "FOREIGN_LABEL",
        "the bulletin of --from-bulletin contains nothing of theirs",
    )
    assert error_of(fra, text(SLIP), from_bulletin="00112233").code == "NOT_FOUND"
    own = send(fra, draft(text(TO_USA), to=["USA"]), "own").bulletin.hex()
    assert error_of(fra, text(SLIP), from_bulletin=own).code == "NOT_FOUND"


def test_nobody_is_asked_for_consent_to_a_slip(members: Any) -> None:
    """The question would hand the portion itself to the label's own state, as OWN_PRODUCT."""
    fra = members["FRA"]
    error = error_of(fra, text("//KEN RESTRICTED//REL TO KEN, FRA, USA"), to=("USA",))
    assert error.code == "FOREIGN_LABEL"
    assert not rows(fra, PAIR)


def test_a_recalled_bulletin_is_no_source(members: Any) -> None:
    fra, usa = members["FRA"], members["USA"]
    bulletin = arrived(members, "USA", ORIGINAL)
    command = RecallCommand(actor("USA", "a"), bulletin, "wrong")
    for out in usa.do(recall, command).effects.outbound:
        arrive(fra, usa, out.frame)
    assert error_of(fra, text(SLIP), from_bulletin=bulletin).code == "NOT_FOUND"
