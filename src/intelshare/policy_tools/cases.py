"""Policy tests from TOML: cases, and matrices of members and levels. Text in, values out."""

from __future__ import annotations

from dataclasses import dataclass, replace

from intelshare.errors import LabelError, Place
from intelshare.instant import Instant
from intelshare.labels import Label, Registry, WordKind, parse_label
from intelshare.policy import Code, Outcome, Request, check_word
from intelshare.toml import Table, guess

_CODES = [code.value for code in Code]
_OUTCOMES = [outcome.value for outcome in Outcome]
_CELLS = ["allow", "hold", *_CODES]


@dataclass(frozen=True, slots=True)
class Case:
    """One question and the expected answer; a field that is None is not checked."""

    name: str
    request: Request
    expect: Outcome
    reason: str | None = None
    """The primary code of a denial."""
    reasons: tuple[str, ...] | None = None
    """All codes of a denial."""
    basis: str | None = None
    article: str | None = None
    obligations: tuple[str, ...] | None = None
    holds: tuple[str, ...] | None = None
    level: str | None = None
    """The recipient's equivalent of the label's level, under the first treaty that the decision names."""
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class Suite:
    """One test file: the names of the files that make its world, and its cases."""

    name: str
    treaties: tuple[str, ...]
    overlays: tuple[str, ...]
    members: tuple[str, ...] | None
    """The members that can send and receive; None means every state and organisation."""
    cases: tuple[Case, ...]
    place: Place | None = None


def read_suite(top: Table, registry: Registry, as_of: Instant) -> Suite:
    """Read the suite of a test file. A case that states no time is judged at ``as_of``.

    Raises PolicyFileError at the first error: FIELD_*, PARTY_UNKNOWN, or the code of a label's error.
    """
    world = top.must("world")
    treaties = world.texts_or("treaties", ())
    overlays = world.texts_or("overlays", ())
    members = world.texts_or("members", None)
    for code in members or ():
        _known(world, "members", code, registry)
    world.close()
    cases = [_case(table, registry, as_of) for table in top.tables("case")]
    for table in top.tables("matrix"):
        cases += _matrix(table, registry, as_of)
    suite = Suite(
        name=top.source.name,
        treaties=treaties,
        overlays=overlays,
        members=members,
        cases=tuple(cases),
        place=top.source.place(("world",)),
    )
    top.close()
    return suite


def _case(table: Table, registry: Registry, as_of: Instant) -> Case:
    name = table.text("name")
    at = table.instant_or("at", as_of)
    recipient = table.text("to")
    text = table.text("label")
    request = _request(table, at, recipient, _label(table, text, "label", registry, at), registry)
    expect = Outcome(table.choice("expect", str, _OUTCOMES))
    case = Case(
        name=name,
        request=request,
        expect=expect,
        reason=table.choice("reason", str, _CODES) if table.has("reason") else table.text_or("reason", None),
        reasons=table.texts_or("reasons", None),
        basis=table.text_or("basis", None),
        article=table.text_or("article", None),
        obligations=table.texts_or("obligations", None),
        holds=table.texts_or("holds", None),
        level=table.text_or("as", None),
        place=table.source.place(table.path),
    )
    for code in case.reasons or ():
        if code not in _CODES:
            table.fail("FIELD_RANGE", f"there is no code {code!r}", "reasons", guess(code, _CODES), code)
    denial, grant = ("reason", "reasons"), ("basis", "article", "obligations", "holds")
    for field in grant if expect is Outcome.DENY else denial:
        if table.has(field):
            table.fail("FIELD_RANGE", f"{field} does not apply to a case that expects {expect.value}", field)
    table.close()
    return case


def _matrix(table: Table, registry: Registry, as_of: Instant) -> list[Case]:
    """Read a row of ``expect`` per level, with a cell per recipient: ``allow``, ``hold`` or the primary
    code.
    """
    name = table.text("name")
    at = table.instant_or("at", as_of)
    label, members, levels = table.text("label"), table.texts("to"), table.texts("levels")
    rows = table.rows("expect")
    if len(rows) != len(levels) or any(len(row) != len(members) for row in rows):
        message = f"{len(levels)} levels and {len(members)} members need the same number of rows and columns"
        table.fail("FIELD_RANGE", message, "expect")
    base = _request(table, at, members[0] if members else "", Label(), registry)
    place = table.source.place(table.path)
    cases: list[Case] = []
    for level, row in zip(levels, rows, strict=True):
        for member, cell in zip(members, row, strict=True):
            _known(table, "to", member, registry)
            if cell not in _CELLS:
                hint = guess(cell, _CELLS) or "use allow, hold or a reason code"
                table.fail("FIELD_RANGE", f"{cell!r} is not an outcome", "expect", hint, cell)
            text = label.replace("{level}", level).replace("{to}", member)
            label_there = _label(table, text, "label", registry, at)
            granted = cell in _OUTCOMES
            cases.append(
                Case(
                    name=f"{name}: {level} to {member}",
                    request=replace(base, recipient=member, label=label_there),
                    expect=Outcome(cell) if granted else Outcome.DENY,
                    reason=None if granted else cell,
                    place=place,
                )
            )
    table.close()
    return cases


def _request(table: Table, at: Instant, recipient: str, label: Label, registry: Registry) -> Request:
    originator = table.text_or("originator", None)
    request = Request(
        label=label,
        category=_category(table, registry),
        at=at,
        sender=table.text("from"),
        recipient=recipient,
        originator=originator,
        flags=frozenset(_flags(table, registry)),
        consents=frozenset(table.texts_or("consents", ())),
        approvals=frozenset(table.texts_or("approvals", ())),
        recalled=table.flag("recalled"),
        valid_until=table.instant_or("valid_until", None),
    )
    for field, code in (("from", request.sender), ("to", recipient), ("originator", originator)):
        # A case may expect UNKNOWN_MEMBER; a mistyped code anywhere else would make a test pass falsely.
        if code is not None and not table.has("reason"):
            _known(table, field, code, registry)
    return request


def _category(table: Table, registry: Registry) -> str:
    word = table.text("category")
    check_word(table, "category", WordKind.CATEGORY, word, registry)
    return word


def _flags(table: Table, registry: Registry) -> tuple[str, ...]:
    words = table.texts_or("flags", ())
    for word in words:
        check_word(table, "flags", WordKind.FLAG, word, registry)
    return words


def _label(table: Table, text: str, name: str, registry: Registry, at: Instant) -> Label:
    try:
        return parse_label(text, registry, at)
    except LabelError as error:
        table.fail(error.code, f"{text!r}: {error.message}", name, error.hint, text)


def _known(table: Table, name: str, code: str, registry: Registry) -> None:
    if not registry.is_member(code):
        hint = guess(code, (*registry.states, *registry.groups))
        table.fail("PARTY_UNKNOWN", f"{code!r} is not a member code", name, hint, code)
