"""Markings as official tables and manuals print them are read, and conformance counts every one of them."""

import json
from pathlib import Path

from intelshare.builtin import builtin_registry
from intelshare.conformance import conform

CASES = json.loads(Path(__file__).with_name("realworld.json").read_text("utf-8"))


def test_every_marking_of_the_real_world_reads_as_its_source_says():
    assert conform(CASES, builtin_registry()) == (19, [])


def test_every_one_cites_its_source():
    assert all(case["source"].strip() for case in CASES)
