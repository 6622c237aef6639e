"""Row 74: who is not on this machine, was given no address, or comes from another site, is shown nothing."""

from __future__ import annotations

import pytest

from console_world import HOST, PORT, Browser
from intelshare.console.guard import HEADERS, MAX_SESSIONS, MAX_TOKENS, SESSION_LIFE, TOKEN_LIFE, loopback
from intelshare.errors import ConfigError

PATHS = ("/", "/app.js", "/events", "/data/members", "/data/nothing", "/nothing")


@pytest.mark.parametrize(
    "host", [".".join("0000"), "::", "10.0.0.1", "192.168.1.2", "fra.example", "", "127.0.0.1.x"]
)
def test_the_console_listens_on_loopback_and_nowhere_else(host: str) -> None:
    with pytest.raises(ConfigError) as raised:
        loopback(host)
    assert raised.value.code == "ADDRESS_FORBIDDEN"
    assert [loopback(good) for good in ("127.0.0.1", "localhost", "127.3.2.1", "::1")] == [
        "127.0.0.1", "127.0.0.1", "127.3.2.1", "::1",
    ]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_row_74_without_a_cookie_nothing_is_shown(path: str) -> None:
    browser = Browser()
    said = browser.get(path)
    assert said.status == 401
    assert b"FRA" not in said.data
    browser.cookie = f"intelshare-console-{PORT}=x"
    assert browser.get(path).status == 401
    assert browser.desk.channels["a"].calls == []
    if path != "/":
        assert said.json["code"] == "CONSOLE_TOKEN"


def test_row_74_a_token_opens_the_console_once_and_is_not_in_the_address_after_it() -> None:
    browser = Browser()
    address = browser.guard.address().removeprefix(browser.guard.url)
    said = browser.get(address)
    assert (said.status, said.headers["Location"]) == (303, "/")
    cookie = said.headers["Set-Cookie"]
    assert cookie.startswith(f"intelshare-console-{PORT}=")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    again = browser.get(address)
    assert again.status == 401
    assert b"each opens the console once" in again.data
    assert address.partition("=")[2] not in cookie


def test_row_74_a_wrong_token_and_one_that_is_too_old_open_nothing() -> None:
    now = [0.0]
    browser = Browser(clock=lambda: now[0])
    assert browser.get("/?token=" + "x" * 43).status == 401
    assert browser.get("/?token=").status == 401
    old = browser.guard.address().removeprefix(browser.guard.url)
    now[0] += TOKEN_LIFE + 1
    assert browser.get(old).status == 401
    assert browser.enter().status == 303
    assert browser.get("/").status == 200
    now[0] += SESSION_LIFE + 1
    assert browser.get("/").status == 401


def test_tokens_and_sessions_are_bounded_and_the_newest_hold() -> None:
    browser = Browser()
    first = browser.guard.address().removeprefix(browser.guard.url)
    for _ in range(MAX_TOKENS):
        last = browser.guard.address().removeprefix(browser.guard.url)
    assert browser.get(first).status == 401
    assert browser.get(last).status == 303
    browser.enter()
    before = browser.cookie
    for _ in range(MAX_SESSIONS):
        browser.enter()
    assert browser.get("/").status == 200
    browser.cookie = before
    assert browser.get("/").status == 401


@pytest.mark.parametrize(
    "host",
    ["evil.example", f"evil.example:{PORT}", "127.0.0.1", "127.0.0.1:1", "", f"127.0.0.1:{PORT}.x", "[::1]"],
)
def test_row_74_another_sites_host_is_refused_also_with_the_cookie(host: str) -> None:
    browser = Browser()
    browser.enter()
    for path in PATHS:
        said = browser.get(path, Host=host)
        assert (said.status, said.json["code"]) == (403, "CONSOLE_HOST")
    token = browser.guard.address().removeprefix(browser.guard.url)
    assert browser.get(token, Host=host).status == 403
    assert browser.get(token).status == 303


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": f"https://{HOST}"},
        {"Origin": f"http://localhost:{PORT}"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_row_74_a_request_or_event_source_of_another_site_is_refused_also_with_the_cookie(
    headers: dict[str, str],
) -> None:
    browser = Browser()
    browser.enter()
    for path in PATHS:
        said = browser.get(path, **headers)
        assert (said.status, said.json["code"]) == (403, "CONSOLE_ORIGIN")
    assert browser.get("/", Origin=f"http://{HOST}", Sec_Fetch_Site="same-origin").status == 200


def test_row_75_every_answer_has_the_same_guarding_headers() -> None:
    browser = Browser()
    answers = [browser.get("/"), browser.get("/", Host="x"), browser.get("/?token=x"), browser.enter()]
    answers += [browser.get(path) for path in PATHS if path != "/events"]
    answers += [browser.get("/", method="POST"), browser.get("/data/members?x=1")]
    browser.desk.down = True
    answers.append(browser.get("/data/members?"))
    assert {answer.status for answer in answers} >= {200, 303, 400, 401, 403, 404, 405}
    for answer in answers:
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    policy = HEADERS["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "frame-ancestors 'none'" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy.replace("https-", "")
    assert HEADERS["Referrer-Policy"] == "no-referrer"
