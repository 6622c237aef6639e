"""``node metrics``: prints the running node's metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from intelshare.cli.shared.help import examples
from intelshare.cli.shared.options import on_replica, printing
from intelshare.cli.shared.output import Out

if TYPE_CHECKING:
    from intelshare.cli.shared.node_folder import NodeFolder


@click.command(
    epilog=examples(
        "intelshare node metrics --folder fra", "intelshare node metrics --folder fra --replica b"
    )
)
@printing
@on_replica
def metrics(node: NodeFolder, out: Out) -> None:
    """Print the running node's metrics, as text for Prometheus.

    The output is the same as at http://ADDRESS/metrics, if node.toml names an address under [metrics].
    docs/metrics.md describes each metric. Operators and auditors only.
    """
    from intelshare.metrics import Metric, Sample, render
    from intelshare.wire.v1 import user_pb2 as pb

    known = {metric.value.name: metric for metric in Metric}
    found = [
        Sample(known[one.name], tuple(one.labels), one.value)
        for one in node.ask_running("Metrics", pb.MetricsRequest()).samples
        if one.name in known  # A newer node may have more metrics.
    ]
    shown = [
        {
            "name": one.metric.value.name,
            "labels": dict(zip(one.metric.labels, one.labels, strict=True)),
            "value": one.value,
        }
        for one in found
    ]
    out.document("metrics", {"metrics": shown})
    for line in render(found).splitlines():
        out.line(line)
