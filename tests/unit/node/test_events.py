"""Logs are from a closed list (I15): every call in the source is held to the table of events and fields."""

from __future__ import annotations

import ast
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import intelshare
from intelshare.errors import ConfigError
from intelshare.metrics.table import LABELS
from intelshare.node.events import FIELDS, LONGEST, LOST, Event, Form, Level, Logger
from intelshare.node.notices import _LOGGED
from source_files import nodes_with

SOURCE = Path(intelshare.__file__).parent


ROOMS = ("node", "engine", "broker", "services", "store", "postgres", "vault")
"""Folders with code that runs in a node."""
DYNAMIC = ("links.py",)
"""Modules that look up which event to log: in ``_LOGGED``."""


def calls() -> Iterator[tuple[str, str, set[str]]]:
    """(place, event, fields) of every call that logs."""
    for path, node in nodes_with(SOURCE, *(f".{level}" for level in Level)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
            continue
        event = node.args[0]
        named = isinstance(event, ast.Attribute) and isinstance(event.value, ast.Name)
        if node.func.attr in list(Level) and path.parts[-2] in ROOMS:
            assert named or path.name in DYNAMIC, f"{path}:{node.lineno}"
        if node.func.attr in list(Level) and named and event.value.id in ("Event", "Logged"):
            place = f"{path.relative_to(SOURCE)}:{node.lineno}"
            assert all(keyword.arg for keyword in node.keywords), place
            yield place, event.attr, {keyword.arg or "" for keyword in node.keywords}


def test_every_call_says_only_what_its_event_may() -> None:
    found = list(calls())
    assert len(found) > 15
    for place, event, fields in found:
        assert fields <= FIELDS[Event[event]], place
    dynamic = {event for _, event in _LOGGED.values()}
    assert all(FIELDS[event] >= {"peer", "code"} for event in dynamic)
    assert {Event[event] for _, event, _ in found} | dynamic == set(Event)
    assert set(FIELDS) >= set(Event)
    for event in (*Event, LOST):
        assert LABELS["event"].fullmatch(event), "it is a label of a metric"


def test_a_node_writes_nowhere_else() -> None:
    for path, node in nodes_with(SOURCE, "logging", "warnings", "traceback", "print("):
        if path.relative_to(SOURCE).parts[0] not in ROOMS or path.name in ("stray_lines.py", "traces.py"):
            continue
        place = f"{path.relative_to(SOURCE)}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Import):
            assert not {name.name for name in node.names} & {"logging", "warnings", "traceback"}, place
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "print", place


def written(form: Form = Form.JSON, level: Level = Level.INFO, **fields: object) -> str:
    out = io.StringIO()
    Logger(out, form=form, level=level).warning(Event.RECORD_DAMAGED, **fields)
    return out.getvalue()


class Secret:
    def __repr__(self) -> str:
        return "CANARY"


@pytest.mark.parametrize("value", [Secret(), b"CANARY", ["CANARY"], ValueError("CANARY"), {"CANARY": 1}])
def test_a_value_that_is_no_number_and_no_line_is_named_by_its_type(value: object) -> None:
    for form in Form:
        line = written(form, record=value)
        assert "CANARY" not in line
        assert type(value).__name__ in line


def test_a_field_that_is_not_listed_is_dropped_and_a_line_is_one_line() -> None:
    line = written(Form.TEXT, text="CANARY", record="a\nb" + "x" * 1000)
    assert "CANARY" not in line
    assert line.count("\n") == 1
    assert len(line) < LONGEST + 100
    assert json.loads(written(code="X"))["code"] == "X"


def test_what_matters_less_is_left_out_and_counted_all_the_same() -> None:
    out = io.StringIO()
    log = Logger(out, level=Level.ERROR)
    log.info(Event.STOPPED)
    log.error(Event.FATAL, code="X")
    assert len(out.getvalue().splitlines()) == 1
    assert log.lines == {(Event.STOPPED, Level.INFO): 1, (Event.FATAL, Level.ERROR): 1}


def test_a_log_that_was_moved_away_goes_on_under_its_name(tmp_path: Path) -> None:
    path = tmp_path / "node.log"
    log = Logger(file=path)
    log.info(Event.STOPPING)
    path.rename(tmp_path / "node.log.1")
    log.info(Event.STOPPED)
    log.reopen()
    assert len((tmp_path / "node.log.1").read_text().splitlines()) == 2
    assert json.loads(path.read_text())["event"] == "log.reopened"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for path in (tmp_path / "none" / "log", tmp_path / "link"):
        with pytest.raises(ConfigError, match="cannot be written") as raised:
            Logger(file=path)
        assert raised.value.code == "LOG_FILE"


def test_a_full_disk_loses_lines_and_ends_nothing(tmp_path: Path) -> None:
    log = Logger(file=tmp_path / "log")
    log._out.close()
    log._out = os.fdopen(os.open("/dev/full", os.O_WRONLY), "w")
    log.info(Event.STOPPED)
    assert log.lines[LOST, Level.ERROR] == 1
