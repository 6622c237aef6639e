"""A member that lost its only vault is made again under the root that others know."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from e2e.nodes import found, intelshare, introduce, let_in, ok, running, wait_for_links, wait_until
from e2e.test_backup import SHARED, TO_FRA, send, titles


def add_users(folder: Path) -> None:
    for name, role in (("ana", "analyst"), ("rel", "releasing-officer")):
        ok("user", "add", name, "--folder", folder, "--role", role, "--clearance", "R3", "--category", "*")


def acting(folder: Path, kind: str) -> tuple[str | Path, ...]:
    return "treaty", kind, "demo-climate", "--yes", "--as", folder / "users" / "rel"


def act(folder: Path, kind: str) -> None:
    ok(*acting(folder, kind))


def acts_of_fra(folder: Path) -> list[int]:
    """The numbers of FRA's acts that count at a node."""
    acts = ok("treaty", "acts", "--json", "--as", folder / "users" / "rel").json["acts"]
    return [int(act["n"]) for act in acts if act["member"] == "FRA" and act["state"] == "counts"]


@pytest.mark.soak
def test_a_member_that_lost_its_only_vault_is_founded_again_under_its_root(tmp_path: Path) -> None:
    holders = ("--root-keys", "3", "--threshold", "2")
    fra, usa = found(tmp_path / "fra", "FRA", *holders), found(tmp_path / "usa", "USA")
    again, next_root = tmp_path / "fra-again", tmp_path / "fra-again" / "root.json"
    with running(usa):
        with running(fra):
            introduce(fra, usa)
            wait_for_links(fra)
            act(fra, "suspend")
            act(fra, "reinstate")
            wait_until(lambda: acts_of_fra(usa) == [1, 2], "USA to hold both acts")
            send(fra, "USA", SHARED, "before")
            wait_until(lambda: titles(usa) == ["before"], "it to arrive")
        print_ = ok("member", "fingerprint", "--folder", fra, "--json").json["fingerprint"]
        shutil.copytree(fra / "root-keys", tmp_path / "holders")
        shutil.copyfile(fra / "passphrase", tmp_path / "passphrase")
        (tmp_path / "passphrase").chmod(0o600)
        # Nothing is left of the node but what it had published, at a partner.
        shutil.rmtree(fra)
        ok("member", "export", "--of", "FRA", "--folder", usa, "--out", tmp_path / "fra.member")
        made = ok("init", "FRA", again, "--dev", "--again", tmp_path / "fra.member", "--json").json
        assert made["fingerprint"] == print_
        refused = intelshare("node", "run", "--dev", "--folder", again)
        assert (refused.code, "TRUST_THRESHOLD" in refused.err) == (7, True), refused
        publish = ("trust", "root", "publish", next_root, "--folder", again)
        for holder in (1, 3):
            early = intelshare(*publish)
            assert (early.code, "TRUST_THRESHOLD" in early.err) == (7, True), early
            vault = tmp_path / "holders" / f"holder-{holder}" / "vault"
            secret = ("--passphrase-file", tmp_path / "passphrase")
            ok("trust", "root", "sign", next_root, "--vault", vault, "--yes", *secret)
        assert "root 2 holds" in ok(*publish).out
        early = intelshare("member", "export", "--folder", again, "--out", tmp_path / "early.member")
        assert (early.code, "STORE_FORGOT" in early.err) == (7, True), early
        with running(again):
            let_in(again)
            add_users(again)
            refused = intelshare(*acting(again, "suspend"))
            assert "ID_CONFLICT" in refused.err, "it knows nobody who may hold its acts"
            introduce(again, usa)
            wait_for_links(again)
            send(again, "USA", SHARED, "after")
            send(usa, "FRA", TO_FRA, "to the new node")
            wait_until(lambda: titles(usa) == ["after", "before"], "it to arrive")
            wait_until(lambda: titles(again) == ["to the new node"], "it to arrive")
            # Its acts were signed by the lost key, and come back from who holds them; the next one continues
            # them, here before USA was heard for a minute.
            wait_until(lambda: acts_of_fra(again) == [1, 2], "the acts to come back")
            ok("node", "allow-reading", "USA", "--reason", "we asked them", "--yes", "--folder", again)
            act(again, "suspend")
            wait_until(lambda: acts_of_fra(usa) == [1, 2, 3], "USA to hold the next one")
            assert "SEQUENCE_FORK" not in ok("audit", "evidence", "--folder", usa).out
            # What the lost key signed is still proved by the member's present file.
            ok("audit", "verify", "--folder", usa)
