"""docs/format.md says of records, kinds, entry types and domains what the code does: its tables are read."""

from __future__ import annotations

import re
from enum import IntEnum
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import pytest

import format_page as page
from intelshare.audit import exhibit, node_records, path, portable, report
from intelshare.audit import records as logged
from intelshare.audit.records import EntryType
from intelshare.broker.kernel import kept_claims
from intelshare.broker.kernel.tables import TABLES
from intelshare.cli.shared.codes import catalogue
from intelshare.crypto import records as signed
from intelshare.crypto.codec import B16, B32, COUNTER, END, SHORT, TEXT, TIME, Count, Encoded, Fixed
from intelshare.crypto.pae import Domain
from intelshare.crypto.records import Kind
from intelshare.crypto.suites import Context
from intelshare.statement import KINDS
from intelshare.trust import courier, documents, forks, hello
from intelshare.vault import format as vault
from intelshare.verifier import documents as judge_documents
from intelshare.verifier import entries as judge_entries
from intelshare.verifier import exhibits as judge_exhibits
from intelshare.verifier import forks as judge_forks
from intelshare.verifier import logs as judge_logs

INLINE = {
    # Spelled out in braces where they stand, or the beginning of another record.
    "ReleasePeek", "Cancelled", "DocumentSignature", "Endpoint", "DocumentVersions",
    "DirectoryHeld", "LoggedReason", "LoggedPortion", "SealedEntry", "Entries",
}  # fmt: skip
NAMES = {"header": "Header", "body": "Body", "entry": "Entry"}
"""Rows whose record has another name."""
NO_RECORD = {"file"}

_SCALARS = {"B": "u8", "H": "u16", "I": "u32", "Q": "u64"}
_RANGES = {COUNTER.range: "u63", TIME.range: "t64", END.range: "e64"}
_NAMED = {TEXT: "s", SHORT: "s64", get_args(B16)[1]: "b16", get_args(B32)[1]: "b32"}
_NO_BOUNDS = Count()


def code_records() -> dict[str, Any]:
    """Every record that is signed, sealed, logged or shown to others."""
    rooms = (
        signed,
        logged,
        node_records,
        path,
        exhibit,
        courier,
        documents,
        forks,
        hello,
        vault,
        kept_claims,
    )
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
            only = "" if mark.table is None else "=" + "|".join(map(str, mark.table))
            if mark.range is not None:
                return _RANGES[mark.range]
            return f"[{mark.length}]" if mark.length else _SCALARS[mark.format] + only
        if mark in _NAMED:
            return _NAMED[mark]
    if get_origin(hint) is Encoded:
        return record_layout(get_args(hint)[0])
    if get_origin(hint) is tuple:
        bounds = next((mark for mark in marks if isinstance(mark, Count)), _NO_BOUNDS)
        return f"L<{code_layout(get_args(hint)[0])}>{code_bounds(bounds)}"
    if issubclass(hint, IntEnum):
        assert [one.value for one in hint] == list(range(1, len(hint) + 1)), f"{hint} is not numbered from 1"
        return "enum(" + ",".join(one.name.lower().replace("_", "-") for one in hint) + ")"
    return record_layout(hint)


def code_bounds(bounds: Count) -> str:
    if bounds.among is not None:
        return "|".join(str(count) for count in bounds.among)
    return "" if bounds == _NO_BOUNDS else f"{bounds.least}..{bounds.most}"


def record_layout(kind: Any) -> str:
    return ", ".join(layout for _, layout in code_fields(kind))


def page_fields(text: str) -> list[tuple[str, str]]:
    return [(name, str(layout)) for name, layout in page.fields(text)]


RECORDS = code_records()


@pytest.mark.parametrize("row", sorted(set(page.RECORDS) - NO_RECORD))
def test_a_record_of_the_page_is_the_record_of_the_code(row: str) -> None:
    assert page_fields(page.RECORDS[row]) == code_fields(RECORDS[NAMES.get(row, row)])


JUDGE = {
    kind.__name__: kind
    for room in (judge_documents, judge_exhibits, judge_forks, judge_logs)
    for kind in vars(room).values()
    if hasattr(kind, "__record__") and kind.__module__ == room.__name__
}


@pytest.mark.parametrize("row", sorted(set(page.RECORDS) & set(JUDGE)))
def test_a_record_of_the_judge_is_the_one_of_the_page(row: str) -> None:
    assert page_fields(page.RECORDS[row]) == code_fields(JUDGE[row])


def test_a_decision_of_the_judge_is_the_one_of_the_page() -> None:
    assert page_fields(page.RECORDS["LoggedDecision"]) == code_fields(judge_entries.LoggedDecision)


def test_the_judge_has_no_record_or_entry_that_the_page_has_not() -> None:
    assert set(JUDGE) - set(page.RECORDS) == {"Endpoint"}
    assert {kind: name for kind, (name, _) in judge_entries.ENTRIES.items()} == {
        kind: name for kind, (name, _) in page.ENTRIES.items()
    }


@pytest.mark.parametrize("kind", sorted(judge_entries.ENTRIES))
def test_an_entry_of_the_judge_is_the_one_of_the_page(kind: int) -> None:
    assert page_fields(page.ENTRIES[kind][1]) == code_fields(judge_entries.ENTRIES[kind][1])


def test_the_page_has_every_record() -> None:
    in_the_log = {record.__name__ for record in logged.RECORDS.values()}
    told = {NAMES.get(row, row) for row in page.RECORDS}
    assert set(RECORDS) - in_the_log - INLINE == told - NO_RECORD


@pytest.mark.parametrize("entry", list(EntryType), ids=lambda entry: entry.name)
def test_a_log_entry_of_the_page_is_the_entry_of_the_code(entry: EntryType) -> None:
    name, row = page.ENTRIES[entry]
    assert name == entry.name
    assert page_fields(row) == code_fields(logged.RECORDS[entry])


def test_the_page_has_no_other_log_entry() -> None:
    assert set(page.ENTRIES) == set(EntryType) == set(logged.RECORDS)


def test_kinds_of_the_page_are_those_of_the_code() -> None:
    assert {
        kind: (
            kind.name.lower().replace("_", "-"),
            "none" if row.key_use is None else row.key_use.name.lower(),
        )
        for kind, row in KINDS.items()
    } == page.KINDS
    assert set(KINDS) == set(Kind)


def test_domains_and_contexts_of_the_page_are_those_of_the_code() -> None:
    told = page.PAGE.split("**Domains**", 1)[1].split("**Padding**", 1)[0]
    assert re.findall(r"`([\w-]+)`", told) == [domain.value.decode() for domain in Domain]
    told = page.PAGE.split("The context string of ML-DSA is", 1)[1].split(")", 1)[0]
    first, *others = re.findall(r"`([\w/]+)`", told)
    room = first.rpartition("/")[0]
    assert [first, *(f"{room}/{other}" for other in others)] == [one.value.decode() for one in Context]


def test_sealed_columns_of_the_page_are_those_of_the_store() -> None:
    told = {(row[0], row[1]) for row in page.tables("| table | column | row id | slot | plaintext |")}
    columns = {(table.name, field) for table in TABLES for field in table.columns()}
    sealed = {(table, column) for table, column in columns if column.startswith("sealed_")}
    assert told == sealed | {("secret", "sealed")}


FILES = {
    portable.PROOF_SCHEMA: portable.ProofFile,
    portable.EVIDENCE_SCHEMA: portable.EvidenceFile,
    portable.RELEASE_SCHEMA: portable.ReleaseFile,
    report.REPORT_SCHEMA: report.Report,
}


def members(text: str) -> list[str]:
    """The first word of each part, what stands in brackets left out."""
    while (inner := re.sub(r"\[[^][]*\]|\{[^{}]*\}|\([^()]*\)", "", text)) != text:
        text = inner
    return [part.split()[0].rstrip(":") for part in re.split("[;,]", text.split(": plain")[0])]


def file_members(file: Any) -> list[str]:
    """The schema first, whichever struct it stands in."""
    return ["schema", *[name for name in file.__struct_fields__ if name != "schema"]]


def test_files_for_others_have_the_members_of_the_page() -> None:
    rows = {row[0]: row[1] for row in page.tables("| schema | members |")}
    assert {name: ["schema", *members(text)] for name, text in rows.items()} == {
        name: file_members(file) for name, file in FILES.items()
    }
    proof = rows[portable.PROOF_SCHEMA]
    for name, inside, end in (
        ("cosigned", portable.Cosigning, "}]"),
        ("entries", portable.ProvedEntry, "}] ≤ 1024; documents"),
        ("opened", portable.OpenedPortion, "}]"),
    ):
        told = proof.split(f"{name}: [{{")[1].split(end)[0]
        assert members(told) == list(inside.__struct_fields__)


def test_codes_of_the_page_exist() -> None:
    told = set(re.findall(r"\b[A-Z]{2,}(?:_[A-Z]+)+\b", page.PAGE))
    assert told - set(catalogue()) - {one.name for one in EntryType} == set()


@pytest.mark.parametrize(
    ("row", "right", "wrong"),
    [
        ("Receipt", "read, destroyed", "destroyed, read"),
        ("Receipt", "0..32", "0..33"),
        ("Receipt", "L<s64>", "L<s>"),
        ("Receipt", "decided_at t64", "decided_at e64"),
        ("Receipt", "decided_at t64", "decided_at u64"),
        ("Recall", "to s, md [32]", "md [32], to s"),
        ("Manifest", "16, 64", "16, 65"),
        ("Manifest", "u16 (1)", "u16 (2)"),
        ("StreamHead", "last u63}", "last u32}"),
        ("Claims", "1..256", "1..255"),
        ("Trust", "document b32", "document b16"),
        ("Evidence", "proof [257]", "proof [256]"),
        ("Consent", ", until e64", ""),
    ],
)
def test_a_wrong_row_is_noticed(row: str, right: str, wrong: str) -> None:
    text = page.RECORDS[row]
    assert right in text
    assert page_fields(text.replace(right, wrong)) != code_fields(RECORDS[row])
