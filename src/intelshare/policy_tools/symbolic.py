"""A world and every question about it as one formula for z3: the answers of ``decide``, for all questions at
once.

The finite core: members, levels, categories, flags and codes of REL TO that the world knows, one more
category that nothing names, and all of time, cut at the instants at which anything changes. It covers only
sound labels (anything unknown denies), and of a label's text only what the rules need. It is written
separately from ``decide``, after the same rules in the same order, and compared with it point by point in
``tests/property/test_policy_prove.py``: what z3 proves about the formula holds for the engine as far as they
agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from intelshare.instant import NEVER
from intelshare.labels import BEGINNING, JOINT, Equivalence, Interval, Ladder, Reference
from intelshare.policy import Overlay, Party, Provision, Reservation, Rule, Treaty, When
from intelshare.policy_tools.formula import TLP_ALONE, Point, Term, Terms


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the world that a proof assumes: each field is a condition under which it applies; if
    absent, never.
    """

    forbidden: Term = False
    reserved: Mapping[str, Term] = field(default_factory=dict)
    """The condition, per treaty."""
    idle: Mapping[str, Term] = field(default_factory=dict)
    """The condition, per treaty: a party of the two is suspended or has withdrawn, or the treaty ended."""
    left: Mapping[str, Term] = field(default_factory=dict)
    """The condition, per group: the recipient's membership ended."""


UNCHANGED = Change()


class Model(Terms):
    """The formulas of one world: what counts as a question, and which questions pass."""

    def sound(self, p: Point) -> Term:
        """Return the term: the point is a question about a label that can be written, between members that
        are known.
        """
        registry = self.world.registry
        states = [member for member in self.members if registry.is_state(member)]
        present = sorted(self.world.members)
        return self.all_(
            p.at >= BEGINNING,
            p.at < NEVER,
            self.member(p.recipient, present),
            self.member(p.sender, present),
            self.member(p.originator, self.members),
            p.category >= 0,
            p.category < len(self.categories),
            p.authority >= 0,
            p.authority < len(self.authorities),
            self.any_(
                # A state's label makes it the originator; a JOINT one an owner, whom the claim may choose.
                self.all_(self.member(p.authority, states), p.originator == p.authority),
                self.all_(p.authority == self.numbers[JOINT], self.member(p.originator, states)),
                self.all_(self.member(p.authority, [m for m in self.members if m not in states])),
                self.all_(
                    p.authority == self.numbers[TLP_ALONE],
                    self.not_(self.any_(p.stated, p.displayed, p.noforn, p.eyes_only, p.handled)),
                ),
            ),
            # Only labels of the United States may have FGI.
            self.implies(self.any_(p.fgi, p.concealed), self.is_(p.authority, "USA")),
            self.implies(p.third, p.fgi),
            self.not_(self.all_(p.fgi, p.concealed)),
            self.any_(*(self._written(p, authority) for authority in self.authorities)),
            self.implies(p.red, p.guarded),
        )

    def handed_in(self, p: Point) -> Term:
        """Return the term: submit accepts it without a received bulletin, because the label is the sender's,
        or one that names no other state as owner (``policy.foreign``) and so leaves the ownership to the
        sender.
        """
        return self.all_(
            p.originator == p.sender,
            self.any_(
                p.authority == p.sender,
                p.authority == self.numbers[JOINT],
                p.authority == self.numbers[TLP_ALONE],
                self._organisation(p),
            ),
        )

    def treaty(self, p: Point) -> Term:
        """Return the term: some treaty between originator and recipient permits it."""
        return self.any_(*(self._permits(p, treaty, UNCHANGED) for treaty in self.world.treaties))

    def passes(self, p: Point, change: Change = UNCHANGED) -> Term:
        """Return the term: it is not denied, but allowed or held for a releasing officer."""
        own = p.recipient == p.originator
        organisation = self._organisation(p)
        stated = self.any_(p.stated, p.displayed, p.eyes_only, organisation, p.concealed)
        restricted = self.any_(p.reference > 0, stated, p.noforn, p.handled, p.guarded, p.fgi)
        laws = self.world.overlays.values()
        return self.all_(
            self.not_(p.over),
            self.not_(change.forbidden),
            *(self.not_(self._sends(p, law, rule, change)) for law in laws for rule in law.forbid),
            *(
                self.not_(self.all_(self.is_(p.recipient, law.member), self._matches(p, rule.when, change)))
                for law in laws
                for rule in law.refuse
            ),
            self.any_(
                own,
                self.not_(restricted),
                self.all_(
                    self.not_(p.noforn),
                    self.implies(stated, self._covers(p, change)),
                    self.implies(p.reference > 0, stated),
                    self.implies(p.red, self._names(p)),
                    self.any_(self.all_(p.sender == p.originator, self.not_(p.third)), p.consent),
                    self.any_(*(self._permits(p, treaty, change) for treaty in self.world.treaties)),
                ),
            ),
        )

    def held(self, p: Point, change: Change = UNCHANGED) -> Term:
        """Return the term: a hold row of originator or sender matches and is not approved."""
        return self.any_(
            *(
                self.all_(self.not_(p.approved[rule.id]), self._sends(p, law, rule, change))
                for law in self.world.overlays.values()
                for rule in law.hold
            )
        )

    def inside(self, p: Point, code: str) -> Term:
        """Return the term: the recipient is in the expansion of a group at the instant."""
        return self._inside(p, code, UNCHANGED)

    # Labels.

    def _written(self, p: Point, authority: str) -> Term:
        """Return the term: the authority's ladder has a level of that reference at the instant."""
        here = p.authority == self.numbers[authority]
        if authority == TLP_ALONE:
            return self.all_(here, p.reference == 0)
        ladder = self.world.registry.ladder(authority)
        names = {level.name for row in ladder.rows for level in row.levels}
        return self.all_(
            here,
            self.any_(
                *(self.worth(p, ladder, name, lambda worth: p.reference == int(worth)) for name in names)
            ),
        )

    def _organisation(self, p: Point) -> Term:
        return self.member(p.authority, filter(self.world.registry.is_organisation, self.members))

    def _names(self, p: Point) -> Term:
        """Return the term: REL TO names the recipient by its own code."""
        return self.all_(
            p.stated, self.any_(*(self.all_(p.named[m], self.is_(p.recipient, m)) for m in self.members))
        )

    def _covers(self, p: Point, change: Change) -> Term:
        registry = self.world.registry
        states = [code for code in self.codes if registry.is_state(code)]
        only_states = self.all_(
            p.stated, self.any_(*(self.all_(p.named[s], self.is_(p.recipient, s)) for s in states))
        )
        groups = [
            self.all_(
                self.any_(
                    self._listed(p, code),
                    p.authority == self.numbers[code] if registry.is_organisation(code) else False,
                ),
                self._inside(p, code, change),
            )
            for code in registry.groups
        ]
        members = [self.all_(self._listed(p, s), self.is_(p.recipient, s)) for s in states]
        covered = self.z3.If(p.eyes_only, only_states, self.any_(*members, *groups))
        return self.all_(self.not_(p.concealed), covered)

    def _listed(self, p: Point, code: str) -> Term:
        """Return the term: REL TO or DISPLAY ONLY names the code."""
        return self.any_(self.all_(p.stated, p.named[code]), self.all_(p.displayed, p.shown[code]))

    def _inside(self, p: Point, code: str, change: Change) -> Term:
        group = self.world.registry.groups[code]
        ended = change.left.get(code, False)
        return self.any_(
            self.is_(p.recipient, code) if group.organisation else False,
            *(
                self.all_(self.is_(p.recipient, state), self.within(p, intervals), self.not_(ended))
                for state, intervals in group.members.items()
            ),
        )

    # Treaties.

    def _permits(self, p: Point, treaty: Treaty, change: Change) -> Term:
        return self.all_(
            self.during(p, Interval(treaty.in_force, treaty.terminated)),
            self.not_(change.idle.get(treaty.id, False)),
            *(
                self.any_(
                    *(
                        self.all_(self.is_(who, party.member), self._active(p, treaty, party))
                        for party in treaty.parties
                    )
                )
                for who in (p.originator, p.recipient)
            ),
            self.any_(*(self._provides(p, provision) for provision in treaty.provisions)),
            self._converts(p, treaty),
            self.not_(change.reserved.get(treaty.id, False)),
            *(
                self.not_(self._reserves(p, party, row))
                for party in treaty.parties
                for row in party.reservations
            ),
        )

    def _active(self, p: Point, treaty: Treaty, party: Party) -> Term:
        directory = self.world.texts.get(party.member)
        adopted = party.text if directory is None else directory.get(treaty.id)
        return self.all_(
            adopted == treaty.text,
            self.within(p, party.in_force),
            self.not_(self.within(p, party.suspended)),
        )

    def _provides(self, p: Point, provision: Provision) -> Term:
        return self.all_(
            self.category(p, provision.categories),
            p.at >= provision.start,
            self.any_(p.at < provision.until, p.at >= provision.reinstated),
            self.threshold(p, provision.ceiling, lambda ceiling: p.reference <= int(ceiling)),
        )

    def _converts(self, p: Point, treaty: Treaty) -> Term:
        """Return the term: the recipient has a level that is not below, in its ladder or by a row that is not
        void.
        """
        general = [
            self.all_(
                self.is_(p.recipient, party.member),
                self.during(p, row.interval),
                p.reference <= int(row.levels[-1].reference),
            )
            for party in treaty.parties
            for row in treaty.ladder(party.member, self.world.registry).rows
        ]
        return self.any_(*general, *(self._row(p, treaty, row) for row in treaty.equivalence))

    def _row(self, p: Point, treaty: Treaty, row: Equivalence) -> Term:
        """Return the term: the row is for these two, and its level is the label's or a higher one."""

        source, target = (treaty.ladder(each, self.world.registry) for each in (row.origin, row.to))

        def gives(own: Reference) -> Term:
            return self.all_(p.reference <= int(own), self._used(p, target, row.name, own))

        return self.all_(
            self.is_(p.authority, row.origin),
            self.is_(p.recipient, row.to),
            self.worth(p, source, row.level, gives),
        )

    def _used(self, p: Point, ladder: Ladder, name: str, own: Reference) -> Term:
        """Return the term: the row is not void, because its ``as`` is not below its level in a known
        ladder.
        """
        return self.any_(
            *(self.during(p, row.interval) for row in ladder.rows if not row.known),
            self.all_(
                self.any_(*(self.during(p, row.interval) for row in ladder.rows if row.known)),
                self.worth(p, ladder, name, lambda worth: worth >= own),
            ),
        )

    def _reserves(self, p: Point, party: Party, row: Reservation) -> Term:
        """Return the term: the reservation applies, in either direction between the party and its
        counterparty.
        """
        pairs = ((p.originator, p.recipient), (p.recipient, p.originator))
        return self.all_(
            self.during(p, row.during),
            True if row.categories is None else self.category(p, row.categories),
            True if row.level_at_least is None else self.at_least(p, row.level_at_least),
            self.any_(
                *(
                    self.all_(
                        self.is_(one, party.member),
                        True if row.counterparties is None else self.member(other, row.counterparties),
                    )
                    for one, other in pairs
                )
            ),
        )

    # Overlays.

    def _sends(self, p: Point, law: Overlay, rule: Rule, change: Change) -> Term:
        """Return the term: a rule of the originator or the sender matches."""
        whose = self.any_(self.is_(p.originator, law.member), self.is_(p.sender, law.member))
        return self.all_(whose, self._matches(p, rule.when, change))

    def _matches(self, p: Point, when: When, change: Change) -> Term:
        groups = self.world.registry.groups

        def inside(codes: Iterable[str]) -> Term:
            return self.any_(*(self._inside(p, code, change) for code in codes))

        def known(codes: Iterable[str]) -> bool:
            return all(code in groups for code in codes)

        to, out = when.to_group, when.not_to_group
        return self.all_(
            True if when.categories is None else self.category(p, when.categories),
            True if when.flags is None else self.any_(*(p.flags[flag] for flag in when.flags)),
            True if when.to is None else self.member(p.recipient, when.to),
            True if when.level_at_least is None else self.at_least(p, when.level_at_least),
            True if to is None or not known(to) else inside(to),
            True if out is None or not known(out) else self.not_(inside(out)),
        )
