"""Mistakes in readable treaties and overlays: wrong dates, articles without effect, missing tests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, pairwise

from intelshare.errors import Place
from intelshare.instant import NEVER, Instant
from intelshare.labels import Interval, Reference, Registry, when
from intelshare.policy import Overlay, Party, Provision, Treaty, read_overlay, read_treaty
from intelshare.policy_tools.gather import gather
from intelshare.policy_tools.reports import Result, Severity, of_error
from intelshare.toml import Source


def check_treaty(text: str, name: str, registry: Registry) -> tuple[Treaty | None, list[Result]]:
    """Return the treaty, or None if the file is wrong, and all findings about it, in the order of lines."""
    treaty, errors = gather(text, name, registry, lambda top: read_treaty(top, registry))
    found = [of_error(error) for error in errors]
    if treaty is not None:
        source = Source(name, text)
        found += [
            *_dates(treaty, source),
            *_articles(treaty, source),
            *_rows(treaty, source, registry),
            *_unreachable(treaty, registry),
        ]
    return treaty, sorted(found, key=_line)


def check_overlay(text: str, name: str, registry: Registry) -> tuple[Overlay | None, list[Result]]:
    """Return the overlay, or None if the file is wrong, and all findings about it."""
    overlay, errors = gather(text, name, registry, lambda top: read_overlay(top, registry))
    found = [of_error(error) for error in errors]
    if overlay is not None:
        for rule in (*overlay.forbid, *overlay.hold, *overlay.oblige, *overlay.refuse):
            empty = [
                field for field in ("categories", "flags", "to") if getattr(rule.when, field) == frozenset()
            ]
            if empty:
                message = f"rule {rule.id} can never match: the list {empty[0]} is empty"
                found.append(Result(Severity.WARNING, rule.id, "RULE_NEVER_MATCHES", message, rule.place))
    return overlay, sorted(found, key=_line)


def check_treaties(treaties: Iterable[Treaty], tested: Iterable[str]) -> list[Result]:
    """Return the findings that only several files together show: ids used twice, and treaties that no test
    names.
    """
    found: list[Result] = []
    named = frozenset(tested)
    seen: dict[str, Place | None] = {}
    for treaty in treaties:
        if treaty.id in seen:
            first = seen[treaty.id]
            hint = None if first is None else f"the other is in {first.source}"
            message = f"two treaties are called {treaty.id!r}"
            found.append(Result(Severity.ERROR, treaty.id, "DUPLICATE_KEY", message, treaty.place, hint))
        seen.setdefault(treaty.id, treaty.place)
        if treaty.id not in named:
            found.append(
                Result(
                    Severity.WARNING,
                    treaty.id,
                    "TREATY_UNTESTED",
                    "no test names this treaty",
                    treaty.place,
                    f"write {treaty.id}_test.toml beside it",
                )
            )
    return found


def _line(result: Result) -> int:
    return 0 if result.place is None else result.place.line or 0


def _dates(treaty: Treaty, source: Source) -> Iterator[Result]:
    def wrong(path: tuple[str | int, ...], message: str, about: str) -> Result:
        place = source.place(path)
        return Result(Severity.ERROR, about, "DATES_OUT_OF_ORDER", message, place)

    if treaty.adopted is not None and treaty.adopted > treaty.in_force:
        yield wrong(("adopted",), "it was adopted after it entered into force", treaty.id)
    for number, party in enumerate(treaty.parties):
        at: tuple[str | int, ...] = ("party", number)
        if party.signed is not None and party.ratified is not None and party.signed > party.ratified:
            yield wrong((*at, "signed"), "it was signed after it was ratified", party.member)
        if party.in_force and party.in_force[0].start < treaty.in_force:
            message = f"it was in force for {party.member} before the treaty itself ({when(treaty.in_force)})"
            yield wrong((*at, "in_force"), message, party.member)
        ends = [during.until for during in party.in_force if during.until < NEVER]
        if any(not any(notice <= end for end in ends) for notice in party.notified):
            message = "there is a notice of withdrawal, but no withdrawal takes effect at or after it"
            yield wrong((*at, "notified"), message, party.member)
        for during in party.suspended:
            if not any(_meet(during, own) for own in party.in_force):
                message = (
                    f"it is suspended from {when(during.start)}, while the treaty is not in force for it"
                )
                yield wrong((*at, "suspended"), message, party.member)


def _articles(treaty: Treaty, source: Source) -> Iterator[Result]:
    life = Interval(treaty.in_force, treaty.terminated)
    together = list(_two_active(treaty, life))
    for number, provision in enumerate(treaty.provisions):
        spans = [span for span in _effect(provision) if _meet(span, life)]
        why = None
        if not spans:
            why = "it is in effect only while the treaty is not in force"
        elif not any(_meet(span, pair) for span in spans for pair in together):
            why = "two parties are never bound while it is in effect"
        if why is not None:
            place = provision.place("") or source.place(("provision", number))
            message = f"{provision.article} can never apply: {why}"
            yield Result(Severity.ERROR, provision.article, "ARTICLE_NEVER_APPLIES", message, place)
    if not treaty.provisions:
        message = "the treaty has no provision, so it permits nothing"
        yield Result(Severity.WARNING, treaty.id, "ARTICLE_NEVER_APPLIES", message, treaty.place)


def _effect(provision: Provision) -> list[Interval]:
    spans = [Interval(provision.start, provision.until)]
    if provision.reinstated < NEVER:
        spans.append(Interval(max(provision.start, provision.reinstated), NEVER))
    return spans


def _two_active(treaty: Treaty, life: Interval) -> Iterator[Interval]:
    """Yield the periods of the treaty's life in which at least two parties are bound."""
    bounds = {life.start, life.until}
    for party in treaty.parties:
        for start, until in chain(party.in_force, party.suspended):
            bounds |= {start, until}
    ordered = sorted(bound for bound in bounds if life.start <= bound <= life.until)
    for start, until in pairwise(ordered):
        if sum(_active(party, start) for party in treaty.parties) >= 2:
            yield Interval(start, until)


def _active(party: Party, at: Instant) -> bool:
    return any(span.holds(at) for span in party.in_force) and not any(
        span.holds(at) for span in party.suspended
    )


def _rows(treaty: Treaty, source: Source, registry: Registry) -> Iterator[Result]:
    parties = {party.member for party in treaty.parties}
    for number, row in enumerate(treaty.equivalence):
        why = None
        if row.to not in parties:
            why = f"{row.to} is not a party"
        elif registry.is_state(row.origin) and row.origin not in parties:
            why = f"{row.origin} is not a party"
        else:
            own = treaty.ladder(row.origin, registry).read(row.level, None)
            used = treaty.ladder(row.to, registry).read(row.name, None)
            if own is not None and used is not None and used.reference < own.reference:
                why = f"{row.name} protects less than {row.level}"
        if why is not None:
            place = source.place(("equivalence", number))
            yield Result(Severity.WARNING, treaty.id, "ROW_VOID", f"the row has no effect: {why}", place)


def _unreachable(treaty: Treaty, registry: Registry) -> Iterator[Result]:
    """Yield the parties that nothing classified can reach: none of their levels is known, and no row names
    one.
    """
    if treaty.unclassified_only or all(one.ceiling == Reference.R0.name for one in treaty.provisions):
        return
    named = {row.to for row in treaty.equivalence}
    for party in treaty.parties:
        if party.member in named or any(row.known for row in treaty.ladder(party.member, registry).rows):
            continue
        message = f"no classified information can reach {party.member}: none of its levels is known"
        hint = "state one in ladders/, a ladder or an equivalence row, or say why not in unclassified_only"
        yield Result(Severity.WARNING, party.member, "PARTY_UNREACHABLE", message, party.place, hint)


def _meet(one: Interval, other: Interval) -> bool:
    return one.start < other.until and other.start < one.until
