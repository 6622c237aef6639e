"""What a vector is: the keys by which its shape is known, and what judges it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from intelshare.errors import IntelshareError, PolicyFileError
from intelshare.labels import Registry
from intelshare.policy import World

Case = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Setting:
    """What surrounds a case: the real registry, and the world that its file brings, if it does."""

    registry: Registry
    world: World | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """One thing that a case states, and what this implementation says instead. Plain JSON values."""

    part: str
    """Which part of the case; empty: all of it."""
    expected: Any
    got: Any


_FOR_PEOPLE: Final = frozenset(("id", "name", "note", "source"))
"""Keys that any case may have, and that nobody judges."""
_ERROR: Final = frozenset(("error",))
_ANSWER: Final = frozenset(("expect", "error"))

Judge = Callable[[Case, Setting], Iterator[Answer]]


@dataclass(frozen=True, slots=True)
class Shape:
    """Cases that have all of ``keys`` are of this shape."""

    name: str
    keys: frozenset[str]
    judge: Judge
    more: frozenset[str] = frozenset()
    """What a case may have besides: the answer, or what matters only at times."""
    answered: bool = True
    """Whether a case states its answer under ``expect`` or ``error``; else the keys themselves are it."""

    def check_known(self, case: Case) -> None:
        """Return if a case has no other keys. Raises ValueError."""
        only_known(case, self.keys | self.more | (_ANSWER if self.answered else _ERROR))

    def fits(self, case: Case) -> bool:
        """Whether a case is of this shape."""
        return self.keys <= case.keys() and (not self.answered or "expect" in case or "error" in case)


def unusable(message: str) -> PolicyFileError:
    """The error for a file that holds what is no vector."""
    return PolicyFileError("INPUT_INVALID", message, hint="the shapes are in tests/vectors/README.md")


def answer(part: str, stated: Case, compute: Callable[[], dict[str, Any]]) -> Answer:
    """What is computed, against what the case states under the same names; or the error that came of it."""
    expected = {"error": stated["error"]} if "error" in stated else None
    try:
        got = compute()
    except IntelshareError as error:
        told = {name: value for name, value in stated.items() if name != "error"}
        return Answer(part, expected or told, {"error": error.code})
    return Answer(part, expected or {name: stated[name] for name in got}, got)


def only_known(case: Case, known: frozenset[str]) -> None:
    """Return if a case has no other keys. Raises ValueError: a misspelt key would be looked at by nobody."""
    unknown = case.keys() - known - _FOR_PEOPLE
    if unknown:
        raise ValueError(f"unknown keys {sorted(unknown)}")
