"""Metrics as text: the exposition format of Prometheus (version 0.0.4), and the page of all of them.

https://prometheus.io/docs/instrumenting/exposition_formats. No value needs to be escaped: ``LABELS`` allows
neither quotes nor backslashes nor line ends.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from intelshare.metrics.table import Metric, Sample


def render(samples: Iterable[Sample]) -> str:
    """Format all samples, by metric in the order of the table; a metric without samples is left out."""
    found: dict[Metric, list[Sample]] = defaultdict(list)
    for sample in samples:
        found[sample.metric].append(sample)
    lines = []
    for metric in Metric:
        if metric in found:
            row = metric.value
            lines += [f"# HELP {row.name} {row.help}", f"# TYPE {row.name} {row.type}"]
            lines += [_line(sample) for sample in found[metric]]
    return "".join(f"{line}\n" for line in lines)


def _line(sample: Sample) -> str:
    pairs = ",".join(
        f'{name}="{value}"' for name, value in zip(sample.metric.labels, sample.labels, strict=True)
    )
    value = int(sample.value) if sample.value == int(sample.value) else round(sample.value, 6)
    return f"{sample.metric.value.name}{'{' + pairs + '}' if pairs else ''} {value}"


def page() -> str:
    """Return the text of ``docs/metrics.md``."""
    lines = [
        "# Metrics",
        "",
        "Written by `make metrics` from `src/intelshare/metrics/table.py`; a test compares them.",
        "[operations.md](operations.md) explains how to read them.",
        "",
        "| metric | type | labels | read from | meaning |",
        "|---|---|---|---|---|",
    ]
    for metric in Metric:
        row = metric.value
        lines.append(f"| `{row.name}` | {row.type} | {', '.join(row.labels)} | {row.source} | {row.help} |")
    return "\n".join(lines) + "\n"
