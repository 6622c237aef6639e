"""Labels read and written as the vectors say."""

import json
from pathlib import Path

import pytest

from intelshare import instant
from intelshare.builtin import builtin_registry
from intelshare.errors import LabelError
from intelshare.labels import format_banner, format_portion, parse_label
from intelshare.policy.vectors import label_to_json

CASES = json.loads(Path(__file__).with_name("labels.json").read_text("utf-8"))


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_label(case):
    registry = builtin_registry()
    at = instant.parse(case["at"]) if "at" in case else None
    use = case.get("use", "read")
    if "error" in case:
        with pytest.raises(LabelError) as caught:
            parse_label(case["text"], registry, at, use)
        assert caught.value.code == case["error"]
        return
    label = parse_label(case["text"], registry, at, use)
    case["expect"].pop("note", None)
    assert label_to_json(label) == case["expect"]
    if "banner" in case:
        assert format_banner(label, registry) == case["banner"]
    if "portion" in case:
        assert format_portion(label, registry) == case["portion"]
    assert parse_label(format_banner(label, registry), registry) == label
    assert parse_label(format_portion(label, registry), registry) == label
