"""The console as a person uses it: what shows, what never does, by keyboard, in the dark, without motion."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from browser.conftest import CHROMIUM, Site, Watched, console, draft
from console_world import HOSTILE
from e2e.nodes import found, running
from intelshare.patience import patient
from intelshare.text import visible

REPOSITORY = Path(__file__).parents[2]
IMAGES = REPOSITORY / "docs" / "images"
AXE = REPOSITORY / "build" / "browser" / "package" / "axe.min.js"
AXE_SHA256 = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
VIEWS = ("now", "flows", "withheld", "treaties", "bulletins", "audit", "members")
MANY = int(os.environ.get("CONSOLE_BULLETINS", "1000"))
MOST_NODES = 8000
"""Elements of the page of any view."""

Open = Callable[..., Watched]


@pytest.mark.skipif("CONSOLE_IMAGES" not in os.environ, reason="only make console-test writes docs/images")
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium")
def test_the_pictures_of_the_documentation(site: Site, opened: Open) -> None:
    window = opened(reduced_motion="reduce")
    for title, to, label in STORY:
        site.client.submit(draft(title, "text", to=to, label=label))
        window.page.locator(".ticker li", has_text=title).first.wait_for()
    window.page.locator(".arc").first.wait_for()
    shot(window, "console-now")
    window.open("withheld").locator(".heat button").first.click()
    window.page.locator("section[aria-labelledby=cases] .link-button").first.click()
    window.page.locator(".case .reason").first.wait_for()
    shot(window, "console-withheld")
    window.open("audit").get_by_role("button", name="Change one byte").click()
    window.page.locator(".verdict.broken").wait_for()
    shot(window, "console-audit")
    dark = opened(reduced_motion="reduce", color_scheme="dark")
    dark.open("treaties").locator(".lane").first.wait_for()
    shot(dark, "console-treaties")


STORY = (
    (
        "Phishing kit against grid operators",
        ("USA", "KEN"),
        "//FRA DIFFUSION RESTREINTE//REL TO FRA, USA, KEN",
    ),
    ("Who operates the kit", ("USA", "KEN"), "//FRA SECRET//REL TO FRA, USA, KEN"),
    ("Build server seized", ("USA", "KEN"), "//FRA SECRET//REL TO FRA, USA"),
    ("Domain has changed hands", ("KEN", "USA"), "//FRA DIFFUSION RESTREINTE//REL TO FRA, USA, KEN"),
)


def shot(window: Watched, name: str) -> None:
    """A picture of what is in view, as small as the promise."""
    path = IMAGES / f"{name}.png"
    window.page.evaluate("scrollTo(0, 0)")
    window.page.screenshot(path=path)
    assert path.stat().st_size < 300 * 1024


def test_an_event_shows_within_two_seconds_in_every_window(site: Site, opened: Open) -> None:
    windows = [opened(), opened()]
    began = time.monotonic()
    site.send("Two seconds")
    for window in windows:
        shown = window.page.locator(".ticker li", has_text="accepted “Two seconds”").first
        shown.wait_for(timeout=patient(2) * 1000)
    took = time.monotonic() - began
    print(f"\nan event from submission to the receipt on two pages: {took * 1000:.0f} ms")
    assert took < patient(2)
    assert windows[0].page.locator(".arc.accepted").count() >= 1


def test_every_view_shows_something_true_and_says_nothing_into_the_browsers_console(
    site: Site, opened: Open
) -> None:
    site.send("Half of it", to=("USA", "KEN"), label="R3")
    window = opened()
    expected = {
        "now": ".ticker, .map", "flows": ".ribbons", "withheld": ".heat button", "treaties": ".lane",
        "bulletins": "tbody tr", "audit": ".verdict", "members": "tbody tr",
    }  # fmt: skip
    for view in VIEWS:
        page = window.open(view)
        page.locator(expected[view]).first.wait_for()
        assert page.title().endswith("FRA, intelshare console")


def test_rows_74_75_hostile_text_of_a_bulletin_stays_text(site: Site, opened: Open) -> None:
    bulletin = site.send(HOSTILE, HOSTILE, to=("USA", "KEN"), label="R3").hex()
    window = opened()
    page = window.open("bulletins")
    # What a person sees is what was written, but for the letter that turns the line round.
    row = page.locator("tbody tr", has=page.locator(f'a[href="#/bulletins/{bulletin}"]'))
    assert row.locator("a").first.text_content() == visible(HOSTILE)
    row.locator("a").first.click()
    page.locator("#one").wait_for()
    assert page.locator("#one").text_content() == visible(HOSTILE)
    window.open("withheld")
    page.locator(".heat button").first.click()
    page.locator("section[aria-labelledby=cases] .link-button").first.click()
    page.locator(".case .reason").first.wait_for()
    window.open("now")
    for element in ("img", "script:not([src])", "iframe", "object", "svg script", "a[href^=javascript]"):
        assert page.locator(f"#app {element}").count() == 0


def test_row_74_a_token_opens_once_and_is_told_to_nobody(site: Site, browser: Any, opened: Open) -> None:
    opened()
    context = browser.new_context()
    page = context.new_page()
    said = page.goto(site.url)
    assert said.status == 401
    assert "opens the console once" in page.locator("body").inner_text()
    referers: list[Any] = []
    page.on("request", lambda request: referers.append(request.headers.get("referer")))
    page.goto(site.url.partition("/?")[0] + "/")
    assert referers == [None] or not any(referers)
    context.close()


def test_the_browser_computes_the_root_and_a_changed_byte_turns_red(opened: Open) -> None:
    window = opened()
    page = window.open("audit")
    page.locator(".verdict:not(.broken)").wait_for()
    size = int(page.locator("input[type=number]").get_attribute("max"))
    for index in {0, 1, size // 2, size - 1, size}:
        page.locator("input[type=number]").fill(str(index))
        page.locator("button[type=submit]").click()
        page.locator("#entry", has_text=f"Entry {index}:").wait_for()
        page.locator(".verdict:not(.broken)").wait_for()
        page.get_by_role("button", name="Change one byte").click()
        broken = page.locator(".verdict.broken")
        broken.wait_for()
        assert "another root" in broken.inner_text()
        assert page.locator(".tree g.broken").count() >= 1
        assert page.locator(".tree g.on").count() == 0
        page.get_by_role("button", name="As it was written").click()
        page.locator(".verdict:not(.broken)").wait_for()


def test_the_matrix_is_of_the_day_that_is_chosen(opened: Open) -> None:
    page = opened().open("treaties")
    matrix = page.locator(".matrix tbody")
    matrix.get_by_text("DIFFUSION RESTREINTE").first.wait_for()
    page.locator("input[type=date]").fill("1960-01-01")
    matrix.locator("td", has_text="nothing").first.wait_for()
    page.locator(".matrix caption", has_text="1960-01-01").wait_for()
    assert matrix.get_by_text("DIFFUSION RESTREINTE").count() == 0
    page.locator(".lane").first.wait_for()


def test_everything_is_reached_by_keyboard(site: Site, opened: Open) -> None:
    site.send("By keyboard", to=("USA", "KEN"), label="R3")
    page = opened().page
    focused = page.locator(":focus")
    page.keyboard.press("Tab")
    assert focused.inner_text() == "Go to the content"
    page.keyboard.press("Enter")
    assert focused.get_attribute("id") == "title"
    for view in VIEWS[1:]:
        link = page.locator(f'nav a[href="#/{view}"]')
        link.focus()
        page.keyboard.press("Enter")
        page.locator(f'nav a[href="#/{view}"][aria-current=page]').wait_for()
        page.locator("#title:focus").wait_for()
        assert focused.inner_text().lower() == view
    page.locator('nav a[href="#/withheld"]').focus()
    page.keyboard.press("Enter")
    page.locator(".heat button").first.wait_for()
    for _ in range(30):
        page.keyboard.press("Tab")
        if focused.get_attribute("aria-pressed") is not None:
            break
    assert "show the cases" in str(focused.get_attribute("aria-label"))
    page.keyboard.press("Enter")
    page.locator("section[aria-labelledby=cases] tbody tr").first.wait_for()


def test_nothing_moves_where_no_motion_is_wanted_and_the_dark_is_dark(site: Site, opened: Open) -> None:
    still = opened(reduced_motion="reduce", color_scheme="dark")
    site.send("Without motion")
    still.page.locator(".arc").first.wait_for()
    running_ = "document.getAnimations().filter(one => one.playState === 'running').length"
    assert still.page.evaluate(running_) == 0
    ground = still.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert sum(int(part) for part in ground.removeprefix("rgb(").removesuffix(")").split(",")) < 150
    moving = opened()
    site.send("With motion")
    moving.page.locator(".arc").first.wait_for()
    assert moving.page.evaluate(running_) > 0


def test_it_prints_without_the_frame(opened: Open) -> None:
    page = opened().page
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()
    assert page.locator("h1").is_visible()


@pytest.mark.skipif(not AXE.is_file(), reason="no axe-core: make console-test fetches it")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(site: Site, opened: Open, scheme: str) -> None:
    source = AXE.read_bytes()
    assert hashlib.sha256(source).hexdigest() == AXE_SHA256
    site.send("For axe", to=("USA", "KEN"), label="R3")
    # Without motion: what fades has no contrast for a moment.
    window = opened(color_scheme=scheme, reduced_motion="reduce")
    found_: list[str] = []
    for view in VIEWS:
        page = window.open(view)
        if view == "withheld":
            page.locator(".heat button").first.click()
            page.locator("section[aria-labelledby=cases] .link-button").first.click()
            page.locator(".case .reason").first.wait_for()
        if view == "audit":
            page.locator(".verdict").wait_for()
        for summary in page.locator("details summary").all():
            summary.click()
        page.evaluate(source.decode("utf-8") + "\n0")
        result = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        found_ += [
            f"{view}: {one['id']} ({one['impact']}): {one['nodes'][0]['html'][:200]}"
            for one in result["violations"]
            if one["impact"] in ("serious", "critical")
        ]
    assert found_ == []


def test_a_node_that_is_down_is_shown_as_such_and_comes_back(tmp_path: Path, browser: Any) -> None:
    fra = found(tmp_path / "fra", "FRA")
    with console(fra) as url:
        context = browser.new_context()
        page = context.new_page()
        page.set_default_timeout(patient(20) * 1000)
        page.goto(url)
        page.locator(".top .badge", has_text="node does not answer").wait_for()
        with running(fra):
            page.locator(".top .badge", has_text="SERVING").wait_for()
            page.locator('nav a[href="#/members"]').click()
            page.locator("tbody tr").first.wait_for()
        page.locator(".top .badge", has_text="node does not answer").wait_for()
        with running(fra):
            page.locator(".top .badge", has_text="SERVING").wait_for()
    # The console has ended with its block: the page says that too.
    page.locator(".top .badge", has_text="console ended").wait_for()
    context.close()


FRAMES = """async (seconds) => {
  const gaps = []; let before = performance.now(); const end = before + seconds * 1000;
  while (before < end) {
    await new Promise(requestAnimationFrame);
    const now = performance.now(); gaps.push(now - before); before = now;
  }
  gaps.sort((a, b) => a - b);
  const at = (share) => gaps[Math.floor((gaps.length - 1) * share)];
  return {median: at(0.5), p95: at(0.95), worst: at(1)};
}"""


@pytest.mark.timeout(1200)
def test_many_bulletins_stay_fluid(site: Site, opened: Open) -> None:
    """``CONSOLE_BULLETINS``: how many; each has one portion that KEN does not get."""
    window = opened()
    requests = (
        draft(f"Bulletin {n}", "text", to=("USA", "KEN"), label="//FRA SECRET//REL TO FRA, USA, KEN")
        for n in range(MANY)
    )
    sending = site.client.submit_many(requests)
    began, frames = time.monotonic(), []
    for done, _ in enumerate(sending, 1):
        if done % max(1, MANY // 4) == 0:
            frames.append(window.page.evaluate(FRAMES, 1))
    said = ", ".join(f"{one['median']:.0f}/{one['p95']:.0f}/{one['worst']:.0f}" for one in frames)
    print(f"\n{MANY} bulletins in {time.monotonic() - began:.0f} s; frames while they come, ms {said}")
    for view in VIEWS:
        began = time.monotonic()
        page = window.open(view)
        page.locator("tbody tr:visible, .verdict, .ribbons").first.wait_for()
        took, frames_ = time.monotonic() - began, page.evaluate(FRAMES, 1)
        nodes = page.evaluate("document.querySelectorAll('*').length")
        print(
            f"{view:10} first shown {took * 1000:5.0f} ms, {nodes:5} elements, frames ms median "
            f"{frames_['median']:.0f} p95 {frames_['p95']:.0f} worst {frames_['worst']:.0f}"
        )
        assert nodes < MOST_NODES
        assert frames_["median"] < patient(50)
        assert took < patient(10)
    page = window.open("bulletins")
    for _ in range(3):
        more = page.get_by_role("button", name="Show more")
        if more.count():
            more.click()
            page.locator("main .view[aria-busy=false]").wait_for()
    assert page.evaluate("document.querySelectorAll('*').length") < 3 * MOST_NODES
