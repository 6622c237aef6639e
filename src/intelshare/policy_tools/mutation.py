"""Mutation tests of policy: drop or flip one thing of a treaty or overlay at a time, and see whether a test
notices.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from dataclasses import fields as dataclass_fields

from intelshare.errors import Place
from intelshare.instant import NEVER
from intelshare.labels import Interval, Reference, Registry
from intelshare.policy import Overlay, Party, Provision, Rule, Treaty, When, reference_of
from intelshare.policy_tools.trial import Bench, passes


@dataclass(frozen=True, slots=True)
class Mutant:
    """The change in words, its place, and the treaty or overlay with the change."""

    what: str
    place: Place | None
    treaty: Treaty | None = None
    overlay: Overlay | None = None


def survivors(benches: list[Bench]) -> tuple[int, list[Mutant]]:
    """Return the number of mutants, and those that no case notices. The benches must pass unchanged."""
    treaties = {treaty.id: (treaty, bench.registry) for bench in benches for treaty in bench.treaties}
    overlays = {overlay.member: overlay for bench in benches for overlay in bench.overlays}
    mutants = [
        mutant for treaty, registry in treaties.values() for mutant in treaty_mutants(treaty, registry)
    ]
    mutants += [mutant for overlay in overlays.values() for mutant in overlay_mutants(overlay)]
    return len(mutants), [mutant for mutant in mutants if not _noticed(mutant, benches)]


def _noticed(mutant: Mutant, benches: list[Bench]) -> bool:
    return any(
        not passes(changed.world(), changed.suite.cases)
        for bench in benches
        if (changed := _with(bench, mutant)) is not None
    )


def _with(bench: Bench, mutant: Mutant) -> Bench | None:
    treaty, overlay = mutant.treaty, mutant.overlay
    if treaty is not None and any(own.id == treaty.id for own in bench.treaties):
        return replace(
            bench, treaties=tuple(treaty if own.id == treaty.id else own for own in bench.treaties)
        )
    if overlay is not None and any(own.member == overlay.member for own in bench.overlays):
        return replace(
            bench, overlays=tuple(overlay if own.member == overlay.member else own for own in bench.overlays)
        )
    return None


def treaty_mutants(treaty: Treaty, registry: Registry) -> Iterator[Mutant]:
    """Yield every single change of a treaty. The text hash stays, because each change would otherwise be
    noticed by it.
    """

    def mutant(what: str, place: Place | None, **fields: object) -> Mutant:
        return Mutant(f"{treaty.id}: {what}", place or treaty.place, treaty=replace(treaty, **fields))  # type: ignore[arg-type]

    if treaty.terminated < NEVER:
        yield mutant("never terminated", None, terminated=NEVER)
    for number, provision in enumerate(treaty.provisions):
        others = treaty.provisions[:number] + treaty.provisions[number + 1 :]
        yield mutant(f"{provision.article} dropped", provision.place(""), provisions=others)
        for what, field, changed in _provision_mutants(provision, treaty, registry):
            yield mutant(f"{provision.article} {what}", provision.place(field), provisions=(*others, changed))
    for number, party in enumerate(treaty.parties):
        rest = treaty.parties[:number] + treaty.parties[number + 1 :]
        yield mutant(f"{party.member} is not a party", party.place, parties=rest)
        for what, other in _party_mutants(party):
            yield mutant(f"{party.member} {what}", party.place, parties=(*rest, other))
    for number, row in enumerate(treaty.equivalence):
        rows = treaty.equivalence[:number] + treaty.equivalence[number + 1 :]
        yield mutant(f"row {row.origin} {row.level} to {row.to} dropped", None, equivalence=rows)
    for ladder in treaty.ladders:
        remaining = tuple(one for one in treaty.ladders if one != ladder)
        yield mutant(f"levels of {ladder.authority} dropped", None, ladders=remaining)


def _provision_mutants(
    provision: Provision, treaty: Treaty, registry: Registry
) -> Iterator[tuple[str, str, Provision]]:
    ceiling = reference_of(provision.ceiling, registry, treaty.in_force)
    for step, word in ((1, "raised"), (-1, "lowered")):
        if ceiling is not None and 0 <= ceiling + step <= Reference.R4:
            changed = Reference(ceiling + step).name
            yield f"ceiling {word} to {changed}", "ceiling", replace(provision, ceiling=changed)
    for category in sorted(provision.categories):
        fewer = provision.categories - {category}
        yield f"category {category} dropped", "categories", replace(provision, categories=fewer)
    if "*" not in provision.categories:
        yield "open to all categories", "categories", replace(provision, categories=frozenset("*"))
    for obligation in provision.obligations:
        left = tuple(other for other in provision.obligations if other != obligation)
        yield f"obligation {obligation} dropped", "obligations", replace(provision, obligations=left)
    if provision.start > treaty.in_force:
        yield "begins with the treaty", "from", replace(provision, start=treaty.in_force)
    if provision.until < NEVER:
        yield "never ends", "until", replace(provision, until=NEVER, reinstated=NEVER)
    if provision.reinstated < NEVER:
        yield "never reinstated", "reinstated", replace(provision, reinstated=NEVER)


def _party_mutants(party: Party) -> Iterator[tuple[str, Party]]:
    for number, span in enumerate(party.in_force):
        if span.until < NEVER:
            before, after = party.in_force[:number], party.in_force[number + 1 :]
            until = after[0].start if after else NEVER
            yield "never withdrew", replace(party, in_force=(*before, Interval(span.start, until), *after))
    for number in range(len(party.suspended)):
        left = party.suspended[:number] + party.suspended[number + 1 :]
        yield "not suspended", replace(party, suspended=left)
    for number in range(len(party.reservations)):
        kept = party.reservations[:number] + party.reservations[number + 1 :]
        yield "without its reservation", replace(party, reservations=kept)


def overlay_mutants(overlay: Overlay) -> Iterator[Mutant]:
    """Yield the overlay with each rule dropped, and with each field of a condition dropped, so that it
    matches more.
    """
    for name in ("forbid", "hold", "oblige", "refuse"):
        rules: tuple[Rule, ...] = getattr(overlay, name)
        for number, rule in enumerate(rules):
            rest = rules[:number] + rules[number + 1 :]
            yield Mutant(
                f"{overlay.member}: {name} {rule.id} dropped",
                rule.place,
                overlay=replace(overlay, **{name: rest}),  # type: ignore[arg-type]
            )
            for field in dataclass_fields(When):
                if getattr(rule.when, field.name) is None:
                    continue
                wider = replace(rule, when=replace(rule.when, **{field.name: None}))
                yield Mutant(
                    f"{overlay.member}: {name} {rule.id} without {field.name}",
                    rule.place,
                    overlay=replace(overlay, **{name: (*rest, wider)}),  # type: ignore[arg-type]
                )
