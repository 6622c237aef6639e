"""Levels convert as the vectors say."""

import json
from pathlib import Path

import pytest

from intelshare import instant
from intelshare.builtin import builtin_registry
from intelshare.errors import LabelError
from intelshare.labels import convert

CASES = json.loads(Path(__file__).with_name("conversion.json").read_text("utf-8"))


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_conversion(case):
    question = (builtin_registry(), case["from"], case["level"], case["to"], instant.parse(case["at"]))
    if "error" in case:
        with pytest.raises(LabelError) as caught:
            convert(*question)
        assert caught.value.code == case["error"]
    else:
        assert convert(*question).name == case["expect"]
