"""The client library with its examples, and the contract for clients in other languages, at real nodes."""

from __future__ import annotations

import inspect
import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from e2e.nodes import found, introduce, running, wait_for_links
from intelshare.api import Client, IntelshareError, Outcome, PairStatus, Role, SyncClient, Text
from processes import clean_environment, finished

EXAMPLES = Path(__file__).parents[2] / "examples"
SHARED = "//FRA SECRET//REL TO FRA, USA"


@dataclass(frozen=True)
class Desk:
    """Two members, and who asks."""

    fra: Path
    usa: Path
    ana: Path
    rel: Path
    smith: Path


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    home = tmp_path_factory.mktemp("desk")
    fra, usa = found(home / "fra", "FRA"), found(home / "usa", "USA")
    (fra / "overlays" / "fra.toml").write_text(
        '[[hold]]\nid = "FRA-data"\nsource = "invented"\nwhen = { flags = ["personal-data"] }\n'
    )
    with running(fra), running(usa):
        introduce(fra, usa)
        wait_for_links(fra, 1)
        yield Desk(fra, usa, fra / "users" / "ana", fra / "users" / "rel", usa / "users" / "ana")


def python(path: Path, *words: str | Path) -> str:
    """Run an example as its reader would; what it prints."""
    command = [sys.executable, str(path), *map(str, words)]
    return finished(command, env=clean_environment(), check=True).out


def test_the_examples_send_read_and_follow(desk: Desk, tmp_path: Path) -> None:
    told = python(EXAMPLES / "python" / "send.py", desk.ana, "USA")
    assert "USA queued, gsa-fra-usa" in told
    assert "USA has it" in told
    assert "A kit against grid operators" in python(EXAMPLES / "python" / "inbox.py", desk.smith)
    follow = EXAMPLES / "python" / "follow.py"
    place = tmp_path / "cursor"
    python(follow, desk.ana, place, "once")
    with SyncClient.from_profile(desk.ana) as client:
        cursor = client._wire
        place.write_text(next(event.cursor for event in cursor.watch(once=True)))
        client.send("Another.", to=["USA"], label=SHARED, category="cyber")
    assert "submitted" in python(follow, desk.ana, place, "once")
    assert "submitted" not in python(follow, desk.ana, place, "once")


async def test_values_in_and_values_out_from_an_event_loop(desk: Desk) -> None:
    async with Client.from_profile(desk.ana) as client:
        me = await client.whoami()
        assert (me.member, me.role) == ("FRA", Role.ANALYST)
        planned = await client.decide("x", to=["USA"], label="//FRA SECRET", category="cyber")
        assert (planned.id, planned.to("USA").status) == ("", PairStatus.WITHHELD)
        (portion,) = planned.to("USA").portions
        assert (portion.number, portion.outcome) == (1, Outcome.DENY)
        assert portion.reasons[0].code
        sent = await client.send(
            "One.", to=["USA"], label=SHARED, category="cyber", title="T", more=[Text("Two.", SHARED)]
        )
        opened = await client.read(sent.id)
        assert (opened.text, opened.received_at) == ("One.\n\nTwo.", None)
        assert opened.created_at <= datetime.now(UTC)
        found = [match.id async for match in client.search("Two", sent=True)]
        assert sent.id in found
        assert (await client.outbox())[0].id == sent.id


def test_an_error_has_a_code_and_a_hint(desk: Desk) -> None:
    with SyncClient.from_profile(desk.ana) as client:
        with pytest.raises(IntelshareError) as refused:
            client.read("ffffffff")
        assert refused.value.code == "NOT_FOUND"
        assert refused.value.hint
        for wrong in ("USA", ["usa"]):
            with pytest.raises(IntelshareError):
                client.send("x", to=wrong, label=SHARED, category="cyber")
        with pytest.raises(IntelshareError, match="zone"):
            client.send("x", to=["USA"], label=SHARED, category="cyber", valid_until=datetime(2030, 1, 1))


def test_an_officer_approves_what_was_shown_and_refuses_with_a_reason(desk: Desk) -> None:
    with SyncClient.from_profile(desk.ana) as author, SyncClient.from_profile(desk.rel) as officer:
        held = author.send("N.", to=["USA"], label=SHARED, category="cyber", flags=["personal-data"])
        assert held.to("USA").status is PairStatus.HELD
        shown = officer.why(held.id, "USA")
        assert shown.decision.portions[0].holds == ("FRA-data",)
        assert officer.read(held.id).text == "N."
        assert officer.approve(held.id, "USA", shown=shown) is PairStatus.QUEUED
        other = author.send("M.", to=["USA"], label=SHARED, category="cyber", flags=["personal-data"])
        assert officer.refuse(other.id, "USA", "name the source") is PairStatus.WITHHELD
        (pair,) = author.sent(other.id).pairs
        assert (pair.status, pair.reason) == (PairStatus.WITHHELD, "name the source")


def test_both_clients_offer_the_same() -> None:
    def offered(kind: type) -> dict[str, list[str]]:
        methods = inspect.getmembers(kind, inspect.isfunction)
        return {
            name: list(inspect.signature(method).parameters) for name, method in methods if name[0] != "_"
        }

    assert offered(Client) == offered(SyncClient)


def test_a_python_client_without_the_library_can_rely_on_the_contract(desk: Desk) -> None:
    assert json.loads(python(EXAMPLES / "contract" / "contract.py", desk.ana, "USA")) == CONTRACT


def test_a_node_client_can_rely_on_the_same_contract(desk: Desk, tmp_path: Path) -> None:
    modules = EXAMPLES / "contract" / "node_modules"
    node = modules / "node" / "bin" / "node"
    if not (node.is_file() and (modules / "@grpc").is_dir()):
        pytest.skip(
            "needs npm install --no-save @grpc/grpc-js @grpc/proto-loader node@24 in examples/contract"
        )
    protos = tmp_path / "intelshare" / "wire" / "v1"
    shutil.copytree(EXAMPLES.parent / "proto" / "intelshare" / "v1", protos)
    command = [str(node), str(EXAMPLES / "contract" / "contract.mjs"), str(desk.ana), "USA", str(tmp_path)]
    done = finished(command, env=clean_environment(), check=True)
    assert json.loads(done.out) == CONTRACT


CONTRACT = {
    "member": "FRA",
    "role": "analyst",
    "dry_run_has_no_id": True,
    "decided": [["USA", "allow"]],
    "same_key_same_answer": True,
    "precedence": 4,
    "other_content": ["ID_CONFLICT", True],
    "unknown_id": ["NOT_FOUND", True],
    "no_role": ["NOT_AUTHORISED", True],
}
