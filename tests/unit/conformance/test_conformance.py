"""Vectors run through ``intelshare conformance``, and a wrong expectation is found."""

import json
import re
from copy import deepcopy
from pathlib import Path

import pytest

from intelshare.builtin import builtin_registry
from intelshare.cli.app import run
from intelshare.conformance import conform
from intelshare.conformance.run import SHAPES
from intelshare.errors import PolicyFileError

VECTORS = Path(__file__).parents[2] / "vectors"
FILES = sorted(VECTORS.glob("*.json"))
NAMES = (
    "labels", "conversion", "banners", "decisions", "envelope", "statements", "realworld", "suites",
    "releases", "edges", "foreign", "notes", "bundles",
)  # fmt: skip
LABELS, CONVERSION, BANNERS, DECISIONS, ENVELOPE, STATEMENTS, REALWORLD, _, RELEASES, EDGES, FOREIGN, *_ = (
    json.loads((VECTORS / f"{name}.json").read_text("utf-8")) for name in NAMES
)


def test_all_shipped_vectors_match(capsys):
    assert {path.stem for path in FILES} >= set(NAMES)
    assert run(["conformance", *map(str, FILES)]) == 0
    envelope = len(ENVELOPE["pae"]) + len(ENVELOPE["padding"]) + len(ENVELOPE["keys"])
    envelope += sum(1 + len(ENVELOPE[name]["statements"]) for name in ("batch_of_1", "batch_of_3"))
    envelope += 4 + len(ENVELOPE["release"]["portions"])
    total = sum(map(len, (LABELS, CONVERSION, BANNERS, REALWORLD))) + len(DECISIONS["cases"]) + envelope
    total += len(STATEMENTS["records"]) + len(STATEMENTS["all_kinds"]["statements"]) + 1
    total += sum(len(group["judged"]) for group in STATEMENTS["verdicts"]) + len(STATEMENTS["documents"])
    total += len(STATEMENTS["succession"]["given"]) + 2 + len(STATEMENTS["hello"]["refused"])
    total += len(STATEMENTS["log_entries"]) + len(STATEMENTS["paths"]) + len(STATEMENTS["exhibits"])
    total += sum(len(STATEMENTS["log"][name]) for name in ("inclusion", "consistency", "paths"))
    total += len(RELEASES["judged"]["releases"]) + len(EDGES["cases"]) + len(FOREIGN)
    checked, said, *_ = capsys.readouterr().out.splitlines()[-1].split(" ", 1)
    assert int(checked) >= total
    assert said == "checked, 0 mismatches"


@pytest.mark.parametrize("name", NAMES)
def test_readme_of_the_vectors_counts_them(name):
    row = next(
        line for line in (VECTORS / "README.md").read_text().splitlines() if f"| {name}.json |" in line
    )
    document = json.loads((VECTORS / f"{name}.json").read_text("utf-8"))
    assert int(row.split("|")[2]) == conform(document, builtin_registry())[0]


def test_one_object_may_hold_several_shapes_and_a_list_several_worlds():
    document = {
        "labels": LABELS,
        "banners": BANNERS,
        "decisions": [DECISIONS, DECISIONS],
        "pae": ENVELOPE["pae"],
    }
    checked, mismatches = conform(document, builtin_registry())
    assert checked == len(LABELS) + len(BANNERS) + 2 * len(DECISIONS["cases"]) + len(ENVELOPE["pae"])
    assert mismatches == []


@pytest.mark.parametrize(
    ("case", "wrong"),
    [
        (LABELS[0], {"banner": "SECRET"}),
        (LABELS[0], {"error": "UNKNOWN_LEVEL"}),
        (CONVERSION[0], {"expect": "TRES SECRET"}),
        (BANNERS[0], {"expect": "SECRET//NOFORN"}),
        (ENVELOPE["pae"][1], {"pae": "00"}),
        (ENVELOPE["pae"][1], {"error": "ENVELOPE_MALFORMED"}),
        (ENVELOPE["keys"][0], {"key_id": "00"}),
        (ENVELOPE["keys"][0], {"secret": "00" * 64}),
        (ENVELOPE["keys"][3], {"secret": "00" * 96}),
        (ENVELOPE["padding"][3], None),
        ({"world": DECISIONS["world"], "cases": [DECISIONS["cases"][0]]}, None),
    ],
)
def test_wrong_expectation_is_a_mismatch_with_expected_and_got(case, wrong, tmp_path, capsys):
    case = deepcopy(case)
    if wrong is not None:
        case |= wrong
    elif isinstance(case, list):
        case[1] += 1
    else:
        case["cases"][0]["expect"]["basis"] = "another"
    path = tmp_path / "v.json"
    path.write_text(json.dumps([case]))
    assert run(["conformance", str(path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("  expected ")
    assert lines[2].startswith("  got      ")
    assert lines[-1] == "1 checked, 1 mismatches"


def flipped(text):
    """The same bytes in hexadecimal, but for the last bit."""
    return text[:-1] + f"{int(text[-1], 16) ^ 1:x}"


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        (("manifest", "md"), {"manifest"}),
        (("portions", 0, "padded"), {"portion 1"}),
        (("portions", 0, "salt"), {"portion 1"}),
        (("portions", 0, "commitment"), {"portion 1"}),
        (("portions", 1, "body_key"), {"portion 2"}),
        (("portions", 1, "body"), {"portion 2", "release"}),
        (("batch_key", "info"), {"batch_key"}),
        (("batch_key", "sealed"), {"batch_key", "release"}),
        (("grant", "claims_bytes"), {"grant"}),
        (("grant", "secrets_digest"), {"grant"}),
        (("grant", "ciphertext"), {"grant", "release"}),
        (("release", "leaf_id"), {"release"}),
        (("release", "proof"), {"release"}),
        (("release", "batch"), {"release"}),
    ],
)
def test_one_bit_of_a_release_is_noticed_where_it_counts(path, parts):
    document = deepcopy(ENVELOPE["release"])
    inner = document
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = flipped(inner[path[-1]])
    _, mismatches = conform(document, builtin_registry())
    assert {mismatch.case for mismatch in mismatches} == parts


@pytest.mark.parametrize("name", ["leaf_id", "proof", "data", "nonce"])
def test_one_bit_of_a_statement_is_noticed(name):
    document = deepcopy(ENVELOPE["batch_of_3"])
    document["statements"][1][name] = flipped(document["statements"][1][name])
    _, mismatches = conform(document, builtin_registry())
    assert [mismatch.case for mismatch in mismatches] == ["statement 2"]


def leaves(node, path=()):
    """Every value of a case that is no note and no input of a refusal, and where it stands."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key not in ("note", "id") and ("error" not in node or key == "error"):
                yield from leaves(value, (*path, key))
    elif isinstance(node, list):
        for place, value in enumerate(node):
            yield from leaves(value, (*path, place))
    else:
        yield path, node


def another(value):
    """Nearly the same value."""
    if value is None:
        return {"code": "LOG_FORK", "node": "x"}
    if isinstance(value, int):
        return value + 1
    middle = len(value) // 2
    if value and set(value) <= set("0123456789abcdef") and not len(value) % 2:
        return value[:middle] + f"{int(value[middle], 16) ^ 1:x}" + value[middle + 1 :]
    return value + "X"


def unnoticed(case, only=None):
    """Where a case may be changed without anybody noticing; ``only``: look only at these names."""
    found = []
    for path, value in leaves(case):
        if only is not None and not only & set(path):
            continue
        changed = deepcopy(case)
        inner = changed
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = another(value)
        try:
            if not conform([changed], builtin_registry())[1]:
                found.append(path)
        except PolicyFileError:
            continue
    return found


def one_of_each_kind():
    case = STATEMENTS["all_kinds"]
    return {**case, "statements": list({told["kind"]: told for told in case["statements"]}.values())}


def short_log():
    case = STATEMENTS["log"]
    return {**case, **{name: case[name][-5:] for name in ("inclusion", "consistency", "paths")}}


ALL = None
VERDICT = frozenset(("leaf_id", "error"))
ANSWERS = frozenset(("record", "verdict", "forgot", "contradiction", "error"))
MUTATED = [
    *(("record", case, ALL) for case in STATEMENTS["records"]),
    ("stream", STATEMENTS["stream"], ALL),
    ("all kinds", one_of_each_kind(), ALL),
    *(("verdicts", case, VERDICT) for case in STATEMENTS["verdicts"]),
    *(("document", case, ALL) for case in STATEMENTS["documents"]),
    ("succession", STATEMENTS["succession"], frozenset(("trust", "peer", "root", "directory", "error"))),
    *(("entry", case, ALL) for case in STATEMENTS["log_entries"]),
    ("log", short_log(), ALL),
    *(("path", case, ANSWERS | {"path"}) for case in STATEMENTS["paths"]),
    *(("exhibit", case, ANSWERS | {"exhibit"}) for case in STATEMENTS["exhibits"]),
    *(("rest", case, ALL) for case in STATEMENTS["rest"]),
]


@pytest.mark.parametrize(
    ("shape", "case", "only"), MUTATED, ids=[f"{n}-{m[0]}" for n, m in enumerate(MUTATED)]
)
def test_no_value_of_a_vector_can_be_changed_unnoticed(shape, case, only):
    """A check that cannot fail is a defect. Left out are inputs on whose last bit no verdict hangs."""
    assert conform([case], builtin_registry())[1] == []
    assert unnoticed(case, only) == []


def test_no_value_of_a_hello_can_be_changed_unnoticed():
    found = unnoticed(STATEMENTS["hello"])
    assert found == [("answer", "at"), ("confirmation", "at")]


def test_misspelt_key_is_an_error_and_not_passed_over():
    group = deepcopy(STATEMENTS["verdicts"][1])
    group["judged"][0]["flor"] = 2
    with pytest.raises(PolicyFileError, match="flor"):
        conform([group], builtin_registry())


@pytest.mark.parametrize("field", ["displayableto", "note", "markings"])
def test_field_inside_a_label_that_no_label_has_is_an_error(field):
    """Else a vector about it passes by accident: nobody looks at what it says."""
    case = {**DECISIONS["cases"][0]}
    case["label"] = {**case["label"], field: ["FRA"]}
    with pytest.raises(PolicyFileError, match=field):
        conform({"world": DECISIONS["world"], "cases": [case]}, builtin_registry())


def test_case_whose_ground_cannot_be_read_is_a_mismatch():
    case = {**STATEMENTS["all_kinds"], "batch": STATEMENTS["all_kinds"]["batch"][:-2]}
    checked, (mismatch,) = conform([case], builtin_registry())
    assert (checked, json.loads(mismatch.got)) == (1, {"error": "ENVELOPE_MALFORMED"})


def test_refusal_may_be_what_a_vector_expects():
    document = deepcopy(ENVELOPE["batch_of_1"])
    document["batch"] = flipped(document["batch"])
    (told,) = document["statements"]
    told["error"] = "SIGNATURE_INVALID"
    assert conform(document, builtin_registry()) == (2, [])


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"labels": []},
        {"seed": "x", "note": {"by": "somebody"}},
        [{"expect": 1}],
        [3],
        [[1, 2]],
        {"world": {}},
        {"world": DECISIONS["world"]},
        {"world": DECISIONS["world"], "cases": []},
        [DECISIONS["cases"][0]],
        [{"text": "S", "expect": {}, "at": 3}],
        [{"txet": "S", "expcet": {}}],
        {"labels": LABELS[:2], "one": {"text": "S", "expcet": {}}},
        [{"domain": "no such domain", "parts": [], "pae": ""}],
        [{"domain": "body", "parts": ["no hexadecimal"], "pae": ""}],
        [{name: ENVELOPE["release"][name] for name in ("signer", "kem", "manifest", "portions")}],
        {**ENVELOPE["release"], "kem": {}},
        [{"a": LABELS[:1]}] * 2 + [[[[[[[[[[]]]]]]]]]],
    ],
)
def test_unknown_shape_is_an_error_not_a_pass(document):
    with pytest.raises(PolicyFileError) as caught:
        conform(document, builtin_registry())
    assert caught.value.code == "INPUT_INVALID"


def test_file_without_cases_proves_nothing(tmp_path, capsys):
    path = tmp_path / "v.json"
    path.write_text("[]")
    assert run(["conformance", str(path)]) == 2
    assert "it contains no case" in capsys.readouterr().err
    path.write_text("{")
    assert run(["conformance", str(path)]) == 2
    assert run(["conformance", str(tmp_path / "absent.json")]) == 2


def cases_of(node):
    """Every case of a vector document, by the shape that it has."""
    if isinstance(node, list):
        yield from (found for item in node for found in cases_of(item))
    elif isinstance(node, dict):
        shape = next((shape for shape in SHAPES if shape.fits(node)), None)
        if shape is not None:
            yield shape.name, node
        else:
            yield from (found for name, item in node.items() if name != "world" for found in cases_of(item))


def test_a_key_that_its_shape_does_not_know_is_an_error_in_every_shape():
    one_each = {}
    for name in NAMES:
        one_each |= dict(cases_of(json.loads((VECTORS / f"{name}.json").read_text("utf-8"))))
    assert one_each.keys() == {shape.name for shape in SHAPES}
    for name, case in one_each.items():
        document = {"world": DECISIONS["world"], "cases": [{**case, "misspelt": 1}]}
        with pytest.raises(PolicyFileError, match=r"unknown keys \['misspelt'\]"):
            conform(document, builtin_registry())
        assert name


def test_every_link_of_the_page_about_vectors_leads_to_a_file():
    links = re.findall(r"\]\(([^)#]+)", (VECTORS / "README.md").read_text("utf-8"))
    assert links
    assert [link for link in links if not (VECTORS / link).exists()] == []
    assert "domain.md" not in (VECTORS / "README.md").read_text("utf-8")
