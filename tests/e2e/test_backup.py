"""The restore drill: send, back up under load, go on, kill, restore, start; by the command line alone."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from e2e.nodes import (
    PROGRAM,
    found,
    intelshare,
    introduce,
    let_in,
    ok,
    running,
    serves_as,
    wait_for_links,
    wait_until,
)
from intelshare.audit.records import EntryType
from intelshare.verifier.entries import read_entry
from processes import clean_environment, finished, process

SHARED = "//FRA SECRET//REL TO FRA, USA"
TO_FRA = "//USA SECRET//REL TO FRA, USA"


def send(folder: Path, to: str, label: str, title: str, *words: str) -> str:
    done = ok(
        "send", "-", "--as", folder / "users" / "ana", "--to", to, "--label", label, "--category", "cyber",
        "--title", title, "--json", *words, stdin=f"text of {title}",
    )  # fmt: skip
    bulletin: str = done.json["bulletin"]
    return bulletin


def titles(folder: Path) -> list[str]:
    entries = ok("inbox", "--as", folder / "users" / "ana", "--json", "--limit", "100").json["entries"]
    return sorted(entry["title"] for entry in entries)


def words_of(folder: Path) -> dict[str, str]:
    entries = ok("outbox", "--as", folder / "users" / "ana", "--json", "--limit", "100").json["entries"]
    return {entry["title"]: entry["pairs"][0]["word"] for entry in entries}


@contextmanager
def sending(folder: Path, to: str, label: str, sent: list[str]) -> Iterator[None]:
    """Bulletins at a steady rate, as long as the block lasts; ``sent``: those that were OK'd."""
    ended = threading.Event()

    def run() -> None:
        while not ended.is_set():
            title = f"steady {len(sent)}"
            words = ("--to", to, "--label", label, "--category", "cyber", "--title", title)
            # Not by ``ok``: that runs one command at a time.
            command = [*PROGRAM, "send", "-", "--as", folder / "users" / "ana", *words]
            finished(command, stdin="x", check=True, env=clean_environment())
            sent.append(title)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def secrets_of_users(folder: Path, to: Path) -> None:
    """Users keep their profiles on machines of their own: no backup has them."""
    shutil.copytree(folder / "users", to / "users")


def test_a_restored_node_has_lost_nothing_that_was_okd_before_and_destroyed_stays_destroyed(
    tmp_path: Path,
) -> None:
    fra, usa = found(tmp_path / "fra", "FRA"), found(tmp_path / "usa", "USA")
    backup, again = tmp_path / "backup", tmp_path / "fra-again"
    sent: list[str] = []
    with running(usa):
        with running(fra) as process:
            introduce(fra, usa)
            wait_for_links(fra)
            recalled = send(usa, "FRA", TO_FRA, "to be recalled")
            send(usa, "FRA", TO_FRA, "kept")
            wait_until(lambda: titles(fra) == ["kept", "to be recalled"], "both to arrive")
            send(fra, "USA", SHARED, "before")
            with sending(fra, "USA", SHARED, sent):
                wait_until(lambda: sent, "a first one")
                before = list(sent)
                made = ok("node", "backup", backup, "--folder", fra, "--json").json
            assert (made["secrets_left_out"], made["sealing_keys_left_out"]) == (4, 1)
            send(usa, "FRA", TO_FRA, "later")
            ok("recall", recalled[:12], "--as", usa / "users" / "ana", "--reason", "wrong", "--yes")
            wait_until(lambda: words_of(usa)["to be recalled"] == "destroyed", "the destruction")
            process.send_signal(signal.SIGKILL)
            process.wait()
        ok("node", "restore", backup, again)
        secrets_of_users(fra, again)
        shutil.move(fra, tmp_path / "gone")
        with running(again):
            let_in(again)
            wait_for_links(again)
            wait_until(lambda: titles(again) == ["kept", "later"], "the inbox to be asked for again")
            wait_until(
                lambda: all(words_of(again).get(title) == "accepted" for title in ("before", *before)),
                "what was OK'd before the backup to be accepted",
            )
            wait_until(lambda: set(words_of(usa).values()) == {"accepted", "destroyed"}, "the receipts")
            arrived = titles(usa)
            assert len(arrived) == len(set(arrived)), "nothing is there twice"
            assert {"before", *sent} <= set(arrived)
            send(usa, "FRA", TO_FRA, "new")
            wait_until(lambda: "new" in titles(again), "a new bulletin under the new sealing key")
            assert not (again / "restored").exists()
            assert ok("audit", "verify", "--folder", again).code == 0
            evidence = ok("audit", "evidence", "--folder", usa, "--json").json
            assert "FORK" not in json.dumps(evidence)


@pytest.mark.soak
def test_f30_a_folder_that_was_put_back_shows_nothing_before_the_operators_word_and_then_what_was_heard(
    tmp_path: Path,
) -> None:
    fra, usa = found(tmp_path / "fra", "FRA"), found(tmp_path / "usa", "USA")
    with running(fra):
        with running(usa):
            introduce(fra, usa)
            wait_for_links(fra)
            recalled = send(fra, "USA", SHARED, "to be recalled")
            wait_until(lambda: titles(usa) == ["to be recalled"], "it to arrive")
        wait_until(
            lambda: time.time() > json.loads((usa / "sidecar").read_text())["written"] / 1e9 + 1, "a second"
        )
        shutil.copytree(usa, tmp_path / "kept")
        with running(usa):
            wait_for_links(fra)
            ok("recall", recalled[:12], "--as", fra / "users" / "ana", "--reason", "wrong", "--yes")
            wait_until(lambda: words_of(fra)["to be recalled"] == "destroyed", "the destruction")
    shutil.rmtree(usa)
    shutil.move(tmp_path / "kept", usa)
    refused = intelshare("node", "run", "--dev", "--folder", usa)
    assert (refused.code, "STORE_FORGOT" in refused.err) == (7, True), refused
    assert intelshare("doctor", "--folder", usa).out.count("STORE_FORGOT") == 1
    assert intelshare("user", "list", "--folder", usa).code == 7
    analyst = usa / "users" / "ana"
    command = [*PROGRAM, "node", "run", "--dev", "--folder", usa, "--accept-loss"]
    with (tmp_path / "usa.log").open("ab") as log, process(command, stderr=log) as started:
        wait_until(lambda: serves_as(usa, started), "usa to run")
        let_in(usa)
        wait_until(lambda: intelshare("node", "health", "--folder", usa).code == 0, "usa to serve")
        assert titles(usa) == []
    with running(usa):  # also after a start without the operator's word
        refused = intelshare("read", recalled[:12], "--as", analyst)
        assert (refused.code, "READING_WAITS" in refused.err) == (12, True), refused
        assert "READING_WAITS" in intelshare("doctor", "--folder", usa).out
        assert "READING_WAITS" in ok("node", "peers", "--folder", usa).out
        allowed = ok("node", "allow-reading", "fra", "--reason", "a drill", "--yes", "--folder", usa)
        assert "recalls of it count" in allowed.out
        assert titles(usa) == ["to be recalled"]
        assert "READING_WAITS" not in intelshare("doctor", "--folder", usa).out
        with running(fra):
            wait_until(lambda: titles(usa) == [], "the recall to come again")


def test_what_is_damaged_or_in_the_way_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    fra = found(tmp_path / "fra", "FRA")
    with running(fra):
        pass
    ok("node", "backup", tmp_path / "backup", "--folder", fra)
    assert intelshare("node", "backup", tmp_path / "backup", "--folder", fra).code == 9
    occupied = intelshare("node", "restore", tmp_path / "backup", fra)
    assert (occupied.code, "ID_CONFLICT" in occupied.err) == (9, True)
    with running(fra):
        in_use = intelshare("node", "restore", tmp_path / "backup", fra, "--replace")
        assert "DATA_LOCKED" in in_use.err
    for name in ("folder/node.toml", "folder/intelshare.db", "manifest.json"):
        copy = tmp_path / f"damaged-{Path(name).name}"
        shutil.copytree(tmp_path / "backup", copy)
        data = bytearray((copy / name).read_bytes())
        data[len(data) // 2] ^= 1
        (copy / name).write_bytes(bytes(data))
        refused = intelshare("node", "restore", copy, tmp_path / "nothing")
        assert (refused.code, "RECORD_CORRUPT" in refused.err) == (7, True), refused
        assert not (tmp_path / "nothing").exists()
    replaced = ok("node", "restore", tmp_path / "backup", fra, "--replace", "--json").json
    assert Path(replaced["put_aside"]).is_dir()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("name", ["keys"])
def test_no_sealing_key_is_in_a_backup(tmp_path: Path, name: str) -> None:
    from intelshare.crypto.suites import SUITES
    from intelshare.vault import open_vault

    fra = found(tmp_path / "fra", "FRA")
    ok("node", "backup", tmp_path / "backup", "--folder", fra)
    phrase = (fra / "passphrase").read_bytes().strip()
    vault = open_vault(
        tmp_path / "backup" / "folder" / "vault" / name,
        phrase,
        suites=SUITES,
        random=bytes,
        allow_development=True,
    )
    assert (len(vault.sealing_keys()), len(vault.retired())) == (0, 1)
    assert not (tmp_path / "backup" / "folder" / "users").exists()


def test_what_was_sent_after_the_backup_is_known_again_from_its_recipient_and_is_recalled(
    tmp_path: Path,
) -> None:
    fra, usa = found(tmp_path / "fra", "FRA"), found(tmp_path / "usa", "USA")
    backup, again = tmp_path / "backup", tmp_path / "fra-again"
    with running(usa), running(fra):
        introduce(fra, usa)
        wait_for_links(fra)
        ok("node", "backup", backup, "--folder", fra)
        later = send(fra, "USA", SHARED, "after the backup", "--wait", "accepted")
    ok("node", "restore", backup, again)
    secrets_of_users(fra, again)
    shutil.move(fra, tmp_path / "gone")
    for _ in range(2):  # it is asked for however often the node starts before the recipient is linked
        with running(again):
            pass
    with running(usa), running(again):
        let_in(again)
        wait_for_links(again)

        def word() -> str:
            shown = intelshare("outbox", later, "--as", again / "users" / "rel", "--json")
            return str(shown.json["pairs"][0]["word"]) if shown.code == 0 else ""

        wait_until(lambda: word() == "accepted", "the sender to know it again, and its receipt")
        ok("recall", later, "--as", again / "users" / "rel", "--reason", "wrong", "--yes")
        wait_until(lambda: word() == "destroyed", "the recipient to destroy it")
        assert titles(usa) == []


def test_who_was_revoked_or_suspended_after_the_backup_does_not_come_in_before_an_operator_confirms_it(
    tmp_path: Path,
) -> None:
    fra, usa = found(tmp_path / "fra", "FRA"), found(tmp_path / "usa", "USA")
    backup, again = tmp_path / "backup", tmp_path / "fra-again"
    with running(usa), running(fra):
        introduce(fra, usa)
        wait_for_links(fra)
        ok("node", "backup", backup, "--folder", fra)
        ok("user", "revoke", "rel", "--folder", fra, "--yes")
        ok("member", "suspend", "USA", "--folder", fra)
    ok("node", "restore", backup, again)
    secrets_of_users(fra, again)
    shutil.move(fra, tmp_path / "gone")
    reason = ("--reason", "the register of Monday")
    with running(usa):
        with running(again):
            for name in ("rel", "ana", "operator"):
                refused = intelshare("whoami", "--as", again / "users" / name)
                assert (refused.code, "ACCESS_WAITS" in refused.err) == (4, True), refused
            told = intelshare("doctor", "--folder", again)
            assert (told.code, "ACCESS_WAITS" in told.out) == (1, True)
            assert "confirm-access" in told.err
            assert "ACCESS_WAITS" in intelshare("node", "status", "--folder", again).out
        with running(again):  # no restart lets anybody in
            waits = ok("node", "confirm-access", "--dry-run", "--folder", again, "--json").json
            names = {user["name"] for user in waits["users"]}
            assert (names, waits["members"]) == ({"operator", "ana", "rel"}, ["USA"])
            assert waits["since"] is not None
            unasked = intelshare("node", "confirm-access", "--folder", again, *reason)
            assert (unasked.code, "confirmation is needed" in unasked.err) == (2, True), unasked
            assert intelshare("node", "confirm-access", "--folder", again, "--yes").code != 0
            ok("user", "revoke", "rel", "--folder", again, "--yes")
            nobody = intelshare("node", "confirm-access", "rel", "--folder", again, *reason, "--yes")
            assert (nobody.code, "nobody of this name waits" in nobody.err) == (8, True), nobody
            one = ok("node", "confirm-access", "operator", "--folder", again, *reason, "--yes")
            assert "1 users and 0 members" in one.out
            assert "MEMBER_UNCONFIRMED" in intelshare("doctor", "--folder", again).out
            ok("member", "suspend", "USA", "--folder", again)
            assert intelshare("whoami", "--as", again / "users" / "ana").code == 4
            ok("node", "confirm-access", "--folder", again, *reason, "--yes")
            assert titles(again) == []
            wait_until(lambda: intelshare("node", "health", "--folder", again).code == 0, "it to serve")
            assert intelshare("whoami", "--as", again / "users" / "rel").code == 4
            assert "suspended" in ok("node", "peers", "--folder", again).out
            ok("member", "resume", "USA", "--folder", again)
            wait_for_links(again)


def test_a_backup_is_in_the_log_whether_the_node_runs_or_not(tmp_path: Path) -> None:
    fra = found(tmp_path / "fra", "FRA")
    with running(fra):
        ok("node", "backup", tmp_path / "one", "--folder", fra)
        (by_profile,) = backups_in_the_log(fra)
    ok("node", "backup", tmp_path / "two", "--folder", fra)
    with running(fra):
        logs = ok("audit", "verify", "--folder", fra, "--json").json["logs"]
        (offline,) = [
            said for log in logs[-2:-1] for said in backups_in_the_log(fra, "--log", log["incarnation"])
        ]
    for said, name, user in ((by_profile, "one", "operator"), (offline, "two", "folder-owner")):
        manifest = (tmp_path / name / "manifest.json").read_bytes()
        assert said.manifest == hashlib.sha256(manifest).digest()
        assert said.size == json.loads(manifest)["entries"]
        assert said.user.endswith(f"/{user}")


def backups_in_the_log(folder: Path, *log: str) -> list[Any]:
    """The entries about backups among the newest of a log of a running node, opened."""
    found = []
    for number in range(20):
        done = intelshare("audit", "prove", str(number), *log, "--folder", folder)
        if done.code:
            break
        found += [
            read_entry(one["type"], bytes.fromhex(one["record"]))
            for one in json.loads(done.out)["entries"]
            if one["type"] == EntryType.BACKUP
        ]
    return found


@pytest.mark.soak
def test_a_key_that_was_stolen_after_the_backup_is_given_up_and_what_its_successor_signed_is_known_again(
    tmp_path: Path,
) -> None:
    fra, usa = found(tmp_path / "fra", "FRA"), found(tmp_path / "usa", "USA")
    backup, again = tmp_path / "backup", tmp_path / "fra-again"

    def signing(folder: Path) -> list[tuple[str, str]]:
        shown = ok("vault", "status", "--folder", folder, "--json").json["keys"]
        return [(key["id"], key["state"]) for key in shown if key["use"] == "signing"]

    with running(usa):
        with running(fra):
            introduce(fra, usa)
            wait_for_links(fra)
            ok("node", "backup", backup, "--folder", fra)
            ((stolen, _),) = signing(fra)
            ok("vault", "revoke", stolen, "--compromised", "--yes", "--folder", fra)
            later = send(fra, "USA", SHARED, "after the theft", "--wait", "accepted")
        ok("node", "restore", backup, again)
        secrets_of_users(fra, again)
        shutil.move(fra, tmp_path / "gone")
        with running(again):
            assert signing(again) == [(stolen, "in use")]
            let_in(again)
            wait_until(lambda: (stolen, "compromised") in signing(again), "the key to be given up")
            introduce(again, usa)  # nobody else can tell USA of the new key
            wait_for_links(again)
            shown = ("outbox", later, "--as", again / "users" / "rel", "--json")

            def word() -> str:
                done = intelshare(*shown)
                return str(done.json["pairs"][0]["word"]) if done.code == 0 else ""

            wait_until(lambda: word() == "accepted", "the sender to know it again, and its receipt")
            send(again, "USA", SHARED, "under the new key", "--wait", "accepted")
            assert ok("audit", "verify", "--folder", usa).code == 0
