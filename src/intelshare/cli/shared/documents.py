"""JSON Schemas of what commands print with ``--json``, from ``documents.toml`` and the wire's messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

from intelshare.cli.shared.plain import Form, form_of, is_map, name_of

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_TIME: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?Z$"

_TYPES: Final[Mapping[str, dict[str, Any]]] = {
    "text": {"type": "string", "minLength": 1},
    "word": {"type": "string", "pattern": "^[A-Za-z0-9_ -]+$"},
    "time": {"type": "string", "format": "date-time", "pattern": _TIME},
    "wide": {"type": "string", "pattern": "^-?[0-9]+$"},
    "hex": {"type": "string", "pattern": "^[0-9a-f]+$"},
    "base64": {"type": "string", "contentEncoding": "base64", "minLength": 1},
    "whole": {"type": "integer", "minimum": 0},
    "number": {"type": "number"},
    "flag": {"type": "boolean"},
    "any": {},
}

_FORMS: Final[Mapping[Form, str]] = {
    Form.TEXT: "text?",
    Form.HEX: "hex?",
    Form.BASE64: "base64?",
    Form.TIME: "time?",
    Form.SECONDS: "number",
    Form.WIDE: "wide",
    Form.RANDOM: "hex",
    Form.PLACE: "whole",
    Form.NUMBER: "number",
    Form.FLAG: "flag",
}


def document_names() -> list[str]:
    """Of all documents, in the order of the table."""
    return list(_table()["document"])


def about(name: str) -> str:
    """A document described in a sentence."""
    return str(_table()["document"][name]["_about"])


def schema_of(name: str) -> dict[str, Any]:
    """The JSON Schema of a document. Raises KeyError."""
    content = _object(_table()["document"][name])
    constant = {"const": f"intelshare/{name}/1"}
    return {
        "$schema": DIALECT,
        "$id": f"intelshare/{name}/1",
        "description": about(name),
        **content,
        "properties": {"schema": constant, **content["properties"]},
        "required": ["schema", *content["required"]],
    }


@cache
def _table() -> Mapping[str, Any]:
    import tomllib

    return tomllib.loads(files("intelshare.cli.shared").joinpath("documents.toml").read_text("utf-8"))


def _object(row: Mapping[str, Any]) -> dict[str, Any]:
    members = dict(_members(row))
    for name in row.get("_without", ()):
        del members[name]
    return {
        "type": "object",
        "properties": members,
        "required": list(members),
        "additionalProperties": False,
    }


def _members(row: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for message in row.get("_of", ()):
        yield from _of_message(message)
    if "_of_shape" in row:
        yield from _members(_table()["shape"][row["_of_shape"]])
    for name, kind in row.items():
        if not name.startswith("_"):
            yield name, _schema(kind)


def _of_message(message: str) -> Iterator[tuple[str, dict[str, Any]]]:
    from intelshare.wire.v1 import user_pb2 as pb

    fields: Any = pb.DESCRIPTOR.message_types_by_name[message].fields
    for field in fields:
        yield name_of(field), _of_field(message, field)


def _of_field(message: str, field: Any) -> dict[str, Any]:
    if is_map(field):
        return _schema("{wide}")
    kind = _table()["wire"].get(f"{message}.{field.name}")
    form = form_of(field)
    if kind is None and form is Form.MESSAGE:
        kind = f"@{field.message_type.name}"
    if kind is None and form is Form.WORD:
        return _nullable({"enum": _enum_words(field)})
    kind = kind or _FORMS[form].removesuffix("?")
    if field.is_repeated:
        return _schema(f"[{kind}]")
    may_be_empty = field.has_presence or _FORMS[form].endswith("?")
    return _schema(f"{kind}?" if may_be_empty else kind)


def _enum_words(field: Any) -> list[str]:
    from intelshare.wire import enum_word

    words = [enum_word(field.enum_type, number) for number in sorted(field.enum_type.values_by_number)]
    return [word for word in words if word is not None]


def _schema(kind: str) -> dict[str, Any]:
    """Of a type as the table writes it. Raises KeyError."""
    if kind.endswith("?"):
        return _nullable(_schema(kind[:-1]))
    if kind.startswith("["):
        return {"type": "array", "items": _schema(kind[1:-1])}
    if kind.startswith("{"):
        return {"type": "object", "additionalProperties": _schema(kind[1:-1])}
    if kind.startswith("@"):
        return _object({"_of": [kind[1:]]})
    if kind in _TYPES:
        return dict(_TYPES[kind])
    table = _table()
    return {"enum": table["words"][kind]} if kind in table["words"] else _object(table["shape"][kind])


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}
