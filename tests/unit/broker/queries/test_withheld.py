"""What was withheld is counted by recipient, code and place; who may not see a bulletin is not counted it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from builders import Member, actor, draft, text, user
from intelshare.broker.kernel.actor import Actor
from intelshare.broker.kernel.register import SetUserCommand, set_user
from intelshare.broker.kernel.tables import UserRow
from intelshare.instant import LATEST
from intelshare.roles import Role
from intelshare.services.dispatch import answer
from intelshare.services.table import SERVICES
from intelshare.wire.v1 import user_pb2 as pb
from line_world import TO_BOTH, TO_USA, met, send
from services_world import MemberBackend

TO_ALL = "//FRA SECRET//REL TO FRA, USA, KEN"


def world() -> Member:
    """FRA has sent three bulletins: KEN gets nothing of one, a half of another, and all of the third."""
    fra: Member = met()["FRA"]
    send(fra, draft(text(TO_USA, "not for KEN"), to=["USA", "KEN"]), key="one")
    send(fra, draft(text(TO_BOTH), text(TO_ALL, "too high"), to=["USA", "KEN"]), key="two")
    send(fra, draft(text(TO_BOTH, "all"), to=["USA", "KEN"]), key="three")
    return fra


def ask(fra: Member, who: Actor, **asked: Any) -> Any:
    row = SERVICES["Bulletins"]["Withheld"]
    return asyncio.run(answer(MemberBackend(fra), row, who, pb.WithheldRequest(**asked)))


def counts(found: Any) -> list[tuple[str, str, int, int]]:
    return [(one.recipient, one.code, one.bulletins, one.portions) for one in found.counts]


def test_every_denied_portion_is_counted_once_and_a_granted_one_never() -> None:
    found = ask(world(), actor("FRA", "a"), limit=10)
    assert counts(found) == [("KEN", "EXCEEDS_CEILING", 2, 2), ("KEN", "NOT_RELEASABLE_TO", 1, 1)]
    assert found.counts[0].place.startswith("demo-climate.toml:")
    assert [(one.recipient, one.granted, one.portions) for one in found.cases] == [
        ("KEN", 1, 2),
        ("KEN", 0, 1),
    ]
    assert (found.looked, found.truncated) == (3, False)


def test_pages_of_bulletins_count_as_one_list(monkeypatch: pytest.MonkeyPatch) -> None:
    fra = world()
    whole = ask(fra, actor("FRA", "a"), limit=10)
    monkeypatch.setattr("intelshare.broker.kernel.damage.PAGE", 1)
    assert ask(fra, actor("FRA", "a"), limit=10) == whole
    monkeypatch.setattr("intelshare.broker.queries.withheld.MAX_LOOKED", 2)
    part = ask(fra, actor("FRA", "a"))
    assert (part.looked, part.truncated) == (2, True)


def test_cases_are_chosen_by_recipient_and_code_and_counts_stay() -> None:
    fra = world()
    found = ask(fra, actor("FRA", "a"), limit=10, recipient="KEN", code="NOT_RELEASABLE_TO")
    assert [(one.granted, one.portions) for one in found.cases] == [(0, 1)]
    assert list(found.cases[0].codes) == ["EXCEEDS_CEILING", "NOT_RELEASABLE_TO"]
    assert len(found.counts) == 2
    assert not ask(fra, actor("FRA", "a"), limit=10, recipient="USA").cases
    assert not ask(fra, actor("FRA", "a"), since=LATEST).counts


def test_who_oversees_counts_all_and_sees_no_case_and_who_is_not_cleared_counts_nothing() -> None:
    fra = world()
    overseen = ask(fra, actor("FRA", "o", Role.OPERATOR), limit=10)
    assert counts(overseen) == counts(ask(fra, actor("FRA", "a")))
    assert not overseen.cases
    row = UserRow(user("FRA", "low"), "low", Role.ANALYST, "R0", "FRA", "*", 0)
    fra.do(set_user, SetUserCommand(user("FRA", "o"), row))
    hidden = ask(fra, actor("FRA", "low"), limit=10)
    assert not hidden.counts
    assert not hidden.cases


def test_why_names_changes_that_would_release_what_is_denied_and_nothing_else() -> None:
    fra = world()
    bulletin = ask(fra, actor("FRA", "a"), limit=1).cases[0].bulletin.hex()
    row = SERVICES["Bulletins"]["Why"]
    backend = MemberBackend(fra)

    def why(recipient: str, *, changes: bool) -> Any:
        asked = pb.WhyRequest(id=bulletin, recipient=recipient, changes=changes)
        return asyncio.run(answer(backend, row, actor("FRA", "a"), asked))

    found = why("KEN", changes=True)
    assert list(found.categories) == ["cyber", "cyber"]
    assert {one.position for one in found.changes} == {1}
    (label,) = [one for one in found.changes if one.change == "label"]
    assert (label.to, label.basis, list(label.articles)) == (
        "//FRA DIFFUSION RESTREINTE//REL TO FRA, KEN, USA",
        "demo-climate",
        ["art. 2"],
    )
    assert not why("KEN", changes=False).changes
    assert not why("USA", changes=True).changes
