"""The runbook, played by its commands as they stand there: a fault, and the page that mends it."""

from __future__ import annotations

import shlex
import shutil
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from e2e.nodes import Done, expired_certificate, intelshare, let_in, ok, wait_for_links, wait_until
from e2e.test_backup import SHARED, TO_FRA, send, titles
from e2e.written import commands, part
from fault_pair import Member, two
from intelshare.client import read_profile, replace_credentials
from intelshare.node.folder import Folder
from intelshare.node.running import read_running
from postgres_server import new_cluster
from rot import spoil
from together_world import Together

RUNBOOK = (Path(__file__).parents[2] / "docs" / "runbook.md").read_text("utf-8")

ELSEWHERE = {
    "": {"intelshare errors CODE"},
    "Rotten record": {
        "intelshare inbox",
        "intelshare outbox",
        "intelshare outbox give-up ID --member USA --reason TEXT",
        "intelshare node restore BACKUP F --replace",
        "intelshare node run --accept-loss --folder F",
        "intelshare doctor --folder F",
        "intelshare member resume",
    },
    "Expired certificate": {
        "intelshare pki rotate-ca --folder F",
        "intelshare pki rotate-ca --finish --folder F",
    },
    "Lost passphrase": {
        "intelshare trust root new --drop KEY --out root.json --folder F",
        "intelshare node queues",
        "intelshare outbox --held",
        "intelshare node drain --folder F --wait 600",
    },
    "Dead disk": {"intelshare node restore BACKUP F"},
}
"""The commands that other tests give: test_rot.py, test_backup.py, test_examples.py and the other parts."""


class Operator:
    """Somebody who has one part of the runbook, and nothing else."""

    def __init__(self, heading: str, folder: Path) -> None:
        self.heading, self.names = heading, {"F": folder, "M": "USA", "TEXT": "by telephone"}
        self.left = set(commands(part(RUNBOOK, heading)))
        self.there = frozenset(self.left)

    def gives(self, command: str, *more: str | Path, code: int | None = 0, **names: str | Path) -> Done:
        """Give a command as it stands there, with these names filled in; ``more``: what a terminal asks for,
        or whose profile it is."""
        self.has(command)
        filled = self.names | names
        done = intelshare(*(filled.get(word, word) for word in shlex.split(command)[1:]), *more)
        assert code in (None, done.code), (command, done)
        return done

    def has(self, command: str) -> None:
        """Look up a command that runs a node, which the test then starts."""
        assert command in self.there, f"the runbook, {self.heading}, does not have: {command}"
        self.left.discard(command)

    def has_given_all(self) -> None:
        """Fail if the part has commands that nobody tries."""
        assert self.left == ELSEWHERE.get(self.heading, set())


@pytest.fixture(name="pair", scope="module")
def _pair() -> Iterator[tuple[Member, Member]]:
    with two() as pair:
        yield pair


def test_the_page_begins_with_commands_that_need_no_certificate(pair: tuple[Member, Member]) -> None:
    folder = pair[0].folder
    kept = (folder / "users" / "operator").rename(folder.parent / "operator")
    try:
        operator = Operator("", folder)
        assert operator.gives("intelshare node health --folder F").out == "SERVING\n"
        operator.gives("intelshare doctor --folder F")
        assert "linked" in operator.gives("intelshare node peers --folder F").out
        operator.gives("intelshare node queues --folder F")
        operator.has_given_all()
    finally:
        kept.rename(folder / "users" / "operator")


def expire(folder: Path, name: str) -> Path:
    """Give a user of a development folder a certificate that ended nine days ago; the profile."""
    profile = read_profile(folder / "users" / name)
    replace_credentials(profile, expired_certificate(folder, name))
    return profile.folder


def test_expired_certificate(pair: tuple[Member, Member]) -> None:
    folder = pair[0].folder
    ana, own = expire(folder, "ana"), expire(folder, "operator")
    assert intelshare("whoami", "--as", ana).code
    operator = Operator("Expired certificate", folder)
    told = operator.gives("intelshare doctor --folder F", code=1)
    for name in ("ana", "operator"):
        assert f"intelshare user renew {name} --folder {folder}" in told.err
    operator.gives("intelshare pki renew --folder F")
    for profile in (ana, own):
        operator.gives("intelshare user renew NAME --folder F", NAME=profile.name)
        ok("whoami", "--as", profile)
    operator.gives("intelshare pki show --folder F")
    operator.has_given_all()


def test_lost_passphrase_of_a_user(pair: tuple[Member, Member], tmp_path: Path) -> None:
    folder = pair[0].folder
    ok("user", "add", "zoe", "--folder", folder, "--elsewhere", "--out", tmp_path / "first")
    ok("enrol", tmp_path / "first", "--out", tmp_path / "zoe")
    running = read_running(Folder(folder))
    assert running is not None
    operator = Operator("Lost passphrase", folder)
    operator.gives(
        "intelshare user renew NAME --folder F --address HOST:PORT",
        *("--elsewhere", "--out", tmp_path / "NAME.enrol"),
        **{"NAME": "zoe", "HOST:PORT": f"127.0.0.1:{running.user_port}"},
    )
    assert intelshare("whoami", "--as", tmp_path / "zoe").code == 4
    operator.gives(
        "intelshare enrol NAME.enrol", "--out", tmp_path / "zoe", **{"NAME.enrol": tmp_path / "NAME.enrol"}
    )
    ok("whoami", "--as", tmp_path / "zoe")
    operator.gives("intelshare audit report --folder F")
    operator.gives(
        "intelshare user add NAME --role releasing-officer --clearance LEVEL --category '*' --folder F",
        NAME="yves",
        LEVEL="R3",
    )
    operator.has_given_all()


def test_member_gone_bad(pair: tuple[Member, Member]) -> None:
    fra, usa = pair
    operator, theirs = Operator("Member gone bad", fra.folder), Operator("Member gone bad", usa.folder)
    operator.gives("intelshare node peers --folder F")
    operator.gives("intelshare node status --folder F")
    assert "USA suspended" in operator.gives("intelshare member suspend M --folder F").out
    wait_until(lambda: "suspended" in ok("node", "peers", "--folder", fra.folder).out, "the link to end")
    operator.gives("intelshare member resume M --folder F")
    wait_for_links(fra.folder)
    keys = ok("vault", "status", "--folder", usa.folder, "--json").json["keys"]
    key = next(one["id"] for one in keys if one["use"] == "signing")
    file = usa.folder.parent / "usa.member"
    told = ("--out", file, "--yes", "--folder", usa.folder)
    theirs.gives("intelshare vault revoke KEY --compromised", *told, KEY=key)
    ok("member", "import", file, "--folder", fra.folder)
    operator.left -= {"intelshare vault revoke KEY --compromised"}
    operator.gives("intelshare trust impact KEY --folder F", KEY=key)
    operator.gives("intelshare member remove M --folder F --dry-run")
    ok("member", "remove", "USA", "--folder", fra.folder, "--yes")
    operator.gives("intelshare member import FILE --again --folder F", FILE=file)
    linked(fra.folder)
    operator.has_given_all()


def linked(folder: Path) -> None:
    """Wait until a node is linked."""
    ok("node", "peers", "--folder", folder, "--wait", "60")


def test_rotten_record_and_dead_disk() -> None:
    with two() as (fra, usa):
        send(usa.folder, "FRA", TO_FRA, "kept", "--wait", "accepted")
        usa.stop()
        send(fra.folder, "USA", SHARED, "on its way")
        fra.stop()
        with closing(sqlite3.connect(fra.folder / "intelshare.db")) as rows, rows:
            rows.execute("UPDATE pair SET _record = zeroblob(length(_record)) WHERE open = 1")
        spoil(fra.folder / "intelshare.db", "incoming")
        spoil(fra.folder / "intelshare.db", "user", 2)
        operator = Operator("Rotten record", fra.folder)
        assert "RECORD_CORRUPT" in operator.gives("intelshare doctor --deep --folder F", code=1).out
        fra.start()
        usa.start()
        linked(fra.folder)
        drained = intelshare("node", "drain", "--wait", "1", "--folder", fra.folder)
        assert (drained.code, "intelshare node repair --folder" in drained.err) == (10, True), drained
        ok("node", "drain", "--undo", "--folder", fra.folder)

        def settled() -> bool:
            found = operator.gives("intelshare node repair --scrub --folder F", "--json", code=None).json
            for one in found["records"]:
                if one["state"] == "damaged":
                    operator.gives(
                        "intelshare node repair --drop ID --reason TEXT --folder F",
                        "--yes",
                        code=None,
                        ID=one["id"],
                    )
            return not found["records"]

        wait_until(settled, "every record to be settled")
        ok("node", "drain", "--folder", fra.folder, "--wait", "30")
        ok("node", "drain", "--undo", "--folder", fra.folder)
        operator.has_given_all()

        fra.stop()
        disk = Operator("Dead disk", fra.folder)
        other = fra.folder.rename(fra.folder.parent / "dying")
        time.sleep(1.5)
        shutil.copytree(other, fra.folder)
        refused = intelshare("node", "run", "--dev", "--folder", fra.folder)
        assert "STORE_FORGOT" in refused.err
        fra.start("--accept-loss")
        let_in(fra.folder)
        linked(fra.folder)
        fra.stop()
        fra.start()
        disk.gives("intelshare doctor --deep --folder F")
        linked(fra.folder)
        send(fra.folder, "USA", SHARED, "again", "--wait", "accepted")
        disk.has_given_all()


def test_restored_backup(tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    with two(tmp_path) as (fra, usa):
        send(usa.folder, "FRA", TO_FRA, "kept", "--wait", "accepted")
        send(fra.folder, "USA", SHARED, "before", "--wait", "accepted")
        ok("node", "backup", backup, "--folder", fra.folder)
        forgotten = send(fra.folder, "USA", SHARED, "after", "--wait", "accepted")
        fra.stop()
        fra.start()
        linked(fra.folder)  # from now on the peer has seen all of the log
        fra.kill()
        gone = fra.folder.rename(tmp_path / "gone")
        Operator("Dead disk", fra.folder).gives("intelshare node restore BACKUP F", BACKUP=backup)
        operator = Operator("Restored backup", fra.folder)
        operator.has("intelshare node restore")
        assert "restored from" in operator.gives("intelshare doctor", "--folder", fra.folder).out
        fra.start()
        operator.gives("intelshare user renew operator --here --folder F")
        operator.gives("intelshare user renew NAME --folder F", "--here", NAME="rel")
        for command in (
            "intelshare user revoke NAME --folder F",
            "intelshare user change NAME --folder F",
            "intelshare member suspend M --folder F",
            "intelshare pki revoke SERIAL --reason TEXT --folder F",
            "intelshare pki rotate-ca --folder F",
            "intelshare vault revoke KEY --compromised --folder F",
            "intelshare member export --folder F --out FILE",
        ):
            operator.has(command)
        waits = operator.gives("intelshare node confirm-access --dry-run --folder F").out
        assert "ana" in waits
        assert "rel" not in waits, "a new certificate has confirmed its user"
        operator.gives("intelshare node confirm-access --reason TEXT --folder F", "--yes")
        linked(fra.folder)
        operator.gives("intelshare node peers --folder F")
        officer = fra.folder / "users" / "rel"
        wait_until(
            lambda: forgotten in operator.gives("intelshare outbox", "--as", officer, "--json").out,
            "what was forgotten to be known again",
        )
        operator.gives("intelshare vault status --folder F")
        listed = "intelshare audit evidence --folder THEIRS"
        alarms = wait_until(
            lambda: operator.gives(listed, "--json", code=None, THEIRS=usa.folder).json["alarms"], "the alarm"
        )
        operator.gives(
            "intelshare audit settle ID --folder THEIRS",
            "--yes",
            ID=alarms[0]["evidence"][:8],
            THEIRS=usa.folder,
        )
        shutil.copytree(gone / "users" / "ana", fra.folder / "users" / "ana")
        ok("user", "renew", "ana", "--folder", fra.folder)
        wait_until(lambda: titles(fra.folder) == ["kept"], "what was received to be asked for again")

        # A folder that somebody has put back waits for the operator's word.
        fra.stop()
        time.sleep(1.5)
        shutil.copytree(fra.folder, tmp_path / "copy")
        fra.start()
        linked(fra.folder)
        send(fra.folder, "USA", SHARED, "later", "--wait", "accepted")
        fra.stop()
        shutil.rmtree(fra.folder)
        (tmp_path / "copy").rename(fra.folder)
        assert "STORE_FORGOT" in operator.gives("intelshare doctor --folder F", code=1).out
        operator.has("intelshare node run --accept-loss --folder F")
        fra.start("--accept-loss")
        let_in(fra.folder)
        operator.gives("intelshare node allow-reading M --reason TEXT --folder F", "--yes")
        assert titles(fra.folder) == ["kept"]
        operator.has_given_all()


@pytest.mark.soak
def test_cloned_folder() -> None:
    with two() as (fra, usa):
        fra.stop()
        time.sleep(1.5)
        clone = Member(fra.folder.parent / "clone" / "fra")
        shutil.copytree(fra.folder, clone.folder)
        fra.start()
        wait_for_links(usa.folder)
        operator = Operator("Cloned folder", fra.folder)
        try:
            clone.start("--accept-loss")
            let_in(clone.folder)
            wait_until(
                lambda: (
                    "TWO_INSTANCES" in operator.gives("intelshare node peers", "--folder", usa.folder).out
                ),
                "the peer to show it",
            )
            own = ("--as", fra.folder / "users" / "operator")
            wait_until(
                lambda: "TWO_INSTANCES" in operator.gives("intelshare status", *own).out,
                "the node to show it",
            )
            lost = send(clone.folder, "USA", SHARED, "from the copy", "--wait", "accepted")
            received = send(usa.folder, "FRA", TO_FRA, "to the copy", "--wait", "accepted")
        finally:
            clone.stop()
        fra.stop()
        fra.start()
        wait_for_links(fra.folder)
        send(fra.folder, "USA", SHARED, "alone", "--wait", "accepted")
        wait_until(lambda: "to the copy" in titles(fra.folder), f"{received} to be handed over again")
        alarms = operator.gives("intelshare audit evidence --folder F", "--json", code=None).json["alarms"]
        assert {one["code"] for one in alarms} == {"LOG_FORGOT"}
        for one in alarms:
            operator.gives("intelshare audit settle ID --folder F", "--yes", ID=one["evidence"][:8])
        # The author's client, which now asks the one that stays.
        author = clone.folder / "users" / "ana"
        settings = author / "profile.toml"
        settings.write_text(settings.read_text().replace("../..", str(fra.folder)))
        assert lost[:8] in operator.gives("intelshare outbox", "--as", author).err
        operator.has_given_all()


def in_three(shared: Path) -> None:
    """From one node to three replicas, over a folder that was copied to where all reach it."""
    operator, one = Operator("From one node to three replicas", shared), Member(shared)
    operator.has("intelshare node run --folder F --replica a --together --accept-loss")
    one.start("--replica", "a", "--together", "--accept-loss")
    let_in(shared)
    one.stop()
    with Together(shared) as replicas:
        replicas.wait_for_active()
        replicas.wait_for_all()
        shown = "intelshare node replicas --folder F"
        assert len(operator.gives(shown, "--json").json["replicas"]) == 3
        for one_of_them in replicas.all:
            operator.gives("intelshare node health --folder F --replica NAME", NAME=one_of_them.name)
        (add,) = (command for command in operator.there if "user add" in command)
        listed = ",".join(f"127.0.0.1:{port}" for port in replicas.ports.values())
        (written,) = (word for word in add.split() if ":7444" in word)
        profile = shared.parent / "bea" / "users" / "ana"
        who = ("--clearance", "R3", "--category", "*", "--here", "--out", profile)
        operator.gives(add, *who, NAME="bea", **{written: listed})
        active = replicas.active()
        assert active is not None
        assert active.process is not None
        active.signal(signal.SIGKILL)
        sent = send(shared.parent / "bea", "USA", SHARED, "by another", "--wait", "accepted")
        replicas.wait_for_active(but=active.process.pid)
        assert sent in operator.gives("intelshare outbox", "--as", profile, "--json").out
        operator.has("intelshare node drain")
    operator.has_given_all()


@pytest.mark.soak
def test_from_one_node_to_postgresql(tmp_path: Path) -> None:
    server, (backup, shared) = new_cluster(), (tmp_path / "backup", tmp_path / "shared" / "fra")
    with two(tmp_path) as (fra, usa):
        operator = Operator("From one node to PostgreSQL", fra.folder)
        operator.gives("intelshare node backup BACKUP --folder F", BACKUP=backup)
        fra.stop()
        (fra.folder / "database-password").touch(0o600)
        (fra.folder / "database-password").write_text("unused\n")
        (move,) = (one for one in operator.there if "--to 'postgresql://" in one)
        url = shlex.split(move)[shlex.split(move).index("--to") + 1]
        operator.gives(move, **{url: server.url})
        fra.start()
        operator.gives("intelshare node status", "--folder", fra.folder)
        operator.gives("intelshare doctor --deep --folder F")
        fra.stop()
        time.sleep(1.5)
        shutil.copytree(fra.folder, shared)
        shutil.rmtree(fra.folder)
        in_three(shared)
        operator.names["F"] = shared
        operator.gives("intelshare node move --folder F --to sqlite")
        operator.gives("intelshare node restore BACKUP F", BACKUP=backup, F=tmp_path / "restored")
        operator.has_given_all()
        assert usa.process.poll() is None
