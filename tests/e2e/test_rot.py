"""Rows that rotted beyond repair under real nodes (F12, F31): named, fetched again where somebody has it; no
node ends. One flipped bit is in ``fault_runs.rotten``.
"""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

from e2e.nodes import (
    PROGRAM,
    found,
    intelshare,
    introduce,
    let_in,
    log_of,
    ok,
    running,
    serves_as,
    wait_for_links,
    wait_until,
)
from processes import process
from rot import kinds, rot_journal, spoil

SHARED = "//FRA SECRET//REL TO FRA, USA"


def send(folder: Path, to: str, *words: str, label: str = SHARED) -> str:
    done = ok(
        "send", "-", "--as", folder / "users" / "ana", "--to", to, "--label", label,
        "--category", "cyber", *words, "--json", stdin="Phishing kit",
    )  # fmt: skip
    return str(done.json["bulletin"])


def inbox(folder: Path) -> set[str]:
    done = ok("inbox", "--as", folder / "users" / "ana", "--json")
    return {row["bulletin"] for row in done.json["entries"] if not row.get("destroyed")}


def repair(folder: Path, *words: str) -> list[dict[str, Any]]:
    done = intelshare("node", "repair", "--folder", folder, *words, "--json")
    assert done.code in (0, 7), done
    records: list[dict[str, Any]] = done.json["records"]
    return records


def pair(tmp_path: Path) -> tuple[Path, Path]:
    return found(tmp_path / "fra", "FRA"), found(tmp_path / "usa", "USA")


def test_f31_a_rotten_row_of_each_kind_at_the_recipient_is_named_and_fetched_again(tmp_path: Path) -> None:
    fra, usa = pair(tmp_path)
    with running(fra):
        with running(usa):
            introduce(fra, usa)
            wait_for_links(fra)
            sent = {send(fra, "USA", "--wait", "accepted") for _ in range(4)}
            ok("read", sorted(sent)[0], "--as", usa / "users" / "ana")
        database = usa / "intelshare.db"
        there = list(kinds(database))
        for kind in ("node", "log_head", "counter", "incoming", "inbox", "secret", "portion", "reader"):
            assert kind in there, there
            spoil(database, kind, 1)
        with running(usa):
            wait_for_links(fra)
            repair(usa, "--scrub", "--fetch")
            wait_until(lambda: inbox(usa) == sent, "all to be there again")
            wait_until(lambda: not repair(usa, "--scrub"), "nothing to be damaged any more")
            for one in sent:
                assert "Phishing kit" in ok("read", one, "--as", usa / "users" / "ana").out
            assert send(fra, "USA", "--wait", "accepted")
            assert ok("audit", "verify", "--folder", usa).code == 0
        said = log_of(usa).read_text()
        assert "record.mended" in said
        assert "node.fatal" not in said + log_of(fra).read_text()


def test_the_outbox_shows_the_record_of_a_rotten_pair_in_place_of_the_member(tmp_path: Path) -> None:
    fra, usa = pair(tmp_path)
    with running(fra), running(usa):
        introduce(fra, usa)
        wait_for_links(fra)
        sent = send(fra, "USA", "--wait", "accepted")
    with running(fra):
        pass
    spoil(fra / "intelshare.db", "pair")
    with running(fra):
        as_author = ("--as", fra / "users" / "ana")
        for listed in (ok("outbox", *as_author), ok("outbox", sent[:8], *as_author)):
            assert "pair does not match its digest" in listed.out
            assert ", USA" in listed.out
        (entry,) = ok("outbox", *as_author, "--json").json["entries"]
        assert (entry["pairs"], [name[-5:] for name in entry["damaged"]]) == ([], [", USA"])


def test_f31_a_rotten_row_of_each_kind_at_the_sender_stops_one_thing(tmp_path: Path) -> None:
    fra, usa = pair(tmp_path)
    with running(usa):
        with running(fra):
            introduce(fra, usa)
            wait_for_links(fra)
            sent = send(fra, "USA", "--wait", "accepted")
        with running(fra):
            pass
    with running(fra):
        waiting = [send(fra, "USA") for _ in range(4)]
    database = fra / "intelshare.db"
    spoil(database, "portion", 0)
    spoil(database, "secret", 1)
    for kind in ("outgoing", "pending", "user", "receipt", "counter"):
        if kind in kinds(database):
            spoil(database, kind)
    with running(fra) as node:
        assert intelshare("outbox", "--as", fra / "users" / "ana").code in (0, 4)
        with running(usa):
            wait_for_links(fra)
            repair(fra, "--scrub", "--fetch")
            fresh = ok("inbox", "--as", usa / "users" / "ana", "--json").json["entries"]
            assert fresh
        assert node.poll() is None
    assert len({sent, *waiting}) == 5
    assert "node.fatal" not in log_of(fra).read_text()


def killed_after_a_send(fra: Path) -> str:
    """A bulletin that was accepted, whose rows only the journal of its sender has; its node was killed."""
    with running(fra) as node:
        wait_for_links(fra)
        sent = send(fra, "USA", "--wait", "accepted")
        node.send_signal(signal.SIGKILL)
        node.wait()
    return sent


def test_f12_a_bit_in_the_journal_of_a_killed_node_costs_nothing(tmp_path: Path) -> None:
    fra, usa = pair(tmp_path)
    with running(usa):
        with running(fra):
            introduce(fra, usa)
        sent = killed_after_a_send(fra)
        number = rot_journal(fra / "intelshare.db")
        with running(fra):
            (kept,) = ok("outbox", "--as", fra / "users" / "ana", "--json").json["entries"]
            assert (kept["bulletin"], kept["pairs"][0]["word"]) == (sent, "accepted")
            wait_until(lambda: f'"record": "journal {number}"' in mended(fra), "the group to be told")
            assert ok("audit", "verify", "--folder", fra).code == 0


def test_f12_a_journal_beyond_repair_waits_for_an_operator_and_goes_on(tmp_path: Path) -> None:
    fra, usa = pair(tmp_path)
    with running(usa):
        with running(fra):
            introduce(fra, usa)
        sent = killed_after_a_send(fra)
        number = rot_journal(fra / "intelshare.db", whole=True)
        refused = intelshare("node", "run", "--dev", "--folder", fra)
        assert refused.code == 7
        assert f"group {number} of the journal" in refused.err
        assert "--accept-loss" in refused.err
        told = intelshare("doctor", "--folder", fra)
        assert (told.code, f"group {number} of the journal" in told.out) == (1, True)
        assert "--accept-loss" in told.err
        command = [*PROGRAM, "node", "run", "--dev", "--folder", fra, "--accept-loss"]
        with log_of(fra).open("ab") as log, process(command, stderr=log) as started:
            wait_until(lambda: serves_as(fra, started), "fra to run")
            let_in(fra)
            wait_until(lambda: "set aside" in mended(fra), "the group to be told")
        with running(fra):
            wait_for_links(fra)
            wait_until(lambda: sent in known(fra), "what was accepted to come back from its recipient")
            assert send(fra, "USA", "--wait", "accepted")
            assert ok("audit", "verify", "--folder", fra).code == 0


def mended(folder: Path) -> str:
    """The lines of the log about records that were settled."""
    return "".join(line for line in log_of(folder).read_text().splitlines() if "record.mended" in line)


def known(folder: Path) -> str:
    """What a releasing officer sees in the outbox."""
    return ok("outbox", "--as", folder / "users" / "rel", "--json").out
