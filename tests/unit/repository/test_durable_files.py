"""What a command says it has written is on the disk: no file is left to the kernel (fault F2)."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from intelshare.cli.shared.files import write_file, write_new
from intelshare.client import Credentials, Profile, write_profile
from intelshare.client.enrolment import Enrolment, write_enrolment
from intelshare.private_files import replace_secrets, write_private


def _profile(folder: Path) -> None:
    profile = Profile(folder / "new", "FRA", "m.durand", "127.0.0.1:1", "", "node-1.fra.intelshare.internal")
    write_profile(profile, Credentials(b"c", b"a", b"k"))


def _enrolment(folder: Path) -> None:
    enrolment = Enrolment("FRA", "m.durand", "127.0.0.1:1", "", "s", "soon", b"a\n", b"t\n")
    write_enrolment(folder / "m.durand.enrol", enrolment)


def _replaced(folder: Path) -> None:
    path = folder / "law.toml"
    path.write_text("before")
    write_file(path, "after")


WRITERS: dict[str, Callable[[Path], object]] = {
    "a private file": lambda folder: write_private(folder / "x", b"x"),
    "a profile": _profile,
    "an enrolment": _enrolment,
    "a text that is replaced": _replaced,
    "files of a bulletin": lambda folder: write_new(folder / "new", {"x.txt": b"x"}),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_every_byte_of_a_new_file_is_synced_before_it_is_told(
    writer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: dict[int, int] = {}
    sync = os.fsync

    def noted(descriptor: int) -> None:
        found = os.fstat(descriptor)
        synced[found.st_ino] = found.st_size
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    WRITERS[writer](tmp_path)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert written
    for path in written:
        assert synced.get(path.stat().st_ino) == path.stat().st_size > 0, path


def test_the_blocks_of_a_file_of_secrets_that_was_replaced_are_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    replace_secrets(path, b"secret" * 100)
    with path.open("rb") as former:
        replace_secrets(path, b"new")
        assert former.read() == bytes(600)
    assert path.read_bytes() == b"new"


def test_a_file_for_which_there_is_no_room_is_as_it_was_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, new = tmp_path / "there", tmp_path / "new"
    there.write_text("before")
    there.chmod(0o640)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for path in (there, new):
        with pytest.raises(OSError, match="No space left") as refused:
            write_file(path, "after")
        assert refused.value.filename == str(path)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    assert there.read_text() == "before"
    monkeypatch.undo()
    write_file(there, b"after")
    assert (there.read_text(), there.stat().st_mode & 0o777) == ("after", 0o640)


def test_a_pipe_that_a_command_names_is_written_to(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_file(pipe, "text")
        assert os.read(reader, 10) == b"text"
    finally:
        os.close(reader)
