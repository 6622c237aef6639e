"""The shape of a vector: the keys by which it is recognised, and the function that judges it."""

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
    """The surroundings of a case: the real registry, and the world that its file contains, if any."""

    registry: Registry
    world: World | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """One statement of a case, and what this implementation answers. Plain JSON values."""

    part: str
    """The part of the case; empty for all of it."""
    expected: Any
    got: Any


_FOR_PEOPLE: Final = frozenset(("id", "name", "note", "source"))
"""Keys that any case may have, and that are not checked."""
_ERROR: Final = frozenset(("error",))
_ANSWER: Final = frozenset(("expect", "error"))

Judge = Callable[[Case, Setting], Iterator[Answer]]


@dataclass(frozen=True, slots=True)
class Shape:
    """A shape: cases that have all of ``keys`` belong to it."""

    name: str
    keys: frozenset[str]
    judge: Judge
    more: frozenset[str] = frozenset()
    """Further keys that a case may have: the answer, or data that is not always needed."""
    answered: bool = True
    """True if a case states its answer under ``expect`` or ``error``; otherwise the keys themselves are the
    answer.
    """

    def check_known(self, case: Case) -> None:
        """Check that a case has no other keys. Raises ValueError."""
        only_known(case, self.keys | self.more | (_ANSWER if self.answered else _ERROR))

    def fits(self, case: Case) -> bool:
        """Return True if a case is of this shape."""
        return self.keys <= case.keys() and (not self.answered or "expect" in case or "error" in case)


def unusable(message: str) -> PolicyFileError:
    """Return the error for a file that contains something other than vectors."""
    return PolicyFileError("INPUT_INVALID", message, hint="the shapes are in tests/vectors/README.md")


def answer(part: str, stated: Case, compute: Callable[[], dict[str, Any]]) -> Answer:
    """Return the result computed, beside what the case states under the same names; or the error that was
    raised.
    """
    expected = {"error": stated["error"]} if "error" in stated else None
    try:
        got = compute()
    except IntelshareError as error:
        told = {name: value for name, value in stated.items() if name != "error"}
        return Answer(part, expected or told, {"error": error.code})
    return Answer(part, expected or {name: stated[name] for name in got}, got)


def only_known(case: Case, known: frozenset[str]) -> None:
    """Check that a case has no other keys. Raises ValueError, because a misspelt key would never be
    checked.
    """
    unknown = case.keys() - known - _FOR_PEOPLE
    if unknown:
        raise ValueError(f"unknown keys {sorted(unknown)}")
