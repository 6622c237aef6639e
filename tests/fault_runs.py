"""Faults with real processes that are counted: each plays one fault so many times; the answer is its figure.

All of them run two nodes through the real command line. Raises AssertionError where a promise is not kept.
"""

from __future__ import annotations

import json
import random
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from e2e.nodes import copied, found, intelshare, introduce, log_of, ok, running, wait_for_links, wait_until
from intelshare.broker.kernel.tables import TABLES
from intelshare.errors import RecordError
from intelshare.node.mending import record_of
from intelshare.store.scrub import scrub
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


def rotten(runs: int, at_once: int = 1) -> str:
    """F12, F31: one bit in one row of each table in turn, at sender and recipient; so many tables in a run.

    Each is named, and put right with nobody's help: nothing is asked of a peer, nothing waits, all is there.
    """
    flipped: list[RecordError] = []
    missed: list[str] = []
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
        plan = [(folder, kind) for folder in (fra, usa) for kind in kinds(database_of(folder))]
        for run in range(runs):
            for one in (fra, usa):
                shutil.rmtree(one)
            copied(original, fra.parent)
            there = {folder: log_of(folder).stat().st_size for folder in (fra, usa)}
            hit: dict[Path, dict[str, RecordError]] = {fra: {}, usa: {}}
            for place in range(run * at_once, run * at_once + min(at_once, len(plan))):
                folder, kind = plan[place % len(plan)]
                rot_once(folder, kind, chance.randrange(1000), hit[folder])
            with running(fra) as sender, running(usa) as recipient:
                for folder in (fra, usa):
                    if hit[folder]:
                        intelshare("node", "repair", "--folder", folder, "--scrub")
                        missed += not_put_right(folder, there[folder], hit[folder].values())
                        flipped += hit[folder].values()
                check(sent, usa)
                assert send(fra, "USA", "--wait", "accepted")
                assert (sender.poll(), recipient.poll()) == (None, None), hit
            left = [error.message for folder in (fra, usa) for error in scrub(database_of(folder), TABLES)]
            assert not left, left
    assert not missed, missed
    return f"{len(flipped)} of {len(flipped)} named, {len(flipped)} put right; no node ended"


def rot_once(folder: Path, kind: str, which: int, hit: dict[str, RecordError]) -> None:
    """Flip a bit in a row of this kind, unless one in its chunk was flipped before."""
    before = database_of(folder).read_bytes()
    error = rot(database_of(folder), kind, which)
    if error.message in hit:
        database_of(folder).write_bytes(before)
    hit[error.message] = error


def not_put_right(folder: Path, since: int, flipped: Iterable[RecordError]) -> list[str]:
    """Those that a node has not named and put right, by its log from this place on."""

    def said(event: str, field: str) -> list[tuple[str, str]]:
        lines = log_of(folder).read_bytes()[since:].decode().splitlines()
        events = [json.loads(line) for line in lines if line.startswith("{")]
        return [(one["record"], one[field]) for one in events if one["event"] == event]

    def missing() -> list[str]:
        named = [record for record, _ in said("record.damaged", "code")]
        mended = said("record.mended", "status")
        return [
            one.message
            for one in flipped
            if one.message not in named
            or {status for record, status in mended if record == str(record_of(one))} != {"whole"}
        ]

    with suppress(AssertionError):
        wait_until(lambda: not missing(), "every flipped bit to be put right")
    return missing()


def database_of(folder: Path) -> Path:
    """Where the rows of a folder are."""
    return folder / "intelshare.db"
