"""The short form of ``make faults``: kills, locks, cut migrations, rotten rows, cancelled streams."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fault_calls import migrating
from fault_clients import cancelled
from fault_kills import killed, locked
from fault_runs import rotten
from fault_world import NotHere


def played(run: Callable[[int], str], times: int) -> str:
    """The figure of a run; skipped loudly where the machine cannot play it."""
    try:
        return run(times)
    except NotHere as missing:
        pytest.skip(f"SKIPPED, NOT PASSED: {missing}")


@pytest.mark.timeout(300)
def test_f1_a_killed_node_loses_and_doubles_nothing() -> None:
    assert "lost 0, doubled 0" in played(killed, 1)


@pytest.mark.root
@pytest.mark.timeout(300)
def test_f21_another_user_and_another_namespace_do_not_get_into_a_folder_in_use() -> None:
    assert "the holder's pid is named" in played(locked, 1)


@pytest.mark.timeout(300)
def test_f22_a_migration_that_is_cut_short_leaves_the_old_schema_or_the_new_one() -> None:
    assert "never half" in played(migrating, 4)


@pytest.mark.timeout(300)
def test_f12_one_bit_in_a_row_of_each_table_at_each_end_is_named_and_put_right() -> None:
    assert "put right; no node ended" in rotten(1, at_once=100)


@pytest.mark.timeout(300)
def test_f25_streams_that_are_opened_and_cancelled_leave_nothing_in_memory() -> None:
    assert cancelled(500).startswith("500 streams")
