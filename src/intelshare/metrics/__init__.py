"""Metrics of a node: the table, their text, their page. No clock, no I/O."""

from intelshare.metrics.table import HEALTH, Metric, Sample, Type
from intelshare.metrics.text import page, render

__all__ = ["HEALTH", "Metric", "Sample", "Type", "page", "render"]
