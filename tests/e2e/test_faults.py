"""The short form of ``make faults``: one kill, two rotten rows and 500 cancelled streams under real nodes."""

from __future__ import annotations

import pytest

from fault_clients import cancelled
from fault_runs import killed, rotten


@pytest.mark.timeout(300)
def test_f1_a_killed_node_loses_and_doubles_nothing() -> None:
    assert "lost 0, doubled 0" in killed(1)


@pytest.mark.timeout(300)
def test_f12_a_rotten_row_is_named_and_no_node_ends() -> None:
    assert rotten(2).startswith("2 of 2 named")


@pytest.mark.timeout(300)
def test_f25_streams_that_are_opened_and_cancelled_leave_nothing_in_memory() -> None:
    assert cancelled(500).startswith("500 streams")
