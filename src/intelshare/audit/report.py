"""The compliance report: who shared which kinds of information with whom under which article. Two reports can
be compared.

A report contains kinds, levels, articles, codes and times, never a title or a text. It names each release by
the digest of its signed statement, so that the reports of sender and recipient can be laid side by side.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from intelshare.instant import HOUR

REPORT_SCHEMA: Final = "intelshare/compliance-report/1"

MAX_RELEASES: Final = 10_000

EDGE: Final = HOUR
"""The margin at a period's end: a release sent in one period may have arrived in the next."""

KEPT: Final = frozenset(("accepted", "read", "destroyed"))
"""The status words of a release that the recipient accepted."""


class Shared(msgspec.Struct, frozen=True):
    """The portions of one kind that went from one member to another under one article."""

    sender: str
    recipient: str
    treaty: str
    article: str
    category: str
    level: str
    bulletins: int
    portions: int


class Stopped(msgspec.Struct, frozen=True):
    """The bulletins that were not sent, or not accepted, and why."""

    sender: str
    recipient: str
    word: str
    code: str
    bulletins: int


class Released(msgspec.Struct, frozen=True):
    """One release as this side knows it."""

    statement: str
    sender: str
    recipient: str
    number: int
    at: int
    word: str
    treaties: list[str]


class Duty(msgspec.Struct, frozen=True):
    """An obligation of a received bulletin that was not met in time."""

    originator: str
    statement: str
    obligation: str
    due: int
    done: int
    """When it was met; 0 if not yet."""


class Report(msgspec.Struct, frozen=True):
    """One member's report over a period: from ``since`` on, before ``until`` (microseconds since 1970)."""

    schema: str
    member: str
    treaty: str
    """The treaty the report is about; if empty, all treaties and whatever needs none."""
    since: int
    until: int
    made: int
    shared: list[Shared]
    stopped: list[Stopped]
    releases: list[Released]
    missing: list[Released]
    """The releases handed over for which there is no receipt."""
    overdue: list[Duty]
    truncated: bool
    """True if there were more than 10,000 releases; choose a shorter period."""
    damaged: list[str]
    """The damaged records because of which something may be left out; at most 40."""


class Difference(msgspec.Struct, frozen=True):
    """One release on which two reports do not agree."""

    statement: str
    sender: str
    recipient: str
    what: str


def differences(ours: Report, theirs: Report) -> Iterator[Difference]:
    """Yield every release between the two members that one side does not know, or whose outcome differs."""
    pair = {ours.member, theirs.member}
    known = {one.statement: one for one in theirs.releases if {one.sender, one.recipient} == pair}
    for mine in ours.releases:
        if {mine.sender, mine.recipient} != pair:
            continue
        other = known.pop(mine.statement, None)
        if other is None:
            yield _difference(mine, _missing(mine, ours, theirs))
        elif _end(mine) != _end(other):
            yield _difference(mine, f"{ours.member}: {mine.word}, {theirs.member}: {other.word}")
        elif mine.word in KEPT and mine.treaties != other.treaties:
            basis = " | ".join(", ".join(one.treaties) or "none" for one in (mine, other))
            yield _difference(mine, f"different basis: {basis}")
    for other in known.values():
        yield _difference(other, _missing(other, theirs, ours))


def counts(report: Report, sender: str, recipient: str) -> tuple[int, int]:
    """Return (all releases, those that were accepted) from one member to another."""
    found = [one for one in report.releases if (one.sender, one.recipient) == (sender, recipient)]
    return len(found), sum(one.word in KEPT for one in found)


def _missing(one: Released, knows: Report, lacks: Report) -> str:
    if one.sender == knows.member:
        what = f"{knows.member} says it sent number {one.number}, {lacks.member} knows of none"
    else:
        what = f"{knows.member} says it received number {one.number}, {lacks.member} says it sent none"
    close = min(abs(one.at - lacks.since), abs(one.at - lacks.until)) < EDGE
    return f"{what} (within an hour of the period's end)" if close else what


def _end(one: Released) -> str:
    return "taken" if one.word in KEPT else one.word


def _difference(one: Released, what: str) -> Difference:
    return Difference(one.statement, one.sender, one.recipient, what)
