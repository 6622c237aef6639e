"""Access for readers at the recipient: clearance, need to know, nationality."""

from __future__ import annotations

from dataclasses import dataclass

from intelshare.instant import Instant
from intelshare.labels import Label, Reference
from intelshare.policy.decision import Code
from intelshare.policy.snapshot import LabelFacts, Snapshot
from intelshare.policy.treaty import ANY_CATEGORY
from intelshare.policy.world import World


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """The question whether a person at ``member`` may read a portion at ``at``."""

    label: Label
    category: str
    at: Instant
    member: str
    clearance: str | None
    """A level of the member's ladder (even one that has ended), or R0 to R4; None if the reader has none."""
    nationality: str
    categories: frozenset[str]
    """The categories that the reader may see; ``*`` stands for all."""
    basis: str | None = None
    """The treaty that the release cites, for its equivalence rows."""
    recalled: bool = False
    valid_until: Instant | None = None


@dataclass(frozen=True, slots=True)
class ReadDecision:
    """The answer: ``codes`` in rule order; if empty, the person may read."""

    codes: tuple[Code, ...]

    @property
    def allowed(self) -> bool:
        """Return True if no rule denies."""
        return not self.codes


def read_decision(world: World, request: ReadRequest) -> ReadDecision:
    """Decide whether the reader may open the portion, with all reasons if not. Raises nothing."""
    snapshot = world.at(request.at)
    facts = snapshot.facts(request.label)
    codes: list[Code] = []
    if request.recalled:
        codes.append(Code.BULLETIN_RECALLED)
    if request.valid_until is not None and request.at >= request.valid_until:
        codes.append(Code.BULLETIN_EXPIRED)
    needed = _needed(snapshot, facts, request)
    if facts.mark.reference > Reference.R0 and (needed is None or needed > _clearance(snapshot, request)):
        codes.append(Code.CLEARANCE_INSUFFICIENT)
    held = request.categories
    if not facts.unrestricted and request.category not in held and ANY_CATEGORY not in held:
        codes.append(Code.NEED_TO_KNOW)
    states = filter(snapshot.registry.is_state, request.label.releasable_to or ())
    if facts.mark.eyes_only and request.nationality not in states:
        codes.append(Code.EYES_ONLY_NATIONALITY)
    return ReadDecision(tuple(codes))


def _needed(snapshot: Snapshot, facts: LabelFacts, request: ReadRequest) -> Reference | None:
    """Return the clearance that the label requires here: its level, or the higher one it converts to; None if
    it has no equivalent.
    """
    own = facts.mark.reference
    converted = snapshot.convert(own, facts.mark.authority or "", request.member, request.basis)
    return None if converted is None else max(own, converted.reference)


def _clearance(snapshot: Snapshot, request: ReadRequest) -> Reference:
    word = request.clearance
    if word is None:
        return Reference.R0
    if word in Reference.__members__:
        return Reference[word]
    level = snapshot.registry.ladder(request.member).read(word, snapshot.at)
    return Reference.R0 if level is None else level.reference
