"""A backup that is made can be restored, however many files it lists."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from intelshare.errors import StoreError
from intelshare.node import backup_format
from intelshare.node.backup_format import (
    FORMAT,
    MANIFEST,
    MOST_FILES,
    BackupManifest,
    need_few_files,
    read_manifest,
)


def text_of(files: int) -> bytes:
    """As ``make_backup`` writes it."""
    listed = {f"files/{number:064x}": (1 << 40, "f" * 64) for number in range(files)}
    manifest = BackupManifest(FORMAT, "FRA", "ish://FRA/node/1", 1, "1", 1, 1, 1, 1, [], listed)
    return json.dumps(asdict(manifest), indent=1).encode()


def test_the_manifest_of_the_most_files_that_are_backed_up_is_read() -> None:
    each = (len(text_of(200)) - len(text_of(100))) // 100 + 1
    room = backup_format._MAX_MANIFEST - each * MOST_FILES
    assert room > 16 << 20, "for the files of the law, and what names the node"


def test_more_files_are_refused_before_one_is_copied() -> None:
    """The backup was made, and its restore said that this is not a manifest."""
    need_few_files(MOST_FILES)
    with pytest.raises(StoreError, match="TOO_LARGE"):
        need_few_files(MOST_FILES + 1)


def test_a_manifest_that_is_too_large_is_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = text_of(3)
    (tmp_path / MANIFEST).write_bytes(text)
    monkeypatch.setattr(backup_format, "_MAX_MANIFEST", len(text))
    assert len(read_manifest(tmp_path)[0].files) == 3
    monkeypatch.setattr(backup_format, "_MAX_MANIFEST", len(text) - 1)
    with pytest.raises(StoreError, match="it has more than"):
        read_manifest(tmp_path)
