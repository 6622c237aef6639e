"""What ``send --attach`` and ``read --out`` do to files: what is refused at once, and what appears where."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

import pytest

from intelshare.cli.analyst.attach import attached_piece, split_attached
from intelshare.cli.shared.files import write_new
from intelshare.crypto.pieces import MAX_FILE, PLAIN, read_attachment
from intelshare.errors import ConfigError, DeliveryError


def code(path: Path) -> str:
    with pytest.raises(ConfigError) as error:
        attached_piece(str(path))
    return error.value.code


@pytest.mark.parametrize("name", ["a\nb.pdf", "con.txt", "-rf", "a\\b", ".hidden", "a\u202eb", "x" * 201])
def test_a_name_that_no_recipient_could_use_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    assert code(tmp_path / name) == "UNSAFE_NAME"


def test_only_a_regular_file_is_attached(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert code(tmp_path / "pipe") == "INPUT_INVALID"
    assert code(tmp_path) == "INPUT_INVALID"
    assert code(tmp_path / "none") == "NOT_FOUND"


def test_a_file_over_2_gib_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    with (tmp_path / "large.bin").open("wb") as file:
        file.truncate(MAX_FILE)
        assert read_attachment(attached_piece(str(tmp_path / "large.bin")).content).size == MAX_FILE
        file.truncate(MAX_FILE + 1)
    assert code(tmp_path / "large.bin") == "TOO_LARGE"


def test_a_dry_run_sees_a_stand_in_of_the_right_shape(tmp_path: Path) -> None:
    (tmp_path / "annex.pdf").write_bytes(bytes(PLAIN + 1))
    piece = attached_piece(str(tmp_path / "annex.pdf"))
    assert (piece.kind, piece.media) == (5, "application/pdf; name=annex.pdf")
    record = read_attachment(piece.content)
    assert (record.size, record.key, len(record.pieces)) == (PLAIN + 1, bytes(32), 2)


def test_a_label_may_follow_the_file() -> None:
    assert split_attached("annex.pdf") == ("annex.pdf", None)
    assert split_attached("annex.pdf://FRA SECRET") == ("annex.pdf", "//FRA SECRET")
    with pytest.raises(ConfigError) as error:
        split_attached("annex.pdf:")
    assert error.value.place is not None
    assert error.value.place.source == "--attach"


def test_what_is_filled_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    seen: list[list[str]] = []

    def fill(file: BinaryIO) -> None:
        file.write(b"first half")
        seen.append(sorted(os.listdir(tmp_path / "out")))
        file.write(b", second half")

    def fail(file: BinaryIO) -> None:
        file.write(b"first half")
        raise DeliveryError("OPEN_FAILED", "the final tag is not there")

    write_new(tmp_path / "out", {"2-annex.pdf": fill})
    assert (tmp_path / "out" / "2-annex.pdf").read_bytes() == b"first half, second half"
    assert "2-annex.pdf" not in seen[0]
    with pytest.raises(DeliveryError):
        write_new(tmp_path / "out", {"1-text.txt": b"text", "3-other.pdf": fail})
    assert os.listdir(tmp_path / "out") == ["2-annex.pdf"]


@pytest.mark.parametrize("planted", ["file", "link", "pipe"])
def test_nothing_takes_the_place_of_anything(tmp_path: Path, planted: str) -> None:
    """Neither when it begins nor at the end (attacks.md row 66)."""
    out = tmp_path / "out"
    out.mkdir()
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")

    def plant() -> None:
        {
            "file": lambda: (out / "annex").write_bytes(b"other"),
            "link": lambda: (out / "annex").symlink_to(victim),
            "pipe": lambda: os.mkfifo(out / "annex"),
        }[planted]()

    def fill(file: BinaryIO) -> None:
        file.write(b"new")
        plant()

    with pytest.raises(ConfigError, match="UNSAFE_NAME"):
        write_new(out, {"annex": fill})
    with pytest.raises(ConfigError, match="UNSAFE_NAME"):
        write_new(out, {"annex": lambda file: pytest.fail(f"it began, with {file}")})
    assert victim.read_bytes() == b"mine"
    assert os.listdir(out) == ["annex"]
