"""A node as a process: start, stop, kill -9, a second one, wrong files; what it says and leaves behind."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import apsw
import grpc
import msgspec
import pytest

import processes
from intelshare.broker.kernel.queue_bounds import QueueBounds
from intelshare.broker.kernel.register import SetUserCommand, set_user
from intelshare.broker.kernel.tables import TABLES, UserRow
from intelshare.engine import BUDGETS, Rate
from intelshare.engine.budgets import Passing
from intelshare.engine.events import Event
from intelshare.errors import IntelshareError, Place, StoreError
from intelshare.ids import MemberCode, UserUri
from intelshare.instant import SECOND, Instant
from intelshare.node.backup import make_backup
from intelshare.node.drained import is_drained, set_drained
from intelshare.node.events import make_logger
from intelshare.node.folder import Folder
from intelshare.node.offline import operate_offline
from intelshare.node.renewal import renew
from intelshare.node.restore import restore_backup
from intelshare.node.run import start_node
from intelshare.node.running import Running, end_running, read_running
from intelshare.node.runtime import Runtime
from intelshare.node.servers import Ports
from intelshare.node.settings_file import read_settings, write_settings
from intelshare.node.sidecar import log_position
from intelshare.patience import patient
from intelshare.ports import Plan
from intelshare.store.sidecar import FORGOT, read_sidecar
from intelshare.store.sqlite import open_store
from intelshare.wire.v1 import user_pb2 as pb
from node_world import PASSPHRASE, Site, back_up, introduce, make_site, now, restore, until

PROGRAM = """
import sys
from pathlib import Path
from intelshare.node.run import run_node
sys.exit(run_node(Path(sys.argv[1]), lambda: sys.argv[2].encode(), development=True))
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site("FRA", tmp_path / "FRA", dial=False)


@pytest.fixture
def other(tmp_path: Path) -> Site:
    return make_site("USA", tmp_path / "USA", dial=False)


@pytest.fixture
def process(site: Site) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", PROGRAM, site.root, PASSPHRASE.decode()]
    with (site.root / "node.log").open("ab") as log, processes.process(command, stderr=log) as started:
        yield started


async def running(site: Site, process: subprocess.Popen[bytes]) -> dict[str, object]:
    def read() -> dict[str, object] | None:
        assert process.poll() is None, (site.root / "node.log").read_text()
        try:
            found: dict[str, object] = json.loads((site.root / "run.json").read_bytes())
        except (OSError, ValueError):
            return None
        return found if found["pid"] == process.pid else None

    found: dict[str, object] = await until(read, "the node to serve")
    return found


def sidecar(site: Site) -> dict[str, object]:
    found: dict[str, object] = json.loads((site.root / "sidecar").read_bytes())
    return found


async def refused(site: Site, passphrase: bytes = PASSPHRASE) -> IntelshareError:
    with pytest.raises(IntelshareError) as caught:
        await start_node(site.root, lambda: passphrase, make_logger(site.log), development=True)
    return caught.value


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_the_node_cleanly(
    site: Site, process: subprocess.Popen[bytes], number: signal.Signals
) -> None:
    await running(site, process)
    assert (site.root / "run.json").stat().st_mode & 0o777 == 0o600
    process.send_signal(number)
    assert await asyncio.to_thread(processes.ended, process) == 0
    assert not (site.root / "run.json").exists()
    assert sidecar(site)["clean"] is True


async def test_after_a_kill_the_next_start_just_works(site: Site, process: subprocess.Popen[bytes]) -> None:
    first = await running(site, process)
    process.kill()
    await asyncio.to_thread(processes.ended, process)
    assert sidecar(site)["clean"] is False
    node = await site.start()
    try:
        assert f"{node.runtime.incarnation:016x}" != first["incarnation"]
        assert node.user_port == first["user_port"], "clients that knew the port find the node again"
    finally:
        await site.stop()


async def test_a_start_after_a_clean_stop_has_the_user_port_of_the_last_one(site: Site) -> None:
    seen = set()
    for _ in range(3):
        seen.add((await site.start()).user_port)
        await site.stop()
    assert len(seen) == 1, "profiles elsewhere name this port"


async def test_a_start_takes_another_user_port_if_the_last_one_is_not_free(site: Site) -> None:
    last = (await site.start()).user_port
    await site.stop()
    with socket.create_server(("127.0.0.1", last)):
        assert (await site.start()).user_port != last
        await site.stop()


async def test_a_restored_node_has_the_user_port_of_its_backup(site: Site, tmp_path: Path) -> None:
    last = (await site.start()).user_port
    await asyncio.to_thread(back_up, site, tmp_path / "backup")
    await site.stop()
    site.root = tmp_path / "again"
    await asyncio.to_thread(restore, tmp_path / "backup", site.root)
    assert (await site.start()).user_port == last
    await site.stop()


async def test_a_drain_holds_over_every_start_until_an_operator_ends_it(site: Site) -> None:
    async def drain(*, undo: bool = False) -> None:
        async with site.client("o") as operator:
            await operator.operations.Drain(pb.DrainRequest(undo=undo))

    async def accepts() -> bool:
        async with site.client("a") as author:
            try:
                await author.send(["USA"], "text")
            except grpc.aio.AioRpcError as error:
                return "DRAINING" not in str(error)
        return True

    await site.start()
    try:
        await drain()
        assert not await accepts()
        await site.stop()
        node = await site.start()
        assert node.runtime.health.codes == ("DRAINING",)
        assert not await accepts()
        await drain(undo=True)
        await drain(undo=True)
        assert await accepts()
        await site.stop()
        node = await site.start()
        assert node.runtime.health.codes == ()
    finally:
        await site.stop()


def test_of_several_replicas_one_is_drained(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    for one in ("a", "", "a"):
        set_drained(folder, one, on=True)
    set_drained(folder, "", on=False)
    set_drained(folder, "b", on=False)
    assert [is_drained(folder, one) for one in ("a", "b", "")] == [True, False, False]


async def test_a_second_node_on_the_folder_is_refused_and_names_the_first(
    site: Site, process: subprocess.Popen[bytes]
) -> None:
    await running(site, process)
    error = await refused(site)
    assert error.code == "DATA_LOCKED"
    assert str(process.pid) in error.message


async def test_a_port_in_use_is_said_with_its_setting(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        folder = Folder(site.root)
        text = folder.settings.read_text()
        port = taken.getsockname()[1]
        folder.settings.write_text(text.replace("user_port = 0", f"user_port = {port}"))
        error = await refused(site)
    assert error.code == "PORT_IN_USE"
    assert str(port) in error.message
    assert "user_port" in str(error.hint)


async def test_wrong_passphrase_is_refused_and_the_folder_stays_free(site: Site) -> None:
    assert (await refused(site, b"another passphrase")).code == "KEYSTORE_PASSWORD"
    await site.start()
    await site.stop()


async def test_others_may_not_look_into_the_folder(site: Site) -> None:
    site.root.chmod(0o755)
    error = await refused(site)
    assert error.code == "DATA_PERMISSIONS"
    assert error.hint == f"chmod 700 {site.root}"


async def test_a_bad_treaty_file_stops_the_start_with_its_line(site: Site) -> None:
    (site.root / "treaties" / "bad.toml").write_text('id = "bad"\nkind = "nonsense"\n')
    error = await refused(site)
    assert error.code == "FIELD_RANGE"
    assert error.place is not None
    assert (error.place.source, error.place.line) == ("bad.toml", 2)


async def test_a_database_that_forgot_is_noticed_and_started_only_on_the_operators_word(site: Site) -> None:
    database = site.root / "intelshare.db"
    backup = database.read_bytes()
    await site.start()
    await site.stop()
    database.write_bytes(backup)
    error = await refused(site)
    assert (error.code, error.place) == ("STORE_FORGOT", Place(str(site.root))), "one of several nodes"
    await site.start(accept_loss=True)
    await site.stop()
    await site.start()
    await site.stop()


async def test_a_start_without_a_database_that_can_be_read_names_the_folder(site: Site) -> None:
    (site.root / "intelshare.db").write_bytes(bytes(4096))
    error = await refused(site)
    assert (error.code, error.place) == ("RECORD_CORRUPT", Place(str(site.root)))


async def test_the_first_start_of_a_restored_folder_comes_before_every_command_on_it(
    site: Site, tmp_path: Path
) -> None:
    """Who waits is known after it; a command before it would move what the disk is known to remember."""

    def asked(method: str, request: object) -> Any:
        return operate_offline(restored.root, lambda: PASSPHRASE, method, request)

    backup, restored = tmp_path / "backup", replace(site, root=tmp_path / "again")
    back_up(site, backup)
    restore(backup, restored.root)
    for method, request in (
        ("ConfirmAccess", pb.ConfirmAccessRequest(dry_run=True)),
        ("ConfirmAccess", pb.ConfirmAccessRequest(users=["a"], reason="asked")),
        ("AllowReading", pb.AllowReadingRequest(member="USA", reason="asked")),
        ("RevokeUser", pb.RevokeUserRequest(name="a")),
        ("ListUsers", pb.ListUsersRequest()),
    ):
        with pytest.raises(StoreError, match="has not been started since") as caught:
            await asyncio.to_thread(asked, method, request)
        assert caught.value.code == "STORE_FORGOT"
    await restored.start()
    await restored.stop()
    found = await asyncio.to_thread(asked, "ConfirmAccess", pb.ConfirmAccessRequest(dry_run=True))
    assert {user.name for user in found.users} == {"a", "o", "r", "u"}


async def test_keys_made_before_the_first_start_of_a_restored_folder_skip_what_it_may_have_signed(
    site: Site, tmp_path: Path
) -> None:
    """A second content under a version that was signed after the backup would be evidence (TRUST_FORK)."""

    def version(started: Site) -> int:
        directory = started.running.runtime.node.trust.members[MemberCode("FRA")].directory
        assert directory is not None
        return directory.version

    backup, restored = tmp_path / "backup", replace(site, root=tmp_path / "again")
    silent = lambda *_: None  # noqa: E731
    later = lambda: Instant(now() + 30 * SECOND)  # noqa: E731
    await site.start()
    before = version(site)
    await site.stop()
    make_backup(site.root, backup, lambda: PASSPHRASE, now(), silent)
    restore_backup(backup, restored.root, lambda: PASSPHRASE, replace=False, now=now(), progress=silent)
    request = pb.RotateKeysRequest()
    await asyncio.to_thread(operate_offline, restored.root, lambda: PASSPHRASE, "RotateKeys", request, later)
    assert (restored.root / "restored").exists(), "the first start is still to come"
    await restored.start()
    assert version(restored) > before + 30
    assert restored.running.runtime.health.codes == ("ACCESS_WAITS",)
    await restored.stop()


async def test_a_start_after_a_loss_that_did_not_complete_is_refused_again(
    site: Site, other: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until a directory is signed that follows what was forgotten, peers may hold a later one."""
    await site.start()
    await other.start()
    await introduce(site, other)
    await site.stop()
    await other.stop()
    database = site.root / "intelshare.db"
    backup = database.read_bytes()
    await site.start()
    await site.stop()
    database.write_bytes(backup)

    remembered: list[Instant] = []

    async def killed(runtime: Runtime, *_: Any) -> bool:
        assert runtime.forgot is not None
        remembered.append(runtime.forgot)
        raise StoreError("DISK_ERROR", "the machine lost its power")

    async def renewed(runtime: Runtime, *given: Any) -> bool:
        assert runtime.forgot is not None
        remembered.append(runtime.forgot)
        return await renew(runtime, *given)

    with monkeypatch.context() as patched:
        patched.setattr("intelshare.node.run.renew", killed)
        with pytest.raises(StoreError, match="lost its power"):
            await site.start(accept_loss=True, wall=lambda: Instant(now() + 30 * SECOND))
        assert (site.root / FORGOT).exists(), "nothing but this tells the next start"
        assert (await refused(site)).code == "STORE_FORGOT"
        patched.setattr("intelshare.node.run.renew", renewed)
        await site.start(accept_loss=True, wall=lambda: Instant(now() + 30 * SECOND))
    assert remembered[1] <= remembered[0] < now(), "what the first start wrote is no memory"
    assert not (site.root / FORGOT).exists()
    await site.stop()
    await site.start()
    await site.stop()


async def test_a_sidecar_that_was_taken_away_is_noticed(site: Site) -> None:
    node = await start_node(site.root, lambda: PASSPHRASE, make_logger(site.log), development=True)
    await node.stop()
    (site.root / "sidecar").unlink()
    assert (await refused(site)).code == "STORE_FORGOT"
    node = await start_node(
        site.root, lambda: PASSPHRASE, make_logger(site.log), development=True, accept_loss=True
    )
    await node.stop()
    assert sidecar(site)["clean"]


async def test_a_copy_of_the_folder_of_a_node_that_runs_does_not_say_that_it_runs_there(
    site: Site, tmp_path: Path
) -> None:
    copy = Folder(tmp_path / "copy")
    copy.root.mkdir(mode=0o700)
    await site.start()
    copy.running.write_bytes(Folder(site.root).running.read_bytes())
    assert read_running(Folder(site.root)) is not None
    assert read_running(copy) is None
    await site.stop()


def test_a_node_that_ends_leaves_the_file_of_the_one_that_took_its_folder_over(site: Site) -> None:
    folder = Folder(site.root)
    for pid, stays in ((os.getpid(), False), (os.getpid() + 1, True)):
        other = Running(pid, "127.0.0.1", 1, 2, "spiffe://x/node/a", "00")
        folder.running.write_bytes(msgspec.json.encode(other))
        end_running(folder)
        assert folder.running.exists() == stays


def test_settings_are_read_as_they_were_written(site: Site) -> None:
    settings = read_settings(site.root / "node.toml")
    assert not settings.dial
    assert settings.allow_loopback_peers
    (site.root / "again.toml").write_text(write_settings(settings))
    assert read_settings(site.root / "again.toml") == settings


def test_budgets_are_read_as_they_were_written_and_have_bounds(site: Site) -> None:
    path = site.root / "node.toml"
    text = path.read_text()
    assert all(f"\n# {budget} = {rate.most}" in text for budget, rate in BUDGETS.items())
    path.write_text(text.replace("# gaps = 64", "gaps = 65"))
    settings = read_settings(path)
    assert settings.budgets == {Passing.GAPS: Rate(65, BUDGETS[Passing.GAPS].fill)}
    path.write_text(write_settings(settings))
    assert read_settings(path) == settings
    for wrong, code in (("0", "FIELD_RANGE"), ('"x"', "FIELD_TYPE")):
        path.write_text(text.replace("# gaps = 64", f"gaps = {wrong}"))
        with pytest.raises(IntelshareError) as caught:
            read_settings(path)
        assert caught.value.code == code


def test_bounds_of_queues_are_read_as_they_were_written_and_have_bounds(site: Site) -> None:
    path = site.root / "node.toml"
    text = path.read_text()
    path.write_text(text.replace("# bulletins = 200000", "bulletins = 3").replace("# mib = 8192", "mib = 1"))
    settings = read_settings(path)
    assert settings.queues == QueueBounds(3, 1 << 20)
    path.write_text(write_settings(settings))
    assert read_settings(path) == settings
    path.write_text(text.replace("# bulletins = 200000", "bulletins = 0"))
    with pytest.raises(IntelshareError, match="FIELD_RANGE"):
        read_settings(path)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("user_port = 70000", "FIELD_RANGE"),
        ('user_port = "1"', "FIELD_TYPE"),
        ("unknown = 1", "FIELD_UNKNOWN"),
        ("user_port = ", "FILE_SYNTAX"),
    ],
)
def test_a_wrong_setting_has_its_code_and_line(site: Site, line: str, code: str) -> None:
    path = site.root / "node.toml"
    path.write_text(path.read_text().replace("user_port = 0", line))
    with pytest.raises(IntelshareError) as caught:
        read_settings(path)
    assert caught.value.code == code
    assert caught.value.place is not None
    assert caught.value.place.line == path.read_text().split("\n").index(line) + 1


async def test_threads_that_still_write_race_no_stop_and_nothing_is_written_after_it(site: Site) -> None:
    node = await site.start()
    with ThreadPoolExecutor(8) as threads:
        written = [threads.submit(call) for _ in range(40) for call in (node._remember, node._show)]
        await site.stop()
        written += [threads.submit(call) for call in (node._remember, node._show)]
    for one in written:
        one.result()
    assert not (site.root / "run.json").exists()
    kept = read_sidecar(Folder(site.root).sidecar)
    assert kept is not None
    assert kept.clean


async def test_a_stop_with_steps_in_the_queue_of_a_slow_disk_leaves_sidecar_and_database_equal(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Links that end cancel who waits for a step; the step is in the writer's queue, and is carried out."""
    for number in range(20):
        node = await site.start()
        runtime, drain = node.runtime, node.drain
        operator = UserUri(site.user_uri("o"))

        def step(*known: Any, operator: UserUri = operator, number: int = number) -> Plan[Any]:
            row = UserRow(site.user_uri(f"x{number}"), "x", "analyst", "R1", "FRA", "*", 0)  # type: ignore[arg-type]
            plan = set_user(known[0], known[1], SetUserCommand(operator, row), *known[2:])
            return replace(plan, last=True)  # a commit of its own

        async def full(runtime: Runtime = runtime, drain: Any = drain, step: Any = step) -> None:
            runtime.store._database._writer.set_commit_hook(lambda: bool(time.sleep(0.02)))  # type: ignore[attr-defined]
            waiting = [asyncio.create_task(runtime.step(step)) for _ in range(12)]
            await asyncio.sleep(0)
            for one in waiting:
                one.cancel()
            await drain()

        monkeypatch.setattr(node, "drain", full)
        await site.stop()
        remembered = read_sidecar(site.root / "sidecar")
        store = open_store(site.root / "intelshare.db", TABLES, site.founded.storage_key)
        try:
            last = partial(log_position, incarnation=runtime.incarnation, clean=True)
            stands = store.ask_now(partial(last, vault=runtime.vault.state))
        finally:
            store.close()
        assert not runtime.failed.done(), runtime.failed.result()
        assert remembered == stands
        assert stands.size >= 12


async def test_a_database_ahead_of_a_clean_mark_has_lost_nothing_and_starts(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a busy machine the second start takes longer than a file may be older than its content.
    monkeypatch.setattr("intelshare.store.sidecar.SLACK", 3600 * 10**9)
    await site.start()
    await site.stop()
    older = (site.root / "sidecar").read_bytes()
    await site.start()
    await site.stop()
    (site.root / "sidecar").write_bytes(older)
    await site.start()
    await site.stop()


async def test_a_stop_while_the_disk_fails_leaves_no_clean_mark(site: Site) -> None:
    node = await site.start()
    drain = node.runtime.store.drain

    def fails() -> None:
        node.runtime.store._fail(OSError("as if"))  # type: ignore[attr-defined]
        drain()

    node.runtime.store.drain = fails  # type: ignore[method-assign]
    await site.stop()
    assert node.runtime.failed.result().code == "DISK_ERROR"
    assert sidecar(site)["clean"] is False
    await site.start()
    await site.stop()


class Disk:
    """Every opening for writing below a folder fails with an error number while there is one."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.number, self._open = str(root), 0, os.open
        monkeypatch.setattr(os, "open", self)

    def __call__(self, path: Any, flags: int, *rest: Any, **named: Any) -> int:
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if self.number and writes and str(path).startswith(self.root):
            raise OSError(self.number, os.strerror(self.number), path)
        return self._open(path, flags, *rest, **named)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
async def test_a_disk_full_for_the_files_beside_the_database_is_waited_out(
    site: Site, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    node = await site.start()
    disk = Disk(site.root, monkeypatch)
    disk.number = number
    await until(lambda: "DISK_FULL" in node.runtime.health.codes)
    async with site.client("a") as client:
        await client.bulletins.Inbox(pb.InboxRequest())
    assert "DISK_FULL" in node.runtime.health.codes
    disk.number = 0
    await until(lambda: not node.runtime.health.codes)
    assert not node.runtime.failed.done()
    await site.stop()
    assert sidecar(site)["clean"] is True


@pytest.mark.parametrize("code", ["DATA_LOCKED", "RECORD_CORRUPT", "SCHEMA_NEWER"])
async def test_a_store_that_takes_nothing_more_ends_the_node_whatever_the_reason(
    site: Site, code: str
) -> None:
    node = await site.start()
    store: Any = node.runtime.store
    await asyncio.to_thread(store._fail, StoreError(code, "no more"))
    assert (await asyncio.wait_for(node.failed(), patient(15))).code == code
    await site.stop()


async def test_what_fails_because_the_node_has_ended_is_no_defect(site: Site) -> None:
    await site.start()
    node = site.running
    node.links.feed(cast(Event, "no event"))
    assert (await node.failed()).code == "INTERNAL"
    await node.links.close()
    node.links.feed(cast(Event, "no event"))
    assert site.log.getvalue().count("node.defect") == 1


async def test_a_disk_that_became_read_only_ends_the_node_with_its_code(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = await site.start()
    disk = Disk(site.root, monkeypatch)
    disk.number = errno.EROFS
    assert (await asyncio.wait_for(node.failed(), patient(15))).code == "DISK_ERROR"
    disk.number = 0
    await site.stop()


async def test_a_start_on_a_full_disk_says_so(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    Disk(site.root, monkeypatch).number = errno.ENOSPC
    assert (await refused(site)).code == "DISK_FULL"


async def test_a_database_that_finds_no_room_at_its_opening_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise apsw.IOError("disk I/O error")

    monkeypatch.setattr(apsw, "Connection", fails)
    with pytest.raises(StoreError, match="DISK_ERROR"):
        open_store(tmp_path / "store.db", TABLES, bytes(32))
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=0))
    with pytest.raises(StoreError, match="DISK_FULL"):
        open_store(tmp_path / "store.db", TABLES, bytes(32))


async def test_a_start_that_fails_late_leaves_no_port_open(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Ports] = []

    def full(_: Runtime, ports: Ports) -> Running:
        opened.append(ports)
        raise StoreError("DISK_FULL", "there is no room for run.json")

    monkeypatch.setattr("intelshare.node.run.show_running", full)
    with pytest.raises(StoreError, match="DISK_FULL"):
        await site.start()
    for port in (opened[0].peer_port, opened[0].user_port):
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
