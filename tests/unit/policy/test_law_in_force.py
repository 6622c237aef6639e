"""Which law is in force: each file since when, what happened to it, and whose text of a treaty differs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from builders import NOW, Member, actor, federation
from intelshare.broker.treaty.policy_files import (
    Became,
    LawFile,
    files_in_force,
    law_in_force,
    take_files,
)
from intelshare.builtin import builtin_registry, demo_treaties
from intelshare.ids import Digest, MemberCode
from intelshare.instant import Instant
from intelshare.policy import compile_world, parse_treaty
from intelshare.roles import Role
from intelshare.services.operations import status_response
from intelshare.services.treaties import list_treaties
from intelshare.store.memory import MemoryStore
from intelshare.wire.v1 import user_pb2 as pb
from services_world import MemberBackend

LATER = Instant(NOW + 1_000_000)
CLIMATE, PACT = "treaties/demo-climate.toml", "treaties/gsa-fra-usa.toml"


def file(name: str, content: int) -> LawFile:
    return LawFile(name, name.removeprefix("treaties/").removesuffix(".toml"), Digest(bytes([content]) * 32))


@pytest.fixture
def fra() -> Member:
    members = federation(("FRA", "USA"), MemoryStore)
    return members[MemberCode("FRA")]


def since(member: Member) -> dict[str, Instant]:
    return {row.file: row.since for row in member.store.ask_now(files_in_force)}


def test_a_file_keeps_the_instant_from_which_it_holds_until_it_changes(fra: Member) -> None:
    world = fra.node.world
    first = fra.do(take_files, world, (file(CLIMATE, 1), file(PACT, 1)))
    assert first.changes == ((CLIMATE, Became.NEW), (PACT, Became.NEW))
    again = fra.do(take_files, world, (file(CLIMATE, 1), file(PACT, 1)), at=LATER)
    assert again.changes == ()
    assert since(fra) == {CLIMATE: NOW, PACT: NOW}
    assert fra.store.ask_now(law_in_force).since == NOW
    changed = fra.do(take_files, world, (file(CLIMATE, 2), file(PACT, 1)), at=LATER)
    assert changed.changes == ((CLIMATE, Became.CHANGED),)
    assert since(fra) == {CLIMATE: LATER, PACT: NOW}


def test_a_file_that_went_changes_the_law_as_a_whole(fra: Member) -> None:
    world = fra.node.world
    fra.do(take_files, world, (file(CLIMATE, 1), file(PACT, 1)))
    gone = fra.do(take_files, world, (file(PACT, 1),), at=LATER)
    assert gone.changes == ((CLIMATE, Became.GONE),)
    assert since(fra) == {PACT: NOW}
    assert fra.store.ask_now(law_in_force).since == LATER


def asked(member: Member) -> tuple[pb.StatusResponse, dict[str, pb.TreatyState]]:
    backend: Any = MemberBackend(member)
    operator = actor("FRA", "operator", Role.OPERATOR)
    status = asyncio.run(status_response(backend, operator, pb.StatusRequest()))
    listed = asyncio.run(list_treaties(backend, operator, pb.ListTreatiesRequest()))
    return status, {one.id: one for one in listed.treaties}


def test_status_and_state_say_which_files_hold_since_when(fra: Member) -> None:
    fra.do(take_files, fra.node.world, (file(CLIMATE, 1), file(PACT, 1)))
    status, state = asked(fra)
    assert status.policy.since == NOW
    assert [(one.file, one.about, one.since) for one in status.policy.files] == [
        (CLIMATE, "demo-climate", NOW),
        (PACT, "gsa-fra-usa", NOW),
    ]
    assert not status.policy.mismatches
    assert (state["gsa-fra-usa"].source, state["gsa-fra-usa"].since) == (PACT, NOW)


def test_a_text_that_another_party_did_not_adopt_is_said_in_status_and_state(fra: Member) -> None:
    registry = builtin_registry()
    texts = {name: text.replace('ceiling = "R4"', 'ceiling = "R3"') for name, text in demo_treaties().items()}
    treaties = [parse_treaty(text, name, registry) for name, text in texts.items()]
    world = compile_world(registry, fra.node.world.members, treaties)
    fra.do(take_files, world, (file(CLIMATE, 1), file(PACT, 2)))
    status, state = asked(fra)
    found = {(one.treaty, one.member) for one in status.policy.mismatches}
    # Also of this member, until its directory names the new text: renewal follows every change of files.
    assert found == {("gsa-fra-usa", "FRA"), ("gsa-fra-usa", "USA")}
    (usa,) = [one for one in state["gsa-fra-usa"].mismatches if one.member == "USA"]
    assert usa.text == state["gsa-fra-usa"].text
    assert usa.adopted.startswith("sha256:")
    assert usa.adopted != usa.text
    assert not state["demo-climate"].mismatches
