"""Polling: what others have becomes drafts, once; nothing that they say is fetched, and nothing is sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from e2e.nodes import Done, intelshare
from intelshare.interop import write_event, write_report
from interop_world import INDICATOR, REGISTRY, SECRET, bulletin, portion, stix_portion

UUID = "11111111-2222-4333-8444-555555555555"
TAXII = "application/taxii+json;version=2.1"
TABLE = '[[marking]]\ndistribution = "0"\nlabel = "TLP:CLEAR"\n'


class Server(ThreadingHTTPServer):
    """Answers as it is told, and remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.answer: Callable[[str], tuple[int, dict[str, str], Any]] = lambda _: (404, {}, {})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        server.asked.append(self.path)
        status, headers, body = server.answer(self.path)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture(name="server")
def _server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def run(home: Path, url: str, kind: str = "taxii") -> Done:
    source = f'[[source]]\nname = "theirs"\nkind = "{kind}"\nurl = "{url}"\ncategory = "cyber"\n'
    (home / "sources.toml").write_text(source)
    (home / "markings.toml").write_text(TABLE)
    words = ("--sources", home / "sources.toml", "--out", home / "drafts", "--table", home / "markings.toml")
    return intelshare("poll", *words)


def drafts(home: Path) -> list[Path]:
    return sorted((home / "drafts" / "theirs").glob("*/draft.ndjson"))


def pages(*objects: list[Any]) -> Callable[[str], tuple[int, dict[str, str], Any]]:
    """A TAXII server with these pages."""

    def answer(path: str) -> tuple[int, dict[str, str], Any]:
        page = int(path.partition("added_after=")[2] or "0")
        if page >= len(objects):
            return 200, {"Content-Type": TAXII}, {}
        more = {"more": True, "next": "http://127.0.0.1:9/"} if page + 1 < len(objects) else {}
        return 200, {"X-TAXII-Date-Added-Last": str(page + 1)}, {"objects": objects[page], **more}

    return answer


def test_a_server_is_fetched_once_page_by_page_with_definitions_of_earlier_pages(
    server: Server, tmp_path: Path
) -> None:
    report = write_report(bulletin(portion(), stix_portion(INDICATOR)), REGISTRY)
    definitions = [one for one in report if one["type"] == "marking-definition"]
    rest = [one for one in report if one["type"] != "marking-definition"]
    server.answer = pages(definitions, rest[:2], rest[2:])
    assert run(tmp_path, f"{server.url}/c").code == 0
    lines = [json.loads(path.read_text()) for path in drafts(tmp_path)]
    assert [line["label"] for line in lines] == [SECRET, SECRET]
    assert [line["to"] for line in lines] == [[], []]
    asked = len(server.asked)
    assert run(tmp_path, f"{server.url}/c").code == 0
    assert len(server.asked) == asked + 1
    assert len(drafts(tmp_path)) == 2


def test_a_feed_is_fetched_event_by_event_and_again_only_what_has_changed(
    server: Server, tmp_path: Path
) -> None:
    event = write_event(bulletin(portion()), REGISTRY)
    stamps = ["1"]

    def answer(path: str) -> tuple[int, dict[str, str], Any]:
        manifest = {UUID: {"timestamp": stamps[0]}, "../../etc/passwd": {"timestamp": "1"}}
        return 200, {}, manifest if path.endswith("manifest.json") else event

    server.answer = answer
    for expected in (1, 1):
        assert run(tmp_path, server.url, "misp").code == 0
        assert len(drafts(tmp_path)) == expected
    stamps[0] = "2"
    run(tmp_path, server.url, "misp")
    assert len(drafts(tmp_path)) == 2
    assert {path for path in server.asked if "manifest" not in path} == {f"/{UUID}.json"}


def test_what_is_refused_is_named_and_the_rest_goes_on(server: Server, tmp_path: Path) -> None:
    green = {**INDICATOR, "object_marking_refs": ["marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da"]}
    server.answer = pages([INDICATOR], [green])
    done = run(tmp_path, server.url)
    assert done.code == 5
    assert "MARKING_UNMAPPED" in done.err
    assert len(drafts(tmp_path)) == 1
    assert run(tmp_path, server.url).code == 0


def test_row_73_no_redirect_is_followed_and_no_address_of_an_answer_is_asked(
    server: Server, tmp_path: Path
) -> None:
    with Server() as other:
        server.answer = lambda _: (302, {"Location": f"{other.url}/x"}, {})
        done = run(tmp_path, server.url)
        assert done.code == 6
        assert "POLL_FAILED" in done.err
        lure = {**INDICATOR, "external_references": [{"source_name": "x", "url": f"{other.url}/y"}]}
        lure["object_marking_refs"] = ["marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da"]
        server.answer = pages([lure])
        assert run(tmp_path, server.url).code == 0
        assert other.asked == []


@pytest.mark.parametrize("body", [b"[", b"[]", b"\xff", b"[" * 100_000, b" " * (17 << 20)])
def test_an_answer_that_is_none_ends_the_run_with_a_code(server: Server, tmp_path: Path, body: bytes) -> None:
    server.answer = lambda _: (200, {}, body)
    done = run(tmp_path, server.url)
    assert done.code == 6, done
    assert "POLL_FAILED" in done.err


@pytest.mark.parametrize(
    "url", ["http://example.org/", "file:///etc/passwd", "https://", "https://u@h/", "https://h/?q"]
)
def test_an_address_that_is_no_https_is_refused(tmp_path: Path, url: str) -> None:
    done = run(tmp_path, url)
    assert "FIELD_RANGE" in done.err
