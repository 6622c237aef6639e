"""Vectors against this implementation: labels, conversion, banners and decisions, judged case by case.

The shapes are those of ``tests/vectors/README.md``. A case is known by its keys, so one file may hold one
list, one object of several lists, a ``{world, cases}``, or a list of those.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from intelshare import instant
from intelshare.errors import IntelshareError, PolicyFileError
from intelshare.labels import Label, Registry, convert, format_banner, format_portion, parse_label, rollup
from intelshare.policy import Outcome, World, decide, read_decision
from intelshare.policy.vectors import read_request_from_json, request_from_json, world_from_json

MAX_DEPTH = 8
"""How deep lists and objects around the cases may nest."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A case that this implementation answers otherwise. ``expected`` and ``got`` are JSON texts."""

    case: str
    expected: str
    got: str


def conform(document: Any, registry: Registry) -> tuple[int, list[Mismatch]]:
    """How many cases of a JSON document were checked, and those that do not match.

    Raises PolicyFileError INPUT_INVALID where a case has no known shape or lacks what it needs.
    """
    checked = 0
    mismatches: list[Mismatch] = []
    for case, judge in _cases(document, registry, None, 0):
        name = str(case.get("id", f"case {checked + 1}"))
        try:
            expected, got = judge(case)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _unusable(f"case {name} cannot be used: {error!r}") from None
        checked += 1
        if expected != got:
            mismatches.append(Mismatch(name, _text(expected), _text(got)))
    return checked, mismatches


_Judge = Callable[[Mapping[str, Any]], tuple[Any, Any]]


def _cases(
    node: Any, registry: Registry, world: World | None, depth: int
) -> Iterator[tuple[Mapping[str, Any], _Judge]]:
    """Every case with what judges it, in the order of the document."""
    if depth > MAX_DEPTH:
        raise _unusable("the file nests too deeply")
    if isinstance(node, list):
        for item in node:
            yield from _cases(item, registry, world, depth + 1)
        return
    if not isinstance(node, dict):
        raise _unusable(f"a case is an object, not {_text(node)[:80]}")
    if "world" in node:
        try:
            inner = world_from_json(node["world"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _unusable(f"the world cannot be used: {error!r}") from None
        yield from _cases(node.get("cases", []), registry, inner, depth + 1)
        rest = {key: value for key, value in node.items() if key not in ("world", "cases")}
        yield from _nested(rest, registry, None, depth)
    elif "expect" in node or "error" in node:
        yield node, _judge_of(node, registry, world)
    else:
        yield from _nested(node, registry, world, depth)


def _nested(
    node: Mapping[str, Any], registry: Registry, world: World | None, depth: int
) -> Iterator[tuple[Mapping[str, Any], _Judge]]:
    """The lists and objects inside an object; its plain values (notes, seeds) are for people."""
    for value in node.values():
        if isinstance(value, list | dict):
            yield from _cases(value, registry, world, depth + 1)


def _judge_of(case: Mapping[str, Any], registry: Registry, world: World | None) -> _Judge:
    if "text" in case:
        return lambda case: _label(case, registry)
    if "portions" in case:
        return lambda case: _banner(case, registry)
    if "level" in case:
        return lambda case: _conversion(case, registry)
    if "category" in case and world is not None:
        return lambda case: _decision(case, world)
    raise _unusable(f"case {case.get('id', '?')} is no label, conversion, banner or decision")


def _label(case: Mapping[str, Any], registry: Registry) -> tuple[Any, Any]:
    at = instant.parse(case["at"]) if "at" in case else None
    names = [name for name in ("banner", "portion") if name in case]
    expected = {"label": _without_notes(case.get("expect")), **{name: case[name] for name in names}}
    try:
        label = parse_label(case["text"], registry, at, case.get("use", "read"))
    except IntelshareError as error:
        return _expected(case, expected), {"error": error.code}
    texts = {"banner": format_banner(label, registry), "portion": format_portion(label, registry)}
    got: dict[str, Any] = {"label": label_json(label), **{name: texts[name] for name in names}}
    for form, text in texts.items():
        if parse_label(text, registry) != label:
            got["round trip"] = f"the {form} {text!r} reads as another label"
    return _expected(case, expected), got


def _conversion(case: Mapping[str, Any], registry: Registry) -> tuple[Any, Any]:
    at = instant.parse(case["at"])
    try:
        got: Any = convert(registry, case["from"], case["level"], case["to"], at).name
    except IntelshareError as error:
        got = {"error": error.code}
    return _expected(case, case.get("expect")), got


def _banner(case: Mapping[str, Any], registry: Registry) -> tuple[Any, Any]:
    at = instant.parse(case["at"])
    try:
        labels = [parse_label(text, registry, at) for text in case["portions"]]
        got: Any = format_banner(rollup(case["originator"], at, labels, registry), registry)
    except IntelshareError as error:
        got = {"error": error.code}
    return _expected(case, case.get("expect")), got


def _decision(case: Mapping[str, Any], world: World) -> tuple[Any, Any]:
    expected = _without_notes(case["expect"])
    if "reader" in case:
        reading = read_decision(world, read_request_from_json(case))
        if reading.allowed:
            return expected, {"outcome": "allow"}
        return expected, {"outcome": "deny", "reasons": [code.value for code in reading.codes]}
    decision = decide(world, request_from_json(case))
    got: dict[str, Any] = {"outcome": decision.outcome.value}
    if decision.outcome is Outcome.DENY:
        got["reasons"] = list(decision.codes)
    else:
        got |= {"basis": decision.basis, "obligations": list(decision.obligations)}
    return expected, got


def label_json(label: Label) -> dict[str, Any]:
    """The label in the shape of ``labels.json``: a key is absent where the label has none."""
    fields = {
        "authority": label.authority,
        "level": label.level,
        "releasable_to": None if label.releasable_to is None else list(label.releasable_to),
        "controls": list(label.controls) or None,
        "tlp": label.tlp,
        "owners": list(label.owners) or None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _expected(case: Mapping[str, Any], otherwise: Any) -> Any:
    return {"error": case["error"]} if "error" in case else otherwise


def _without_notes(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: item for key, item in value.items() if key != "note"}
    return value


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _unusable(message: str) -> PolicyFileError:
    return PolicyFileError("INPUT_INVALID", message, hint="the shapes are in tests/vectors/README.md")
