"""A console over a real node, asked as a browser asks: let in once, shown what is true, told what happens."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from e2e.nodes import PROGRAM, found, intelshare, introduce, ok, running, wait_for_links
from intelshare.patience import patient
from processes import clean_environment, ended, process
from waits import wait_until

RESTRICTED = "//FRA DIFFUSION RESTREINTE//REL TO FRA, USA"


class Visitor:
    """A browser with its cookie."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self.port = parts.port or 0
        self._cookie = ""
        said = self.ask(f"{parts.path}?{parts.query}")
        assert said.status == 303
        self._cookie = str(said.headers["Set-Cookie"]).partition(";")[0]

    def ask(self, path: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=patient(30))
        connection.request("GET", path, headers={"Cookie": self._cookie} if self._cookie else {})
        return connection.getresponse()

    def document(self, view: str) -> Any:
        said = self.ask(f"/data/{view}")
        assert said.status == 200, said.read()
        return json.loads(said.read())

    def events(self) -> Iterator[tuple[str, Any]]:
        """What the page is told; ends when the console does."""
        name = ""
        for line in self.ask("/events"):
            word, _, rest = line.decode().strip().partition(": ")
            if word == "event":
                name = rest
            elif word == "data":
                yield name, json.loads(rest)


@contextmanager
def console(fra: Path, *words: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The process, and the address that it printed."""
    given = [*PROGRAM, "console", "--json", "--as", fra / "users" / "ana", *words]
    log = (fra.parent / "console.log").open("ab")
    with log, process(given, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log) as started:
        assert started.stdout is not None
        yield started, str(json.loads(started.stdout.readline())["url"])


@pytest.fixture(scope="module")
def fra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("console")
    fra, usa = found(home / "fra", "FRA"), found(home / "usa", "USA")
    with running(fra), running(usa):
        introduce(fra, usa)
        wait_for_links(fra)
        yield fra


def test_a_visitor_is_let_in_once_is_told_what_happens_and_the_console_ends_by_ctrl_c(fra: Path) -> None:
    with console(fra, "--also", str(fra / "users" / "operator")) as (started, address):
        visitor = Visitor(address)
        with pytest.raises(AssertionError):
            Visitor(address)
        events = visitor.events()
        state = next(event for name, event in events if name == "state")
        assert (state["member"], [peer["state"] for peer in state["peers"]]) == ("FRA", ["linked"])
        send = (
            "send",
            "-",
            "--to",
            "USA",
            "--category",
            "cyber",
            "--label",
            RESTRICTED,
            "--as",
            fra / "users" / "ana",
        )
        bulletin = ok(*send, "--title", "Seen", "--title-label", RESTRICTED, "--json", stdin="x").json[
            "bulletin"
        ]
        happened = next(event for name, event in events if name == "happened" and event["what"] == "accepted")
        assert (happened["bulletin"], happened["member"], happened["title"]) == (bulletin, "USA", "Seen")
        assert [one["bulletin"] for one in visitor.document("bulletins")["entries"]] == [bulletin]
        (usa,) = visitor.document(f"bulletin?id={bulletin}")["pairs"]
        assert [one["status"] for one in usa["receipts"]] == ["ACCEPTED"]
        assert visitor.document("flows")["shared"][0]["article"] == "art. 4"
        assert visitor.document("audit")["proof"]
        assert visitor.document("audit?index=0")["type_name"] == "START"
        started.send_signal(signal.SIGINT)
        assert ended(started) == 0


def test_the_matrix_is_recomputed_for_another_day(fra: Path) -> None:
    with console(fra) as (_, address):
        visitor = Visitor(address)
        now, before = (visitor.document(f"treaties?category=cyber{day}") for day in ("", "&as_of=1960-01-01"))
        assert {one["id"] for one in now["treaties"]} == {"demo-climate", "gsa-fra-usa"}
        level = {(one["from"], one["to"]): one["level"] for one in now["cells"]}
        assert level["FRA", "USA"] == "TRES SECRET"
        assert {one["level"] for one in before["cells"]} == {None}
        lane = now["treaties"][0]["lanes"][0]
        assert lane["spans"][-1]["state"] == lane["state"] == "IN_FORCE"


def test_no_address_but_loopback_and_no_profile_of_another_member_is_taken(fra: Path) -> None:
    analyst = fra / "users" / "ana"
    refused = intelshare("console", "--host", ".".join("0000"), "--as", analyst)
    assert "ADDRESS_FORBIDDEN" in refused.err
    other = fra.parent / "usa" / "users" / "ana"
    refused = intelshare("console", "--as", analyst, "--also", other)
    assert "profiles of several members: FRA, USA" in refused.err


@pytest.mark.soak
def test_the_demo_has_a_console_that_ends_with_it(tmp_path: Path) -> None:
    words = (
        sys.executable,
        "-m",
        "intelshare",
        "demo",
        "--console",
        "--no-pause",
        "--keep",
        tmp_path / "play",
    )
    log = (tmp_path / "log").open("wb+")
    with (
        log,
        process(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=clean_environment()) as started,
    ):
        shown = wait_until(
            lambda: [line for line in (tmp_path / "log").read_text().split() if "?token=" in line],
            "the demo to print its console's address",
        )
        visitor = Visitor(shown[0])
        assert [one["member"] for one in visitor.document("members")["members"]] == ["FRA", "KEN", "USA"]
        started.send_signal(signal.SIGINT)
        assert ended(started) == 130
    with pytest.raises(OSError, match="refused"):
        visitor.document("members")
