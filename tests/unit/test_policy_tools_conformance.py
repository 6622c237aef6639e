"""Vectors run through ``intelshare conformance``, and a wrong expectation is found."""

import json
from pathlib import Path

import pytest

from intelshare.cli.app import run
from intelshare.errors import PolicyFileError
from intelshare.packs import builtin_registry
from intelshare.policy_tools import conform

VECTORS = Path(__file__).parents[1] / "vectors"
FILES = [VECTORS / f"{name}.json" for name in ("labels", "conversion", "banners", "decisions")]
CASES = [json.loads(path.read_text("utf-8")) for path in FILES]


def test_all_shipped_vectors_match(capsys):
    assert run(["conformance", *map(str, FILES)]) == 0
    total = sum(map(len, CASES[:3])) + len(CASES[3]["cases"])
    assert capsys.readouterr().out.splitlines()[-1] == f"{total} checked, 0 mismatches"


def test_one_object_may_hold_several_shapes_and_a_list_several_worlds():
    document = {"labels": CASES[0], "banners": CASES[2], "decisions": [CASES[3], CASES[3]]}
    checked, mismatches = conform(document, builtin_registry())
    assert checked == len(CASES[0]) + len(CASES[2]) + 2 * len(CASES[3]["cases"])
    assert mismatches == []


@pytest.mark.parametrize(
    ("case", "wrong"),
    [
        (CASES[0][0], {"banner": "SECRET"}),
        (CASES[0][0], {"error": "UNKNOWN_LEVEL"}),
        (CASES[1][0], {"expect": "TRES SECRET"}),
        (CASES[2][0], {"expect": "SECRET//NOFORN"}),
        ({"world": CASES[3]["world"], "cases": [CASES[3]["cases"][0]]}, None),
    ],
)
def test_wrong_expectation_is_a_mismatch_with_expected_and_got(case, wrong, tmp_path, capsys):
    case = json.loads(json.dumps(case))
    if wrong is None:
        case["cases"][0]["expect"]["basis"] = "another"
    else:
        case |= wrong
    path = tmp_path / "v.json"
    path.write_text(json.dumps([case]))
    assert run(["conformance", str(path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("  expected ")
    assert lines[2].startswith("  got      ")
    assert lines[-1] == "1 checked, 1 mismatches"


@pytest.mark.parametrize(
    "document", [[{"expect": 1}], [3], {"world": {}}, [{"text": "S", "expect": {}, "at": 3}]]
)
def test_unknown_shape_is_an_error_not_a_pass(document):
    with pytest.raises(PolicyFileError) as caught:
        conform(document, builtin_registry())
    assert caught.value.code == "INPUT_INVALID"


def test_file_without_cases_proves_nothing(tmp_path):
    path = tmp_path / "v.json"
    path.write_text("[]")
    assert run(["conformance", str(path)]) == 1
    assert run(["conformance", str(tmp_path / "absent.json")]) == 2
