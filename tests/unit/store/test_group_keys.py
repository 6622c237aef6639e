"""Keys of groups of secrets, in their folder."""

from __future__ import annotations

from pathlib import Path

from intelshare.store.postgres.keys import GroupKeys


def test_a_file_that_is_no_key_is_not_taken_for_one(tmp_path: Path) -> None:
    keys = GroupKeys(tmp_path, bytes(32), 10)
    group, _ = keys.sealed("secret", 1, b"x")
    for stray in ("a-1.bak", "a-b.bak", "lost-found", ".a-1.new", "a-", "-1", "note"):
        (tmp_path / stray).touch()
    assert keys.groups() == [group]
