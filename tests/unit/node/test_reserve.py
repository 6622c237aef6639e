"""Room on a disk that has bytes left and no file: everything beside the database is written as a new one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from intelshare.errors import StoreError
from intelshare.node.reserve import free_bytes, need_room_to_start


def test_a_disk_that_takes_no_more_files_is_full_and_says_of_what(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert free_bytes(tmp_path) > 0
    real = list(os.statvfs(tmp_path))
    real[5], real[7] = 1000, 0  # f_files, f_favail
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result(real))
    assert free_bytes(tmp_path) == 0
    with pytest.raises(StoreError, match="df -i"):
        need_room_to_start(tmp_path)
    real[5] = 0  # a file system that counts none
    assert free_bytes(tmp_path) > 0
