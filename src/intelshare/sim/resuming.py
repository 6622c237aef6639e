"""A run of many seeds in pieces: what is done stands in a file, one seed a line, as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path

from intelshare.errors import ConfigError, Place
from intelshare.sim.many import SeedOutcome, outcomes


def resumed(path: Path, seeds: Sequence[int], bug: str = "", jobs: int = 1) -> Iterator[SeedOutcome]:
    """Yield the outcomes of all these seeds: those in the file, and then the others, which are added to it.

    A line that was cut short by the end of the machine is run again. Raises ConfigError INPUT_INVALID if the
    file is something else, or of another planted bug.
    """
    known = _read(path, bug)
    yield from (known[seed] for seed in seeds if seed in known)
    left = [seed for seed in seeds if seed not in known]
    # A run may be stopped anywhere: what was done stays in the file until all of it stands in another.
    whole = path.with_name(f"{path.name}.new")
    whole.write_text("".join(_line(out, bug) for out in known.values()), "utf-8")
    whole.replace(path)
    with path.open("a", encoding="utf-8") as file:
        for out in outcomes(left, bug, jobs):
            file.write(_line(out, bug))
            file.flush()
            yield out


def resumed_with_bugs(path: Path, seeds: Sequence[int], bug: str, jobs: int) -> Iterator[SeedOutcome]:
    """Do the same for one of several planted bugs, each of which has a file of its own beside ``path``."""
    return resumed(path.with_name(f"{path.name}.{bug}"), seeds, bug, jobs)


def _line(out: SeedOutcome, bug: str) -> str:
    return json.dumps({"bug": bug, **{one.name: getattr(out, one.name) for one in fields(out)}}) + "\n"


def _read(path: Path, bug: str) -> dict[int, SeedOutcome]:
    found: dict[int, SeedOutcome] = {}
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            planted = row.pop("bug")
            for name in ("words", "counts", "taken"):
                row[name] = Counter(row[name])
            out = SeedOutcome(**row)
        except (ValueError, TypeError, KeyError, AttributeError):
            if number == len(lines):
                break
            raise ConfigError(
                "INPUT_INVALID", "this is not a file of seeds that are done", place=Place(str(path), number)
            ) from None
        if planted != bug:
            raise ConfigError(
                "INPUT_INVALID",
                f"the seeds in this file were run with {planted or 'no'} bug",
                place=Place(str(path), number),
                hint="name another file",
            )
        found[out.seed] = out
    return found
