"""``make faults``: F1 to F36 with real processes, one line and one figure for each; ``--short`` for CI.

A row is PASS only if what the promise asks was done as often as it asks; PART if it was done less often or
only some of it; NOT DONE, with the reason, if this machine or this program cannot do it; FAIL if a promise
was not kept. NOT DONE and PART are never counted as passed.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import fault_calls
import fault_certificates
import fault_clients
import fault_clock
import fault_disk
import fault_keys
import fault_kills
import fault_load
import fault_network
import fault_power
import fault_rot
import fault_runs
import fault_soak
import forked
from e2e.nodes import ROWS_AT
from fault_world import NotHere
from intelshare.patience import VARIABLE
from postgres_server import server_url
from processes import finished

ROOT = Path(__file__).resolve().parents[1]


class Counted(NamedTuple):
    """A run that plays its fault so many times."""

    run: Callable[[int], str]
    asked: int
    usual: int
    short: int
    """How often in the short form; 0: it is left out there."""


class Fault(NamedTuple):
    """One row of the table of faults."""

    number: str
    what: str
    tests: tuple[str, ...] = ()
    counted: Counted | None = None
    missing: str = ""
    """What the promise asks and nothing here does."""
    short: bool = False
    """Its tests run in the short form."""


_LIFE = "tests/integration/test_node_lifecycle.py::"
_FOLDER = "tests/integration/test_data_folder.py::"
_STORE = "tests/integration/test_sqlite_store.py::"
_FULL = "tests/e2e/test_full_disk.py::"
_COURIER = "tests/e2e/test_courier_commands.py::"
_STRANGERS = "tests/integration/test_strangers.py::"
_CLOCK = "tests/integration/test_clock_jumps.py::"

FAULTS: tuple[Fault, ...] = (
    Fault(
        "F1",
        "SIGKILL of a random node, restart; 30 a second: 200 are out of reach of two cores",
        (f"{_STORE}test_kill_9_loses_nothing_that_was_acknowledged",),
        Counted(fault_kills.killed, 100, 10, 1),
    ),
    Fault(
        "F2",
        "loss of power of the sender's and then of the recipient's volume",
        ("tests/unit/repository/test_durable_files.py",),
        Counted(fault_power.power_lost, 25, 25, 0),
    ),
    Fault("F3", "SIGSTOP of one of ten", counted=Counted(fault_load.stopped, 20, 20, 0)),
    Fault(
        "F4",
        "partition both ways, one way, flapping, so many seconds each",
        counted=Counted(partial(fault_network.apart, "partitioned"), 60, 60, 0),
    ),
    Fault(
        "F5",
        "30 % loss, 500 ms, duplicates, reorder, so many seconds each",
        counted=Counted(partial(fault_network.apart, "lossy"), 180, 180, 0),
    ),
    Fault(
        "F6",
        "FLASH behind 10,000 ROUTINE at 2 Mbit/s",
        counted=Counted(partial(fault_network.apart, "slow"), 10_000, 10_000, 0),
    ),
    Fault(
        "F7",
        "the recipient's disk is full, then has space",
        (f"{_FULL}test_f7_f8_a_full_disk_refuses_says_so_and_goes_on_by_itself_at_both_ends",),
    ),
    Fault(
        "F8",
        "the sender's disk is full",
        (
            f"{_FULL}test_f7_f8_a_full_disk_refuses_says_so_and_goes_on_by_itself_at_both_ends",
            f"{_FULL}test_a_start_on_a_full_disk_uses_the_reserve_and_without_one_says_what_is_needed",
        ),
    ),
    Fault(
        "F9",
        "a file system that becomes read-only under load",
        (
            f"{_FULL}test_f9_a_start_on_a_disk_that_takes_no_writes_is_a_disk_error_and_one_after_it_goes_on",
        ),
        Counted(fault_disk.read_only, 6, 6, 0),
    ),
    Fault(
        "F10",
        "EIO on the 50th fdatasync",
        (f"{_STORE}test_after_an_fsync_that_failed_nobody_is_told_that_nothing_was_stored",),
        Counted(fault_disk.failing_sync, 10, 10, 0),
        short=True,
    ),
    Fault(
        "F11",
        "WAL cut, flipped or deleted on a stopped node",
        (f"{_FOLDER}test_a_folder_that_was_put_back_is_noticed_although_both_memories_agree",),
        Counted(fault_disk.forgotten, 500, 500, 0),
    ),
    Fault(
        "F12",
        "one bit in a row",
        ("tests/e2e/test_rot.py",),
        Counted(fault_runs.rotten, 50, 50, 2),
    ),
    Fault("F13", "a backup restored over a live folder", ("tests/e2e/test_backup.py",)),
    Fault(
        "F14",
        "the clock -1 h, +1 day, +400 days, at either end",
        (f"{_CLOCK}test_what_was_signed_ahead_arrives_once_the_clock_is_right_also_after_a_restart",),
        Counted(fault_clock.jumped, 1, 1, 0),
    ),
    Fault("F15", "5 min of skew, then 10", counted=Counted(fault_clock.skewed, 1, 1, 0)),
    Fault(
        "F16",
        "a certificate is renewed, is revoked, and ends under load, so often",
        (
            "tests/integration/test_node_pair.py::test_a_peer_that_is_revoked_loses_its_open_link_within_5_seconds",
        ),
        Counted(fault_certificates.certified, 5, 5, 0),
    ),
    Fault(
        "F17",
        "keys rotated while bulletins are on the way, killed in the middle",
        (
            "tests/integration/test_key_life.py::"
            "test_a_peer_that_missed_two_rotations_follows_and_what_waited_goes",
        ),
        Counted(fault_keys.rotated, 20, 20, 0),
    ),
    Fault(
        "F18",
        "100,000 for one of ten that is off",
        counted=Counted(fault_load.behind, 100_000, 100_000, 0),
    ),
    Fault("F19", "SIGKILL of the sender during F18", counted=Counted(fault_load.killed_behind, 10, 10, 0)),
    Fault(
        "F20",
        "watchers that stop reading, a peer that never acknowledges, so many seconds each",
        counted=Counted(fault_clients.deaf, 300, 300, 0),
    ),
    Fault(
        "F21",
        "a second node on the folder; a stale lock",
        (
            f"{_FOLDER}test_a_second_process_is_told_who_holds_the_folder_and_a_dead_one_holds_nothing",
            f"{_FOLDER}test_a_lock_left_by_a_recycled_process_id_does_not_block",
        ),
        Counted(fault_kills.locked, 1, 1, 0),
        short=True,
    ),
    Fault(
        "F22",
        "the last release's folder, and the reverse; killed in mid-migration",
        (
            f"{_STORE}test_a_newer_schema_is_refused_with_the_remedy",
            f"{_STORE}test_an_upgrade_keeps_a_private_copy_of_what_was",
        ),
        Counted(fault_calls.migrating, 20, 20, 0),
        short=True,
    ),
    Fault(
        "F23",
        "few descriptors and silent connections",
        (f"{_STRANGERS}test_a_node_with_few_descriptors_keeps_some_back_and_outlasts_a_crowd",),
        Counted(fault_clients.crowded, 1000, 1000, 0),
    ),
    Fault(
        "F24",
        "256 MiB of memory, load and a file of so many MiB",
        counted=Counted(fault_clients.small, 2047, 2047, 0),
    ),
    Fault(
        "F25",
        "100,000 streams opened and cancelled",
        counted=Counted(fault_clients.cancelled, 100_000, 100_000, 500),
    ),
    Fault(
        "F26",
        "the client killed at each call of `send` that changes something, and the node around it",
        ("tests/integration/test_lost_calls.py",),
        Counted(fault_calls.client_killed, 1, 1, 0),
    ),
    Fault("F27", "a bundle cut, twice, out of order, misdirected", (_COURIER.removesuffix("::"),)),
    Fault(
        "F28",
        "so many minutes of F1, F3 to F5, rotations and suspensions at random",
        counted=Counted(fault_soak.soak_apart, 30, 30, 0),
    ),
    Fault("F29", "a stop in order under load", counted=Counted(fault_kills.stopped, 50, 50, 0)),
    Fault(
        "F30",
        "a whole folder put back to before a destruction",
        ("tests/e2e/test_backup.py::test_f30_a_folder_that_was_put_back_shows_nothing_before_the_operators_word_and_then_what_was_heard",),
    ),
    Fault(
        "F31",
        "one rotten row in each table, at each end, so many seconds of load beside them",
        ("tests/e2e/test_rot.py",),
        Counted(fault_rot.spoiled, 30, 30, 0),
    ),
    Fault(
        "F32",
        "a clock ahead for 14 s, then right, then a restart",
        (f"{_CLOCK}test_what_was_signed_ahead_arrives_once_the_clock_is_right_also_after_a_restart",),
        Counted(fault_clock.ahead, 1, 1, 0),
    ),
    Fault(
        "F33",
        "idle sockets against either port",
        (
            f"{_STRANGERS}test_silent_strangers_have_their_slots_for_a_second_and_members_are_served",
            f"{_STRANGERS}test_a_node_with_few_descriptors_keeps_some_back_and_outlasts_a_crowd",
        ),
        Counted(fault_clients.idle, 4200, 4200, 0),
    ),
    Fault("F34", "a copy of a folder beside the original", counted=Counted(fault_kills.cloned, 1, 1, 0)),
    Fault(
        "F35",
        "a question about the log that is cancelled",
        (
            "tests/integration/test_node_pair.py::"
            "test_a_question_about_a_log_that_is_cancelled_at_any_page_spoils_no_later_proof",
        ),
        Counted(fault_clients.questioned, 1000, 1000, 0),
        short=True,
    ),
    Fault(
        "F36",
        "durability switched off in the store: F2 must fail",
        counted=Counted(fault_power.undurable, 5, 5, 0),
    ),
)  # fmt: skip


OF_A_FILE = frozenset(("F2", "F7", "F8", "F9", "F10", "F11", "F12", "F22", "F31", "F36"))
"""Rows that damage, fill or replace the file in which SQLite keeps the rows of a node."""


class Told(NamedTuple):
    """How a row ended."""

    word: str
    figure: str


def tested(tests: tuple[str, ...]) -> Told:
    """Run tests in a process of their own."""
    report = ROOT / "build" / "faults.xml"
    report.parent.mkdir(exist_ok=True)
    words = [sys.executable, "-m", "pytest", "-q", "-n", "0", f"--junitxml={report}", *tests]
    # A fault hits what people run, and that is nothing forked.
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests"), forked.REAL: "1"}
    done = finished(words, cwd=ROOT, seconds=1200, env=environment)
    cases = Counter(_end_of(case) for case in ET.parse(report).iter("testcase"))  # noqa: S314
    figure = f"{cases['passed']} tests passed"
    if done.code:
        return Told("FAIL", f"{figure}; {done.out[-300:]}")
    return Told("NOT DONE", f"{cases['skipped']} skipped here") if cases["skipped"] else Told("PASS", figure)


def _end_of(case: ET.Element) -> str:
    return next((kind for kind in ("skipped", "failure", "error") if case.find(kind) is not None), "passed")


def counted(one: Counted, *, short: bool, cycles: int) -> Told:
    """Play a fault so many times."""
    times = cycles or (one.short if short else one.usual)
    try:
        figure = one.run(times)
    except NotHere as why:
        return Told("NOT DONE", f"not done here: {why}")
    except AssertionError as broken:
        print(broken, file=sys.stderr)  # with the last lines of each log
        return Told("FAIL", str(broken)[:400])
    return Told("PASS" if times >= one.asked else "PART", f"{figure} (of {one.asked})")


def told(fault: Fault, *, short: bool, cycles: int) -> Iterator[Told]:
    """What is run of a row, and what is missing."""
    if ROWS_AT in os.environ and fault.number in OF_A_FILE:
        yield Told("NOT DONE", "this is about a file of rows, and the rows are in PostgreSQL")
        return
    if fault.tests and (fault.short or not short):
        yield tested(fault.tests)
    if fault.counted is not None and (fault.counted.short or not short):
        yield counted(fault.counted, short=short, cycles=cycles)
    if fault.missing:
        yield Told("PART" if fault.tests or fault.counted else "NOT DONE", f"not done: {fault.missing}")
    if short and not fault.missing and not fault.short and not (fault.counted and fault.counted.short):
        yield Told("NOT DONE", "not in the short form")


_ORDER = ("FAIL", "NOT DONE", "PART", "PASS")


def main() -> int:
    """All rows, or those that are named; 1 if a promise was not kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", help="Rows to run. Default: all.")
    parser.add_argument("--short", action="store_true", help="What fits into a minute.")
    parser.add_argument("--cycles", type=int, default=0, help="How often rows are played that count.")
    parser.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite", help="Where rows are.")
    given = parser.parse_args()
    os.environ.setdefault(VARIABLE, "6")
    if given.store == "postgres":
        os.environ[ROWS_AT] = server_url()
    words: Counter[str] = Counter()
    for fault in FAULTS:
        if given.rows and fault.number not in given.rows:
            continue
        began = time.monotonic()
        ends = list(told(fault, short=given.short, cycles=given.cycles))
        word = min((one.word for one in ends), key=_ORDER.index)
        words[word] += 1
        figures = "; ".join(one.figure for one in ends)
        took = time.monotonic() - began
        print(f"{fault.number:4} {word:8} {fault.what}: {figures} [{took:.0f} s]", flush=True)
    print(", ".join(f"{words[word]} {word}" for word in reversed(_ORDER)))
    return 1 if words["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())
