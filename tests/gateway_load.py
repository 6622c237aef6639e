"""``make gateway-load``: objects through a gateway while bulletins arrive; none lost, none twice."""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote
from uuid import UUID

from e2e.nodes import found, introduce, ok, running, wait_for_links
from gateway_world import Gateway, gateway, make_gateway_user, settings
from interop_world import INDICATOR, RESTRICTED


@dataclass(frozen=True)
class Result:
    """What a consumer got."""

    seen: Counter[str]
    requests: int
    seconds: float


def indicator(number: int) -> str:
    """The id of an object."""
    return f"indicator--{UUID(int=(4 << 76) | (8 << 60) | number)}"


def draft(home: Path, bulletins: int, each: int) -> Path:
    """A batch of bulletins, each with so many objects."""
    lines = []
    for number in range(bulletins):
        objects = [
            {**INDICATOR, "id": indicator(number * each + n), "name": f"kit {number}.{n}"}
            for n in range(each)
        ]
        file = home / f"{number}.stix.json"
        file.write_text(json.dumps({"type": "bundle", "id": "bundle--1", "objects": objects}))
        lines.append({"to": ["USA"], "category": "cyber", "label": RESTRICTED, "file": str(file)})
    batch = home / "batch.ndjson"
    batch.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return batch


def consume(gate: Gateway, consumer: str, limit: int, by_next: bool, wanted: int, deadline: float) -> Result:
    """Follow a collection as a client does, until everything was seen or the time is over."""
    path = f"{gate.collection(consumer)}objects/?limit={limit}"
    seen: Counter[str] = Counter()
    after, requests, begun = "", 0, time.monotonic()
    while sum(name.startswith("indicator") for name in seen) < wanted and time.monotonic() < deadline:
        said = gate.ask(path + after, consumer)
        requests += 1
        assert said.status == 200, said
        body = said.json
        seen.update(one["id"] for one in body.get("objects", []))
        if not body.get("objects"):
            time.sleep(0.05)
            continue
        last = said.headers["X-TAXII-Date-Added-Last"]
        after = f"&next={body['next']}" if by_next and body.get("more") else f"&added_after={quote(last)}"
    return Result(seen, requests, time.monotonic() - begun)


def load(home: Path, bulletins: int, each: int, seconds: float) -> list[Result]:
    """Send while three consumers page, each in its own way; what each of them got."""
    fra, usa = found(home / "fra", "FRA"), found(home / "usa", "USA")
    make_gateway_user(usa)
    batch = draft(home, bulletins, each)
    text = settings(requests=100_000).replace('categories = ["terrorism"]', 'categories = ["cyber"]')
    results: list[Result] = []
    with running(fra), running(usa):
        introduce(fra, usa)
        wait_for_links(fra)
        with gateway(usa, home, text) as gate:
            deadline = time.monotonic() + seconds
            ways = (("high", 100, True), ("low", 37, False), ("other", 500, True))
            threads = [
                threading.Thread(
                    target=lambda way=way: results.append(
                        consume(gate, *way, wanted=bulletins * each, deadline=deadline)
                    )
                )
                for way in ways
            ]
            for thread in threads:
                thread.start()
            ok("send", "--batch", batch, "--as", fra / "users" / "ana")
            for thread in threads:
                thread.join()
    return results


def check(results: list[Result], count: int) -> None:
    """Each object once at each consumer."""
    assert len(results) == 3
    expected = {indicator(number) for number in range(count)}
    for one in results:
        got = Counter({name: times for name, times in one.seen.items() if name.startswith("indicator")})
        assert expected - got.keys() == set(), f"lost: {len(expected - got.keys())}"
        assert {name for name, times in got.items() if times > 1} == set(), "given twice"


def main() -> int:
    """The long form."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bulletins", type=int, default=100)
    parser.add_argument("--objects", type=int, default=100, help="of each bulletin")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        results = load(Path(home), given.bulletins, given.objects, 1200)
    check(results, given.bulletins * given.objects)
    for one in results:
        print(f"{sum(one.seen.values())} objects, {one.requests} requests, {one.seconds:.1f} s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
