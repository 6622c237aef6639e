"""Why a decision came out so, and the smallest single change that would turn it, found by deciding again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum

from intelshare.instant import Instant
from intelshare.labels import (
    ALWAYS,
    BEGINNING,
    CONTROLS,
    NOFORN,
    TLP_WORDS,
    Group,
    Label,
    format_banner,
    held,
    level_reference,
    when,
)
from intelshare.policy import Code, Decision, Outcome, Party, Request, Treaty, World, decide


class Change(Enum):
    """What a single change may touch, in the order in which they are tried."""

    LABEL = "label"
    RECIPIENT = "recipient"
    DATE = "date"
    MEMBERSHIP = "membership"


@dataclass(frozen=True, slots=True)
class Turn:
    """A single change, in words, and the decision that it gives."""

    change: Change
    what: str
    decision: Decision


_RULES: tuple[tuple[str, tuple[Code, ...]], ...] = (
    ("1, the bulletin's state", (Code.BULLETIN_RECALLED, Code.BULLETIN_EXPIRED)),
    ("2, what is unknown", (Code.UNKNOWN_MEMBER, Code.UNKNOWN_LEVEL, Code.UNKNOWN_CONTROL)),
    ("3, law of originator and sender", (Code.NATIONAL_LAW_FORBIDS,)),
    ("4, NOFORN", (Code.NOFORN,)),
    ("5, releasability", (Code.NOT_RELEASABLE_TO,)),
    ("6, releasability not stated", (Code.RELEASABILITY_NOT_STATED,)),
    ("7, TLP:RED", (Code.TLP_RED_NOT_NAMED,)),
    ("8, the third-party rule", (Code.CONSENT_REQUIRED,)),
    ("10, law of the recipient", (Code.RECIPIENT_LAW_FORBIDS,)),
)


def rule_of(code: Code) -> str:
    """The rule of the decision that gives a code, by number and name."""
    return next((rule for rule, codes in _RULES if code in codes), "9, the treaty test")


def turns(world: World, request: Request) -> list[Turn]:
    """Of each kind of change the smallest that turns the decision; kinds that cannot are left out.

    A hold counts as granted. Every change was decided again; nothing here is a guess.
    """
    granted = _granted(decide(world, request))
    found: list[Turn] = []
    for change, variants in (
        (Change.LABEL, _labels(world, request, granted)),
        (Change.RECIPIENT, _recipients(world, request)),
        (Change.DATE, _dates(world, request)),
        (Change.MEMBERSHIP, _memberships(world, request, granted)),
    ):
        for what, other_world, other in variants:
            decision = decide(other_world, other)
            if _granted(decision) != granted:
                found.append(Turn(change, what, decision))
                break
    return found


def _granted(decision: Decision) -> bool:
    return decision.outcome is not Outcome.DENY


_Variants = Iterator[tuple[str, World, Request]]


def _labels(world: World, request: Request, granted: bool) -> _Variants:
    """One name, one control, one step of TLP, then one level after the other."""
    narrower = _narrower if granted else _wider
    for label in (*narrower(request.label, request.recipient), *_levels(world, request, granted)):
        yield format_banner(label, world.registry), world, replace(request, label=label)


def _wider(label: Label, recipient: str) -> Iterator[Label]:
    if label.authority is not None and label.releasable_to is None:
        own = label.owners or (label.authority,)
        yield replace(label, releasable_to=(*own, recipient))
    elif label.releasable_to is not None and recipient not in label.releasable_to:
        yield replace(label, releasable_to=(*label.releasable_to, recipient))
    for control in label.controls:
        yield replace(label, controls=tuple(other for other in label.controls if other != control))
    if NOFORN in label.controls and label.authority is not None and label.releasable_to is None:
        # The one statement "releasable to" in the place of the other, "to nobody".
        controls = tuple(other for other in label.controls if other != NOFORN)
        own = label.owners or (label.authority,)
        yield replace(label, controls=controls, releasable_to=(*own, recipient))
    if label.tlp in TLP_WORDS:
        for word in reversed(TLP_WORDS[: TLP_WORDS.index(label.tlp)]):
            yield replace(label, tlp=word)


def _narrower(label: Label, recipient: str) -> Iterator[Label]:
    named = label.releasable_to
    if named is not None and recipient in named and recipient != label.authority:
        yield replace(label, releasable_to=tuple(code for code in named if code != recipient))
    if NOFORN not in label.controls and named is None:
        kept = (*label.controls, NOFORN)
        yield replace(label, controls=tuple(control for control in CONTROLS if control in kept))


def _levels(world: World, request: Request, granted: bool) -> Iterator[Label]:
    label = request.label
    own = level_reference(label, world.registry, request.at)
    if label.authority is None or own is None:
        return
    there = world.registry.ladder(label.authority).at(request.at).levels
    others = [level for level in there if (level.reference > own if granted else level.reference < own)]
    for level in sorted(others, key=lambda level: abs(level.reference - own)):
        yield replace(label, level=level.name)


def _recipients(world: World, request: Request) -> _Variants:
    """Partners in a treaty first; a label that names the recipient names the other in its place."""
    partners = {
        party.member
        for treaty in world.treaties
        if any(party.member == request.sender for party in treaty.parties)
        for party in treaty.parties
    }
    named = request.label.releasable_to or ()
    for member in sorted(world.members, key=lambda member: (member not in partners, member)):
        if member not in (request.recipient, request.sender, *named):
            codes = tuple(member if code == request.recipient else code for code in named)
            label = replace(request.label, releasable_to=codes) if named else request.label
            yield member, world, replace(request, recipient=member, label=label)
        elif member in named and member not in (request.recipient, request.sender):
            yield member, world, replace(request, recipient=member)


def _dates(world: World, request: Request) -> _Variants:
    """The nearest instants at which anything is otherwise, before and after."""
    instants = [
        Instant(change - 1) if change <= request.at else change
        for change in world.changes
        if _earliest(world) <= change < _LAST
    ]
    for at in sorted(set(instants), key=lambda at: (abs(at - request.at), at)):
        shown = when(at) if at > request.at else f"before {when(Instant(at + 1))}"
        yield shown, world, replace(request, at=at)


_LAST = Instant(253_402_300_800_000_000)
"""The year 10000, which no calendar of ours has."""


def _earliest(world: World) -> Instant:
    return min((change for change in world.changes if change > BEGINNING), default=BEGINNING)


def _memberships(world: World, request: Request, granted: bool) -> _Variants:
    decision = decide(world, request)
    members = dict.fromkeys((request.recipient, decision.originator))
    for treaty in world.treaties:
        for member in members:
            party = next((own for own in treaty.parties if own.member == member), None)
            if granted and party is not None:
                rest = tuple(own for own in treaty.parties if own.member != member)
                what = f"{member} not a party of {treaty.id}"
                yield what, _with_treaty(world, replace(treaty, parties=rest)), request
            elif not granted and (party is None or not _bound(party, request.at)):
                bound = Party(member, (ALWAYS,), treaty.text)
                rest = tuple(own for own in treaty.parties if own.member != member)
                what = f"{treaty.id} in force for {member}"
                yield what, _with_treaty(world, replace(treaty, parties=(*rest, bound))), request
    for code, group in sorted(world.registry.groups.items()):
        inside = held(group.members.get(request.recipient, ()), request.at)
        if inside == granted and world.registry.is_state(request.recipient):
            what = f"{request.recipient} {'not ' if inside else ''}a member of {code}"
            yield what, _with_group(world, group, request.recipient, not inside), request


def _bound(party: Party, at: Instant) -> bool:
    return held(party.in_force, at) and not held(party.suspended, at)


def _with_treaty(world: World, treaty: Treaty) -> World:
    others = tuple(treaty if own.id == treaty.id else own for own in world.treaties)
    return World(world.registry, world.members, others, world.overlays, world.texts)


def _with_group(world: World, group: Group, state: str, inside: bool) -> World:
    members = {code: spans for code, spans in group.members.items() if code != state}
    if inside:
        members[state] = (ALWAYS,)
    groups = {**world.registry.groups, group.code: replace(group, members=members)}
    registry = replace(world.registry, groups=groups)
    return World(registry, world.members, world.treaties, world.overlays, world.texts)
