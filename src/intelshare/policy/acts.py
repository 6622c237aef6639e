"""Treaty acts: how a member's signed acts change the history that a treaty file states of it.

A file is the record of whoever keeps it. By its acts a member can restrict itself, lift that restriction, and
bring into force what the file leaves open to it; it cannot undo what the file has ended
(docs/decisions/0009):

    ratify        bound from then on: a party that the file lists without a period, or that had left by act
    reserve       a reservation, from then on
    suspend       suspended from then on
    give notice   withdraws at the instant named; until then nothing changes
    withdraw      no longer bound from then on
    reinstate     the member's suspension ends, a withdrawal still to come is cancelled;
                  with a reservation: that reservation ends, and nothing else

Acts apply in the order of their numbers: for any instant, the latest act that speaks of it counts. An act of
a member that the file does not list changes nothing, nor does a ratification of a text other than the file's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from intelshare.instant import NEVER, Instant
from intelshare.labels import Interval
from intelshare.policy.treaty import Party, Reservation, Treaty


class ActKind(IntEnum):
    """The effect of an act; the values are those of the signed record."""

    RATIFY = 1
    RESERVE = 2
    SUSPEND = 3
    GIVE_NOTICE = 4
    WITHDRAW = 5
    REINSTATE = 6

    @property
    def words(self) -> str:
        """The phrase shown to people, such as "gives notice of withdrawal from"."""
        return _WORDS[self]


_WORDS = {
    ActKind.RATIFY: "ratifies",
    ActKind.RESERVE: "makes a reservation to",
    ActKind.SUSPEND: "suspends its part in",
    ActKind.GIVE_NOTICE: "gives notice of withdrawal from",
    ActKind.WITHDRAW: "withdraws from",
    ActKind.REINSTATE: "reinstates its part in",
}


@dataclass(frozen=True, slots=True)
class PartyAct:
    """One act of one member, as it counts at this node."""

    member: str
    n: int
    treaty: str
    text: str
    """``sha256:<hex>`` of the treaty text that the act is about."""
    kind: ActKind
    made: Instant
    """When it was signed (an act of this member) or arrived here (a peer's)."""
    since: Instant
    """The time from which it holds; never before ``made``."""
    reservation: Reservation | None = None


def with_acts(treaties: Iterable[Treaty], acts: Iterable[PartyAct]) -> tuple[Treaty, ...]:
    """Return the treaties as files and acts together define them. ``acts`` may be in any order."""
    by_party: dict[tuple[str, str], list[PartyAct]] = {}
    for act in sorted(acts, key=lambda act: (act.n, act.made)):
        by_party.setdefault((act.treaty, act.member), []).append(act)
    touched = {treaty for treaty, _ in by_party}
    return tuple(
        replace(
            treaty,
            parties=tuple(
                _after(party, by_party.get((treaty.id, party.member), ()), treaty.text)
                for party in treaty.parties
            ),
        )
        if treaty.id in touched
        else treaty
        for treaty in treaties
    )


class _Timeline:
    """The values that acts gave to one property over time: a later act overrides everything from its instant
    on.
    """

    def __init__(self) -> None:
        self.said: list[tuple[Instant, bool]] = []

    def say(self, since: Instant, value: bool) -> None:
        self.said = [(at, old) for at, old in self.said if at < since] + [(since, value)]

    def take_back(self, value: bool, after: Instant) -> None:
        """Remove the statements of this value that are still to come."""
        self.said = [(at, old) for at, old in self.said if old is not value or at <= after]

    def spans(self, value: bool) -> list[Interval]:
        ends = [at for at, _ in self.said[1:]] + [NEVER]
        return [Interval(at, end) for (at, old), end in zip(self.said, ends, strict=False) if old is value]


def _after(party: Party, acts: Sequence[PartyAct], text: str) -> Party:
    """Return the party's history with its acts applied; they are in order."""
    bound, suspended = _Timeline(), _Timeline()
    reservations: list[Reservation] = []
    notified, ratified, adopted = party.notified, party.ratified, party.text
    for act in acts:
        match act.kind:
            case ActKind.RATIFY if act.text == text:
                bound.say(act.since, True)
                adopted = text
                ratified = act.made if ratified is None else ratified
            case ActKind.GIVE_NOTICE:
                bound.say(act.since, False)
                notified = (*notified, act.made)
            case ActKind.WITHDRAW:
                bound.say(act.since, False)
            case ActKind.SUSPEND:
                suspended.say(act.since, True)
            case ActKind.RESERVE if act.reservation is not None:
                reservations.append(_from(act.reservation, act.since))
            case ActKind.REINSTATE if act.reservation is not None:
                reservations = [_ended(one, act.reservation, act.since) for one in reservations]
            case ActKind.REINSTATE:
                suspended.say(act.since, False)
                bound.take_back(False, act.since)
    own = [span for span in suspended.spans(True) if span.start < span.until]
    return replace(
        party,
        in_force=_without(party.in_force, bound.spans(False)) if party.in_force else _joined(bound),
        text=adopted,
        ratified=ratified,
        notified=notified,
        suspended=tuple(sorted((*party.suspended, *own))),
        reservations=(
            *party.reservations,
            *dict.fromkeys(one for one in reservations if one.during.start < one.during.until),
        ),
    )


def _joined(bound: _Timeline) -> tuple[Interval, ...]:
    """Return the periods that acts alone create; consecutive ratifications form one period."""
    found: list[Interval] = []
    for span in bound.spans(True):
        if found and found[-1].until == span.start:
            found[-1] = Interval(found[-1].start, span.until)
        else:
            found.append(span)
    return tuple(found)


def _without(intervals: Iterable[Interval], cuts: Sequence[Interval]) -> tuple[Interval, ...]:
    """Return the intervals without the cuts. If nothing is left, an empty interval says when the party
    left.
    """
    found = list(intervals)
    for cut in cuts:
        found = [
            part
            for start, until in found
            for part in (Interval(start, min(until, cut.start)), Interval(max(start, cut.until), until))
            if part.start < part.until
        ]
    return tuple(found) or (Interval(cuts[0].start, cuts[0].start),)


def _from(reservation: Reservation, since: Instant) -> Reservation:
    start, until = reservation.during
    return replace(reservation, during=Interval(max(start, since), until))


def _ended(one: Reservation, named: Reservation, at: Instant) -> Reservation:
    """Return the reservation, ended at ``at`` if it is the one named."""
    if replace(one, during=named.during) != named:
        return one
    return replace(one, during=Interval(one.during.start, min(one.during.until, at)))
