"""One node per data folder, private to its owner, and the small memory that notices what the disk forgot."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

from intelshare.errors import StoreError
from intelshare.node.sidecar import remembers
from intelshare.private_files import write_private
from intelshare.store.folder import lock
from intelshare.store.sidecar import (
    STARTED,
    Sidecar,
    check_place,
    check_shared,
    compare,
    mark_start,
    read_sidecar,
    write_sidecar,
)
from processes import ended, process

ROOT = bytes(range(32))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "data"
    made.mkdir(mode=0o700)
    return made


_HOLDER = """
import signal, sys
from contextlib import nullcontext
from pathlib import Path
from intelshare.store.folder import lock
held = lock(Path(sys.argv[1]))
print("held", flush=True)
signal.pause()
"""


def test_a_second_process_is_told_who_holds_the_folder_and_a_dead_one_holds_nothing(folder: Path) -> None:
    with process([sys.executable, "-c", _HOLDER, folder], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StoreError, match=f"process {holder.pid} ") as raised:
            lock(folder)
        assert raised.value.code == "DATA_LOCKED"
        holder.kill()
        ended(holder)
    assert (folder / "lock").exists()
    lock(folder).release()


def test_a_second_node_in_the_same_process_is_refused_too(folder: Path) -> None:
    held = lock(folder)
    with pytest.raises(StoreError, match=f"process {os.getpid()} "):
        lock(folder)
    held.release()
    held.release()
    lock(folder).release()


def test_a_lock_left_by_a_recycled_process_id_does_not_block(folder: Path) -> None:
    (folder / "lock").write_text(f"{os.getppid()} and more text than a process id has\n")
    lock(folder).release()
    assert (folder / "lock").read_text() == f"{os.getpid()}\n"


@pytest.mark.parametrize("mode", [0o750, 0o701, 0o777])
def test_a_folder_that_others_can_look_into_is_refused_with_the_chmod(folder: Path, mode: int) -> None:
    folder.chmod(mode)
    with pytest.raises(StoreError, match="DATA_PERMISSIONS") as raised:
        lock(folder)
    assert raised.value.hint == f"chmod 700 {folder}"
    assert list(folder.iterdir()) == []


def test_the_lock_is_private_under_any_umask_and_follows_no_link(folder: Path) -> None:
    old_umask = os.umask(0)
    try:
        lock(folder).release()
    finally:
        os.umask(old_umask)
    assert stat.S_IMODE((folder / "lock").stat().st_mode) == 0o600
    (folder / "lock").unlink()
    (folder / "lock").symlink_to(folder / "elsewhere")
    with pytest.raises(StoreError, match="DATA_PERMISSIONS"):
        lock(folder)
    assert not (folder / "elsewhere").exists()


def test_a_sidecar_that_another_process_wrote_since_is_not_taken_for_this_ones(folder: Path) -> None:
    """A replica that was frozen while another one took over may have written what it knew before."""
    path, now = folder / "sidecar", Sidecar(7, 2, ROOT.hex(), clean=False)
    assert not remembers(path, now)
    write_sidecar(path, now)
    assert remembers(path, now)
    write_sidecar(path, Sidecar(7, 1, ROOT.hex(), clean=False))
    assert not remembers(path, now)
    path.write_bytes(b"{")
    assert not remembers(path, now)


def test_the_sidecar_is_replaced_whole_and_private(folder: Path) -> None:
    path = folder / "sidecar"
    assert read_sidecar(path) is None
    old_umask = os.umask(0)
    try:
        for size in (1, 2):
            write_sidecar(path, Sidecar(7, size, ROOT.hex(), clean=size == 2))
    finally:
        os.umask(old_umask)
    assert read_sidecar(path) == Sidecar(7, 2, ROOT.hex(), clean=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in folder.iterdir()] == ["sidecar"]


def test_a_folder_that_was_put_back_is_noticed_although_both_memories_agree(folder: Path) -> None:
    path = folder / "sidecar"
    check_place(path)
    write_sidecar(path, Sidecar(7, 2, ROOT.hex(), clean=True))
    check_place(path)
    kept, written = path.read_bytes(), json.loads(path.read_bytes())["written"]
    time.sleep(1.1)
    path.write_bytes(kept)
    os.utime(path, ns=(written, written))
    with pytest.raises(StoreError, match="copied or put back 1"):
        check_place(path)


def test_a_kill_while_the_sidecar_is_written_by_a_late_clock_is_not_taken_for_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replicas that share a folder have clocks of their own, and the file system has another."""

    def killed(path: Path, data: bytes) -> None:
        write_private(path, data)
        raise KeyboardInterrupt

    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() - 20 * 10**9)
    monkeypatch.setattr("intelshare.store.sidecar.write_private", killed)
    path = tmp_path / "sidecar"
    with pytest.raises(KeyboardInterrupt):
        write_sidecar(path, Sidecar(1, 1, "00" * 32, clean=False))
    check_place(path)


@pytest.mark.parametrize(
    ("started", "noticed"),
    [
        (b'{"written": 1000000000}', True),
        (b'{"written": 0}', False),
        (b'{"writ%en": 1}', False),
        (b"", False),
    ],
)
def test_a_copy_of_a_folder_whose_node_runs_is_noticed_although_its_sidecar_was_just_written(
    folder: Path, started: bytes, noticed: bool
) -> None:
    mark_start(folder)
    write_sidecar(folder / "sidecar", Sidecar(1, 1, "00" * 32, clean=False))
    check_place(folder / "sidecar")
    (folder / STARTED).write_bytes(started)
    with pytest.raises(StoreError, match="while it ran") if noticed else nullcontext():
        check_place(folder / "sidecar")
    # A replica that joins others cannot go by the sidecar, which the one that leads writes.
    with (
        pytest.raises(StoreError, match="the replicas that run have another one")
        if noticed
        else nullcontext()
    ):
        check_shared(folder)


def test_any_flipped_bit_of_the_sidecar_is_undone_and_costs_no_memory(folder: Path) -> None:
    path, written = folder / "sidecar", Sidecar(7, 12, ROOT.hex(), clean=True)
    write_sidecar(path, written)
    right = path.read_bytes()
    for place in (0, 3, 17, right.index(b"root") + 12, right.index(b"written") + 14, len(right) - 4):
        path.write_bytes(right[:place] + bytes((right[place] ^ 1 << place % 8,)) + right[place + 1 :])
        assert read_sidecar(path) == written
    path.write_bytes(right.replace(b'"size": 12', b'"size": 21'))
    with pytest.raises(StoreError, match="STORE_FORGOT"):
        read_sidecar(path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'{"incarnation": 1}', b"\xff\xfe", b"7"])
def test_a_sidecar_that_cannot_be_read_is_never_taken_for_none(folder: Path, content: bytes) -> None:
    (folder / "sidecar").write_bytes(content)
    with pytest.raises(StoreError, match="STORE_FORGOT"):
        read_sidecar(folder / "sidecar")


@pytest.mark.parametrize(
    ("clean", "incarnation", "size", "root", "forgot"),
    [
        (False, 7, 10, ROOT, False),
        (True, 7, 10, ROOT, False),
        (False, 7, 11, bytes(32), False),  # it lags: a crash within a second of a commit
        (True, 7, 11, bytes(32), False),  # nothing is lost: a stop that was cut short, or a sidecar put back
        (False, 7, 9, ROOT, True),
        (True, 7, 9, ROOT, True),
        (False, 7, 10, bytes(32), True),
        (True, 7, 10, bytes(32), True),
        (False, 6, 10, ROOT, True),
        (True, 6, 99, ROOT, True),
        (False, 0, 0, b"", True),
    ],
)
def test_the_database_may_lead_the_sidecar_but_never_lag(
    clean: bool, incarnation: int, size: int, root: bytes, forgot: bool
) -> None:
    remembered = Sidecar(7, 10, ROOT.hex(), clean)
    if not forgot:
        compare(remembered, incarnation, size, root)
        return
    with pytest.raises(StoreError, match="STORE_FORGOT") as raised:
        compare(remembered, incarnation, size, root)
    assert raised.value.hint


def test_what_is_missing_is_counted() -> None:
    with pytest.raises(StoreError, match="3 log entries"):
        compare(Sidecar(7, 10, ROOT.hex(), clean=False), 7, 7, ROOT)


def test_a_log_as_long_as_remembered_but_another_is_said_to_be_another() -> None:
    with pytest.raises(StoreError, match="entries other than"):
        compare(Sidecar(7, 10, ROOT.hex(), clean=True), 7, 10, bytes(32))
