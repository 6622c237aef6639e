"""Vectors of labels, conversion, banners, decisions and drafts (``tests/vectors/README.md``)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from intelshare import instant
from intelshare.conformance.shapes import Answer, Case, Setting, Shape, only_known, unusable
from intelshare.errors import IntelshareError
from intelshare.labels import convert, format_banner, format_portion, parse_label, rollup
from intelshare.policy import Outcome, comes_from, decide, foreign_owners, read_decision
from intelshare.policy.vectors import label_to_json, read_request_from_json, request_from_json


def _label(case: Case, setting: Setting) -> Iterator[Answer]:
    registry = setting.registry
    at = instant.parse(case["at"]) if "at" in case else None
    names = [name for name in ("banner", "portion") if name in case]
    expected = {"label": _without_notes(case.get("expect")), **{name: case[name] for name in names}}
    try:
        label = parse_label(case["text"], registry, at, case.get("use", "read"))
    except IntelshareError as error:
        yield Answer("", _expected(case, expected), {"error": error.code})
        return
    texts = {"banner": format_banner(label, registry), "portion": format_portion(label, registry)}
    got: dict[str, Any] = {"label": label_to_json(label), **{name: texts[name] for name in names}}
    for form, text in texts.items():
        if parse_label(text, registry) != label:
            got["round trip"] = f"the {form} {text!r} reads as another label"
    yield Answer("", _expected(case, expected), got)


def _conversion(case: Case, setting: Setting) -> Iterator[Answer]:
    at = instant.parse(case["at"])
    try:
        got: Any = convert(setting.registry, case["from"], case["level"], case["to"], at).name
    except IntelshareError as error:
        got = {"error": error.code}
    yield Answer("", _expected(case, case.get("expect")), got)


def _banner(case: Case, setting: Setting) -> Iterator[Answer]:
    registry = setting.registry
    at = instant.parse(case["at"])
    try:
        labels = [parse_label(text, registry, at) for text in case["portions"]]
        got: Any = format_banner(rollup(case["originator"], at, labels, registry), registry)
    except IntelshareError as error:
        got = {"error": error.code}
    yield Answer("", _expected(case, case.get("expect")), got)


def _decision(case: Case, setting: Setting) -> Iterator[Answer]:
    world = setting.world
    if world is None:
        raise unusable(f"case {case.get('id', '?')} is a decision, but its file has no world")
    expected = _without_notes(case["expect"])
    if "reader" in case:
        reading = read_decision(world, read_request_from_json(case))
        denied = {"outcome": "deny", "reasons": [code.value for code in reading.codes]}
        yield Answer("", expected, {"outcome": "allow"} if reading.allowed else denied)
        return
    decision = decide(world, request_from_json(case))
    got: dict[str, Any] = {"outcome": decision.outcome.value}
    if decision.outcome is Outcome.DENY:
        got["reasons"] = list(decision.codes)
    else:
        got |= {"basis": decision.basis, "obligations": list(decision.obligations)}
    yield Answer("", expected, got)


def _handed_in(case: Case, setting: Setting) -> Iterator[Answer]:
    only_known(case, _HANDED_IN | {"name", "source", "expect", "error"})
    registry, source = setting.registry, case.get("source")
    label = parse_label(case["handed_in"], registry)
    got: Any = "accepted"
    if foreign_owners(label, case["member"], registry):
        known = [parse_label(text, registry) for text in source["portions"]] if source else []
        if source is None or not comes_from(label, source["originator"], known, registry):
            got = {"error": "FOREIGN_LABEL"}
    yield Answer("", _expected(case, case.get("expect")), got)


def _expected(case: Case, otherwise: Any) -> Any:
    return {"error": case["error"]} if "error" in case else otherwise


def _without_notes(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: item for key, item in value.items() if key != "note"}
    return value


_REQUEST = frozenset(
    (
        "at",
        "from",
        "to",
        "label",
        "flags",
        "originator",
        "consents",
        "approvals",
        "recalled",
        "valid_until",
        "reader",
        "basis",
    )
)

_HANDED_IN = frozenset(("member", "handed_in"))

POLICY_SHAPES = (
    Shape("label of what is handed in", _HANDED_IN, _handed_in, frozenset(("source", "at"))),
    Shape("label", frozenset(("text",)), _label, frozenset(("at", "use", "banner", "portion"))),
    Shape("banner", frozenset(("portions",)), _banner, frozenset(("originator", "at"))),
    Shape("decision", frozenset(("category",)), _decision, _REQUEST),
    Shape("conversion", frozenset(("level",)), _conversion, frozenset(("from", "to", "at"))),
)
