"""The treaty test: does any treaty between originator and recipient permit this, and if not, how near did one
come?

A treaty stops at the first condition that holds for it or either party (not ratified, not yet in force,
suspended, withdrawn, terminated, another text). Otherwise each of its provisions stops at the first of scope,
sunset, equivalence, ceiling and reservation, or permits; the provision that got furthest gives the answer.
The same order decides which treaty is reported; among treaties that permit, a separate order decides which is
the basis.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import NamedTuple

from intelshare.errors import Place
from intelshare.instant import Instant
from intelshare.labels import Reference, Registry, in_force, when
from intelshare.policy.decision import Citation, Code, Finding, Reason
from intelshare.policy.treaty import ANY_CATEGORY, Kind, Party, Provision, Reservation, Treaty, reference_of

Listings = Mapping[str, Mapping[str, tuple[Treaty, Party]]]
"""For each member, the treaties that list it, by id, in the order in which they become the basis."""

_FURTHER = {code: rank for rank, code in enumerate(Code)}
_PERMITS = len(_FURTHER)
_SPECIFIC = {kind: rank for rank, kind in enumerate(Kind)}


@dataclass(frozen=True, slots=True)
class Tested:
    """The result of the treaty test. ``basis`` None: no treaty permits, and ``reason`` says how near the
    nearest came.
    """

    basis: str | None
    citations: tuple[Citation, ...]
    obligations: tuple[str, ...]
    findings: tuple[Finding, ...]
    reason: Reason = field(default_factory=lambda: Reason(Code.NO_TREATY))
    """The reason why no treaty permits; meaningless if one does."""


_NO_TREATY = Tested(None, (), (), ())


_Stop = tuple[Code, str, Place | None]
"""The code at which a treaty stops, the explanation in words, and the place that states it."""


@dataclass(frozen=True, slots=True, eq=False)
class _Candidate:
    """A treaty that lists both members, with its lifecycle already judged at the snapshot's instant."""

    treaty: Treaty
    parties: tuple[Party, Party]
    stopped: _Stop | None


class _Term(NamedTuple):
    """A provision, judged at the snapshot's instant."""

    provision: Provision
    in_effect: bool
    ceiling: Reference | None


def list_parties(treaties: Iterable[Treaty]) -> Listings:
    """Return the index in which a ``Tester`` looks pairs up; it is the same at every instant."""
    listings: dict[str, dict[str, tuple[Treaty, Party]]] = {}
    for treaty in sorted(treaties, key=_basis_order):
        for party in treaty.parties:
            listings.setdefault(party.member, {})[treaty.id] = (treaty, party)
    return listings


class Tester:
    """The treaties at one instant; pairs of parties are computed when they are first needed."""

    def __init__(
        self, registry: Registry, listings: Listings, texts: Mapping[str, Mapping[str, str]], at: Instant
    ) -> None:
        self._registry = registry
        self._at = at
        self._texts = texts
        self._by_member = listings
        self._pairs: dict[tuple[str, str], tuple[_Candidate, ...]] = {}
        self._terms: dict[str, tuple[_Term, ...]] = {}
        self._converts: dict[tuple[str | None, str, str, Reference], bool] = {}

    def test(
        self, originator: str, recipient: str, authority: str | None, reference: Reference, category: str
    ) -> Tested:
        """Return the findings on all treaties between the two, with the basis and its obligations if one
        permits.
        """
        asked = [
            self._ask(candidate, authority or "", reference, category)
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
        """Return the treaty of that id, if it lists the member as a party."""
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
            # Only pairs of parties are kept, so that names from outside cannot grow the table.
            if own and other:
                self._pairs[pair] = found
        return found

    def _ask(
        self, candidate: _Candidate, authority: str, reference: Reference, category: str
    ) -> tuple[int, Finding, Treaty, list[Provision]]:
        """Return how far the treaty got, the finding about it, and the provisions that permit."""
        treaty = candidate.treaty
        if candidate.stopped is not None:
            code, detail, place = candidate.stopped
            return _FURTHER[code], Finding(treaty.id, code, None, detail, place), treaty, []
        stops = self._stops(candidate, authority, reference, category)
        permitting = [term.provision for term, code in stops if code is None]
        if permitting:
            first = permitting[0]
            return _PERMITS, Finding(treaty.id, None, first.article, "", first.place("")), treaty, permitting
        reached = [(_FURTHER[code], term, code) for term, code in stops if code is not None]
        if not reached:
            code, detail = Code.OUT_OF_SCOPE, "the treaty has no provisions"
            return _FURTHER[code], Finding(treaty.id, code, None, detail, treaty.place), treaty, []
        further, term, code = max(reached, key=itemgetter(0))
        detail = self._detail(code, term, candidate, reference, category)
        place = term.provision.place(_field(code, term.provision, self._at))
        return further, Finding(treaty.id, code, term.provision.article, detail, place), treaty, []

    def _stops(
        self, candidate: _Candidate, authority: str, reference: Reference, category: str
    ) -> list[tuple[_Term, Code | None]]:
        """Return the code at which each provision stops (None: it permits)."""
        stops: list[tuple[_Term, Code | None]] = []
        for term in self._terms_of(candidate.treaty):
            categories = term.provision.categories
            code: Code | None = None
            if category not in categories and ANY_CATEGORY not in categories:
                code = Code.OUT_OF_SCOPE
            elif not term.in_effect:
                code = Code.PROVISION_SUNSET
            elif not self._has_equivalent(candidate, authority, reference):
                code = Code.NO_EQUIVALENCE
            elif term.ceiling is None or reference > term.ceiling:
                code = Code.EXCEEDS_CEILING
            elif self._reserved(candidate, category, reference):
                code = Code.RESERVATION
            stops.append((term, code))
        return stops

    def _terms_of(self, treaty: Treaty) -> tuple[_Term, ...]:
        terms = self._terms.get(treaty.id)
        if terms is None:
            terms = self._terms[treaty.id] = tuple(
                _Term(
                    provision,
                    provision.in_effect(self._at),
                    reference_of(provision.ceiling, self._registry, self._at),
                )
                for provision in sorted(treaty.provisions, key=_article)
            )
        return terms

    def _has_equivalent(self, candidate: _Candidate, authority: str, reference: Reference) -> bool:
        """Return True if the label can be written in the recipient's ladder, counting the treaty's rows and
        ladders.

        An authority reaches this point only if a treaty lists it, or if it is JOINT or none, so the table
        stays small.
        """
        treaty, recipient = candidate.treaty, candidate.parties[1].member
        key = (treaty.id if treaty.equivalence or treaty.ladders else None, authority, recipient, reference)
        found = self._converts.get(key)
        if found is None:
            found = treaty.convert(reference, authority, recipient, self._at, self._registry) is not None
            self._converts[key] = found
        return found

    def _reserved(self, candidate: _Candidate, category: str, reference: Reference) -> str:
        """Return the party whose reservation excludes it; empty if neither's does."""
        own, other = candidate.parties
        reserving = (
            party.member
            for party, counterparty in ((own, other), (other, own))
            for reservation in party.reservations
            if self._reserves(reservation, counterparty.member, category, reference)
        )
        return next(reserving, "")

    def _detail(
        self, code: Code, term: _Term, candidate: _Candidate, reference: Reference, category: str
    ) -> str:
        """Explain in words why the provision stops there."""
        provision = term.provision
        if code is Code.OUT_OF_SCOPE:
            return f"{category} is not one of {', '.join(sorted(provision.categories))}"
        if code is Code.PROVISION_SUNSET:
            return _sunset(provision, self._at)
        if code is Code.NO_EQUIVALENCE:
            return f"{reference.word} has no equivalent for {candidate.parties[1].member}"
        if code is Code.EXCEEDS_CEILING:
            limit = provision.ceiling if term.ceiling is None else term.ceiling.word
            return f"{reference.word} > {limit}"
        return f"{self._reserved(candidate, category, reference)} reserves {category} at {reference.word}"

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
    """Return a sort key that does not depend on the order in the file."""
    return (provision.article, provision.ceiling)


def _basis_order(treaty: Treaty) -> tuple[int, int, int, str]:
    """Sort by kind; fewer parties (lex specialis); later entry into force (lex posterior, VCLT art. 30);
    id.
    """
    return (_SPECIFIC[treaty.kind], len(treaty.parties), -treaty.in_force, treaty.id)


_FIELDS = {Code.OUT_OF_SCOPE: "categories", Code.PROVISION_SUNSET: "until", Code.EXCEEDS_CEILING: "ceiling"}
"""The field of a provision that states why it stops; of one that has not begun, ``from``."""


def _field(code: Code, provision: Provision, at: Instant) -> str:
    begins_later = code is Code.PROVISION_SUNSET and at < provision.start
    return "from" if begins_later else _FIELDS.get(code, "")


def _lifecycle(
    treaty: Treaty,
    parties: tuple[Party, Party],
    texts: Mapping[str, Mapping[str, str]],
    at: Instant,
) -> _Stop | None:
    """Return the first of the six conditions that holds for the treaty or either party, with the
    particulars.
    """
    stops: list[_Stop] = [
        (*stop, party.place or treaty.place)
        for party in parties
        if (stop := party_stop(party, at)) is not None
    ]
    if at < treaty.in_force:
        detail = f"{treaty.id} is in force from {when(treaty.in_force)}"
        stops.append((Code.NOT_YET_IN_FORCE, detail, treaty.place))
    if at >= treaty.terminated:
        stops.append((Code.TERMINATED, f"{treaty.id} ended at {when(treaty.terminated)}", treaty.place))
    for party in parties:
        # The treaty is judged by the file's provisions, so both must have adopted exactly these.
        directory = texts.get(party.member)
        adopted = party.text if directory is None else directory.get(treaty.id)
        if adopted != treaty.text:
            detail = f"{party.member} adopted {adopted or 'no text'}"
            stops.append((Code.TEXT_MISMATCH, detail, party.place or treaty.place))
    return min(stops, key=lambda stop: _FURTHER[stop[0]], default=None)


def party_stop(party: Party, at: Instant) -> tuple[Code, str] | None:
    """Say why the party is not active at ``at``; None if it is."""
    if in_force(party.in_force, at):
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
