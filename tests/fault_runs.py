"""Faults with real processes that are counted: each plays one fault so many times; the answer is its figure.

All of them run two nodes through the real command line. Raises AssertionError where a promise is not kept.
"""

from __future__ import annotations

import json
import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from e2e.nodes import copied, found, intelshare, introduce, log_of, ok, running, wait_for_links, wait_until
from intelshare.broker.lifecycle.rebuild import DRIVING
from rot import kinds, rot

LABEL = "//FRA SECRET//REL TO FRA, USA"


@contextmanager
def members() -> Iterator[tuple[Path, Path]]:
    """FRA and USA that know each other; neither runs."""
    with tempfile.TemporaryDirectory(prefix="intelshare-faults-") as root:
        fra, usa = found(Path(root) / "fra", "FRA"), found(Path(root) / "usa", "USA")
        with running(fra), running(usa):
            introduce(fra, usa)
            wait_for_links(fra)
        yield fra, usa


def send(folder: Path, to: str, *words: str) -> str:
    """A bulletin with OK; its id."""
    done = ok(
        "send", "-", "--as", folder / "users" / "ana", "--to", to, "--label", LABEL,
        "--category", "cyber", *words, "--json", stdin="Phishing kit",
    )  # fmt: skip
    return str(done.json["bulletin"])


def received(folder: Path) -> list[str]:
    """The ids of all that the inbox lists."""
    done = ok("inbox", "--as", folder / "users" / "ana", "--limit", "1000", "--json")
    return [str(row["bulletin"]) for row in done.json["entries"]]


def check(sent: set[str], folder: Path) -> None:
    """Nothing is lost, doubled or unexpected."""
    wait_until(lambda: len(received(folder)) >= len(sent), "all that had OK to arrive")
    there = received(folder)
    assert len(there) == len(set(there)), "a bulletin arrived twice"
    assert set(there) == sent, "a bulletin was lost, or one came that nobody sent"


def rotten(runs: int, first: int = 0) -> str:
    """F12, F31: one bit in one row of each table in turn, at sender and recipient, from the ``first`` on."""
    named = mended = 0
    chance = random.Random(runs)
    with members() as (fra, usa):
        with running(fra), running(usa):
            wait_for_links(fra)
            sent = {send(fra, "USA", "--wait", "accepted") for _ in range(4)}
            ok("read", sorted(sent)[0], "--as", usa / "users" / "ana")
        original = fra.parent / "whole"
        original.mkdir()
        for folder in (fra, usa):
            shutil.copytree(folder, original / folder.name)
        plan = [(folder, kind) for folder in (fra, usa) for kind in kinds(folder / "intelshare.db")]
        for run in range(first, first + runs):
            folder, kind = plan[run % len(plan)]
            for one in (fra, usa):
                shutil.rmtree(one)
            copied(original, fra.parent)
            before = log_of(folder).stat().st_size
            rot(folder / "intelshare.db", kind, chance.randrange(1000))
            with running(fra) as sender, running(usa) as recipient:
                intelshare("node", "repair", "--folder", folder, "--scrub", "--fetch")
                said = log_of(folder).read_bytes()[before:].decode()
                lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
                told = [line["record"] for line in lines if line["event"] == "record.damaged"]
                assert any(f"a record of {kind} " in line for line in told), (kind, said[-2000:])
                named += 1
                mended += any(
                    line["record"].startswith(f"{kind} ") and line["status"] != "stays"
                    for line in lines
                    if line["event"] == "record.mended"
                )
                if kind in ("inbox", "portion", "secret", "received") and folder == usa:
                    check(sent, usa)
                assert send(fra, "USA") if kind not in ("user", "trust", "act") else True
                assert (sender.poll(), recipient.poll()) == (None, None), kind
    kept = ", ".join(table.name for table in DRIVING)
    return f"{named} of {runs} named, {mended} made again or fetched ({kept} always); no node ended"
