"""What a further recipient costs, as a part of what the first costs: at submit, and from hand-over to
receipt.

python -m bench.recipients [--recipients 5] [--count 400] [--rounds 3] [--json]

Processor time of the sender alone, real nodes at every end, bulletins queued while the recipients are stopped
and then drained; rounds with one recipient and with all of them in turn, the best of each.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from typing import Any

from bench.load import Kind, load
from bench.measured import Watched
from bench.nodes import ROOT, Failed, Node, end, federation
from bench.once import run

CODES = ("FRA", "USA", "KEN", "NOR", "DEU", "ESP", "ITA", "POL", "SWE", "JPN")
TREATY = ROOT / "treaties" / "un-charter.toml"
IN_FLIGHT = 256


async def one_round(fra: Node, others: Sequence[Node], to: Sequence[Node], count: int) -> tuple[float, float]:
    """Seconds of the sender's processor a bulletin: (at submit, from hand-over to all receipts)."""
    codes = tuple(node.code for node in to)
    kind = Kind(codes, f"//FRA NON PROTEGE//REL TO FRA, {', '.join(codes)}", "climate-disaster")
    end(others)
    async with load(fra, kind) as sender:
        mark, watched = await sender.mark(), Watched(sender=fra)
        await sender.submit_all(count, IN_FLIGHT)
        submitted = watched.spent()["sender"].used.whole
        watched = Watched(sender=fra)
        for node in others:
            await asyncio.to_thread(node.start)
        await sender.idle()
        drained = watched.spent()["sender"].used.whole
        await sender.receipts(mark, count * len(to))
    return submitted / count, drained / count


def measure(count: int, rounds: int, recipients: int) -> dict[str, Any]:
    """Best of the rounds, in µs. Raises Failed."""
    ones, alls = [], []
    with federation(CODES[: recipients + 1], [TREATY]) as (fra, *others):
        for number in range(rounds + 1):
            size = count if number else count // 8  # the first only warms up
            one = asyncio.run(one_round(fra, others, others[:1], size))
            every = asyncio.run(one_round(fra, others, others, size))
            if number:
                ones.append(one)
                alls.append(every)
    found: dict[str, Any] = {"recipients": recipients, "count": count, "rounds": rounds}
    for place, step in enumerate(("submit", "hand_over")):
        first, whole = min(one[place] for one in ones) * 1e6, min(every[place] for every in alls) * 1e6
        further = (whole - first) / (recipients - 1)
        found[step] = {"first_us": first, "further_us": further, "further_per_first": further / first}
    return found


def show(found: dict[str, Any]) -> None:
    """One line a step."""
    print(f"{'processor µs at the sender, ' + str(found['recipients']) + ' recipients':<44}"
          f"{'first':>9}{'further':>9}{'further / first':>17}")  # fmt: skip
    for step, words in (("submit", "submit"), ("hand_over", "hand-over to receipt")):
        line = found[step]
        print(
            f"{words:<44}{line['first_us']:>9,.0f}{line['further_us']:>9,.0f}{line['further_per_first']:>17.2f}"
        )


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """All figures. Raises Failed."""
    if not 2 <= options.recipients < len(CODES):
        raise Failed(f"from 2 to {len(CODES) - 1} recipients")
    return measure(options.count, options.rounds, options.recipients)


if __name__ == "__main__":
    sys.exit(run(__doc__, measured, show, {"--recipients": 5, "--count": 400, "--rounds": 3}))
