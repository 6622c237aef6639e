"""Claims about all decisions at once: a small closed grammar, read into a value.

    no LEVEL to WHOM [of MEMBER] [from MEMBER] [about CATEGORY] [with FLAG] [TIME]

    LEVEL   R0 to R4, UNCLASSIFIED to TOP SECRET, or an authority's (NATO SECRET, FRA SECRET): that or higher
    WHOM    MEMBER, anybody, or anybody outside GROUP
    of      the owner of the information; from: its sender
    TIME    before DATE, after DATE, between DATE and DATE; a DATE is 2027, 2027-06-30 or a time with offset

A claim does not cover information that returns to its originator. Information held for an officer may still
go, so it counts as going. A claim without a time is about all time, including the past.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

from intelshare import instant
from intelshare.errors import ConfigError, LabelError, Place
from intelshare.instant import Instant
from intelshare.labels import JOINT, Interval, Reference, Registry, parse_label
from intelshare.toml import guess

FIRST, LAST = instant.parse("0001-01-01"), instant.parse("9999-12-31")
"""The calendar: no claim is about instants outside it."""

CALENDAR = Interval(FIRST, LAST)

_CLAUSES = ("to", "of", "from", "about", "with", "before", "after", "between", "and")
_TIMES = ("before", "after", "between", "and")
_WORD = re.compile(r"\S+")
_YEAR = re.compile(r"\d{4}")
_FORM = "no LEVEL to WHOM [of MEMBER] [from MEMBER] [about CATEGORY] [with FLAG] [before DATE]"


@dataclass(frozen=True, slots=True)
class Claim:
    """The claim that nothing of ``least`` or higher goes to ``recipient`` (None: anybody not in ``outside``)
    ``during`` an interval.
    """

    text: str
    least: Reference
    recipient: str | None
    authority: str | None = None
    outside: str | None = None
    originator: str | None = None
    sender: str | None = None
    category: str | None = None
    flag: str | None = None
    during: Interval = CALENDAR


def parse_claim(text: str, registry: Registry) -> Claim:
    """Read the claim in a text. Raises ConfigError INPUT_INVALID with the place in the text."""
    words = list(_WORD.finditer(text))
    if not words or words[0].group().lower() != "no":
        _wrong(text, words[0] if words else None, 'a claim begins with "no"')
    clauses: dict[str, list[re.Match[str]]] = {"no": []}
    began = {"no": words[0]}
    clause = "no"
    for word in words[1:]:
        key = word.group().lower()
        if key in _CLAUSES:
            if key in clauses:
                _wrong(text, word, f"{key!r} is repeated")
            clause, clauses[key], began[key] = key, [], word
        else:
            clauses[clause].append(word)
    for name, said in clauses.items():
        if not said:
            _wrong(text, began[name], f"something is missing after {name!r}")
    if "to" not in clauses:
        _wrong(text, words[-1], "the claim does not say to whom")

    def member(name: str) -> str | None:
        if name not in clauses:
            return None
        word = _single(text, clauses[name])
        code = word.group().upper()
        if not registry.is_member(code):
            _wrong(text, word, f"{code!r} is not a state or organisation", guess(code, registry.nodes))
        return code

    least, authority = _level(text, clauses["no"], registry)
    anybody, outside = _whom(text, clauses["to"], registry)
    return Claim(
        text=text,
        least=least,
        authority=authority,
        recipient=None if anybody else member("to"),
        outside=outside,
        originator=member("of"),
        sender=member("from"),
        category=_single(text, clauses["about"]).group() if "about" in clauses else None,
        flag=_single(text, clauses["with"]).group() if "with" in clauses else None,
        during=_time(text, clauses),
    )


def _single(text: str, said: list[re.Match[str]]) -> re.Match[str]:
    if len(said) > 1:
        _wrong(text, said[1], f"{said[1].group()!r} is one word too many here")
    return said[0]


def _level(text: str, said: list[re.Match[str]], registry: Registry) -> tuple[Reference, str | None]:
    """Read a reference level, by number or in English; or a level with its authority."""
    words = " ".join(word.group() for word in said).upper()
    for reference in Reference:
        if words in (reference.name, reference.word):
            return reference, None
    try:
        label = parse_label(f"//{words}", registry)
    except LabelError as error:
        hint = guess(words, [*Reference.__members__, *(reference.word for reference in Reference)])
        _wrong(text, said[0], f"{words!r} is not a level: {error.message}", hint)
    level = registry.ladder(label.authority or "").read(label.level or "", None)
    if level is None or label.authority == JOINT or label.releasable_to is not None or label.controls:
        _wrong(text, said[0], "only a level is expected here")
    return level.reference, label.authority


def _whom(text: str, said: list[re.Match[str]], registry: Registry) -> tuple[bool, str | None]:
    """Return True if the claim is about anybody, and the group that they are outside, if any."""
    words = [word.group() for word in said]
    if words[0].lower() != "anybody":
        return False, None
    if len(words) == 1:
        return True, None
    if words[1].lower() != "outside" or len(words) != 3:
        _wrong(text, said[1], 'after "anybody" only "outside GROUP" is expected')
    code = words[2].upper()
    if code not in registry.groups:
        _wrong(text, said[2], f"{code!r} is not a group or organisation", guess(code, registry.groups))
    return True, code


def _time(text: str, clauses: dict[str, list[re.Match[str]]]) -> Interval:
    given = {name for name in _TIMES if name in clauses}
    if given & {"between", "and"} and given != {"between", "and"}:
        _wrong(text, None, "a time is before DATE, after DATE, or between DATE and DATE")
    dates = {name: _date(text, clauses[name]) for name in given}
    start = dates.get("after", dates.get("between", FIRST))
    until = dates.get("before", dates.get("and", LAST))
    if until <= start:
        _wrong(text, None, "the time ends before it begins")
    return Interval(start, until)


def _date(text: str, said: list[re.Match[str]]) -> Instant:
    word = _single(text, said)
    date = word.group()
    try:
        return instant.parse(f"{date}-01-01" if _YEAR.fullmatch(date) else date)
    except ValueError:
        _wrong(text, word, f"{date!r} is not a date", "write 2027, 2027-06-30 or a time with its offset")


def _wrong(text: str, word: re.Match[str] | None, message: str, hint: str | None = None) -> NoReturn:
    start, width = (0, len(text)) if word is None else (word.start(), len(word.group()))
    place = Place("claim", 1, start + 1, excerpt=text, width=max(width, 1))
    raise ConfigError("INPUT_INVALID", message, place=place, hint=hint or _FORM)
