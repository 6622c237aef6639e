"""The client's memory (promises P2, c1, 1.1): keys before the call, answers after it, never any content."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from intelshare.client import (
    Draft,
    answered,
    answering_batch,
    digest_key,
    forget,
    new_key,
    parse_key,
    remember,
    remember_batch,
    show_key,
    spool,
    spooled,
)
from intelshare.errors import ConfigError, Place
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
    remember(folder, bytes(16), "digest", NOW)
    assert len(synced) == 2, "the file and its folder"
    (path,) = folder.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    (entry,) = spooled(folder, NOW)
    assert (entry.key, entry.digest, entry.made, entry.bulletin) == (bytes(16), "digest", NOW, "")


def test_an_answer_is_noted_beside_its_key(tmp_path: Path) -> None:
    remember(tmp_path, bytes(16), "digest", NOW)
    answered(tmp_path, bytes(16), b"\x01" * 16)
    (entry,) = spooled(tmp_path, NOW)
    assert entry.bulletin == "01" * 16


def test_a_line_cut_by_a_crash_leaves_what_stands_before_it(tmp_path: Path) -> None:
    remember(tmp_path, bytes(16), "digest", NOW)
    (path,) = tmp_path.iterdir()
    with path.open("a") as file:
        file.write('{"bulletin": "0101')
    (entry,) = spooled(tmp_path, NOW)
    assert entry.bulletin == ""


def test_what_follows_a_line_that_was_cut_is_remembered(tmp_path: Path) -> None:
    """P2: key and answer of the next attempt ran into it, and nobody saw them again."""
    remember(tmp_path, bytes(16), "digest", NOW)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:20])
    assert not list(spooled(tmp_path, NOW))
    assert not remember(tmp_path, bytes(16), "digest", NOW)
    answered(tmp_path, bytes(16), b"\x01" * 16)
    (entry,) = spooled(tmp_path, NOW)
    assert (entry.key, entry.bulletin) == (bytes(16), "01" * 16)


def test_answered_keys_go_after_30_days_and_open_ones_stay(tmp_path: Path) -> None:
    remember(tmp_path, bytes(16), "digest", NOW)
    remember(tmp_path, b"\x01" * 16, "digest", NOW)
    answered(tmp_path, bytes(16), b"\x02" * 16)
    later = Instant(NOW + 31 * DAY)
    assert [entry.key for entry in spooled(tmp_path, later)] == [b"\x01" * 16]
    assert len(list(tmp_path.iterdir())) == 1


def test_a_key_under_which_nothing_was_stored_is_forgotten(tmp_path: Path) -> None:
    assert remember(tmp_path, bytes(16), "digest", NOW), "nothing was sent under it before"
    assert not remember(tmp_path, bytes(16), "digest", NOW), "something may have been stored before"
    forget(tmp_path, bytes(16))
    assert not list(spooled(tmp_path, NOW))


def batch(folder: Path, *digests: str, source: str = "a.ndjson", again: bool = False) -> list[bytes]:
    drafts = [Draft(digest) for digest in digests]
    return [entry.key for entry in remember_batch(folder, source, drafts, NOW, os.urandom, again=again)]


def test_the_keys_of_a_batch_are_on_disk_and_private_before_the_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    keys = batch(tmp_path / "spool", "one", "two", "two")
    assert len(synced) == 2, "the file and its folder"
    (path,) = (tmp_path / "spool").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    found = list(spooled(tmp_path / "spool", NOW))
    assert [(one.key, one.digest, one.bulletin) for one in found] == [
        (keys[0], "one", ""),
        (keys[1], "two", ""),
        (keys[2], "two", ""),
    ]
    assert len(set(keys)) == 3


def test_a_batch_that_is_run_again_has_its_keys_again_also_where_other_lines_were_changed(
    tmp_path: Path,
) -> None:
    one, two, twice = batch(tmp_path, "one", "two", "two")
    assert batch(tmp_path, "one", "two", "two") == [one, two, twice]
    new, again, moved, other = batch(tmp_path, "new", "one", "two", "two")
    assert [again, moved, other] == [one, two, twice]
    assert new not in (one, two, twice)


def test_a_batch_from_elsewhere_or_that_is_meant_again_has_keys_of_its_own(tmp_path: Path) -> None:
    (first,) = batch(tmp_path, "one")
    assert batch(tmp_path, "one", source="b.ndjson") != [first]
    (once_more,) = batch(tmp_path, "one", again=True)
    assert once_more != first
    assert batch(tmp_path, "one") == [once_more]


def test_the_key_that_a_draft_of_a_batch_names_is_its_key(tmp_path: Path) -> None:
    drafts = [Draft("one", b"\x07" * 16), Draft("one")]
    first, other = remember_batch(tmp_path, "a", drafts, NOW, os.urandom)
    assert first.key == b"\x07" * 16
    assert other.key != first.key
    assert remember_batch(tmp_path, "a", drafts, NOW, os.urandom) == [first, other]


def test_answers_of_a_batch_are_noted_and_kept_when_it_is_run_again(tmp_path: Path) -> None:
    keys = batch(tmp_path, "one", "two")
    with answering_batch(tmp_path, "a.ndjson") as note:
        note(keys[1], b"\x02" * 16)
    assert [entry.bulletin for entry in spooled(tmp_path, NOW)] == ["", "02" * 16]
    drafts = [Draft("one"), Draft("two")]
    assert [e.bulletin for e in remember_batch(tmp_path, "a.ndjson", drafts, NOW, os.urandom)] == [
        "",
        "02" * 16,
    ]


def test_a_refused_draft_of_a_batch_waits_for_no_answer_and_has_another_key_when_it_is_sent_again(
    tmp_path: Path,
) -> None:
    keys = batch(tmp_path, "one", "two")
    with answering_batch(tmp_path, "a.ndjson") as note:
        note(keys[0], b"\x01" * 16)
        note(keys[1], None)
    assert [entry.key for entry in spooled(tmp_path, NOW)] == [keys[0]]
    again = batch(tmp_path, "one", "two")
    assert (again[0], again[1] in keys) == (keys[0], False)


def test_a_batch_goes_after_30_days_only_if_all_of_it_is_answered(tmp_path: Path) -> None:
    keys = batch(tmp_path, "one", "two")
    later = Instant(NOW + 31 * DAY)
    with answering_batch(tmp_path, "a.ndjson") as note:
        note(keys[0], b"\x01" * 16)
    assert len(list(spooled(tmp_path, later))) == 2
    with answering_batch(tmp_path, "a.ndjson") as note:
        note(keys[1], b"\x02" * 16)
    assert not list(spooled(tmp_path, later))
    assert not list(tmp_path.iterdir())


def test_digests_of_what_was_sent_are_keyed_by_32_bytes_that_stay(tmp_path: Path) -> None:
    key = digest_key(tmp_path)
    assert len(key) == 32
    assert digest_key(tmp_path) == key
    (path,) = tmp_path.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    other = tmp_path / "other"
    other.mkdir()
    assert digest_key(other) != key


@pytest.mark.parametrize(
    "change",
    [
        lambda line: line.replace(b'"key"', b'"kez"'),
        lambda line: line.replace(b"{", b"["),
        lambda line: line.replace(b'"digest"', b'"eigest"'),
        lambda line: line.replace(b'"key": "0', b'"key": "g'),
        lambda line: b"7" + b" " * (len(line) - 1),
    ],
)
def test_a_changed_line_of_a_batch_costs_no_other_its_key_and_its_own_is_not_made_again(
    tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    """P2: all drafts of the batch had new keys, and were stored twice."""
    keys = batch(tmp_path, "one", "two", "three")
    (path,) = tmp_path.iterdir()
    first, rest = path.read_bytes().split(b"\n", 1)
    path.write_bytes(change(first) + b"\n" + rest)
    assert path.read_bytes() != first + b"\n" + rest
    assert [entry.key for entry in spooled(tmp_path, NOW)] == keys[1:]
    with pytest.raises(ConfigError) as caught:
        batch(tmp_path, "one", "two", "three")
    assert (caught.value.code, caught.value.place) == ("RECORD_CORRUPT", Place(str(path), 1))
    assert batch(tmp_path, "two", "three") == keys[1:], "nothing is missing for these"


def test_a_cut_answer_of_a_batch_keeps_no_draft_from_a_new_key(tmp_path: Path) -> None:
    keys = batch(tmp_path, "one")
    (path,) = tmp_path.iterdir()
    with path.open("ab") as file:
        file.write(b'{"key": "01')
    assert batch(tmp_path, "one", "two")[0] == keys[0]


def test_two_runs_of_one_batch_at_once_send_it_under_the_same_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P2: both had read that nothing was known."""
    arrived, read, found = threading.Event(), spool._read, dict[str, list[bytes]]()

    def slowly(path: Path) -> object:
        known = read(path)
        arrived.wait(0.3)  # the other one reads the same, unless it has to wait
        return known

    def run(name: str) -> None:
        found[name] = batch(tmp_path, "one", "two")

    monkeypatch.setattr(spool, "_read", slowly)
    runs = [threading.Thread(target=run, args=(name,)) for name in ("first", "other")]
    for one in runs:
        one.start()
    for one in runs:
        one.join()
    assert found["first"] == found["other"]


@pytest.mark.parametrize("stored_first", [True, False])
def test_what_one_run_has_stored_another_does_not_forget(tmp_path: Path, stored_first: bool) -> None:
    """One was refused for its rate, the other one was not."""
    (key,) = batch(tmp_path, "one")
    with answering_batch(tmp_path, "a.ndjson") as note:
        for bulletin in (b"\x01" * 16, None) if stored_first else (None, b"\x01" * 16):
            note(key, bulletin)
    assert batch(tmp_path, "one") == [key]
