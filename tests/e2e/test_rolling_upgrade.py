"""Replicas that run together are upgraded one by one, under load, to a version with a newer schema."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest

import intelshare as package
from e2e.nodes import PROGRAM, log_of, ok, wait_until
from intelshare.patience import patient
from processes import finished
from replicas_world import world
from together_world import LoadOnAll, Together, checked_together

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]

NEWER = "99.0"


def newer_program(folder: Path) -> Path:
    """The same program as a later version that has one migration more; the folder of its package."""
    target = folder / "newer"
    shutil.copytree(Path(package.__file__).parent, target / "intelshare")
    start = target / "intelshare" / "__init__.py"
    start.write_text(start.read_text().replace(f'"{package.__version__}"', f'"{NEWER}"'))
    further = target / "intelshare" / "store" / "postgres" / "migrations" / "0002.sql"
    further.write_text('-- One more.\nCREATE TABLE "later" (name TEXT COLLATE "C" PRIMARY KEY);\n')
    return target


def test_three_replicas_are_upgraded_one_by_one_and_the_member_serves_all_the_time(tmp_path: Path) -> None:
    as_newer = ["env", f"PYTHONPATH={newer_program(tmp_path)}"]
    with world(tmp_path) as member, Together(member.fra) as replicas:
        replicas.wait_for_active(seconds=patient(60))
        replicas.wait_for_all(patient(60))
        loads = [LoadOnAll(replicas, member.usa, 0.05, seed) for seed in range(2)]
        for load in loads:
            load.start()
        try:
            first, *others = sorted(replicas.all, key=lambda one: one is replicas.active())
            for one in (first, *others):  # the one that leads comes last
                one.words = [*as_newer, *one.words]
                if one is first:
                    one.signal(signal.SIGTERM)
                    wait_until(lambda: all(other.codes for other in others), "the older ones to end")
                wait_until(lambda one=one: replicas.serves(one), f"{one.name} to serve in its new version")
        finally:
            for load in loads:
                load.end()
        assert first.codes == [0]
        assert all(set(other.codes) == {1} for other in others)
        assert "SCHEMA_NEWER" in log_of(member.fra).read_text()
        found = ok("node", "replicas", "--folder", member.fra, "--json").json["replicas"]
        assert {one["version"] for one in found} == {NEWER}
        outcome = checked_together(loads, patient(60))
        assert outcome.good, (outcome, [load.errors for load in loads])
        assert outcome.sent
        assert finished([*as_newer, *PROGRAM, "audit", "verify", "--folder", member.fra], check=True)
