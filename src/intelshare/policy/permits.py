"""The treaty test: does any treaty between originator and recipient let this through, and if not, how near?

A treaty stops at the first that holds for it or either party (not ratified, not yet in force,
suspended, withdrawn, terminated, another text); else each of its provisions stops at the first of
scope, sunset, equivalence, ceiling, reservation, or permits, and the one that got furthest speaks.
Among treaties the same order decides what is reported; among those that permit, which one is the basis.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from intelshare.instant import Instant
from intelshare.labels import Reference, Registry, convert_reference, held, when
from intelshare.policy.decision import Citation, Code, Finding, Reason
from intelshare.policy.treaty import ANY_CATEGORY, Kind, Party, Provision, Reservation, Treaty, reference_of

_FURTHER = {code: rank for rank, code in enumerate(Code)}
_PERMITS = len(_FURTHER)
_SPECIFIC = {kind: rank for rank, kind in enumerate(Kind)}


@dataclass(frozen=True, slots=True)
class Tested:
    """``basis`` None: no treaty permits, and ``reason`` says how near the nearest one came."""

    basis: str | None
    citations: tuple[Citation, ...]
    obligations: tuple[str, ...]
    findings: tuple[Finding, ...]
    reason: Reason = field(default_factory=lambda: Reason(Code.NO_TREATY))
    """Why none permits; of no meaning where one does."""


_NO_TREATY = Tested(None, (), (), ())


@dataclass(frozen=True, slots=True, eq=False)
class _Candidate:
    """A treaty that lists both, its lifecycle already judged at the snapshot's instant."""

    treaty: Treaty
    parties: tuple[Party, Party]
    stopped: tuple[Code, str] | None


class Tester:
    """The treaties at one instant; pairs of parties are worked out when first asked for."""

    def __init__(
        self,
        registry: Registry,
        treaties: tuple[Treaty, ...],
        texts: Mapping[str, Mapping[str, str]],
        at: Instant,
    ) -> None:
        self._registry = registry
        self._at = at
        self._texts = texts
        self._pairs: dict[tuple[str, str], tuple[_Candidate, ...]] = {}
        self._by_member: dict[str, dict[str, tuple[Treaty, Party]]] = {}
        for treaty in sorted(treaties, key=_basis_order):
            for party in treaty.parties:
                self._by_member.setdefault(party.member, {})[treaty.id] = (treaty, party)

    def test(
        self, originator: str, recipient: str, authority: str | None, reference: Reference, category: str
    ) -> Tested:
        """What all treaties between the two say, with the basis and its obligations if one permits."""
        asked = [
            _ask(candidate, self._stops(candidate, authority, reference, category))
            for candidate in self._candidates(originator, recipient)
        ]
        if not asked:
            return _NO_TREATY
        # Candidates come in the order of the basis, and sorting keeps it among equals.
        asked.sort(key=lambda answer: -answer[0])
        findings = tuple(finding for _, finding, _, _ in asked)
        _, finding, treaty, permitting = asked[0]
        if finding.code is not None:
            where = finding.treaty if finding.article is None else f"{finding.treaty} {finding.article}"
            reason = Reason(finding.code, finding.detail, finding.place, treaty=where)
            return Tested(None, (), (), findings, reason)
        return Tested(
            basis=finding.treaty,
            citations=tuple(Citation(treaty.id, treaty.text, found.article) for found in permitting),
            obligations=tuple(sorted({duty for found in permitting for duty in found.obligations})),
            findings=findings,
        )

    def listing(self, treaty_id: str, member: str) -> Treaty | None:
        """The treaty of that id, if it lists the member as a party."""
        found = self._by_member.get(member, {}).get(treaty_id)
        return None if found is None else found[0]

    def _candidates(self, originator: str, recipient: str) -> tuple[_Candidate, ...]:
        pair = (originator, recipient)
        found = self._pairs.get(pair)
        if found is None:
            own, other = self._by_member.get(originator, {}), self._by_member.get(recipient, {})
            found = tuple(
                _Candidate(treaty, parties, _lifecycle(treaty, parties, self._texts, self._at))
                for treaty, party in own.values()
                if treaty.id in other
                for parties in [(party, other[treaty.id][1])]
            )
            # Only pairs of parties are kept: foreign names cannot grow the table.
            if own and other:
                self._pairs[pair] = found
        return found

    def _stops(
        self,
        candidate: _Candidate,
        authority: str | None,
        reference: Reference,
        category: str,
    ) -> list[tuple[Provision, Code | None, str]]:
        """Where each provision stops (None: permits), unless the treaty itself does."""
        if candidate.stopped is not None:
            return []
        treaty = candidate.treaty
        originator, recipient = (party.member for party in candidate.parties)
        source = self._registry.ladder(authority or "")
        target = self._registry.ladder(recipient)
        converts = convert_reference(reference, source, target, self._at, treaty.equivalence) is not None
        reserved = any(
            self._reserves(reservation, other, category, reference)
            for party, other in zip(candidate.parties, (recipient, originator), strict=True)
            for reservation in party.reservations
        )
        stops: list[tuple[Provision, Code | None, str]] = []
        for provision in sorted(treaty.provisions, key=_article):
            ceiling = reference_of(provision.ceiling, self._registry, self._at)
            code: Code | None = None
            detail = ""
            if category not in provision.categories and ANY_CATEGORY not in provision.categories:
                code, detail = (
                    Code.OUT_OF_SCOPE,
                    f"{category} is none of {', '.join(sorted(provision.categories))}",
                )
            elif not provision.in_effect(self._at):
                code, detail = Code.PROVISION_SUNSET, _sunset(provision, self._at)
            elif not converts:
                code, detail = Code.NO_EQUIVALENCE, f"{reference.word} has no equivalent for {recipient}"
            elif ceiling is None or reference > ceiling:
                limit = provision.ceiling if ceiling is None else ceiling.word
                code, detail = Code.EXCEEDS_CEILING, f"{reference.word} > {limit}"
            elif reserved:
                code, detail = Code.RESERVATION, f"a party reserves {category} at {reference.word}"
            stops.append((provision, code, detail))
        return stops

    def _reserves(
        self, reservation: Reservation, counterparty: str, category: str, reference: Reference
    ) -> bool:
        if not reservation.during.holds(self._at):
            return False
        if reservation.categories is not None and not {category, ANY_CATEGORY} & reservation.categories:
            return False
        if reservation.counterparties is not None and counterparty not in reservation.counterparties:
            return False
        if reservation.level_at_least is None:
            return True
        least = reference_of(reservation.level_at_least, self._registry, self._at)
        return least is None or reference >= least


def _article(provision: Provision) -> tuple[str, str]:
    """An order that does not depend on the file's."""
    return (provision.article, provision.ceiling)


def _basis_order(treaty: Treaty) -> tuple[int, int, int, str]:
    """Kind; fewer parties (lex specialis); later in force (lex posterior, VCLT art. 30); id."""
    return (_SPECIFIC[treaty.kind], len(treaty.parties), -treaty.in_force, treaty.id)


def _ask(
    candidate: _Candidate, stops: list[tuple[Provision, Code | None, str]]
) -> tuple[int, Finding, Treaty, list[Provision]]:
    """How far the treaty got, the finding about it, and the provisions that permit."""
    treaty = candidate.treaty
    if candidate.stopped is not None:
        code, detail = candidate.stopped
        return _FURTHER[code], Finding(treaty.id, code, None, detail, treaty.place), treaty, []
    permitting = [provision for provision, code, _ in stops if code is None]
    if permitting:
        first = permitting[0]
        return _PERMITS, Finding(treaty.id, None, first.article, "", first.place("")), treaty, permitting
    if not stops:
        return (
            _FURTHER[Code.OUT_OF_SCOPE],
            Finding(treaty.id, Code.OUT_OF_SCOPE, None, "the treaty has no provisions", treaty.place),
            treaty,
            [],
        )
    provision, reached, detail = max(stops, key=lambda stop: -1 if stop[1] is None else _FURTHER[stop[1]])
    assert reached is not None  # noqa: S101  (permitting is empty)
    place = provision.place(_FIELDS.get(reached, ""))
    return _FURTHER[reached], Finding(treaty.id, reached, provision.article, detail, place), treaty, []


_FIELDS = {Code.OUT_OF_SCOPE: "categories", Code.PROVISION_SUNSET: "until", Code.EXCEEDS_CEILING: "ceiling"}
"""The field of a provision that says why it stops."""


def _lifecycle(
    treaty: Treaty,
    parties: tuple[Party, Party],
    texts: Mapping[str, Mapping[str, str]],
    at: Instant,
) -> tuple[Code, str] | None:
    """The first of the six that holds for the treaty or either party, with the particulars."""
    stops = [stop for party in parties if (stop := party_stop(party, at)) is not None]
    if at < treaty.in_force:
        stops.append((Code.NOT_YET_IN_FORCE, f"{treaty.id} is in force from {when(treaty.in_force)}"))
    if at >= treaty.terminated:
        stops.append((Code.TERMINATED, f"{treaty.id} ended at {when(treaty.terminated)}"))
    for party in parties:
        # Judged by the file's provisions, so both must have adopted just these.
        directory = texts.get(party.member)
        adopted = party.text if directory is None else directory.get(treaty.id)
        if adopted != treaty.text:
            stops.append((Code.TEXT_MISMATCH, f"{party.member} adopted {adopted or 'no text'}"))
    return min(stops, key=lambda stop: _FURTHER[stop[0]], default=None)


def party_stop(party: Party, at: Instant) -> tuple[Code, str] | None:
    """Why the party is not active at ``at``; None if it is."""
    if held(party.in_force, at):
        since = [interval.start for interval in party.suspended if interval.holds(at)]
        return (Code.SUSPENDED, f"{party.member} since {when(since[0])}") if since else None
    ended = [interval.until for interval in party.in_force if interval.until <= at]
    if ended:
        return Code.WITHDRAWN, f"{party.member} since {when(max(ended))}"
    if (not party.in_force and party.ratified is None) or (
        party.ratified is not None and at < party.ratified
    ):
        return Code.NOT_RATIFIED, f"{party.member} has not ratified"
    return Code.NOT_YET_IN_FORCE, f"not yet for {party.member}"


def _sunset(provision: Provision, at: Instant) -> str:
    if at < provision.start:
        return f"begins at {when(provision.start)}"
    return f"ended at {when(provision.until)}"
