"""The short form of ``make faults``: one kill and two rotten rows under real nodes."""

from __future__ import annotations

import pytest

from fault_runs import killed, rotten


@pytest.mark.timeout(300)
def test_f1_a_killed_node_loses_and_doubles_nothing() -> None:
    assert "lost 0, doubled 0" in killed(1)


@pytest.mark.timeout(300)
def test_f12_a_rotten_row_is_named_and_no_node_ends() -> None:
    assert rotten(2).startswith("2 of 2 named")
