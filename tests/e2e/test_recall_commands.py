"""Recall, receipts and superseding by nothing but the command line, on two sovereign nodes."""

from __future__ import annotations

import os
import pty
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.nodes import PROGRAM, found, intelshare, introduce, ok, running, wait_for_links, wait_until
from processes import ended, finished

SHARED = "//FRA SECRET//REL TO FRA, USA"

HANGING = """
import asyncio
from intelshare.cli import main
from intelshare.store.sqlite import SqliteStore

async def never(self):
    await asyncio.Event().wait()

SqliteStore.shred = never
main()
"""
"""A node that stops for ever between the commit that deletes and the signature (crash point c16)."""


class Pair:
    """FRA and USA, running, who know each other."""

    def __init__(self, fra: Path, usa: Path) -> None:
        self.ana, self.rel = fra / "users" / "ana", fra / "users" / "rel"
        self.smith, self.jones = usa / "users" / "ana", usa / "users" / "rel"

    def send(self, title: str, *words: str) -> str:
        """A bulletin that USA has accepted; its id."""
        answer = ok(
            "send", "-", "--as", self.ana, "--to", "USA", "--label", SHARED, "--category", "cyber",
            "--title", title, "--wait", "accepted", *words, "--json", stdin="Phishing kit",
        ).json  # fmt: skip
        bulletin: str = answer["bulletin"]
        return bulletin

    def pair(self, bulletin: str) -> dict[str, Any]:
        """The pair with USA, as the outbox shows it."""
        (pair,) = ok("outbox", bulletin, "--as", self.ana, "--json").json["pairs"]
        return pair


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    home = tmp_path_factory.mktemp("recall")
    fra, usa = found(home / "fra", "FRA"), found(home / "usa", "USA")
    with running(fra), running(usa):
        introduce(fra, usa)
        wait_for_links(fra)
        yield Pair(fra, usa)


def test_a_recall_shows_its_effect_asks_and_is_signed_for(nodes: Pair) -> None:
    bulletin = nodes.send("Kit")
    ok("read", bulletin[:8], "--as", nodes.smith)
    asked = intelshare("recall", bulletin[:8], "--reason", "wrong source", "--as", nodes.ana)
    assert asked.code == 2
    assert "will be asked to destroy it" in asked.err
    assert "--yes" in asked.err
    assert nodes.pair(bulletin)["word"] in ("accepted", "read")

    planned = ok("recall", bulletin, "--reason", "x", "--dry-run", "--as", nodes.ana, "--json").json
    assert (planned["schema"], planned["dry_run"]) == ("intelshare/recall/1", True)
    assert [(one["recipient"], one["effect"]) for one in planned["pairs"]] == [("USA", "asked")]

    done = ok("recall", bulletin[:8], "--reason", "wrong source", "--yes", "--as", nodes.ana)
    assert f"bulletin {bulletin} recalled" in done.out
    wait_until(lambda: nodes.pair(bulletin)["word"] == "destroyed", "the destruction to be signed")
    gone = intelshare("read", bulletin[:8], "--as", nodes.smith)
    assert gone.code == 8
    assert "destroyed here: RECALLED, wrong source" in gone.err
    never_opened = intelshare("read", bulletin[:8], "--as", nodes.jones)
    assert never_opened.code == 8
    assert "there is no bulletin" in never_opened.err
    assert "destroyed" in ok("inbox", "--as", nodes.smith).out
    assert bulletin[:8] not in ok("inbox", "--as", nodes.jones).out
    shown = ok("outbox", "--as", nodes.ana).out
    assert "USA destroyed" in shown
    assert "recalled" in shown
    again = ok("recall", bulletin[:8], "--reason", "again", "--as", nodes.ana)
    assert "was recalled before" in again.out


def test_a_recall_that_waits_ends_when_every_recipient_has_signed(nodes: Pair) -> None:
    bulletin = nodes.send("Kit")
    waited = ok("recall", bulletin, "--reason", "wrong", "--yes", "--wait", "--as", nodes.ana)
    assert "has destroyed it" in waited.out
    again = ok("recall", bulletin, "--reason", "wrong", "--wait", "--as", nodes.ana, "--json").json
    assert (again["before"], [pair["word"] for pair in again["pairs"]]) == (True, ["destroyed"])


def test_every_signed_receipt_is_listed_with_its_signature_checked(nodes: Pair) -> None:
    bulletin = nodes.send("Kit")
    ok("recall", bulletin, "--reason", "wrong", "--yes", "--as", nodes.rel, "--wait")
    found = ok("receipts", bulletin[:8], "--as", nodes.ana, "--json").json
    assert found["schema"] == "intelshare/receipts/1"
    assert [one["status"] for one in found["receipts"]] == ["ACCEPTED", "DESTROYED"]
    assert all(len(one["digest"]) == 64 and not one.get("flaw") for one in found["receipts"])
    table = ok("receipts", bulletin[:8], "--as", nodes.ana).out
    assert "DESTROYED" in table
    assert "holds" in table
    assert intelshare("receipts", "0" * 32, "--as", nodes.ana).code == 8


def test_a_superseded_bulletin_stays_readable_and_names_its_successor(nodes: Pair) -> None:
    old = nodes.send("Old kit")
    new = nodes.send("New kit", "--supersedes", old[:8])
    shown = ok("read", old[:8], "--as", nodes.smith).out
    assert f"superseded by {new[:8]}" in shown
    assert "Phishing kit" in shown
    assert f"supersedes {old[:8]}" in ok("read", new[:8], "--as", nodes.smith).out
    assert f"superseded by {new[:8]}" in ok("inbox", "--as", nodes.smith).out
    assert f"superseded by {new[:8]}" in ok("outbox", old, "--as", nodes.ana).out
    (entry,) = [e for e in ok("inbox", "--as", nodes.smith, "--json").json["entries"] if e["bulletin"] == old]
    assert entry["superseded_by"] == new


def test_a_reply_names_what_it_answers(nodes: Pair) -> None:
    question = nodes.send("Question")
    answer = ok(
        "send", "-", "--as", nodes.smith, "--to", "FRA", "--label", "//USA SECRET//REL TO USA, FRA",
        "--category", "cyber", "--in-reply-to", question[:8], "--wait", "accepted", "--json", stdin="Yes",
    ).json  # fmt: skip
    assert f"in reply to {question[:8]}" in ok("read", answer["bulletin"], "--as", nodes.ana).out


def test_row_41_nobody_recalls_or_supersedes_what_another_member_wrote(nodes: Pair) -> None:
    bulletin = nodes.send("Kit")
    theirs = intelshare("recall", bulletin[:8], "--reason", "mine", "--yes", "--as", nodes.jones)
    assert theirs.code == 4
    assert "RECALL_NOT_ORIGINATOR" in theirs.err
    replacing = intelshare(
        "send", "-", "--as", nodes.smith, "--to", "FRA", "--label", "//USA SECRET//REL TO USA, FRA",
        "--category", "cyber", "--supersedes", bulletin, stdin="Better",
    )  # fmt: skip
    assert replacing.code == 4
    assert "RECALL_NOT_ORIGINATOR" in replacing.err
    assert intelshare("recall", "f" * 8, "--reason", "x", "--yes", "--as", nodes.jones).code == 8
    assert nodes.pair(bulletin)["word"] in ("accepted", "read")


def test_on_a_terminal_no_is_no(nodes: Pair) -> None:
    bulletin = nodes.send("Kit")
    primary, secondary = pty.openpty()
    os.write(primary, b"n\n")
    try:
        words = ("recall", bulletin, "--reason", "x", "--as", nodes.ana)
        said = finished([*PROGRAM, *words], stdin=secondary)
    finally:
        os.close(secondary)
        os.close(primary)
    assert said.code != 0
    assert "cannot be undone" in said.out + said.err
    assert nodes.pair(bulletin)["word"] == "accepted"


def test_c16_a_node_killed_between_deleting_and_signing_signs_once_at_its_next_start(
    tmp_path: Path,
) -> None:
    fra, usa = found(tmp_path / "fra", "FRA"), found(tmp_path / "usa", "USA")
    pair = Pair(fra, usa)
    with running(fra):
        with running(usa, (sys.executable, "-c", HANGING)) as hanging:
            introduce(fra, usa)
            bulletin = pair.send("Kit")
            ok("read", bulletin, "--as", pair.smith)
            ok("recall", bulletin, "--reason", "wrong", "--yes", "--as", pair.ana)
            wait_until(lambda: intelshare("read", bulletin, "--as", pair.smith).code == 8, "the keys to go")
            assert pair.pair(bulletin)["recall_requested"] is True
            waited = intelshare(
                "recall", bulletin, "--reason", "wrong", "--wait", "--timeout", "0.2", "--as", pair.ana
            )
            assert waited.code == 10
            assert "not all recipients have destroyed it: USA accepted" in waited.err
            hanging.kill()
            ended(hanging)
        with running(usa):
            wait_until(lambda: pair.pair(bulletin)["word"] == "destroyed", "the destruction to be signed")
            assert intelshare("read", bulletin, "--as", pair.smith).code == 8
            signed = ok("receipts", bulletin, "--as", pair.ana, "--json").json["receipts"]
            assert [one["status"] for one in signed].count("DESTROYED") == 1
            ok("audit", "verify", "--folder", usa)
