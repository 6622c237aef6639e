"""Banners roll up as the vectors say."""

import json
from pathlib import Path

import pytest

from intelshare import instant
from intelshare.builtin import builtin_registry
from intelshare.labels import format_banner, parse_label, rollup

CASES = json.loads(Path(__file__).with_name("banners.json").read_text("utf-8"))


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_banner(case):
    registry = builtin_registry()
    at = instant.parse(case["at"])
    labels = [parse_label(text, registry, at) for text in case["portions"]]
    assert format_banner(rollup(case["originator"], at, labels, registry), registry) == case["expect"]
