"""The client's memory (promises P2, c1, 1.1): keys before the call, answers after it, never any content."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from intelshare.client import answered, forget, new_key, parse_key, remember, show_key, spooled
from intelshare.errors import ConfigError
from intelshare.instant import DAY, Instant

NOW = Instant(1_780_000_000_000_000)


def test_a_key_is_a_uuid_of_version_7_that_sorts_by_time() -> None:
    key = new_key(NOW, os.urandom)
    assert len(key) == 16
    assert int.from_bytes(key[:6]) == NOW // 1000
    assert key[6] >> 4 == 7
    assert key[8] >> 6 == 2
    assert key < new_key(Instant(NOW + 1000), os.urandom)
    assert parse_key(show_key(key)) == key


@pytest.mark.parametrize("text", ["", "abc", "zz" * 16, "00" * 17])
def test_a_wrong_key_is_refused(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_key(text)
    assert caught.value.code == "INPUT_INVALID"


def test_the_key_is_on_disk_and_private_before_the_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    folder = tmp_path / "spool"
    remember(folder, bytes(16), NOW)
    assert len(synced) == 2, "the file and its folder"
    (path,) = folder.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    (entry,) = spooled(folder, NOW)
    assert (entry.key, entry.made, entry.bulletin) == (bytes(16), NOW, "")


def test_an_answer_is_noted_beside_its_key(tmp_path: Path) -> None:
    remember(tmp_path, bytes(16), NOW)
    answered(tmp_path, bytes(16), b"\x01" * 16)
    (entry,) = spooled(tmp_path, NOW)
    assert entry.bulletin == "01" * 16


def test_a_line_cut_by_a_crash_leaves_what_stands_before_it(tmp_path: Path) -> None:
    remember(tmp_path, bytes(16), NOW)
    (path,) = tmp_path.iterdir()
    with path.open("a") as file:
        file.write('{"bulletin": "0101')
    (entry,) = spooled(tmp_path, NOW)
    assert entry.bulletin == ""


def test_answered_keys_go_after_30_days_and_open_ones_stay(tmp_path: Path) -> None:
    remember(tmp_path, bytes(16), NOW)
    remember(tmp_path, b"\x01" * 16, NOW)
    answered(tmp_path, bytes(16), b"\x02" * 16)
    later = Instant(NOW + 31 * DAY)
    assert [entry.key for entry in spooled(tmp_path, later)] == [b"\x01" * 16]
    assert len(list(tmp_path.iterdir())) == 1


def test_a_key_under_which_nothing_was_stored_is_forgotten(tmp_path: Path) -> None:
    remember(tmp_path, bytes(16), NOW)
    forget(tmp_path, bytes(16))
    assert not list(spooled(tmp_path, NOW))
