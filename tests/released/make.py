"""Writes what version 1 of the formats is: run once at a release, and never again for the same version.

python tests/released/make.py v1
"""

from __future__ import annotations

import json
import sys
from enum import IntEnum
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from intelshare.crypto.codec import B16, B32, SHORT, TEXT, Count, Fixed, Variable
from intelshare.wire.v1 import peer_pb2, user_pb2

_NAMES = {
    TEXT: "text u16",
    SHORT: "text u16 of at most 64 bytes",
    get_args(B16)[1]: "bytes u16",
    get_args(B32)[1]: "bytes u32",
}

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def wire() -> FileDescriptorSet:
    """The descriptors of both files, as the generated code has them."""
    found = FileDescriptorSet()
    for module in (peer_pb2, user_pb2):
        module.DESCRIPTOR.CopyToProto(found.file.add())
    return found


ROOMS = (
    "crypto.records", "trust.courier", "trust.documents", "trust.forks", "trust.hello", "audit.records",
    "audit.node_records", "audit.path", "audit.exhibit", "bulletin.draft", "broker.line.alike",
    "broker.kernel.kept_claims", "broker.kernel.stored_bulletins", "vault.format",
)  # fmt: skip
"""Where records stand; a test holds that there are no others."""


def records() -> dict[str, list[str]]:
    """Every record that is signed, sent, sealed, logged or digested: its fields in order, with layout."""
    found = {}
    for room in ROOMS:
        module = import_module(f"intelshare.{room}")
        for name, kind in sorted(vars(module).items()):
            if hasattr(kind, "__record__") and kind.__module__ == module.__name__:
                hints = get_type_hints(kind, include_extras=True)
                found[f"{room}.{name}"] = [f"{field}: {layout(hint)}" for field, hint in hints.items()]
    return found


def layout(hint: Any) -> str:
    """What a field's annotation says of its bytes."""
    if get_origin(hint) is Annotated:
        base, *marks = get_args(hint)
        for mark in marks:
            if isinstance(mark, Fixed):
                table = "" if mark.table is None else f" one of {sorted(mark.table)}"
                bounds = "" if mark.range is None else f" {mark.range}"
                return f"fixed {mark.format} {mark.length}{table}{bounds}"
            if mark in _NAMES:
                return _NAMES[mark]
            if isinstance(mark, Variable):
                return f"kept {base}"
            if isinstance(mark, Count):
                return f"list of ({layout(get_args(base)[0])}) {mark}"
        return layout(base)
    if get_origin(hint) is tuple:
        return f"list of ({layout(get_args(hint)[0])})"
    if issubclass(hint, IntEnum):
        return "enum " + " ".join(f"{one.name}={one.value}" for one in hint)
    return f"record {hint.__name__}"


def schema() -> str:
    """The first schema of the store."""
    return (ROOT / "src" / "intelshare" / "store" / "migrations" / "0001.sql").read_text("utf-8")


def main(version: str) -> None:
    """Write the three files of a version."""
    folder = HERE / version
    folder.mkdir(exist_ok=True)
    (folder / "wire.binpb").write_bytes(wire().SerializeToString(deterministic=True))
    (folder / "records.json").write_text(json.dumps(records(), indent=1) + "\n", "utf-8")
    (folder / "schema.sql").write_text(schema(), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
