"""The console is only read, serves a fixed table of files, and answers are bounded."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from console_world import HOSTILE, Browser, Desk, member
from intelshare.console import documents
from intelshare.console.guard import MAX_QUERY
from intelshare.console.pages import SERVED, read_pages
from intelshare.text import visible
from intelshare.wire import MAX_LISTED

STATIC = Path(documents.__file__).parents[1] / "static"
OWN = sorted(path for path in STATIC.glob("*.*") if path.suffix in (".js", ".html", ".css"))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE"])
def test_every_method_but_get_is_refused(method: str) -> None:
    browser = Browser()
    browser.enter()
    for path in ("/", "/data/members", "/events", "/app.js"):
        said = browser.get(path, method=method)
        assert (said.status, said.headers["Allow"]) == (405, "GET")
    assert browser.desk.channels["a"].calls == []


@pytest.mark.parametrize(
    "path",
    [
        "/../pages.py", "/static/../web.py", "/vendor/../app.js", "/%2e%2e/web.py", "/vendor/VENDORED.toml",
        "//etc/passwd", "/etc/passwd", "/vendor/", "/.", "/app.js/", "/data/../app.js", "/data/",
        "/data/now/x",        "/APP.JS", "/app.js\x00", "/web.py",
    ],
)  # fmt: skip
def test_no_path_but_those_of_the_table_is_served(path: str) -> None:
    browser = Browser()
    browser.enter()
    assert browser.get(path).status == 404


def test_every_file_of_the_table_is_served_with_its_type() -> None:
    browser = Browser()
    browser.enter()
    for path, name in SERVED.items():
        said = browser.get(path)
        assert said.status == 200
        assert said.data == STATIC.joinpath(name).read_bytes()
        assert said.headers["Content-Type"] == read_pages()[path].media
    assert read_pages()["/app.js"].media == "text/javascript; charset=utf-8"


def test_every_module_that_is_imported_is_in_the_table_and_every_module_is_imported() -> None:
    imported = {"/app.js"}
    for path in SERVED:
        if path.endswith(".js"):
            text = STATIC.joinpath(SERVED[path]).read_text("utf-8")
            folder = path.rpartition("/")[0]
            for name in re.findall(r'\bfrom\s*"\./([^"]+)"', text):
                imported.add(f"{folder}/{name}")
            assert not re.findall(r'\bfrom\s*"(?!\./)', text), path
    assert imported == {path for path in SERVED if path.endswith(".js")}


def test_row_75_no_module_of_ours_makes_html_of_text_or_names_another_origin() -> None:
    for path in OWN:
        text = path.read_text("utf-8")
        for word in (
            "innerHTML",
            "outerHTML",
            "insertAdjacent",
            "document.write",
            "eval(",
            "Function(",
            "srcdoc",
        ):
            assert word not in text, (path.name, word)
        assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", text), path.name
        assert not re.findall(r"\son[a-z]+=\"|javascript:|<style|style=\"", text), path.name


def test_a_query_is_bounded_and_has_no_word_that_the_view_does_not_know() -> None:
    browser = Browser()
    browser.enter()
    assert browser.get("/data/members?x=" + "a" * MAX_QUERY).status == 413
    assert browser.get("/data/members?x=1").status == 400
    for query in ("hours=-1", "hours=1e3", "hours=999999999999", f"limit={MAX_LISTED + 1}", "hours=²"):
        said = browser.get(f"/data/withheld?{query}")
        assert (said.status, said.json["code"]) == (400, "INPUT_INVALID"), query
    assert browser.get("/data/treaties?as_of=yesterday").status == 400
    assert browser.get("/data/bulletin?id=zz").status == 404


def test_a_document_has_a_bound_and_few_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    browser = Browser()
    browser.enter()
    for hours in range(1, documents.MAX_KEPT + 10):
        assert browser.get(f"/data/withheld?hours={hours}").status == 200
    monkeypatch.setattr(documents, "MAX_DOCUMENT", 10)
    assert browser.get("/data/bulletins").status == 413


def test_pages_that_ask_for_the_same_cost_the_node_one_answer() -> None:
    browser = Browser()
    browser.enter()
    for _ in range(5):
        assert browser.get("/data/members").status == 200
    assert browser.desk.channels["a"].calls.count("ListMembers") == 1


def test_what_the_role_does_not_show_is_refused_by_name_and_a_node_that_is_down_is_said() -> None:
    browser = Browser(Desk(member(), ("o",)))
    browser.enter()
    said = browser.get("/data/bulletins")
    assert (said.status, said.json["code"]) == (403, "NOT_AUTHORISED")
    browser.desk.down = True
    said = browser.get("/data/members")
    assert (said.status, said.json["code"], said.json["hint"]) == (503, "NODE_UNREACHABLE", "start it")
    browser.desk.down = False
    assert browser.get("/data/members").status == 200


def test_row_75_hostile_text_is_json_text_and_turns_nothing_round() -> None:
    browser = Browser()
    browser.enter()
    said = browser.get("/data/bulletins")
    assert said.headers["Content-Type"] == "application/json"
    assert "\u202e" not in said.data.decode()
    assert visible(HOSTILE) in [one["title"] for one in said.json["entries"]]
