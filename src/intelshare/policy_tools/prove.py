"""``policy prove``: prove a claim for every question, or refute it with one that ``decide`` itself answers.

z3 looks for a question that the claim covers and that passes. If there is none, the claim is proved. If there
is one, it is simplified as far as possible and decided; only a question that the engine permits is shown as a
counterexample.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from intelshare.errors import ConfigError
from intelshare.instant import Instant
from intelshare.labels import (
    CLEAR,
    EYES_ONLY,
    JOINT,
    NOFORN,
    ORCON,
    RED,
    Label,
    Ladder,
    Registry,
    order_codes,
    order_controls,
)
from intelshare.policy import Decision, Outcome, Request, World, decide
from intelshare.policy_tools.claim import FIRST, Claim
from intelshare.policy_tools.formula import OTHER, TLP_ALONE, Point, Term
from intelshare.policy_tools.symbolic import Model
from intelshare.toml import guess

TIMEOUT_MS = 300_000


@dataclass(frozen=True, slots=True)
class Counterexample:
    """A question that refutes the claim, and the engine's answer to it."""

    request: Request
    decision: Decision


@dataclass(frozen=True, slots=True)
class Proof:
    """The result. ``counterexample`` None: the claim holds for every question. ``notes`` say where that means
    little.
    """

    claim: Claim
    counterexample: Counterexample | None
    notes: tuple[str, ...] = ()


def prove(world: World, claim: Claim) -> Proof:
    """Prove the claim over the finite core of the world, or return a counterexample that was decided.

    Raises ConfigError: EXTRA_MISSING without z3; PROOF_UNDECIDED if z3 gives up, or finds a question that
    ``decide`` denies (then the model is wrong, and nothing is proved).
    """
    model = Model(world)
    z3, point = model.z3, model.point("q")
    solver = z3.Solver()
    solver.set("timeout", TIMEOUT_MS)
    solver.add(model.sound(point), _about(model, point, claim), model.passes(point))
    answer, notes = solver.check(), tuple(_notes(model, claim))
    if answer == z3.unsat:
        return Proof(claim, None, notes)
    if answer != z3.sat:
        raise ConfigError("PROOF_UNDECIDED", f"z3 found no answer: {solver.reason_unknown()}")
    for request in _questions(model, _plainest(model, point, solver, claim), claim):
        decision = decide(world, request)
        if decision.outcome is not Outcome.DENY:
            return Proof(claim, Counterexample(request, decision), notes)
    raise ConfigError(
        "PROOF_UNDECIDED",
        f"the model finds a question that decide denies: {', '.join(decision.codes)}",
        hint="this is a bug in the program: please report it with the files and the claim",
    )


def _about(model: Model, p: Point, claim: Claim) -> Term:
    """Return the questions that the claim covers."""
    z3, numbers = model.z3, model.numbers
    fixed = (
        (p.recipient, claim.recipient),
        (p.authority, claim.authority),
        (p.originator, claim.originator),
        (p.sender, claim.sender),
    )
    terms = [
        p.at >= claim.during.start,
        p.at < claim.during.until,
        p.reference >= int(claim.least),
        p.recipient != p.originator,
        *(term == numbers[code] for term, code in fixed if code is not None),
    ]
    if claim.outside is not None:
        terms.append(z3.Not(model.inside(p, claim.outside)))
    if claim.category is not None:
        known = claim.category if claim.category in model.categories else OTHER
        terms.append(p.category == model.categories.index(known))
    if claim.flag is not None and claim.flag in p.flags:
        terms.append(p.flags[claim.flag])
    return z3.And(*terms)


def _plainest(model: Model, p: Point, solver: Any, claim: Claim) -> Point:
    """Return the plainest solution that z3 finds: preferably at the claim's level, with the originator's own
    label, and late.
    """
    latest = max((change for change in model.world.changes if change < claim.during.until), default=FIRST)
    wishes: list[Term] = []
    for wish in (p.reference == int(claim.least), p.authority == p.originator, p.at >= latest):
        if solver.check(*wishes, wish) == model.z3.sat:
            wishes.append(wish)
    solver.check(*wishes)
    return model.read(p, solver.model())


def _questions(model: Model, found: Point, claim: Claim) -> Iterator[Request]:
    """Yield the questions for z3's solution, the plainest first: with the originator's own label, at the
    start of its period.
    """
    exact = request_of(model, found)
    if claim.category is not None:
        exact = replace(exact, category=claim.category)
    if claim.flag is not None:
        exact = replace(exact, flags=exact.flags | {claim.flag})
    registry, originator = model.world.registry, exact.originator or exact.sender
    since = [change for change in model.world.changes if claim.during.start <= change <= exact.at]
    at = max((*since, *((claim.during.start,) if claim.during.start > FIRST else ())), default=exact.at)
    plain = replace(
        exact,
        at=at,
        sender=exact.sender if claim.sender is not None else originator,
        flags=frozenset() if claim.flag is None else frozenset((claim.flag,)),
        consents=exact.consents if claim.sender not in (None, originator) else frozenset(),
        approvals=frozenset(),
    )
    label = exact.label
    for authority in (label.authority if claim.authority is not None else originator, label.authority):
        for level in registry.ladder(authority or "").at(at).levels:
            if authority is not None and level.reference == found.reference:
                owners = label.owners if authority == JOINT else ()
                codes = order_codes({*(owners or (authority,)), exact.recipient}, authority, owners, registry)
                yield replace(plain, label=Label(authority, level.name, codes, owners=owners))
    yield plain
    yield exact


def request_of(model: Model, found: Point) -> Request:
    """Return the request that a point of plain numbers and truth values stands for."""
    registry = model.world.registry
    member = model.members.__getitem__
    authority = model.authorities[found.authority]
    originator, recipient = member(found.originator), member(found.recipient)
    at = Instant(found.at)
    controls = ((NOFORN, found.noforn), (EYES_ONLY, found.eyes_only), (ORCON, found.handled))
    owners: tuple[str, ...] = ()
    if authority == JOINT:
        owners = tuple(sorted((originator, next(state for state in registry.states if state != originator))))

    def listed(codes: Mapping[str, Term]) -> tuple[str, ...]:
        return order_codes([code for code, named in codes.items() if named], authority, owners, registry)

    ladder = registry.ladder(authority)
    words = [ladder.at(at), *reversed(ladder.rows)]
    names = [level.name for row in words for level in row.levels]
    tlp = RED if found.red else "GREEN" if found.guarded else CLEAR if authority == TLP_ALONE else None
    label = Label(
        authority=authority or None,
        level=None if authority == TLP_ALONE else next(n for n in names if _worth(ladder, n, found)),
        releasable_to=listed(found.named) if found.stated else None,
        controls=order_controls([control for control, there in controls if there]),
        tlp=tlp,
        owners=owners,
        displayable_to=listed(found.shown) if found.displayed else None,
        fgi=_foreign(found, recipient, member(found.sender), registry),
    )
    return Request(
        label=label,
        category=model.categories[found.category],
        at=at,
        sender=member(found.sender),
        recipient=recipient,
        originator=originator,
        flags=frozenset(flag for flag, there in found.flags.items() if there),
        consents=frozenset((recipient,)) if found.consent else frozenset(),
        approvals=frozenset(rule for rule, there in found.approved.items() if there),
        recalled=found.over,
    )


def _foreign(found: Point, recipient: str, sender: str, registry: Registry) -> tuple[str, ...] | None:
    """Return an FGI list with the point's meaning: another state that must consent, or none."""
    if found.concealed:
        return ()
    if not found.fgi:
        return None
    others = (state for state in sorted(registry.states) if state not in (recipient, sender, "USA"))
    return (next(others),) if found.third else (recipient,)


def _worth(ladder: Ladder, name: str, found: Point) -> bool:
    """Return True if the level's reference at the point's instant is the point's."""
    level = ladder.read(name, Instant(found.at))
    return level is not None and level.reference == found.reference


def _notes(model: Model, claim: Claim) -> Iterator[str]:
    """Yield the reasons why the answer may mean less than it seems to."""
    listed = {party.member for treaty in model.world.treaties for party in treaty.parties}
    for code in (claim.recipient, claim.originator):
        if code is not None and code not in listed:
            yield f"no treaty here lists {code}"
    if claim.category is not None and claim.category not in model.categories:
        hint = guess(claim.category, model.categories)
        yield f"no treaty or rule here names the category {claim.category!r}" + (f": {hint}" if hint else "")
    if claim.flag is not None and claim.flag not in model.flags:
        yield f"no rule here names the flag {claim.flag!r}"
