"""Policy files that change while the node runs: the last good world stays, nothing leaves under a bad file,
and all goes on by itself when it is mended (promise P17)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from intelshare.audit.records import EntryType
from intelshare.broker.kernel.log import entries
from intelshare.broker.kernel.node import Node, with_files
from intelshare.broker.kernel.tables import LOG_HEAD
from intelshare.broker.treaty import policy_files
from intelshare.broker.treaty.policy_files import take_files
from intelshare.cli.operator.doctor_memory import memory
from intelshare.cli.shared.node_folder import Passphrase
from intelshare.errors import StoreError
from intelshare.policy import World, compile_world
from intelshare.ports import View
from intelshare.wire.v1 import user_pb2 as pb
from node_world import PASSPHRASE, Site, make_site, now, until, word

pytestmark = pytest.mark.usefixtures("hurried")

LAW = """
[[forbid]]
id = "FRA-cyber"
source = "invented for this test"
when = { categories = ["cyber"] }
"""


async def sent(site: Site) -> bytes:
    async with site.client("a") as analyst:
        return bytes((await analyst.send(["USA"], "hello")).bulletin)


async def becomes(site: Site, bulletin: bytes, wanted: str) -> None:
    async def now() -> bool:
        return await word(site, bulletin, "USA") == wanted

    await until(now)


def policy_entries(site: Site) -> int:
    def count(view: View) -> int:
        heads = view.find(LOG_HEAD, "began")
        logged = [entry for head in heads for entry in entries(view, head.incarnation)]
        return sum(entry.type == EntryType.POLICY for entry in logged)

    return site.running.runtime.store.ask_now(count)


async def test_a_new_law_holds_without_a_restart_and_the_log_says_when(pair: tuple[Site, Site]) -> None:
    fra, _ = pair
    await becomes(fra, await sent(fra), "accepted")
    assert policy_entries(fra) == 1
    (fra.root / "overlays" / "fra.toml").write_text(LAW)
    await until(lambda: "policy.loaded" in fra.log.getvalue())
    assert await word(fra, await sent(fra), "USA") == "withheld"
    (fra.root / "overlays" / "fra.toml").unlink()
    await until(lambda: fra.log.getvalue().count("policy.loaded") == 2)
    await becomes(fra, await sent(fra), "accepted")
    assert policy_entries(fra) == 3


async def test_under_a_file_that_does_not_load_nothing_leaves_and_mending_it_lets_all_go(
    pair: tuple[Site, Site],
) -> None:
    fra, usa = pair
    first = await sent(fra)
    await becomes(fra, first, "accepted")
    good = (fra.root / "treaties" / "gsa-fra-usa.toml").read_text()
    (fra.root / "treaties" / "gsa-fra-usa.toml").write_text(good + "nonsense = 1\n")
    await until(lambda: "POLICY_UNAVAILABLE" in fra.running.runtime.health.codes)
    waiting = await sent(fra)
    assert await word(fra, waiting, "USA") == "queued"
    # Reception goes on, by the last good world.
    async with usa.client("a") as analyst:
        back = await analyst.send(["FRA"], "hello", label="SECRET//REL TO USA, FRA")

    async def arrived() -> bool:
        return await word(usa, back.bulletin, "FRA") == "accepted"

    await until(arrived, "FRA to accept")
    # A statement of FRA that was made later has gone there, and its answer has come back.
    async with fra.client("a") as analyst:
        await analyst.bulletins.Recall(pb.RecallRequest(id=first.hex(), reason="wrong"))
    await becomes(fra, first, "destroyed")
    assert await word(fra, waiting, "USA") == "queued"
    (fra.root / "treaties" / "gsa-fra-usa.toml").write_text(good)
    await becomes(fra, waiting, "accepted")
    assert not fra.running.runtime.health.codes


async def test_a_file_that_makes_a_member_a_state_is_not_taken_away_unseen(
    pair: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    fra, _ = pair
    own = fra.root / "groups" / "atlantis.toml"
    own.parent.mkdir()
    own.write_text('source = "invented for this test"\n[state]\nXAT = "Atlantis"\n')
    await until(lambda: "policy.loaded" in fra.log.getvalue())

    def with_a_member(node: Node, files: World) -> Node:
        """As where XAT were a member whose directory is held."""
        compile_world(files.registry, ["FRA", "USA", "XAT"], ())
        return with_files(node, files)

    monkeypatch.setattr(policy_files, "with_files", with_a_member)
    own.unlink()
    await until(lambda: "POLICY_UNAVAILABLE" in fra.running.runtime.health.codes)
    assert "atlantis.toml" in fra.log.getvalue().splitlines()[-1]
    assert "PARTY_UNKNOWN" in fra.log.getvalue()
    assert fra.running.runtime.node.world.registry.states["XAT"] == "Atlantis"
    own.write_text('source = "invented for this test"\n[state]\nXAT = "Atlantis"\n')
    await until(lambda: not fra.running.runtime.health.codes)


async def test_a_law_that_a_member_made_unusable_is_tried_again_although_no_file_changes(
    pair: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was not the files that were wrong, so it need not be a file that is mended."""
    fra, _ = pair

    def stranded(node: Node, files: World) -> Node:
        compile_world(files.registry, ["FRA", "USA", "XAT"], ())
        return with_files(node, files)

    with monkeypatch.context() as patched:
        patched.setattr(policy_files, "with_files", stranded)
        (fra.root / "overlays" / "fra.toml").write_text(LAW)
        await until(lambda: "POLICY_UNAVAILABLE" in fra.running.runtime.health.codes)
        failed = fra.log.getvalue().count("policy.failed")
        waiting = await sent(fra)
    await until(lambda: not fra.running.runtime.health.codes)
    await becomes(fra, waiting, "withheld")
    assert await word(fra, await sent(fra), "USA") == "withheld"
    assert fra.log.getvalue().count("policy.failed") == failed == 1


async def test_a_folder_of_laws_that_is_gone_is_no_freedom(pair: tuple[Site, Site]) -> None:
    fra, _ = pair
    (fra.root / "overlays" / "fra.toml").write_text(LAW)
    await until(lambda: "policy.loaded" in fra.log.getvalue())
    (fra.root / "overlays").rename(fra.root / "away")
    await until(lambda: "POLICY_UNAVAILABLE" in fra.running.runtime.health.codes)
    assert await word(fra, await sent(fra), "USA") == "withheld"
    (fra.root / "away").rename(fra.root / "overlays")
    await until(lambda: not fra.running.runtime.health.codes)
    assert await word(fra, await sent(fra), "USA") == "withheld"


async def test_a_file_or_folder_that_others_could_write_is_read_again_once_its_mode_is_mended(
    pair: tuple[Site, Site],
) -> None:
    """`chmod go-w`, as the error says, changes neither content nor modification time."""
    fra, _ = pair
    codes = fra.running.runtime.health.codes
    treaty = fra.root / "treaties" / "gsa-fra-usa.toml"
    beside = treaty.with_suffix(".new")
    beside.write_bytes(treaty.read_bytes())
    beside.chmod(0o664)
    beside.replace(treaty)
    for path, mode in ((treaty, 0o644), (treaty.parent, 0o700)):
        path.chmod(mode | 0o020)
        await until(lambda: "POLICY_UNAVAILABLE" in fra.running.runtime.health.codes)
        path.chmod(mode)
        await until(lambda: fra.running.runtime.health.codes == codes)
    await becomes(fra, await sent(fra), "accepted")


async def test_a_recall_reaches_its_recipient_although_nothing_may_be_released(
    pair: tuple[Site, Site],
) -> None:
    fra, usa = pair
    bulletin = await sent(fra)
    await becomes(fra, bulletin, "accepted")
    await usa.stop()
    (fra.root / "overlays" / "fra.toml").write_text("nonsense = 1")
    await until(lambda: "POLICY_UNAVAILABLE" in fra.running.runtime.health.codes)
    waits = await sent(fra)
    async with fra.client("a") as analyst:
        await analyst.bulletins.Recall(pb.RecallRequest(id=bulletin.hex(), reason="wrong"))
    await usa.start()
    await becomes(fra, bulletin, "destroyed")
    assert await word(fra, waits, "USA") == "queued"
    (fra.root / "overlays" / "fra.toml").unlink()
    await becomes(fra, waits, "accepted")


async def test_a_full_disk_only_puts_a_new_law_off(
    pair: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    fra, _ = pair
    runtime = fra.running.runtime
    step, tried = runtime.step, []

    async def full(given: Any, *event: Any, **options: Any) -> Any:
        if given is take_files and len(tried) < 2:
            tried.append(1)
            raise StoreError("DISK_FULL", "no room")
        return await step(given, *event, **options)

    monkeypatch.setattr(runtime, "step", full)
    (fra.root / "overlays" / "fra.toml").write_text(LAW)
    await until(lambda: "policy.loaded" in fra.log.getvalue())
    assert not runtime.failed.done()
    assert await word(fra, await sent(fra), "USA") == "withheld"


async def test_doctor_names_a_file_of_the_law_that_has_changed_while_the_node_was_stopped(
    tmp_path: Path,
) -> None:
    """It loads, and the next start decides by it."""
    site = await asyncio.to_thread(make_site, "FRA", tmp_path / "fra")
    await site.start()
    await site.stop()
    phrase = tmp_path / "phrase"
    phrase.write_bytes(PASSPHRASE)
    phrase.chmod(0o600)

    def told() -> list[str]:
        return [
            one.found for one in memory(site.root, Passphrase.of_file(phrase), now()) if one.check == "law"
        ]

    assert told() == []
    treaty = next((site.root / "treaties").glob("*.toml"))
    treaty.write_bytes(treaty.read_bytes() + b"# a comment\n")
    (found,) = told()
    assert f"treaties/{treaty.name} is not as this node has last read it" in found
