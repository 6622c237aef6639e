"""A member that shows two peers two directories under one version: both find out, without it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from intelshare.audit.exhibit import Exhibit, describe
from intelshare.broker.kernel.tables import EVIDENCE, TRUST, TrustRow
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.records import Trust, TrustType
from intelshare.ids import MemberCode
from intelshare.instant import SECOND
from intelshare.ports import Plan, Put
from intelshare.sim import machine as machines
from intelshare.sim.machine import Machine
from intelshare.sim.plan import FaultPlan, Knobs
from intelshare.sim.run import run
from intelshare.sim.world import first_disk, first_keys
from intelshare.store.memory import MemoryStore
from intelshare.trust import DirectoryDocument, sign_directory

DEU = MemberCode("DEU")


def forked(row: TrustRow, plan: FaultPlan) -> TrustRow:
    """The same version once more, with other contents, signed by the member's own key."""
    directory = decode(DirectoryDocument, decode(Trust, row.record).document)
    other = replace(directory, expires=directory.expires - 1)
    signed = sign_directory(other, first_keys(plan, row.member).directory_signer())
    return TrustRow(row.member, row.type, row.version, encode(Trust, signed))


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> dict[str, Machine]:
    """USA was shown another directory of DEU than FRA was; the machines of the run that follows."""
    made: dict[str, Machine] = {}
    begin = Machine.__init__

    def disk(plan: FaultPlan, member: str) -> MemoryStore:
        made = first_disk(plan, member)
        if member == "USA":
            (row,) = [row for row in made.find(TRUST, "key", DEU) if row.type == TrustType.DIRECTORY]
            made.apply(Plan((Put(TRUST, forked(row, plan)),), None))
        return made

    def noted(machine: Machine, name: str, *rest: Any) -> None:
        begin(machine, name, *rest)
        made[name] = machine

    monkeypatch.setattr(machines, "first_disk", disk)
    monkeypatch.setattr(Machine, "__init__", noted)
    return made


def test_both_peers_keep_both_directories_as_evidence(nodes: dict[str, Machine]) -> None:
    result = run(FaultPlan(1, Knobs(lasts=10 * SECOND), (), ()))
    assert str(result.violation) == "I6: FRA holds against DEU: TRUST_FORK", (
        "what no honest member gives cause for"
    )
    for name in ("FRA", "USA"):
        (row,) = nodes[name].disk.view.find(EVIDENCE, "member", DEU)
        assert row.code == "TRUST_FORK"
        assert describe(row.code, decode(Exhibit, row.exhibit)).startswith("two directories ")


def test_honest_members_accuse_nobody(monkeypatch: pytest.MonkeyPatch, nodes: dict[str, Machine]) -> None:
    monkeypatch.setattr(machines, "first_disk", first_disk)
    assert run(FaultPlan(1, Knobs(lasts=10 * SECOND, fresh_directories=True), (), ())).violation is None
    for machine in nodes.values():
        assert machine.disk.view.find(EVIDENCE, "key") == []
