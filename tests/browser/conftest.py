"""The console in a real browser, over real nodes: every page is watched for what must never be there.

`make console-test` installs playwright from ``browser.lock`` and uses the chromium of the system; without one
of them these tests are skipped. Wherever a page loads something beyond loopback, writes into the browser's
console, or breaks its own content security policy, its test fails.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from e2e.nodes import PROGRAM, found, introduce, running, wait_for_links
from intelshare.client import Client, new_key, read_profile
from intelshare.instant import Instant
from intelshare.patience import patient
from intelshare.wire.v1 import user_pb2 as pb
from processes import process

CHROMIUM = os.environ.get("INTELSHARE_CHROMIUM") or shutil.which("chromium")
LOOPBACK = ("http://127.0.0.1:", "data:")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skipped, and said why, where there is no browser; one process, for all share the nodes."""
    here = [item for item in items if Path(__file__).parent in item.path.parents]
    why = "" if CHROMIUM else "no chromium: apt-get install chromium, or INTELSHARE_CHROMIUM"
    try:
        import playwright  # noqa: F401
    except ModuleNotFoundError:
        why = "no playwright: make console-test installs it"
    for item in here:
        item.add_marker(pytest.mark.xdist_group("browser"))
        if why:
            item.add_marker(pytest.mark.skip(reason=why))


@dataclass
class Site:
    """FRA with its console; USA and KEN."""

    home: Path
    url: str
    client: Client

    def send(
        self, title: str, text: str = "text", *, to: tuple[str, ...] = ("USA",), label: str = "R2"
    ) -> bytes:
        """Submit as the analyst; the id, once it is durable."""
        return self.client.submit(draft(title, text, to=to, label=LABELS[label])).bulletin


LABELS = {
    "R2": "//FRA DIFFUSION RESTREINTE//REL TO FRA, USA, KEN",
    "R3": "//FRA SECRET//REL TO FRA, USA, KEN",
}


def draft(title: str, text: str, *, to: tuple[str, ...], label: str) -> pb.SubmitRequest:
    """A title and a text."""
    portions = [
        pb.Portion(kind=2, label=label, category="cyber", media="text/plain", content=title.encode()),
        pb.Portion(kind=1, label=label, category="cyber", media="text/plain", content=text.encode()),
    ]
    return pb.SubmitRequest(
        key=new_key(Instant(time.time_ns() // 1000), os.urandom), to=to, precedence=3, portions=portions
    )


@contextmanager
def console(folder: Path) -> Iterator[str]:
    """A console of this member as analyst and operator; its one-time address."""
    users = folder / "users"
    words = [*PROGRAM, "console", "--json", "--as", users / "ana", "--also", users / "operator"]
    with (
        (folder.parent / "console.log").open("ab") as log,
        process(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log) as started,
    ):
        assert started.stdout is not None
        yield str(json.loads(started.stdout.readline())["url"])


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("browser")
    members = {code: found(home / code.lower(), code) for code in ("FRA", "USA", "KEN")}
    fra, usa, ken = members.values()
    with running(fra), running(usa), running(ken):
        introduce(fra, usa)
        introduce(fra, ken)
        wait_for_links(fra, 2)
        with console(fra) as url, Client(read_profile(fra / "users" / "ana")) as client:
            yield Site(home, url, client)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as made:
        # As root chromium has no sandbox of its own; everything here is ours and on loopback.
        opened = made.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def cookies(browser: Any, site: Site) -> Any:
    """What a browser keeps once it was let in."""
    context = browser.new_context()
    context.new_page().goto(site.url)
    state = context.storage_state()
    context.close()
    return state


@dataclass
class Watched:
    """A page, and what it must not do."""

    page: Any
    base: str
    said: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def open(self, view: str) -> Any:
        """Go to a view by its link."""
        self.page.locator(f'nav a[href="#/{view}"]').click()
        self.page.locator("main .view[aria-busy=false]").wait_for()
        return self.page

    def check(self) -> None:
        """Raises AssertionError for a message, an error, or a request beyond this console."""
        assert self.said == []
        assert [one for one in self.requests if not one.startswith((self.base, "data:"))] == []


@pytest.fixture
def opened(browser: Any, site: Site, cookies: Any) -> Iterator[Callable[..., Watched]]:
    """Open the console in a new window, with what a context takes (color_scheme, reduced_motion)."""
    made: list[tuple[Any, Watched]] = []
    base = site.url.partition("/?")[0]

    def open_(*, quiet: bool = True, **options: Any) -> Watched:
        context = browser.new_context(
            storage_state=cookies, viewport={"width": 1440, "height": 900}, **options
        )
        context.set_default_timeout(patient(10) * 1000)
        page = context.new_page()
        watched = Watched(page, base)
        page.on("console", lambda message: watched.said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: watched.said.append(f"error: {error}"))
        page.on("request", lambda request: watched.requests.append(request.url))
        page.on("dialog", lambda dialog: (watched.said.append("dialog"), dialog.dismiss()))
        page.goto(base + "/")
        page.locator(".place").first.wait_for()
        if quiet:
            made.append((context, watched))
        else:
            made.append((context, Watched(page, base)))
        return watched

    yield open_
    for context, watched in made:
        watched.check()
        context.close()


def pytest_report_header() -> list[str]:
    return [f"browser tests: {CHROMIUM or 'no chromium'}, Python {sys.version.split()[0]}"]
