"""Officers see what goes and may refuse it; who sends knows after an interruption what is stored."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from e2e.nodes import PROGRAM, found, intelshare, introduce, ok, running, wait_for_links, wait_until
from processes import clean_environment, ended, process

SHARED = "//FRA SECRET//REL TO FRA, USA"
HOLD = '[[hold]]\nid = "FRA-data"\nsource = "invented"\nwhen = { flags = ["personal-data"] }\n'


@dataclass(frozen=True)
class Desk:
    """FRA, whose law holds personal data, and USA, which may be stopped."""

    fra: Path
    ana: Path
    rel: Path

    def held(self) -> str:
        """The id of a bulletin that is held for USA."""
        words = ("--to", "USA", "--label", SHARED, "--category", "cyber", "--flag", "personal-data", "--json")
        return str(ok("send", "-", *words, "--as", self.ana, stdin="About a person.").json["bulletin"])

    def pair(self, bulletin: str) -> dict[str, object]:
        """How it stands with USA, as its author sees it."""
        (pair,) = ok("outbox", bulletin, "--json", "--as", self.ana).json["pairs"]
        return dict(pair)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    home = tmp_path_factory.mktemp("desk")
    fra, usa = found(home / "fra", "FRA"), found(home / "usa", "USA")
    (fra / "overlays" / "fra.toml").write_text(HOLD)
    with running(fra), running(usa):
        introduce(fra, usa)
        wait_for_links(fra, 1)
        yield Desk(fra, fra / "users" / "ana", fra / "users" / "rel")


def on_terminal(answer: bytes, *words: str | Path) -> tuple[int, str]:
    """Exit code, and what was shown, of a command whose standard input is a terminal."""
    primary, secondary = pty.openpty()
    os.write(primary, answer)
    try:
        command = process(
            [*PROGRAM, *words],
            stdin=secondary,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=clean_environment(),
            text=True,
        )
        with command as started:
            out, err = started.communicate()
            return ended(started), out + err
    finally:
        os.close(primary)
        os.close(secondary)


def test_an_officer_sees_text_hold_and_rule_before_it_is_released(desk: Desk) -> None:
    bulletin = desk.held()
    words = ("outbox", "approve", bulletin, "--member", "USA", "--as", desk.rel)
    blind = intelshare(*words)
    assert (blind.code, desk.pair(bulletin)["word"]) == (2, "held")
    code, shown = on_terminal(b"n\n", *words)
    assert code == 1
    assert "it is still held for USA" in shown
    assert "outbox refuse" in shown
    for part in ("About a person.", "held by FRA-data", "gsa-fra-usa art.", "for USA", SHARED):
        assert part in shown
    code, shown = on_terminal(b"y\n", *words)
    assert (code, "USA queued\n" in shown) == (0, True)


def test_what_is_refused_is_withheld_and_its_author_reads_why(desk: Desk) -> None:
    bulletin = desk.held()
    words = ("outbox", "refuse", bulletin, "--member", "USA", "--reason", "name the source")
    assert intelshare(*words, "--yes", "--as", desk.ana).code == 4
    code, shown = on_terminal(b"y\n", *words, "--as", desk.rel)
    assert (code, "About a person." in shown) == (0, True)
    pair = desk.pair(bulletin)
    assert (pair["word"], pair["codes"], pair["reason"]) == ("withheld", ["HOLD_REFUSED"], "name the source")
    assert "refused by" in ok("outbox", bulletin, "--as", desk.ana).out
    assert ok("audit", "verify", "--folder", desk.fra).code == 0


def test_one_person_under_two_names_cannot_release(desk: Desk) -> None:
    bulletin = desk.held()
    for name in ("ana", "rel"):
        ok("user", "change", name, "--person", "P-1", "--yes", "--folder", desk.fra)
    try:
        words = ("outbox", "approve", bulletin, "--member", "USA", "--yes", "--as", desk.rel)
        assert intelshare(*words).code == 4
    finally:
        ok("user", "change", "rel", "--person", "P-2", "--yes", "--folder", desk.fra)
    assert intelshare(*words).code == 0


def test_an_author_reads_again_what_was_sent(desk: Desk) -> None:
    assert "About a person." in ok("read", desk.held(), "--as", desk.ana).out


def test_ctrl_c_while_waiting_names_what_is_stored_and_what_follows(desk: Desk, tmp_path: Path) -> None:
    text = tmp_path / "kit.txt"
    text.write_text("A kit.")
    given = ("--to", "USA", "--label", SHARED, "--category", "cyber", "--flag", "personal-data")
    command = process(
        [*PROGRAM, "send", text, *given, "--wait", "accepted", "--as", desk.ana],
        ends_by=signal.SIGINT,
        stdout=subprocess.PIPE,
        stderr=(tmp_path / "err").open("w"),
        env=clean_environment(),
        text=True,
    )
    with command as started:
        wait_until(lambda: "is stored" in (tmp_path / "err").read_text(), "the word that it is stored")
        os.killpg(started.pid, signal.SIGINT)
        out, _ = started.communicate()
        assert ended(started) == 130
    said = (tmp_path / "err").read_text()
    newest = ok("outbox", "--limit", "1", "--json", "--as", desk.ana).json["entries"][0]["bulletin"]
    assert newest in out
    assert f"intelshare outbox {newest[:8]}" in said
    assert f"intelshare recall {newest[:8]}" in said


def test_no_sends_nothing_and_nothing_to_send_is_no_question(desk: Desk, tmp_path: Path) -> None:
    text, other = tmp_path / "a.txt", tmp_path / "b.txt"
    text.write_text("For USA.")
    other.write_text("For nobody.")
    before = ok("outbox", "--json", "--as", desk.ana).json["entries"]
    part = ("--label", SHARED, "--portion", f"{other}://FRA SECRET")
    for words, code in ((part, 1), (("--label", "//FRA SECRET"), 3)):
        given = ("send", str(text), "--to", "USA", "--category", "cyber", *words, "--as", str(desk.ana))
        assert full_terminal(b"n\n", *given) == code
    assert ok("outbox", "--json", "--as", desk.ana).json["entries"] == before


def full_terminal(answer: bytes, *words: str) -> int:
    """Exit code of a command on a terminal both ways."""
    primary, secondary = pty.openpty()
    os.write(primary, answer)
    try:
        command = process([*PROGRAM, *words], stdin=secondary, stdout=secondary, stderr=secondary)
        with command as started:
            return ended(started)
    finally:
        os.close(primary)
        os.close(secondary)


def test_a_draft_is_begun_checked_explained_and_sent(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "kit.ndjson"
    ok("draft", "new", file, "--to", "USA", "--category", "cyber", "--label", SHARED, "--text", "A kit.")
    checked = ok("draft", "check", file, "--json", "--as", desk.ana).json
    (line,) = checked["lines"]
    assert (line["line"], line["pairs"][0]["word"], line["wrong"]) == (1, "queued", None)
    why = ok("why", "--file", file, "--member", "USA", "--as", desk.ana).out
    assert "gsa-fra-usa art." in why
    ok("send", "--batch", file, "--as", desk.ana)
    with file.open("a") as more:
        more.write(
            json.dumps({"to": ["USA"], "category": "cyber", "label": "//FRA SEKRET", "text": "x"}) + "\n"
        )
    wrong = intelshare("draft", "check", file, "--as", desk.ana)
    assert wrong.code == 2
    assert "SECRET" in wrong.err
