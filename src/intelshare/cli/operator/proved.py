"""Turns a proved log entry into lines that an auditor reads; ``--json`` shows the entry as the log has it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from intelshare.instant import Instant
from intelshare.labels import when

_OUTCOMES = {1: "allow", 2: "hold", 3: "deny"}
_TIMES = frozenset(("at", "since"))
_INCARNATIONS = frozenset(("incarnation", "previous"))


def lines_of(says: Mapping[str, Any]) -> Iterator[str]:
    """Yield ``name value`` pairs on one line, and each element of a list on an indented line."""
    many = {name: value for name, value in says.items() if _is_rows(value)}
    if first := _pairs({name: value for name, value in says.items() if name not in many}):
        yield first
    for name, rows in many.items():
        for row in rows:
            top, *rest = [*lines_of(row), ""]
            yield f"  {name}: {top}"
            yield from (f"  {line}" for line in rest if line)


def _is_rows(value: object) -> bool:
    return isinstance(value, list) and any(isinstance(one, dict) for one in value)


def _pairs(says: Mapping[str, Any]) -> str:
    """Omit empty values: an empty list says nothing."""
    shown = ((name, _worded(name, value)) for name, value in says.items())
    return ", ".join(f"{name} {text}".strip() for name, text in shown if text)


def _worded(name: str, value: Any) -> str:
    if isinstance(value, dict):
        inner = _pairs({key: one for key, one in value.items() if not _is_rows(one)})
        rows = [_pairs(row) for one in value.values() if _is_rows(one) for row in one]
        return f"({'; '.join([inner, *rows])})"
    if isinstance(value, list):
        return " ".join(str(one) for one in value)
    if name == "outcome":
        return _OUTCOMES.get(value, str(value))
    if name in _INCARNATIONS:
        return f"{int(value):016x}"
    if name in _TIMES:
        return when(Instant(int(value)))
    return str(value)
