"""What version 1 of the formats is stands in tests/released/v1, and this version still speaks it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet

import intelshare
from released import make

V1 = Path(make.__file__).parent / "v1"


def released() -> FileDescriptorSet:
    return FileDescriptorSet.FromString((V1 / "wire.binpb").read_bytes())


def by_name(found: FileDescriptorSet) -> dict[str, FileDescriptorProto]:
    return {file.name.rpartition("/")[2]: file for file in found.file}


def broken(old: FileDescriptorProto, new: FileDescriptorProto) -> list[str]:
    """What a peer of the old version could not do any more."""
    found = []
    messages = {message.name: message for message in new.message_type}
    for message in old.message_type:
        if message.name not in messages:
            found.append(f"{message.name} is gone")
        else:
            found += _broken_fields(message, messages[message.name])
    services = {service.name: {m.name: m for m in service.method} for service in new.service}
    for service in old.service:
        for method in service.method:
            other = services.get(service.name, {}).get(method.name)
            if other is None or _shape(method) != _shape(other):
                found.append(f"{service.name}.{method.name} is gone or takes something else")
    return found


def _broken_fields(old: DescriptorProto, new: DescriptorProto) -> list[str]:
    fields = {field.number: field for field in new.field}
    return [
        f"{old.name}.{field.name}"
        for field in old.field
        if field.number not in fields
        or (field.name, field.type, field.label, field.type_name)
        != tuple(getattr(fields[field.number], name) for name in ("name", "type", "label", "type_name"))
    ]


def _shape(method: object) -> tuple[object, ...]:
    return tuple(
        getattr(method, name)
        for name in ("input_type", "output_type", "client_streaming", "server_streaming")
    )


def test_the_wire_may_grow_and_loses_nothing() -> None:
    now = by_name(make.wire())
    for name, file in by_name(released()).items():
        assert broken(file, now[name]) == []


@pytest.mark.parametrize("change", ["remove", "renumber", "retype", "method"])
def test_a_change_that_breaks_a_peer_is_seen(change: str) -> None:
    old = by_name(released())["user.proto"]
    new = FileDescriptorProto.FromString(old.SerializeToString())
    message = new.message_type[0]
    if change == "remove":
        del message.field[0]
    elif change == "renumber":
        message.field[0].number = 999
    elif change == "retype":
        message.field[0].type = 8
    else:
        del new.service[0].method[0]
    assert broken(old, new)


def test_what_is_signed_sealed_and_logged_has_the_same_bytes_for_ever() -> None:
    """A field more, or in another place, is another version: decision 12 says how one begins."""
    assert json.loads((V1 / "records.json").read_text("utf-8")) == make.records()


PIECES = {"bulletin.compared", "envelope.batch_encrypt", "envelope.batch_seal"}
"""Write parts of records that stand elsewhere; test_batch_agreement.py and test_submit.py hold them to it."""


def test_no_record_stands_anywhere_else() -> None:
    source = Path(intelshare.__file__).parent
    found = {
        ".".join(path.relative_to(source).with_suffix("").parts)
        for path in source.rglob("*.py")
        if "\n@record\n" in path.read_text("utf-8")
        # The judge reads the same records a second time (test_format_page.py).
        and path.parent.name != "verifier"
    }
    assert found - PIECES == set(make.ROOMS)


def test_the_first_schema_is_never_edited() -> None:
    """A later schema is a further file in store/migrations."""
    assert (V1 / "schema.sql").read_text("utf-8") == make.schema()
