"""The vocabulary of a world as terms of z3: members, levels, categories, time; and a question as variables.

z3 has no type annotations and comes with the extra ``prove``, so it is imported only when it is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from importlib import import_module
from typing import Any

from intelshare.errors import ConfigError
from intelshare.instant import NEVER
from intelshare.labels import BEGINNING, JOINT, Interval, Ladder, Reference
from intelshare.policy import ANY_CATEGORY, Overlay, Rule, World

OTHER = "(any other)"
"""The category that stands for all that no treaty and no rule names."""

TLP_ALONE = ""
"""The authority of a label that has none."""

Term = Any
"""A term of z3, which has no type annotations."""


def solver() -> Any:
    """Return the module z3. Raises ConfigError EXTRA_MISSING if it is not installed."""
    try:
        return import_module("z3")
    except ImportError:
        hint = "install it with: pip install 'intelshare[prove]'"
        raise ConfigError(
            "EXTRA_MISSING", "z3 is not installed; it is in the extra prove", hint=hint
        ) from None


@dataclass(frozen=True, slots=True)
class Point:
    """One question: indices into the lists of the ``Model``, microseconds, and truth values."""

    at: Term
    originator: Term
    sender: Term
    recipient: Term
    authority: Term
    reference: Term
    category: Term
    stated: Term
    """True if there is a REL TO; ``named`` says which codes it names."""
    displayed: Term
    """True if there is a DISPLAY ONLY; ``shown`` says which codes it names."""
    noforn: Term
    eyes_only: Term
    handled: Term
    """True if there is a control that forbids nothing by itself: FOUO, LES, PROPIN or ORCON."""
    fgi: Term
    """True if there is FGI with a list; ``third``: it names a state other than sender and recipient, which
    must consent.
    """
    third: Term
    concealed: Term
    """True if there is FGI without a list."""
    guarded: Term
    """True if TLP is above CLEAR; ``red``: it is RED."""
    red: Term
    consent: Term
    over: Term
    """True if the bulletin is recalled or expired."""
    named: Mapping[str, Term]
    shown: Mapping[str, Term]
    flags: Mapping[str, Term]
    approved: Mapping[str, Term]


class Terms:
    """The vocabulary of one world, numbered, and the terms built from it."""

    def __init__(self, world: World) -> None:
        self.z3 = solver()
        self.world = world
        registry = world.registry
        self.members = sorted(registry.nodes | world.members)
        self.authorities = [*self.members, JOINT, TLP_ALONE]
        self.categories = sorted({*_categories(world), OTHER} - {ANY_CATEGORY})
        self.codes = sorted(registry.known)
        self.numbers = {code: number for number, code in enumerate(self.authorities)}
        """The number of each member (in their list) and each authority."""
        rules = [rule for law in world.overlays.values() for rule in rules_of(law)]
        self.flags = sorted({flag for rule in rules for flag in rule.when.flags or ()})
        self.holds = sorted({rule.id for law in world.overlays.values() for rule in law.hold})

    def point(self, name: str) -> Point:
        """Return a question made of fresh variables."""
        z3 = self.z3

        def number(what: str) -> Term:
            return z3.Int(f"{name}.{what}")

        def yes(what: str) -> Term:
            return z3.Bool(f"{name}.{what}")

        numbers = ("at", "originator", "sender", "recipient", "authority", "reference", "category")
        answers = (
            "stated", "displayed", "noforn", "eyes_only", "handled", "fgi", "third", "concealed", "guarded",
            "red", "consent", "over",
        )  # fmt: skip
        return Point(
            **{what: number(what) for what in numbers},
            **{what: yes(what) for what in answers},
            named={code: yes(f"named.{code}") for code in self.codes},
            shown={code: yes(f"shown.{code}") for code in self.codes},
            flags={flag: yes(f"flag.{flag}") for flag in self.flags},
            approved={rule: yes(f"approved.{rule}") for rule in self.holds},
        )

    def read(self, p: Point, solution: Any) -> Point:
        """Return the values of a point's variables in a solution of z3, as plain numbers and truth values."""

        def value(term: Term) -> int | bool:
            found = solution.eval(term, model_completion=True)
            return bool(self.z3.is_true(found)) if self.z3.is_bool(found) else int(found.as_long())

        def values(terms: Mapping[str, Term]) -> dict[str, Term]:
            return {name: value(term) for name, term in terms.items()}

        found: dict[str, Any] = {
            each.name: values(term) if isinstance(term := getattr(p, each.name), Mapping) else value(term)
            for each in fields(p)
        }
        return Point(**found)

    def category(self, p: Point, words: Iterable[str]) -> Term:
        """Return the term: the category is one of these words."""
        words = frozenset(words)
        return ANY_CATEGORY in words or self.any_(
            *(p.category == self.categories.index(word) for word in words)
        )

    def at_least(self, p: Point, word: str) -> Term:
        """Return the term: the reference is not below the word's, or the word is unknown at the instant."""
        return self.not_(self.threshold(p, word, lambda least: p.reference < int(least)))

    def threshold(self, p: Point, word: str, holds: Callable[[Reference], Term]) -> Term:
        """Return the term: the word (R0 to R4, or an organisation's level) is known, and ``holds`` is true of
        its reference.
        """
        if word in Reference.__members__:
            return holds(Reference[word])
        registry = self.world.registry
        whole = registry.organisation_levels.get(word)
        return False if whole is None else self.worth(p, registry.ladder(whole[0]), whole[1], holds)

    def is_(self, who: Term, member: str) -> Term:
        """Return the term: it is this member (or authority); False for a code that the world does not
        know.
        """
        return who == self.numbers[member] if member in self.numbers else False

    def member(self, who: Term, members: Iterable[str]) -> Term:
        """Return the term: it is one of these members."""
        return self.any_(*(self.is_(who, member) for member in members))

    def within(self, p: Point, intervals: Iterable[Interval]) -> Term:
        """Return the term: the instant lies in one of these intervals."""
        return self.any_(*(self.during(p, interval) for interval in intervals))

    def during(self, p: Point, interval: Interval) -> Term:
        """Return the term: the instant lies in the interval."""
        start, until = interval
        return self.all_(
            True if start == BEGINNING else p.at >= start, True if until == NEVER else p.at < until
        )

    def worth(self, p: Point, ladder: Ladder, name: str, holds: Callable[[Reference], Term]) -> Term:
        """Return the term: the level is known at the instant, and ``holds`` is true of its reference then."""
        having = [
            (row.interval.start, level) for row in ladder.rows if (level := row.level(name)) is not None
        ]
        ends = [*(start for start, _ in having[1:]), NEVER]
        return self.any_(
            *(
                self.all_(self.during(p, Interval(start, until)), holds(level.reference))
                for (start, level), until in zip(having, ends, strict=False)
            )
        )

    def all_(self, *terms: Term) -> Term:
        """Return the conjunction of these terms; z3 requires at least one operand."""
        return self.z3.And(self.z3.BoolVal(True), *terms)

    def any_(self, *terms: Term) -> Term:
        """Return the disjunction of these terms."""
        return self.z3.Or(self.z3.BoolVal(False), *terms)

    def not_(self, term: Term) -> Term:
        """Return the negation of this term."""
        return self.z3.Not(term)

    def implies(self, one: Term, other: Term) -> Term:
        """Return the term: the first implies the second."""
        return self.z3.Implies(one, other)


def rules_of(law: Overlay) -> Iterable[Rule]:
    """Return all rows of an overlay."""
    return (*law.forbid, *law.hold, *law.oblige, *law.refuse)


def _categories(world: World) -> Iterable[str]:
    for treaty in world.treaties:
        for provision in treaty.provisions:
            yield from provision.categories
        for party in treaty.parties:
            for row in party.reservations:
                yield from row.categories or ()
    for law in world.overlays.values():
        for rule in rules_of(law):
            yield from rule.when.categories or ()
