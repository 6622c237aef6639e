"""The JSON Schema knows exactly the fields that the readers read."""

import json

import pytest

from intelshare.cli.app import run
from intelshare.errors import PolicyFileError
from intelshare.packs import builtin_registry
from intelshare.policy import parse_overlay, parse_treaty
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
member = "SWE"
PARTY
[[party.suspended]]
from = 2020-01-01
SPAN
[[party.reservations]]
RESERVATION
[[provision]]
article = "a"
categories = ["c"]
ceiling = "R1"
PROVISION
[[equivalence]]
from = "FRA"
level = "SECRET"
to = "KEN"
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
obligation = "o"
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
category = "c"
expect = "allow"
CASE
[[matrix]]
name = "n"
at = 2020-01-01
from = "FRA"
to = ["USA"]
label = "TLP:CLEAR"
category = "c"
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
