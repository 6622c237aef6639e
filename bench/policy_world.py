"""Treaty files for the policy benchmark: ten that everybody asks about, and any number of others beside them.

The ten have the shapes of the record: a world-wide charter, alliances, a union, a political commitment, and
bilateral agreements. The others are bilateral and regional instruments between other states.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

ASKED = ("USA", "FRA", "GBR", "DEU", "POL", "CAN", "NOR", "SWE", "ITA", "ESP", "KEN", "NATO")
"""Who sends and receives in the benchmark."""

CATEGORIES = ("cyber", "terrorism", "climate-disaster", "arms-transfer", "proliferation", "organised-crime")
DUTIES = ("attribution", "retention-365d", "no-onward-release")


def ten(states: Sequence[str]) -> dict[str, str]:
    """Name to text of the ten; ``states`` fill the larger ones."""
    dice = Random(10)
    few = [state for state in states if state not in ASKED]
    sets = [
        ("charter", "multilateral", [*ASKED[:-1], *few[:150]], "R1"),
        ("alliance", "multilateral", [*ASKED[:10], "NATO", *few[:20]], "R4"),
        ("union", "regional", ["FRA", "DEU", "POL", "SWE", "ITA", "ESP", *few[:20]], "R3"),
        ("conference", "political-commitment", [*ASKED[:10], *few[:40]], "R1"),
        ("climate", "multilateral", [*ASKED[:-1], *few[:100]], "R2"),
        ("plan", "political-commitment", ["USA", "FRA", "GBR", "DEU", *few[:4]], "R2"),
        ("gsa-fra-usa", "bilateral", ["FRA", "USA"], "R4"),
        ("gsa-gbr-usa", "bilateral", ["GBR", "USA"], "R4"),
        ("gsa-fra-ken", "bilateral", ["FRA", "KEN"], "R3"),
        ("gsa-nor-swe", "bilateral", ["NOR", "SWE"], "R3"),
    ]
    return {
        f"{name}.toml": _treaty(dice, name, kind, parties, ceiling) for name, kind, parties, ceiling in sets
    }


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
