"""Treaty files for the policy benchmark: the ten that ship, and any number of made ones beside them.

The made ones are bilateral and regional instruments between states that the benchmark does not ask about.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from intelshare.builtin import treaty_packs

ASKED = ("USA", "FRA", "GBR", "DEU", "POL", "FIN", "GEO", "NOR", "ITA", "ESP", "KEN", "NATO", "EU")
"""Who sends and receives in the benchmark."""

CATEGORIES = (
    "cyber",
    "terrorism",
    "climate-disaster",
    "arms-transfer",
    "proliferation",
    "collective-defence",
)
DUTIES = ("attribution", "retention-365d", "no-onward-release")


def ten() -> dict[str, str]:
    """Name to text of the treaties that ship."""
    return {path.name: path.read_text("utf-8") for path in treaty_packs().values()}


def others(states: Sequence[str], count: int) -> dict[str, str]:
    """Name to text of ``count`` treaties between states that nobody asks about: 90 % are bilateral."""
    dice = Random(1000)
    rest = [state for state in states if state not in ASKED]
    return {
        f"other-{number}.toml": _treaty(
            dice,
            f"other-{number}",
            "bilateral" if number % 10 else "regional",
            dice.sample(rest, 2 if number % 10 else 12),
            f"R{number % 4 + 1}",
        )
        for number in range(count)
    }


def _treaty(dice: Random, name: str, kind: str, parties: Sequence[str], ceiling: str) -> str:
    return "\n".join(_lines(dice, name, kind, parties, ceiling)) + "\n"


def _lines(dice: Random, name: str, kind: str, parties: Sequence[str], ceiling: str) -> Iterator[str]:
    yield f'id = "{name}"\ntitle = "Agreement {name}"\nkind = "{kind}"'
    yield f"adopted = {dice.randint(1950, 1989)}-06-01\nin_force = 1990-01-01"
    yield 'source = "made for the benchmark"'
    for number in range(1, dice.choice((2, 3, 4))):
        categories = dice.sample(CATEGORIES, dice.randint(2, 4))
        yield f'\n[[provision]]\narticle = "art. {number}"   # scope and ceiling'
        yield f"categories = {categories!r}".replace("'", '"')
        yield f'ceiling = "{ceiling}"\nobligations = ["{dice.choice(DUTIES)}"]'
        if number == 3:
            yield "until = 2035-01-01"
    for member in parties:
        yield f'\n[[party]]\nmember = "{member}"\nsigned = 1990-01-01\nratified = 1991-01-01'
        yield f"in_force = {dice.randint(1992, 2012)}-03-01"
        if dice.random() < 0.1:
            yield "suspended = [{ from = 2014-01-01, until = 2015-01-01 }]"
        if dice.random() < 0.1:
            yield 'reservations = [{ categories = ["arms-transfer"], level_at_least = "R3" }]'
