"""The JSON Schema knows exactly the fields that the readers read."""

import json
import tomllib
from datetime import date
from pathlib import Path

import jsonschema
import pytest

from intelshare.builtin import builtin_registry
from intelshare.cli.app import run
from intelshare.errors import PolicyFileError
from intelshare.policy import parse_overlay, parse_treaty
from intelshare.policy.files import read_overlay, read_treaty
from intelshare.policy_tools import gather, read_suite, schema_of

REGISTRY = builtin_registry()
TREATY = """\
id = "t"
title = "T"
kind = "regional"
in_force = 2020-01-01
source = "s"
TOP
[[party]]
member = "FJI"
[[party]]
member = "SWE"
PARTY
[[party.suspended]]
from = 2020-01-01
SPAN
[[party.reservations]]
RESERVATION
[[provision]]
article = "a"
categories = ["cyber"]
ceiling = "R1"
PROVISION
[[ladder]]
authority = "FJI"
levels = { R1 = "S" }
LADDER
[[equivalence]]
from = "FRA"
level = "SECRET"
to = "FJI"
as = "S"
ROW
"""
OVERLAY = """\
[[forbid]]
id = "a"
source = "s"
RULE
[forbid.when]
WHEN
[[oblige]]
id = "b"
source = "s"
when = {}
obligation = "attribution"
OBLIGE
"""
TEST = """\
[world]
WORLD
[[case]]
name = "n"
at = 2020-01-01
from = "FRA"
to = "USA"
label = "TLP:CLEAR"
category = "cyber"
expect = "allow"
CASE
[[matrix]]
name = "n"
at = 2020-01-01
from = "FRA"
to = ["USA"]
label = "TLP:CLEAR"
category = "cyber"
levels = ["x"]
expect = [["allow"]]
MATRIX
"""


def known_fields(template, mark, parse):
    """The fields that the reader names as known when it meets one that is not."""
    marks = [line for line in template.splitlines() if line.isupper() and line.isalpha()]
    text = template
    for other in marks:
        text = text.replace(f"\n{other}\n", "\nqqqqqqqq = 1\n" if other == mark else "\n")
    errors = parse(text)
    (error,) = [error for error in errors if error.code == "FIELD_UNKNOWN"]
    return set(error.hint.removeprefix("known here: ").split(", "))


def treaty(text):
    with pytest.raises(PolicyFileError) as caught:
        parse_treaty(text, "t", REGISTRY)
    return [caught.value]


def overlay(text):
    with pytest.raises(PolicyFileError) as caught:
        parse_overlay(text, "fra.toml", REGISTRY)
    return [caught.value]


def suite(text):
    return gather(text, "t", REGISTRY, lambda top: read_suite(top, REGISTRY, 0))[1]


def at(schema, *path):
    for step in path:
        schema = schema["properties"][step]
        schema = schema.get("items", schema)
    return set(schema["properties"])


@pytest.mark.parametrize(
    ("kind", "template", "mark", "parse", "path"),
    [
        ("treaty", TREATY, "TOP", treaty, ()),
        ("treaty", TREATY, "PARTY", treaty, ("party",)),
        ("treaty", TREATY, "SPAN", treaty, ("party", "suspended")),
        ("treaty", TREATY, "RESERVATION", treaty, ("party", "reservations")),
        ("treaty", TREATY, "PROVISION", treaty, ("provision",)),
        ("treaty", TREATY, "LADDER", treaty, ("ladder",)),
        ("treaty", TREATY, "ROW", treaty, ("equivalence",)),
        ("overlay", OVERLAY, "RULE", overlay, ("forbid",)),
        ("overlay", OVERLAY, "WHEN", overlay, ("forbid", "when")),
        ("overlay", OVERLAY, "OBLIGE", overlay, ("oblige",)),
        ("test", TEST, "WORLD", suite, ("world",)),
        ("test", TEST, "CASE", suite, ("case",)),
        ("test", TEST, "MATRIX", suite, ("matrix",)),
    ],
)
def test_schema_has_the_fields_that_are_read(kind, template, mark, parse, path):
    assert at(schema_of(kind, REGISTRY), *path) == known_fields(template, mark, parse)


@pytest.mark.parametrize("kind", ["treaty", "overlay", "test"])
def test_schema_is_printed_as_json(kind, capsys):
    assert run(["policy", "schema", kind]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["additionalProperties"] is False


def plain(value):
    """TOML's dates and times as the texts that an editor's validator sees."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value


def kind_of(path):
    if path.name.endswith("_test.toml"):
        return "test"
    return "overlay" if path.parent.name == "overlays" else "treaty"


@pytest.fixture(scope="module")
def validators():
    made = {}
    for kind in ("treaty", "overlay", "test"):
        schema = schema_of(kind, REGISTRY)
        jsonschema.Draft202012Validator.check_schema(schema)
        made[kind] = jsonschema.Draft202012Validator(schema)
    return made


ROOT = Path(__file__).parents[3]
SHIPPED = [
    path
    for folder in ("treaties", "examples", "src/intelshare/demo/scenario/treaties")
    for path in sorted((ROOT / folder).rglob("*.toml"))
    if not any(part.startswith(".") or part == "words" for part in path.relative_to(ROOT).parts)
]


def test_files_are_shipped():
    assert {kind_of(path) for path in SHIPPED} >= {"treaty", "test"}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_shipped_file_is_valid_by_the_schema(path, validators):
    document = plain(tomllib.loads(path.read_text("utf-8")))
    assert [error.message for error in validators[kind_of(path)].iter_errors(document)] == []


def stripped(template):
    return "\n".join(line for line in template.splitlines() if not (line.isupper() and line.isalpha()))


@pytest.mark.parametrize(
    ("kind", "template", "old", "new"),
    [
        ("treaty", TREATY, 'title = "T"', 'title = "T"\ncolour = 1'),
        ("treaty", TREATY, 'title = "T"', "title = 3"),
        ("treaty", TREATY, 'title = "T"', 'title = ""'),
        ("treaty", TREATY, 'title = "T"\n', ""),
        ("treaty", TREATY, 'id = "t"', 'id = "../t"'),
        ("treaty", TREATY, '"regional"', '"regoinal"'),
        ("treaty", TREATY, '"SWE"', '"SW"'),
        ("treaty", TREATY, '"SWE"', '"SWE"\nwithdrawn = 2021-01-01'),
        ("treaty", TREATY, '"SWE"', '"SWE"\nin_force = 2021-01-01\nperiods = [{ from = 2021-01-01 }]'),
        ("treaty", TREATY, "in_force = 2020-01-01", "in_force = 3.5"),
        ("treaty", TREATY, '["cyber"]', "[]"),
        ("treaty", TREATY, '["cyber"]', '"cyber"'),
        ("treaty", TREATY, '"R1"', '"R5"'),
        ("treaty", TREATY, '"R1"', '"R1"\nreinstated = 2021-01-01'),
        ("treaty", TREATY, '"FJI"', '"FIJ"'),
        ("treaty", TREATY, 'as = "S"', ""),
        ("overlay", OVERLAY, 'obligation = "attribution"', ""),
        ("overlay", OVERLAY, "when = {}", "when = { to_group = [] }"),
        ("overlay", OVERLAY, "when = {}", 'when = { not_to_group = "UE" }'),
        ("overlay", OVERLAY, "[[oblige]]", "[[obliege]]"),
        ("test", TEST, 'expect = "allow"', 'expect = "alow"'),
        ("test", TEST, 'expect = "allow"', 'expect = "allow"\nreason = "NOFORN"'),
        ("test", TEST, 'expect = "allow"', 'expect = "deny"\nbasis = "t"'),
        ("test", TEST, 'expect = [["allow"]]', 'expect = [["NOFRON"]]'),
        ("test", TEST, 'expect = [["allow"]]', 'expect = ["allow"]'),
        ("test", TEST, "[world]", ""),
    ],
)
def test_file_with_an_error_is_not_valid_by_the_schema(kind, template, old, new, validators):
    text = stripped(template)
    assert validators[kind].is_valid(plain(tomllib.loads(text)))
    assert old in text
    wrong = text.replace(old, new, 1)
    assert not validators[kind].is_valid(plain(tomllib.loads(wrong)))
    # And the reader refuses it too: the schema is not stricter than the files may be.
    read = {
        "treaty": lambda top: read_treaty(top, REGISTRY),
        "overlay": lambda top: read_overlay(top, REGISTRY),
        "test": lambda top: read_suite(top, REGISTRY, 0),
    }[kind]
    assert gather(wrong, "fra.toml", REGISTRY, read)[1]


def test_the_schema_offers_the_words_that_ship_and_takes_others():
    words = schema_of("overlay", REGISTRY)["properties"]["forbid"]["items"]["properties"]["when"][
        "properties"
    ]
    offered = {one["const"]: one["description"] for one in words["flags"]["items"]["anyOf"] if "const" in one}
    assert offered["personal-data"]
    validator = jsonschema.Draft202012Validator(schema_of("overlay", REGISTRY))
    rule = {"id": "a", "source": "s", "when": {"flags": ["personal-data", "a-word-of-our-own"]}}
    assert list(validator.iter_errors({"forbid": [rule]})) == []
