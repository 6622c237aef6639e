"""A gateway beside a real node: TAXII 2.1 as it is written and as clients use it, and who sees what."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from e2e.nodes import found, intelshare, introduce, ok, running, wait_for_links, wait_until
from gateway_load import check, load
from gateway_world import OPENCTI, RIGHTS, TOKENS, Gateway, basic, gateway, make_gateway_user, settings
from interop_world import INDICATOR, RESTRICTED, SECRET, complaints

TAXII = "application/taxii+json;version=2.1"
CANARY = "CANARYHERON"
TO_FRA = "SECRET//REL TO USA, FRA"
OPEN = "//FRA NON PROTEGE//REL TO FRA, USA"


@dataclass(frozen=True)
class Site:
    """FRA sends, USA has the gateway."""

    home: Path
    gate: Gateway

    def send(
        self, text: str, *words: str, label: str = SECRET, category: str = "cyber", wait: bool = True
    ) -> str:
        given = ("--to", "USA", "--category", category, "--label", label, "--json")
        given += ("--wait", "accepted") if wait else ()
        profile = self.home / "fra" / "users" / "ana"
        done = intelshare("send", "-", *given, *words, "--as", profile, stdin=text)
        assert done.code == 0, done
        return str(done.json["bulletin"])

    def shown(self, name: str, consumer: str = "high") -> Any:
        """A report, once it is there."""
        return wait_until(lambda: self.gate.reports(consumer).get(name), f"report {name} at {consumer}")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("gateway")
    fra, usa = found(home / "fra", "FRA"), found(home / "usa", "USA")
    make_gateway_user(usa)
    with running(fra), running(usa):
        introduce(fra, usa)
        wait_for_links(fra)
        with gateway(usa, home) as gate:
            one = Site(home, gate)
            one.send(CANARY, "--title", "First", "--title-label", RESTRICTED, "--grade", "B2")
            one.send("open enough", "--title", "Open", label=OPEN)
            one.shown("First")
            one.shown("Open")
            yield one


def test_taxii2_client_finds_and_reads_everything(site: Site) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from taxii2client.v21 import Server, as_pages

        server = Server(f"{site.gate.url}/taxii2/", user="high", password=TOKENS["high"])
        (root,) = server.api_roots
        (everything,) = [one for one in root.collections if one.title == "Everything"]
        pages = list(as_pages(everything.get_objects, per_request=2))
        objects = [one for page in pages for one in page["objects"]]
        manifest = everything.get_manifest()
        report = next(one for one in objects if one.get("name") == "First")
        (again,) = everything.get_object(report["id"])["objects"]
        versions = (
            everything.object_versions(report["id"]) if hasattr(everything, "object_versions") else None
        )
    assert len(pages) > 2
    assert complaints(objects) == []
    assert [one["id"] for one in manifest["objects"]] == [one["id"] for one in objects]
    dates = [one["date_added"] for one in manifest["objects"]]
    assert dates == sorted(set(dates))
    assert again == report
    assert versions in (None, {"versions": [report["modified"]]})
    assert report["description"] == CANARY


def test_a_loop_like_openctis_takes_everything_once_by_next_and_by_added_after(site: Site) -> None:
    path, after, seen = f"{site.gate.collection()}objects/", "", list[str]()
    while True:
        query = f"?limit=3{f'&added_after={after}' if after else ''}"
        said = site.gate.ask(path + query, Accept=OPENCTI, Authorization=basic("high"))
        assert said.headers["content-type"] == TAXII
        seen += [one["id"] for one in said.json.get("objects", [])]
        if not said.json.get("more"):
            break
        after = said.headers["X-TAXII-Date-Added-Last"]
    assert seen == [one["id"] for one in site.gate.objects()]
    last = site.gate.ask(f"{path}?limit=1").json
    both = site.gate.ask(f"{path}?limit=500&next={last['next']}&added_after=1990-01-01T00:00:00.000000Z").json
    assert [one["id"] for one in both["objects"]] == seen[1:]
    end = site.gate.ask(path).headers["X-TAXII-Date-Added-Last"]
    assert site.gate.ask(f"{path}?added_after={end}").json == {}


def test_filters_choose(site: Site) -> None:
    everything = site.gate.objects()
    report = next(one for one in everything if one.get("name") == "First")
    for query, expected in (
        ("?match[type]=report", [one for one in everything if one["type"] == "report"]),
        (f"?match[id]={report['id']}", [report]),
        ("?match[spec_version]=2.0", []),
        (
            "?match[version]=all&match[type]=identity",
            [one for one in everything if one["type"] == "identity"],
        ),
        (f"?match[version]={report['modified']}&match[type]=report", [report]),
    ):
        found = [
            one
            for one in site.gate.objects(query=query)
            if "report" not in query or one["id"] == report["id"]
        ]
        assert found == [one for one in expected if "report" not in query or one["id"] == report["id"]], query


def test_collections_are_by_category_and_by_originator(site: Site) -> None:
    titles = [one["title"] for one in site.gate.ask("/intelshare/collections/").json["collections"]]
    assert titles == ["Everything", "Category cyber", "Originator FRA"]
    assert "FRA" not in str(site.gate.ask("/intelshare/collections/", "other").json)
    for title in titles[1:]:
        path = site.gate.collection(title=title)
        assert {
            one["name"] for one in site.gate.ask(f"{path}objects/?match[type]=report").json["objects"]
        } >= {"First"}
        about = site.gate.ask(path).json
        assert (about["can_read"], about["can_write"], about["title"]) == (True, False, title)


def test_a_consumer_sees_what_its_clearance_and_categories_cover_and_nothing_else(site: Site) -> None:
    assert {"First", "Open"} <= set(site.gate.reports("high"))
    low = json.dumps(site.gate.objects("low"))
    assert CANARY not in low
    assert "open enough" in low
    # Its own view of the bulletin: the title alone, and neither mark nor grade of what it may not see.
    assert "//FRA SECRET" not in low
    assert "First" in site.gate.reports("low")
    other = site.gate.objects("other")
    assert [one for one in other if one["type"] == "report" and one["name"] != "Open"] == []
    secret = site.gate.reports()["First"]
    theirs = site.gate.collection("other")
    assert site.gate.ask(f"{theirs}objects/{secret['id']}/", "other").status == 404
    assert site.gate.ask(f"{site.gate.collection(title='Category cyber')}objects/", "other").status in (
        200,
        404,
    )


@pytest.mark.parametrize(
    ("path", "consumer", "method", "headers", "status"),
    [
        ("/taxii2/", None, "GET", {}, 401),
        ("/taxii2/", "wrong", "GET", {}, 401),
        ("/taxii2/", None, "GET", {"Authorization": "Basic !!!"}, 401),
        ("/taxii2/", None, "GET", {"Authorization": basic("high").replace("Basic", "Digest")}, 401),
        ("/taxii2/", "high", "GET", {"Accept": "text/html"}, 406),
        ("/taxii2/", "high", "GET", {"Accept": "application/taxii+json;version=2.0"}, 406),
        ("/taxii2/", "high", "GET", {"Accept": 'application/taxii+json; version="2.1"'}, 200),
        ("/taxii2/", "high", "GET", {"Accept": "*/*", "Content_Type": "application/json"}, 200),
        ("/taxii2/", "high", "GET", {"Range": "items 0-9"}, 416),
        ("/taxii2/", "high", "GET", {"Range": "bytes=0-9"}, 200),
        ("/taxii2", "high", "GET", {}, 200),
        ("/taxii2/", "high", "HEAD", {}, 200),
        ("/taxii2/", "high", "POST", {}, 405),
        ("/intelshare", "high", "GET", {}, 200),
        ("/intelshare/collections", "high", "GET", {}, 200),
        ("/intelshare/collections/00/", "high", "GET", {}, 404),
        ("/intelshare/collections/00/objects/", "high", "GET", {}, 404),
        ("/intelshare/status/1/", "high", "GET", {}, 404),
        ("/nothing/", "high", "GET", {}, 404),
        ("{all}objects", "high", "GET", {}, 200),
        ("{all}manifest", "high", "GET", {}, 200),
        ("{all}objects/report--1/", "high", "GET", {}, 404),
        ("{all}objects/report--1/versions/", "high", "GET", {}, 404),
        ("{all}objects/?limit=0", "high", "GET", {}, 400),
        ("{all}objects/?limit=x", "high", "GET", {}, 400),
        ("{all}objects/?next=x", "high", "GET", {}, 400),
        ("{all}objects/?added_after=yesterday", "high", "GET", {}, 400),
        ("{all}objects/?match[version]=yesterday", "high", "GET", {}, 400),
        ("{all}objects/?limit=1&limit=2", "high", "GET", {}, 400),
        ("{all}objects/?x=" + "y" * 5000, "high", "GET", {}, 400),
        ("{all}objects/", "high", "POST", {"Content_Type": TAXII}, 403),
        ("{all}objects/", "high", "POST", {"Content_Type": "application/json"}, 415),
        ("{all}objects/report--1/", "high", "DELETE", {}, 403),
    ],
)  # fmt: skip
def test_every_answer_has_its_status_and_the_media_type_of_taxii(
    site: Site, path: str, consumer: str | None, method: str, headers: dict[str, str], status: int
) -> None:
    said = site.gate.ask(path.replace("{all}", site.gate.collection()), consumer, method, **headers)
    assert said.status == status
    assert said.headers["content-type"] == TAXII
    if status >= 400:
        assert said.json["http_status"] == str(status)
        assert said.json["title"]
    if status == 401:
        assert said.headers["WWW-Authenticate"]


def test_misp_fetches_the_feed_that_a_consumer_may_have(site: Site) -> None:
    manifest = site.gate.ask("/misp/manifest.json", Accept="application/json")
    assert manifest.headers["content-type"] == "application/json"
    infos = {one["info"]: uuid for uuid, one in manifest.json.items()}
    event = site.gate.ask(f"/misp/{infos['First']}.json", Authorization=basic("high")).json["Event"]
    assert CANARY in event["EventReport"][0]["content"]
    assert f'intelshare:label="{SECRET}"' in [tag["name"] for tag in event["Tag"]]
    assert site.gate.ask("/misp/hashes.csv").headers["content-type"].startswith("text/csv")
    low = site.gate.ask("/misp/manifest.json", "low").data.decode()
    assert "//FRA SECRET" not in low
    assert CANARY not in site.gate.ask(f"/misp/{infos['First']}.json", "low").data.decode()
    assert site.gate.ask(f"/misp/{infos['First']}.json", "other").status == 404
    for path in ("/misp/", "/misp/x.json", "/misp/manifest.json"):
        assert site.gate.ask(path, None).status == 401


def test_the_log_says_once_what_left_to_whom(site: Site, tmp_path: Path) -> None:
    usa = site.home / "usa"

    def entries() -> int:
        return int(ok("node", "status", "--folder", usa, "--json").json["log_size"])

    def kind(index: int) -> str:
        file = tmp_path / f"{index}.json"
        ok("audit", "prove", str(index), "--folder", usa, "--out", file)
        members = [word for code in ("fra", "usa") for word in ("--member", site.home / f"{code}.member")]
        said = ok("verify", file, *members, "--json").json
        return str(said["entries"][0]["type"])

    for consumer in RIGHTS:
        site.gate.objects(consumer)
    before = entries()
    for _ in range(5):
        for consumer in RIGHTS:
            site.gate.objects(consumer)
            site.gate.ask(f"{site.gate.collection(consumer)}manifest/", consumer)
    assert "EXPORT" in map(kind, range(before))
    assert "EXPORT" not in map(kind, range(before, entries()))


def test_stix_inside_a_portion_arrives_with_the_portions_marking(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "kit.stix.json"
    file.write_text(json.dumps({"type": "bundle", "id": "bundle--1", "objects": [INDICATOR]}))
    profile = site.home / "fra" / "users" / "ana"
    words = (
        "--to",
        "USA",
        "--category",
        "terrorism",
        "--label",
        RESTRICTED,
        "--title",
        "Kit",
        "--wait",
        "accepted",
    )
    ok("send", file, *words, "--as", profile)
    report = site.shown("Kit")
    (kit,) = [one for one in site.gate.objects() if one["id"] == INDICATOR["id"]]
    assert kit["id"] in report["object_refs"]
    assert kit["object_marking_refs"] == report["object_marking_refs"]
    assert "Kit" in site.gate.reports("other")


def test_a_recall_takes_it_back_and_says_so(site: Site) -> None:
    bulletin = site.send("WITHDRAWNCANARY", "--title", "Mistake")
    report = site.shown("Mistake")
    ok("recall", bulletin, "--reason", "wrong", "--yes", "--as", site.home / "fra" / "users" / "ana")
    wait_until(lambda: "Mistake" not in site.gate.reports(), "the recall to be at the gateway")
    everything = site.gate.objects()
    (gone,) = [one for one in everything if one["id"] == report["id"]]
    assert gone["revoked"] is True
    assert gone["modified"] > report["modified"]
    assert "WITHDRAWNCANARY" not in json.dumps(everything)
    assert complaints(everything) == []


def test_a_gateway_that_was_killed_goes_on_with_the_same_dates_and_the_same_objects(
    site: Site, tmp_path: Path
) -> None:
    usa = site.home / "usa"
    with gateway(usa, tmp_path) as one:
        before = one.ask(f"{one.collection()}manifest/").json
        one.process.kill()
        one.process.wait()
    site.send("later", "--title", "Later")
    with gateway(usa, tmp_path) as two:
        wait_until(lambda: "Later" in two.reports(), "what came meanwhile")
        after = two.ask(f"{two.collection()}manifest/").json
    assert after["objects"][: len(before["objects"])] == before["objects"]


def test_bounds_answer_for_themselves(site: Site, tmp_path: Path) -> None:
    with gateway(site.home / "usa", tmp_path, settings(requests=40, page=2)) as one:
        assert len(one.objects(query="?limit=1000")) == 2
        codes = [one.ask("/taxii2/").status for _ in range(60)]
        assert codes.count(429) >= 10
        assert one.ask("/taxii2/", "low").status == 200
        assert one.ask("/taxii2/").headers["retry-after"] == "10"


def test_no_text_of_a_bulletin_is_in_what_a_gateway_writes(site: Site) -> None:
    wait_until(site.gate.objects, "an answer")
    texts = [path.read_text(errors="replace") for path in site.home.glob("gateway*") if path.is_file()]
    texts += [path.read_text(errors="replace") for path in (site.home / "gateway-state").iterdir()]
    assert texts
    for canary in (CANARY, "First", *TOKENS.values()):
        assert canary not in "".join(texts)
    (state,) = (site.home / "gateway-state").iterdir()
    assert state.stat().st_mode & 0o077 == 0


def test_nothing_is_lost_or_given_twice_while_bulletins_arrive(tmp_path: Path) -> None:
    check(load(tmp_path, 8, 12, 60), 8 * 12)
