"""The JSON contract: schemas of the table, the page that lists them, and what a field of the wire becomes."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from intelshare.cli import run
from intelshare.cli.shared import documents
from intelshare.cli.shared.documents import about, document_names, schema_of
from intelshare.cli.shared.output import Out
from intelshare.cli.shared.plain import Form, form_of, plain
from intelshare.instant import NEVER
from intelshare.wire.v1 import user_pb2 as pb

PAGE = (Path(__file__).parents[3] / "docs" / "json.md").read_text("utf-8")
TABLE = tomllib.loads((Path(documents.__file__).parent / "documents.toml").read_text("utf-8"))


@pytest.mark.parametrize("name", document_names())
def test_every_document_has_a_valid_schema_and_a_row_of_the_page(name: str) -> None:
    Draft202012Validator.check_schema(schema_of(name))
    assert f"| `{name}` | {about(name)} |" in PAGE


def test_the_page_lists_no_other() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]
    assert len(rows) == len(document_names())


def test_words_of_the_wire_are_of_fields_that_exist() -> None:
    for name in TABLE["wire"]:
        message, field = name.split(".")
        assert field in pb.DESCRIPTOR.message_types_by_name[message].fields_by_name
    said = json.dumps([TABLE["document"], TABLE["shape"], list(TABLE["wire"].values())])
    assert [name for name in TABLE["words"] if f'"{name}' not in said and f"[{name}]" not in said] == []


def test_every_shape_is_used() -> None:
    said = json.dumps([TABLE["document"], TABLE["shape"]])
    assert [
        name
        for name in TABLE["shape"]
        if said.count(f'"{name}') + said.count(f"[{name}]") + said.count(f"{{{name}}}") < 2
    ] == []


def test_a_field_of_64_bits_is_a_text_and_a_time_is_rfc_3339() -> None:
    entry = pb.OutboxEntry(
        bulletin=bytes(16),
        precedence=pb.PRECEDENCE_FLASH,
        created_at=1_795_885_000_471_856,
        pairs=[pb.OutboxPair(recipient="USA", word="queued", sequence=2**60, took=41_000)],
    )
    found = plain(entry)
    assert found["created_at"] == "2026-11-28T16:56:40.471856Z"
    assert (found["recalled_at"], found["title"], found["precedence"]) == (None, None, "FLASH")
    assert (found["pairs"][0]["sequence"], found["pairs"][0]["took_seconds"]) == (str(2**60), 0.041)
    assert plain(pb.StatusResponse(incarnation=9910137255587863302))["incarnation"] == "8987e153eaaddb06"
    assert plain(pb.RequestEntry(due=NEVER))["due"] is None
    assert plain(pb.PortionDecision(position=0))["number"] == 1


def test_a_map_and_an_absent_message_are_what_they_are() -> None:
    assert plain(pb.PortStatus(ended={"rate": 3}))["ended"] == {"rate": "3"}
    assert plain(pb.StatusResponse())["store"] is None


def test_every_time_of_the_wire_is_one_in_json() -> None:
    """A time by its name that nobody has listed would become digits."""
    doubtful = {
        f"{message.name}.{field.name}"
        for message in pb.DESCRIPTOR.message_types_by_name.values()
        for field in message.fields
        if form_of(field) is Form.WIDE
        and field.name.endswith(("_at", "_until", "since", "expires", "due", "time"))
    }
    assert doubtful == set()


def test_an_empty_text_is_null_wherever_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    Out(json=True).document("x", {"a": "", "b": [{"c": ""}], "d": 0, "e": False})
    shown = json.loads(capsys.readouterr().out)
    assert shown == {"schema": "intelshare/x/1", "a": None, "b": [{"c": None}], "d": 0, "e": False}


def test_schemas_are_printed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema", "intelshare/outbox/1"]) == 0
    assert json.loads(capsys.readouterr().out) == schema_of("outbox")
    assert run(["schema", "--out", str(tmp_path / "schemas")]) == 0
    assert len(list((tmp_path / "schemas").iterdir())) == len(document_names())
    assert run(["schema", "no-such"]) == 8


def test_an_error_is_as_its_schema_says(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (
        ["errors", "NO_SUCH", "--json"],
        ["label", "parse", "//FRA SECRTE", "--json"],
        ["inbox", "--jsn", "--json"],
    ):
        assert run(words) != 0
        Draft202012Validator(schema_of("error")).validate(json.loads(capsys.readouterr().out))
