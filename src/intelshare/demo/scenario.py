"""The scenario as data: who takes part, what is written, and what each scene must show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Analyst:
    """One analyst of a member."""

    member: str
    name: str
    clearance: str
    categories: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Portion:
    """One portion: the file it is kept in, its label and its text."""

    file: str
    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Expected:
    """What a recipient must get of the bulletin: one line per portion, as ``verdicts`` writes it."""

    recipient: str
    portions: tuple[str, ...]
    state: str = "accepted"


@dataclass(frozen=True, slots=True)
class Burst:
    """How many bulletins are on their way when a node dies, and how many follow while it is dead."""

    before: int
    kill_after: int
    """The node is killed when so many of them have been answered."""
    while_dead: int
    flash_while_dead: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.before + self.while_dead + self.flash_while_dead


@dataclass(frozen=True, slots=True)
class Scenario:
    """Three members and what happens between them."""

    analysts: tuple[Analyst, ...]
    author: Analyst
    reader: Analyst
    """Reads the bulletin in scene 2, and must see ``granted`` alone."""
    crashing: str
    """The member whose node is killed in scene 3."""
    witness: Analyst
    """Of that member: sees what arrived."""
    title: str
    category: str
    portions: tuple[Portion, ...]
    expected: tuple[Expected, ...]
    granted: tuple[int, ...]
    treaties: frozenset[str]
    burst: Burst

    @property
    def members(self) -> tuple[str, ...]:
        """Codes, each once."""
        return tuple(dict.fromkeys(analyst.member for analyst in self.analysts))

    @property
    def recipients(self) -> tuple[str, ...]:
        """Everybody but the author's member."""
        return tuple(code for code in self.members if code != self.author.member)


_DURAND: Final = Analyst("FRA", "m.durand", "SECRET", ("*",))
_MILLER: Final = Analyst("USA", "j.miller", "SECRET", ("cyber", "terrorism"))
_OTIENO: Final = Analyst("KEN", "a.otieno", "R1", ("cyber", "climate-disaster"))

CLIMATE: Final = Scenario(
    analysts=(
        _DURAND,
        Analyst("FRA", "l.moreau", "DIFFUSION RESTREINTE", ("climate-disaster",)),
        _MILLER,
        Analyst("USA", "k.nguyen", "CONFIDENTIAL", ("climate-disaster",)),
        _OTIENO,
        Analyst("KEN", "w.kamau", "R1", ("climate-disaster",)),
    ),
    author=_DURAND,
    reader=_OTIENO,
    crashing="USA",
    witness=_MILLER,
    title="Phishing kit against grid operators",
    category="cyber",
    portions=(
        Portion(
            "kit.txt",
            "//FRA DIFFUSION RESTREINTE//REL TO FRA, USA, KEN",
            "Phishing kit against grid operators.\n"
            "Mail from grid-maintenance.example carries a page that asks for VPN passwords.\n"
            "Block the domain; look for logins from 203.0.113.0/24 since 20 November.\n",
        ),
        Portion(
            "source.txt",
            "//FRA SECRET//REL TO FRA, USA, KEN",
            "The kit is operated by the group that we track as BLUE HERON.\n"
            "Known from access to its build server.\n",
        ),
    ),
    expected=(
        Expected("USA", ("released gsa-fra-usa art. 4", "released gsa-fra-usa art. 4")),
        Expected(
            "KEN",
            (
                "released demo-climate art. 2",
                "withheld EXCEEDS_CEILING: SECRET > RESTRICTED (demo-climate.toml:11)",
            ),
        ),
    ),
    granted=(0,),
    treaties=frozenset(("gsa-fra-usa", "demo-climate")),
    burst=Burst(before=40, kill_after=12, while_dead=20, flash_while_dead=5),
)
