"""When damaged records are mended, and when what is still damaged is looked at again (promise P13)."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from engine_world import Rig
from intelshare.broker.kernel.tables import RECEIPT, SUBMISSION
from intelshare.broker.lifecycle.mend import Mended, Record, RecordOutcome
from intelshare.engine import Step
from intelshare.engine.actions import NoteMended, RunStep
from intelshare.engine.events import DamageFound, RecordsMended, Started
from intelshare.engine.mending import AGAIN
from intelshare.errors import StoreError
from intelshare.instant import SECOND

GONE = Record(RECEIPT.name, (bytes(32), "USA", bytes(32)))
"""A record that nobody can read any more because it is not there: whole."""

KEPT = Record(SUBMISSION.name, (b"no such", b"key"))
"""A key that no table has: nothing brings it back."""


@pytest.fixture(name="rig")
def _rig() -> Rig:
    return Rig()


def tried(rig: Rig, records: Sequence[Record]) -> list[tuple[Record, ...]]:
    """The records of each step that follows when the driver says that these are damaged."""
    before = len(rig.seen)
    rig.feed(DamageFound(tuple(records)))
    steps = [one for one in rig.seen[before:] if isinstance(one, RunStep) and one.step is Step.MEND]
    return [one.event[0].records for one in steps]


def told(rig: Rig) -> list[tuple[Record, RecordOutcome]]:
    """What the driver was told of records, in order."""
    notes = [one for one in rig.seen if isinstance(one, NoteMended)]
    return [(mended.record, mended.outcome) for note in notes for mended in note.mended]


def test_what_stays_damaged_is_tried_again_after_a_minute_and_told_once(rig: Rig) -> None:
    assert tried(rig, [GONE, KEPT]) == [(GONE, KEPT)]
    assert told(rig) == [(GONE, RecordOutcome.WHOLE), (KEPT, RecordOutcome.STAYS)]
    assert tried(rig, [KEPT]) == []
    rig.steady += AGAIN - 1
    assert tried(rig, [KEPT]) == []
    rig.steady += 1
    assert tried(rig, [KEPT]) == [(KEPT,)]
    assert len(told(rig)) == 2


def test_what_stays_damaged_for_long_is_tried_less_and_less_often(rig: Rig) -> None:
    tries, began = [], rig.steady
    while rig.steady < began + 300 * AGAIN:
        if tried(rig, [KEPT]):
            tries.append((rig.steady - began) // AGAIN)
        rig.steady += AGAIN
    assert tries == [0, 1, 3, 7, 15, 31, 63, 127, 191, 255]


def test_what_is_missing_is_looked_for_soon_after_a_link_opens(rig: Rig) -> None:
    for _ in range(40):
        tried(rig, [KEPT])
        rig.steady += AGAIN
    assert tried(rig, [KEPT]) == []
    rig.link("USA")
    rig.steady += AGAIN - 1
    assert tried(rig, [KEPT]) == []
    rig.steady += 1
    assert tried(rig, [KEPT]) == [(KEPT,)]


def test_what_was_asked_for_and_came_is_whole_at_the_next_look(rig: Rig) -> None:
    rig.feed(RecordsMended((Mended(KEPT, RecordOutcome.ASKED, "USA"),)))
    assert tried(rig, [KEPT]) == []
    assert tried(rig, []) == []
    assert told(rig) == [(KEPT, RecordOutcome.ASKED), (KEPT, RecordOutcome.WHOLE)]
    assert tried(rig, []) == []
    assert len(told(rig)) == 2


def test_what_was_forgotten_to_be_asked_for_is_never_said_to_be_whole(rig: Rig) -> None:
    """It is deleted, and what may come is another record. A minute later it was whole, come or not."""
    rig.feed(RecordsMended((Mended(KEPT, RecordOutcome.FORGOTTEN, "USA"),)))
    rig.steady += 2 * AGAIN
    assert tried(rig, []) == []
    assert told(rig) == [(KEPT, RecordOutcome.FORGOTTEN)]


def test_a_record_that_fails_the_step_keeps_no_other_from_being_mended(rig: Rig) -> None:
    rig.fails[Step.MEND] = StoreError("RECORD_CORRUPT", "a counter is damaged")
    assert tried(rig, [KEPT, GONE]) == [(KEPT, GONE)]
    assert tried(rig, [KEPT, GONE]) == [(KEPT,)], "one by one from now on"
    del rig.fails[Step.MEND]
    assert tried(rig, [KEPT, GONE]) == [(GONE,)]
    assert told(rig) == [(GONE, RecordOutcome.WHOLE)]
    rig.steady += AGAIN
    assert tried(rig, [KEPT]) == [(KEPT,)]


def test_what_an_operator_had_mended_is_not_tried_at_once_again(rig: Rig) -> None:
    rig.feed(RecordsMended((Mended(KEPT, RecordOutcome.ASKED, "USA"), Mended(GONE, RecordOutcome.DROPPED))))
    assert told(rig) == [(KEPT, RecordOutcome.ASKED), (GONE, RecordOutcome.DROPPED)]
    assert tried(rig, [KEPT, GONE]) == [(GONE,)]


def test_what_waited_for_a_damaged_record_goes_once_that_is_settled_though_the_link_lasts(rig: Rig) -> None:
    rig.link("USA")
    rig.wait(SECOND)
    before = len(rig.steps(Step.RESEND))
    rig.feed(RecordsMended((Mended(KEPT, RecordOutcome.ASKED, "USA"), Mended(GONE, RecordOutcome.STAYS))))
    assert len(rig.steps(Step.RESEND)) == before, "it is still damaged"
    handed = len(rig.steps(Step.HANDOVER))
    rig.feed(RecordsMended((Mended(KEPT, RecordOutcome.WHOLE),)))
    runs = [run for run in rig.actions(RunStep) if run.step is Step.RESEND]
    assert [run.member for run in runs[before:]] == ["USA"]
    assert len(rig.steps(Step.HANDOVER)) == handed + 1, "a pair may have waited for it too"


def test_what_is_on_its_way_is_reviewed_again_once_a_record_is_mended(rig: Rig) -> None:
    rig.feed(Started())
    rig.wait(3 * SECOND)
    before = len(rig.steps(Step.REVIEW))
    rig.wait(3 * SECOND)
    assert len(rig.steps(Step.REVIEW)) == before
    rig.feed(RecordsMended((Mended(KEPT, RecordOutcome.WHOLE),)))
    rig.wait(3 * SECOND)
    assert len(rig.steps(Step.REVIEW)) > before
