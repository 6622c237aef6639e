"""Live use through the command line: watching, searching, and asking a third member for its consent."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from e2e.nodes import PROGRAM, found, intelshare, introduce, ok, running, wait_for_links, wait_until
from processes import clean_environment, ended, process

SHARED = "//FRA SECRET//REL TO FRA, USA"
OF_KEN = "//KEN RESTRICTED//REL TO KEN, FRA, USA"


class Three:
    """FRA, USA and KEN, running, who know each other."""

    def __init__(self, home: Path) -> None:
        self.fra, self.usa, self.ken = home / "fra", home / "usa", home / "ken"
        self.ana, self.smith, self.wanjiku = (one / "users" / "ana" for one in (self.fra, self.usa, self.ken))
        self.officer = self.ken / "users" / "rel"

    def send(self, content: str, *words: str | Path, to: str = "USA", label: str = SHARED) -> str:
        sent = ok(
            "send", "-", "--as", self.ana, "--category", "cyber", "--to", to, "--label", label, "--yes",
            "--json", *words, stdin=content,
        )  # fmt: skip
        return str(sent.json["bulletin"])


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Three]:
    home = tmp_path_factory.mktemp("live")
    one = Three(home)
    for folder, code in ((one.fra, "FRA"), (one.usa, "USA"), (one.ken, "KEN")):
        found(folder, code)
    with running(one.fra), running(one.usa), running(one.ken):
        introduce(one.fra, one.usa)
        introduce(one.fra, one.ken)
        introduce(one.usa, one.ken)
        for folder in (one.fra, one.usa, one.ken):
            wait_for_links(folder, 2)
        yield one


def events(profile: Path, *words: str) -> list[dict[str, Any]]:
    done = ok("watch", "--as", profile, "--once", "--json", *words)
    return [json.loads(line) for line in done.out.splitlines()]


def test_a_watch_that_goes_on_misses_nothing_and_tells_nothing_twice(three: Three) -> None:
    events(three.smith)
    first = three.send("one", "--wait", "accepted")
    second = three.send("two", "--wait", "accepted")
    told = [event for event in events(three.smith, "--since", "last") if event["what"] == "received"]
    assert [event["bulletin"] for event in told] == [first, second]
    assert {event["schema"] for event in told} == {"intelshare/event/1"}
    assert told[0]["banner"] == SHARED
    assert not [event for event in events(three.smith, "--since", "last") if event["what"] == "received"]
    again = events(three.smith, "--since", told[0]["cursor"])
    assert [event["bulletin"] for event in again if event["what"] == "received"] == [second]


def test_the_sender_watches_its_bulletin_from_ok_to_receipt(three: Three) -> None:
    events(three.ana)
    bulletin = three.send("three", "--wait", "accepted")
    told = [event["what"] for event in events(three.ana, "--since", "last") if event["bulletin"] == bulletin]
    assert told == ["submitted", "sent", "accepted"]


@contextmanager
def until_ctrl_c(*words: str | Path) -> Iterator[subprocess.Popen[str]]:
    """A command that goes on until it gets Ctrl-C, and then says so."""
    command = process(
        [*PROGRAM, *words],
        ends_by=signal.SIGINT,
        stdout=subprocess.PIPE,
        text=True,
        env=clean_environment(),
    )
    with command as started:
        yield started
        started.send_signal(signal.SIGINT)
        assert ended(started) == 130


def test_a_running_watch_shows_what_arrives_and_ends_with_ctrl_c(three: Three) -> None:
    (three.smith / "watch-cursor").unlink(missing_ok=True)
    with until_ctrl_c("watch", "--as", three.smith, "--json") as watch:
        wait_until((three.smith / "watch-cursor").exists, "the watch to begin")
        bulletin = three.send("four", "--wait", "accepted")
        assert watch.stdout is not None
        line = json.loads(watch.stdout.readline())
        while line["bulletin"] != bulletin:
            line = json.loads(watch.stdout.readline())
        assert line["what"] == "received"


def test_a_followed_list_goes_on_with_what_arrives(three: Three) -> None:
    with until_ctrl_c("inbox", "--follow", "--as", three.smith, "--json") as follow:
        assert follow.stdout is not None
        listed = json.loads(follow.stdout.readline())
        assert listed["schema"] == "intelshare/inbox/1"
        bulletin = three.send("five", "--wait", "accepted")
        event = json.loads(follow.stdout.readline())
        assert (event["what"], event["bulletin"]) == ("received", bulletin)


def test_a_cursor_of_another_log_is_told(three: Three) -> None:
    events(three.ana)
    foreign = (three.ana / "watch-cursor").read_text()
    done = intelshare("watch", "--as", three.smith, "--once", "--since", foreign)
    assert (done.code, "CURSOR_UNKNOWN" in done.err) == (8, True)
    assert intelshare("watch", "--as", three.smith, "--once", "--since", "nonsense").code == 2


def test_search_finds_words_in_what_one_may_see_and_nothing_else(three: Three, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("the source is HERON")
    bulletin = three.send(
        "Dürre im Norden, Pegel fällt",
        "--portion",
        f"{secret}://FRA SECRET//REL TO FRA",
        "--wait",
        "accepted",
    )
    hits = ok("search", "PEGEL", "dürre", "--as", three.smith, "--json").json["matches"]
    assert [hit["bulletin"] for hit in hits] == [bulletin]
    assert "Pegel" in hits[0]["excerpt"]
    assert ok("search", "heron", "--as", three.smith, "--json").json["matches"] == []
    assert [
        h["bulletin"] for h in ok("search", "heron", "--sent", "--as", three.ana, "--json").json["matches"]
    ] == [bulletin]
    assert "no match in" in ok("search", "no such word", "--as", three.smith).err


def test_from_says_whose_bulletin_an_id_means(three: Three) -> None:
    """It selects, wherever a received bulletin is named: the other originator has none of this id."""
    bulletin = three.send("whose is it", "--wait", "accepted")
    assert "whose is it" in ok("read", bulletin, "--from", "fra", "--as", three.smith).out
    other = intelshare("read", bulletin, "--from", "KEN", "--as", three.smith)
    assert (other.code, "no bulletin" in other.err, "whose is it" in other.out) == (8, True, False)
    reply = (
        "send", "-", "--as", three.smith, "--to", "FRA", "--category", "cyber",
        "--label", "SECRET//REL TO USA, FRA",
        "--in-reply-to", bulletin, "--yes", "--dry-run",
    )  # fmt: skip
    ok(*reply, "--from", "FRA", stdin="a reply")
    assert intelshare(*reply, "--from", "KEN", stdin="a reply").code == 8
    answer = intelshare("consent", "refuse", bulletin, "--for", "KEN", "--from", "KEN", "--as", three.officer)
    assert (answer.code, "from KEN" in answer.err) == (8, True)
    proof = ("audit", "prove", "--bulletin", bulletin, "--folder", three.usa)
    assert ok(*proof, "--from", "FRA").json["entries"]
    assert intelshare(*proof, "--from", "KEN").code == 8


def test_consent_from_request_to_release(three: Three) -> None:
    told = ("--category", "cyber", "--label", OF_KEN, "--yes", "--json")
    theirs = ok(
        "send", "-", "--as", three.wanjiku, "--to", "FRA", "--wait", "accepted", *told, stdin="the dam"
    ).json["bulletin"]
    words = ("send", "-", "--as", three.ana, "--to", "USA", *told)
    slip = intelshare(*words, stdin="water level at the dam")
    assert (slip.code, "FOREIGN_LABEL" in slip.err) == (2, True)
    sent = intelshare(*words, "--from-bulletin", theirs, stdin="water level at the dam")
    assert (sent.code, sent.json["pairs"][0]["word"]) == (3, "withheld")
    name = str(sent.json["bulletin"])[:8]
    asked = ok("consent", "request", name, "--for", "usa", "--as", three.ana, "--json").json["entries"]
    assert [(entry["member"], entry["state"]) for entry in asked] == [("KEN", "asked")]
    wait_until(
        lambda: bool(ok("consent", "list", "--open", "--as", three.officer, "--json").json["entries"]),
        "the question at KEN",
    )
    assert "water level" in ok("read", name, "--as", three.wanjiku).out
    assert intelshare("consent", "grant", name, "--for", "USA", "--as", three.wanjiku).code == 4
    granted = ok("consent", "grant", name, "--for", "USA", "--as", three.officer).out
    assert "granted" in granted
    wait_until(lambda: word(three, name) == "accepted", "USA to accept")
    assert "water level" in ok("read", name, "--as", three.smith).out


def word(three: Three, name: str) -> str:
    entry = ok("outbox", name, "--as", three.ana, "--json").json
    return next(str(pair["word"]) for pair in entry["pairs"] if pair["recipient"] == "USA")


def test_a_request_for_information_from_question_to_answer(three: Three, tmp_path: Path) -> None:
    question, reply = tmp_path / "question.txt", tmp_path / "reply.txt"
    question.write_text("Who runs the kit?")
    reply.write_text("We do not know.")
    label = "//FRA DIFFUSION RESTREINTE//REL TO FRA, USA, KEN"
    asked = ok(
        "rfi", "ask", question, "--to", "USA,KEN", "--due", "2020-01-01", "--category", "cyber",
        "--label", label, "--as", three.ana, "--wait", "accepted", "--json",
    ).json["bulletin"]  # fmt: skip
    name = str(asked)[:8]
    (seen,) = ok("rfi", "list", "--open", "--as", three.smith, "--json").json["entries"]
    assert (seen["bulletin"], seen["member"], seen["overdue"]) == (asked, "FRA", True)
    assert "overdue requests for information: 1" in ok("inbox", "--as", three.smith).err
    ok("rfi", "answer", name, reply, "--label", "UNCLASSIFIED", "--as", three.smith, "--wait", "accepted")
    ok("rfi", "decline", name, "--as", three.wanjiku)
    wait_until(lambda: states(three, asked) == {"USA": "answered", "KEN": "declined"}, "both words")
    assert ok("rfi", "close", name, "--as", three.ana).code == 0
    assert intelshare("rfi", "answer", name, reply, "--label", "UNCLASSIFIED", "--as", three.ana).code == 8


def states(three: Three, asked: str) -> dict[str, str]:
    entries = ok("rfi", "list", "--as", three.ana, "--json").json["entries"]
    return {entry["member"]: entry["state"] for entry in entries if entry["bulletin"] == asked}


def test_a_renewed_user_keeps_role_and_clearance_and_a_revoked_one_is_not_renewed(three: Three) -> None:
    before = ok("whoami", "--as", three.officer, "--json").json
    old = (three.officer / "cert.pem").read_bytes()
    ok("user", "renew", "rel", "--folder", three.ken)
    assert (three.officer / "cert.pem").read_bytes() != old
    assert ok("whoami", "--as", three.officer, "--json").json == before
    ok("user", "add", "tmp", "--folder", three.ken)
    ok("user", "revoke", "tmp", "--folder", three.ken, "--yes")
    assert intelshare("user", "renew", "tmp", "--folder", three.ken).code == 8
    assert intelshare("user", "renew", "nobody", "--folder", three.ken).code == 8
