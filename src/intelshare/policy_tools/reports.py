"""Results of checks and tests, rendered for people, as JSON, for code hosts and for CI systems."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any
from urllib.parse import quote
from xml.etree.ElementTree import Element, SubElement, tostring

from intelshare.errors import Place, PolicyFileError

SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


class Severity(Enum):
    """The severity of a result: an error fails the run; a warning does not."""

    ERROR = "error"
    WARNING = "warning"
    PASSED = "passed"


@dataclass(frozen=True, slots=True)
class Result:
    """One finding of a check or a test. ``name`` is the file or case it is about."""

    severity: Severity
    name: str
    code: str = ""
    message: str = ""
    place: Place | None = None
    hint: str | None = None


def of_error(error: PolicyFileError) -> Result:
    """Return the result for an error of a file."""
    name = error.place.source if error.place is not None else ""
    return Result(Severity.ERROR, name, error.code, error.message, error.place, error.hint)


def failed(results: Iterable[Result]) -> bool:
    """Return True if any of them is an error."""
    return any(result.severity is Severity.ERROR for result in results)


def as_json(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return plain values: one object per result."""
    return [
        {
            "severity": result.severity.value,
            "name": result.name,
            "code": result.code,
            "message": result.message,
            "file": None if result.place is None else result.place.source,
            "line": None if result.place is None else result.place.line,
            "column": None if result.place is None else result.place.column,
            "hint": result.hint,
        }
        for result in results
    ]


def github(results: Sequence[Result]) -> str:
    """Return workflow commands: annotations beside the lines of a pull request."""
    lines = []
    for result in _findings(results):
        where = []
        if result.place is not None:
            where.append(f"file={_property(result.place.source)}")
            where += [f"line={result.place.line}"] if result.place.line else []
            where += [f"col={result.place.column}"] if result.place.column else []
        where.append(f"title={_property(result.code)}")
        lines.append(f"::{result.severity.value} {','.join(where)}::{_data(_sentence(result))}")
    return "".join(line + "\n" for line in lines)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def sarif(results: Sequence[Result], version: str) -> str:
    """Return SARIF 2.1.0 with one run."""
    found = _findings(results)
    rules = sorted({result.code for result in found})
    document = {
        "$schema": SARIF_SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "intelshare",
                        "version": version,
                        "rules": [{"id": rule} for rule in rules],
                    }
                },
                # Columns here count characters; SARIF would otherwise assume UTF-16 code units.
                "columnKind": "unicodeCodePoints",
                "results": [_sarif_result(result, rules) for result in found],
            }
        ],
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _sarif_result(result: Result, rules: list[str]) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "ruleId": result.code,
        "ruleIndex": rules.index(result.code),
        "level": result.severity.value,
        "message": {"text": _sentence(result)},
    }
    place = result.place
    if place is not None:
        physical: dict[str, Any] = {"artifactLocation": {"uri": quote(place.source.replace("\\", "/"))}}
        if place.line:
            physical["region"] = {"startLine": place.line}
            if place.column:
                physical["region"] |= {
                    "startColumn": place.column,
                    "endColumn": place.column + place.width,
                }
        shown["locations"] = [{"physicalLocation": physical}]
    return shown


def junit(results: Sequence[Result], suite: str) -> str:
    """Return JUnit XML: one case per result; a warning is output of a case that passed."""
    root = Element("testsuites")
    errors = sum(result.severity is Severity.ERROR for result in results)
    shown = SubElement(
        root, "testsuite", name=suite, tests=str(len(results)), failures=str(errors), errors="0"
    )
    for result in results:
        source = "" if result.place is None else result.place.source
        # A case keeps its name whether it passes or fails: CI systems compare runs by it.
        case_of_suite = not result.code or result.code.startswith("CASE_")
        name = _xml(result.name if case_of_suite else f"{result.name} {result.code}".strip())
        case = SubElement(shown, "testcase", classname=_xml(source), name=name)
        if result.severity is Severity.ERROR:
            failure = SubElement(case, "failure", type=result.code, message=_xml(result.message))
            failure.text = _xml(f"{_where(result.place)}: {_sentence(result)}")
        elif result.severity is Severity.WARNING:
            SubElement(case, "system-out").text = _xml(f"{_where(result.place)}: {_sentence(result)}")
    return '<?xml version="1.0" encoding="utf-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def tap(results: Sequence[Result]) -> str:
    """Return TAP version 14: one test point per result; a warning passes and says so in its diagnostics."""
    lines = ["TAP version 14", f"1..{len(results)}"]
    for number, result in enumerate(results, 1):
        word = "not ok" if result.severity is Severity.ERROR else "ok"
        name = " ".join(_xml(result.name).split()).replace("\\", "\\\\").replace("#", "\\#")
        lines.append(f"{word} {number} - {name}")
        if result.severity is not Severity.PASSED:
            facts = {
                "severity": result.severity.value,
                "code": result.code,
                "message": result.message,
                "at": _where(result.place),
                "hint": result.hint,
            }
            # A JSON string is a YAML string.
            shown = [f"  {key}: {json.dumps(value)}" for key, value in facts.items() if value]
            lines += ["  ---", *shown, "  ..."]
    return "".join(line + "\n" for line in lines)


def _xml(text: str) -> str:
    """Replace the characters that XML 1.0 cannot contain."""
    return "".join(
        letter if letter in "\t\n" or (letter >= " " and not "\ud800" <= letter <= "\udfff") else "\ufffd"
        for letter in text.replace("\ufffe", "\ufffd").replace("\uffff", "\ufffd")
    )


def _findings(results: Sequence[Result]) -> list[Result]:
    return [result for result in results if result.severity is not Severity.PASSED]


def _sentence(result: Result) -> str:
    about = (
        f"{result.name}: " if result.name and (not result.place or result.name != result.place.source) else ""
    )
    return about + result.message + (f" ({result.hint})" if result.hint else "")


def _where(place: Place | None) -> str:
    if place is None:
        return "-"
    return ":".join(str(part) for part in (place.source, place.line, place.column) if part is not None)
