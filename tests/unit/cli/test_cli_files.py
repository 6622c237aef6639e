"""What others sent is written to new files only, all or none (attack 66)."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from intelshare.cli import run
from intelshare.cli.shared.files import write_new, write_new_file
from intelshare.errors import ConfigError
from intelshare.trust import MAX_MEMBER_FILE


def test_files_are_new_and_private(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        paths = write_new(tmp_path / "out", {"1-text.txt": b"a", "2-report.pdf": b"b"})
    finally:
        os.umask(old)
    assert [path.read_bytes() for path in paths] == [b"a", b"b"]
    assert {path.stat().st_mode & 0o777 for path in paths} == {0o600}
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o700


def test_a_disk_that_is_full_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that are there at once, and those that come piece by piece."""

    def full(file: BinaryIO) -> None:
        file.write(b"some of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    fdopen = os.fdopen

    def small(descriptor: int, mode: str) -> Any:
        file = fdopen(descriptor, mode)
        return _Small(file) if mode == "wb" else file

    out = tmp_path / "out"
    with pytest.raises(OSError, match="No space"):
        write_new(out, {"1-text.txt": b"a", "2-report.pdf": full})
    assert list(out.iterdir()) == []
    monkeypatch.setattr(os, "fdopen", small)
    with pytest.raises(OSError, match="No space"):
        write_new(out, {"1-text.txt": b"a"})
    assert list(out.iterdir()) == []


class _Small:
    """A file on a disk that is full after one byte."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def __enter__(self) -> _Small:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, content: bytes) -> None:
        self._file.write(content[:1])
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("planted", ["symlink", "hard link", "pipe", "file", "dangling"])
def test_nothing_is_written_through_or_over_what_was_planted(tmp_path: Path, planted: str) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    folder = tmp_path / "out"
    folder.mkdir()
    target = folder / "2-b"
    match planted:
        case "symlink":
            target.symlink_to(outside)
        case "hard link":
            target.hardlink_to(outside)
        case "pipe":
            os.mkfifo(target)
        case "file":
            target.write_bytes(b"mine")
        case "dangling":
            target.symlink_to(tmp_path / "created")
    with pytest.raises(ConfigError) as caught:
        write_new(folder, {"1-a": b"x", "2-b": b"y"})
    assert caught.value.code == "UNSAFE_NAME"
    assert outside.read_bytes() == b"precious"
    assert not (tmp_path / "created").exists()
    assert [path.name for path in folder.iterdir()] == ["2-b"]


@pytest.mark.parametrize("content", [b"new", lambda file: pytest.fail(f"it began, with {file}")])
def test_a_file_that_is_there_is_called_so_with_what_to_name(tmp_path: Path, content: Any) -> None:
    (tmp_path / "x.bundle").write_bytes(b"mine")
    with pytest.raises(ConfigError) as caught:
        write_new_file(tmp_path / "x.bundle", content)
    error = caught.value
    assert (error.code, error.message) == ("UNSAFE_NAME", "a file with this name already exists")
    assert "name a file that is not there yet" in str(error.hint)
    assert (tmp_path / "x.bundle").read_bytes() == b"mine"
    assert write_new_file(tmp_path / "y.bundle", b"new") == tmp_path / "y.bundle"


def test_a_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError) as caught:
        write_new(tmp_path / "out", {"1-a": b"x"})
    assert caught.value.code == "UNSAFE_NAME"
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize(
    ("size", "code"), [(MAX_MEMBER_FILE, "INPUT_INVALID"), (MAX_MEMBER_FILE + 1, "TOO_LARGE")]
)
def test_a_member_file_is_read_up_to_the_size_that_its_form_allows(
    size: int, code: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "usa.member"
    file.write_bytes(bytes(size))
    assert run(["member", "fingerprint", str(file), "--json"]) != 0
    assert f'"{code}"' in capsys.readouterr().out
