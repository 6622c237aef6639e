"""The reason for a decision, and the smallest single change that would reverse it, found by deciding
again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum

from intelshare.instant import Instant
from intelshare.labels import (
    ALWAYS,
    BEGINNING,
    EYES_ONLY,
    NOFORN,
    TLP_WORDS,
    Group,
    Label,
    Reference,
    format_banner,
    in_force,
    level_reference,
    order_codes,
    order_controls,
    when,
)
from intelshare.policy import ANY_CATEGORY, Code, Decision, Outcome, Party, Request, Treaty, World, decide


class Change(Enum):
    """The kinds of single change, in the order in which they are tried."""

    LABEL = "label"
    CATEGORY = "category"
    RECIPIENT = "recipient"
    CONSENT = "consent"
    DATE = "date"
    MEMBERSHIP = "membership"


@dataclass(frozen=True, slots=True)
class Turn:
    """A single change in words, with the request and world that include it, and the decision that results."""

    change: Change
    what: str
    decision: Decision
    request: Request
    world: World


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
    """Return the rule of the decision that gives a code, by number and name."""
    return next((rule for rule, codes in _RULES if code in codes), "9, the treaty test")


def turns(world: World, request: Request) -> list[Turn]:
    """Return, for each kind of change, the smallest that reverses the decision; kinds that cannot are left
    out.

    A hold counts as granted. Every change was decided again; nothing here is a guess.
    """
    decision = decide(world, request)
    granted = _granted(decision)
    found: list[Turn] = []
    for change, variants in (
        (Change.LABEL, _labels(world, request, granted)),
        (Change.CATEGORY, _categories(world, request)),
        (Change.RECIPIENT, _recipients(world, request, decision.originator)),
        (Change.CONSENT, _consents(world, request, granted, decision.originator)),
        (Change.DATE, _dates(world, request)),
        (Change.MEMBERSHIP, _memberships(world, request, granted, decision.originator)),
    ):
        for what, other_world, other in variants:
            turned = decide(other_world, other)
            if _granted(turned) != granted:
                found.append(Turn(change, what, turned, other, other_world))
                break
    return found


def releasing(world: World, request: Request) -> list[Turn]:
    """Return the turns of a denial; none if the present world grants the request."""
    return [] if _granted(decide(world, request)) else turns(world, request)


def _granted(decision: Decision) -> bool:
    return decision.outcome is not Outcome.DENY


_Variants = Iterator[tuple[str, World, Request]]


def _labels(world: World, request: Request, granted: bool) -> _Variants:
    """Yield labels with one name or one control more, with one step of TLP, then with each other level."""
    changed = _narrower(world, request) if granted else _wider(world, request)
    for label in (*changed, *_levels(world, request, granted)):
        yield format_banner(label, world.registry), world, replace(request, label=label)


def _wider(world: World, request: Request) -> Iterator[Label]:
    """Yield the label with the recipient named, then under a less strict TLP; a written control is never
    removed.
    """
    label, recipient = request.label, request.recipient
    named = label.releasable_to
    if named is None and label.authority is not None:
        named = label.owners or (label.authority,)
    if named is not None and recipient not in named and NOFORN not in label.controls:
        codes = order_codes((*named, recipient), label.authority, label.owners, world.registry)
        yield replace(label, releasable_to=codes)
    if label.tlp in TLP_WORDS:
        for word in reversed(TLP_WORDS[: TLP_WORDS.index(label.tlp)]):
            yield replace(label, tlp=word)


def _narrower(world: World, request: Request) -> Iterator[Label]:
    """Yield the label without the code that covers the recipient, then with a control that excludes it."""
    label, recipient = request.label, request.recipient
    named = label.releasable_to or ()
    for code in named:
        if code != label.authority and recipient in world.registry.expand(code, request.at):
            yield replace(label, releasable_to=tuple(other for other in named if other != code))
    if EYES_ONLY not in label.controls and named and recipient not in named:
        yield replace(label, controls=order_controls((*label.controls, EYES_ONLY)))
    if label.tlp in TLP_WORDS and label.authority is not None:
        for word in TLP_WORDS[TLP_WORDS.index(label.tlp) + 1 :]:
            yield replace(label, tlp=word)
    if NOFORN not in label.controls and label.authority is not None:
        # It replaces REL TO, because the two exclude each other.
        yield replace(label, controls=order_controls((*label.controls, NOFORN)), releasable_to=None)


def _levels(world: World, request: Request, granted: bool) -> Iterator[Label]:
    label = request.label
    own = level_reference(label, world.registry, request.at)
    if label.authority is None or own is None:
        return
    there = world.registry.ladder(label.authority).at(request.at).levels
    # A lower level is a question for the author; removing the classification is never the answer to a denial.
    others = [
        level
        for level in there
        if (level.reference > own if granted else Reference.R0 < level.reference < own)
    ]
    for level in sorted(others, key=lambda level: abs(level.reference - own)):
        yield replace(label, level=level.name)


def _categories(world: World, request: Request) -> _Variants:
    """Yield the other categories that a treaty names."""
    provisions = [provision for treaty in world.treaties for provision in treaty.provisions]
    words = {word for provision in provisions for word in provision.categories}
    for word in sorted(words - {request.category, ANY_CATEGORY}):
        yield word, world, replace(request, category=word)


def _consents(world: World, request: Request, granted: bool, originator: str) -> _Variants:
    """Yield the request with the originator's consent for this recipient given, or not given."""
    one = frozenset((request.recipient,))
    if granted and request.recipient in request.consents:
        yield f"none of {originator}", world, replace(request, consents=request.consents - one)
    elif not granted and request.recipient not in request.consents:
        yield (
            f"of {originator} for {request.recipient}",
            world,
            replace(request, consents=request.consents | one),
        )


def _recipients(world: World, request: Request, originator: str) -> _Variants:
    """Yield other recipients, partners in a treaty first; a label that names the recipient names the other
    instead.
    """
    partners = {
        party.member
        for treaty in world.treaties
        if any(party.member == originator for party in treaty.parties)
        for party in treaty.parties
    }
    named = request.label.releasable_to or ()
    for member in sorted(world.members, key=lambda member: (member not in partners, member)):
        if member in (request.recipient, request.sender, originator):
            continue
        label = request.label
        if named and member not in named:
            codes = tuple(member if code == request.recipient else code for code in named)
            ordered = order_codes(codes, label.authority, label.owners, world.registry)
            label = replace(label, releasable_to=ordered)
        yield member, world, replace(request, recipient=member, label=label)


def _dates(world: World, request: Request) -> _Variants:
    """Yield the nearest instants, before and after, at which anything differs."""
    changes = [change for change in world.changes if _earliest(world) <= change < _LAST]
    changes += [] if request.valid_until is None else [request.valid_until]
    instants = [Instant(change - 1) if change <= request.at else change for change in changes]
    for at in sorted(set(instants), key=lambda at: (abs(at - request.at), at)):
        shown = when(at) if at > request.at else f"before {when(Instant(at + 1))}"
        yield shown, world, replace(request, at=at)


_LAST = Instant(253_402_300_800_000_000)
"""The year 10000, which is beyond the calendar used here."""


def _earliest(world: World) -> Instant:
    return min((change for change in world.changes if change > BEGINNING), default=BEGINNING)


def _memberships(world: World, request: Request, granted: bool, originator: str) -> _Variants:
    """Yield worlds with a party bound or not, listed parties first; then with the state in or out of a
    group.
    """
    listed: list[tuple[str, World, Request]] = []
    joining: list[tuple[str, World, Request]] = []
    for treaty in world.treaties:
        for member in dict.fromkeys((request.recipient, originator)):
            party = next((own for own in treaty.parties if own.member == member), None)
            rest = tuple(own for own in treaty.parties if own.member != member)
            if granted and party is not None:
                what = f"{member} not a party of {treaty.id}"
                listed.append((what, _with_treaty(world, replace(treaty, parties=rest)), request))
            elif not granted and (party is None or not _bound(party, request.at)):
                bound = (
                    Party(member, (ALWAYS,), treaty.text)
                    if party is None
                    else replace(party, in_force=(ALWAYS,), suspended=())
                )
                what = f"{treaty.id} in force for {member}"
                kept = _with_treaty(world, replace(treaty, parties=(*rest, bound)))
                (joining if party is None else listed).append((what, kept, request))
    yield from (*listed, *joining)
    for code, group in sorted(world.registry.groups.items()):
        inside = in_force(group.members.get(request.recipient, ()), request.at)
        if inside == granted and world.registry.is_state(request.recipient):
            what = f"{request.recipient} {'not ' if inside else ''}a member of {code}"
            yield what, _with_group(world, group, request.recipient, not inside), request


def _bound(party: Party, at: Instant) -> bool:
    return in_force(party.in_force, at) and not in_force(party.suspended, at)


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
