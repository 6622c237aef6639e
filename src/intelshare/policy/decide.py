"""The release decision: may this portion go to this recipient now, on what basis, and if not, why?

It is pure and total: every well-typed request gets a decision, and anything unknown denies. The rules are all
evaluated, in this order, and a denial has the codes of every rule that denies:

1. the bulletin's state 6. classified, releasability not stated 2. whatever is unknown 7. TLP:RED names its
recipients 3. law of originator and sender 8. consent of the originator (third-party rule) 4. NOFORN 9. the
treaty test (``permits``) 5. releasability 10. law of the recipient

Rules 4 to 9 are skipped when information returns to its originator or is unrestricted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from intelshare.instant import Instant
from intelshare.labels import Label, Reference
from intelshare.policy.decision import (
    OWN_PRODUCT,
    UNRESTRICTED,
    Citation,
    Code,
    Decision,
    Finding,
    Outcome,
    Reason,
    Request,
)
from intelshare.policy.overlay import Overlay, Rule
from intelshare.policy.permits import Tested
from intelshare.policy.snapshot import DISPLAY_ONLY_DUTY, LabelFacts, Snapshot
from intelshare.policy.world import World

_NO_LAW = Overlay("")


def decide(world: World, request: Request) -> Decision:
    """Decide on one portion for one recipient. Raises nothing.

    Sender and recipient with the same world reach the same decision, apart from holds: a signed release
    (``request.released``) is itself their approval.
    """
    case = _Case(world, request)
    reasons: list[Reason] = []
    for rule in _RULES if case.free is None else _RULES_OF_THE_FREE:
        rule(case, reasons)
    if reasons:
        return Decision(Outcome.DENY, case.originator, tuple(reasons), findings=case.findings)
    holds = () if request.released else _open_holds(case)
    return Decision(
        outcome=Outcome.HOLD if holds else Outcome.ALLOW,
        originator=case.originator,
        basis=case.basis,
        citations=case.citations,
        obligations=_obligations(case),
        holds=holds,
        findings=case.findings,
    )


class _Case:
    """One request with the snapshot's facts about it; the treaty test stores its answer here."""

    __slots__ = ("basis", "facts", "free", "originator", "request", "snapshot", "tested")

    def __init__(self, world: World, request: Request) -> None:
        self.request = request
        self.snapshot: Snapshot = world.at(request.at)
        self.facts: LabelFacts = self.snapshot.facts(request.label)
        self.originator = _originator(self.facts, request.originator or request.sender)
        self.free: str | None = None
        if request.recipient == self.originator:
            self.free = OWN_PRODUCT
        elif self.facts.unrestricted:
            self.free = UNRESTRICTED
        self.basis: str | None = self.free
        self.tested: Tested | None = None

    @property
    def citations(self) -> tuple[Citation, ...]:
        return () if self.tested is None else self.tested.citations

    @property
    def findings(self) -> tuple[Finding, ...]:
        return () if self.tested is None else self.tested.findings


def originator_of(world: World, label: Label, claimed: str, at: Instant) -> str:
    """Return the originator of the information: a state's label names it, whatever is claimed; for a JOINT
    label the claim chooses among the owners.
    """
    return _originator(world.at(at).facts(label), claimed)


def _originator(facts: LabelFacts, claimed: str) -> str:
    if facts.mark.originator is None or claimed in facts.mark.owners:
        return claimed
    return facts.mark.originator


# 1. The bulletin's state.


def _bulletin_state(case: _Case, reasons: list[Reason]) -> None:
    request = case.request
    if request.recalled:
        reasons.append(Reason(Code.BULLETIN_RECALLED))
    if request.valid_until is not None and request.at >= request.valid_until:
        reasons.append(Reason(Code.BULLETIN_EXPIRED))


# 2. Anything unknown. An unknown level counts as R4 in every other rule.


def _unknown(case: _Case, reasons: list[Reason]) -> None:
    request, facts, snapshot = case.request, case.facts, case.snapshot
    members = snapshot.members
    if (
        facts.unknown_codes
        or request.recipient not in members
        or request.sender not in members
        or not snapshot.registry.is_member(case.originator)
    ):
        codes = {*facts.unknown_codes, *({request.recipient, request.sender} - members)}
        if not snapshot.registry.is_member(case.originator):
            codes.add(case.originator)
        reasons.append(Reason(Code.UNKNOWN_MEMBER, ", ".join(sorted(codes))))
    if facts.mark.unknown_level is not None:
        reasons.append(Reason(Code.UNKNOWN_LEVEL, facts.mark.unknown_level))
    if facts.mark.unknown_controls:
        reasons.append(Reason(Code.UNKNOWN_CONTROL, ", ".join(facts.mark.unknown_controls)))


# 3. The law of the originator, and of the sender: a relaying state is also bound by its law.


def _national_law(case: _Case, reasons: list[Reason]) -> None:
    if case.snapshot.overlays:
        matching = [rule for law in _sending_laws(case) for rule in law.forbid if _matches(case, rule)]
        if matching:
            reasons.append(_of_rules(Code.NATIONAL_LAW_FORBIDS, matching))


# 4. NOFORN: nobody but the originator.


def _noforn(case: _Case, reasons: list[Reason]) -> None:
    if case.facts.mark.noforn:
        reasons.append(Reason(Code.NOFORN))


# 5. Releasability is stated and does not cover the recipient.


def _not_releasable(case: _Case, reasons: list[Reason]) -> None:
    facts = case.facts
    if facts.stated and facts.covers is not None and case.request.recipient not in facts.covers:
        reasons.append(Reason(Code.NOT_RELEASABLE_TO, f"{case.request.recipient} is not covered"))


# 6. Classified, releasability not stated (and not NOFORN, which already says so).


def _not_stated(case: _Case, reasons: list[Reason]) -> None:
    facts = case.facts
    if not facts.stated and not facts.mark.noforn and facts.mark.reference > Reference.R0:
        reasons.append(Reason(Code.RELEASABILITY_NOT_STATED))


# 7. TLP:RED is for recipients named by their own code.


def _tlp_red(case: _Case, reasons: list[Reason]) -> None:
    if case.facts.mark.red and case.request.recipient not in case.facts.named:
        reasons.append(Reason(Code.TLP_RED_NOT_NAMED))


# 8. The third-party rule: information from another may be passed on only with its consent, by name. A member
# whose information is also included (FGI) must consent too, unless it is the sender or the recipient.


def _consent(case: _Case, reasons: list[Reason]) -> None:
    request = case.request
    if request.sender == case.originator and not case.facts.mark.foreign:
        return
    if request.recipient in request.consents:
        return
    asked = consents_asked(case.originator, case.facts.mark.foreign, request.sender, request.recipient)
    if asked:
        reasons.append(
            Reason(Code.CONSENT_REQUIRED, f"of {', '.join(sorted(asked))} for {request.recipient}")
        )


def consents_asked(originator: str, foreign: Iterable[str], sender: str, recipient: str) -> frozenset[str]:
    """Return the members whose consent a portion needs on its way: all owners of its information, except
    sender and recipient.
    """
    return frozenset((originator, *foreign)) - {sender, recipient}


# 9. A treaty between originator and recipient permits; the sender's treaties do not matter.


def _treaty(case: _Case, reasons: list[Reason]) -> None:
    request, facts = case.request, case.facts
    tested = case.snapshot.treaty_test(
        case.originator, request.recipient, facts.mark.authority, facts.mark.reference, request.category
    )
    case.tested = tested
    case.basis = tested.basis
    if tested.basis is None:
        reasons.append(tested.reason)


# 10. The law of the recipient.


def _recipient_law(case: _Case, reasons: list[Reason]) -> None:
    law = case.snapshot.overlays.get(case.request.recipient)
    if law is not None:
        matching = [rule for rule in law.refuse if _matches(case, rule)]
        if matching:
            reasons.append(_of_rules(Code.RECIPIENT_LAW_FORBIDS, matching))


_Judge = Callable[[_Case, list[Reason]], None]

_RULES: tuple[_Judge, ...] = (
    _bulletin_state,
    _unknown,
    _national_law,
    _noforn,
    _not_releasable,
    _not_stated,
    _tlp_red,
    _consent,
    _treaty,
    _recipient_law,
)
_RULES_OF_THE_FREE: tuple[_Judge, ...] = (_bulletin_state, _unknown, _national_law, _recipient_law)


# The contents of an allow.


def _open_holds(case: _Case) -> tuple[str, ...]:
    """Return the ids of the matching hold rows of originator and sender that nobody has approved."""
    if not case.snapshot.overlays:
        return ()
    approved = case.request.approvals
    held = [rule for law in _sending_laws(case) for rule in law.hold if rule.id not in approved]
    return tuple(sorted({rule.id for rule in held if _matches(case, rule)}))


def _obligations(case: _Case) -> tuple[str, ...]:
    """Return the obligations of the basis, the originator's law and the label; sorted, each once."""
    basis = () if case.tested is None else case.tested.obligations
    law = case.snapshot.overlays.get(case.originator, _NO_LAW)
    ordered = [rule.obligation for rule in law.oblige if rule.obligation and _matches(case, rule)]
    if case.request.recipient in case.facts.shown:
        ordered.append(DISPLAY_ONLY_DUTY)
    if not ordered and not case.facts.mark.obligations:
        return basis
    return tuple(sorted({*basis, *case.facts.mark.obligations, *ordered}))


def _sending_laws(case: _Case) -> Iterator[Overlay]:
    overlays = case.snapshot.overlays
    sender = case.request.sender
    if (law := overlays.get(case.originator)) is not None:
        yield law
    if sender != case.originator and (law := overlays.get(sender)) is not None:
        yield law


def _matches(case: _Case, rule: Rule) -> bool:
    request = case.request
    return case.snapshot.matches(
        rule.when, request.recipient, request.category, request.flags, case.facts.mark.reference
    )


def _of_rules(code: Code, rules: list[Rule]) -> Reason:
    rules = sorted(rules, key=lambda rule: rule.id)
    detail = ", ".join(f"{rule.id} ({rule.source})" if rule.source else rule.id for rule in rules)
    return Reason(code, detail, rules[0].place, tuple(rule.id for rule in rules))
