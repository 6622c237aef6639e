"""After the disk forgot, nobody comes in until an operator has confirmed it."""

from __future__ import annotations

from typing import Any

import pytest

from builders import NOW, actor, draft, text, user
from intelshare.audit.node_records import ExclusionSet, Operated, OperatorAct, Register
from intelshare.audit.records import EntryType
from intelshare.broker.kernel.actor import need_user
from intelshare.broker.kernel.register import (
    Credential,
    RenewUserCommand,
    SetUserCommand,
    change_user,
    renew_user,
    revoke_user,
    users,
)
from intelshare.broker.kernel.tables import EXCLUSION
from intelshare.broker.lifecycle.access import (
    ConfirmAccessCommand,
    access_waiting,
    confirm_access,
    hold_access,
)
from intelshare.broker.lifecycle.exclude import ExcludeCommand, exclude, exclusions
from intelshare.errors import DeliveryError, IntelshareError
from intelshare.ids import Digest, MemberCode
from intelshare.ports import changed
from intelshare.trust import Exclusion
from line_world import arrive, entries, hand_over, met, refused, rows, send

KEN, USA = MemberCode("KEN"), MemberCode("USA")
OPERATOR = user("FRA", "operator")


@pytest.fixture(name="fra")
def _fra() -> Any:
    """FRA has bulletins for and from USA; then its disk forgets."""
    fra = met()["FRA"]
    assert waiting(fra) == ([], [])
    send(fra, draft(text("//FRA SECRET//REL TO FRA, USA"), to=["USA"]))
    fra.do(hold_access)
    return fra


def waiting(fra: Any) -> tuple[list[str], list[str]]:
    found, members = fra.ask(access_waiting)
    return [row.name for row in found], members


def confirm(fra: Any, names: set[str], members: set[str], reason: str = "asked them") -> Any:
    command = ConfirmAccessCommand(OPERATOR, frozenset(names), frozenset(members), reason)
    return fra.do(confirm_access, command)


def everybody(fra: Any) -> set[str]:
    return {row.name for row in fra.store.ask_now(users)}


def code_for(fra: Any, name: str) -> str:
    try:
        fra.store.ask_now(lambda view: need_user(view, user("FRA", name)))
    except IntelshareError as error:
        return error.code
    return ""


def test_every_user_waits_and_is_told_so(fra: Any) -> None:
    assert set(waiting(fra)[0]) == everybody(fra)
    assert {code_for(fra, name) for name in everybody(fra)} == {"ACCESS_WAITS"}


def test_nothing_goes_to_a_member_or_comes_from_it_until_it_is_confirmed() -> None:
    members = met()
    fra, usa = members["FRA"], members["USA"]
    send(fra, draft(text("//FRA SECRET//REL TO FRA, USA"), to=["USA"]))
    send(usa, draft(text("//USA SECRET//REL TO USA, FRA"), to=["FRA"]))
    fra.do(hold_access)
    assert waiting(fra)[1] == [KEN, USA]
    assert refused(fra, lambda: fra.node.trust.need_fresh(USA, NOW)).code == "MEMBER_UNCONFIRMED"
    with pytest.raises(IntelshareError, match="PEER_REVOKED"):
        arrive(fra, usa, hand_over(usa, "FRA")[0].frame)
    confirm(fra, set(), {"USA"})
    assert waiting(fra)[1] == [KEN]
    arrive(usa, fra, hand_over(fra, "USA")[0].frame)


def test_an_operator_confirms_some_with_a_reason_that_the_log_keeps(fra: Any) -> None:
    with pytest.raises(DeliveryError, match="a reason"):
        confirm(fra, {"a"}, set(), " ")
    done = confirm(fra, {"a"}, {"USA"})
    assert ([row.name for row in done.users], done.members) == (["a"], (USA,))
    assert code_for(fra, "a") == ""
    assert set(waiting(fra)[0]) == everybody(fra) - {"a"}
    (said,) = entries(fra, EntryType.OPERATED, Operated)
    assert (said.act, said.reason, said.user) == (OperatorAct.ACCESS_CONFIRMED, "asked them", OPERATOR)
    assert entries(fra, EntryType.REGISTER, Register)[-1].change == "confirmed"
    told = [(one.member, one.how, one.user) for one in entries(fra, EntryType.EXCLUSION, ExclusionSet)]
    assert told == [(KEN, Exclusion.UNCONFIRMED, ""), (USA, Exclusion.UNCONFIRMED, ""), (USA, 0, OPERATOR)]
    for names, members in (({"a"}, set()), ({"nobody"}, set()), (set(), {"USA"}), (set(), set())):
        with pytest.raises(DeliveryError):
            confirm(fra, names, members)


def test_who_is_revoked_meanwhile_stays_out_and_waits_no_longer(fra: Any) -> None:
    fra.do(revoke_user, OPERATOR, user("FRA", "a"))
    assert "a" not in waiting(fra)[0]
    confirm(fra, set(waiting(fra)[0]), set())
    assert code_for(fra, "a") == "NOT_AUTHORISED"


def test_changed_rights_confirm_nobody_and_a_new_certificate_confirms_its_user(fra: Any) -> None:
    row = next(row for row in fra.store.ask_now(users) if row.name == "a")
    fra.do(change_user, SetUserCommand(OPERATOR, changed(row, clearance="R1", waits=0)))
    assert code_for(fra, "a") == "ACCESS_WAITS"
    fra.do(renew_user, RenewUserCommand(OPERATOR, row.user, Credential(Digest(bytes(32)))))
    assert code_for(fra, "a") == ""


def test_an_operator_settles_a_member_by_suspending_or_resuming_it(fra: Any) -> None:
    for member, how in ((KEN, Exclusion.SUSPENDED), (USA, None)):
        fra.do(exclude, ExcludeCommand(actor("FRA", "operator", "operator"), member, how))
    assert waiting(fra)[1] == []
    assert fra.store.ask_now(exclusions) == {KEN: Exclusion.SUSPENDED}


def test_who_was_left_out_before_stays_so_and_a_second_loss_asks_again() -> None:
    fra = met()["FRA"]
    by = actor("FRA", "operator", "operator")
    fra.do(exclude, ExcludeCommand(by, KEN, Exclusion.REMOVED))
    fra.do(hold_access)
    assert waiting(fra)[1] == [USA]
    confirm(fra, everybody(fra), {"USA"})
    assert waiting(fra) == ([], [])
    fra.do(hold_access)
    assert waiting(fra) == (sorted(everybody(fra)), [USA])
    assert {row.member: row.how for row in rows(fra, EXCLUSION)}[KEN] == Exclusion.REMOVED
