"""A member whose node is several replicas over one virtual database, and what only such plans find."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from intelshare.crypto.records import KeyUse
from intelshare.ids import MemberCode
from intelshare.instant import SECOND
from intelshare.services.table import BESIDE, SERVICES
from intelshare.sim.bugs import BUGS
from intelshare.sim.chance import stream
from intelshare.sim.fake_suite import FAKE_SUITE
from intelshare.sim.generate_plan import generate_plan
from intelshare.sim.many import outcome
from intelshare.sim.plan import Act, Fault, FaultPlan, Knobs
from intelshare.sim.replicated import LED, TROUBLES
from intelshare.sim.run import Result, run
from intelshare.sim.users import ACTS
from intelshare.sim.world import BEGIN, first_keys
from intelshare.trust import new_key

KIND = range(4, 304, 8)
"""The seeds whose plans have replicas, up to that below which each of the bugs is found."""

SWITCHES = (
    "fenced",
    "catches_up",
    "renews",
    "tells_leader",
    "forgets_pairs",
    "frees_links",
    "calls_home",
    "waits_for_sidecar",
    "sees_older",
    "reads_schema",
)
REPLICA_BUGS = [name for name, bug in BUGS.items() if not all(getattr(bug, switch) for switch in SWITCHES)]

METHODS = {
    "submit": "Bulletins/Submit",
    "attach": "Files/Upload",
    "download": "Files/Download",
    "supersede": "Bulletins/Submit",
    "ask": "Bulletins/Submit",
    "answer": "Bulletins/Submit",
    "approve": "Bulletins/Approve",
    "read": "Bulletins/Read",
    "recall": "Bulletins/Recall",
    "give-up": "Bulletins/GiveUp",
    "treaty": "Treaties/Act",
    "reinstate": "Treaties/Act",
    "resume": "Treaties/ResumeActs",
    "consent-ask": "Consents/Request",
    "consent-answer": "Consents/Answer",
    "report": "Tasks/Meet",
    "backfill": "Treaties/Backfill",
    "rotate": "Operations/RotateKeys",
    "revoke": "Operations/RevokeKey",
    "courier": "Courier/Export",
    "suspend-member": "Operations/SuspendMember",
    "remove-member": "Operations/RemoveMember",
}
"""The method by which a user of a real node does what an act does. A law is a file, not a method."""


def played(*faults: Fault, replicas: int = 3, changes: tuple[Act, ...] = ()) -> Result:
    """FRA has replicas, which users ask in turn; bulletins go either way, and some are recalled."""
    acts = [
        Act(
            "submit",
            second * SECOND,
            ("FRA", "FRA", "USA")[second % 3],
            ("USA", "USA", "FRA")[second % 3],
        )
        for second in range(1, 11)
    ]
    acts += [Act("recall", at * SECOND, "FRA", what=at) for at in (4, 8)]
    knobs = Knobs(members=2, lasts=12 * SECOND, together="FRA", replicas=replicas)
    return run(FaultPlan(1, knobs, (*acts, *changes), faults))


def test_a_replica_beside_is_asked_for_what_a_real_one_serves_and_nothing_else() -> None:
    """One that did not lead had revoked a stolen key, with which the other went on signing (seed 3028)."""
    assert set(METHODS) == set(ACTS) - {"law"}
    served = {
        f"{service}/{row.method}"
        for service, rows in SERVICES.items()
        for row in rows.values()
        if row in BESIDE
    }
    assert {act for act, method in METHODS.items() if method not in served} == LED - {"law"}


def test_without_faults_all_of_them_serve_and_one_leads_from_the_beginning() -> None:
    result = played()
    assert result.violation is None
    assert result.counts["replica joins"] == 2
    assert result.counts["replica leads"] == 0
    assert result.counts["ok"] == 10


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_member_goes_on_whatever_befalls_the_one_that_leads(trouble: str) -> None:
    times = (2, 6) if trouble != "slow" else (2,)
    result = played(
        *[
            Fault("replica", "FRA", at=at * SECOND, lasts=13 * SECOND, window=trouble, keep=at % 4 // 2)
            for at in times
        ]
    )
    assert result.violation is None
    assert result.counts["ok"] == 10
    assert result.counts[f"trouble {trouble}"] >= 1
    assert (result.counts["replica leads"] > 0) == (trouble != "slow")


def upgraded(older: str, *numbers: int) -> Result:
    """These replicas of FRA are upgraded, one after the other; users of either member write all the time."""
    knobs = Knobs(members=2, lasts=12 * SECOND, together="FRA", replicas=3, older=older)
    acts = [
        Act("submit", at * SECOND, *(("FRA", "USA") if at % 2 else ("USA", "FRA"))) for at in range(1, 11)
    ]
    faults = [
        Fault("replica", "FRA", at=(3 + 2 * place) * SECOND, lasts=SECOND, number=number, window="upgrade")
        for place, number in enumerate(numbers)
    ]
    return run(FaultPlan(1, knobs, tuple(acts), tuple(faults)))


@pytest.mark.parametrize("numbers", [(2,), (1, 2, 3)])
def test_a_member_is_upgraded_replica_by_replica_from_a_version_that_divides_no_links(
    numbers: tuple[int, ...],
) -> None:
    result = upgraded("links", *numbers)
    assert result.violation is None
    assert result.counts["ok"] == 10
    assert result.counts["replica leads"] >= (1 in numbers)


@pytest.mark.parametrize("numbers", [(2,), (1, 2, 3)])
def test_replicas_of_the_version_before_end_once_the_newer_one_has_migrated(numbers: tuple[int, ...]) -> None:
    result = upgraded("schema", *numbers)
    assert result.violation is None
    assert result.counts["ok"] == 10
    assert result.counts["replica ended SCHEMA_NEWER"] == 2
    assert result.counts["replica refused SCHEMA_NEWER"] > 0


@pytest.mark.parametrize("keep", [0, 1])
def test_a_database_that_restarts_is_waited_for_and_no_incarnation_begins(keep: int) -> None:
    result = played(Fault("store", "FRA", at=5 * SECOND, lasts=3 * SECOND, keep=keep))
    assert result.violation is None
    assert result.counts["session lost"] == 3
    assert result.counts["replica ended DATA_LOCKED"] == 0
    assert result.counts["ok"] == 10


@pytest.mark.parametrize(("kind", "what"), [("rotate", 3), ("rotate", 6), ("revoke", 1)])
def test_those_that_do_not_lead_take_over_the_keys_that_one_has_made_and_none_ends(
    kind: str, what: int
) -> None:
    result = played(changes=(Act(kind, 5 * SECOND, "FRA", what=what),))
    assert result.violation is None
    assert result.counts["replica ended DATA_LOCKED"] == 0
    assert result.counts["ok"] == 10
    assert result.counts["vault followed"] >= 2
    assert result.counts["replica joins"] == 2


def test_no_keys_are_taken_over_that_are_no_later_state() -> None:
    plan = FaultPlan(1, Knobs(members=2), (), ())
    first, fresh = (
        first_keys(plan, "FRA"),
        [
            new_key(FAKE_SUITE, KeyUse.SEALING, MemberCode("FRA"), BEGIN, stream(1, str(place)).randbytes)
            for place in range(3)
        ],
    )
    later, other = first.copy(), first.copy()
    later.put(fresh[0])
    for key in fresh[1:]:
        other.put(key)
    destroyed = later.copy()
    destroyed.retire([fresh[0].key_id])
    assert later.is_later_than(first)
    assert destroyed.is_later_than(later)
    assert not first.is_later_than(first.copy())
    assert not first.is_later_than(later)
    assert not later.is_later_than(destroyed)
    assert not other.is_later_than(later), "more has changed, and a key is missing"


@pytest.mark.parametrize("committed", [True, False])
def test_one_that_joins_as_the_key_changes_signs_with_the_key_whose_directory_is_committed(
    committed: bool,
) -> None:
    """Both others join while it is being committed, and sign as the database says (seed 19052)."""
    at = 5 * SECOND
    acts = [Act("submit", s * SECOND, ("FRA", "USA")[s % 2], ("USA", "FRA")[s % 2]) for s in range(1, 11)]
    acts.append(Act("revoke", at, "FRA", what=1))
    joins = [Fault("replica", "FRA", at=at - 950_000, lasts=SECOND, number=n, window="kill") for n in (2, 3)]
    killed = Fault("replica", "FRA", at=at + (SECOND if committed else 120_000), lasts=SECOND, window="kill")
    knobs = Knobs(members=2, lasts=12 * SECOND, sync=300_000, together="FRA", replicas=3)
    result = run(FaultPlan(1, knobs, tuple(acts), (*joins, killed)))
    assert result.violation is None
    assert result.counts["replica joins"] == 5


def test_random_plans_have_replicas_with_every_trouble_and_acts_right_before_another_one_leads() -> None:
    plans = [generate_plan(seed) for seed in (*range(1, 9), *KIND[1:])]
    kind = [plan for plan in plans if plan.knobs.together]
    assert [plan.seed for plan in kind] == list(KIND)
    assert {plan.knobs.replicas for plan in kind} == {2, 3}
    windows = Counter(fault.window for plan in kind for fault in plan.faults if fault.kind == "replica")
    assert set(windows) == set(TROUBLES)
    assert {plan.knobs.older for plan in kind} == {"", "links", "schema"}
    assert sum(fault.kind == "store" for plan in kind for fault in plan.faults) > 10


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("bug", REPLICA_BUGS)
def test_what_only_replicas_can_do_wrong_is_found_within_300_seeds(bug: str) -> None:
    assert any(outcome(seed, bug).invariant in BUGS[bug].seen_by for seed in KIND)


def test_each_of_their_rules_has_a_planted_bug() -> None:
    assert len(REPLICA_BUGS) == len(SWITCHES)
    page = (Path(__file__).parents[2] / "docs" / "simulation.md").read_text("utf-8")
    assert all(f"| {bug} |" in page for bug in REPLICA_BUGS)
