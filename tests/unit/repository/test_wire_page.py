"""docs/wire.md says of messages, bounds and codes of a link what proto and code do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from intelshare.broker.kernel.frame import SLICE
from intelshare.cli.shared.codes import catalogue
from intelshare.crypto.pieces import MAX_FILE, PIECE
from intelshare.delivery import link
from intelshare.delivery.stream import MAX_ASKED
from intelshare.engine import ConnectionLimits, Limits
from intelshare.engine.attachments import PER_PIECE, SILENT
from intelshare.instant import SECOND
from intelshare.node.refusal import CODE_KEY, DETAIL_KEY, RETRY_KEY, STATUS
from intelshare.wire import MAX_MESSAGE, flow, scan
from intelshare.wire.v1 import peer_pb2 as pb

WHOLE = (Path(__file__).parents[3] / "docs" / "wire.md").read_text("utf-8")
PAGE = WHOLE.partition("\n## The user port\n")[0]
"""What it says of links between nodes."""
MESSAGES = pb.DESCRIPTOR.message_types_by_name
CONSTANTS = {
    "MAX_MESSAGE": MAX_MESSAGE,
    "MAX_STATEMENTS": scan.MAX_STATEMENTS,
    "MAX_BODIES": scan.MAX_BODIES,
    "MAX_ASKED": MAX_ASKED,
    "SLICE": SLICE,
    "MAX_FILE": MAX_FILE,
    "MIN_WINDOW": link.MIN_WINDOW,
    "MAX_WINDOW": link.MAX_WINDOW,
    "WINDOW": flow.WINDOW,
    "SILENT": SILENT,
}
UNITS = {"": 1, "s": SECOND, "KiB": 1 << 10, "MiB": 1 << 20}


def section(title: str) -> str:
    """The text under a heading."""
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def rows(title: str) -> list[list[str]]:
    """The cells of a section's table, without its head."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def stated(text: str) -> int:
    number, _, unit = text.partition(" ")
    return int(number) * UNITS[unit]


def limit_of(name: str) -> Any:
    owner, _, field = name.rpartition(".")
    owners: dict[str, Any] = {"Limits": Limits(), "ConnectionLimits": ConnectionLimits()}
    return getattr(owners[owner], field) if owner else CONSTANTS[name]


@pytest.mark.parametrize("row", rows("Limits"), ids=lambda row: row[0])
def test_a_limit_of_the_page_is_the_limit_of_the_code(row: list[str]) -> None:
    assert stated(row[1]) == limit_of(row[0].strip("`"))


def test_every_field_that_the_page_names_is_in_the_proto() -> None:
    named = {tuple(name.split(".")) for name in re.findall(r"`([A-Z]\w+\.[a-z_]+)`", PAGE)}
    fields = {(message, field) for message, field in named if not message.endswith("Limits")}
    assert fields
    assert {
        (message, field)
        for message, field in fields
        if message not in MESSAGES or field not in MESSAGES[message].fields_by_name
    } == set()


def test_every_body_of_a_message_and_every_field_of_it_is_on_the_page() -> None:
    bodies = [row[0].strip("`").partition(".")[2] for row in rows("Messages")]
    assert bodies == [field.name for field in MESSAGES["LinkMessage"].fields]
    said = set(re.findall(r"`([A-Z]\w+\.[a-z_]+)`", PAGE))
    spoken = {"Range.first", "Range.last", "Ack.digest", "Acks.time"}
    """Said in words."""
    every = {f"{name}.{field.name}" for name, message in MESSAGES.items() for field in message.fields}
    assert every - said - spoken == set()


def test_every_code_of_the_page_is_in_the_catalogue() -> None:
    words = set(re.findall(r"\b[A-Z]{2,}(?:_[A-Z]+)+\b", PAGE)) | {"RATE"}
    assert words - set(CONSTANTS) - set(catalogue()) == set()
    ending = {code for row in rows("Codes that end a link") for code in row[0].split(", ")}
    assert ending <= set(catalogue())


def test_the_method_is_the_one_of_the_proto() -> None:
    service = pb.DESCRIPTOR.services_by_name["Peer"]
    (method,) = service.methods
    assert f"`/{service.full_name}/{method.name}`" in PAGE
    assert PER_PIECE == PIECE // SLICE == 16, "as the page counts slices of a piece"


def test_the_page_has_every_status_with_its_codes() -> None:
    for code, status in STATUS.items():
        (row,) = [line for line in WHOLE.splitlines() if line.startswith(f"| {status.name} | ")]
        assert code in row.split("|")[2].replace(",", "").split()
    for key in (CODE_KEY, DETAIL_KEY, RETRY_KEY):
        assert f"| `{key}` |" in WHOLE
