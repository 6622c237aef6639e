"""The same world as Cedar policies and entities, for cedarpy's batch: the peer of ``bench.policy``.

What Cedar has no notion of is worked out for it beforehand, in its favour: time (its policies and entities
are those of one instant), what a level is worth, and whose information it is. It answers allow or deny
with the policies that determined it; ``decide`` also all reasons, obligations and findings.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from intelshare.instant import Instant
from intelshare.labels import Reference, in_force
from intelshare.policy import Provision, Request, Reservation, Rule, Treaty, World
from intelshare.policy.treaty import ANY_CATEGORY, reference_of

Json = Mapping[str, Any]

FREE = "context.own || context.unrestricted"
RULES = f"""
permit (principal, action, resource) when {{ {FREE} }};
forbid (principal, action, resource) when {{ context.noforn }} unless {{ {FREE} }};
forbid (principal, action, resource)
  when {{ context.stated && !(principal in context.releasable) }} unless {{ {FREE} }};
forbid (principal, action, resource) when {{ context.classified && !context.stated }} unless {{ {FREE} }};
forbid (principal, action, resource) when {{ context.red && !context.named }} unless {{ {FREE} }};
forbid (principal, action, resource)
  when {{ context.relayed && !context.consents.contains(principal) }} unless {{ {FREE} }};
"""


class Cedar:
    """Policies and entities, parsed once. ``request`` makes a question, ``decide`` answers a batch."""

    def __init__(self, policies: str, entities: list[Json]) -> None:
        import cedarpy

        self._cedar = cedarpy
        self._policies = cedarpy.PolicySet.from_str(policies)
        self._entities = cedarpy.Entities.from_json_str(json.dumps(entities))
        self.policies = policies.count("permit (") + policies.count("forbid (")

    def request(self, world: World, asked: Request) -> Json:
        """A question in Cedar's shape, with what the label means at its instant."""
        facts = world.at(asked.at).facts(asked.label)
        label = asked.label
        originator = facts.mark.originator or asked.originator or asked.sender
        codes = [*(label.releasable_to or ())]
        if facts.mark.eyes_only:
            codes = sorted(facts.covers or ())
        elif label.authority is not None and world.registry.is_organisation(label.authority):
            codes.append(label.authority)
        return {
            "principal": _member(asked.recipient),
            "action": 'Action::"release"',
            "resource": 'Portion::"portion"',
            "context": {
                "authority": label.authority or "",
                "originator": _entity("Member", originator),
                "sender": _entity("Member", asked.sender),
                "category": asked.category,
                "flags": sorted(asked.flags),
                "reference": int(facts.mark.reference),
                "classified": facts.mark.reference > Reference.R0,
                "stated": facts.stated,
                "releasable": [
                    _entity("Member" if facts.mark.eyes_only else _kind(world, code), code) for code in codes
                ],
                "noforn": facts.mark.noforn,
                "red": facts.mark.red,
                "named": asked.recipient in facts.named,
                "own": asked.recipient == originator,
                "unrestricted": facts.unrestricted,
                "relayed": asked.sender != originator,
                "consents": [_entity("Member", code) for code in sorted(asked.consents)],
            },
        }

    def decide(self, asked: Sequence[Json]) -> list[bool]:
        """Allow or not, in the order of the questions; batches of 1,000."""
        return [
            answer.allowed
            for start in range(0, len(asked), 1000)
            for answer in self._cedar.is_authorized_batch(
                list(asked[start : start + 1000]), self._policies, self._entities
            )
        ]


def load(world: World, at: Instant) -> Cedar:
    """The world at the instant. Raises ModuleNotFoundError without cedarpy (the extra ``bench``)."""
    return Cedar(RULES + "\n".join(_policies(world, at)), list(_entities(world, at)))


def _policies(world: World, at: Instant) -> Iterator[str]:
    for treaty in world.treaties:
        for provision in treaty.provisions:
            if treaty.in_force <= at < treaty.terminated and provision.in_effect(at):
                yield _permit(world, treaty, provision, at)
    for law in world.overlays.values():
        for rule in law.forbid:
            who = f"[context.originator, context.sender].contains({_member(law.member)})"
            yield _forbid(who, rule)
        for rule in law.refuse:
            yield _forbid(f"principal == {_member(law.member)}", rule)


def _permit(world: World, treaty: Treaty, provision: Provision, at: Instant) -> str:
    party = f'Treaty::"{treaty.id}"'
    ceiling = reference_of(provision.ceiling, world.registry, at)
    conditions = [
        f"principal in {party} && context.originator in {party}",
        _category(provision.categories),
        f"context.reference <= {int(ceiling or 0)}",
        f"({' || '.join(['context.reference <= principal.highest', *_rows(world, treaty, at)])})",
    ]
    reserved = [
        f"({_either(party_.member)} && {_matches(row)})"
        for party_ in treaty.parties
        for row in party_.reservations
        if row.during.holds(at)
    ]
    if reserved:
        conditions.append(f"!({' || '.join(reserved)})")
    return f"permit (principal, action, resource) when {{ {' && '.join(conditions)} }};"


def _rows(world: World, treaty: Treaty, at: Instant) -> Iterator[str]:
    """Equivalence rows by which a level goes where the recipient's ladder has none."""
    for row in treaty.equivalence:
        level = world.registry.ladder(row.origin).read(row.level, at)
        if level is not None and not world.registry.ladder(row.to).at(at).known:
            yield (
                f"(context.authority == {json.dumps(row.origin)} && principal == {_member(row.to)}"
                f" && context.reference <= {int(level.reference)})"
            )


def _either(member: str) -> str:
    return f"[principal, context.originator].contains({_member(member)})"


def _matches(row: Reservation) -> str:
    conditions = ["true"]
    if row.categories is not None:
        conditions.append(_category(row.categories))
    if row.counterparties is not None:
        others = ", ".join(_member(code) for code in sorted(row.counterparties))
        conditions.append(f"[{others}].containsAny([principal, context.originator])")
    if row.level_at_least is not None:
        conditions.append(f"context.reference >= {row.level_at_least.removeprefix('R')}")
    return " && ".join(conditions)


def _category(words: frozenset[str]) -> str:
    return "true" if ANY_CATEGORY in words else f"{json.dumps(sorted(words))}.contains(context.category)"


def _forbid(who: str, rule: Rule) -> str:
    flags, groups = json.dumps(sorted(rule.when.flags or ())), rule.when.not_to_group or ()
    outside = "".join(f' && !(principal in Group::"{group}")' for group in groups)
    matches = f"{who} && {flags}.containsAny(context.flags){outside}"
    return f"forbid (principal, action, resource) when {{ {matches} }};"


def _entities(world: World, at: Instant) -> Iterator[Json]:
    registry = world.registry
    for member in sorted(world.members):
        parents = [_uid("Group", code) for code in registry.groups if member in registry.expand(code, at)] + [
            _uid("Treaty", treaty.id)
            for treaty in world.treaties
            for party in treaty.parties
            if party.member == member and in_force(party.in_force, at) and not in_force(party.suspended, at)
        ]
        highest = registry.ladder(member).at(at).levels[-1].reference
        yield {"uid": _uid("Member", member), "attrs": {"highest": int(highest)}, "parents": parents}


def _kind(world: World, code: str) -> str:
    return "Group" if code in world.registry.groups else "Member"


def _uid(kind: str, name: str) -> dict[str, str]:
    return {"type": kind, "id": name}


def _entity(kind: str, name: str) -> dict[str, dict[str, str]]:
    return {"__entity": _uid(kind, name)}


def _member(code: str) -> str:
    return f'Member::"{code}"'
