"""What the replicas of a folder say of themselves in it, for service managers."""

from __future__ import annotations

import asyncio
import io
import os
import time
from contextlib import nullcontext
from pathlib import Path

import msgspec
import pytest

from intelshare.cli.app import run
from intelshare.cli.operator import doctor
from intelshare.cli.shared.findings import WRONG
from intelshare.cli.shared.replica import at_replica
from intelshare.client import Profile
from intelshare.errors import ConfigError, StoreError
from intelshare.ids import MemberCode, NodeUri
from intelshare.instant import SECOND, Instant, show
from intelshare.node.events import Logger
from intelshare.node.folder import Folder
from intelshare.node.replicas import wait_for_turn
from intelshare.node.running import Running, WaitsFor, check_clock, show_beside
from intelshare.node.settings import Settings
from intelshare.node.settings_file import with_store, write_settings
from intelshare.private_files import write_private
from intelshare.store.server import Server

NODE = Settings(MemberCode("FRA"), NodeUri("intelshare://fra.example/node/one"))
HERE, EVERY = os.uname().nodename, "0.0.0.0"  # noqa: S104 - nothing is bound


def shown(root: Path, capsys: pytest.CaptureFixture[str], name: str = "b") -> tuple[int, str]:
    """What ``node health`` says of a replica."""
    code = run(["node", "health", "--folder", str(root), "--replica", name])
    return code, capsys.readouterr().out


def test_a_replica_that_does_not_lead_names_what_keeps_it_from_serving(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    now = time.time_ns() // 1000
    codes = ("CLOCK", "STORE_UNAVAILABLE")
    beside = Running(7, "127.0.0.1", 1, 0, NODE.node, "1", "NOT_SERVING", codes, now, now + 60, now + 1, "b")
    show_beside(Folder(tmp_path), beside)
    code, said = shown(tmp_path, capsys)
    assert code == 1
    assert said.startswith("NOT_SERVING (CLOCK, STORE_UNAVAILABLE)\n")
    assert "clock" in said
    assert shown(tmp_path, capsys, "c")[0] == 6


@pytest.mark.parametrize(
    ("host", "machine", "address"),
    [
        ("127.0.0.1", HERE, "127.0.0.1:5"),
        ("127.0.0.1", "", "127.0.0.1:5"),
        (EVERY, HERE, "127.0.0.1:5"),
        (EVERY, "far", "far:5"),
        ("::", "far", "far:5"),
        ("10.0.0.7", "far", "10.0.0.7:5"),
        ("fd00::7", "far", "[fd00::7]:5"),
    ],
)
def test_a_replica_is_asked_where_it_is_and_no_other_one(
    tmp_path: Path, host: str, machine: str, address: str
) -> None:
    now = time.time_ns() // 1000
    one = Running(7, host, 5, 0, NODE.node, "1", "SERVING", (), now, replica="b", machine=machine)
    show_beside(Folder(tmp_path), one)
    profile = Profile(tmp_path / "users" / "operator", "FRA", "operator", "", "../..", "fra")
    assert at_replica(profile, "b").address == address
    with pytest.raises(ConfigError, match="no replica c has reported recently"):
        at_replica(profile, "c")


@pytest.mark.parametrize(
    ("port", "machine", "said"),
    [(0, HERE, "waits for its turn"), (5, "far", "only be asked on its machine, far")],
)
def test_a_replica_that_cannot_be_asked_from_here_is_named_with_the_reason(
    tmp_path: Path, port: int, machine: str, said: str
) -> None:
    now = time.time_ns() // 1000
    one = Running(7, "127.0.0.1", port, 0, NODE.node, "1", "STANDBY", (), now, replica="b", machine=machine)
    with pytest.raises(ConfigError, match=said) as refused:
        one.reached_at()
    assert refused.value.hint


@pytest.mark.parametrize(("seconds", "word"), [(0, ""), (59, ""), (3600, "ahead of"), (-3600, "behind")])
@pytest.mark.parametrize("age", [0, 5000])
def test_a_replica_joins_only_with_the_clock_of_the_one_that_leads_however_old_its_word_is(
    tmp_path: Path, seconds: int, word: str, age: int
) -> None:
    """One hour ahead, it had stored a time for which every later start of the node waited."""
    now = Instant(time.time_ns() // 1000)
    leads = Running(7, "127.0.0.1", 1, 0, NODE.node, "1", "SERVING", (), now - age * SECOND, replica="a")
    folder = Folder(tmp_path)
    check_clock(folder, now)
    folder.running.write_bytes(msgspec.json.encode(leads))
    os.utime(folder.running, (time.time() - age,) * 2)
    with pytest.raises(StoreError, match=f"CLOCK: .*{word} that of replica a") if word else nullcontext():
        check_clock(folder, Instant(now + seconds * SECOND))


def test_a_replica_that_waits_to_join_says_for_whom_since_when_and_what_helps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    now = time.time_ns() // 1000
    waits = WaitsFor("none of the replicas that run leads: a", "start a again", now - now % SECOND)
    one = Running(
        7, "", 0, 0, "", "", "NOT_SERVING", ("NOBODY_LEADS",), now, replica="b", machine=HERE, waits=waits
    )
    show_beside(Folder(tmp_path), one)
    since = show(Instant(waits.since))
    code = run(["node", "health", "--folder", str(tmp_path), "--replica", "b"])
    said = capsys.readouterr()
    assert (code, said.out) == (1, f"NOT_SERVING (NOBODY_LEADS)\nwaits since {since}: {waits.what}\n")
    assert waits.next in said.err
    (finding,) = doctor._process(one)
    assert (finding.state, finding.remedy, finding.code) == (WRONG, waits.next, "NOBODY_LEADS")
    assert finding.found == f"b runs, NOT_SERVING, waits since {since}: {waits.what}"
    code = run(["node", "status", "--folder", str(tmp_path)])
    said = capsys.readouterr()
    assert (code, "replica b waits, and answers nobody until then: " + waits.what in said.err) == (6, True)
    assert waits.next in said.err


async def test_a_replica_that_cannot_reach_its_database_says_so_and_does_not_pass_for_one_that_waits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("psycopg")
    nowhere = Server("postgresql://fra@127.0.0.1:1/rows")
    (tmp_path / "node.toml").write_text(with_store(write_settings(NODE), nowhere), "utf-8")
    (tmp_path / "node.toml").chmod(0o600)
    written, stop = io.StringIO(), asyncio.Event()
    waiting = asyncio.create_task(wait_for_turn(tmp_path, "b", stop, Logger(written), together=True))
    try:
        async with asyncio.timeout(20):
            while "health.not_serving" not in written.getvalue():
                await asyncio.sleep(0.02)
        assert "STORE_UNAVAILABLE" in written.getvalue()
        async with asyncio.timeout(5):
            while not shown(tmp_path, capsys)[1].startswith("NOT_SERVING (STORE_UNAVAILABLE)\nwaits since "):
                await asyncio.sleep(0.02)
        assert '"event": "node.waits"' in written.getvalue()
    finally:
        stop.set()
    assert await waiting is None
    assert shown(tmp_path, capsys)[0] == 6


def test_doctor_names_the_command_that_ends_the_drain_of_this_replica() -> None:
    one = Running(7, "", 0, 0, "", "", "NOT_SERVING", ("DRAINING",), replica="b", machine=HERE)
    (finding,) = doctor._process(one)
    assert "`intelshare node drain --undo --replica b`" in finding.remedy


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (("health",), "intelshare node run --folder '{}'"),
        (("replicas",), "the rows of this node are in a file"),
        (("move", "--to", "sqlite"), "there is nothing to move"),
    ],
)
def test_what_a_command_proposes_fits_the_folder_and_can_be_copied(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], shown: str
) -> None:
    folder = tmp_path / "données 1"
    folder.mkdir(mode=0o700)
    write_private(folder / "node.toml", b'member = "FRA"\nnode = "intelshare://fra.example/node/one"\n')
    run(["node", *words, "--folder", str(folder)])
    assert shown.format(folder) in capsys.readouterr().err
