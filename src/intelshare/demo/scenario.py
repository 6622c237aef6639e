"""The parts of a scenario: who takes part, what is sent, and what each scene must show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from intelshare.roles import Role

if TYPE_CHECKING:
    from intelshare.demo.stage import Stage


@dataclass(frozen=True, slots=True)
class Analyst:
    """One person of a member, and what they may see."""

    member: str
    name: str
    clearance: str
    categories: tuple[str, ...]
    role: Role = Role.ANALYST


@dataclass(frozen=True, slots=True)
class Portion:
    """One portion: the file that contains it, its label and its text."""

    file: str
    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Expected:
    """The expected result for a recipient: one line per portion, as ``verdicts`` writes it."""

    recipient: str
    portions: tuple[str, ...]
    state: str = "accepted"


@dataclass(frozen=True, slots=True)
class Sending:
    """One bulletin: who sends what to whom, and the expected result."""

    author: Analyst
    title: str
    """The demo's name for it; it is not a portion of the bulletin."""
    category: str
    precedence: str
    portions: tuple[Portion, ...]
    expected: tuple[Expected, ...]
    source: str = ""
    """The title of the bulletin that its portions come from, if they carry another member's label."""

    @property
    def recipients(self) -> tuple[str, ...]:
        """Return the codes of the recipients."""
        return tuple(row.recipient for row in self.expected)


@dataclass(frozen=True, slots=True)
class Scene:
    """One scene: its headline, and what is done; the differences that it returns end the demo."""

    title: str
    play: Callable[[Stage], list[str]]
    proved: str = ""
    """A sentence for the summary, true if the scene goes as expected; empty: the tables say it."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """Members, each with a node and its people, and what happens between them."""

    name: str
    """The name on the command line; empty for the default."""
    opening: str
    """The first line."""
    scenes: tuple[Scene, ...]
    then: tuple[str, ...]
    """The commands to try afterwards; ``{folder}`` is the folder that ``--keep`` leaves."""
    analysts: tuple[Analyst, ...] = ()
    """Empty: no node is started, and there is nothing to keep."""
    packs: tuple[str, ...] = ()
    """Treaties that ship, and that every member has besides those of ``init --dev``."""

    @property
    def members(self) -> tuple[str, ...]:
        """Return the codes of the members, each once."""
        return tuple(dict.fromkeys(analyst.member for analyst in self.analysts))


def nodes_of(analysts: tuple[Analyst, ...]) -> str:
    """Return the first line of a scenario with nodes."""
    members = tuple(dict.fromkeys(analyst.member for analyst in analysts))
    return (
        f"{spelled(len(members))} sovereign nodes on this machine ({', '.join(members)}), keys and "
        "certificates made now, nothing leaves loopback"
    )


def spelled(count: int) -> str:
    """Return a small number as a word."""
    return ("no", "one", "two", "three", "four", "five")[count] if count < 6 else str(count)


def unmet(facts: dict[str, bool]) -> list[str]:
    """Return the texts of facts that are not true."""
    return [difference for difference, holds in facts.items() if not holds]
