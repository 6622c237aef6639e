"""Of acts that have no room in an answer it says how many; nobody takes the others for all of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from builders import actor
from intelshare.cli.shared.law import every_act
from intelshare.errors import ConfigError
from intelshare.policy import ActKind
from intelshare.roles import Role
from intelshare.services import treaties
from intelshare.services.dispatch import answer
from intelshare.services.table import SERVICES
from intelshare.wire.v1 import user_pb2 as pb
from line_world import does, met
from services_world import MemberBackend


def test_acts_beyond_the_bound_of_an_answer_are_counted_and_all_of_them_are_never_fewer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first ones were dropped without a word."""
    fra = met(("FRA", "USA", "KEN"))["FRA"]
    for kind in (ActKind.SUSPEND, ActKind.REINSTATE, ActKind.SUSPEND):
        does(fra, kind)
    backend, operator = MemberBackend(fra), actor("FRA", "o", Role.OPERATOR)

    def listed(**of: str) -> Any:
        request = pb.ListActsRequest(**of)
        return asyncio.run(answer(backend, SERVICES["Treaties"]["ListActs"], operator, request))

    class Asking:
        def treat(self, method: str, request: pb.ListActsRequest) -> Any:
            assert (method, request) == ("ListActs", pb.ListActsRequest())
            return listed()

    assert ([one.n for one in listed().acts], listed().left_out) == ([1, 2, 3], 0)
    assert len(every_act(Asking())) == 3  # type: ignore[arg-type]
    monkeypatch.setattr(treaties, "MAX_SHOWN", 2)
    assert ([one.n for one in listed().acts], listed().left_out) == ([2, 3], 1)
    assert listed(treaty="another").left_out == 0
    with pytest.raises(ConfigError, match="TOO_LARGE"):
        every_act(Asking())  # type: ignore[arg-type]
