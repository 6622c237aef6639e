"""Three real nodes that watch each other's logs, one of which is edited on the disk while its node is off."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from builders import Member
from intelshare.broker.kernel.log import entry_at, log_row_of, rewritten
from intelshare.broker.kernel.tables import LOG, LOG_HEAD, NODE, TABLES
from intelshare.errors import IntelshareError
from intelshare.instant import Instant
from intelshare.node.folder import Folder
from intelshare.node.sidecar import log_position
from intelshare.ports import Plan, Put
from intelshare.store.engines import Location, open_at
from intelshare.store.sidecar import write_sidecar
from intelshare.verifier import check_evidence, check_proof
from intelshare.wire.v1 import user_pb2 as pb
from log_world import rewrite
from node_world import Site, introduce, make_site, until

pytestmark = pytest.mark.usefixtures("hurried")


def new_user(name: str) -> pb.AddUserRequest:
    return pb.AddUserRequest(
        user=pb.NewUser(name=name, role="analyst", clearance="R1", nationality="USA", categories=["*"])
    )


@pytest.fixture
async def three(tmp_path: Path) -> AsyncIterator[tuple[Site, Site, Site]]:
    sites = [await asyncio.to_thread(make_site, code, tmp_path / code) for code in ("FRA", "USA", "KEN")]
    fra, usa, ken = sites
    try:
        for site in sites:
            await site.start()
        for one, other in ((fra, usa), (fra, ken), (usa, ken)):
            await introduce(one, other)
        yield fra, usa, ken
    finally:
        for site in sites:
            await site.stop()


async def head(site: Site) -> pb.HeadResponse:
    async with site.client("u") as auditor:
        found: pb.HeadResponse = await auditor.audit.Head(pb.HeadRequest())
    return found


async def alarms(site: Site) -> list[Any]:
    async with site.client("u") as auditor:
        return list((await auditor.audit.ListEvidence(pb.ListEvidenceRequest())).alarms)


async def holds(site: Site, of: Site, size: int) -> bool:
    """Whether a site has a proved checkpoint of another's log of at least so many entries."""
    found = [one for one in (await head(site)).held if one.node == of.founded.node.uri]
    return bool(found) and found[0].state == "proved" and found[0].size >= size


def entries(site: Site) -> int:
    runtime = site.running.runtime
    row = runtime.store.ask_now(lambda view: view.get(LOG_HEAD, runtime.incarnation))
    assert row is not None
    return row.size


async def test_peers_hold_and_cosign_each_others_checkpoints_and_fall_silent(
    three: tuple[Site, Site, Site],
) -> None:
    fra, _, _ = three
    for site in three:
        for other in three:
            if site is not other:
                await until(lambda s=site, o=other: holds(s, o, 3), f"{site.code} to hold {other.code}'s log")

    async def all_seen() -> bool:
        found = await head(fra)
        return {one.member for one in found.witnesses if one.size == found.size} == {"USA", "KEN"}

    await until(all_seen, "all to have seen FRA's log")
    async with fra.client("u") as auditor:
        file = await auditor.audit.Prove(pb.ProveRequest(index=1))
    assert {witness.member for witness in check_proof(file.text.encode(), "file").witnesses} >= {"USA"}
    assert not [alarm for site in three for alarm in await alarms(site)]


@pytest.mark.parametrize("covered", [True, False])
async def test_row_63_a_log_edited_while_its_node_is_off_is_caught_by_its_peers(
    three: tuple[Site, Site, Site], covered: bool
) -> None:
    fra, usa, _ = three
    await until(lambda: holds(fra, usa, 2), "FRA to hold USA's log")
    before = entries(usa)
    async with usa.client("o") as operator:
        for number in range(3):
            await operator.operations.AddUser(new_user(f"x{number}"))
    await until(lambda: holds(fra, usa, before + 3), "FRA to hold the new entries")
    async with usa.client("o") as operator:
        await operator.operations.AddUser(new_user("y"))
    # What is proved to a third party below is what FRA has proved to itself.
    await until(lambda: holds(fra, usa, entries(usa)), "FRA to hold all of USA's log")
    node = usa.running.runtime.node
    await usa.stop()

    folder = Folder(usa.root)
    store = open_at(Location(folder.database), TABLES, usa.founded.storage_key)
    rows: list[Any] = []

    class Editor:
        def find(self, *args: Any, **kwargs: Any) -> Any:
            return store.ask_now(lambda view: view.find(*args, **kwargs))

        def get(self, *args: Any) -> Any:
            return store.ask_now(lambda view: view.get(*args))

        def apply(self, plan: Plan[None]) -> None:
            rows.extend(plan.writes)

    if covered:
        rewrite(Member(node, Editor()), before + 2)
    else:
        # Only the entry, not what depends on it.
        row = store.ask_now(lambda view: log_row_of(view, node.incarnation, before + 2))
        entry = store.ask_now(lambda view: entry_at(view, node.incarnation, before + 2))
        assert row is not None
        assert entry is not None
        rows.append(Put(LOG, rewritten(row, entry._replace(at=Instant(entry.at + 1)))))
    await store.perform(lambda _: Plan(tuple(rows), None))
    me = store.ask_now(lambda view: view.get(NODE, "self"))
    assert me is not None
    write_sidecar(folder.sidecar, store.ask_now(lambda view: log_position(view, me.incarnation, clean=True)))
    store.close()

    await usa.start()

    async def caught() -> list[Any]:
        return [alarm for alarm in await alarms(fra) if alarm.code == "LOG_INCONSISTENT"]

    (alarm,) = await until(caught, "FRA to notice")
    assert alarm.member == "USA"
    async with fra.client("u") as auditor:
        file = await auditor.audit.ExportEvidence(pb.ExportEvidenceRequest(id=alarm.evidence.hex()[:8]))
        status = await auditor.operations.Status(pb.StatusRequest())
    assert [one.code for one in status.alarms] == ["LOG_INCONSISTENT"]
    if covered:
        await until(lambda: _narrowed(fra), "the evidence to be narrowed down")
        (alarm,) = await alarms(fra)
        first, last = [int(word.rstrip(",")) for word in alarm.what.split() if word.rstrip(",").isdigit()]
        assert first <= before + 2 < last, alarm.what
        proven = check_evidence(file.text.encode(), "file")
        assert (proven.member, proven.code) == ("USA", "LOG_INCONSISTENT")
        assert json.loads(file.text)["accused"] == "USA"
    else:
        assert alarm.what.startswith("no proof that its log still begins with ")
        async with usa.client("u") as auditor:
            found = await auditor.operations.VerifyAudit(pb.VerifyAuditRequest())
        assert f"entry {before + 2} " in found.findings[0]


@pytest.mark.timed
async def test_a_clean_stop_leaves_the_last_checkpoint_with_the_peers_that_are_linked(
    three: tuple[Site, Site, Site],
) -> None:
    """A node that stops waits half a second for them (LAST_WORD), which an idle machine meets."""
    fra, usa, _ = three
    await until(lambda: holds(fra, usa, 2), "FRA to hold USA's log")
    async with usa.client("o") as operator:
        await operator.operations.AddUser(new_user("y"))
    size = entries(usa)
    await usa.stop()
    last = [one.size for one in (await head(fra)).held if one.node == usa.founded.node.uri]
    assert max(last) >= size


async def _narrowed(site: Site) -> bool:
    (alarm,) = await alarms(site)
    return "entry 0 or after" not in alarm.what


async def test_a_restored_node_is_seen_to_have_forgotten_and_is_never_called_a_liar(
    three: tuple[Site, Site, Site], tmp_path: Path
) -> None:
    fra, usa, _ = three
    await until(lambda: holds(fra, usa, 2), "FRA to hold USA's log")
    database = Folder(usa.root).database
    # A backup of a running node, as SQLite makes it.
    backup = tmp_path / "backup.db"
    apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY).execute("VACUUM INTO ?", (str(backup),))
    async with usa.client("o") as operator:
        for number in range(4):
            await operator.operations.AddUser(new_user(f"x{number}"))
    # What FRA has proved to itself it knows to be forgotten.
    await until(lambda: holds(fra, usa, entries(usa)), "FRA to hold all of USA's log")
    await usa.stop()
    for file in database.parent.glob(f"{database.name}*"):
        file.unlink()
    shutil.copy(backup, database)
    database.chmod(0o600)
    with pytest.raises(IntelshareError, match="STORE_FORGOT"):
        await usa.start()
    await usa.start(accept_loss=True)
    await usa.let_in()

    async def told() -> bool:
        theirs, own = await alarms(fra), await alarms(usa)
        return "LOG_FORGOT" in [one.code for one in theirs] and "LOG_FORGOT" in [one.code for one in own]

    await until(told, "both to show that USA has forgotten")
    assert {one.code for one in [*await alarms(fra), *await alarms(usa)]} == {"LOG_FORGOT"}
    shown = [one.what for one in await alarms(fra)]
    assert any(what.startswith("new incarnation, forgot ") for what in shown)
    # And its new log is witnessed like any other.
    present = entries(usa)
    async with usa.client("o") as operator:
        await operator.operations.AddUser(new_user("y"))
    await until(lambda: holds(fra, usa, present), "FRA to hold USA's new log")


async def test_reports_of_two_members_agree(three: tuple[Site, Site, Site]) -> None:
    from intelshare.audit.portable import read
    from intelshare.audit.report import REPORT_SCHEMA, Report, differences
    from node_world import word

    fra, usa, _ = three
    async with fra.client("a") as analyst:
        sent = [await analyst.send(["USA"], f"text {n}") for n in range(3)]

    async def accepted() -> bool:
        return all([await word(fra, one.bulletin, "USA") == "accepted" for one in sent])

    await until(accepted, "USA to accept all")
    reports = []
    for site in (fra, usa):
        async with site.client("u") as auditor:
            text = (await auditor.audit.Report(pb.ReportRequest())).text
        assert "text 1" not in text
        reports.append(read(Report, REPORT_SCHEMA, text.encode(), site.code))
    assert len(reports[0].releases) == 3
    assert not list(differences(*reports))
