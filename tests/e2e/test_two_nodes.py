"""Two sovereign nodes, driven by nothing but the command line: from a text to its signed receipt."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.nodes import PROGRAM, found, intelshare, introduce, ok, running, wait_for_links, wait_until, word_of
from processes import clean_environment, ended, finished, process

SHARED = "//FRA SECRET//REL TO FRA, USA"
OWN = "//FRA SECRET//REL TO FRA"
HOLD = """
[[hold]]
id = "FRA-personal-data"
source = "invented for this test"
when = { flags = ["personal-data"] }
"""


class Pair:
    """FRA and USA, running, who know each other."""

    def __init__(self, fra: Path, usa: Path) -> None:
        self.fra = fra
        self.usa = usa
        self.ana = fra / "users" / "ana"
        self.rel = fra / "users" / "rel"
        self.smith = usa / "users" / "ana"

    def send(self, *words: str | Path, stdin: str = "Phishing kit") -> dict:
        """Send from FRA's analyst and wait for the answer of all."""
        return ok("send", "-", "--as", self.ana, "--category", "cyber", *words, "--json", stdin=stdin).json


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    home = tmp_path_factory.mktemp("two")
    fra, usa = found(home / "fra", "FRA"), found(home / "usa", "USA")
    (fra / "overlays" / "fra.toml").write_text(HOLD)
    with running(fra), running(usa):
        introduce(fra, usa)
        wait_for_links(fra)
        yield Pair(fra, usa)


def test_a_bulletin_arrives_and_its_receipt_comes_back(pair: Pair, tmp_path: Path) -> None:
    source = tmp_path / "source.txt"
    source.write_text("BLUE HERON confirms")
    sent = pair.send(
        "--to", "USA", "--label", SHARED, "--title", "Kit", "--portion", f"{source}:{OWN}", "--precedence",
        "flash", "--grade", "b2", "--wait", "accepted",
    )  # fmt: skip
    assert sent["schema"] == "intelshare/submit/1"
    assert word_of(sent, "USA") == "accepted"
    outcomes = [portion["outcome"] for portion in sent["pairs"][0]["portions"]]
    assert outcomes == ["allow", "allow", "deny"]
    name = sent["bulletin"][:8]

    listed = ok("inbox", "--as", pair.smith, "--unread", "--json").json["entries"]
    assert [entry["title"] for entry in listed if entry["bulletin"] == sent["bulletin"]] == ["Kit"]

    shown = ok("read", name, "--as", pair.smith)
    lines = shown.out.splitlines()
    assert lines[0] == lines[-1] == SHARED
    assert "Phishing kit" in lines
    assert "BLUE HERON" not in shown.out
    document = ok("read", name, "--as", pair.smith, "--format", "json").json
    assert [portion["text"] for portion in document["portions"]] == ["Kit", "Phishing kit"]
    assert ok("read", name, "--as", pair.smith, "--portion", "2", "--format", "raw").out == "Phishing kit"

    entry = ok("outbox", name, "--as", pair.ana, "--json").json
    assert (entry["pairs"][0]["granted"], entry["pairs"][0]["portions"]) == (2, 3)
    told = ok("why", name, "--member", "USA", "--as", pair.ana).out
    assert "NOT_RELEASABLE_TO" in told
    assert "gsa-fra-usa art. 4" in told
    unread = ok("inbox", "--as", pair.smith, "--unread", "--json").json["entries"]
    assert sent["bulletin"] not in [entry["bulletin"] for entry in unread]


def test_all_denied_ends_with_3_and_partly_with_5_where_strict(pair: Pair, tmp_path: Path) -> None:
    words = ("send", "-", "--as", pair.ana, "--category", "cyber", "--to", "USA", "--dry-run")
    denied = intelshare(*words, "--label", OWN, stdin="x")
    assert denied.code == 3
    assert "NOT_RELEASABLE_TO" in denied.out
    own = tmp_path / "own.txt"
    own.write_text("own")
    partly = (*words, "--label", SHARED, "--portion", f"{own}:{OWN}")
    assert intelshare(*partly, stdin="x").code == 0
    assert intelshare(*partly, "--strict", stdin="x").code == 5


def test_a_dry_run_stores_nothing(pair: Pair) -> None:
    before = len(ok("outbox", "--as", pair.ana, "--json").json["entries"])
    dry = pair.send("--to", "USA", "--label", SHARED, "--dry-run")
    assert dry["bulletin"] is None
    assert len(ok("outbox", "--as", pair.ana, "--json").json["entries"]) == before


def test_the_same_key_gives_the_same_answer_and_other_content_a_conflict(pair: Pair) -> None:
    key = "0198c0de-0000-7000-8000-00000000cafe"
    first = pair.send("--to", "USA", "--label", SHARED, "--key", key)
    again = pair.send("--to", "USA", "--label", SHARED, "--key", key)
    assert again == first
    other = intelshare(
        "send",
        "-",
        "--as",
        pair.ana,
        "--category",
        "cyber",
        "--to",
        "USA",
        "--label",
        SHARED,
        "--key",
        key,
        stdin="y",
    )
    assert other.code == 9
    assert "error[ID_CONFLICT]" in other.err


def test_what_is_held_is_released_by_a_second_person(pair: Pair) -> None:
    sent = pair.send("--to", "USA", "--label", SHARED, "--flag", "personal-data")
    assert sent["pairs"][0]["word"] == "held"
    name = sent["bulletin"][:8]
    assert intelshare("outbox", "approve", name, "--member", "USA", "--yes", "--as", pair.ana).code == 4
    assert ok("outbox", "approve", name, "--member", "USA", "--yes", "--as", pair.rel).out == "USA queued\n"
    wait_until(
        lambda: ok("outbox", name, "--as", pair.ana, "--json").json["pairs"][0]["word"] == "accepted",
        "the approved pair to be accepted",
    )


def test_files_are_written_safely_and_never_over_others(pair: Pair, tmp_path: Path) -> None:
    report = tmp_path / "report.bin"
    report.write_bytes(bytes(range(256)))
    sent = pair.send(
        "--to", "USA", "--label", SHARED, "--portion", f"{report}:{SHARED}", "--wait", "accepted"
    )
    out = tmp_path / "out"
    ok("read", sent["bulletin"], "--as", pair.smith, "--out", out)
    assert (out / "2-report.bin").read_bytes() == report.read_bytes()
    again = intelshare("read", sent["bulletin"], "--as", pair.smith, "--out", out)
    assert again.code == 1
    assert "error[UNSAFE_NAME]" in again.err


def test_what_may_only_be_displayed_is_not_written(pair: Pair, tmp_path: Path) -> None:
    label = "//FRA SECRET//REL TO FRA/DISPLAY ONLY USA"
    sent = pair.send("--to", "USA", "--label", label, "--wait", "accepted")
    refused = intelshare("read", sent["bulletin"], "--as", pair.smith, "--out", tmp_path / "out")
    assert refused.code == 3
    assert not (tmp_path / "out").exists()


def test_hostile_text_cannot_act_on_the_readers_terminal(pair: Pair) -> None:
    hostile = "\x1b]0;owned\x07[/x]\u202e"
    sent = pair.send(
        "--to", "USA", "--label", SHARED, "--title", hostile, "--wait", "accepted", stdin=hostile
    )
    for words in (("inbox",), ("read", sent["bulletin"][:8])):
        shown = on_a_terminal(*words, "--as", pair.smith)
        assert b"\x1b]0;" not in shown
        assert "\u202e".encode() not in shown
        assert b"\\x1b]0;owned\\x07[/x]\\u202e" in shown
    exact = ok("read", sent["bulletin"][:8], "--as", pair.smith, "--format", "json").json
    assert exact["portions"][0]["text"] == hostile


def test_an_unknown_recipient_and_a_bad_label_change_nothing(pair: Pair) -> None:
    before = len(ok("outbox", "--as", pair.ana, "--json").json["entries"])
    words = ("send", "-", "--as", pair.ana, "--category", "cyber")
    unknown = intelshare(*words, "--to", "USX", "--label", SHARED, stdin="x")
    assert (unknown.code, "error[UNKNOWN_MEMBER]" in unknown.err) == (2, True)
    bad = intelshare(*words, "--to", "USA", "--label", "//FRA SECRTE", stdin="x")
    assert (bad.code, "error[UNKNOWN_LEVEL]" in bad.err, "^^^" in bad.err) == (2, True, True)
    both = intelshare(*words, "--to", "USA", "--label", f"{SHARED}/NOFORN", stdin="x")
    assert (both.code, "error[NOFORN_WITH_REL_TO]" in both.err) == (2, True)
    assert len(ok("outbox", "--as", pair.ana, "--json").json["entries"]) == before
    spool = [path.read_text() for path in (pair.ana / "spool").iterdir()]
    assert all("bulletin" in text for text in spool), "a key is kept of what was never stored"


def test_id_of_nothing_and_id_of_somebody_else_are_not_found(pair: Pair) -> None:
    for words in (("read", "ffffffff"), ("outbox", "ffffffff"), ("why", "ffffffff", "--member", "USA")):
        assert intelshare(*words, "--as", pair.ana).code == 8


def test_a_role_that_may_not_is_told_so(pair: Pair) -> None:
    refused = intelshare("inbox", "--as", pair.fra / "users" / "operator")
    assert refused.code == 4
    assert "error[NOT_AUTHORISED]" in refused.err


def test_operators_ask_the_running_node_and_a_revoked_user_is_out_at_once(pair: Pair) -> None:
    ok("user", "add", "tmp.user", "--folder", pair.fra)
    profile = pair.fra / "users" / "tmp.user"
    assert ok("whoami", "--as", profile, "--json").json["nationality"] == "FRA"
    ok("user", "revoke", "tmp.user", "--folder", pair.fra, "--yes")
    assert intelshare("whoami", "--as", profile).code == 4
    assert "revoked" in ok("user", "list", "--folder", pair.fra).out
    assert {
        row["member"] for row in ok("member", "list", "--folder", pair.fra, "--json").json["members"]
    } == {
        "FRA",
        "USA",
    }


def test_a_log_that_nobody_touched_verifies(pair: Pair) -> None:
    def verified() -> int:
        told = ok("audit", "verify", "--folder", pair.fra, "--json").json
        assert told["findings"] == []
        return sum(int(log["size"]) for log in told["logs"])

    before = verified()
    pair.send("--to", "USA", "--label", SHARED, "--wait", "accepted")
    assert verified() >= before + 3, "its decision, its release and its receipt"


def test_a_lost_answer_ends_with_11_and_the_printed_command_resolves_it(tmp_path: Path) -> None:
    fra = found(tmp_path / "fra", "FRA")
    ana = fra / "users" / "ana"
    text = tmp_path / "text.txt"
    text.write_text("lost")
    words = ["send", str(text), "--as", str(ana), "--category", "cyber", "--to", "USA", "--label", "//FRA NP"]
    # Both are known to each other before either runs: the folders are asked.
    introduce(fra, found(tmp_path / "usa", "USA"))
    with running(fra) as node:
        # The node stands still after it was asked who calls, and before it answers.
        sent = finished([sys.executable, "-c", STALLED, str(node.pid), *words])
        assert sent.code == 11, sent
        assert "error[OUTCOME_UNKNOWN]" in sent.err
        command = sent.err.split("hint: run: intelshare ")[1].strip()
        os.kill(node.pid, signal.SIGCONT)
        import shlex

        resolved = ok(*shlex.split(command), "--json").json
        entries = ok("outbox", "--as", ana, "--json").json["entries"]
        assert [entry["bulletin"] for entry in entries] == [resolved["bulletin"]]


STALLED = """
import os, signal, sys
from intelshare.cli import run
from intelshare.client.connection import Client
asked = Client.whoami
def whoami(self, **more):
    answer = asked(self, **more)
    os.kill(int(sys.argv[1]), signal.SIGSTOP)
    self._deadline = 1.0
    return answer
Client.whoami = whoami
sys.exit(run(sys.argv[2:]))
"""


def on_a_terminal(*words: str | Path) -> bytes:
    """What a command writes when its output is a terminal."""
    primary, secondary = pty.openpty()
    wide = clean_environment(NO_COLOR="1", COLUMNS="300", TERM="xterm")
    command = process(
        [*PROGRAM, *words], stdin=subprocess.DEVNULL, stdout=secondary, stderr=secondary, env=wide
    )
    shown = b""
    with os.fdopen(primary, "rb", 0) as screen, command as started:
        os.close(secondary)
        # Linux ends a terminal that nobody writes to any more with an error.
        with contextlib.suppress(OSError):
            while part := screen.read(65536):
                shown += part
        assert ended(started) == 0
    return shown
