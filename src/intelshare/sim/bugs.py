"""Planted bugs: small interpositions between the simulator and the broker, which show that the checks
work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from intelshare.audit.tree import Trees
from intelshare.engine import STOP_ORDER, Limits, Phase
from intelshare.engine.dialling import Dialling
from intelshare.ports import Plan, View
from intelshare.sim import bugs_receiving as received
from intelshare.sim import bugs_sending as sent
from intelshare.sim import bugs_timing as when
from intelshare.sim.plan import FaultPlan
from intelshare.sim.steps import STEPS, Step, Steps


def always(plan: FaultPlan) -> bool:
    """Return True: this can happen in any plan."""
    del plan
    return True


def _with_faults(*kinds: str) -> Callable[[FaultPlan], bool]:
    return lambda plan: any(fault.kind in kinds for fault in plan.faults)


def _with_acts(*kinds: str) -> Callable[[FaultPlan], bool]:
    return lambda plan: any(act.kind in kinds for act in plan.acts)


def _with_replicas(plan: FaultPlan) -> bool:
    return bool(plan.knobs.together)


def _every(pages: Iterator[Plan[None]]) -> Iterator[Plan[None]]:
    return pages


def _honest(view: View, drawn: int) -> int:
    del view
    return drawn


@dataclass(frozen=True)
class Bug:
    """A planted bug: everything in which it differs from the honest node."""

    name: str = ""
    seen_by: tuple[str, ...] = ()
    """The invariants of which at least one must fail."""
    steps: Steps = field(default_factory=lambda: STEPS)
    says: str = ""
    """A part of the failure's text, if the invariant alone leaves room for another cause."""
    needs: Callable[[FaultPlan], bool] = always
    """True of a plan in which the bug can show itself at all."""
    early: frozenset[str] = frozenset()
    """The steps whose answers leave before the fsync."""
    incarnation: Callable[[View, int], int] = _honest
    """(disk, drawn id) -> the id of the next incarnation."""
    shreds: bool = True
    """True if the disk is shredded before a destruction is signed for."""
    swaps_first: frozenset[str] = frozenset()
    """The steps whose new world is swapped in before they are written."""
    stop_order: tuple[Phase, ...] = STOP_ORDER
    """The phases of a stop, in order."""
    answers: int = 1
    """The number of questions about logs that are answered at once."""
    hearing: int = Limits().hearing
    """The time after which a linked member counts as heard."""
    trees: Callable[[], Trees] = dict
    """The memory of log pages."""
    loops_end: bool = False
    """True if a failing step ends the loop that asked for it."""
    stores_any_time: bool = False
    """True if an unbelieved time is stored as the highest."""
    dialling: type[Dialling] = Dialling
    """The kind of dialling."""
    watches_early: bool = False
    """True if watchers are told before the fsync."""
    reads_sidecar: bool = True
    """True if a start compares the disk with what the sidecar remembers."""
    notices_copies: bool = True
    """True if a start notices that its whole folder was put back."""
    keeps_old_keys: bool = True
    """True if a rotation lets the old sealing key live through its overlap."""
    fenced: bool = True
    """True if a replica whose session has ended can commit nothing more."""
    catches_up: bool = True
    """True if a replica knows all that others have committed when its steps run."""
    renews: bool = True
    """True if a replica makes its node again before its next step, once others have changed trust or law."""
    tells_leader: bool = True
    """True if a replica that leads after another is told what others make ready."""
    forgets_pairs: bool = True
    """True if a replica forgets what it remembers of a pair that another has handed over."""
    frees_links: bool = True
    """True if a session that ends gives up the links that its replica had."""
    calls_home: bool = True
    """True if the replica that leads gets the link with a member whose files it wants."""
    moves_anew: bool = True
    """True if a move of rows throws away what one before has begun."""
    moved: Callable[[Iterator[Plan[None]]], Iterator[Plan[None]]] = _every
    """The pages of rows that a move puts at the new place, of all that there are."""
    erases_old: bool = True
    """True if the old place is erased after a move."""
    sees_older: bool = True
    """True if a replica sees that the one that leads divides no links."""
    reads_schema: bool = True
    """True if a replica looks, before it commits, whether a newer version has migrated."""
    waits_for_sidecar: bool = True
    """True if a checkpoint that was loaded again is sent only once the sidecar covers it."""


NONE = Bug()


def _with(**planted: Callable[[Step], Step]) -> Steps:
    return {**STEPS, **{name: plant(STEPS[name]) for name, plant in planted.items()}}


BUGS: Mapping[str, Bug] = {
    bug.name: bug
    for bug in (
        Bug("ok-before-fsync", ("I1",), early=frozenset(("submit",))),
        Bug("receipt-before-fsync", ("I2", "I3"), early=frozenset(("receive",))),
        Bug("checkpoint-before-stored", ("I6",), early=frozenset(("checkpoint",))),
        Bug("no-duplicate-check", ("I2", "I7"), _with(receive=received.no_duplicate_check)),
        Bug("short-memory", ("I2", "I7"), _with(receive=received.short_memory)),
        Bug("sealed-again-on-retry", ("I5",), _with(resend=sent.sealed_again)),
        Bug("receipt-signed-again", ("I2",), _with(receive=received.receipt_again)),
        Bug("incarnation-from-counter", ("I5", "I6"), incarnation=sent.counted_incarnation),
        Bug("log-goes-on", ("I6",), _with(begin=sent.log_goes_on), incarnation=sent.same_incarnation),
        Bug("late-number-is-known", ("I9",), _with(receive=received.late_is_known)),
        Bug("number-at-queueing", ("I5", "I9"), _with(handover=sent.number_at_queueing)),
        Bug("whole-batch-acknowledged", ("I3", "I9"), _with(receive=received.all_acknowledged)),
        Bug(
            "number-never-cancelled",
            ("I9",),
            _with(expire=sent.cancels_nothing, recall=sent.cancels_nothing, review=sent.cancels_nothing),
        ),
        Bug("given-up-in-doubt", ("I9",), _with(give_up=sent.cancels_nothing), needs=_with_acts("give-up")),
        Bug("cancelled-number-taken", ("I5",), _with(receive=received.takes_cancelled)),
        Bug("late-receipt-ignored", ("I3",), _with(receive=received.ignores_late_receipts)),
        Bug("watch-before-fsync", ("I2",), watches_early=True, needs=lambda plan: plan.knobs.watched),
        Bug("other-content-accepted", ("I1",), _with(submit=sent.takes_any_content)),
        Bug("author-approves", ("I12",), _with(approve=sent.approves_own)),
        Bug("hold-ignored", ("I4", "I12"), _with(handover=sent.ignores_holds)),
        Bug("gap-answered-to-anybody", ("I4",), _with(answer_gap=sent.answers_anybody)),
        Bug(
            "recalled-not-refused",
            ("I8", "I11"),
            _with(receive=received.forgets_recalls),
            needs=_with_acts("recall"),
        ),
        Bug(
            "recall-forgotten-at-start",
            ("I8",),
            _with(begin=sent.forgets_its_recalls),
            needs=_with_acts("recall"),
        ),
        Bug("loss-not-noticed", ("I6",), reads_sidecar=False, needs=_with_faults("restore", "lie")),
        Bug(
            "damaged-and-not-asked-for",
            ("I3", "I5"),
            _with(mend=received.asks_for_no_damaged),
            needs=_with_faults("rot"),
        ),
        Bug("destroyed-comes-back", ("I8",), notices_copies=False, needs=_with_faults("put-back", "backup")),
        Bug(
            "heard-at-once",
            ("I8",),
            hearing=0,
            needs=_with_faults("restore", "lie", "put-back", "backup"),
        ),
        Bug("backoff-never-reset", ("I9",), dialling=when.StubbornDialling),
        Bug("no-backoff", ("I9",), dialling=when.HastyDialling),
        Bug("one-shared-queue", ("I9", "I14"), _with(handover=when.one_shared_queue)),
        Bug("outbox-scan", ("I13",), _with(handover=when.scans_the_outbox)),
        Bug(
            "dropped-on-full-queue",
            ("I1", "I9"),
            _with(submit=sent.drops_when_full),
            needs=lambda plan: bool(plan.knobs.queue),
        ),
        Bug("purge-without-receipt", ("I1",), _with(acknowledge=sent.purges_on_acknowledgement)),
        Bug("decision-at-queueing-only", ("I4", "I12"), _with(handover=sent.decides_once)),
        Bug(
            "resent-after-denial",
            ("I12",),
            _with(resend=sent.decides_once, review=sent.reviews_nothing),
        ),
        Bug("world-before-durable", ("I4", "I12"), swaps_first=frozenset(("act",))),
        Bug("recipient-skips-policy", ("I4",), _with(receive=received.skips_policy)),
        Bug("accepted-after-recall", ("I5", "I8", "I11"), _with(receive=received.accepts_what_was_recalled)),
        Bug(
            "file-kept-after-recall",
            ("I8", "I12"),
            _with(recall=sent.keeps_files),
            needs=lambda plan: _with_acts("attach")(plan) and _with_acts("recall")(plan),
        ),
        Bug("grant-kept", ("I8",), _with(receive=received.keeps_grants)),
        Bug("expired-readable", ("I8",), _with(expire=received.keeps_what_is_over)),
        Bug("signed-before-shredded", ("I8",), shreds=False),
        Bug("old-key-destroyed", ("I9",), keeps_old_keys=False, needs=_with_acts("rotate", "revoke")),
        Bug(
            "stolen-signature-stays",
            ("I9",),
            _with(sign_anew=sent.leaves_stolen_signatures),
            needs=_with_acts("revoke"),
        ),
        Bug("two-log-answers-at-once", ("I6", "I9"), answers=8, trees=when.RacyTrees),
        Bug("wrong-clock-stored", ("I9",), stores_any_time=True, needs=_with_faults("clock")),
        Bug("marked-before-drained", ("I9",), stop_order=when.MARK_FIRST, needs=_with_faults("stop")),
        Bug("commits-after-its-session", ("I5", "I7", "I11"), fenced=False, needs=_with_replicas),
        Bug("steps-before-following", ("I5", "I7", "I11"), catches_up=False, needs=_with_replicas),
        Bug("law-not-followed", ("I4", "I12"), renews=False, needs=_with_replicas),
        Bug("new-leader-not-told", ("I9",), tells_leader=False, needs=_with_replicas),
        Bug("keys-of-what-went", ("I8",), forgets_pairs=False, needs=_with_replicas),
        Bug("links-of-a-dead-session", ("I9",), frees_links=False, needs=_with_replicas),
        Bug("files-of-another's-link", ("I9",), calls_home=False, needs=_with_replicas),
        Bug("checkpoint-before-the-sidecar", ("I6",), waits_for_sidecar=False),
        Bug(
            "links-beside-an-older-leader",
            ("I9",),
            sees_older=False,
            needs=lambda plan: plan.knobs.older == "links",
        ),
        Bug(
            "commits-under-a-newer-schema",
            ("I10",),
            reads_schema=False,
            needs=lambda plan: plan.knobs.older == "schema",
        ),
        Bug(
            "move-goes-on-from-what-was-begun",
            ("I1",),
            moves_anew=False,
            needs=_with_faults("move"),
        ),
        Bug(
            "move-leaves-a-table",
            ("I1",),
            moved=sent.moves_nothing_pending,
            needs=_with_faults("move"),
        ),
        Bug("old-place-not-erased", ("I8",), erases_old=False, needs=_with_faults("move")),
        Bug(
            "one-bad-record-ends-the-loop",
            ("I9",),
            _with(handover=when.one_bad_record_fails_all),
            loops_end=True,
            needs=_with_faults("rot"),
        ),
    )
}
