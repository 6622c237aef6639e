"""The table of metrics: names, labels that no foreign text fits into, the text, the page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from intelshare.metrics import Metric, Sample, Type, page, render
from intelshare.metrics.table import LABELS

ROOT = Path(__file__).parents[3]


def test_the_page_is_that_of_the_table() -> None:
    assert (ROOT / "docs" / "metrics.md").read_text("utf-8") == page(), "make metrics"


def test_names_are_as_prometheus_wants_them() -> None:
    names = [metric.value.name for metric in Metric]
    assert len(set(names)) == len(names)
    for metric in Metric:
        row = metric.value
        assert re.fullmatch(r"(intelshare|process)_[a-z0-9_]+", row.name)
        assert (row.type is Type.COUNTER) == row.name.endswith("_total")
        assert set(row.labels) <= set(LABELS)
        assert row.help.endswith("."), row.name
        assert "\n" not in row.help


@pytest.mark.parametrize(
    ("metric", "labels"),
    [
        (Metric.GAPS, ("usa",)),
        (Metric.GAPS, ('USA",x="1',)),
        (Metric.GAPS, ("USA\n",)),
        (Metric.GAPS, ()),
        (Metric.SERVING, ("x",)),
        (Metric.TROUBLE, ("USA", "a text of a peer")),
        (Metric.REFUSALS, ("m.durand", "RATE")),
    ],
)
def test_a_label_with_foreign_text_is_refused(metric: Metric, labels: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="no such labels"):
        Sample(metric, labels, 1)


def test_the_text_is_what_prometheus_reads() -> None:
    samples = [
        Sample(Metric.GAPS, ("USA",), 3),
        Sample(Metric.SERVING, (), 1),
        Sample(Metric.GAPS, ("KEN",), 0.25),
    ]
    assert render(samples) == (
        "# HELP intelshare_serving 1: the node serves. 0: a code prevents it.\n"
        "# TYPE intelshare_serving gauge\n"
        "intelshare_serving 1\n"
        "# HELP intelshare_stream_gaps Missing numbers in the member's streams.\n"
        "# TYPE intelshare_stream_gaps gauge\n"
        'intelshare_stream_gaps{member="USA"} 3\n'
        'intelshare_stream_gaps{member="KEN"} 0.25\n'
    )
