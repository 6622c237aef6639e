"""docs/format.md says of records, kinds, entry types and domains what the code does: its tables are read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import pytest

from intelshare.audit import exhibit, path
from intelshare.audit import records as logged
from intelshare.audit.records import EntryType
from intelshare.broker.tables import TABLES
from intelshare.cli.codes import catalogue
from intelshare.crypto import records as signed
from intelshare.crypto.codec import B16, B32, TEXT, Count, Encoded, Fixed
from intelshare.crypto.pae import Domain
from intelshare.crypto.records import Kind
from intelshare.crypto.suites import Context
from intelshare.statement import KINDS
from intelshare.trust import documents, hello
from intelshare.vault import format as vault

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "intelshare"
PAGE = (ROOT / "docs" / "format.md").read_text("utf-8")

INLINE = {
    # Spelled out in braces where they stand, or the beginning of another record.
    "ReleasePeek", "Cancelled", "DocumentSignature", "Endpoint", "DocumentVersions",
    "LoggedReason", "LoggedDecision", "LoggedPortion", "SealedEntry", "Entries",
}  # fmt: skip

_SCALARS = {"B": "u8", "H": "u16", "I": "u32", "Q": "u64"}
_NAMED = {TEXT: "s", get_args(B16)[1]: "b16", get_args(B32)[1]: "b32"}
_NO_BOUNDS = Count()


def code_records() -> dict[str, Any]:
    """Every record that is signed, sealed, logged or shown to others."""
    rooms = (signed, logged, path, exhibit, documents, hello, vault)
    return {
        name.lstrip("_"): kind
        for room in rooms
        for name, kind in vars(room).items()
        if hasattr(kind, "__record__") and kind.__module__ == room.__name__
    }


def code_fields(kind: Any) -> list[tuple[str, str]]:
    """Name and layout of each field, nested records spelled out."""
    hints = get_type_hints(kind, include_extras=True)
    return [(name, code_layout(hint)) for name, hint in hints.items()]


def code_layout(hint: Any) -> str:
    marks: tuple[Any, ...] = ()
    if get_origin(hint) is Annotated:
        hint, *rest = get_args(hint)
        marks = tuple(rest)
    for mark in marks:
        if isinstance(mark, Fixed):
            return f"[{mark.length}]" if mark.length else _SCALARS[mark.format]
        if mark in _NAMED:
            return _NAMED[mark]
    if get_origin(hint) is Encoded:
        return record_layout(get_args(hint)[0])
    if get_origin(hint) is tuple:
        bounds = next((mark for mark in marks if isinstance(mark, Count)), _NO_BOUNDS)
        return f"L<{code_layout(get_args(hint)[0])}>{code_bounds(bounds)}"
    if issubclass(hint, IntEnum):
        return "enum(" + ",".join(one.name.lower().replace("_", "-") for one in hint) + ")"
    return record_layout(hint)


def code_bounds(bounds: Count) -> str:
    if bounds.among is not None:
        return "|".join(str(count) for count in bounds.among)
    return "" if bounds == _NO_BOUNDS else f"{bounds.least}..{bounds.most}"


def record_layout(kind: Any) -> str:
    return ", ".join(layout for _, layout in code_fields(kind))


# --- the page --------------------------------------------------------------------------------------


def tables(header: str) -> Iterator[list[str]]:
    """The rows of every table of the page with this header, their cells without markup."""
    lines = iter(PAGE.splitlines())
    for line in lines:
        if line == header:
            next(lines)
            for row in lines:
                if not row.startswith("|"):
                    break
                bare = re.sub(r"(\d),(\d{3})", r"\1\2", row.replace("\\<", "<").replace("\\>", ">"))
                yield [cell.strip() for cell in bare.replace("`", "").strip("|").split(" | ")]


RECORD_ROWS = {row[0].split(" (")[0]: row[1] for row in tables("| record | fields |")}
LOG_ROWS = {int(row[0]): (row[1], row[2]) for row in tables("| type | record | fields |")}
_FIELD = re.compile(
    r"(?P<name>[^<\[{(]*?) ?(?P<type>\[\d+\]|\b(?:enum|u8|u16|u32|u64|s|b16|b32|[A-Z]\w+)(?![<\w]))"
    r"(?P<rest>.*)"
)
_LIST = re.compile(r"(?P<name>[^<\[{(]*?) ?\bL<(?P<rest>.*)")
_BOUNDS = re.compile(r" (?:≤ (?P<most>\d+)|(?P<both>\d+\.\.\d+)|\((?P<among>\d[\d, or]+)\))")


def split(text: str) -> list[str]:
    """At the commas that stand in no bracket."""
    parts, depth, start = [], 0, 0
    for place, sign in enumerate(text):
        depth += (sign in "<({") - (sign in ">)}")
        if sign == "," and not depth:
            parts.append(text[start:place])
            start = place + 1
    return [part.strip() for part in (*parts, text[start:])]


def page_fields(text: str) -> list[tuple[str, str]]:
    """Name and layout of each field of a row."""
    return [page_field(part) for part in split(text.split("; at most", maxsplit=1)[0])]


def page_field(text: str) -> tuple[str, str]:
    if text in RECORD_ROWS:
        return text, page_layout(RECORD_ROWS[text])
    found = _LIST.match(text)
    if found is not None:
        inner, rest = _bracket(found["rest"])
        return found["name"], f"L<{_item(inner)}>{_bounds(rest)}"
    found = _FIELD.match(text)
    assert found is not None, f"no type in {text!r}"
    kind = found["type"]
    if kind == "enum":
        kind = "enum" + found["rest"].strip().split(")")[0].replace(", ", ",") + ")"
    return found["name"], page_layout(RECORD_ROWS[kind]) if kind in RECORD_ROWS else kind


def _bracket(text: str) -> tuple[str, str]:
    depth = 1
    for place, sign in enumerate(text):
        depth += (sign == "<") - (sign == ">")
        if not depth:
            return text[:place], text[place + 1 :]
    raise AssertionError(text)


def _item(text: str) -> str:
    if text.startswith("{"):
        return page_layout(text[1:-1])
    return page_layout(RECORD_ROWS[text]) if text in RECORD_ROWS else text


def _bounds(text: str) -> str:
    found = _BOUNDS.match(text)
    if found is None:
        return ""
    if found["among"]:
        return "|".join(re.findall(r"\d+", found["among"]))
    return f"0..{found['most']}" if found["most"] else str(found["both"])


def page_layout(text: str) -> str:
    return ", ".join(layout for _, layout in page_fields(text))


# --- the tests -------------------------------------------------------------------------------------

RECORDS = code_records()
NAMES = {"header": "Header", "body": "Body", "entry": "Entry"}
"""Rows whose record has another name."""
NO_RECORD = {"file"}


@pytest.mark.parametrize("row", sorted(set(RECORD_ROWS) - NO_RECORD))
def test_a_record_of_the_page_is_the_record_of_the_code(row: str) -> None:
    code = code_fields(RECORDS[NAMES.get(row, row)])
    assert page_fields(RECORD_ROWS[row]) == code


def test_the_page_has_every_record() -> None:
    logged_only = {record.__name__ for record in logged.RECORDS.values()}
    told = {NAMES.get(row, row) for row in RECORD_ROWS}
    assert set(RECORDS) - logged_only - INLINE == told - NO_RECORD


@pytest.mark.parametrize("entry", list(EntryType), ids=lambda entry: entry.name)
def test_a_log_entry_of_the_page_is_the_entry_of_the_code(entry: EntryType) -> None:
    name, fields = LOG_ROWS[entry]
    assert name == entry.name
    assert page_fields(fields) == code_fields(logged.RECORDS[entry])


def test_the_page_has_no_other_log_entry() -> None:
    assert set(LOG_ROWS) == set(EntryType) == set(logged.RECORDS)


def test_kinds_of_the_page_are_those_of_the_code() -> None:
    rows = {
        int(row[0]): (row[1], row[2].split(":")[0]) for row in tables("| kind | | signed by a key of use |")
    }
    assert rows == {
        kind: (
            kind.name.lower().replace("_", "-"),
            "none" if row.key_use is None else row.key_use.name.lower(),
        )
        for kind, row in KINDS.items()
    }
    assert set(KINDS) == set(Kind)


def test_domains_and_contexts_of_the_page_are_those_of_the_code() -> None:
    told = PAGE.split("**Domains**", 1)[1].split("**Padding**", 1)[0]
    assert re.findall(r"`([\w-]+)`", told) == [domain.value.decode() for domain in Domain]
    for context in Context:
        name = context.value.decode()
        assert (
            f"`{name}`" in PAGE or f"`{name.rpartition('/')[2]}`" in PAGE.split("context string", 1)[1][:120]
        )


def test_every_domain_has_at_most_one_construction() -> None:
    """Two uses of a domain could give two meanings to the same bytes. Not used yet: pieces, bundle."""
    sources = [path.read_text("utf-8") for path in sorted(SOURCE.rglob("*.py")) if path.name != "pae.py"]
    text = "\n".join(sources)
    uses = {domain: len(re.findall(rf"\bDomain\.{domain.name}\b", text)) for domain in Domain}
    assert {domain.name for domain, count in uses.items() if count > 1} == set()
    assert {domain.name for domain, count in uses.items() if not count} == {"KEY", "PIECES", "BUNDLE"}


def test_sealed_columns_of_the_page_are_those_of_the_store() -> None:
    told = {(row[0], row[1]) for row in tables("| table | column | row id | slot | plaintext |")}
    columns = {(table.name, field.name) for table in TABLES for field in fields(table.row)}
    assert told == {(table, column) for table, column in columns if column.startswith("sealed_")} | {
        ("secret", "sealed")
    }


def test_codes_of_the_page_exist() -> None:
    known = set(catalogue())
    told = set(re.findall(r"\b[A-Z]{2,}(?:_[A-Z]+)+\b", PAGE)) - {one.name for one in EntryType}
    assert told - known - {"STREAM_HEAD"} == set()


@pytest.mark.parametrize(
    ("row", "wrong"),
    [
        (
            "Receipt",
            "to s, leaf [32], status enum (accepted, refused, read), codes L<s> 0..32, decided_at u64",
        ),
        ("Recall", "md [32], to s, reason s"),
        ("Manifest", RECORD_ROWS["Manifest"].replace("16, 64", "16, 65")),
        ("StreamHead", RECORD_ROWS["StreamHead"].replace("last u64}", "last u32}")),
        ("Claims", RECORD_ROWS["Claims"].replace("1..256", "1..255")),
    ],
)
def test_a_wrong_row_is_noticed(row: str, wrong: str) -> None:
    assert page_fields(wrong) != code_fields(RECORDS[row])
