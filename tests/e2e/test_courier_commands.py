"""Courier by nothing but the command line: two nodes that never link, and files between them."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.nodes import (
    documents_of,
    expired_certificate,
    found,
    intelshare,
    introduce,
    let_in,
    ok,
    running,
    wait_until,
)
from intelshare.client import read_profile
from intelshare.client.profile import replace_credentials

SHARED = "//FRA SECRET//REL TO FRA, USA"


class Gap:
    """FRA and USA, who know each other, do not dial, and are carried files."""

    def __init__(self, home: Path, fra: Path, usa: Path) -> None:
        self.home, self.fra, self.usa = home, fra, usa
        self.ana, self.smith = fra / "users" / "ana", usa / "users" / "ana"
        self._written = 0

    def export(self, giver: Path, to: str, *words: str) -> tuple[Path, dict[str, Any]]:
        """A new bundle, and what the command says of it."""
        self._written += 1
        file = self.home / f"{self._written}.bundle"
        said = ok("courier", "export", to, "-o", file, "--folder", giver, "--json", *words).json
        return file, said

    def carry(self, giver: Path, taker: Path) -> dict[str, Any]:
        """A bundle from one to the other; what came of it."""
        file, _ = self.export(giver, taker.name.upper())
        return ok("courier", "import", file, "--folder", taker, "--json").json

    def send(self, title: str) -> str:
        """A bulletin that waits for USA; its id."""
        bulletin: str = ok(
            "send", "-", "--as", self.ana, "--to", "USA", "--label", SHARED, "--category", "cyber",
            "--title", title, "--json", stdin="Phishing kit",
        ).json["bulletin"]  # fmt: skip
        return bulletin

    def word(self, bulletin: str) -> str:
        """What FRA's outbox shows."""
        (pair,) = ok("outbox", bulletin, "--as", self.ana, "--json").json["pairs"]
        word: str = pair["word"]
        return word


@pytest.fixture(scope="module")
def gap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gap]:
    home = tmp_path_factory.mktemp("courier")
    fra, usa = found(home / "fra", "FRA"), found(home / "usa", "USA")
    for folder in (fra, usa):
        settings = folder / "node.toml"
        settings.write_text(settings.read_text().replace("dial = true", "dial = false"))
    with running(fra), running(usa):
        introduce(fra, usa)
        yield Gap(home, fra, usa)


def test_a_bulletin_its_receipt_its_recall_and_its_destruction_travel_by_files_alone(gap: Gap) -> None:
    bulletin = gap.send("Kit")
    assert gap.word(bulletin) == "queued"

    file, said = gap.export(gap.fra, "USA")
    assert said["schema"] == "intelshare/courier-bundle/1"
    assert (said["releases"], said["more"], said["queued"]) == ("1", False, "0")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert gap.word(bulletin) == "sent"
    taken = ok("courier", "import", file, "--folder", gap.usa, "--json").json
    assert (taken["member"], taken["accepted"], taken["code"]) == ("FRA", "1", None)
    assert taken["sha256"] == said["sha256"]
    assert "Phishing kit" in ok("read", bulletin[:8], "--as", gap.smith).out

    again = ok("courier", "import", file, "--folder", gap.usa, "--json").json
    assert again["accepted"] == "0", "twice is once"

    back = gap.carry(gap.usa, gap.fra)
    assert int(back["acknowledgements"]) > 0
    assert gap.word(bulletin) in ("accepted", "read")

    ok("recall", bulletin, "--reason", "wrong source", "--yes", "--as", gap.ana)
    gap.carry(gap.fra, gap.usa)
    gone = wait_until(
        lambda: (found := intelshare("read", bulletin[:8], "--as", gap.smith)).code == 8 and found,
        "USA to destroy it",
    )
    assert "destroyed here: RECALLED, wrong source" in gone.err
    wait_until(lambda: gap.carry(gap.usa, gap.fra) and gap.word(bulletin) == "destroyed", "its receipt")
    (peer,) = ok("node", "status", "--folder", gap.fra, "--json").json["peers"]
    assert peer["state"] != "linked"


def test_a_lost_bundle_costs_nothing_and_what_comes_late_is_known(gap: Gap) -> None:
    first = gap.send("First")
    lost, _ = gap.export(gap.fra, "USA")
    second = gap.send("Second")
    later, said = gap.export(gap.fra, "USA")
    assert said["releases"] == "2", "what was in the lost bundle is in this one again"
    taken = ok("courier", "import", later, "--folder", gap.usa, "--json").json
    assert taken["accepted"] == "2"
    late = ok("courier", "import", lost, "--folder", gap.usa, "--json").json
    assert (late["accepted"], late["rejected"]) == ("0", [])
    for bulletin in (first, second):
        assert ok("read", bulletin[:8], "--as", gap.smith).out.count("Phishing kit") == 1


def test_a_torn_a_foreign_and_a_wrong_file_are_told_apart_and_do_nothing(gap: Gap) -> None:
    gap.send("Torn")
    file, _ = gap.export(gap.fra, "USA")
    mine = intelshare("courier", "import", file, "--folder", gap.fra)
    assert (mine.code, "BUNDLE_NOT_OURS" in mine.err, file.name in mine.err) == (7, True, True)
    torn = gap.home / "torn"
    torn.write_bytes(file.read_bytes()[:-1])
    cut = intelshare("courier", "import", torn, "--folder", gap.usa)
    assert (cut.code, "BUNDLE_INCOMPLETE" in cut.err) == (7, True)
    cut = intelshare("courier", "import", torn, "--folder", gap.usa, "--json")
    assert (cut.code, len(documents_of(cut.out))) == (7, 1)
    other = gap.home / "other"
    other.write_bytes(b"something else")
    assert "not a courier bundle" in intelshare("courier", "import", other, "--folder", gap.usa).err
    taken = ok("courier", "import", file, "--folder", gap.usa, "--json").json
    assert int(taken["accepted"]) <= 1
    taken = intelshare("courier", "export", "USA", "-o", file, "--folder", gap.fra)
    assert "UNSAFE_NAME" in taken.err, "a file that is there is never overwritten"
    assert "name a file that is not there yet" in taken.err
    stranger = intelshare("courier", "export", "DEU", "-o", gap.home / "deu", "--folder", gap.fra)
    assert "TRUST_FINGERPRINT" in stranger.err
    assert not (gap.home / "deu").exists()


def test_a_file_travels_with_its_bulletin_whole_or_in_several_bundles(gap: Gap) -> None:
    annex, text = gap.home / "annex.bin", gap.home / "text.txt"
    annex.write_bytes(os.urandom(5 << 20))
    text.write_text("see the annex")
    bulletin: str = ok(
        "send", text, "--as", gap.ana, "--to", "USA", "--label", SHARED, "--category", "cyber",
        "--attach", annex, "--json",
    ).json["bulletin"]  # fmt: skip
    file, said = gap.export(gap.fra, "USA", "--limit", "1")
    assert (said["files"], said["files_left"]) == ("0", "1")
    assert file.stat().st_size < 3 << 20
    taken = ok("courier", "import", file, "--folder", gap.usa, "--json").json
    assert (taken["files"], taken["files_wanted"]) == ("0", "1")
    unfinished = intelshare("read", bulletin[:8], "--as", gap.smith, "--out", gap.home / "early")
    assert "FILE_INCOMPLETE" in unfinished.err
    gap.carry(gap.usa, gap.fra)  # asks for the rest
    file, said = gap.export(gap.fra, "USA")
    assert (said["files"], said["files_left"]) == ("1", "0")
    torn = gap.home / "torn-file"
    torn.write_bytes(file.read_bytes()[: -(1 << 20)])
    cut = intelshare("courier", "import", torn, "--folder", gap.usa)
    assert "BUNDLE_INCOMPLETE" in cut.err
    for expected in ("1", "0"):  # doubled
        taken = ok("courier", "import", file, "--folder", gap.usa, "--json").json
        assert (taken["files"], taken["files_wanted"]) == (expected, "0")
    ok("read", bulletin[:8], "--as", gap.smith, "--out", gap.home / "out")
    (received,) = (gap.home / "out").glob("*annex.bin")
    assert received.read_bytes() == annex.read_bytes()
    gap.carry(gap.usa, gap.fra)
    (pair,) = ok("outbox", bulletin, "--as", gap.ana, "--json").json["pairs"]
    assert "WHOLE" in pair["codes"]
    assert gap.export(gap.fra, "USA")[1]["files"] == "0"


def test_a_drain_beside_a_member_without_a_link_ends(gap: Gap) -> None:
    bulletin = gap.send("Before the upgrade")
    drained = intelshare("node", "drain", "--folder", gap.fra, "--wait", "0.5", "--json")
    assert (drained.code, drained.json["queued"]) == (10, "1")
    ok("node", "drain", "--undo", "--folder", gap.fra)
    gap.carry(gap.fra, gap.usa)
    gap.carry(gap.usa, gap.fra)
    assert gap.word(bulletin) == "accepted"
    said = ok("node", "drain", "--folder", gap.fra, "--wait", "3", "--json").json
    assert (said["queued"], said["unacknowledged"]) == ("0", "0")
    ratings = ok("doctor", "--folder", gap.fra, "--json").json["findings"]
    assert [one["state"] for one in ratings if one["code"] == "DRAINING"] == ["warning"]
    ok("node", "drain", "--undo", "--folder", gap.fra)


def test_what_a_member_first_met_after_a_loss_sends_by_courier_waits_and_everybody_is_told(
    tmp_path: Path,
) -> None:
    """A drill: `courier import` said `1 new bulletins`, and the inbox was empty without a word."""
    usa, kept = found(tmp_path / "usa", "USA"), found(tmp_path / "kept" / "fra", "FRA")
    settings = usa / "node.toml"
    settings.write_text(settings.read_text().replace("dial = true", "dial = false"))
    with running(kept):
        ok("node", "backup", tmp_path / "backup", "--folder", kept)
    fra = tmp_path / "fra"
    ok("node", "restore", tmp_path / "backup", fra)
    settings = fra / "node.toml"
    settings.write_text(settings.read_text().replace("dial = true", "dial = false"))
    with running(fra), running(usa):
        let_in(fra)
        shutil.copytree(kept / "users" / "ana", fra / "users" / "ana", dirs_exist_ok=True)
        introduce(fra, usa)
        gap = Gap(tmp_path, usa, fra)
        ok(
            "send", "-", "--as", usa / "users" / "ana", "--to", "FRA", "--label",
            "//USA SECRET//REL TO USA, FRA", "--category", "cyber", "--title", "New", stdin="text",
        )  # fmt: skip
        file, _ = gap.export(usa, "FRA")
        taken = ok("courier", "import", file, "--folder", fra)
        assert "1 bulletins of USA cannot be read yet" in taken.err
        assert f"allow-reading USA --reason TEXT --folder {fra}" in taken.err
        for command in (("inbox",), ("search", "text")):
            listed = ok(*command, "--as", fra / "users" / "ana")
            assert "1 bulletins of USA cannot be read yet" in listed.err, listed
            assert "[READING_WAITS]" in listed.err
        ok("node", "allow-reading", "USA", "--reason", "a drill", "--yes", "--folder", fra)
        listed = ok("inbox", "--as", fra / "users" / "ana")
        assert ("New" in listed.out, "READING_WAITS" in listed.err) == (True, False)


def test_a_suspended_member_is_named_with_what_this_sides_operator_can_do(gap: Gap) -> None:
    ok("member", "suspend", "USA", "--folder", gap.fra)
    refused = intelshare("courier", "export", "USA", "-o", gap.home / "no", "--folder", gap.fra)
    assert (refused.code, "member resume` ends" in refused.err) == (4, False)
    assert f"`intelshare member resume --folder {gap.fra}` ends" in refused.err
    ok("member", "resume", "USA", "--folder", gap.fra)


def test_only_operators_carry(gap: Gap) -> None:
    denied = intelshare("courier", "export", "USA", "-o", gap.home / "no", "--as", gap.ana)
    assert "NOT_AUTHORISED" in denied.err


def test_whoever_has_the_folder_and_the_passphrase_carries_without_a_certificate(gap: Gap) -> None:
    bulletin = gap.send("Once a week")
    operator = gap.usa / "users" / "operator"
    operator.rename(gap.home / "moved to its user")
    expired = read_profile(gap.fra / "users" / "operator")
    replace_credentials(expired, expired_certificate(gap.fra, "operator"))
    assert int(gap.carry(gap.fra, gap.usa)["accepted"]) >= 1
    gap.carry(gap.usa, gap.fra)
    assert gap.word(bulletin) == "accepted"
